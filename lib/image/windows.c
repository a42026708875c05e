/* SPDX-License-Identifier: BSD-2-Clause */
#include "windows.h"

#include <math.h>
#include <string.h>

#define MAX_SUPPORT 3
#define ONE (1 << WEIGHT_BITS)
#define KEPT_BYTES 65536

/* Of angles from 0 to pi, to 1e-6. The library's is fused on some processors, and so differs. */
static inline float sine(float a)
{
	static const float terms[] = {-1.0f / 39916800, 1.0f / 362880, -1.0f / 5040, 1.0f / 120, -1.0f / 6, 1};
	float t = a > (float)M_PI / 2 ? (float)M_PI - a : a, square = t * t, sum = 1.0f / 6227020800;
	for (size_t i = 0; i < sizeof terms / sizeof *terms; i++)
		sum = sum * square + terms[i];
	return t * sum;
}

/* The filters, of distances from the centre, in place: whole vectors without branches. */
static void lanczos3(float *x, size_t fours)
{
	for (size_t i = 0; i < 4 * fours; i++) {
		/* sin 3a = 3 sin a - 4 sin^3 a */
		float a = (float)M_PI / 3 * x[i], s = sine(a), square = s * s;
		float w = square * (3 - 4 * square) / (3 * a * a);
		w = x[i] < 1e-4f ? 1 : w;
		x[i] = x[i] >= 3 ? 0 : w;
	}
}

static void mitchell(float *x, size_t fours)
{
	for (size_t i = 0; i < 4 * fours; i++) {
		float near = ((7 * x[i] - 12) * x[i] * x[i] + 16.0f / 3) / 6;
		float far = (((-7.0f / 3 * x[i] + 12) * x[i] - 20) * x[i] + 32.0f / 3) / 6;
		far = x[i] < 2 ? far : 0;
		x[i] = x[i] < 1 ? near : far;
	}
}

static void triangle(float *x, size_t fours)
{
	for (size_t i = 0; i < 4 * fours; i++)
		x[i] = x[i] < 1 ? 1 - x[i] : 0;
}

static const struct {
	void (*weigh)(float *, size_t);
	double support;
} filters[] = {
	[FILTER_LANCZOS3] = {lanczos3, MAX_SUPPORT},
	[FILTER_MITCHELL] = {mitchell, 2},
	[FILTER_TRIANGLE] = {triangle, 1},
};

static double sample_position(const struct axis *axis, uint32_t i, double origin, double d)
{
	return (axis->start + (i + 0.5) * axis->step - origin) / d - 0.5;
}

/* Even, with a place before a window that begins at an odd sample. */
static size_t room_of(double scale, double support)
{
	return ((size_t)(2 * support * scale + 2) + 2) / 2 * 2;
}

static size_t clamp_place(double k, size_t n)
{
	return k < 0 ? 0 : k >= (double)n ? n - 1 : (size_t)k;
}

/*
 * As whole numbers that add up to ONE. What rounding takes from one is given to the next: the errors are at the highest
 * frequencies, where pictures have least.
 */
static void round_weights(const float *raw, size_t n, int16_t *weights)
{
	float sum = 0, so_far = 0;
	int32_t before = 0;
	for (size_t k = 0; k < n; k++)
		sum += raw[k];
	float unit = ONE / sum;
	for (size_t k = 0; k + 1 < n; k++) {
		so_far += raw[k];
		int32_t now = (int32_t)(so_far * unit + (ONE + 0.5f)) - ONE;
		weights[k] = (int16_t)(now - before);
		before = now;
	}
	weights[n - 1] = (int16_t)(ONE - before);
}

/* raw has room for the weights of all places, also of those beyond the plane, in fours. */
static void make_window(struct windows *w, uint32_t i, double centre, double scale, enum filter filter, uint32_t n,
			float *raw)
{
	double reach = filters[filter].support * scale;
	double low = ceil(centre - reach), high = floor(centre + reach);
	float begin = (float)((low - centre) / scale), narrower = (float)(1 / scale);
	size_t places = (size_t)(high - low) + 1;
	/* Behind the last place the filter is zero. */
	size_t fours = (places + 3) / 4;
	for (size_t k = 0; k < 4 * fours; k++)
		raw[k] = fabsf(begin + (float)(int)k * narrower);
	filters[filter].weigh(raw, fours);

	size_t from = clamp_place(-low, places), to = clamp_place(n - 1 - low, places);
	for (size_t k = 0; k < from; k++)
		raw[from] += raw[k];
	for (size_t k = to + 1; k < places; k++)
		raw[to] += raw[k];
	w->first[i] = (uint32_t)clamp_place(low + (double)from, n);
	w->taps[i] = (uint32_t)(to - from + 1);
	round_weights(raw + from, w->taps[i], w->weights + i * w->room + w->first[i] % 2);
}

