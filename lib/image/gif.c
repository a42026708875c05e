/* SPDX-License-Identifier: BSD-2-Clause */
#include "gif.h"

#include <string.h>

#include "../base/deadline.h"
#include "lzw.h"

#define EXTENSION 0x21
#define FRAME 0x2c
#define CONTROL 0xf9
#define HAS_TABLE 0x80
#define INTERLACED 0x40

/* The first frame. */
struct gif {
	struct rect frame;                   /* on the canvas; may reach beyond it */
	bool interlaced;
	int clear;                           /* the transparent index, -1 if none */
	uint8_t rgb[256][3];
	uint64_t indexes;                    /* where they begin in the file */
};

static bool gif_knows(const uint8_t *head, size_t n)
{
	return n >= 13 && (memcmp(head, "GIF87a", 6) == 0 || memcmp(head, "GIF89a", 6) == 0);
}

/* The colour table that such flags announce; whether it is all gray. */
static bool read_table(struct cursor *c, uint8_t flags, struct gif *g)
{
	bool gray = true;
	memset(g->rgb, 0, sizeof g->rgb);
	for (unsigned i = 0; i < 2u << (flags & 7); i++) {
		for (int k = 0; k < 3; k++)
			g->rgb[i][k] = cursor_byte(c);
		gray = gray && g->rgb[i][0] == g->rgb[i][1] && g->rgb[i][1] == g->rgb[i][2];
	}
	return gray;
}

static void pass_blocks(struct cursor *c)
{
	for (uint8_t n; !c->failed && (n = cursor_byte(c)) != 0;)
		c->at += n;
}

static void read_extension(struct cursor *c, struct gif *g)
{
	if (cursor_byte(c) == CONTROL && cursor_byte(c) >= 4) {
		bool has_clear = cursor_byte(c) & 1;
		c->at += 2;
		int clear = cursor_byte(c);
		g->clear = has_clear ? clear : -1;
	}
	pass_blocks(c);
}

/* Whether the frame has a colour table of its own. */
static bool read_frame(struct cursor *c, struct raster *r, struct gif *g)
{
	g->frame.x = cursor_le(c, 2);
	g->frame.y = cursor_le(c, 2);
	g->frame.w = cursor_le(c, 2);
	g->frame.h = cursor_le(c, 2);
	uint8_t flags = cursor_byte(c);
	g->interlaced = flags & INTERLACED;
	if (flags & HAS_TABLE)
		r->model = read_table(c, flags, g) ? MODEL_GRAY : MODEL_RGB;
	g->indexes = c->at;
	return flags & HAS_TABLE;
}

static bool gif_parse(struct arena *a, struct source *s, struct raster *r, struct error *err)
{
	struct cursor c = {.source = s, .err = err, .at = 6};
	struct gif *g = r->own = arena_new(a, struct gif);
	g->clear = -1;
	r->w = cursor_le(&c, 2);
	r->h = cursor_le(&c, 2);
	uint8_t flags = cursor_byte(&c), block;
	c.at += 2;
	bool has_table = flags & HAS_TABLE;
	r->model = has_table && read_table(&c, flags, g) ? MODEL_GRAY : MODEL_RGB;
	while ((block = cursor_byte(&c)) == EXTENSION)
		read_extension(&c, g);
	if (!c.failed && block != FRAME)
		return raster_damaged(err, "there is no frame");
	has_table |= read_frame(&c, r, g);
	if (c.failed)
		return false;
	if (!has_table)
		return raster_damaged(err, "there is no colour table");
	if (!g->frame.w || !g->frame.h)
		return raster_damaged(err, "the frame has no pixels");
	/* As browsers do: a screen without sides is the frame. */
	if (!r->w || !r->h) {
		r->w = g->frame.x + g->frame.w;
		r->h = g->frame.y + g->frame.h;
	}
	r->alpha = g->clear >= 0 || g->frame.x || g->frame.y || g->frame.w < r->w || g->frame.h < r->h;
	return true;
}

/* Rows */

