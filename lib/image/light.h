/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_LIGHT_H
#define IMAGE_LIGHT_H

#include <stdint.h>

/* The sRGB curve (IEC 61966-2-1): from bytes to light, which is 0 to 1, and back to the nearest byte. */
#define LIGHT_CELLS 4096       /* so narrow that no more than one byte begins in each */

struct light {
	float of[256];
	float from[257];       /* each byte begins at this light: halfway, along the curve, from the byte before */
	uint8_t at[LIGHT_CELLS + 1];   /* the byte at the start of each cell */
};

/* Made once in a process, by arithmetic that is the same on every processor. */
const struct light *light_table(void);

static inline uint8_t light_byte(const struct light *l, float light)
{
	light = light > 0 ? light : 0;
	light = light < 1 ? light : 1;
	uint8_t b = l->at[(int)(light * LIGHT_CELLS)];
	return (uint8_t)(b + (light >= l->from[b + 1]));
}

#endif
