/* SPDX-License-Identifier: BSD-2-Clause */
/* What is made of stored tiles (lib/image/passthrough.h): the pixels of one encoding at once, or nothing. */
#include "board.h"

#include "image/jpeg_write.h"
#include "image/passthrough.h"

#define TILE 64
#define QUALITY 90
#define LIMIT (1 << 20)

static const struct metadata nothing;

/* Planes of noise over gradients, so that no two blocks are alike. */
static struct image make_image(struct arena *a, enum model model, uint32_t sub_x, uint32_t sub_y, uint32_t w, uint32_t h)
{
	struct image image = {.model = model, .n = model_planes(model)};
	struct error err;
	uint32_t random = 1;
	for (int i = 0; i < image.n; i++) {
		struct plane *p = &image.plane[i];
		uint32_t x_step = i ? sub_x : 1, y_step = i ? sub_y : 1;
		assert_true(plane_alloc(a, p, w / x_step, h / y_step, &err));
		p->dx = x_step;
		p->dy = y_step;
		for (uint32_t y = 0; y < p->h; y++)
			for (uint32_t x = 0; x < p->w; x++) {
				random = random * 1664525 + 1013904223;
				p->at[y * p->stride + x] = (uint8_t)(x + y * 2 + (uint32_t)i * 60 + (random >> 27));
			}
	}
	return image;
}

static struct image part_of(const struct image *image, uint32_t x, uint32_t y)
{
	struct image part = *image;
	for (int i = 0; i < image->n; i++) {
		struct plane *p = &part.plane[i];
		p->w = TILE / (uint32_t)p->dx;
		p->h = TILE / (uint32_t)p->dy;
		p->at += y * p->h * p->stride + x * p->w;
	}
	return part;
}

static struct stored_tiles make_tiles(struct arena *a, const struct image *image, uint32_t across, uint32_t down)
{
	struct error err = {0};
	struct buf *tables = buf_open(a, LIMIT);
	struct str *streams = arena_array(a, struct str, across * down);
	assert_true(jpeg_tile_tables(image->model, QUALITY, tables, &err));
	for (uint32_t i = 0; i < across * down; i++) {
		struct image tile = part_of(image, i % across, i / across);
		struct buf *stream = buf_open(a, LIMIT);
		assert_true(jpeg_tile_write(&tile, QUALITY, stream, &err));
		streams[i] = buf_view(stream);
	}
	uint8_t sub_x = image->n > 1 ? (uint8_t)image->plane[1].dx : 1, sub_y = image->n > 1 ? (uint8_t)image->plane[1].dy : 1;
	return (struct stored_tiles){image->model, image->n, sub_x, sub_y, across, down, TILE, TILE, buf_view(tables), streams};
}

static void tiles_side_by_side_are_one_encoding(void **state)
{
	(void)state;
	static const struct {
		enum model model;
		uint32_t sub_x, sub_y, across, down;
	} rows[] = {
		{MODEL_YCC, 2, 2, 1, 1}, {MODEL_YCC, 2, 2, 2, 2}, {MODEL_YCC, 2, 2, 3, 1}, {MODEL_YCC, 2, 2, 1, 3},
		{MODEL_YCC, 1, 1, 2, 3}, {MODEL_YCC, 2, 1, 3, 2}, {MODEL_YCC, 1, 2, 5, 4}, {MODEL_GRAY, 1, 1, 2, 2},
		{MODEL_GRAY, 1, 1, 1, 1},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena *a = arena_open();
		struct error err = {0};
		struct encode_options options = {.jpeg_quality = QUALITY};
		uint32_t w = rows[i].across * TILE, h = rows[i].down * TILE;
		struct image image = make_image(a, rows[i].model, rows[i].sub_x, rows[i].sub_y, w, h);
		struct stored_tiles tiles = make_tiles(a, &image, rows[i].across, rows[i].down);
		struct buf *woven = buf_open(a, LIMIT), *at_once = buf_open(a, LIMIT);
		assert_null(passthrough_write(a, &tiles, &nothing, (struct str){0}, woven));
		assert_true(jpeg_encoder.write(&image, &options, at_once, &err));
		struct image got = read_picture(a, buf_view(woven)), want = read_picture(a, buf_view(at_once));
		assert_int_equal(got.n, want.n);
		for (int k = 0; k < want.n; k++) {
			assert_int_equal(got.plane[k].w, want.plane[k].w);
			assert_int_equal(got.plane[k].h, want.plane[k].h);
			for (uint32_t y = 0; y < want.plane[k].h; y++)
				assert_memory_equal(got.plane[k].at + y * got.plane[k].stride,
						    want.plane[k].at + y * want.plane[k].stride, want.plane[k].w);
		}
		arena_close(a);
	}
}

static void metadata_stands_where_encoders_write_it(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	struct error err = {0};
	char icc[70000];
	for (size_t i = 0; i < sizeof icc; i++)
		icc[i] = (char)(i * 7 + i / 251);
	struct encode_options options = {.jpeg_quality = QUALITY, .metadata = {.xmp = STR("<x/>"), .iptc = STR("\x1c\x02\x05\0\1T"),
									    .per_cm_x = 100, .per_cm_y = 120}};
	struct image image = make_image(a, MODEL_YCC, 2, 2, TILE, TILE);
	struct stored_tiles tiles = make_tiles(a, &image, 1, 1);
	struct buf *passed = buf_open(a, LIMIT), *encoded = buf_open(a, LIMIT);
	image.icc = (const uint8_t *)icc;
	image.icc_bytes = sizeof icc;
	assert_null(passthrough_write(a, &tiles, &options.metadata, (struct str){icc, sizeof icc}, passed));
	assert_true(jpeg_encoder.write(&image, &options, encoded, &err));
	/* Up to the first table. */
	const char *end = memmem(encoded->at, encoded->n, "\xff\xdb", 2);
	assert_true(end - encoded->at > 70000);
	assert_memory_equal(passed->at, encoded->at, (size_t)(end - encoded->at));
	struct picture p;
	assert_true(picture_open(a, decoders, memory_source_open(a, buf_view(passed)), 1, &p, &err));
	assert_int_equal(p.icc_bytes, sizeof icc);
	assert_memory_equal(p.icc, icc, sizeof icc);
	assert_true(str_equal(p.metadata.xmp, STR("<x/>")));
	arena_close(a);
}

