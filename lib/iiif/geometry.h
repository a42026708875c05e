/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IIIF_GEOMETRY_H
#define IIIF_GEOMETRY_H

#include "facts.h"
#include "request.h"

/* What may be asked of an image; sides and area in pixels, 0 = no limit (digest 3). */
struct limits {
	uint64_t max_w, max_h, max_area;
	bool upscale;
};

/*
 * A request made exact for one image: all in pixels, in oriented coordinates, before rotation
 * unless said otherwise. Equal plans are equal pictures.
 */
struct plan {
	uint32_t x, y, region_w, region_h;   /* the extracted region */
	uint32_t w, h;                       /* its scaled size */
	double step_x, step_y;               /* full-image pixels per output pixel */
	bool mirror;
	uint64_t degrees;                    /* clockwise, DECIMAL_ONE units, below 360 */
	uint32_t out_w, out_h;               /* after rotation */
	bool gray;                           /* the answer has no colour (gray, bitonal) */
	enum quality quality;                /* canonical: QUALITY_DEFAULT where it amounts to that */
	enum format format;
	enum { PLAN_SIZE, PLAN_MAX, PLAN_UPSCALED_MAX } size_word;   /* 3.0: the word for w,h */
};

/*
 * The steps are region/size, except where the request is a tile of a level: if both output sides
 * are ceil(region/s) for one power of two s, x and y are multiples of s, and each far edge is a
 * multiple of s or the image's edge, the step is exactly s, so that edge tiles agree with their
 * neighbours.
 *
 * Errors: 400 empty or outside region, empty size, 3.0 size above region or limits; 404 2.1 size
 * above the limits; 501 upscaling that this server does not do.
 */
bool plan_make(const struct request *r, const struct facts *facts, const struct limits *limits,
	       struct plan *plan, struct error *err);

/* The canonical parameters, REGION/SIZE/ROTATION/QUALITY.FORMAT, in the version's form (digest 5). */
void plan_write_canonical(const struct plan *plan, const struct facts *facts, int version,
			  struct buf *out);

/* The limits that hold for an image and are published: max_h = max_w if only that is given; where a
 * side limit is given or the image is larger, no side above what JPEG can hold; a server that
 * upscales always has a limit (3.0). */
#define JPEG_MAX_SIDE 65500
#define WEBP_MAX_SIDE 16383
#define GIF_MAX_SIDE 65535
struct limits limits_effective(struct limits configured, const struct facts *facts);

/* Whether a whole image of w x h may be delivered. */
bool limits_allow(const struct limits *limits, uint64_t w, uint64_t h);

#endif
