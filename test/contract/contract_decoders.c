/* SPDX-License-Identifier: BSD-2-Clause */
/* What every decoder promises (lib/image/decoder.h), on the images of test/data/make_images.py. */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"

#include "image/codecs.h"
#include "image/colour.h"
#include "source/source_file.h"

#define BOARD 10
#define W 1003
#define H 701

struct sample {
	const char *file;
	bool gray;
	int tolerance;       /* of the colours at known points */
};

static const struct sample samples[] = {
	{"s420.jpg", false, 8},	       {"s422.jpg", false, 8},	     {"s444.jpg", false, 8},
	{"progressive.jpg", false, 8}, {"gray.jpg", true, 8},	     {"none.tif", false, 0},
	{"lzw.tif", false, 0},	       {"deflate.tif", false, 0},    {"packbits.tif", false, 0},
	{"gray.tif", true, 1},	       {"tiled-none.tif", false, 0}, {"tiled-deflate.tif", false, 0},
	{"tiled-jpeg.tif", false, 8},  {"striped-jpeg.tif", false, 8},
	{"colours.gif", false, 20},    {"interlaced.gif", false, 20}, {"gray.gif", true, 1},
	{"rgb.bmp", false, 0},	       {"gray.bmp", true, 1},	     {"rgb.ppm", false, 0},
	{"gray.pgm", true, 1},	       {"deep.ppm", false, 0},
	{"plain.psd", false, 0},       {"packed.psd", false, 0},     {"deep.psd", false, 0},
	{"gray.psd", true, 1},	       {"s.heic", false, 8},	     {"s.avif", false, 8},
};
#define SAMPLES (sizeof samples / sizeof *samples)

static char *image_path(const char *name)
{
	static char path[4096];
	const char *folder = getenv("LORIKEET_TEST_IMAGES");
	snprintf(path, sizeof path, "%s/%s", folder ? folder : "build/test-images", name);
	return path;
}

static struct picture open_sample(struct arena *a, const char *name)
{
	struct error err = {0};
	struct source *source;
	struct picture p = {0};
	if (!file_source_open_path(a, image_path(name), &source, &err) ||
	    !picture_open(a, decoders, source, 1, &p, &err))
		fail_msg("%s: %s %s", name, err.say, err.why);
	return p;
}

static struct image read_sample(struct arena *a, const struct picture *p, struct rect region, double step,
				bool gray)
{
	struct error err = {0};
	struct image image;
	struct wants w = {.region = region, .step_x = step, .step_y = step, .gray = gray, .chroma_x = 1, .chroma_y = 1};
	uint64_t estimate = p->decoder->memory(p, &w);
	size_t before = arena_peak_bytes(a);
	if (!p->decoder->read(a, p, &w, &image, &err))
		fail_msg("%s %s", err.say, err.why);
	assert_true(arena_peak_bytes(a) - before <= estimate);
	return image;
}

/* The sample of a plane at a full-image point. */
static int at(const struct plane *p, double x, double y)
{
	double i = (x - p->x) / p->dx, j = (y - p->y) / p->dy;
	assert_true(i >= 0 && j >= 0 && i < p->w && j < p->h);
	return p->at[(size_t)j * p->stride + (size_t)i];
}

static void colour_at(const struct image *image, double x, double y, int rgb[3])
{
	struct plane pixel[3];
	uint8_t v[3];
	struct image one = {.model = image->model, .n = image->n};
	for (int i = 0; i < image->n; i++) {
		v[i] = (uint8_t)at(&image->plane[i], x, y);
		pixel[i] = (struct plane){.at = &v[i], .w = 1, .h = 1, .stride = 1, .dx = 1, .dy = 1};
		one.plane[i] = pixel[i];
	}
	if (one.model == MODEL_YCC)
		colour_ycc_to_rgb(&one);
	for (int i = 0; i < 3; i++)
		rgb[i] = v[image->n == 3 ? i : 0];
}

/* make_images.py, square() */
static void board_colour(int column, int row, int rgb[3])
{
	rgb[0] = 40 + (column * 67 + row * 31) % 176;
	rgb[1] = 40 + (column * 29 + row * 97) % 176;
	rgb[2] = 40 + (column * 113 + row * 59) % 176;
}

