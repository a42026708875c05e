/* SPDX-License-Identifier: BSD-2-Clause */
/* The resampler against a plain evaluation of its definition in double precision. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#include "image/resample.h"

#define SEED 7
#define ROUNDS 600
/* Rounding, and what whole weights lose of it. */
#define TOLERANCE 0.55

static uint32_t random_state = SEED;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)random_state * n) >> 32);
}

static double random_between(double from, double to)
{
	return from + (to - from) * random_below(1u << 30) / (1u << 30);
}

static struct plane make_plane(struct arena *a, uint32_t w, uint32_t h)
{
	struct plane p = {.dx = 1, .dy = 1};
	struct error err;
	assert_true(plane_alloc(a, &p, w, h, &err));
	return p;
}

/* Noise of full contrast: the worst that a filter can get. */
static struct plane make_noise(struct arena *a, uint32_t w, uint32_t h)
{
	struct plane p = make_plane(a, w, h);
	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < w; x++)
			p.at[y * p.stride + x] = random_below(3) ? (uint8_t)random_below(256) : random_below(2) ? 255 : 0;
	return p;
}

static struct plane run(struct arena *a, const struct plane *in, struct axis across, struct axis down,
			enum filter filter)
{
	weigh_function *const others[] = {
		weigh_scalar,
		weigh_plain,
#ifdef __x86_64__
		__builtin_cpu_supports("avx2") ? weigh_avx2 : weigh_plain,
#endif
	};
	struct plane out = make_plane(a, across.n, down.n), other = make_plane(a, across.n, down.n);
	struct error err;
	assert_true(resample(a, in, across, down, filter, &out, &err));
	/* Every processor gives the same bytes. */
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		struct weighing w = {.in = in, .out = &other};
		assert_true(resample_by(others[i], a, &w, across, down, filter, &err));
		for (uint32_t y = 0; y < out.h; y++)
			assert_memory_equal(out.at + y * out.stride, other.at + y * other.stride, out.w);
	}
	return out;
}

/* Written from the published formulas, not from the code. */
static double kernel(enum filter filter, double x)
{
	x = fabs(x);
	switch (filter) {
	case FILTER_LANCZOS3:
		return x < 1e-9 ? 1 : x >= 3 ? 0 : sin(M_PI * x) / (M_PI * x) * (sin(M_PI * x / 3) / (M_PI * x / 3));
	case FILTER_MITCHELL: {
		double b = 1.0 / 3, c = 1.0 / 3;
		if (x < 1)
			return ((12 - 9 * b - 6 * c) * x * x * x + (-18 + 12 * b + 6 * c) * x * x + (6 - 2 * b)) / 6;
		if (x < 2)
			return ((-b - 6 * c) * x * x * x + (6 * b + 30 * c) * x * x + (-12 * b - 48 * c) * x +
				(8 * b + 24 * c)) / 6;
		return 0;
	}
	case FILTER_TRIANGLE:
		return x < 1 ? 1 - x : 0;
	}
	return 0;
}

/* One weight per sample of the plane, for output sample i. */
static void reference_weights(struct axis axis, uint32_t i, double origin, double d, uint32_t n, enum filter filter,
			      double *weights)
{
	double centre = (axis.start + (i + 0.5) * axis.step - origin) / d - 0.5;
	double scale = fmax(1, fabs(axis.step) / d), sum = 0;
	memset(weights, 0, n * sizeof *weights);
	for (double k = floor(centre - 3 * scale) - 1; k <= centre + 3 * scale + 1; k++) {
		double w = kernel(filter, (k - centre) / scale);
		uint32_t at = k < 0 ? 0 : k >= n ? n - 1 : (uint32_t)k;
		weights[at] += w;
		sum += w;
	}
	for (uint32_t k = 0; k < n; k++)
		weights[k] /= sum;
}

static double reference(const struct plane *in, const double *wx, const double *wy)
{
	double v = 0;
	for (uint32_t y = 0; y < in->h; y++) {
		double row = 0;
		if (wy[y] == 0)
			continue;
		for (uint32_t x = 0; x < in->w; x++)
			row += wx[x] * in->at[y * in->stride + x];
		v += wy[y] * row;
	}
	return fmin(255, fmax(0, v));
}

