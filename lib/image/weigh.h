/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_WEIGH_H
#define IMAGE_WEIGH_H

#include "light.h"
#include "pixels.h"
#include "windows.h"

/*
 * The resampler's sums. weigh.c is compiled once for each instruction set (CMakeLists.txt); all give the same bytes.
 */
struct weighing {
	const struct plane *in;
	struct plane *out;
	/* Not NULL: light is weighed, not bytes. A colour counts as much as its opacity, if that is not NULL, says, and is
	 * divided by what has already become of the opacity. */
	const struct light *light;
	const struct plane *opacity, *out_opacity;
	struct windows across, down;
	float *scratch;                /* weigh_scratch(across.room, in->w) bytes, zeros */
};

typedef bool weigh_function(const struct weighing *w, struct error *err);

/* scalar: without vectors, built for test/bench/resample.c only. */
weigh_function weigh_plain, weigh_avx2, weigh_scalar;

#define WEIGH_ROWS 16          /* output rows that are made together */
#define WEIGH_GROUP 8          /* input rows that are floats at a time */

/* Samples across that are worked on at a time: whole vectors, and several windows. */
static inline size_t weigh_columns(size_t room, size_t in_w)
{
	size_t n = 512 + 4 * room;
	return ((n < in_w ? n : in_w) + 63) / 64 * 64;
}

static inline size_t weigh_scratch(size_t room, size_t in_w)
{
	return weigh_columns(room, in_w) * (WEIGH_GROUP + 2 * WEIGH_ROWS) * sizeof(float);
}

#endif
