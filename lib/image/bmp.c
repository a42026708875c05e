/* SPDX-License-Identifier: BSD-2-Clause */
#include "bmp.h"

enum { BMP_RGB, BMP_RLE8, BMP_RLE4, BMP_BITFIELDS, BMP_ALPHA_BITFIELDS = 6 };
enum {
	HEADER_CORE = 12,
	HEADER_OS2_LEAST = 16,         /* OS/2's may end where its fields are 0 */
	HEADER_V1 = 40,
	HEADER_V2 = 52,
	HEADER_V3 = 56,
	HEADER_OS2 = 64,
	HEADER_V4 = 108,
	HEADER_V5 = 124,
};
#define HEADER_COLOURS 36             /* where the number of colours ends */
#define EMBEDDED_PROFILE 0x4d424544

struct bmp {
	uint32_t pixels, header, bits, compression, colours;
	bool top_down;
	uint32_t mask[4];              /* red, green, blue, opacity */
	uint8_t rgb[256][3];           /* indexes beyond the palette are black */
};

static bool bmp_knows(const uint8_t *head, size_t n)
{
	if (n < 26 || head[0] != 'B' || head[1] != 'M' || head[15] || head[16] || head[17])
		return false;
	switch (head[14]) {
	case HEADER_CORE:
	case HEADER_V2:
	case HEADER_V4:
	case HEADER_V5:
		return true;
	}
	return head[14] >= HEADER_OS2_LEAST && head[14] <= HEADER_OS2 && head[14] % 4 == 0;
}

static bool is_os2(const struct bmp *b)
{
	return b->header >= HEADER_OS2_LEAST && b->header <= HEADER_OS2 && b->header != HEADER_V1 && b->header != HEADER_V2 &&
	       b->header != HEADER_V3;
}

static bool is_run_length(const struct bmp *b)
{
	return b->compression == BMP_RLE8 || b->compression == BMP_RLE4;
}

static bool has_masks(const struct bmp *b)
{
	return b->compression == BMP_BITFIELDS || b->compression == BMP_ALPHA_BITFIELDS;
}

static bool check(const struct bmp *b, uint64_t length, struct error *err)
{
	if (b->bits == 0 || b->bits > 32 || (b->bits != 24 && (b->bits & (b->bits - 1))))
		return raster_unsupported(err, "BMP bits per pixel", b->bits);
	if (!(b->compression <= BMP_RLE4 || has_masks(b)) || (is_os2(b) && b->compression > BMP_RLE4))
		return raster_unsupported(err, "BMP compression", b->compression);
	if ((b->compression == BMP_RLE8 && b->bits != 8) || (b->compression == BMP_RLE4 && b->bits != 4) ||
	    (has_masks(b) && b->bits != 16 && b->bits != 32) || (b->top_down && is_run_length(b)))
		return raster_damaged(err, "a BMP header that contradicts itself");
	if (b->pixels < 14 + b->header || b->pixels >= length)
		return raster_damaged(err, "the pixels lie outside of the file");
	return true;
}

static void read_sides(struct cursor *c, struct bmp *b, struct raster *r)
{
	if (b->header == HEADER_CORE) {
		r->w = cursor_le(c, 2);
		r->h = cursor_le(c, 2);
		return;
	}
	int32_t w = (int32_t)cursor_le(c, 4), h = (int32_t)cursor_le(c, 4);
	b->top_down = h < 0;
	r->w = w > 0 ? (uint32_t)w : 0;
	r->h = b->top_down ? 0u - (uint32_t)h : (uint32_t)h;
}

/* Masks follow the short header, and are part of the longer ones. */
static void read_masks(struct cursor *c, struct bmp *b)
{
	static const uint32_t usual[2][3] = {{0x7c00, 0x3e0, 0x1f}, {0xff0000, 0xff00, 0xff}};
	memcpy(b->mask, usual[b->bits == 32], sizeof usual[0]);
	if (!has_masks(b))
		return;
	bool opacity = b->header >= HEADER_V3 || b->compression == BMP_ALPHA_BITFIELDS;
	c->at = 14 + HEADER_V1;
	for (int i = 0; i < 3 + opacity; i++)
		b->mask[i] = cursor_le(c, 4);
}