static void check_against_reference(struct arena *a, const struct plane *in, struct axis across, struct axis down,
				    enum filter filter)
{
	struct plane out = run(a, in, across, down, filter);
	double *wx = malloc(sizeof *wx * in->w), *wy = malloc(sizeof *wy * in->h);
	for (uint32_t y = 0; y < out.h; y++) {
		reference_weights(down, y, in->y, in->dy, in->h, filter, wy);
		for (uint32_t x = 0; x < out.w; x++) {
			reference_weights(across, x, in->x, in->dx, in->w, filter, wx);
			double want = reference(in, wx, wy);
			int got = out.at[y * out.stride + x];
			if (fabs(got - want) > TOLERANCE)
				fail_msg("filter %d, %u x %u of step %g x %g to %g x %g, at (%u, %u): %d for %g", filter,
					 in->w, in->h, in->dx, in->dy, across.step, down.step, x, y, got, want);
		}
	}
	free(wx);
	free(wy);
}

/* An axis somewhere over the side of a plane, reaching beyond it at times. */
static struct axis random_axis(double origin, double d, uint32_t samples)
{
	double side = d * samples, step = random_below(4) ? d * exp(random_between(log(1.0 / 8), log(40))) : d;
	struct axis axis = {.start = origin + random_between(-0.5, 0.9) * side, .step = step};
	double most = (origin + side * 1.2 - axis.start) / step;
	axis.n = 1 + random_below((uint32_t)fmin(30, fmax(1, most)));
	if (random_below(3) == 0) {
		axis.start += axis.n * axis.step;
		axis.step = -axis.step;
	}
	return axis;
}

static void equals_the_reference(void **state)
{
	static const double d[] = {1, 2, 8, 1, 1003.0 / 333, 0.75};
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct arena *a = arena_open();
		uint32_t most = 1u << (1 + random_below(7));
		struct plane in = make_noise(a, 1 + random_below(most), 1 + random_below(most));
		in.x = random_below(3) ? random_below(1000) * 0.5 : random_between(0, 60000);
		in.y = random_below(3) ? random_below(1000) : random_between(0, 60000);
		in.dx = d[random_below(6)];
		in.dy = d[random_below(6)];
		check_against_reference(a, &in, random_axis(in.x, in.dx, in.w), random_axis(in.y, in.dy, in.h),
					(enum filter)(i % 3));
		arena_close(a);
	}
}

static void flat_stays_flat(void **state)
{
	(void)state;
	for (int value = 0; value < 256; value++) {
		struct arena *a = arena_open();
		struct plane in = make_plane(a, 1 + random_below(90), 1 + random_below(90));
		memset(in.at, value, in.stride * in.h);
		for (int filter = 0; filter < 3; filter++) {
			struct plane out = run(a, &in, random_axis(0, 1, in.w), random_axis(0, 1, in.h), (enum filter)filter);
			for (uint32_t y = 0; y < out.h; y++)
				for (uint32_t x = 0; x < out.w; x++)
					assert_int_equal(out.at[y * out.stride + x], value);
		}
		arena_close(a);
	}
}

/* What lies behind a plane's rows is not looked at. */
static void padding_is_not_read(void **state)
{
	struct arena *a = arena_open();
	struct plane in = make_plane(a, 37, 21);
	(void)state;
	memset(in.at, 255, in.stride * in.h);
	for (uint32_t y = 0; y < in.h; y++)
		memset(in.at + y * in.stride, 10, in.w);
	struct plane out = run(a, &in, (struct axis){0, 0.37, 100}, (struct axis){0, 1.9, 11}, FILTER_LANCZOS3);
	for (uint32_t y = 0; y < out.h; y++)
		for (uint32_t x = 0; x < out.w; x++)
			assert_int_equal(out.at[y * out.stride + x], 10);
	arena_close(a);
}

static void equal_grids_are_copied(void **state)
{
	static const double d[] = {1, 2, 8, 1003.0 / 333};
	(void)state;
	for (int i = 0; i < 200; i++) {
		struct arena *a = arena_open();
		struct plane in = make_noise(a, 20 + random_below(50), 20 + random_below(50));
		in.dx = d[random_below(4)];
		in.dy = d[random_below(4)];
		in.x = in.dx * random_below(500);
		in.y = in.dy * random_below(500);
		uint32_t left = random_below(10), top = random_below(10), w = 1 + random_below(10), h = 1 + random_below(10);
		bool mirror = random_below(2), flip = random_below(2);
		struct axis across = {in.x + left * in.dx, in.dx, w}, down = {in.y + top * in.dy, in.dy, h};
		if (mirror)
			across = (struct axis){across.start + w * in.dx, -in.dx, w};
		if (flip)
			down = (struct axis){down.start + h * in.dy, -in.dy, h};
		struct plane out = run(a, &in, across, down, (enum filter)(i % 3));
		for (uint32_t y = 0; y < h; y++)
			for (uint32_t x = 0; x < w; x++) {
				uint32_t row = top + (flip ? h - 1 - y : y), column = left + (mirror ? w - 1 - x : x);
				assert_int_equal(out.at[y * out.stride + x], in.at[row * in.stride + column]);
			}
		arena_close(a);
	}
}

