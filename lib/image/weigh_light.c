/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As weigh.c, but with floats, one sample at a time.
 *
 * Each sum is formed in the order of its samples, and multiply and add stay two operations (-ffp-contract=off): every
 * processor and every width of vectors gives the same bytes. Strong ETags may be compared between servers.
 */
#include "weigh.h"

#include <string.h>

#include "../base/deadline.h"

#ifndef WEIGH
#define WEIGH weigh_light_plain
#endif

#ifndef LANES
#ifdef __AVX2__
#define LANES 8
#else
#define LANES 4
#endif
#endif

#define ROWS WEIGH_ROWS
#define GROUP WEIGH_PAIRS
#define ONE (1 << WEIGHT_BITS)
#define UNROLL 4
#define STEP (UNROLL * LANES)

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));
typedef float quad __attribute__((vector_size(16), aligned(4)));

/* Of one strip; a row has room for `stride` samples. */
struct strip {
	const struct weighing *w;
	uint32_t x, n;                 /* output columns */
	uint32_t from, columns;        /* input columns */
	size_t stride;
	float *rows;                   /* GROUP of them: input */
	float *sums;                   /* ROWS of them */
	float *columns_of_sums;
};

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* The strip's part of an input row. */
static void read_row(const struct strip *s, uint32_t y, float *restrict row)
{
	const struct weighing *w = s->w;
	const uint8_t *in = w->in->at + y * w->in->stride + s->from;
	uint32_t n = least(s->columns, w->in->w - s->from);
	for (uint32_t x = 0; x < n; x++)
		row[x] = w->light->of[in[x]];
	if (!w->opacity)
		return;
	const uint8_t *opacity = w->opacity->at + y * w->opacity->stride + s->from;
	for (uint32_t x = 0; x < n; x++)
		row[x] *= opacity[x];
}

/* Adds rows, times their weights, to the sums, or makes them the sums. Whole steps: behind the last column is room. */
static void add_rows(const float *rows, size_t stride, const int16_t *weights, uint32_t n_rows, bool fresh,
		     uint32_t columns, float *sums)
{
	for (uint32_t x = 0; x < columns; x += STEP) {
		lanes s[UNROLL];
		for (int k = 0; k < UNROLL; k++)
			s[k] = fresh ? (lanes){0} : ((const lanes *)(sums + x))[k];
		for (uint32_t r = 0; r < n_rows; r++)
			for (int k = 0; k < UNROLL; k++)
				s[k] += (float)weights[r] * ((const lanes *)(rows + r * stride + x))[k];
		for (int k = 0; k < UNROLL; k++)
			((lanes *)(sums + x))[k] = s[k];
	}
}

static void sum_down(const struct strip *s, uint32_t y, uint32_t n)
{
	const struct windows *down = &s->w->down;
	const uint32_t *first = down->first + y, *taps = down->taps + y;
	uint32_t top = UINT32_MAX, bottom = 0;
	for (uint32_t k = 0; k < n; k++) {
		top = least(top, first[k]);
		bottom = most(bottom, first[k] + taps[k]);
	}
	for (uint32_t group = top; group < bottom; group += GROUP) {
		uint32_t end = least(group + GROUP, bottom);
		for (uint32_t r = group; r < end; r++)
			read_row(s, r, s->rows + (r - group) * s->stride);
		for (uint32_t k = 0; k < n; k++) {
			uint32_t here = most(first[k], group), there = least(first[k] + taps[k], end);
			if (here < there)
				add_rows(s->rows + (here - group) * s->stride, s->stride,
					 down->weights + (y + k) * down->room + first[k] % 2 + (here - first[k]), there - here,
					 here == first[k], s->columns, s->sums + k * s->stride);
		}
	}
}