/* A copy of a stream in which what is found there first is replaced, from that byte of it on. */
static struct str edited(struct arena *a, struct str stream, const char *mark, size_t n, size_t from, const char *by, size_t by_n)
{
	struct str copy = {arena_strndup(a, stream.at, stream.n), stream.n};
	char *at = memmem(copy.at, copy.n, mark, n);
	assert_non_null(at);
	memcpy(at + from, by, by_n);
	return copy;
}

static void others_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *mark, *by, *why;
		size_t n, from, by_n;
		bool alone;            /* where it is the only tile */
	} rows[] = {
		{"\xff\xc0", "\xc2", "it is not baseline", 2, 1, 1, true},                       /* progressive */
		{"\xff\xc0", "\xc9", "it is not baseline", 2, 1, 1, true},                       /* arithmetic */
		{"\xff\xc0", "\x0c", "it is not baseline", 2, 4, 1, true},                       /* 12 bits */
		{"\xff\xc0", "\x20", "a tile is smaller than its place", 2, 6, 1, true},
		{"\xff\xc0", "\0", "a tile is of another kind", 2, 9, 1, true},
		{"\xff\xc0", "\0", "a tile is of another kind", 2, 11, 1, true},
		{"\xff\xc0", "\x21", "a tile is of another kind", 2, 11, 1, true},
		{"\xff\xc0", "\x44", "a tile is of another kind", 2, 11, 1, true},
		{"\xff\xc0", "\x22", "a tile is of another kind", 2, 14, 1, true},
		{"\xff\xda", "\2", "it has more than one scan", 2, 4, 1, true},
		{"\xff\xda", "\x09", "its frame is damaged", 2, 5, 1, true},
		{"\xff\xc0", "\7", "a table is missing", 2, 12, 1, true},
		{"\xff\xda", "\x33", "a table is missing", 2, 6, 1, true},
		{"\xff\xda", "\1", "it is not baseline", 2, 11, 1, true},
		{"\xff\xdd", "\2", "tiles have no restart marker after each row of MCUs", 2, 5, 1, false},
		{"\xff\xdd", "\2", "a stream is cut off", 2, 5, 1, true},
		{"\xff\xd1", "\xd2", "a stream is damaged", 2, 1, 1, true},                      /* out of order */
		{"\xff\xd2", "\xd9", "a stream is cut off", 2, 1, 1, true},
		{"\xff\xd9", "\0", "a stream is damaged", 2, 1, 1, true},                        /* no end */
		{"\xff\xd1", "\xda", "a stream is damaged", 2, 1, 1, true},                      /* another scan */
		{"\xff\xc0", "\xff\xff", "its head is damaged", 2, 2, 2, true},
	};
	struct arena *a = arena_open();
	struct image image = make_image(a, MODEL_YCC, 2, 2, 2 * TILE, TILE);
	struct stored_tiles two = make_tiles(a, &image, 2, 1);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct stored_tiles tiles = two;
		struct str streams[2] = {two.stream[0], edited(a, two.stream[1], rows[i].mark, rows[i].n, rows[i].from, rows[i].by,
							       rows[i].by_n)};
		struct buf *out = buf_open(a, LIMIT);
		tiles.stream = streams;
		const char *why = passthrough_write(a, &tiles, &nothing, (struct str){0}, out);
		assert_non_null(why);
		assert_int_equal(out->n, 0);
		if (!rows[i].alone) {
			assert_string_equal(why, rows[i].why);
			continue;
		}
		tiles.across = 1;
		tiles.stream = streams + 1;
		why = passthrough_write(a, &tiles, &nothing, (struct str){0}, out);
		assert_non_null(why);
		assert_string_equal(why, rows[i].why);
		assert_int_equal(out->n, 0);
	}
	arena_close(a);
}

static void tables_of_their_own_must_be_alike(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	struct image image = make_image(a, MODEL_YCC, 2, 2, 2 * TILE, TILE);
	struct stored_tiles tiles = make_tiles(a, &image, 2, 1);
	struct str streams[2];
	struct str inner = {tiles.tables.at + 2, tiles.tables.n - 4};
	for (int i = 0; i < 2; i++) {
		struct buf *b = buf_open(a, LIMIT);
		buf_write(b, tiles.stream[i].at, 2);
		buf_str(b, inner);
		buf_write(b, tiles.stream[i].at + 2, tiles.stream[i].n - 2);
		streams[i] = buf_view(b);
	}
	tiles.tables = (struct str){0};
	tiles.stream = streams;
	struct buf *out = buf_open(a, LIMIT);
	assert_null(passthrough_write(a, &tiles, &nothing, (struct str){0}, out));
	read_picture(a, buf_view(out));

	((char *)streams[1].at)[10] ^= 1;
	out->n = 0;
	assert_string_equal(passthrough_write(a, &tiles, &nothing, (struct str){0}, out), "tiles differ in their tables");
	tiles.across = 1;
	assert_null(passthrough_write(a, &tiles, &nothing, (struct str){0}, out));
	arena_close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tiles_side_by_side_are_one_encoding),
		cmocka_unit_test(metadata_stands_where_encoders_write_it),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(tables_of_their_own_must_be_alike),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
