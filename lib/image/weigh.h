/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_WEIGH_H
#define IMAGE_WEIGH_H

#include "light.h"
#include "pixels.h"
#include "windows.h"

/*
 * The resampler's sums. weigh.c and weigh_light.c are compiled once for each instruction set (CMakeLists.txt); all give
 * the same bytes.
 */
struct weighing {
	const struct plane *in;
	struct plane *out;
	/* Not NULL: light is weighed, not bytes. A colour counts as much as its opacity, if that is not NULL, says, and is
	 * divided by what has already become of the opacity. */
	const struct light *light;
	const struct plane *opacity, *out_opacity;
	struct windows across, down;
	void *scratch;                 /* weigh_scratch(across.room, in->w) bytes, zeros */
};

typedef bool weigh_function(const struct weighing *w, struct error *err);

/* Of bytes. scalar: without vectors, built for tests only. */
weigh_function weigh_plain, weigh_avx2, weigh_vnni, weigh_scalar;
/* Of light. */
weigh_function weigh_light_plain, weigh_light_avx2;

#define WEIGH_ROWS 16          /* output rows that are made together */
#define WEIGH_PAIRS 24         /* pairs of input rows that are worked on at a time */

/* Samples across that are worked on at a time: whole vectors, and several windows. */
static inline size_t weigh_columns(size_t room, size_t in_w)
{
	size_t n = 512 + 4 * room;
	return ((n < in_w ? n : in_w) + 63) / 64 * 64;
}

/* Of either: WEIGH_PAIRS + WEIGH_ROWS + WEIGH_ROWS rows of 32 bits, and half a window more of columns. */
static inline size_t weigh_scratch(size_t room, size_t in_w)
{
	return (weigh_columns(room, in_w) * (WEIGH_PAIRS + 2 * WEIGH_ROWS) + room / 2 * WEIGH_ROWS) * sizeof(int32_t);
}

#endif
