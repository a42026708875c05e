/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A separable resampler: one output row at a time, first down, then across.
 *
 * Down: an output row is the weighted sum of the input rows in its window, a long contiguous loop
 * over 8-bit samples into one row of floats; input rows are read as often as windows overlap, but
 * from cache, and nothing but that one row is kept. Across: each output sample is the dot product
 * of its window of that row with its weights, padded with zeros to whole vectors.
 *
 * Floats keep both passes exact enough that only the last rounding shows. Multiply and add stay
 * two operations (-ffp-contract=off) and sums have a fixed order, so every processor and every
 * vector width gives the same bytes: strong ETags may be compared between servers.
 *
 * Weights come from the absolute position of the output sample, not from the window's origin, so a
 * tile and the full image use the same ones.
 */
#include "resample.h"

#include <math.h>
#include <string.h>

#include "../base/deadline.h"

#define LANES 8
#define ROWS_UNASKED 16

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));
typedef int32_t lanes_int __attribute__((vector_size(LANES * sizeof(int32_t))));
typedef uint8_t lanes_byte __attribute__((vector_size(LANES), aligned(1)));

#if defined(__x86_64__) && !SANITIZED && !defined(__clang__)
#define MULTIVERSION __attribute__((target_clones("avx2", "default")))
#else
#define MULTIVERSION
#endif

/* Of angles from 0 to pi, to 1e-15. The library's is fused on some processors, and so differs. */
static double sine(double a)
{
	static const double terms[] = {1.0 / 420, 1.0 / 342, 1.0 / 272, 1.0 / 210, 1.0 / 156,
				       1.0 / 110, 1.0 / 72,  1.0 / 42,	1.0 / 20,  1.0 / 6};
	double t = a > M_PI / 2 ? M_PI - a : a, sum = 1;
	for (size_t i = 0; i < sizeof terms / sizeof *terms; i++)
		sum = 1 - t * t * terms[i] * sum;
	return t * sum;
}

static double lanczos3(double x)
{
	x = fabs(x);
	if (x < 1e-8)
		return 1;
	if (x >= 3)
		return 0;
	/* sin 3a = 3 sin a - 4 sin^3 a */
	double a = M_PI * x / 3, s = sine(a);
	return s * s * (3 - 4 * s * s) / (3 * a * a);
}

static double mitchell(double x)
{
	x = fabs(x);
	if (x < 1)
		return (7 * x * x * x - 12 * x * x + 16.0 / 3) / 6;
	if (x < 2)
		return (-7.0 / 3 * x * x * x + 12 * x * x - 20 * x + 32.0 / 3) / 6;
	return 0;
}

static double triangle(double x)
{
	x = fabs(x);
	return x < 1 ? 1 - x : 0;
}

static const struct {
	double (*at)(double);
	double support;
} filters[] = {
	[FILTER_LANCZOS3] = {lanczos3, 3},
	[FILTER_MITCHELL] = {mitchell, 2},
	[FILTER_TRIANGLE] = {triangle, 1},
};

/* The windows of all output samples along one axis. */
struct windows {
	bool copy;                     /* every window is one sample of weight 1 */
	uint32_t *first;               /* first input sample of each window */
	uint32_t *taps;                /* used ones; weights beyond are 0 up to `room` */
	float *weights;                /* n x room */
	size_t room;
	uint32_t from, end;            /* input samples that any window touches */
};

static uint32_t clamp_index(double i, uint32_t n)
{
	return i < 0 ? 0 : i >= n ? n - 1 : (uint32_t)i;
}

static double sample_position(const struct axis *axis, uint32_t i, double origin, double d)
{
	return (axis->start + (i + 0.5) * axis->step - origin) / d - 0.5;
}

/* Fills one window; weights that fall beyond the plane are added to its edge sample. raw has room for
 * as many numbers as the window can have samples of the plane. */
static void make_window(double centre, double scale, enum filter filter, uint32_t n, double *raw,
			uint32_t *first, uint32_t *taps, float *weights)
{
	double reach = filters[filter].support * scale, sum = 0;
	double low = ceil(centre - reach), high = floor(centre + reach);
	uint32_t from = clamp_index(low, n), to = clamp_index(high, n);

	memset(raw, 0, (to - from + 1) * sizeof *raw);
	for (double k = low; k <= high; k++) {
		double w = filters[filter].at((k - centre) / scale);
		raw[clamp_index(k, n) - from] += w;
		sum += w;
	}
	for (uint32_t k = 0; k <= to - from; k++)
		weights[k] = (float)(raw[k] / sum);
	*first = from;
	*taps = to - from + 1;
}

