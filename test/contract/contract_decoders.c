/* SPDX-License-Identifier: BSD-2-Clause */
/* What every decoder promises (lib/image/decoder.h), on the images of test/data/make_images.py. */
#include "samples.h"

#include <math.h>

#include "image/colour.h"
#include "memory.h"

static struct picture open_sample(struct arena *a, const char *name)
{
	struct error err = {0};
	struct picture p = {0};
	if (!picture_open(a, decoders, sample_source(a, name), 1, &p, &err))
		fail_msg("%s: %s %s", name, err.say, err.why);
	return p;
}

static struct image read_wanted(struct arena *a, const struct picture *p, struct wants w)
{
	struct error err = {0};
	struct image image;
	if (!p->decoder->read(a, p, &w, &image, &err) || (image.deep && !colour_as_it_is(a, &image, false, &err)))
		fail_msg("%s %s", err.say, err.why);
	/* To the 8 bits that the checks look at. */
	if (image.deep)
		assert_true(colour_as_it_is(a, &image, false, &err));
	return image;
}

static struct image read_sample(struct arena *a, const struct picture *p, struct rect region, double step,
				bool gray)
{
	return read_wanted(a, p, (struct wants){.region = region, .step_x = step, .step_y = step, .gray = gray,
						.chroma_x = 1, .chroma_y = 1});
}

/* For answers with as much chroma as luma, or half. */
static struct image read_for_chroma(struct arena *a, const struct picture *p, struct rect region, double step, uint8_t sub)
{
	return read_wanted(a, p, (struct wants){.region = region, .step_x = step, .step_y = step, .chroma_x = sub,
						.chroma_y = sub});
}

static void check_colours(const struct image *image, const struct sample *s)
{
	for (int row = 0; row < BOARD; row++)
		for (int column = 0; column < BOARD; column++) {
			int want[3], got[3];
			board_colour(column, row, s->gray, want);
			colour_at(image, (column + 0.5) * W / BOARD, (row + 0.5) * H / BOARD, got);
			for (int c = 0; c < 3; c++)
				/* 6 is the ripple over the squares. */
				if (abs(got[c] - want[c]) > 6 + s->tolerance)
					fail_msg("%s square %d,%d: %d for %d", s->file, column, row, got[c], want[c]);
		}
}

static void sizes_and_colours(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		struct arena *a = arena_open();
		struct picture p = open_sample(a, samples[i].file);
		assert_int_equal(p.facts.w, W);
		assert_int_equal(p.facts.h, H);
		assert_int_equal(p.facts.gray, samples[i].gray);
		struct image image = read_sample(a, &p, (struct rect){0, 0, W, H}, 1, false);
		assert_int_equal(image.n, samples[i].gray ? 1 : 3);
		check_colours(&image, &samples[i]);
		arena_close(a);
	}
}

/* Straight opacity from 55 at the left to 255 at the right (make_images.py, opacity()). */
static void opacity_is_a_plane(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		bool clear = strncmp(samples[i].file, "clear", 5) == 0 || strncmp(samples[i].file, "multiplied", 10) == 0;
		struct arena *a = arena_open();
		struct picture p = open_sample(a, samples[i].file);
		struct image image = read_sample(a, &p, (struct rect){100, 50, 800, 600}, 1, false);
		assert_int_equal(p.facts.alpha, clear);
		assert_int_equal(image.alpha, clear);
		for (uint32_t x = 150; clear && x < 850; x += 90)
			assert_in_range(plane_at(&image.plane[image.n], x + 0.5, 300.5), 55 + 200 * x / 1002 - 1,
					55 + 200 * x / 1002 + 1);
		arena_close(a);
	}
}

static void reduced_reads_keep_the_colours(void **state)
{
	static const double steps[] = {1.4, 2, 3, 7.9, 13};
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++)
		for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
			struct arena *a = arena_open();
			struct picture p = open_sample(a, samples[i].file);
			struct image image = read_sample(a, &p, (struct rect){0, 0, W, H}, steps[k], false);
			assert_true(image.plane[0].dx <= steps[k] && image.plane[0].dy <= steps[k]);
			check_colours(&image, &samples[i]);
			arena_close(a);
		}
}

