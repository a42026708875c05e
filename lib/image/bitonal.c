/* SPDX-License-Identifier: BSD-2-Clause */
#include "bitonal.h"

#include <string.h>

static void threshold(struct plane *p)
{
	for (uint32_t y = 0; y < p->h; y++) {
		uint8_t *row = p->at + y * p->stride;
		for (uint32_t x = 0; x < p->w; x++)
			row[x] = row[x] < 128 ? 0 : 255;
	}
}

/* errors: what is owed to this row and the next, in sixteenths, with a place beyond either end. */
static void diffuse_row(uint8_t *row, uint32_t n, bool backwards, int *here, int *below)
{
	int step = backwards ? -1 : 1;
	int *owed = here + 1, *next = below + 1;
	for (uint32_t k = 0; k < n; k++) {
		int64_t x = backwards ? (int64_t)n - 1 - k : k;
		int v = row[x] * 16 + owed[x];
		row[x] = v < 128 * 16 ? 0 : 255;
		int error = v - row[x] * 16;
		int seven = error * 7 / 16, three = error * 3 / 16, five = error * 5 / 16;
		owed[x + step] += seven;
		next[x - step] += three;
		next[x] += five;
		next[x + step] += error - seven - three - five;
	}
}

void bitonal(struct image *image, bool dither)
{
	struct plane *p = &image->plane[0];
	if (!dither) {
		threshold(p);
		return;
	}
	struct arena *scratch = arena_open();
	size_t n = (size_t)p->w + 2;
	int *here = arena_array(scratch, int, n), *below = arena_array(scratch, int, n);
	for (uint32_t y = 0; y < p->h; y++) {
		diffuse_row(p->at + y * p->stride, p->w, y & 1, here, below);
		int *done = here;
		here = below;
		below = done;
		memset(below, 0, n * sizeof *below);
	}
	arena_close(scratch);
}
