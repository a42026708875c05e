/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes.h"

#include <math.h>
#include <string.h>

/* The sums of a column stay within 16 bits, of deep samples and boxes within 32. */
#define LARGEST 256

uint32_t boxes_side(const struct wants *w, bool alpha)
{
	double side = fmin(w->step_x, w->step_y) / 2;
	return alpha || w->in_light || side < 2 ? 1 : side < LARGEST ? (uint32_t)side : LARGEST;
}

static void widen(uint32_t *at, uint32_t *n, uint32_t side, uint32_t most)
{
	uint32_t end = *at + *n, spare = end % side ? side - end % side : 0;
	end = spare < most - end ? end + spare : most;
	*at -= *at % side;
	*n = end - *at;
}

struct rect boxes_widen(struct rect part, uint32_t side, uint32_t w, uint32_t h)
{
	widen(&part.x, &part.w, side, w);
	widen(&part.y, &part.h, side, h);
	return part;
}

struct rect boxes_cover(const struct picture *p, const struct wants *w, uint32_t side)
{
	return boxes_widen(decoder_cover(p, w, side, side, 0, 0), side, p->stored_w, p->stored_h);
}

static struct rect grid(struct rect part, uint32_t side)
{
	return (struct rect){0, 0, (part.w + side - 1) / side, (part.h + side - 1) / side};
}

static size_t sum_bytes(bool deep)
{
	return deep ? sizeof(uint32_t) : sizeof(uint16_t);
}

bool boxes_open(struct arena *a, struct arena *scratch, struct boxes *b, enum model model, bool alpha, bool deep,
		struct error *err)
{
	if (!(deep ? image_alloc_deep : image_alloc)(a, b->out, model, alpha, grid(b->part, b->side), err))
		return false;
	for (int i = 0; i < image_planes(b->out); i++) {
		struct plane *p = &b->out->plane[i];
		p->x = b->part.x;
		p->y = b->part.y;
		p->dx = p->dy = b->side;
	}
	b->y = b->n = 0;
	b->sums = NULL;
	if (b->side > 1)
		b->sums = arena_block(scratch, (size_t)b->part.w * (size_t)b->channels * sum_bytes(deep), err);
	return b->side == 1 || b->sums;
}

static void add(uint16_t *restrict sums, const uint8_t *restrict samples, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sums[i] = (uint16_t)(sums[i] + samples[i]);
}

static void add_deep(uint32_t *restrict sums, const uint16_t *restrict samples, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sums[i] += samples[i];
}

/* Of so many columns, the first one's sum being at that place. */
static uint32_t box_sum(const struct boxes *b, size_t at, uint32_t columns)
{
	const uint32_t *deep = b->sums;
	const uint16_t *sums = b->sums;
	uint32_t sum = 0;
	for (uint32_t k = 0; k < columns; k++, at += (size_t)b->channels)
		sum += b->out->deep ? deep[at] : sums[at];
	return sum;
}

/* Of a row of boxes; the last one may be narrower. */
static void put_means(const struct boxes *b, int channel)
{
	const struct plane *p = &b->out->plane[channel];
	uint8_t *row = p->at + (b->y - 1) / b->side * p->stride;
	for (uint32_t x = 0; x < p->w; x++) {
		uint32_t from = x * b->side, left = b->part.w - from, columns = left < b->side ? left : b->side;
		uint32_t sum = box_sum(b, (size_t)from * (size_t)b->channels + (size_t)channel, columns);
		double mean = sum / (double)(columns * b->n) + 0.5;
		if (b->out->deep)
			((uint16_t *)row)[x] = (uint16_t)mean;
		else
			row[x] = (uint8_t)mean;
	}
}

void boxes_row(struct boxes *b, const void *samples)
{
	size_t n = (size_t)b->part.w * (size_t)b->channels;
	uint32_t y = b->y++;
	if (b->side == 1) {
		if (samples)
			image_put_part(b->out, 0, y, samples, b->part.w, b->channels);
		return;
	}
	if (samples && b->out->deep)
		add_deep(b->sums, samples, n);
	else if (samples)
		add(b->sums, samples, n);
	b->n += samples != NULL;
	if (b->y % b->side && b->y < b->part.h)
		return;
	for (int i = 0; b->n && i < image_planes(b->out); i++)
		put_means(b, i);
	memset(b->sums, 0, n * sum_bytes(b->out->deep));
	b->n = 0;
}

uint64_t boxes_memory(enum model model, bool alpha, bool deep, struct rect part, uint32_t side)
{
	uint64_t sums = side == 1 ? 0 : (uint64_t)part.w * (uint64_t)(model_planes(model) + alpha) * sum_bytes(deep);
	return image_bytes(model, alpha, grid(part, side)) * (deep ? 2 : 1) + sums;
}