/* Each sample of a region's planes is the very sample that the full image has at that place. */
static void region_is_crop_of_full(void **state)
{
	static const struct rect regions[] = {{0, 0, 1, 1}, {1002, 700, 1, 1}, {255, 127, 300, 200},
					      {511, 3, 17, 600}, {100, 333, 903, 5}, {640, 640, 363, 61}};
	static const double steps[] = {1, 2.5, 4, 12};
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++)
		for (size_t k = 0; k < 2 * sizeof steps / sizeof *steps; k++) {
			struct arena *a = arena_open();
			struct picture p = open_sample(a, samples[i].file);
			uint8_t sub = k % 2 ? 2 : 1;
			struct image full = read_for_chroma(a, &p, (struct rect){0, 0, W, H}, steps[k / 2], sub);
			for (size_t r = 0; r < sizeof regions / sizeof *regions; r++) {
				struct image part = read_for_chroma(a, &p, regions[r], steps[k / 2], sub);
				assert_int_equal(part.n, full.n);
				for (int c = 0; c < part.n; c++) {
					const struct plane *q = &part.plane[c];
					assert_true(q->dx == full.plane[c].dx && q->dy == full.plane[c].dy);
					assert_true(q->x <= regions[r].x && q->y <= regions[r].y);
					/* A level that was rounded down ends before the image does. */
					double right = full.plane[c].w * q->dx, bottom = full.plane[c].h * q->dy;
					assert_true(q->x + q->w * q->dx >= fmin(regions[r].x + regions[r].w, right));
					assert_true(q->y + q->h * q->dy >= fmin(regions[r].y + regions[r].h, bottom));
					for (uint32_t y = 0; y < q->h; y++)
						for (uint32_t x = 0; x < q->w; x++)
							assert_int_equal(q->at[y * q->stride + x],
									 plane_at(&full.plane[c], q->x + (x + 0.5) * q->dx,
										  q->y + (y + 0.5) * q->dy));
				}
			}
			arena_close(a);
		}
}

static void gray_needs_one_plane(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		struct arena *a = arena_open();
		struct error err;
		struct picture p = open_sample(a, samples[i].file);
		struct image image = read_sample(a, &p, (struct rect){0, 0, W, H}, 2, true);
		assert_true(image.n == 1 || image.model == MODEL_RGB);
		assert_true(colour_to_srgb(a, &image, true, &err));
		assert_int_equal(image.n, 1);
		arena_close(a);
	}
}

/* Each sample lies where its plane says: in the middle of what it stands for, in pictures that rise evenly by
 * an eighth a column and a sixth a row (make_images.py, make_ramps). */
static void samples_lie_where_planes_say(void **state)
{
	static const char *const names[] = {"11", "21", "12", "22", "41", "14", "42", "sparse"};
	static const double steps[] = {1, 1.6, 2, 3.2, 4, 6.5, 13, 30};
	static const double start[] = {40, 60, 220}, sign[] = {1, 1, -1};
	const double w = 640, h = 480;
	(void)state;
	for (size_t i = 0; i < 2 * sizeof names / sizeof *names - 1; i++)
		for (size_t k = 0; k < 2 * sizeof steps / sizeof *steps; k++) {
			double step = steps[k / 2];
			struct arena *a = arena_open();
			char *name = arena_printf(a, "ramp-%s.%s", names[i / 2], i % 2 || i == 14 ? "tif" : "jpg");
			struct picture p = open_sample(a, name);
			struct image image = read_for_chroma(a, &p, (struct rect){0, 0, 640, 480}, step, k % 2 ? 2 : 1);
			for (int c = 0; c < 3; c++) {
				const struct plane *q = &image.plane[c];
				double sum = 0, n = 0;
				for (uint32_t row = 0; row < q->h; row++)
					for (uint32_t column = 0; column < q->w; column++) {
						double x = q->x + (column + 0.5) * q->dx, y = q->y + (row + 0.5) * q->dy;
						double want = start[c] + sign[c] * (x / 8 + y / 6);
						int got = q->at[row * q->stride + column];
						/* The last samples stand for repeated ones too. */
						if (x + q->dx > w || y + q->dy > h)
							continue;
						sum += got - want;
						n++;
						if (fabs(got - want) > 2)
							fail_msg("%s step %g plane %d (%u, %u): %d for %g", name, step,
								 c, column, row, got, want);
					}
				/* A quarter of a sample to the side is 0.03 dx. */
				if (fabs(sum / n) > 0.025 * q->dx)
					fail_msg("%s step %g plane %d is displaced by about %g columns", name, step, c,
						 -sum / n * 24 / 7 * sign[c]);
			}
			arena_close(a);
		}
}

