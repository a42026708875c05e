/* SPDX-License-Identifier: BSD-2-Clause */
#include "coded_colour.h"

#include <math.h>

/* What programs write for sRGB: 2.2, rounded by some. */
#define SRGB_GAMMA 2.2
#define GAMMA_TOLERANCE 0.05
#define XY_TOLERANCE 0.005

const struct encoding srgb_encoding = {
	.xy = {{.64, .33}, {.30, .60}, {.15, .06}, {.3127, .3290}},
	.curve = {2.4, 1 / 1.055, .055 / 1.055, 1 / 12.92, .04045},
};

/* ITU-T H.273, table 2. */
static const struct {
	uint8_t code;
	double xy[4][2];
} primaries[] = {
	{1, {{.640, .330}, {.300, .600}, {.150, .060}, {.3127, .3290}}},
	{4, {{.67, .33}, {.21, .71}, {.14, .08}, {.310, .316}}},
	{5, {{.64, .33}, {.29, .60}, {.15, .06}, {.3127, .3290}}},
	{6, {{.630, .340}, {.310, .595}, {.155, .070}, {.3127, .3290}}},
	{7, {{.630, .340}, {.310, .595}, {.155, .070}, {.3127, .3290}}},
	{8, {{.681, .319}, {.243, .692}, {.145, .049}, {.310, .316}}},
	{9, {{.708, .292}, {.170, .797}, {.131, .046}, {.3127, .3290}}},
	{11, {{.680, .320}, {.265, .690}, {.150, .060}, {.314, .351}}},
	{12, {{.680, .320}, {.265, .690}, {.150, .060}, {.3127, .3290}}},
	{22, {{.630, .340}, {.295, .605}, {.155, .077}, {.3127, .3290}}},
};

/* The same, table 3, turned to give light. */
#define BT709 {1 / .45, 1 / 1.099296827, .099296827 / 1.099296827, 1 / 4.5, .081242858}
static const struct {
	uint8_t code;
	double curve[5];
} transfers[] = {
	{1, BT709}, {4, {2.2, 1}}, {5, {2.8, 1}}, {6, BT709}, {7, {1 / .45, 1 / 1.1115, .1115 / 1.1115, .25, .0912}},
	{8, {1, 1}}, {13, {2.4, 1 / 1.055, .055 / 1.055, 1 / 12.92, .04045}}, {14, BT709}, {15, BT709},
};

static bool is_srgb(const struct encoding *e)
{
	for (int i = 0; i < 8; i++)
		if (fabs(e->xy[i / 2][i % 2] - srgb_encoding.xy[i / 2][i % 2]) > XY_TOLERANCE)
			return false;
	return memcmp(e->curve, srgb_encoding.curve, sizeof e->curve) == 0 ||
	       (e->curve[1] == 1 && fabs(e->curve[0] / SRGB_GAMMA - 1) < GAMMA_TOLERANCE);
}

bool coded_colour(int colours, int transfer, struct encoding *e)
{
	bool has_colours = false, has_curve = false;
	for (size_t i = 0; i < sizeof primaries / sizeof *primaries; i++)
		if (primaries[i].code == colours) {
			memcpy(e->xy, primaries[i].xy, sizeof e->xy);
			has_colours = true;
		}
	for (size_t i = 0; i < sizeof transfers / sizeof *transfers; i++)
		if (transfers[i].code == transfer) {
			memcpy(e->curve, transfers[i].curve, sizeof e->curve);
			has_curve = true;
		}
	return has_colours && has_curve;
}

bool encoding_profile(struct arena *a, enum model model, const struct encoding *e, struct str *icc, struct error *err)
{
	*icc = (struct str){0};
	return is_srgb(e) || profile_make(a, model, e, icc, err);
}
