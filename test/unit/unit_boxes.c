/* SPDX-License-Identifier: BSD-2-Clause */
/* Means of boxes against a plain evaluation: all sides, depths and models, cut boxes, parts, rows that are missing. */
#include <stdlib.h>
#include <string.h>

#include "check.h"

#include "image/boxes.h"

#define W 61
#define H 47

static uint32_t random_state = 3;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)random_state * n) >> 32);
}

struct full {
	uint16_t at[H][W * 3];
	bool missing[H];
	int channels;
	bool deep;
};

static void make_full(struct full *f, int channels, bool deep)
{
	f->channels = channels;
	f->deep = deep;
	for (int y = 0; y < H; y++) {
		f->missing[y] = random_below(4) == 0;
		for (int i = 0; i < W * channels; i++)
			f->at[y][i] = (uint16_t)(random_below(5) ? random_below(deep ? 65536 : 256) : deep ? 65535 : 255);
	}
}

static void give_row(struct boxes *b, const struct full *f, uint32_t y)
{
	uint8_t bytes[W * 3];
	const uint16_t *from = f->at[y] + b->part.x * (uint32_t)f->channels;
	for (uint32_t i = 0; i < b->part.w * (uint32_t)f->channels; i++)
		bytes[i] = (uint8_t)from[i];
	boxes_row(b, f->missing[y] ? NULL : f->deep ? (const void *)from : bytes);
}

/* Of the box at that place of the planes' grid over the full image; -1 if nothing of it is there. */
static int64_t want(const struct full *f, uint32_t column, uint32_t row, uint32_t side, int channel)
{
	uint64_t sum = 0, n = 0;
	for (uint32_t y = row * side; y < (row + 1) * side && y < H; y++)
		for (uint32_t x = column * side; x < (column + 1) * side && x < W && !f->missing[y]; x++, n++)
			sum += f->at[y][x * (uint32_t)f->channels + (uint32_t)channel];
	return n ? (int64_t)((sum * 2 + n) / (2 * n)) : -1;
}

static void check_part(const struct full *f, struct rect part, uint32_t side)
{
	struct arena *a = arena_open();
	struct error err;
	struct image out = {0};
	struct boxes b = {.out = &out, .part = part, .side = side, .channels = f->channels};
	enum model model = f->channels == 1 ? MODEL_GRAY : MODEL_RGB;
	assert_true(boxes_open(a, a, &b, model, false, f->deep, &err));
	assert_true(arena_peak_bytes(a) <= boxes_memory(model, false, f->deep, part, side));
	image_whiten(&out);
	for (uint32_t y = 0; y < part.h; y++)
		give_row(&b, f, part.y + y);
	for (int c = 0; c < f->channels; c++) {
		const struct plane *p = &out.plane[c];
		assert_true(p->x == part.x && p->y == part.y && p->dx == side && p->dy == side);
		assert_int_equal(p->w, (part.w + side - 1) / side);
		assert_int_equal(p->h, (part.h + side - 1) / side);
		for (uint32_t y = 0; y < p->h; y++)
			for (uint32_t x = 0; x < p->w; x++) {
				const uint8_t *row = p->at + y * p->stride;
				int64_t v = want(f, part.x / side + x, part.y / side + y, side, c);
				assert_int_equal(f->deep ? ((const uint16_t *)row)[x] : row[x],
						 v >= 0 ? v : f->deep ? 65535 : 255);
			}
	}
	arena_close(a);
}

static void boxes_are_means(void **state)
{
	struct full *f = malloc(sizeof *f);
	(void)state;
	for (int i = 0; i < 300; i++) {
		uint32_t side = 1 + random_below(9);
		make_full(f, random_below(2) ? 1 : 3, random_below(2));
		check_part(f, (struct rect){0, 0, W, H}, side);
		struct rect part = {random_below(W / side) * side, random_below(H / side) * side, 0, 0};
		part.w = part.x + 3 * side < W ? 3 * side : W - part.x;
		part.h = part.y + 2 * side < H ? 2 * side : H - part.y;
		check_part(f, part, side);
	}
	free(f);
}

static void sides(void **state)
{
	static const struct {
		double step_x, step_y;
		uint32_t side;
	} rows[] = {{1, 1, 1}, {3.99, 9, 1}, {4, 4, 2}, {7.5, 7.5, 3}, {16, 8, 4}, {0.5, 30, 1}, {9000, 9000, 256}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct wants w = {.step_x = rows[i].step_x, .step_y = rows[i].step_y};
		assert_int_equal(boxes_side(&w, false), rows[i].side);
		assert_int_equal(boxes_side(&w, true), 1);
		w.in_light = true;
		assert_int_equal(boxes_side(&w, false), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boxes_are_means),
		cmocka_unit_test(sides),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
