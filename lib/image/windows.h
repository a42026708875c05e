/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_WINDOWS_H
#define IMAGE_WINDOWS_H

#include "../base/arena.h"

enum filter { FILTER_LANCZOS3, FILTER_MITCHELL, FILTER_TRIANGLE };

/*
 * The output samples wanted along one axis, in full-image coordinates: sample i is centred at
 * start + (i + .5) step. A negative step reads the axis backwards (mirroring).
 */
struct axis {
	double start, step;
	uint32_t n;
};

/*
 * Which samples of a plane make each output sample along one axis, and with what weights: the filter around the
 * output sample's centre, widened by |step| / d when reducing, as whole numbers that add up to 2^WEIGHT_BITS. What falls
 * beyond the plane is added to the edge sample's weight.
 *
 * Weights come from the absolute position of the output sample, not from the window's origin, so a
 * tile and the full image use the same ones; and from arithmetic that is the same on every processor.
 */
#define WEIGHT_BITS 14

struct windows {
	uint32_t n;
	bool copy;                     /* every window is one sample of weight 1 */
	uint32_t *first, *taps;        /* of each output sample: its window's first sample, and how many it has */
	/* n times room, of the samples from the even one at or before the first on: zeros where the window does not
	 * reach. All pairs of samples from an even one on that a window reaches into are in its room. */
	int16_t *weights;
	size_t room;
	void *block;
};

/*
 * Of an axis over a plane of n samples, of which the first one begins at origin and each is d wide. Those of the last axes
 * that are not just copied are kept for this process, and are valid until as many as WINDOWS_KEPT others are asked for.
 */
#define WINDOWS_KEPT 8
bool windows_make(struct arena *a, struct axis axis, double origin, double d, uint32_t n, enum filter filter,
		  struct windows *w, struct error *err);

/* Whether the axis has the samples' step and phase. */
bool windows_copy(struct axis axis, double origin, double d);

void windows_drop(struct arena *a, struct windows *w);

/*
 * How many output samples from i on, at least one, have their windows within `most` samples, from an even one on; and
 * which: samples, an even number, from *from on. The last one may lie behind the plane; its weights are zero.
 */
uint32_t windows_strip(const struct windows *w, uint32_t i, size_t most, uint32_t *from, uint32_t *samples);

/* Bytes of windows for n output samples made of a region of so many samples, at the most: of any filter. */
uint64_t windows_memory(uint64_t samples, uint32_t n);

/* The most room of one among them. */
uint64_t windows_room(uint64_t samples, uint32_t n);

#endif