/* The part of a plane that a decoder would have delivered for a window of the output. */
static struct plane part_of(const struct plane *p, double left, double top, double right, double bottom, double margin_x,
			    double margin_y)
{
	double x0 = fmax(0, floor((left - margin_x - p->x) / p->dx)), y0 = fmax(0, floor((top - margin_y - p->y) / p->dy));
	double x1 = fmin(p->w, ceil((right + margin_x - p->x) / p->dx));
	double y1 = fmin(p->h, ceil((bottom + margin_y - p->y) / p->dy));
	struct plane part = *p;
	part.at = p->at + (size_t)y0 * p->stride + (size_t)x0;
	part.x = p->x + x0 * p->dx;
	part.y = p->y + y0 * p->dy;
	part.w = (uint32_t)(x1 - x0);
	part.h = (uint32_t)(y1 - y0);
	return part;
}

/* Tiles computed alone, from no more than the decoder's margin, are bit for bit parts of the whole: for the
 * steps of tiles, that is powers of two, from planes of any finer such step. */
static void tiles_are_seamless(void **state)
{
	static const double d[] = {0.5, 1, 2, 4};
	(void)state;
	for (int i = 0; i < 120; i++) {
		struct arena *a = arena_open();
		enum filter filter = (enum filter)(i % 3);
		struct plane in = make_noise(a, 100 + random_below(150), 100 + random_below(150));
		in.dx = d[random_below(4)];
		in.dy = d[random_below(4)];
		/* Chroma whose first sample lies aside, or a window of an image. */
		in.x = random_below(2) ? 0 : -0.25 * in.dx;
		double step = 8.0 / (1 << random_below(5));
		struct axis across = {0, step, (uint32_t)ceil(in.w * in.dx / step)};
		struct axis down = {0, step, (uint32_t)ceil(in.h * in.dy / step)};
		struct plane whole = run(a, &in, across, down, filter);
		uint32_t tile = 16 + random_below(40);
		for (uint32_t top = 0; top < down.n; top += tile)
			for (uint32_t left = 0; left < across.n; left += tile) {
				uint32_t w = across.n - left < tile ? across.n - left : tile;
				uint32_t h = down.n - top < tile ? down.n - top : tile;
				struct plane part = part_of(&in, left * step, top * step, (left + w) * step, (top + h) * step,
							    3 * fmax(step, in.dx) + in.dx, 3 * fmax(step, in.dy) + in.dy);
				bool mirror = random_below(2);
				struct axis x = {left * step, step, w}, y = {top * step, step, h};
				if (mirror)
					x = (struct axis){(left + w) * step, -step, w};
				struct plane out = run(a, &part, x, y, filter);
				for (uint32_t r = 0; r < h; r++)
					for (uint32_t c = 0; c < w; c++)
						assert_int_equal(out.at[r * out.stride + (mirror ? w - 1 - c : c)],
								 whole.at[(top + r) * whole.stride + left + c]);
			}
		arena_close(a);
	}
}

static struct plane run_light(weigh_function *weigh, struct arena *a, const struct plane *in, const struct plane *opacity,
			      struct axis across, struct axis down, const struct plane *out_opacity)
{
	struct plane out = make_plane(a, across.n, down.n);
	struct weighing w = {
		.in = in, .out = &out, .light = light_table(), .opacity = opacity, .out_opacity = out_opacity};
	struct error err;
	assert_true(resample_by(weigh, a, &w, across, down, FILTER_LANCZOS3, &err));
	return out;
}

