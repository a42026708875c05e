/* SPDX-License-Identifier: BSD-2-Clause */
#include "press.h"

#include <math.h>

/* The square root of linear sRGB, where the primaries are mixed. */
#define ONE 4096

/* Bit 0 is cyan, 1 magenta, 2 yellow, 3 black. Below 0 is what sRGB cannot show. */
static const int16_t primaries[16][3] = {
	{4096, 4096, 4096}, {-814, 2665, 3805}, {3751, 530, 2098}, {677, 704, 2196},
	{4096, 3860, 528},  {-91, 2529, 1160},	{3769, 441, 544},  {787, 787, 829},
	{531, 479, 492},    {-341, 271, 531},	{531, -193, 228},  {8, -227, 71},
	{429, 416, -78},    {-333, 319, 0},	{518, -54, -284},  {0, 0, 0},
};

static void make_curve(uint8_t curve[ONE + 1])
{
	for (int i = 0; i <= ONE; i++) {
		double light = (double)i / ONE * i / ONE;
		double value = light <= 0.0031308 ? light * 12.92 : 1.055 * pow(light, 1 / 2.4) - 0.055;
		curve[i] = (uint8_t)(value * 255 + 0.5);
	}
}

void press_convert(const uint8_t *cmyk, uint8_t *rgb, uint32_t n)
{
	static uint8_t curve[ONE + 1];
	if (!curve[ONE])
		make_curve(curve);
	for (uint32_t i = 0; i < n; i++, cmyk += 4, rgb += 3) {
		/* The spots' shares of the paper: of three inks, with 16 bits behind the point, then of black. */
		int c = cmyk[0], m = cmyk[1], y = cmyk[2], k = cmyk[3], share[8];
		for (int spot = 0; spot < 8; spot++)
			share[spot] = (spot & 1 ? c : 255 - c) * (spot & 2 ? m : 255 - m) * (spot & 4 ? y : 255 - y) / 253;
		for (int channel = 0; channel < 3; channel++) {
			int64_t bare = 0, black = 0;
			for (int spot = 0; spot < 8; spot++) {
				bare += share[spot] * primaries[spot][channel];
				black += share[spot] * primaries[spot + 8][channel];
			}
			int64_t v = (bare * (255 - k) + black * k) / (INT64_C(255) * (255 * 255 * 255 / 253));
			rgb[channel] = curve[v < 0 ? 0 : v > ONE ? ONE : v];
		}
	}
}