/* Whether it is all gray. */
static bool read_palette(struct cursor *c, struct bmp *b)
{
	bool gray = true;
	uint32_t all = 1u << b->bits, n = b->colours && b->colours < all ? b->colours : all;
	c->at = 14 + b->header;
	for (uint32_t i = 0; i < n && c->at + 3 <= b->pixels && !c->failed; i++) {
		for (int k = 2; k >= 0; k--)
			b->rgb[i][k] = cursor_byte(c);
		c->at += b->header > HEADER_CORE;
		gray = gray && b->rgb[i][0] == b->rgb[i][1] && b->rgb[i][1] == b->rgb[i][2];
	}
	return gray;
}

static void read_profile(struct cursor *c, const struct bmp *b, uint64_t length, struct raster *r)
{
	c->at = 14 + 56;
	if (b->header < HEADER_V5 || cursor_le(c, 4) != EMBEDDED_PROFILE)
		return;
	c->at = 14 + 112;
	uint64_t offset = 14 + (uint64_t)cursor_le(c, 4), n = cursor_le(c, 4);
	if (offset < length && n <= length - offset) {
		r->icc_offset = offset;
		r->icc_bytes = n;
	}
}

static bool bmp_parse(struct arena *a, struct source *s, struct raster *r, struct error *err)
{
	struct cursor c = {.source = s, .err = err, .at = 10};
	struct bmp *b = arena_new(a, struct bmp);
	b->pixels = cursor_le(&c, 4);
	b->header = cursor_le(&c, 4);
	read_sides(&c, b, r);
	uint32_t planes = cursor_le(&c, 2);
	b->bits = cursor_le(&c, 2);
	if (b->header > HEADER_OS2_LEAST)
		b->compression = cursor_le(&c, 4);
	if (b->header >= HEADER_COLOURS) {
		c.at += 12;
		b->colours = cursor_le(&c, 4);
	}
	if (c.failed)
		return false;
	if (planes != 1)
		return raster_damaged(err, "a BMP of several planes");
	if (!check(b, s->validator.length, err))
		return false;
	read_masks(&c, b);
	read_profile(&c, b, s->validator.length, r);
	r->model = b->bits <= 8 && read_palette(&c, b) ? MODEL_GRAY : MODEL_RGB;
	r->alpha = b->mask[3];
	r->own = b;
	return !c.failed;
}

/* Rows */

struct bmp_rows {
	uint8_t *room;                 /* a row's bytes; run-length coded: the whole picture's indexes, from the bottom */
	uint32_t shift[4], most[4];    /* of the masks */
};

static uint64_t row_bytes(const struct raster *r, const struct bmp *b)
{
	return ((uint64_t)r->w * b->bits + 31) / 32 * 4;
}

static uint64_t bmp_memory(const struct raster *r, struct rect part)
{
	const struct bmp *b = r->own;
	return is_run_length(b) ? (uint64_t)r->w * r->h : (uint64_t)part.w * 4 + 8;
}

static void put_index(const struct raster *r, uint8_t *room, uint64_t x, uint64_t y, uint8_t index)
{
	if (x < r->w && y < r->h)
		room[y * r->w + x] = index;
}

/* A pair of RLE4 has two indexes in a byte. */
static uint8_t index_at(const struct bmp *b, uint8_t byte, uint32_t i)
{
	return b->bits == 8 ? byte : i & 1 ? byte & 15 : byte >> 4;
}

/* Up to n pixels as they are; filled to 16 bits. */
static uint64_t put_literal(struct cursor *c, const struct raster *r, uint8_t *room, uint64_t x, uint64_t y, uint32_t n)
{
	const struct bmp *b = r->own;
	uint8_t byte = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (b->bits == 8 || i % 2 == 0)
			byte = cursor_byte(c);
		put_index(r, room, x + i, y, index_at(b, byte, i));
	}
	c->at += (b->bits == 8 ? n : (n + 1) / 2) & 1;
	return x + n;
}

