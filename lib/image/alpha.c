/* SPDX-License-Identifier: BSD-2-Clause */
#include "alpha.h"

#include "colour.h"

/* v * alpha / 255, to the nearest: without a division, so that loops are vectorised. */
static inline uint8_t part(uint16_t v, uint16_t alpha)
{
	uint16_t product = (uint16_t)(v * alpha + 128);
	return (uint8_t)((product + (product >> 8)) >> 8);
}

static void multiply_row(uint8_t *restrict to, const uint8_t *restrict alpha, uint32_t n)
{
	for (uint32_t x = 0; x < n; x++)
		to[x] = part(to[x], alpha[x]);
}

void alpha_multiply(struct image *image)
{
	const struct plane *o = &image->plane[image->n];
	for (int i = 0; image->alpha && i < image->n; i++)
		for (uint32_t y = 0; y < o->h; y++)
			multiply_row(image->plane[i].at + y * image->plane[i].stride, o->at + y * o->stride, o->w);
}

/* By floats, for those are divided in vectors: below 256 their quotient is exact enough to be cut off. */
static void divide_row(uint8_t *restrict to, const uint8_t *restrict alpha, uint32_t n)
{
	for (uint32_t x = 0; x < n; x++) {
		int v = (int)((float)(to[x] * 255 + alpha[x] / 2) / (float)(alpha[x] | !alpha[x]));
		v = v < 255 ? v : 255;
		to[x] = alpha[x] ? (uint8_t)v : 0;
	}
}

static void divide_deep_row(uint16_t *to, const uint16_t *alpha, uint32_t n)
{
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
				divide_deep_row((uint16_t *)to, (const uint16_t *)alpha, o->w);
			else
				divide_row(to, alpha, o->w);
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
