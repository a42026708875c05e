/* SPDX-License-Identifier: BSD-2-Clause */
#include "light.h"

#include <stdbool.h>

/* Newton's way, from above; of numbers from 0.004 to 1. The library's power is fused on some processors. */
static double fifth_root(double x)
{
	double r = 1;
	for (int i = 0; i < 20; i++)
		r -= (r - x / (r * r * r * r)) / 5;
	return r;
}

static double light_of(double v)
{
	if (v <= 0.04045)
		return v / 12.92;
	/* To the power of 12/5. */
	double base = (v + 0.055) / 1.055, square = base * base;
	return square * fifth_root(square);
}

const struct light *light_table(void)
{
	static struct light l;
	static bool made;
	if (made)
		return &l;
	for (int b = 0; b < 256; b++) {
		l.of[b] = (float)light_of(b / 255.0);
		l.from[b] = (float)light_of((b - 0.5) / 255);
	}
	l.from[256] = 2;
	for (int cell = 0, b = 0; cell <= LIGHT_CELLS; cell++) {
		while ((float)cell / LIGHT_CELLS >= l.from[b + 1])
			b++;
		l.at[cell] = (uint8_t)b;
	}
	made = true;
	return &l;
}
