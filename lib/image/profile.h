/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_PROFILE_H
#define IMAGE_PROFILE_H

#include "../base/str.h"
#include "pixels.h"

/*
 * ICC profiles, by lcms2: relative colorimetric with black point compensation.
 *
 * A conversion takes samples of an image's model and depth, interleaved, to 8-bit sRGB, or to gray with the sRGB curve.
 * Conversions are kept for the life of the process, by the profile's hash.
 */
struct conversion;

/*
 * What this image's samples need; NULL where they are right as they are: without a profile, with one within 2/255 of
 * sRGB on a 9x9x9 grid (gray: of the sRGB curve on a ramp), or with one that is broken or for another model, which is
 * ignored with a line in the log. MODEL_YCC asks for the conversion of its RGB. MODEL_LAB has one always, whatever
 * the profile. Valid until 16 others were asked for.
 */
const struct conversion *profile_find(const struct image *image);

/* How samples mean colours. Light is c v below v = d, else (a v + b)^g. */
struct encoding {
	double xy[4][2];               /* CIE 1931: red, green, blue, white; gray has but the curve */
	double curve[5];               /* g, a, b, c, d; a plain power is {g, 1} */
};

/* Its profile, the same for the same encoding, for MODEL_GRAY or MODEL_RGB. Empty where the values make no sense, with
 * a line in the log; false without memory. */
bool profile_make(struct arena *a, enum model model, const struct encoding *e, struct str *icc, struct error *err);

void profile_convert(const struct conversion *c, const void *in, uint8_t *out, uint32_t n);

#endif