/* What light comes to is checked by test/conformance/test_linear_light.py. */
static void light_is_the_same_on_every_processor(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		struct arena *a = arena_open();
		uint32_t w = 1 + random_below(300), h = 1 + random_below(60);
		struct plane in = make_noise(a, w, h), veil = make_noise(a, w, h);
		struct axis across = random_axis(0, 1, w), down = random_axis(0, 1, h);
		struct plane out_veil = run(a, &veil, across, down, FILTER_LANCZOS3);
		bool veiled = i % 2;
		const struct plane *before = veiled ? &veil : NULL, *after = veiled ? &out_veil : NULL;
		struct plane one = run_light(resample_light_fastest(), a, &in, before, across, down, after);
		struct plane other = run_light(weigh_light_plain, a, &in, before, across, down, after);
		for (uint32_t y = 0; y < down.n; y++)
			assert_memory_equal(one.at + y * one.stride, other.at + y * other.stride, across.n);
		arena_close(a);
	}
}

static uint64_t sum_of_windows(struct arena *a, struct axis axis, double origin, double d, uint32_t n, enum filter filter)
{
	struct windows w;
	struct error err;
	uint64_t sum = 0;
	assert_true(windows_make(a, axis, origin, d, n, filter, &w, &err));
	assert_int_equal(w.n, axis.n);
	for (uint32_t i = 0; i < w.n; i++) {
		sum = sum * 31 + w.first[i];
		for (uint32_t k = 0; k < w.taps[i]; k++)
			sum = sum * 31 + (uint64_t)w.weights[i * w.room + w.first[i] % 2 + k];
	}
	windows_drop(a, &w);
	return sum;
}

/* More than are kept, in any order; each differs from the first in one thing. The last is too large to be kept. */
static void kept_windows_are_those_asked_for(void **state)
{
	static const struct {
		struct axis axis;
		double origin, d;
		uint32_t n;
		enum filter filter;
	} asks[] = {
		{{0, 2.5, 80}, 0, 1, 200, FILTER_LANCZOS3},  {{1, 2.5, 80}, 0, 1, 200, FILTER_LANCZOS3},
		{{0, 2.25, 80}, 0, 1, 200, FILTER_LANCZOS3}, {{0, 2.5, 81}, 0, 1, 200, FILTER_LANCZOS3},
		{{0, 2.5, 80}, .5, 1, 200, FILTER_LANCZOS3}, {{0, 2.5, 80}, 0, 2, 200, FILTER_LANCZOS3},
		{{0, 2.5, 80}, 0, 1, 199, FILTER_LANCZOS3},  {{0, 2.5, 80}, 0, 1, 200, FILTER_MITCHELL},
		{{0, 2.5, 80}, 0, 1, 200, FILTER_TRIANGLE},  {{0, -2.5, 80}, 0, 1, 200, FILTER_LANCZOS3},
		{{0, 2.5, 4000}, 0, 1, 10000, FILTER_LANCZOS3},
	};
	enum { N = sizeof asks / sizeof *asks };
	uint64_t sums[N];
	struct arena *a = arena_open();
	(void)state;
	for (int turn = 0; turn < 500; turn++) {
		uint32_t i = turn < N ? (uint32_t)turn : random_below(N);
		uint64_t sum = sum_of_windows(a, asks[i].axis, asks[i].origin, asks[i].d, asks[i].n, asks[i].filter);
		for (int k = 0; k < turn && turn < N; k++)
			assert_int_not_equal(sum, sums[k]);
		if (turn < N)
			sums[i] = sum;
		assert_int_equal(sum, sums[i]);
	}
	arena_close(a);
}

static void scratch_is_given_back(void **state)
{
	struct arena *a = arena_open();
	struct plane in = make_noise(a, 300, 300), out = make_plane(a, 50, 50);
	struct error err;
	(void)state;
	assert_true(resample(a, &in, (struct axis){0, 6, 50}, (struct axis){0, 6, 50}, FILTER_LANCZOS3, &out, &err));
	size_t peak = arena_peak_bytes(a);
	for (int i = 0; i < 10; i++)
		assert_true(resample(a, &in, (struct axis){0, 6, 50}, (struct axis){0, 6, 50}, FILTER_LANCZOS3, &out, &err));
	assert_int_equal(arena_peak_bytes(a), peak);
	arena_close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_the_reference),
		cmocka_unit_test(flat_stays_flat),
		cmocka_unit_test(padding_is_not_read),
		cmocka_unit_test(equal_grids_are_copied),
		cmocka_unit_test(tiles_are_seamless),
		cmocka_unit_test(light_is_the_same_on_every_processor),
		cmocka_unit_test(kept_windows_are_those_asked_for),
		cmocka_unit_test(scratch_is_given_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
