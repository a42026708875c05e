/* SPDX-License-Identifier: BSD-2-Clause */
/* Free turning, bitonal pictures and opacity (lib/image/turn.h, bitonal.h, alpha.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#include "image/alpha.h"
#include "image/bitonal.h"
#include "image/turn.h"

static struct image make(struct arena *a, enum model model, bool alpha, uint32_t w, uint32_t h)
{
	struct image image = {0};
	struct error err;
	assert_true(image_alloc(a, &image, model, alpha, (struct rect){0, 0, w, h}, &err));
	return image;
}

static uint8_t *sample(const struct image *image, int plane, uint32_t x, uint32_t y)
{
	return &image->plane[plane].at[y * image->plane[plane].stride + x];
}

/* A slope across and one down, so that each place has its own value. */
static struct image slopes(struct arena *a, bool alpha, uint32_t w, uint32_t h)
{
	struct image image = make(a, MODEL_RGB, alpha, w, h);
	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < w; x++) {
			*sample(&image, 0, x, y) = (uint8_t)(30 + 180 * x / w);
			*sample(&image, 1, x, y) = (uint8_t)(30 + 180 * y / h);
			*sample(&image, 2, x, y) = 100;
			if (alpha)
				*sample(&image, 3, x, y) = 255;
		}
	return image;
}

/* Turning by a quarter or a half is moving samples: not one may change. */
static void quarters_move_samples(void **state)
{
	(void)state;
	for (int quarter = 0; quarter < 4; quarter++) {
		struct arena *a = arena_open();
		struct image in = slopes(a, false, 40, 24), again = slopes(a, false, 40, 24), out;
		struct error err;
		uint32_t w = quarter % 2 ? 24 : 40, h = quarter % 2 ? 40 : 24;
		assert_true(turn_freely(a, &in, quarter * 90, w, h, &out, &err));
		assert_true(out.alpha && out.plane[0].w == w && out.plane[0].h == h);
		for (uint32_t y = 0; y < h; y++)
			for (uint32_t x = 0; x < w; x++) {
				/* Clockwise: what was at the left is at the top after one quarter. */
				const uint32_t from_x[] = {x, y, 39 - x, 39 - y}, from_y[] = {y, 23 - x, 23 - y, x};
				for (int c = 0; c < 3; c++)
					assert_int_equal(*sample(&out, c, x, y),
							 *sample(&again, c, from_x[quarter], from_y[quarter]));
				assert_int_equal(*sample(&out, 3, x, y), 255);
			}
		arena_close(a);
	}
}

/* Against the definition: where the inverse turn leads to, slopes have the value of that place. */
static void other_angles_against_their_definition(void **state)
{
	static const double angles[] = {0.5, 10, 33.3, 45, 89, 123.4, 211, 300, 359.5};
	(void)state;
	for (size_t i = 0; i < sizeof angles / sizeof *angles; i++) {
		struct arena *a = arena_open();
		struct image in = slopes(a, i % 2, 90, 60), out;
		struct error err;
		double angle = angles[i] * M_PI / 180, c = cos(angle), s = sin(angle);
		uint32_t w = (uint32_t)ceil(90 * fabs(c) + 60 * fabs(s)), h = (uint32_t)ceil(60 * fabs(c) + 90 * fabs(s));
		assert_true(turn_freely(a, &in, angles[i], w, h, &out, &err));
		size_t inside = 0;
		for (uint32_t y = 0; y < h; y++)
			for (uint32_t x = 0; x < w; x++) {
				double right = x + 0.5 - w / 2.0, below = y + 0.5 - h / 2.0;
				double u = c * right + s * below + 45, v = c * below - s * right + 30;
				bool in_it = u > 3 && v > 3 && u < 87 && v < 57, beside = u < -2 || v < -2 || u > 92 || v > 62;
				inside += in_it;
				for (int k = 0; k < 4; k++)
					if (beside)
						assert_int_equal(*sample(&out, k, x, y), 0);
				if (!in_it)
					continue;
				assert_true(fabs(*sample(&out, 0, x, y) - (30 + 180 * (u - 0.5) / 90)) <= 1.6);
				assert_true(fabs(*sample(&out, 1, x, y) - (30 + 180 * (v - 0.5) / 60)) <= 2.2);
				assert_in_range(*sample(&out, 2, x, y), 99, 101);
				assert_int_equal(*sample(&out, 3, x, y), 255);
			}
		assert_true(inside > 4000);
		for (uint32_t y = 0; y < h; y++)
			for (uint32_t x = 0; x < w; x++)
				for (int k = 0; k < 3; k++)
					assert_true(*sample(&out, k, x, y) <= *sample(&out, 3, x, y));
		arena_close(a);
	}
}