/* Below full scale libjpeg gives 4:2:0's chroma luma's grid, and RGB is YCbCr in the end: where half of that is wanted it is
 * halved, by means. */
static void chroma_is_halved_where_that_suffices(void **state)
{
	static const char *const names[] = {"s420.jpg", "ramp-22.jpg", "tiled-jpeg.tif", "progressive.jpg",
					    "one-strip.tif", "big-endian.tif"};
	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct arena *a = arena_open();
		struct picture p = open_sample(a, names[i]);
		struct rect all = {0, 0, p.stored_w, p.stored_h};
		struct image whole = read_for_chroma(a, &p, all, 4, 1), half = read_for_chroma(a, &p, all, 4, 2);
		if (whole.model == MODEL_RGB)
			colour_rgb_to_ycc(&whole);
		assert_int_equal(half.model, MODEL_YCC);
		struct image one = read_wanted(a, &p, (struct wants){.region = all, .step_x = 4, .step_y = 4, .upsamples = true,
									.chroma_x = 2, .chroma_y = 2});
		for (int c = 0; c < 3; c++) {
			const struct plane *q = &half.plane[c], *from = &whole.plane[c];
			assert_true(one.plane[c].dx == from->dx);
			assert_true(q->dx == (c ? 2 : 1) * from->dx && q->dy == (c ? 2 : 1) * from->dy);
			assert_int_equal(q->w, c ? (from->w + 1) / 2 : from->w);
			assert_int_equal(q->h, c ? (from->h + 1) / 2 : from->h);
			for (uint32_t y = 0; c && y < q->h; y++)
				for (uint32_t x = 0; x < q->w; x++) {
					uint32_t right = 2 * x + 1 < from->w ? 2 * x + 1 : 2 * x, below = 2 * y + 1 < from->h ? 2 * y + 1 : 2 * y;
					const uint8_t *u = from->at + 2 * y * from->stride, *v = from->at + below * from->stride;
					int sum = u[2 * x] + u[right] + v[2 * x] + v[right];
					assert_in_range(4 * q->at[y * q->stride + x] - sum + 2, 0, 4);
				}
		}
		arena_close(a);
	}
}

/* Levels are found, and a read takes the one that suffices. */
static void pyramids_have_levels(void **state)
{
	static const char *const names[] = {"subs-jpeg.tif", "pages-jpeg.tif", "mixed-jpeg.tif", "subs-deflate.tif",
					    "pages-deflate.tif"};
	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct arena *a = arena_open();
		struct picture p = open_sample(a, names[i]);
		bool down = strstr(names[i], "deflate");
		assert_int_equal(p.facts.n_levels, 5);
		for (unsigned k = 0; k < 5; k++) {
			assert_int_equal(p.facts.level[k].w, down ? W >> k : (W + (1 << k) - 1) >> k);
			assert_int_equal(p.facts.level[k].h, down ? H >> k : (H + (1 << k) - 1) >> k);
			struct image image = read_sample(a, &p, (struct rect){0, 0, W, H}, 1 << k, false);
			assert_true(image.plane[0].dx == 1 << k && image.plane[0].dy == 1 << k);
		}
		arena_close(a);
	}
}

/* The estimate is what refuses requests: never below what a read takes, libraries included, and not so far
 * above that it refuses what could be done. */
static void estimates_hold(void **state)
{
	static const struct rect regions[] = {{0, 0, W, H}, {0, 0, 1, 1}, {1002, 700, 1, 1}, {255, 127, 300, 200},
					      {0, 690, W, 11}, {900, 0, 103, H}};
	static const double steps[] = {0.4, 1, 2, 3, 8, 40};
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++)
		for (size_t r = 0; r < sizeof regions / sizeof *regions; r++)
			for (size_t k = 0; k < 2 * sizeof steps / sizeof *steps; k++) {
				struct arena *a = arena_open();
				struct picture p = open_sample(a, samples[i].file);
				struct wants w = {.region = regions[r], .step_x = steps[k / 2], .step_y = steps[k / 2],
						  .gray = k % 2, .chroma_x = 2, .chroma_y = 2};
				uint64_t estimate = p.decoder->memory(&p, &w);
				struct error err = {0};
				struct image image;
				uint64_t started = peak_start();
				assert_true(p.decoder->read(a, &p, &w, &image, &err));
				uint64_t peak = peak_since(started);
				if (arena_peak_bytes(a) > estimate || peak > estimate + PEAK_SLACK)
					fail_msg("%s region %zu step %g: %llu and %llu bytes of %llu", samples[i].file, r,
						 steps[k / 2], (unsigned long long)arena_peak_bytes(a),
						 (unsigned long long)peak, (unsigned long long)estimate);
				/* ImageMagick and libheif hold whole pictures in samples of their own. */
				const char *end = samples[i].file + strlen(samples[i].file) - 3;
				bool foreign = strstr("gif bmp ppm pgm psd eic vif", end) != NULL;
				if (estimate > (uint64_t)(foreign ? 60 : 12) * W * H + (4 << 20))
					fail_msg("%s region %zu step %g: estimated at %llu", samples[i].file, r,
						 steps[k / 2], (unsigned long long)estimate);
				arena_close(a);
			}
}

