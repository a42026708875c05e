/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_ROWS_H
#define IMAGE_ROWS_H

#include <stddef.h>
#include <stdint.h>

#define ROWS_MOST_BEFORE 8

/*
 * Loops over rows of 8-bit samples that every picture goes through. rows.c is compiled once for each instruction set
 * (CMakeLists.txt); all give the same bytes.
 */
struct rows {
	/* n pixels of interleaved channels to planes, and back; channels is 3 or 4. */
	void (*split)(const uint8_t *restrict from, uint32_t n, int channels, uint8_t *const to[]);
	void (*join)(const uint8_t *const from[], uint32_t n, int channels, uint8_t *restrict to);
	/* Each byte less the one `before` bytes before it; before the first ones are zeros. */
	void (*subtract)(const uint8_t *restrict from, size_t n, size_t before, uint8_t *restrict to);
	/* The way back, in place; before is at most ROWS_MOST_BEFORE. */
	void (*add)(uint8_t *at, size_t n, size_t before);
	/* In place (JFIF, BT.601); to_luma leaves it in r. */
	void (*to_luma)(uint8_t *restrict r, uint8_t *restrict g, uint8_t *restrict b, uint32_t n);
	void (*rgb_to_ycc)(uint8_t *restrict r, uint8_t *restrict g, uint8_t *restrict b, uint32_t n);
	void (*ycc_to_rgb)(uint8_t *restrict y, uint8_t *restrict cb, uint8_t *restrict cr, uint32_t n);
	/* Each sample of `to` is the mean of two neighbours of both rows, a quarter of their sum and of up: 2 rounds to the
	 * nearest, with 1 and 2 in turns that errs to neither side. to may be a. */
	void (*halve)(const uint8_t *a, const uint8_t *b, uint32_t n, int up, uint8_t *to);
};

extern const struct rows rows_plain, rows_avx2;

/* For the processor that this runs on. */
const struct rows *rows_fastest(void);

/* The JFIF matrices with 16 fraction bits. */
#define ROWS_FIX(x) ((int)((x) * 65536 + ((x) < 0 ? -0.5 : 0.5)))
#define ROWS_HALF 32768
#define ROWS_LUMA(r, g, b) ((ROWS_FIX(0.299) * (r) + ROWS_FIX(0.587) * (g) + ROWS_FIX(0.114) * (b) + ROWS_HALF) >> 16)

#endif