static void check_colours(const struct image *image, const struct sample *s)
{
	for (int row = 0; row < BOARD; row++)
		for (int column = 0; column < BOARD; column++) {
			int want[3], got[3];
			board_colour(column, row, want);
			if (s->gray)
				want[0] = want[1] = want[2] = (299 * want[0] + 587 * want[1] + 114 * want[2] + 500) / 1000;
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
		for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
			struct arena *a = arena_open();
			struct picture p = open_sample(a, samples[i].file);
			struct image full = read_sample(a, &p, (struct rect){0, 0, W, H}, steps[k], false);
			for (size_t r = 0; r < sizeof regions / sizeof *regions; r++) {
				struct image part = read_sample(a, &p, regions[r], steps[k], false);
				assert_int_equal(part.n, full.n);
				for (int c = 0; c < part.n; c++) {
					const struct plane *q = &part.plane[c];
					assert_true(q->dx == full.plane[c].dx && q->dy == full.plane[c].dy);
					assert_true(q->x <= regions[r].x && q->y <= regions[r].y);
					assert_true(q->x + q->w * q->dx >= regions[r].x + regions[r].w);
					assert_true(q->y + q->h * q->dy >= regions[r].y + regions[r].h);
					for (uint32_t y = 0; y < q->h; y++)
						for (uint32_t x = 0; x < q->w; x++)
							assert_int_equal(q->at[y * q->stride + x],
									 at(&full.plane[c], q->x + (x + 0.5) * q->dx,
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

static struct str load(struct arena *a, const char *name)
{
	struct source *s;
	struct error err;
	assert_true(file_source_open_path(a, image_path(name), &s, &err));
	char *bytes = arena_alloc(a, s->validator.length);
	assert_true(source_read(s, bytes, s->validator.length, 0, &err));
	return (struct str){bytes, s->validator.length};
}

/* Opens and reads the whole image; true if both worked. */
static bool decodes(struct arena *a, struct str bytes, struct error *err)
{
	struct picture p;
	struct image image;
	if (!picture_open(a, decoders, memory_source_open(a, bytes), 1, &p, err))
		return false;
	struct wants w = {.region = {0, 0, p.stored_w, p.stored_h}, .step_x = 1, .step_y = 1, .chroma_x = 2, .chroma_y = 2};
	return p.decoder->read(a, &p, &w, &image, err);
}

/* A file cut anywhere is an error with a status, never a picture with a gray end. */
static void truncated_files_are_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		struct arena *outer = arena_open();
		struct str bytes = load(outer, samples[i].file);
		for (size_t part = 1; part < 20; part++) {
			struct arena *a = arena_open();
			struct error err = {0};
			struct str cut = {bytes.at, bytes.n * part / 20};
			if (decodes(a, cut, &err))
				fail_msg("%s cut to %zu of %zu bytes was decoded", samples[i].file, cut.n, bytes.n);
			assert_true(err.status == 500 || err.status == 501);
			assert_non_null(err.say);
			arena_close(a);
		}
		arena_close(outer);
	}
}

static void a_jpeg_without_its_last_marker_is_whole(void **state)
{
	struct arena *a = arena_open();
	struct error err;
	struct str bytes = load(a, "s420.jpg");
	(void)state;
	bytes.n -= 2;
	assert_true(decodes(a, bytes, &err));
	arena_close(a);
}

static void other_bytes_are_unsupported(void **state)
{
	static const char *const texts[] = {"<svg/>", "GIF89a", "\x89PNG\r\n\x1a\n", "hello", "\xff"};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct arena *a = arena_open();
		struct error err = {0};
		assert_false(decodes(a, str_of(texts[i]), &err));
		assert_int_equal(err.status, 501);
		arena_close(a);
	}
	struct arena *a = arena_open();
	struct error err = {0};
	assert_false(decodes(a, STR(""), &err));
	assert_int_equal(err.status, 500);
	arena_close(a);
}

static bool broken_read(struct source *s, void *to, size_t n, uint64_t offset, struct error *err)
{
	if (offset + n > s->validator.length / 3)
		return fail(err, 504, REASON_IO, "The origin is late.", "test");
	memcpy(to, (const char *)s->bytes + offset, n);
	return true;
}

/* An I/O failure in the middle of decoding stays what it is. */
static void io_failures_are_no_damage(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		struct arena *a = arena_open();
		struct error err = {0};
		struct picture p;
		struct image image;
		struct source *s = memory_source_open(a, load(a, samples[i].file));
		s->read = broken_read;
		if (picture_open(a, decoders, s, 1, &p, &err)) {
			struct wants w = {.region = {0, 0, W, H}, .step_x = 1, .step_y = 1, .chroma_x = 2, .chroma_y = 2};
			assert_false(p.decoder->read(a, &p, &w, &image, &err));
		}
		if (err.status != 504)
			fail_msg("%s: %d %s", samples[i].file, err.status, err.why);
		arena_close(a);
	}
}

static void pages(void **state)
{
	static const uint32_t sides[3][2] = {{400, 300}, {320, 200}, {W, H}};
	(void)state;
	struct arena *a = arena_open();
	struct error err = {0};
	struct source *s;
	struct picture p;
	assert_true(file_source_open_path(a, image_path("pages.tif"), &s, &err));
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
		cmocka_unit_test(reduced_reads_keep_the_colours),
		cmocka_unit_test(region_is_crop_of_full),
		cmocka_unit_test(gray_needs_one_plane),
		cmocka_unit_test(truncated_files_are_errors),
		cmocka_unit_test(a_jpeg_without_its_last_marker_is_whole),
		cmocka_unit_test(other_bytes_are_unsupported),
		cmocka_unit_test(io_failures_are_no_damage),
		cmocka_unit_test(pages),
		cmocka_unit_test(orientation_turns_the_sides),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
