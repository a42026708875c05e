/* SPDX-License-Identifier: BSD-2-Clause */
/* What every encoder promises (lib/image/encoder.h): bodies are read back by other code and compared as pixels. */
#include <math.h>
#include <stdlib.h>

#include <png.h>

#include "board.h"

#include "image/codecs.h"
#include "image/colour.h"
#include "image/transform.h"
#include "memory.h"

#define SEED 99
#define BODY_LIMIT (UINT64_C(64) << 20)

static const struct encode_options fine = {.jpeg_quality = 98, .png_compression = 6, .webp_quality = 101};

struct sampling {
	uint8_t x, y;
};
static const struct sampling samplings[] = {{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {4, 2}};
#define SAMPLINGS (sizeof samplings / sizeof *samplings)

static const uint32_t sides[][2] = {{1, 1},   {1, 9},	{9, 1},	  {8, 8},   {16, 16},
				    {15, 17}, {33, 63}, {65, 64}, {257, 3}, {100, 75}};
#define SIDES (sizeof sides / sizeof *sides)

/* The picture: slow ramps of their own in each plane, so that every sample is known and no encoder loses much. */
static uint8_t value(int component, double x, double y, uint32_t w, uint32_t h)
{
	static const double start[] = {90, 110, 150}, across[] = {70, 40, -40}, down[] = {60, -30, 30};
	return (uint8_t)lrint(start[component] + across[component] * x / (w + 20) + down[component] * y / (h + 20));
}

static struct image make_image(struct arena *a, enum model model, uint32_t w, uint32_t h, struct sampling s)
{
	struct image image = {.model = model, .n = model_planes(model)};
	struct error err;
	for (int i = 0; i < image.n; i++) {
		struct plane *p = &image.plane[i];
		bool chroma = i > 0 && model == MODEL_YCC;
		p->dx = chroma ? s.x : 1;
		p->dy = chroma ? s.y : 1;
		assert_true(plane_alloc(a, p, (w + (uint32_t)p->dx - 1) / (uint32_t)p->dx,
					(h + (uint32_t)p->dy - 1) / (uint32_t)p->dy, &err));
		/* Padding is nobody's colour. */
		memset(p->at, 255, p->stride * p->h);
		for (uint32_t y = 0; y < p->h; y++)
			for (uint32_t x = 0; x < p->w; x++)
				p->at[y * p->stride + x] = value(i, (x + 0.5) * p->dx, (y + 0.5) * p->dy, w, h);
	}
	return image;
}

static struct image make_noise(struct arena *a, enum model model, uint32_t w, uint32_t h)
{
	struct image image = make_image(a, model, w, h, (struct sampling){1, 1});
	uint32_t random = SEED;
	for (int i = 0; i < image.n; i++)
		for (size_t k = 0; k < image.plane[i].stride * h; k++) {
			random = random * 1664525u + 1013904223u;
			image.plane[i].at[k] = random >> 31 ? 255 : (uint8_t)(random >> 20);
		}
	return image;
}

static struct str encode(struct arena *a, const struct encoder *e, struct image *image, const struct encode_options *o)
{
	struct buf *out = buf_open(a, BODY_LIMIT);
	struct error err = {0};
	if (!e->write(image, o, out, &err))
		fail_msg("%s %u x %u: %d %s", format_name(e->format), image->plane[0].w, image->plane[0].h,
			 err.status, err.why);
	return buf_view(out);
}

/* Reads a PNG by libpng's simple interface, as gray or RGB. */
static struct image read_png(struct arena *a, struct str body)
{
	png_image png = {.version = PNG_IMAGE_VERSION};
	struct error err;
	assert_true(png_image_begin_read_from_memory(&png, body.at, body.n));
	assert_true(png.format == PNG_FORMAT_GRAY || png.format == PNG_FORMAT_RGB);
	struct image image = {.model = png.format == PNG_FORMAT_GRAY ? MODEL_GRAY : MODEL_RGB};
	image.n = model_planes(image.model);
	uint8_t *pixels = arena_alloc(a, PNG_IMAGE_SIZE(png));
	assert_true(png_image_finish_read(&png, NULL, pixels, 0, NULL));
	assert_int_equal(png.warning_or_error, 0);
	for (int i = 0; i < image.n; i++) {
		struct plane *p = &image.plane[i];
		p->dx = p->dy = 1;
		assert_true(plane_alloc(a, p, png.width, png.height, &err));
		for (uint32_t y = 0; y < p->h; y++)
			for (uint32_t x = 0; x < p->w; x++)
				p->at[y * p->stride + x] = pixels[((size_t)y * p->w + x) * (size_t)image.n + (size_t)i];
	}
	return image;
}

static struct image read_jpeg(struct arena *a, struct str body)
{
	assert_true(body.n > 4 && memcmp(body.at + body.n - 2, "\xff\xd9", 2) == 0);
	return read_picture(a, body);
}

/* The JPEG that is the page's one image, in a file whose table says where its objects are. */
static struct image read_pdf(struct arena *a, struct str body)
{
	static const char start[] = "/Filter /DCTDecode /Length ";
	const char *at = memmem(body.at, body.n, start, sizeof start - 1);
	assert_non_null(at);
	char *text = str_dup(a, body), *rest;
	size_t n = strtoul(at + sizeof start - 1, NULL, 10);
	const char *stream = strstr(at, "stream\n") + 7;
	assert_memory_equal(stream + n, "\nendstream", 10);
	assert_memory_equal(text + body.n - 6, "%%EOF\n", 6);
	const char *last = memmem(body.at, body.n, "startxref\n", 10);
	size_t table = strtoul(last + 10, NULL, 10);
	assert_memory_equal(body.at + table, "xref\n0 6\n", 9);
	for (int i = 1; i < 6; i++) {
		size_t object = strtoul(body.at + table + 9 + 20 * i, NULL, 10);
		assert_int_equal(strtoul(body.at + object, &rest, 10), i);
		assert_memory_equal(rest, " 0 obj\n", 7);
	}
	return read_jpeg(a, (struct str){stream, n});
}

/* How bodies are read back, and by how much a sample may differ. */
static const struct {
	struct image (*read)(struct arena *a, struct str body);
	int tolerance;
} readers[FORMATS] = {
	[FORMAT_JPG] = {read_jpeg, 3},
	[FORMAT_PNG] = {read_png, 0},
	[FORMAT_WEBP] = {read_picture, 0},
	[FORMAT_TIF] = {read_picture, 0},
	[FORMAT_PDF] = {read_pdf, 3},
};

static struct image decode(struct arena *a, const struct encoder *e, struct str body)
{
	return readers[e->format].read(a, body);
}

static void check_equal(const struct encoder *e, const struct image *want, const struct image *got, int tolerance)
{
	/* WebP knows no gray. */
	bool coloured = want->model == MODEL_GRAY && e->format == FORMAT_WEBP;
	assert_int_equal(got->model, coloured ? MODEL_RGB : want->model);
	assert_int_equal(got->n, coloured ? 3 : want->n);
	for (int i = 0; i < want->n; i++) {
		const struct plane *p = &want->plane[i], *q = &got->plane[i];
		assert_int_equal(q->w, p->w);
		assert_int_equal(q->h, p->h);
		assert_true(q->dx == p->dx && q->dy == p->dy);
		for (uint32_t y = 0; y < p->h; y++)
			for (uint32_t x = 0; x < p->w; x++) {
				int a = p->at[y * p->stride + x], b = q->at[y * q->stride + x];
				if (abs(a - b) > tolerance)
					fail_msg("%s %u x %u plane %d (%u, %u): %d for %d", format_name(e->format),
						 want->plane[0].w, want->plane[0].h, i, x, y, b, a);
			}
	}
}

/* Every encoder of the table that keeps samples; gif, avif and jp2 have tables of their own (contract_magick.c,
 * contract_jp2.c). */
static const struct encoder *next_encoder(int *format)
{
	while (++*format < FORMATS)
		if (readers[*format].read && encoder_for((enum format)*format))
			return encoder_for((enum format)*format);
	return NULL;
}

static void the_table_is_known(void **state)
{
	int format = -1, n = 0;
	const struct encoder *e;
	(void)state;
	while ((e = next_encoder(&format))) {
		assert_int_equal(e->format, format);
		n++;
	}
	assert_true(n >= 5);
	assert_non_null(encoder_for(FORMAT_JPG));
	assert_non_null(encoder_for(FORMAT_PNG));
}

static void pictures_come_back(void **state)
{
	int format = -1;
	const struct encoder *e;
	(void)state;
	while ((e = next_encoder(&format)))
		for (size_t i = 0; i < SIDES; i++)
			for (size_t s = 0; s < (e->model == MODEL_YCC ? SAMPLINGS : 1); s++) {
				struct arena *a = arena_open();
				struct image image = make_image(a, e->model, sides[i][0], sides[i][1], samplings[s]);
				/* write may scribble into the padding of what it is given, into nothing else */
				struct image given = make_image(a, e->model, sides[i][0], sides[i][1], samplings[s]);
				struct image back = decode(a, e, encode(a, e, &given, &fine));
				check_equal(e, &image, &back, readers[e->format].tolerance);
				check_equal(e, &image, &given, 0);
				arena_close(a);
			}
}

static void gray_stays_gray(void **state)
{
	int format = -1;
	const struct encoder *e;
	(void)state;
	while ((e = next_encoder(&format)))
		for (size_t i = 0; i < SIDES; i++) {
			struct arena *a = arena_open();
			struct image image = make_image(a, MODEL_GRAY, sides[i][0], sides[i][1], samplings[0]);
			struct image back = decode(a, e, encode(a, e, &image, &fine));
			check_equal(e, &image, &back, readers[e->format].tolerance);
			arena_close(a);
		}
}

/* What is YCbCr already need not become RGB for a lossy WebP; gray neither. */
static void lossy_webp_takes_ycc(void **state)
{
	const struct encoder *e = encoder_for(FORMAT_WEBP);
	struct encode_options lossy = fine;
	lossy.webp_quality = 100;
	(void)state;
	assert_true(e->takes_ycc(&lossy));
	assert_false(e->takes_ycc(&fine));
	for (size_t i = 0; i < 2 * SIDES; i++) {
		struct arena *a = arena_open();
		struct error err;
		uint32_t w = sides[i / 2][0], h = sides[i / 2][1];
		struct image image = make_image(a, i % 2 ? MODEL_YCC : MODEL_GRAY, w, h, (struct sampling){2, 2});
		struct image back = decode(a, e, encode(a, e, &image, &lossy));
		assert_true(image.model != MODEL_YCC || colour_to_rgb(a, &image, &err));
		assert_int_equal(back.n, 3);
		for (int c = 0; c < 3; c++)
			for (uint32_t y = 0; y < h; y++)
				for (uint32_t x = 0; x < w; x++) {
					const struct plane *want = &image.plane[image.n == 3 ? c : 0], *got = &back.plane[c];
					int difference = want->at[y * want->stride + x] - got->at[y * got->stride + x];
					if (abs(difference) > 5)
						fail_msg("%u x %u channel %d (%u, %u): %d", w, h, c, x, y, difference);
				}
		arena_close(a);
	}
}

/* Reds stay red: the model that the file states is the one its samples are in. */
static void colours_are_what_they_were(void **state)
{
	static const uint8_t colours[][3] = {{200, 30, 40}, {30, 190, 50}, {40, 60, 210}, {250, 250, 250}, {3, 3, 3}};
	int format = -1;
	const struct encoder *e;
	(void)state;
	while ((e = next_encoder(&format)))
		for (size_t k = 0; k < sizeof colours / sizeof *colours; k++) {
			struct arena *a = arena_open();
			struct image image = make_image(a, MODEL_RGB, 20, 13, samplings[0]);
			for (int c = 0; c < 3; c++)
				memset(image.plane[c].at, colours[k][c], image.plane[c].stride * image.plane[c].h);
			if (e->model == MODEL_YCC)
				colour_rgb_to_ycc(&image);
			struct image back = decode(a, e, encode(a, e, &image, &fine));
			if (back.model == MODEL_YCC)
				colour_ycc_to_rgb(&back);
			assert_int_equal(back.n, 3);
			for (int c = 0; c < 3; c++)
				assert_in_range(back.plane[c].at[0] + 4, colours[k][c], colours[k][c] + 8);
			arena_close(a);
		}
}

static void options_count(void **state)
{
	struct arena *a = arena_open();
	struct encode_options few = {.jpeg_quality = 10}, many = {.jpeg_quality = 95, .png_compression = 9};
	struct image image = make_image(a, MODEL_YCC, 200, 100, samplings[0]);
	(void)state;
	assert_true(encode(a, encoder_for(FORMAT_JPG), &image, &few).n < encode(a, encoder_for(FORMAT_JPG), &image, &many).n);
	image = make_image(a, MODEL_RGB, 200, 100, samplings[0]);
	assert_true(encode(a, encoder_for(FORMAT_PNG), &image, &few).n > encode(a, encoder_for(FORMAT_PNG), &image, &many).n);
	arena_close(a);
}

/* All levels of PNG, of gray, colour and with opacity; the last size is beyond what is packed at once. */
static void png_is_exact_at_every_level(void **state)
{
	static const uint32_t png_sides[][2] = {{1, 1}, {2, 3}, {255, 7}, {300, 200}, {3000, 1900}};
	(void)state;
	for (size_t i = 0; i < sizeof png_sides / sizeof *png_sides; i++)
		for (int kind = 0; kind < 4; kind++)
			for (int level = i == 4 ? 3 : 0; level <= (i == 4 ? 3 : 9); level++) {
				struct arena *a = arena_open();
				uint32_t w = png_sides[i][0], h = png_sides[i][1];
				enum model model = kind % 2 ? MODEL_RGB : MODEL_GRAY;
				struct encode_options o = {.png_compression = level};
				struct image image = make_noise(a, model, w, h), opaque = make_noise(a, MODEL_GRAY, w, h);
				image.alpha = kind >= 2;
				if (image.alpha)
					image.plane[image.n] = opaque.plane[0];
				struct str body = encode(a, encoder_for(FORMAT_PNG), &image, &o);
				png_image png = {.version = PNG_IMAGE_VERSION};
				assert_true(png_image_begin_read_from_memory(&png, body.at, body.n));
				int channels = image_planes(&image);
				assert_int_equal(PNG_IMAGE_SAMPLE_CHANNELS(png.format), channels);
				uint8_t *pixels = arena_alloc(a, PNG_IMAGE_SIZE(png)), *room = arena_alloc(a, (size_t)w * 4);
				assert_true(png_image_finish_read(&png, NULL, pixels, 0, NULL));
				assert_int_equal(png.warning_or_error, 0);
				for (uint32_t y = 0; y < h; y++)
					assert_memory_equal(pixels + (size_t)y * w * (size_t)channels, image_get_row(&image, y, room),
							    (size_t)w * (size_t)channels);
				arena_close(a);
			}
}

/* The longest sides that JPEG files have; what is longer is refused, not broken off. */
static void sides_have_limits(void **state)
{
	(void)state;
	for (int turned = 0; turned < 2; turned++)
		for (uint32_t side = JPEG_MAX_SIDE; side <= JPEG_MAX_SIDE + 1; side++) {
			struct arena *a = arena_open();
			struct error err = {0};
			struct image image = make_image(a, MODEL_GRAY, turned ? 1 : side, turned ? side : 1, samplings[0]);
			struct buf *out = buf_open(a, BODY_LIMIT);
			bool ok = encoder_for(FORMAT_JPG)->write(&image, &fine, out, &err);
			assert_int_equal(ok, side == JPEG_MAX_SIDE);
			if (!ok) {
				assert_int_equal(err.status, 413);
				assert_int_equal(err.reason, REASON_TOO_LARGE);
			}
			encode(a, encoder_for(FORMAT_PNG), &image, &fine);
			arena_close(a);
		}
}

static void a_full_body_buffer_is_an_error(void **state)
{
	int format = -1;
	const struct encoder *e;
	(void)state;
	while ((e = next_encoder(&format))) {
		struct arena *outer = arena_open();
		struct image image = make_noise(outer, e->model, 300, 200);
		size_t whole = encode(outer, e, &image, &fine).n;
		for (size_t limit = 0; limit < whole; limit = limit * 2 + 61) {
			struct arena *a = arena_open();
			struct error err = {0};
			struct buf *out = buf_open(a, limit);
			assert_false(e->write(&image, &fine, out, &err));
			assert_int_equal(err.status, 413);
			assert_non_null(err.say);
			arena_close(a);
		}
		arena_close(outer);
	}
}

/* The worst that can be drawn, written at the highest quality and without compression, fits the estimated body. */
static void noise_fits_the_estimated_body(void **state)
{
	static const uint32_t noise_sides[][2] = {{1, 1},   {1, 3000},	{3000, 1},  {7, 5},
						  {64, 64}, {130, 130}, {300, 200}, {900, 700}};
	struct encode_options most = {.jpeg_quality = 100, .png_compression = 0, .webp_quality = 101};
	int format = -1;
	const struct encoder *e;
	(void)state;
	while ((e = next_encoder(&format)))
		for (size_t i = 0; i < 2 * sizeof noise_sides / sizeof *noise_sides; i++) {
			most.png_compression = i % 2;
			struct arena *a = arena_open();
			uint32_t w = noise_sides[i / 2][0], h = noise_sides[i / 2][1];
			struct error err = {0};
			struct image image = make_noise(a, e->model, w, h);
			struct buf *out = buf_open(a, encoder_body_bytes(w, h));
			if (!e->write(&image, &most, out, &err))
				fail_msg("%s %u x %u: %d %s", format_name(e->format), w, h, err.status, err.why);
			arena_close(a);
		}
}

static void estimates_hold(void **state)
{
	static const uint32_t large[][2] = {{1, 1}, {3000, 1000}, {20000, 30}, {60000, 8}, {40, 9000}};
	int format = -1;
	const struct encoder *e;
	(void)state;
	while ((e = next_encoder(&format)))
		for (size_t i = 0; i < 2 * sizeof large / sizeof *large; i++) {
			struct arena *a = arena_open();
			uint32_t w = large[i / 2][0], h = large[i / 2][1];
			struct encode_options o = fine;
			o.png_compression = i % 2 ? 3 : 6;
			if (e->format == FORMAT_WEBP && w > WEBP_MAX_SIDE)
				w = WEBP_MAX_SIDE;
			struct image image = make_image(a, e->model, w, h, samplings[0]);
			struct buf *out = buf_open(a, BODY_LIMIT);
			struct error err = {0};
			uint64_t started = peak_start();
			assert_true(e->write(&image, &o, out, &err));
			uint64_t peak = peak_since(started), estimate = e->memory(w, h) + out->cap;
			if (peak > estimate + PEAK_SLACK / 4)
				fail_msg("%s %u x %u: %llu bytes of %llu", format_name(e->format), w, h,
					 (unsigned long long)peak, (unsigned long long)estimate);
			arena_close(a);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_known),
		cmocka_unit_test(pictures_come_back),
		cmocka_unit_test(gray_stays_gray),
		cmocka_unit_test(lossy_webp_takes_ycc),
		cmocka_unit_test(colours_are_what_they_were),
		cmocka_unit_test(options_count),
		cmocka_unit_test(png_is_exact_at_every_level),
		cmocka_unit_test(sides_have_limits),
		cmocka_unit_test(a_full_body_buffer_is_an_error),
		cmocka_unit_test(noise_fits_the_estimated_body),
		cmocka_unit_test(estimates_hold),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
