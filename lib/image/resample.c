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

#define LANES 8

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
#define MULTIVERSION __attribute__((target_clones("avx2", "default")))
#else
#define MULTIVERSION
#endif

static double lanczos3(double x)
{
	x = fabs(x);
	if (x < 1e-8)
		return 1;
	if (x >= 3)
		return 0;
	double p = M_PI * x;
	return 3 * sin(p) * sin(p / 3) / (p * p);
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

/* Fills one window; weights that fall beyond the plane are added to its edge sample. */
static void make_window(double centre, double scale, enum filter filter, uint32_t n, uint32_t *first,
			uint32_t *taps, float *weights)
{
	double reach = filters[filter].support * scale, sum = 0;
	double low = ceil(centre - reach), high = floor(centre + reach);
	uint32_t from = clamp_index(low, n), to = clamp_index(high, n);

	for (double k = low; k <= high; k++)
		sum += filters[filter].at((k - centre) / scale);
	for (uint32_t k = from; k <= to; k++) {
		double w = filters[filter].at((k - centre) / scale);
		if (k == from)
			for (double j = low; j < from; j++)
				w += filters[filter].at((j - centre) / scale);
		if (k == to)
			for (double j = (double)to + 1; j <= high; j++)
				w += filters[filter].at((j - centre) / scale);
		weights[k - from] = (float)(w / sum);
	}
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
	if (!w->weights)
		return false;
	w->taps = w->first + axis.n;
	for (uint32_t i = 0; i < axis.n; i++) {
		double centre = sample_position(&axis, i, origin, d);
		if (w->copy) {
			w->first[i] = clamp_index(round(centre), n);
			w->taps[i] = 1;
			w->weights[i * w->room] = 1;
		} else {
			make_window(centre, scale, filter, n, &w->first[i], &w->taps[i],
				    w->weights + i * w->room);
		}
		if (w->first[i] < w->from)
			w->from = w->first[i];
		if (w->first[i] + w->taps[i] > w->end)
			w->end = w->first[i] + w->taps[i];
	}
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

/* out[i] = the window of i in row, which starts at input sample `from`. */
MULTIVERSION
static void dot_windows(const float *row, uint32_t from, const struct windows *w, uint32_t n,
			uint8_t *out)
{
	for (uint32_t i = 0; i < n; i++) {
		const float *samples = row + (w->first[i] - from), *weights = w->weights + i * w->room;
		lanes sum = {0};
		for (uint32_t t = 0; t < w->taps[i]; t += LANES)
			sum += *(const lanes *)(samples + t) * *(const lanes *)(weights + t);
		float s04 = sum[0] + sum[4], s15 = sum[1] + sum[5], s26 = sum[2] + sum[6],
		      s37 = sum[3] + sum[7];
		out[i] = to_byte((s04 + s26) + (s15 + s37));
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

static void resample_rows(const struct plane *in, const struct windows *across,
			  const struct windows *down, bool forward, float *row, struct plane *out)
{
	uint32_t from = across->from, columns = across->end - from;
	for (uint32_t y = 0; y < out->h; y++) {
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
}

bool resample(struct arena *a, const struct plane *in, struct axis across, struct axis down,
	      enum filter filter, struct plane *out, struct error *err)
{
	struct windows x = {0}, y = {0};
	float *row = NULL;
	bool ok = make_windows(a, across, in->x, in->dx, in->w, filter, &x, err) &&
		  make_windows(a, down, in->y, in->dy, in->h, filter, &y, err);
	if (ok) {
		/* Whole vectors are read past the last window: zeros times zero weights. */
		row = arena_block(a, ((size_t)(x.end - x.from) + LANES) * sizeof *row, err);
		ok = row != NULL;
	}
	if (ok) {
		resample_rows(in, &x, &y, across.step > 0, row, out);
		arena_drop_block(a, row);
	}
	drop_windows(a, &y);
	drop_windows(a, &x);
	return ok;
}

uint64_t resample_memory(uint64_t samples, uint32_t n)
{
	/* 6 scale + 2 taps an output sample, and n times scale is the larger number of the two. */
	uint64_t larger = samples > n ? samples : n, taps = 6 * larger + (2 + LANES) * (uint64_t)n;
	uint64_t row = samples + 6 * (larger / n + 1) + 2 + LANES;
	return taps * sizeof(float) + (uint64_t)n * 2 * sizeof(uint32_t) + row * sizeof(float);
}
