/* SPDX-License-Identifier: BSD-2-Clause */
#include "colour.h"

#include <string.h>

#include "../base/deadline.h"
#include "press.h"
#include "profile.h"
#include "resample.h"
#include "rows.h"

#define ROW_PIXELS 2048

/* ICC.1:2001-04, 6.1: the place of the colour space in the header. */
#define ICC_HEAD_BYTES 128
#define ICC_SPACE 16

typedef void row_function(uint8_t *restrict a, uint8_t *restrict b, uint8_t *restrict c, uint32_t n);

static void each_row(struct image *image, row_function *change)
{
	struct plane *p = image->plane;
	for (uint32_t y = 0; y < p[0].h; y++)
		change(p[0].at + y * p[0].stride, p[1].at + y * p[1].stride, p[2].at + y * p[2].stride, p[0].w);
}

void colour_ycc_to_rgb(struct image *image)
{
	each_row(image, rows_fastest()->ycc_to_rgb);
	image->model = MODEL_RGB;
}

void colour_rgb_to_ycc(struct image *image)
{
	each_row(image, rows_fastest()->rgb_to_ycc);
	image->model = MODEL_YCC;
}

uint8_t colour_luma(uint8_t r, uint8_t g, uint8_t b)
{
	return (uint8_t)ROWS_LUMA(r, g, b);
}

static void keep_luma(struct image *image)
{
	each_row(image, rows_fastest()->to_luma);
	image->model = MODEL_GRAY;
	image->n = 1;
	image->plane[1] = image->plane[3];
}

bool colour_level(struct arena *a, struct image *image, struct error *err)
{
	const struct plane *l = &image->plane[0];
	struct axis across = {l->x, l->dx, l->w}, down = {l->y, l->dy, l->h};
	for (int i = 1; i < image->n; i++) {
		struct plane *p = &image->plane[i], up = *l;
		if (p->w == l->w && p->h == l->h && p->dx == l->dx && p->dy == l->dy)
			continue;
		if (!plane_room(a, &up, l->w, l->h, err) ||
		    !resample(a, p, across, down, FILTER_TRIANGLE, &up, err))
			return false;
		arena_drop_block(a, p->at);
		*p = up;
	}
	return true;
}

bool colour_to_rgb(struct arena *a, struct image *image, struct error *err)
{
	if (!colour_level(a, image, err))
		return false;
	colour_ycc_to_rgb(image);
	return true;
}

/* Each sample's upper half, rounded, in the rows' own memory. */
static void shrink(struct image *image)
{
	for (int i = 0; image->deep && i < image_planes(image); i++) {
		struct plane *p = &image->plane[i];
		for (uint32_t y = 0; y < p->h; y++) {
			uint8_t *to = p->at + y * p->stride;
			const uint16_t *from = (const uint16_t *)to;
			for (uint32_t x = 0; x < p->w; x++)
				to[x] = (uint8_t)((from[x] * 255u + 32895) >> 16);
		}
	}
	image->deep = false;
}

/* n samples of each colour plane, interleaved. */
static void gather(const struct image *image, uint32_t x, uint32_t y, uint32_t n, void *run)
{
	size_t step = (size_t)image->n;
	for (int c = 0; c < image->n; c++) {
		const uint8_t *row = image->plane[c].at + y * image->plane[c].stride;
		if (image->deep)
			for (uint32_t i = 0; i < n; i++)
				((uint16_t *)run)[i * step + (size_t)c] = ((const uint16_t *)row)[x + i];
		else
			for (uint32_t i = 0; i < n; i++)
				((uint8_t *)run)[i * step + (size_t)c] = row[x + i];
	}
}

/*
 * The colour planes through the profile or the press, to 8-bit gray or RGB. In place: of a deep row, what is written
 * ends before what is still to be read.
 */
static bool convert(struct image *image, const struct conversion *profile, struct error *err)
{
	uint16_t in[ROW_PIXELS * 4];
	uint8_t out[ROW_PIXELS * 3];
	struct plane *p = image->plane, opacity = p[image->n];
	enum model model = image->model == MODEL_GRAY ? MODEL_GRAY : MODEL_RGB;
	size_t n = (size_t)model_planes(model);

	for (uint32_t y = 0; y < p[0].h; y++) {
		if (!deadline_check(err))
			return false;
		for (uint32_t x = 0; x < p[0].w; x += ROW_PIXELS) {
			uint32_t m = p[0].w - x < ROW_PIXELS ? p[0].w - x : ROW_PIXELS;
			gather(image, x, y, m, in);
			if (profile)
				profile_convert(profile, in, out, m);
			else
				press_convert((const uint8_t *)in, out, m);
			for (size_t c = 0; c < n; c++)
				for (uint32_t i = 0; i < m; i++)
					p[c].at[y * p[c].stride + x + i] = out[i * n + c];
		}
	}
	/* Opacity has not been converted: it is still as deep as it was. */
	struct image rest = {.n = 1, .deep = image->deep, .plane = {opacity}};
	if (image->alpha)
		shrink(&rest);
	image->model = model;
	image->n = (int)n;
	image->deep = false;
	p[n] = opacity;
	return true;
}

static void make_gray(struct image *image)
{
	if (image->model == MODEL_RGB)
		keep_luma(image);
	if (image->model == MODEL_YCC) {
		image->model = MODEL_GRAY;
		image->n = 1;
	}
}

bool colour_to_srgb(struct arena *a, struct image *image, bool gray, struct error *err)
{
	const struct conversion *profile = profile_find(image);
	if (profile && image->model == MODEL_YCC && !colour_to_rgb(a, image, err))
		return false;
	if (!profile)
		shrink(image);
	if ((profile || image->model == MODEL_CMYK) && !convert(image, profile, err))
		return false;
	image->icc = NULL;
	image->icc_bytes = 0;
	image->icc_hash = NULL;
	if (gray)
		make_gray(image);
	return true;
}

bool colour_as_it_is(struct arena *a, struct image *image, bool gray, struct error *err)
{
	if (image->model == MODEL_CMYK || image->model == MODEL_LAB)
		return colour_to_srgb(a, image, gray, err);
	shrink(image);
	if (gray)
		make_gray(image);
	return true;
}

bool colour_is_converted(const struct picture *p, enum model model)
{
	return profile_find(&(struct image){.model = model, .icc = p->icc, .icc_bytes = p->icc_bytes, .icc_hash = p->icc_hash});
}

bool colour_luma_suffices(const struct picture *p)
{
	/* A profile for other models is none of YCbCr's. */
	return p->icc_bytes < ICC_HEAD_BYTES || memcmp(p->icc + ICC_SPACE, "RGB ", 4) != 0 ||
	       !colour_is_converted(p, MODEL_RGB);
}

uint64_t colour_memory(bool has_profile, uint64_t samples)
{
	return has_profile ? samples * 3 : 0;
}
