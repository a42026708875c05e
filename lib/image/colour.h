/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_COLOUR_H
#define IMAGE_COLOUR_H

#include "decoder.h"

/*
 * Makes 8-bit sRGB or gray of what a decoder delivered. Runs once, right after read and before any
 * resampling, so that a tile and the full image get the same colours.
 *
 * By the embedded profile (profile.h). YCbCr planes that are sRGB pass untouched; else they are brought to 4:4:4 RGB.
 * CMYK without a usable profile is printed (press.h). 16-bit samples are converted as such, then rounded. With gray
 * set, colours become gray.
 */
bool colour_to_srgb(struct arena *a, struct image *image, bool gray, struct error *err);

/* The same 8 bits, but gray, RGB and YCbCr keep their values and their profile. CMYK and Lab become sRGB all the same:
 * no answer could hold them. */
bool colour_as_it_is(struct arena *a, struct image *image, bool gray, struct error *err);

/* Whether a picture's colours, with its profile (none, or one that is as good as sRGB, or of no use), have the luma that
 * their YCbCr says: gray answers then need no chroma. */
bool colour_luma_suffices(const struct picture *p);

/* Whether colour_to_srgb would change its samples, of this model, for their profile. */
bool colour_is_converted(const struct picture *p, enum model model);

/* Bytes that either may add for planes of these many luma samples. */
uint64_t colour_memory(bool has_profile, uint64_t samples);

/* All planes of colour on the first one's grid, in new memory where they were not. */
bool colour_level(struct arena *a, struct image *image, struct error *err);

/* YCbCr whose chroma may have fewer samples: it gets luma's grid first. */
bool colour_to_rgb(struct arena *a, struct image *image, struct error *err);

/* The luma of sRGB samples (JFIF, BT.601). */
uint8_t colour_luma(uint8_t r, uint8_t g, uint8_t b);

/* The first three planes, of equal geometry, from one model to the other, in place (JFIF, BT.601). */
void colour_ycc_to_rgb(struct image *image);
void colour_rgb_to_ycc(struct image *image);

#endif
