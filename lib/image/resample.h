/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_RESAMPLE_H
#define IMAGE_RESAMPLE_H

#include "weigh.h"

/*
 * Resamples one plane: out gets across.n x down.n samples (out->at, stride, w, h are set by the
 * caller: w == across.n, h == down.n; its mapping is not looked at). The filter is separable; when
 * reducing it is widened by |step| / dx. Windows are exact to the fraction of a sample. Weights of
 * each output sample add up to one; window places beyond the plane's edge replicate the edge
 * sample (the decoder's contract makes that the image's edge). An axis whose step equals the
 * plane's and whose phase falls on samples is copied, so equal input and output grids give equal
 * bytes. Results are within 1 of a float evaluation. Scratch memory is taken from a and dropped.
 */
bool resample(struct arena *a, const struct plane *in, struct axis across, struct axis down,
	      enum filter filter, struct plane *out, struct error *err);

/*
 * The same in linear light, of sRGB samples. opacity, or NULL, is that of the colour, which is not multiplied by it: on
 * in's grid, and as it has been resampled already, on out's. Both may be NULL.
 */
bool resample_light(struct arena *a, const struct plane *in, const struct plane *opacity, struct axis across,
		    struct axis down, enum filter filter, struct plane *out, const struct plane *out_opacity,
		    struct error *err);

/* Whether resample will just copy. */
bool resample_copies(const struct plane *in, struct axis across, struct axis down);

/* Either, of a weighing whose planes and light are set, and by these sums: the others take the fastest ones that this
 * processor has. */
bool resample_by(weigh_function *weigh, struct arena *a, struct weighing *w, struct axis across, struct axis down,
		 enum filter filter, struct error *err);

weigh_function *resample_fastest(void);
weigh_function *resample_light_fastest(void);

/* Scratch bytes for one axis of n output samples made of a region of so many input samples, at the
 * most: of any filter. */
uint64_t resample_memory(uint64_t samples, uint32_t n);

#endif