bool windows_copy(struct axis axis, double origin, double d)
{
	double phase = sample_position(&axis, 0, origin, d);
	return fabs(fabs(axis.step) - d) < 1e-9 * d && fabs(phase - round(phase)) < 1e-6;
}

/* All that windows depend on. */
struct question {
	struct axis axis;
	double origin, d;
	uint32_t n;
	enum filter filter;
};

/* The planes of a picture ask the same, and so do pages of a book. Who was asked for least recently is given up. */
static struct kept {
	struct question question;
	uint64_t used;
	struct windows w;
	_Alignas(uint32_t) unsigned char at[KEPT_BYTES];
} kept[WINDOWS_KEPT];

static size_t bytes_each(const struct windows *w)
{
	return 2 * sizeof(uint32_t) + w->room * sizeof(int16_t);
}

static void lay_out(struct windows *w, void *at)
{
	w->first = at;
	w->taps = w->first + w->n;
	w->weights = (int16_t *)(w->taps + w->n);
}

static bool is_same(const struct question *a, const struct question *b)
{
	return a->axis.start == b->axis.start && a->axis.step == b->axis.step && a->axis.n == b->axis.n &&
	       a->origin == b->origin && a->d == b->d && a->n == b->n && a->filter == b->filter;
}

/* The windows asked for, or those to be given up. */
static struct kept *look_up(const struct question *q)
{
	struct kept *oldest = kept;
	for (struct kept *k = kept; k < kept + WINDOWS_KEPT; k++) {
		if (k->used && is_same(&k->question, q))
			return k;
		if (k->used < oldest->used)
			oldest = k;
	}
	return oldest;
}

static void keep(struct kept *k, const struct question *q, const struct windows *w)
{
	k->question = *q;
	k->w = *w;
	k->w.block = NULL;
	lay_out(&k->w, k->at);
	memcpy(k->at, w->first, w->n * bytes_each(w));
}

static bool make(struct arena *a, const struct question *q, struct windows *w, struct error *err)
{
	double scale = fmax(1, fabs(q->axis.step) / q->d);
	size_t places = room_of(scale, filters[q->filter].support), raw_room = places + 3;

	*w = (struct windows){.n = q->axis.n, .copy = windows_copy(q->axis, q->origin, q->d)};
	w->room = w->copy ? 2 : places;
	float *raw = arena_block(a, raw_room * sizeof *raw + w->n * bytes_each(w), err);
	if (!raw)
		return false;
	w->block = raw;
	lay_out(w, raw + raw_room);
	for (uint32_t i = 0; i < w->n; i++) {
		double centre = sample_position(&q->axis, i, q->origin, q->d);
		if (w->copy) {
			w->first[i] = (uint32_t)clamp_place(round(centre), q->n);
			w->taps[i] = 1;
			w->weights[i * w->room + w->first[i] % 2] = ONE;
		} else {
			make_window(w, i, centre, scale, q->filter, q->n, raw);
		}
	}
	return true;
}

bool windows_make(struct arena *a, struct axis axis, double origin, double d, uint32_t n, enum filter filter,
		  struct windows *w, struct error *err)
{
	static uint64_t uses;
	const struct question q = {axis, origin, d, n, filter};
	struct kept *k = look_up(&q);
	if (!k->used || !is_same(&k->question, &q)) {
		if (!make(a, &q, w, err))
			return false;
		/* Single samples are found as quickly, and tiles side by side all have other ones. */
		if (w->copy || w->n * bytes_each(w) > KEPT_BYTES)
			return true;
		keep(k, &q, w);
		windows_drop(a, w);
	}
	k->used = ++uses;
	*w = k->w;
	return true;
}

uint32_t windows_strip(const struct windows *w, uint32_t i, size_t most, uint32_t *from, uint32_t *samples)
{
	uint32_t low = w->first[i], high = low + w->taps[i], n = 0;
	for (; i + n < w->n; n++) {
		uint32_t first = w->first[i + n], end = first + w->taps[i + n];
		uint32_t lower = first < low ? first : low, higher = end > high ? end : high;
		if (n && (higher + 1) / 2 * 2 - lower / 2 * 2 > most)
			break;
		low = lower;
		high = higher;
	}
	*from = low / 2 * 2;
	*samples = (high + 1) / 2 * 2 - *from;
	return n;
}

void windows_drop(struct arena *a, struct windows *w)
{
	if (w->block)
		arena_drop_block(a, w->block);
}

uint64_t windows_room(uint64_t samples, uint32_t n)
{
	return room_of((double)(samples / n + 1), MAX_SUPPORT);
}

uint64_t windows_memory(uint64_t samples, uint32_t n)
{
	return windows_room(samples, n) * (sizeof(float) + n * sizeof(int16_t)) + (n * 2 + 3) * sizeof(uint32_t);
}