struct gif_rows {
	struct lzw lzw;
	uint8_t *indexes;                    /* of a row; of an interlaced frame all rows, as they are stored */
	uint32_t n;                          /* rows unpacked so far */
	bool failed;
	uint8_t colour[256][4];              /* the samples of each index */
};

static uint64_t gif_memory(const struct raster *r, struct rect part)
{
	const struct gif *g = r->own;
	(void)part;
	return (uint64_t)g->frame.w * (g->interlaced ? g->frame.h : 1);
}

static void make_colours(const struct raster *r, struct gif_rows *rows)
{
	const struct gif *g = r->own;
	int n = model_planes(r->model);
	for (int i = 0; i < 256; i++) {
		memcpy(rows->colour[i], g->rgb[i], (size_t)n);
		rows->colour[i][n] = i == g->clear ? 0 : 255;
	}
}

static bool gif_start(struct arena *a, struct raster_reader *reader, struct error *err)
{
	const struct gif *g = reader->raster->own;
	struct gif_rows *rows = reader->own = arena_new(a, struct gif_rows);
	rows->indexes = arena_block(a, gif_memory(reader->raster, reader->part), err);
	if (!rows->indexes)
		return false;
	make_colours(reader->raster, rows);
	rows->failed = !lzw_open(&rows->lzw, reader->source, g->indexes, err);
	return !rows->failed || (reader->recover && err->reason == REASON_DAMAGED);
}

/* Which row of the data is row y of an interlaced frame: first every eighth, then those in the middle between, and so on. */
static uint32_t stored_row(uint32_t y, uint32_t h)
{
	uint32_t eighths = (h + 7) / 8, quarters = (h + 3) / 4, halves = (h + 1) / 2;
	return y % 8 == 0 ? y / 8 : y % 8 == 4 ? eighths + y / 8 : y % 4 == 2 ? quarters + y / 4 : halves + y / 2;
}

/* The indexes of row y of the frame; NULL with err. */
static const uint8_t *find_row(struct raster_reader *reader, uint32_t y, struct error *err)
{
	const struct gif *g = reader->raster->own;
	struct gif_rows *rows = reader->own;
	uint32_t stored = g->interlaced ? stored_row(y, g->frame.h) : y;
	while (!rows->failed && rows->n <= stored) {
		uint8_t *to = rows->indexes + (g->interlaced ? (size_t)rows->n * g->frame.w : 0);
		rows->failed = !deadline_check(err) || !lzw_read(&rows->lzw, to, g->frame.w, err);
		rows->n += !rows->failed;
	}
	if (rows->n <= stored)
		return NULL;
	return rows->indexes + (g->interlaced ? (size_t)stored * g->frame.w : 0);
}

/* Copies of a length that is known are no calls. */
static void put_colours(const struct gif_rows *rows, const uint8_t *index, uint32_t n, size_t channels, uint8_t *to)
{
	for (uint32_t x = 0; x < n; x++, to += channels)
		switch (channels) {
		case 1:
			*to = rows->colour[index[x]][0];
			break;
		case 3:
			memcpy(to, rows->colour[index[x]], 3);
			break;
		default:
			memcpy(to, rows->colour[index[x]], channels == 2 ? 2 : 4);
		}
}

static bool gif_row(struct raster_reader *reader, uint32_t y, void *samples, struct error *err)
{
	const struct raster *r = reader->raster;
	const struct gif *g = r->own;
	const struct gif_rows *rows = reader->own;
	size_t channels = (size_t)(model_planes(r->model) + r->alpha);
	struct rect row = {reader->part.x, y, reader->part.w, 1}, both;
	if (!rect_meet(row, g->frame, &both)) {
		memset(samples, 0, row.w * channels);
		return true;
	}
	const uint8_t *index = find_row(reader, y - g->frame.y, err);
	if (!index)
		return false;
	memset(samples, 0, row.w * channels);
	put_colours(rows, index + (both.x - g->frame.x), both.w, channels, (uint8_t *)samples + (both.x - row.x) * channels);
	return true;
}

const struct raster_format gif_format = {"gif", gif_knows, gif_parse, gif_memory, gif_start, gif_row};
