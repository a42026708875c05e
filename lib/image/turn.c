/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each output sample is looked up where it came from: the output's centre and the input's are the same point, and the
 * inverse turn leads from one to the other. The four by four samples around that place are weighed by a table of cubic
 * kernels for 256 phases. A frame of zeros around the input stands for what lies outside, so that edges fade into
 * transparency over one sample, and no look-up needs a check of bounds.
 */
#include "turn.h"

#include <math.h>
#include <string.h>

#include "../base/deadline.h"

#define TAPS 4
#define FRAME 3
#define PHASES 256
#define ONE (1 << 12)

struct kernel {
	int16_t weight[PHASES][TAPS];
};

static double catmull_rom(double x)
{
	x = fabs(x);
	return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/* Weights add up to ONE exactly: a flat picture stays flat. */
static void make_kernel(struct kernel *k)
{
	for (int p = 0; p < PHASES; p++) {
		int sum = 0;
		for (int t = 0; t < TAPS; t++) {
			k->weight[p][t] = (int16_t)lround(catmull_rom(t - 1 - (double)p / PHASES) * ONE);
			sum += k->weight[p][t];
		}
		k->weight[p][p < PHASES / 2 ? 1 : 2] += (int16_t)(ONE - sum);
	}
}

struct framed {
	uint8_t *at;
	size_t stride;
};

/* The plane in its frame of zeros; without a plane, full opacity. */
static bool frame(struct arena *a, const struct plane *p, uint32_t w, uint32_t h, struct framed *f, struct error *err)
{
	f->stride = (size_t)w + 2 * FRAME;
	f->at = arena_block(a, f->stride * ((size_t)h + 2 * FRAME), err);
	for (uint32_t y = 0; f->at && y < h; y++) {
		uint8_t *row = f->at + (y + FRAME) * f->stride + FRAME;
		if (p)
			memcpy(row, p->at + y * p->stride, w);
		else
			memset(row, 255, w);
	}
	return f->at != NULL;
}

static uint8_t look_up(const struct framed *f, const struct kernel *k, int64_t x, int64_t y)
{
	const int16_t *across = k->weight[(x >> 8) & (PHASES - 1)], *down = k->weight[(y >> 8) & (PHASES - 1)];
	const uint8_t *at = f->at + (size_t)((y >> 16) + FRAME - 1) * f->stride + (size_t)((x >> 16) + FRAME - 1);
	int sum = 0;
	for (int t = 0; t < TAPS; t++, at += f->stride)
		sum += down[t] * ((across[0] * at[0] + across[1] * at[1] + across[2] * at[2] + across[3] * at[3]) >> 6);
	sum = (sum + (1 << 17)) >> 18;
	return sum < 0 ? 0 : sum > 255 ? 255 : (uint8_t)sum;
}

/* Places are fixed-point numbers of 16 bits behind the point, of the centre of the first tap's sample. */
static bool turn_plane(const struct framed *f, const struct kernel *k, double degrees, uint32_t in_w, uint32_t in_h,
		       struct plane *out, struct error *err)
{
	double angle = degrees * M_PI / 180, c = cos(angle), s = sin(angle);
	int64_t step_x = llround(c * 65536), step_y = llround(-s * 65536);
	int64_t end_x = ((int64_t)in_w + 1) << 16, end_y = ((int64_t)in_h + 1) << 16;
	for (uint32_t j = 0; j < out->h; j++) {
		if (!deadline_check(err))
			return false;
		double right = 0.5 - out->w / 2.0, below = j + 0.5 - out->h / 2.0;
		int64_t x = llround((c * right + s * below + in_w / 2.0 - 0.5) * 65536);
		int64_t y = llround((c * below - s * right + in_h / 2.0 - 0.5) * 65536);
		uint8_t *row = out->at + j * out->stride;
		for (uint32_t i = 0; i < out->w; i++, x += step_x, y += step_y)
			if (x > -2 * 65536 && y > -2 * 65536 && x < end_x && y < end_y)
				row[i] = look_up(f, k, x, y);
	}
	return true;
}

/* The kernel overshoots: no colour may be above its opacity. */
static void keep_below(struct plane *p, const struct plane *alpha)
{
	for (uint32_t y = 0; y < p->h; y++) {
		uint8_t *row = p->at + y * p->stride;
		const uint8_t *most = alpha->at + y * alpha->stride;
		for (uint32_t x = 0; x < p->w; x++)
			row[x] = row[x] < most[x] ? row[x] : most[x];
	}
}

bool turn_freely(struct arena *a, struct image *in, double degrees, uint32_t w, uint32_t h, struct image *out,
		 struct error *err)
{
	struct kernel kernel;
	uint32_t in_w = in->plane[0].w, in_h = in->plane[0].h;
	make_kernel(&kernel);
	*out = (struct image){0};
	if (!image_alloc(a, out, in->model, true, (struct rect){0, 0, w, h}, err))
		return false;
	for (int i = 0; i <= in->n; i++) {
		struct framed f;
		bool there = i < image_planes(in);
		if (!frame(a, there ? &in->plane[i] : NULL, in_w, in_h, &f, err))
			return false;
		if (there)
			arena_drop_block(a, in->plane[i].at);
		if (!turn_plane(&f, &kernel, degrees, in_w, in_h, &out->plane[i], err))
			return false;
		arena_drop_block(a, f.at);
	}
	for (int i = 0; i < out->n; i++)
		keep_below(&out->plane[i], &out->plane[out->n]);
	return true;
}

uint64_t turn_memory(uint32_t in_w, uint32_t in_h, uint32_t w, uint32_t h, bool gray)
{
	return ((uint64_t)in_w + 2 * FRAME) * ((uint64_t)in_h + 2 * FRAME) +
	       image_bytes(gray ? MODEL_GRAY : MODEL_RGB, true, (struct rect){0, 0, w, h});
}