static void one_pixel_turns_too(void **state)
{
	struct arena *a = arena_open();
	struct image in = make(a, MODEL_GRAY, false, 1, 1), out;
	struct error err;
	(void)state;
	*sample(&in, 0, 0, 0) = 200;
	assert_true(turn_freely(a, &in, 45, 2, 2, &out, &err));
	assert_int_equal(out.n, 1);
	arena_close(a);
}

static void turning_keeps_to_its_estimate(void **state)
{
	struct arena *outer = arena_open();
	struct image in = slopes(outer, true, 800, 300), copy, out;
	struct error err;
	(void)state;
	struct arena *a = arena_open();
	assert_true(image_alloc(a, &copy, MODEL_RGB, true, (struct rect){0, 0, 800, 300}, &err));
	size_t before = arena_peak_bytes(a);
	for (int i = 0; i < 4; i++)
		memcpy(copy.plane[i].at, in.plane[i].at, in.plane[i].stride * 300);
	assert_true(turn_freely(a, &copy, 30, 843, 660, &out, &err));
	assert_true(arena_peak_bytes(a) - before <= turn_memory(800, 300, 843, 660, false));
	arena_close(a);
	arena_close(outer);
}

static void dithers_keep_the_mean(void **state)
{
	(void)state;
	for (int gray = 0; gray <= 255; gray += 15) {
		struct arena *a = arena_open();
		struct image image = make(a, MODEL_GRAY, false, 61, 47);
		double sum = 0;
		for (uint32_t y = 0; y < 47; y++)
			memset(sample(&image, 0, 0, y), gray, 61);
		bitonal(&image, true);
		for (uint32_t y = 0; y < 47; y++)
			for (uint32_t x = 0; x < 61; x++) {
				uint8_t v = *sample(&image, 0, x, y);
				assert_true(v == 0 || v == 255);
				sum += v;
			}
		assert_true(fabs(sum / (61 * 47) - gray) < 4);
		arena_close(a);
	}
}

static void thresholds_cut_in_the_middle(void **state)
{
	struct arena *a = arena_open();
	struct image image = make(a, MODEL_GRAY, false, 256, 1);
	(void)state;
	for (uint32_t x = 0; x < 256; x++)
		*sample(&image, 0, x, 0) = (uint8_t)x;
	bitonal(&image, false);
	for (uint32_t x = 0; x < 256; x++)
		assert_int_equal(*sample(&image, 0, x, 0), x < 128 ? 0 : 255);
	arena_close(a);
}

static void opacity_comes_and_goes(void **state)
{
	struct arena *a = arena_open();
	struct image image = make(a, MODEL_RGB, true, 256, 4), same;
	(void)state;
	for (uint32_t x = 0; x < 256; x++)
		for (uint32_t y = 0; y < 4; y++) {
			*sample(&image, 0, x, y) = 200;
			*sample(&image, 1, x, y) = (uint8_t)x;
			*sample(&image, 2, x, y) = 0;
			*sample(&image, 3, x, y) = (uint8_t)x;
		}
	alpha_multiply(&image);
	assert_int_equal(*sample(&image, 0, 0, 0), 0);
	assert_int_equal(*sample(&image, 0, 255, 0), 200);
	same = image;
	alpha_divide(&same);
	for (uint32_t x = 32; x < 256; x++)
		assert_true(abs(*sample(&same, 0, x, 1) - 200) <= 255 / (int)x + 1);
	alpha_multiply(&same);
	alpha_flatten(&same, 0x0040ff);
	assert_false(same.alpha);
	for (uint32_t x = 0; x < 256; x++) {
		assert_true(fabs(*sample(&same, 0, x, 2) - 200.0 * x / 255) <= 2);
		assert_true(fabs(*sample(&same, 2, x, 2) - (255.0 - x)) <= 2);
	}
	struct image gray = make(a, MODEL_GRAY, true, 1, 1);
	alpha_flatten(&gray, 0x00ff00);
	assert_int_equal(*sample(&gray, 0, 0, 0), 150);
	arena_close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quarters_move_samples),
		cmocka_unit_test(other_angles_against_their_definition),
		cmocka_unit_test(one_pixel_turns_too),
		cmocka_unit_test(turning_keeps_to_its_estimate),
		cmocka_unit_test(dithers_keep_the_mean),
		cmocka_unit_test(thresholds_cut_in_the_middle),
		cmocka_unit_test(opacity_comes_and_goes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
