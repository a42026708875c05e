/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_CODED_COLOUR_H
#define IMAGE_CODED_COLOUR_H

#include "profile.h"

/*
 * Colours by the code points of ITU-T H.273, as PNG's cICP and HEIF's nclx have them, and by numbers.
 */
enum { TRANSFER_PQ = 16, TRANSFER_HLG = 18 };

extern const struct encoding srgb_encoding;

/* False where these codes of primaries and transfer mean nothing here. */
bool coded_colour(int primaries, int transfer, struct encoding *e);

/* Its profile; empty where what it says is sRGB, or what programs write for that. False without memory. */
bool encoding_profile(struct arena *a, enum model model, const struct encoding *e, struct str *icc, struct error *err);

#endif
