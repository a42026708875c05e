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
	MODEL_YCC,           /* 3 planes, JFIF (BT.601 full range) */
	MODEL_RGB,           /* 3 planes */
};

struct image {
	enum model model;
	int n;               /* planes */
	struct plane plane[3];
	const uint8_t *icc;  /* profile of the samples, NULL: sRGB or gray with the sRGB curve */
	size_t icc_bytes;
};

/* Rectangles are in pixels of the image they speak of. */
struct rect {
	uint32_t x, y, w, h;
};

int model_planes(enum model model);

/* Memory for a plane of w x h 8-bit samples, rows 64-byte aligned. at is NULL on failure. */
bool plane_alloc(struct arena *a, struct plane *p, uint32_t w, uint32_t h, struct error *err);

#endif
