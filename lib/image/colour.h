/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_COLOUR_H
#define IMAGE_COLOUR_H

#include "pixels.h"

/*
 * Makes 8-bit sRGB or gray of what a decoder delivered. Runs once, right after read and before any
 * resampling, so that a tile and the full image get the same colours.
 *
 * A profile within 2/255 of sRGB on a 9x9x9 grid (gray: of the sRGB curve on a ramp) is sRGB, and
 * YCbCr planes pass untouched. Else YCbCr is brought to 4:4:4 RGB and converted by lcms2. A profile
 * that lcms2 cannot use, or that is for another model, is ignored. With gray set, RGB becomes
 * gray. Transforms are kept for the life of the process, by the profile's hash.
 */
bool colour_to_srgb(struct arena *a, struct image *image, bool gray, struct error *err);

/* Bytes that colour_to_srgb may add for planes of these many luma samples. */
uint64_t colour_memory(bool has_profile, uint64_t samples);

/* The luma of sRGB samples (JFIF, BT.601). */
uint8_t colour_luma(uint8_t r, uint8_t g, uint8_t b);

/* The three planes, of equal geometry, from one model to the other, in place (JFIF, BT.601). */
void colour_ycc_to_rgb(struct image *image);
void colour_rgb_to_ycc(struct image *image);

#endif
