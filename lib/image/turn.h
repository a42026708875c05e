/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TURN_H
#define IMAGE_TURN_H

#include "pixels.h"

/*
 * Turns a picture clockwise by any angle (digest 4), without scaling: out is the w x h bounding box around the same
 * centre. in is gray or RGB with planes of equal geometry, its colours multiplied by alpha; out always has alpha, 0 in
 * the corners. Bicubic (Catmull-Rom). The planes of in are dropped.
 */
bool turn_freely(struct arena *a, struct image *in, double degrees, uint32_t w, uint32_t h, struct image *out,
		 struct error *err);

/* Bytes that turn_freely needs beyond its input. */
uint64_t turn_memory(uint32_t in_w, uint32_t in_h, uint32_t w, uint32_t h, bool gray);

#endif