/* Of a lossy WebP rows are boxed as they come, and their memory is given back meanwhile: what is decoded takes 22 MB. */
static void a_large_webp_is_never_held_whole(void **state)
{
	enum { SIDE = 4, TALL = 3001, WIDE = 4999 };
	struct arena *a = arena_open();
	struct picture p = open_sample(a, "large.webp");
	struct rect all = {0, 0, WIDE, TALL};
	(void)state;
	uint64_t started = peak_start();
	struct image small = read_for_chroma(a, &p, all, 2 * SIDE, 2);
	assert_in_range(peak_since(started), 0, 16 << 20);
	assert_int_equal(small.model, MODEL_YCC);
	assert_true(small.plane[0].dx == SIDE && small.plane[0].dy == SIDE);

	struct plane luma = read_sample(a, &p, all, 1, true).plane[0], *q = &small.plane[0];
	for (uint32_t y = 0; y < q->h; y++)
		for (uint32_t x = 0; x < q->w; x++) {
			int sum = 0, n = 0;
			for (uint32_t v = y * SIDE; v < at_most((y + 1) * SIDE, TALL); v++)
				for (uint32_t u = x * SIDE; u < at_most((x + 1) * SIDE, WIDE); u++, n++)
					sum += luma.at[v * luma.stride + u];
			/* Both were stretched to full range, after the mean and before. */
			assert_in_range(q->at[y * q->stride + x] - sum / n + 2, 0, 4);
		}
	arena_close(a);
}

static void pages(void **state)
{
	static const uint32_t sides[3][2] = {{400, 300}, {320, 200}, {W, H}};
	(void)state;
	struct arena *a = arena_open();
	struct error err = {0};
	struct source *s = sample_source(a, "pages.tif");
	struct picture p;
	for (uint32_t page = 1; page <= 3; page++) {
		assert_true(picture_open(a, decoders, s, page, &p, &err));
		assert_int_equal(p.facts.w, sides[page - 1][0]);
		assert_int_equal(p.facts.h, sides[page - 1][1]);
		assert_int_equal(p.facts.n_levels, 1);
	}
	assert_false(picture_open(a, decoders, s, 4, &p, &err));
	assert_int_equal(err.status, 404);
	arena_close(a);
}

static void orientation_turns_the_sides(void **state)
{
	(void)state;
	for (int n = 1; n <= 8; n++) {
		struct arena *a = arena_open();
		char name[32];
		snprintf(name, sizeof name, "orientation%d.jpg", n);
		struct picture p = open_sample(a, name);
		assert_int_equal(p.facts.orientation, n);
		assert_int_equal(p.facts.w, n >= 5 ? H : W);
		assert_int_equal(p.facts.h, n >= 5 ? W : H);
		assert_int_equal(p.stored_w, W);
		arena_close(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_and_colours),
		cmocka_unit_test(opacity_is_a_plane),
		cmocka_unit_test(reduced_reads_keep_the_colours),
		cmocka_unit_test(region_is_crop_of_full),
		cmocka_unit_test(gray_needs_one_plane),
		cmocka_unit_test(samples_lie_where_planes_say),
		cmocka_unit_test(chroma_is_halved_where_that_suffices),
		cmocka_unit_test(pyramids_have_levels),
		cmocka_unit_test(estimates_hold),
		cmocka_unit_test(a_large_webp_is_never_held_whole),
		cmocka_unit_test(pages),
		cmocka_unit_test(orientation_turns_the_sides),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
