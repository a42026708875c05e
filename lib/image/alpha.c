/* SPDX-License-Identifier: BSD-2-Clause */
#include "alpha.h"

#include "colour.h"

static uint8_t part(unsigned v, unsigned alpha)
{
	return (uint8_t)((v * alpha + 127) / 255);
}

void alpha_multiply(struct image *image)
{
	const struct plane *o = &image->plane[image->n];
	for (int i = 0; image->alpha && i < image->n; i++)
		for (uint32_t y = 0; y < o->h; y++) {
			uint8_t *to = image->plane[i].at + y * image->plane[i].stride;
			const uint8_t *alpha = o->at + y * o->stride;
			for (uint32_t x = 0; x < o->w; x++)
				to[x] = part(to[x], alpha[x]);
		}
}

static void divide_deep(const uint8_t *opacity, uint8_t *colour, uint32_t n)
{
	const uint16_t *alpha = (const uint16_t *)opacity;
	uint16_t *to = (uint16_t *)colour;
	for (uint32_t x = 0; x < n; x++) {
		unsigned v = alpha[x] ? (to[x] * 65535u + alpha[x] / 2) / alpha[x] : 0;
		to[x] = v > 65535 ? 65535 : (uint16_t)v;
	}
}

void alpha_divide(struct image *image)
{
	const struct plane *o = &image->plane[image->n];
	for (int i = 0; image->alpha && i < image->n; i++)
		for (uint32_t y = 0; y < o->h; y++) {
			uint8_t *to = image->plane[i].at + y * image->plane[i].stride;
			const uint8_t *alpha = o->at + y * o->stride;
			if (image->deep)
				divide_deep(alpha, to, o->w);
			for (uint32_t x = 0; !image->deep && x < o->w; x++) {
				unsigned v = alpha[x] ? (to[x] * 255u + alpha[x] / 2) / alpha[x] : 0;
				to[x] = v > 255 ? 255 : (uint8_t)v;
			}
		}
}

void alpha_flatten(struct image *image, uint32_t background)
{
	const struct plane *o = &image->plane[image->n];
	uint8_t colour[3] = {(uint8_t)(background >> 16), (uint8_t)(background >> 8), (uint8_t)background};
	if (image->n == 1)
		colour[0] = colour_luma(colour[0], colour[1], colour[2]);
	for (int i = 0; image->alpha && i < image->n; i++)
		for (uint32_t y = 0; y < o->h; y++) {
			uint8_t *to = image->plane[i].at + y * image->plane[i].stride;
			const uint8_t *alpha = o->at + y * o->stride;
			for (uint32_t x = 0; x < o->w; x++) {
				/* The filter may leave a colour above its opacity. */
				unsigned v = to[x] + part(colour[i], 255u - alpha[x]);
				to[x] = v > 255 ? 255 : (uint8_t)v;
			}
		}
	image->alpha = false;
}
