/* SPDX-License-Identifier: BSD-2-Clause */
#include "windows.h"

#include <math.h>

#define MAX_SUPPORT 3

/* Of angles from 0 to pi, to 1e-11. The library's is fused on some processors, and so differs. */
static inline double sine(double a)
{
	static const double terms[] = {1.0 / 6227020800, -1.0 / 39916800, 1.0 / 362880, -1.0 / 5040, 1.0 / 120, -1.0 / 6, 1};
	double t = a > M_PI / 2 ? M_PI - a : a, square = t * t, sum = -1.0 / 1307674368000;
	for (size_t i = 0; i < sizeof terms / sizeof *terms; i++)
		sum = sum * square + terms[i];
	return t * sum;
}

/* The filters, of distances from the centre, in place: without branches, so that loops are vectorised. */
static void lanczos3(double *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* sin 3a = 3 sin a - 4 sin^3 a */
		double a = M_PI / 3 * x[i], s = sine(a), square = s * s;
		double w = square * (3 - 4 * square) / (3 * a * a);
		w = x[i] < 1e-8 ? 1 : w;
		x[i] = x[i] >= 3 ? 0 : w;
	}
}

static void mitchell(double *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double near = ((7 * x[i] - 12) * x[i] * x[i] + 16.0 / 3) / 6;
		double far = (((-7.0 / 3 * x[i] + 12) * x[i] - 20) * x[i] + 32.0 / 3) / 6;
		far = x[i] < 2 ? far : 0;
		x[i] = x[i] < 1 ? near : far;
	}
}

static void triangle(double *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] = x[i] < 1 ? 1 - x[i] : 0;
}

static const struct {
	void (*weigh)(double *, size_t);
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

static size_t room_of(double scale, double support)
{
	return (size_t)(2 * support * scale + 2);
}

static size_t clamp_place(double k, size_t n)
{
	return k < 0 ? 0 : k >= (double)n ? n - 1 : (size_t)k;
}

/* raw has room for the weights of all places, also of those beyond the plane. */
static void make_window(struct windows *w, uint32_t i, double centre, double scale, enum filter filter, uint32_t n,
			double *raw)
{
	double reach = filters[filter].support * scale, narrower = 1 / scale, sum = 0;
	double low = ceil(centre - reach), high = floor(centre + reach);
	size_t places = (size_t)(high - low) + 1;
	for (size_t k = 0; k < places; k++)
		raw[k] = fabs(low + (double)k - centre) * narrower;
	filters[filter].weigh(raw, places);
	for (size_t k = 0; k < places; k++)
		sum += raw[k];

	size_t from = clamp_place(-low, places), to = clamp_place(n - 1 - low, places);
	for (size_t k = 0; k < from; k++)
		raw[from] += raw[k];
	for (size_t k = to + 1; k < places; k++)
		raw[to] += raw[k];
	float *weights = w->weights + i * w->room;
	for (size_t k = from; k <= to; k++)
		weights[k - from] = (float)(raw[k] / sum);
	w->first[i] = (uint32_t)clamp_place(low + (double)from, n);
	w->taps[i] = (uint32_t)(to - from + 1);
}

bool windows_copy(struct axis axis, double origin, double d)
{
	double phase = sample_position(&axis, 0, origin, d);
	return fabs(fabs(axis.step) - d) < 1e-9 * d && fabs(phase - round(phase)) < 1e-6;
}

bool windows_make(struct arena *a, struct axis axis, double origin, double d, uint32_t n, enum filter filter,
		  struct windows *w, struct error *err)
{
	double scale = fmax(1, fabs(axis.step) / d);
	size_t places = room_of(scale, filters[filter].support);

	*w = (struct windows){.n = axis.n, .copy = windows_copy(axis, origin, d)};
	w->room = w->copy ? 1 : places < n ? places : n;
	size_t each = 2 * sizeof(uint32_t) + w->room * sizeof(float);
	double *raw = arena_block(a, places * sizeof *raw + axis.n * each, err);
	if (!raw)
		return false;
	w->block = raw;
	w->first = (uint32_t *)(raw + places);
	w->taps = w->first + axis.n;
	w->weights = (float *)(w->taps + axis.n);
	for (uint32_t i = 0; i < axis.n; i++) {
		double centre = sample_position(&axis, i, origin, d);
		if (w->copy) {
			w->first[i] = (uint32_t)clamp_place(round(centre), n);
			w->taps[i] = 1;
			w->weights[i * w->room] = 1;
		} else {
			make_window(w, i, centre, scale, filter, n, raw);
		}
	}
	return true;
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
	return windows_room(samples, n) * (sizeof(double) + n * sizeof(float)) + n * 2 * sizeof(uint32_t);
}