static bool is_copy(const struct axis *axis, double origin, double d)
{
	double phase = sample_position(axis, 0, origin, d);
	return fabs(fabs(axis->step) - d) < 1e-9 * d && fabs(phase - round(phase)) < 1e-6;
}

static bool make_windows(struct arena *a, struct axis axis, double origin, double d, uint32_t n,
			 enum filter filter, struct windows *w, struct error *err)
{
	double scale = fmax(1, fabs(axis.step) / d);
	size_t most = (size_t)fmin(2 * filters[filter].support * scale + 2, n);

	*w = (struct windows){.copy = is_copy(&axis, origin, d), .from = n};
	w->room = (most + LANES - 1) / LANES * LANES;
	w->first = arena_block(a, axis.n * (sizeof *w->first + sizeof *w->taps), err);
	w->weights = w->first ? arena_block(a, axis.n * w->room * sizeof *w->weights, err) : NULL;
	double *raw = w->weights ? arena_block(a, w->room * sizeof *raw, err) : NULL;
	if (!raw)
		return false;
	w->taps = w->first + axis.n;
	for (uint32_t i = 0; i < axis.n; i++) {
		double centre = sample_position(&axis, i, origin, d);
		if (w->copy) {
			w->first[i] = clamp_index(round(centre), n);
			w->taps[i] = 1;
			w->weights[i * w->room] = 1;
		} else {
			make_window(centre, scale, filter, n, raw, &w->first[i], &w->taps[i],
				    w->weights + i * w->room);
		}
		if (w->first[i] < w->from)
			w->from = w->first[i];
		if (w->first[i] + w->taps[i] > w->end)
			w->end = w->first[i] + w->taps[i];
	}
	arena_drop_block(a, raw);
	return true;
}

static void drop_windows(struct arena *a, struct windows *w)
{
	if (w->weights)
		arena_drop_block(a, w->weights);
	if (w->first)
		arena_drop_block(a, w->first);
}

/* row[x] = sum over taps of weights[t] * in[t][x], four taps a pass: weights are padded with zeros,
 * and a row beyond the last one is the last one again. */
MULTIVERSION
static void sum_rows(const uint8_t *in, size_t stride, const float *weights, uint32_t taps, uint32_t n,
		     float *restrict row)
{
	for (uint32_t t = 0; t < taps; t += 4) {
		const uint8_t *a = in + t * stride;
		const uint8_t *b = t + 1 < taps ? a + stride : a;
		const uint8_t *c = t + 2 < taps ? b + stride : b;
		const uint8_t *d = t + 3 < taps ? c + stride : c;
		float wa = weights[t], wb = weights[t + 1], wc = weights[t + 2], wd = weights[t + 3];
		if (t == 0)
			for (uint32_t x = 0; x < n; x++)
				row[x] = (wa * (float)a[x] + wb * (float)b[x]) + (wc * (float)c[x] + wd * (float)d[x]);
		else
			for (uint32_t x = 0; x < n; x++)
				row[x] += (wa * (float)a[x] + wb * (float)b[x]) + (wc * (float)c[x] + wd * (float)d[x]);
	}
}

static inline uint8_t to_byte(float v)
{
	return v <= 0 ? 0 : v >= 255 ? 255 : (uint8_t)(v + 0.5f);
}

/* Of eight sums of eight lanes the total of each: lanes four apart, then two, then one; rounded. */
static inline void store_totals(const lanes s[LANES], uint8_t *out)
{
	lanes four[4], two[2];
	for (int i = 0; i < 4; i++) {
		const lanes a = s[2 * i], b = s[2 * i + 1];
		four[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11) +
			  __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
	}
	for (int i = 0; i < 2; i++) {
		const lanes a = four[2 * i], b = four[2 * i + 1];
		two[i] = __builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13) +
			 __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15);
	}
	lanes v = __builtin_shufflevector(two[0], two[1], 0, 2, 4, 6, 8, 10, 12, 14) +
		  __builtin_shufflevector(two[0], two[1], 1, 3, 5, 7, 9, 11, 13, 15);
	lanes_int whole = __builtin_convertvector(v + 0.5f, lanes_int);
	whole &= whole > 0;
	lanes_int over = whole > 255;
	*(lanes_byte *)out = __builtin_convertvector((whole & ~over) | (over & 255), lanes_byte);
}