/* Four by four samples at a time. */
static void lay_sums_on_side(const struct strip *s)
{
	for (uint32_t x = 0; x < s->columns; x += 4)
		for (uint32_t y = 0; y < ROWS; y += 4) {
			const float *from = s->sums + y * s->stride + x;
			float *to = s->columns_of_sums + x * ROWS + y;
			const quad a = *(const quad *)from, b = *(const quad *)(from + s->stride);
			const quad c = *(const quad *)(from + 2 * s->stride), d = *(const quad *)(from + 3 * s->stride);
			const quad ac = __builtin_shufflevector(a, c, 0, 4, 1, 5), bd = __builtin_shufflevector(b, d, 0, 4, 1, 5);
			const quad ca = __builtin_shufflevector(a, c, 2, 6, 3, 7), db = __builtin_shufflevector(b, d, 2, 6, 3, 7);
			*(quad *)to = __builtin_shufflevector(ac, bd, 0, 4, 1, 5);
			*(quad *)(to + ROWS) = __builtin_shufflevector(ac, bd, 2, 6, 3, 7);
			*(quad *)(to + 2 * ROWS) = __builtin_shufflevector(ca, db, 0, 4, 1, 5);
			*(quad *)(to + 3 * ROWS) = __builtin_shufflevector(ca, db, 2, 6, 3, 7);
		}
}

/* From n columns of sums, of output column x on: the first rows, which are output rows from y on. */
static void write_rows(const struct weighing *w, const float *sums, uint32_t x, uint32_t n, uint32_t y, uint32_t rows)
{
	for (uint32_t k = 0; k < rows; k++) {
		uint8_t *out = w->out->at + (y + k) * w->out->stride + x;
		const uint8_t *opacity = w->out_opacity ? w->out_opacity->at + (y + k) * w->out_opacity->stride + x : NULL;
		for (uint32_t i = 0; i < n; i++) {
			float v = sums[i * ROWS + k] * (1.0f / ONE / ONE);
			if (opacity)
				v = opacity[i] ? v / opacity[i] : 0;
			out[i] = light_byte(w->light, v);
		}
	}
}

/* n columns of the output from x on, at most ROWS. */
static void sum_across(const struct strip *s, uint32_t x, uint32_t n, float *sums)
{
	const struct windows *across = &s->w->across;
	for (uint32_t i = 0; i < n; i++) {
		const int16_t *weights = across->weights + (x + i) * across->room + across->first[x + i] % 2;
		const lanes *in = (const lanes *)(s->columns_of_sums + (across->first[x + i] - s->from) * ROWS);
		lanes sum[ROWS / LANES] = {0};
		for (uint32_t t = 0; t < across->taps[x + i]; t++, in += ROWS / LANES)
			for (int k = 0; k < ROWS / LANES; k++)
				sum[k] += (float)weights[t] * in[k];
		for (int k = 0; k < ROWS / LANES; k++)
			((lanes *)(sums + i * ROWS))[k] = sum[k];
	}
}

/* The strip's part of the output rows from y on, at most ROWS. */
static void make_rows(const struct strip *s, uint32_t y, uint32_t n)
{
	float sums[ROWS * ROWS];
	sum_down(s, y, n);
	lay_sums_on_side(s);
	for (uint32_t x = s->x; x < s->x + s->n; x += ROWS) {
		uint32_t m = least(ROWS, s->x + s->n - x);
		sum_across(s, x, m, sums);
		write_rows(s->w, sums, x, m, y, n);
	}
}

bool WEIGH(const struct weighing *w, struct error *err)
{
	size_t stride = weigh_columns(w->across.room, w->in->w);
	struct strip s = {.w = w, .stride = stride, .rows = w->scratch};
	s.sums = s.rows + GROUP * stride;
	s.columns_of_sums = s.sums + ROWS * stride;
	for (uint32_t x = 0; x < w->across.n; x += s.n) {
		s.x = x;
		s.n = windows_strip(&w->across, x, stride, &s.from, &s.columns);
		for (uint32_t y = 0; y < w->down.n; y += ROWS) {
			if (!deadline_check(err))
				return false;
			make_rows(&s, y, least(ROWS, w->down.n - y));
		}
	}
	return true;
}
