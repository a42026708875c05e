/* SPDX-License-Identifier: BSD-2-Clause */
#include "pixels.h"

#include <string.h>

#include "rows.h"

/* Where both have samples along one axis. */
static bool meet(uint64_t at, uint64_t n, uint64_t other, uint64_t m, uint32_t *both, uint32_t *both_n)
{
	uint64_t from = at > other ? at : other, end = at + n < other + m ? at + n : other + m;
	*both = (uint32_t)from;
	*both_n = from < end ? (uint32_t)(end - from) : 0;
	return *both_n > 0;
}

bool rect_meet(struct rect a, struct rect b, struct rect *both)
{
	return meet(a.x, a.w, b.x, b.w, &both->x, &both->w) && meet(a.y, a.h, b.y, b.h, &both->y, &both->h);
}

int model_planes(enum model model)
{
	return model == MODEL_GRAY ? 1 : model == MODEL_CMYK ? 4 : 3;
}

typedef void *alloc_function(struct arena *a, size_t n_bytes, struct error *err);

static bool alloc_samples(struct arena *a, struct plane *p, uint32_t w, uint32_t h, size_t bytes, alloc_function *alloc,
			  struct error *err)
{
	size_t stride = ((size_t)w * bytes + 63) & ~(size_t)63;
	p->w = w;
	p->h = h;
	p->stride = stride;
	p->at = alloc(a, stride * h, err);
	return p->at != NULL;
}

bool plane_alloc(struct arena *a, struct plane *p, uint32_t w, uint32_t h, struct error *err)
{
	return alloc_samples(a, p, w, h, 1, arena_block, err);
}

bool plane_room(struct arena *a, struct plane *p, uint32_t w, uint32_t h, struct error *err)
{
	return alloc_samples(a, p, w, h, 1, arena_room, err);
}

bool plane_alloc_deep(struct arena *a, struct plane *p, uint32_t w, uint32_t h, struct error *err)
{
	return alloc_samples(a, p, w, h, 2, arena_block, err);
}

void plane_invert(struct plane *p)
{
	for (uint32_t y = 0; y < p->h; y++)
		for (uint32_t x = 0; x < p->w; x++)
			p->at[y * p->stride + x] ^= 255;
}

static bool alloc_image(struct arena *a, struct image *out, enum model model, bool alpha, bool deep, struct rect part,
			struct error *err)
{
	out->model = model;
	out->n = model_planes(model);
	out->alpha = alpha;
	out->deep = deep;
	for (int i = 0; i < image_planes(out); i++) {
		struct plane *p = &out->plane[i];
		if (!alloc_samples(a, p, part.w, part.h, deep ? 2 : 1, arena_block, err))
			return false;
		p->x = part.x;
		p->y = part.y;
		p->dx = p->dy = 1;
	}
	return true;
}

bool image_alloc(struct arena *a, struct image *out, enum model model, bool alpha, struct rect part,
		 struct error *err)
{
	return alloc_image(a, out, model, alpha, false, part, err);
}

bool image_alloc_deep(struct arena *a, struct image *out, enum model model, bool alpha, struct rect part,
		      struct error *err)
{
	return alloc_image(a, out, model, alpha, true, part, err);
}

void image_put_part(struct image *image, uint32_t x, uint32_t row, const void *samples, uint32_t n, int channels)
{
	if (!image->deep && channels == image_planes(image) && (channels == 3 || channels == 4)) {
		uint8_t *to[4];
		for (int i = 0; i < channels; i++)
			to[i] = image->plane[i].at + row * image->plane[i].stride + x;
		rows_fastest()->split(samples, n, channels, to);
		return;
	}
	for (int i = 0; i < image_planes(image); i++) {
		const struct plane *p = &image->plane[i];
		if (image->deep) {
			uint16_t *to = (uint16_t *)(p->at + row * p->stride) + x;
			const uint16_t *from = (const uint16_t *)samples + i;
			for (uint32_t k = 0; k < n; k++, from += channels)
				to[k] = *from;
		} else {
			uint8_t *to = p->at + row * p->stride + x;
			const uint8_t *from = (const uint8_t *)samples + i;
			for (uint32_t k = 0; k < n; k++, from += channels)
				to[k] = *from;
		}
	}
}

void image_whiten_part(struct image *image, int i, struct rect samples)
{
	bool chroma = i && i < image->n && (image->model == MODEL_YCC || image->model == MODEL_LAB);
	uint8_t white = chroma ? 128 : image->model == MODEL_CMYK && i < image->n ? 0 : 255;
	/* Of deep samples both bytes are the same. */
	size_t bytes = image->deep ? 2 : 1;
	for (uint32_t y = samples.y; y < samples.y + samples.h; y++)
		memset(image->plane[i].at + y * image->plane[i].stride + samples.x * bytes, white, samples.w * bytes);
}

void image_whiten(struct image *image)
{
	for (int i = 0; i < image_planes(image); i++)
		image_whiten_part(image, i, (struct rect){0, 0, image->plane[i].w, image->plane[i].h});
}

const uint8_t *image_get_row(const struct image *image, uint32_t row, uint8_t *room)
{
	int n = image_planes(image);
	if (n == 1)
		return image->plane[0].at + row * image->plane[0].stride;
	if (n == 3 || n == 4) {
		const uint8_t *from[4];
		for (int i = 0; i < n; i++)
			from[i] = image->plane[i].at + row * image->plane[i].stride;
		rows_fastest()->join(from, image->plane[0].w, n, room);
		return room;
	}
	for (int i = 0; i < n; i++) {
		const uint8_t *from = image->plane[i].at + row * image->plane[i].stride;
		uint8_t *to = room + i;
		for (uint32_t x = 0; x < image->plane[i].w; x++, to += n)
			*to = from[x];
	}
	return room;
}

void image_get_bits(const struct image *image, uint32_t row, uint8_t *bits)
{
	const struct plane *p = &image->plane[0];
	const uint8_t *from = p->at + row * p->stride;
	for (uint32_t x = 0; x < p->w; x += 8) {
		unsigned byte = 0;
		for (uint32_t k = 0; k < 8; k++)
			byte = byte << 1 | (x + k < p->w && from[x + k] >= 128);
		bits[x / 8] = (uint8_t)byte;
	}
}

uint64_t image_bytes(enum model model, bool alpha, struct rect part)
{
	return ((uint64_t)part.w + 63) * part.h * (uint64_t)(model_planes(model) + alpha);
}