/* out[i] = the window of i in row, which starts at input sample `from`. All windows are taken as long as
 * the longest: beyond a window's own taps are weights of zero. */
MULTIVERSION
static void dot_windows(const float *row, uint32_t from, const struct windows *w, uint32_t n,
			uint8_t *out)
{
	uint8_t last[LANES];
	for (uint32_t i = 0; i < n; i += LANES) {
		lanes sums[LANES] = {0};
		const float *samples[LANES], *weights[LANES];
		for (uint32_t k = 0; k < LANES; k++) {
			uint32_t at = i + k < n ? i + k : n - 1;
			samples[k] = row + (w->first[at] - from);
			weights[k] = w->weights + at * w->room;
		}
		for (size_t t = 0; t < w->room; t += LANES)
			for (uint32_t k = 0; k < LANES; k++)
				sums[k] += *(const lanes *)(samples[k] + t) * *(const lanes *)(weights[k] + t);
		store_totals(sums, n - i < LANES ? last : out + i);
		if (n - i < LANES)
			memcpy(out + i, last, n - i);
	}
}

static void pick_floats(const float *row, uint32_t from, const struct windows *w, uint32_t n,
			uint8_t *out)
{
	for (uint32_t i = 0; i < n; i++)
		out[i] = to_byte(row[w->first[i] - from]);
}

static void copy_row(const uint8_t *row, const struct windows *w, bool forward, uint32_t n, uint8_t *out)
{
	/* Without clamping at either end the windows are a run of neighbours. */
	if (forward && w->end - w->from == n) {
		memcpy(out, row + w->from, n);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		out[i] = row[w->first[i]];
}

static bool resample_rows(const struct plane *in, const struct windows *across,
			  const struct windows *down, bool forward, float *row, struct plane *out,
			  struct error *err)
{
	uint32_t from = across->from, columns = across->end - from;
	for (uint32_t y = 0; y < out->h; y++) {
		if (y % ROWS_UNASKED == 0 && !deadline_check(err))
			return false;
		uint8_t *to = out->at + y * out->stride;
		const uint8_t *top = in->at + down->first[y] * in->stride;
		if (down->copy && across->copy) {
			copy_row(top, across, forward, out->w, to);
			continue;
		}
		sum_rows(top + from, in->stride, down->weights + y * down->room, down->taps[y], columns, row);
		if (across->copy)
			pick_floats(row, from, across, out->w, to);
		else
			dot_windows(row, from, across, out->w, to);
	}
	return true;
}

bool resample(struct arena *a, const struct plane *in, struct axis across, struct axis down,
	      enum filter filter, struct plane *out, struct error *err)
{
	struct windows x = {0}, y = {0};
	float *row = NULL;
	bool ok = make_windows(a, across, in->x, in->dx, in->w, filter, &x, err) &&
		  make_windows(a, down, in->y, in->dy, in->h, filter, &y, err);
	if (ok) {
		/* Windows are read in the length of the longest: zeros times zero weights. */
		row = arena_block(a, (x.end - x.from + x.room) * sizeof *row, err);
		ok = row != NULL;
	}
	if (ok) {
		ok = resample_rows(in, &x, &y, across.step > 0, row, out, err);
		arena_drop_block(a, row);
	}
	drop_windows(a, &y);
	drop_windows(a, &x);
	return ok;
}

uint64_t resample_memory(uint64_t samples, uint32_t n)
{
	/* 6 scale + 2 taps in whole vectors, and n times scale is the larger number of the two. */
	uint64_t larger = samples > n ? samples : n;
	uint64_t weights = 6 * larger + (2 + LANES) * (uint64_t)n;
	uint64_t room = 6 * (larger / n + 1) + 2 + LANES;
	return weights * sizeof(float) + (uint64_t)n * 2 * sizeof(uint32_t) + room * sizeof(double) +
	       (samples + 2 * room) * sizeof(float);
}
