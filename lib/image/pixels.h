/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_PIXELS_H
#define IMAGE_PIXELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/arena.h"

/*
 * Planes: how pixels travel from decoder to encoder.
 *
 * A plane holds one component. It says where its samples lie in the full image, so that chroma at
 * half the resolution, a pyramid level or a DCT-scaled decode need no special case later: sample
 * (i, j) is centred at the full-image point (x + (i + .5) dx, y + (j + .5) dy), in stored (not yet
 * oriented) coordinates of the full-resolution image. Examples: a DCT scale of n/8 has dx = 8/n;
 * 4:2:0 chroma doubles dx; a pyramid level has dx = 2^k if its sides are the floor or ceil of
 * W/2^k, else W/level_w.
 */
struct plane {
	uint8_t *at;         /* sample (0,0) */
	uint32_t w, h;       /* samples */
	size_t stride;       /* bytes from row to row */
	double x, y;         /* full-image point of the plane's top left corner */
	double dx, dy;       /* full-image size of one sample, > 0 */
};

enum model {
	MODEL_GRAY,          /* 1 plane */
	MODEL_YCC,           /* 3 planes, JFIF (BT.601 full range), of 8 bits */
	MODEL_RGB,           /* 3 planes */
	MODEL_CMYK,          /* 4 planes, 0 is no ink; decoders only */
	MODEL_LAB,           /* 3 planes, CIE L*a*b* (D50): L* is 0 to 100 over the range, a* and b* are 128 (times 257 in
			      * deep images) where they are 0, and 1 a step (of 257); decoders only */
};

#define IMAGE_MAX_PLANES 5

/* A picture. Deep ones come from decoders only: behind colour_to_srgb everything has 8 bits. */
struct image {
	enum model model;
	int n;               /* planes of colour */
	bool alpha;          /* plane[n] is opacity, on the grid of plane 0; never beside MODEL_YCC */
	bool deep;           /* all samples are uint16_t, in the machine's order and the whole range */
	struct plane plane[IMAGE_MAX_PLANES];
	const uint8_t *icc;  /* profile of the samples, NULL: sRGB or gray with the sRGB curve */
	size_t icc_bytes;
	const char *icc_hash;  /* of it (hash_hex), NULL if that was not made */
};

/* Rectangles are in pixels of the image they speak of. */
struct rect {
	uint32_t x, y, w, h;
};

static inline uint32_t at_most(uint32_t n, uint32_t most)
{
	return n < most ? n : most;
}

/* What both have in common; false if that is nothing. */
bool rect_meet(struct rect a, struct rect b, struct rect *both);

int model_planes(enum model model);

static inline int image_planes(const struct image *image)
{
	return image->n + image->alpha;
}

/* Cleared memory for a plane of w x h 8-bit samples, rows 64-byte aligned. at is NULL on failure. */
bool plane_alloc(struct arena *a, struct plane *p, uint32_t w, uint32_t h, struct error *err);

/* The same, not cleared: for who writes all samples that will be read. */
bool plane_room(struct arena *a, struct plane *p, uint32_t w, uint32_t h, struct error *err);

/* Cleared, for samples of 16 bits. */
bool plane_alloc_deep(struct arena *a, struct plane *p, uint32_t w, uint32_t h, struct error *err);

/* White to black, of 8-bit samples. */
void plane_invert(struct plane *p);

/* All planes of an image of this kind, in full resolution and over this part of the full image; 8-bit samples, or 16-bit
 * ones. What else *out says stays. */
bool image_alloc(struct arena *a, struct image *out, enum model model, bool alpha, struct rect part,
		 struct error *err);
bool image_alloc_deep(struct arena *a, struct image *out, enum model model, bool alpha, struct rect part,
		      struct error *err);

/* n pixels of interleaved samples, of the image's depth, into that row of the planes, from column x on; as many channels
 * as planes, or more. */
void image_put_part(struct image *image, uint32_t x, uint32_t row, const void *samples, uint32_t n, int channels);

/* White and opaque; not for YCbCr. */
void image_whiten(struct image *image);

/* That row of the planes, of equal geometry and 8 bits, interleaved: into room for image_planes samples a pixel, or, of one plane,
 * where it is. */
const uint8_t *image_get_row(const struct image *image, uint32_t row, uint8_t *room);

/* That row of a bitonal picture, one bit a sample: 1 is white, the first one the highest. */
void image_get_bits(const struct image *image, uint32_t row, uint8_t *bits);

/* Makes these samples of plane i white, or opaque. */
void image_whiten_part(struct image *image, int i, struct rect samples);

/* Bytes that image_alloc takes for 8-bit samples; deep ones take twice as many. */
uint64_t image_bytes(enum model model, bool alpha, struct rect part);

#endif
