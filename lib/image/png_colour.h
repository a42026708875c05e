/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_PNG_COLOUR_H
#define IMAGE_PNG_COLOUR_H

#include "decoder.h"

/*
 * What the chunks of a PNG say of its colours, as p's profile. The first of these counts (PNG, third edition, 4.3):
 * cICP; iCCP, which is in p already where libpng found it good; sRGB; gAMA and cHRM. Chunks with a wrong CRC, and cICP
 * of values that mean nothing here, do not count. 501 for PQ, HLG and samples of video's narrow range.
 */
bool png_colour_find(struct arena *a, struct picture *p, struct error *err);

#endif