/* Pixels that are passed over have index 0. Behind the last one the end need not be said. */
static bool unpack(struct cursor *c, const struct raster *r, uint8_t *room)
{
	for (uint64_t x = 0, y = 0; y < r->h && !c->failed && (x < r->w || y < r->h - 1);) {
		uint8_t n = cursor_byte(c), value = cursor_byte(c);
		if (n) {
			for (uint32_t i = 0; i < n && !c->failed; i++)
				put_index(r, room, x + i, y, index_at(r->own, value, i));
			x += n;
		} else if (value == 0) {
			x = 0;
			y++;
		} else if (value == 1) {
			break;
		} else if (value == 2) {
			x += cursor_byte(c);
			y += cursor_byte(c);
		} else {
			x = put_literal(c, r, room, x, y, value);
		}
	}
	return !c->failed;
}

static bool bmp_start(struct arena *a, struct raster_reader *reader, struct error *err)
{
	const struct raster *r = reader->raster;
	const struct bmp *b = r->own;
	struct bmp_rows *rows = reader->own = arena_new(a, struct bmp_rows);
	for (int i = 0; i < 4; i++) {
		rows->shift[i] = b->mask[i] ? (uint32_t)__builtin_ctz(b->mask[i]) : 0;
		rows->most[i] = b->mask[i] >> rows->shift[i];
	}
	rows->room = arena_block(a, bmp_memory(r, reader->part), err);
	if (!rows->room || !is_run_length(b))
		return rows->room;
	struct cursor c = {.source = reader->source, .err = err, .at = b->pixels};
	return unpack(&c, r, rows->room) || (reader->recover && err->reason == REASON_DAMAGED);
}

static void put_colours(const struct raster *r, uint8_t index, uint8_t *to)
{
	const struct bmp *b = r->own;
	memcpy(to, b->rgb[index], r->model == MODEL_GRAY ? 1 : 3);
}

static void put_masked(const struct raster_reader *reader, uint32_t pixel, uint8_t *to)
{
	const struct bmp *b = reader->raster->own;
	const struct bmp_rows *rows = reader->own;
	for (int i = 0; i < 3 + reader->raster->alpha; i++) {
		uint64_t value = (pixel & b->mask[i]) >> rows->shift[i], most = rows->most[i];
		to[i] = most ? (uint8_t)((value * 255 + most / 2) / most) : 0;
	}
}

/* The x-th pixel of a row whose bytes start with that of the part's first. */
static void put_pixel(const struct raster_reader *reader, const uint8_t *row, uint32_t x, uint8_t *to)
{
	const struct bmp *b = reader->raster->own;
	if (b->bits <= 8) {
		uint32_t at = (reader->part.x * b->bits) % 8 + x * b->bits;
		put_colours(reader->raster, (uint8_t)(row[at / 8] >> (8 - b->bits - at % 8)) & ((1u << b->bits) - 1), to);
	} else if (b->bits == 24) {
		for (int i = 0; i < 3; i++)
			to[i] = row[x * 3 + 2 - (uint32_t)i];
	} else {
		const uint8_t *at = row + (size_t)x * (b->bits / 8);
		uint32_t pixel = (uint32_t)at[0] | (uint32_t)at[1] << 8;
		if (b->bits == 32)
			pixel |= (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
		put_masked(reader, pixel, to);
	}
}

static bool bmp_row(struct raster_reader *reader, uint32_t y, void *samples, struct error *err)
{
	const struct raster *r = reader->raster;
	const struct bmp *b = r->own;
	const struct bmp_rows *rows = reader->own;
	const struct rect *part = &reader->part;
	uint32_t stored = b->top_down ? y : r->h - 1 - y;
	uint8_t *to = samples;
	size_t channels = (size_t)(model_planes(r->model) + r->alpha);

	if (is_run_length(b)) {
		const uint8_t *indexes = rows->room + (uint64_t)stored * r->w + part->x;
		for (uint32_t x = 0; x < part->w; x++)
			put_colours(r, indexes[x], to + x * channels);
		return true;
	}
	uint64_t from = (uint64_t)part->x * b->bits / 8, end = (((uint64_t)part->x + part->w) * b->bits + 7) / 8;
	if (!source_read(reader->source, rows->room, end - from, b->pixels + stored * row_bytes(r, b) + from, err))
		return false;
	for (uint32_t x = 0; x < part->w; x++)
		put_pixel(reader, rows->room, x, to + x * channels);
	return true;
}

const struct raster_format bmp_format = {"bmp", bmp_knows, bmp_parse, bmp_memory, bmp_start, bmp_row};
