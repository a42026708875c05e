/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_PALETTE_H
#define IMAGE_PALETTE_H

#include "pixels.h"

/*
 * A picture of at most 256 colours. What is less than half opaque becomes one clear entry, the last.
 *
 * Gray keeps its levels (with a clear entry 0 and 1 are one level). Colours stay exact where there are few enough;
 * else the palette comes from splitting the colour space where it varies most, and the error of each pixel is
 * diffused (Floyd and Steinberg, rows in alternating direction).
 */
struct palette {
	uint8_t rgb[256][3];
	int n;
	int clear;                     /* the clear entry, -1 if there is none */
};

/* One byte a pixel, row by row; NULL with 503. The image is gray or RGB, perhaps with alpha. */
uint8_t *palette_make(struct arena *a, const struct image *image, bool bitonal, struct palette *out, struct error *err);

/* Bytes that palette_make takes. */
uint64_t palette_memory(uint32_t w, uint32_t h);

#endif
