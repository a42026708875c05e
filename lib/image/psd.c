/* SPDX-License-Identifier: BSD-2-Clause */
#include "psd.h"

enum { PSD_BITMAP, PSD_GRAY, PSD_INDEXED, PSD_RGB, PSD_CMYK, PSD_MULTICHANNEL = 7, PSD_DUOTONE, PSD_LAB };
#define TABLE_BYTES 768
#define RESOURCE 0x3842494d
#define RESOURCE_ICC 0x040f
#define RESOURCE_VERSION 0x0421

struct psd {
	bool large, packed;            /* PSB; PackBits */
	uint32_t mode, depth, channels;/* of them all; those that are shown come first */
	uint64_t data;                 /* raw samples, or the lengths of packed rows */
	uint8_t rgb[3][256];
};

static bool psd_knows(const uint8_t *head, size_t n)
{
	return n >= 26 && memcmp(head, "8BPS\0", 5) == 0 && (head[5] == 1 || head[5] == 2);
}

/* How many channels of a file are colours, or indexes of them. */
static uint32_t colour_channels(const struct psd *f)
{
	return f->mode == PSD_CMYK ? 4 : f->mode == PSD_RGB || f->mode == PSD_LAB ? 3 : 1;
}

static bool check(const struct psd *f, const struct raster *r, struct error *err)
{
	uint32_t most = f->large ? 300000 : 30000;
	if (r->w > most || r->h > most)
		return raster_damaged(err, "sides that a PSD cannot have");
	if (f->mode > PSD_LAB || f->mode == PSD_MULTICHANNEL || f->mode == 5 || f->mode == 6)
		return raster_unsupported(err, "PSD mode", f->mode);
	bool depth = f->mode == PSD_BITMAP ? f->depth == 1 : f->depth == 8 || (f->depth == 16 && f->mode != PSD_INDEXED);
	if (!depth)
		return raster_unsupported(err, "PSD bits per channel", f->depth);
	if (f->channels < colour_channels(f) || f->channels > 56)
		return raster_damaged(err, "a number of channels that makes no sense");
	return true;
}

/* Finds the profile; false without a merged picture. */
static bool read_resources(struct cursor *c, uint64_t end, struct raster *r)
{
	bool merged = true;
	while (c->at + 12 <= end && !c->failed) {
		uint32_t signature = cursor_be(c, 4), id = cursor_be(c, 2);
		uint8_t name = cursor_byte(c);
		c->at += name + !(name & 1);
		uint32_t n = cursor_be(c, 4);
		if (signature != RESOURCE)
			break;
		uint64_t at = c->at;
		if (id == RESOURCE_VERSION && n >= 5) {
			c->at += 4;
			merged = cursor_byte(c);
		}
		if (id == RESOURCE_ICC && at + n <= end) {
			r->icc_offset = at;
			r->icc_bytes = n;
		}
		c->at = at + n + (n & 1);
	}
	return merged;
}

/* Whether the first further channel is the merged picture's transparency: then the number of layers is negative. */
static bool read_layers(struct cursor *c, const struct psd *f)
{
	int size = f->large ? 8 : 4;
	uint64_t high = f->large ? cursor_be(c, 4) : 0, n = high << 32 | cursor_be(c, 4), end = c->at + n;
	bool transparency = false;
	if (n >= (uint64_t)size + 2) {
		c->at += (uint64_t)size;
		transparency = cursor_be(c, 2) & 0x8000;
	}
	if (high > UINT32_MAX / 2)
		c->failed = !raster_damaged(c->err, "layers without an end");
	c->at = end;
	return transparency && f->channels > colour_channels(f) && f->mode != PSD_INDEXED && f->mode != PSD_BITMAP;
}

/* The indexed picture's colours, or what a duotone's inks are. */
static bool read_colours(struct cursor *c, struct psd *f)
{
	uint32_t n = cursor_be(c, 4);
	uint64_t end = c->at + n;
	if (f->mode == PSD_INDEXED && n != TABLE_BYTES)
		return !c->failed && raster_damaged(c->err, "a colour table of a wrong size");
	for (int i = 0; f->mode == PSD_INDEXED && i < TABLE_BYTES; i++)
		f->rgb[i / 256][i % 256] = cursor_byte(c);
	c->at = end;
	return !c->failed;
}

static enum model model_of(const struct psd *f)
{
	return f->mode == PSD_CMYK ? MODEL_CMYK : f->mode == PSD_LAB ? MODEL_LAB
	     : f->mode == PSD_RGB || f->mode == PSD_INDEXED ? MODEL_RGB : MODEL_GRAY;
}

static bool psd_parse(struct arena *a, struct source *s, struct raster *r, struct error *err)
{
	struct cursor c = {.source = s, .err = err, .at = 5};
	struct psd *f = arena_new(a, struct psd);
	f->large = cursor_byte(&c) == 2;
	c.at = 12;
	f->channels = cursor_be(&c, 2);
	r->h = cursor_be(&c, 4);
	r->w = cursor_be(&c, 4);
	f->depth = cursor_be(&c, 2);
	f->mode = cursor_be(&c, 2);
	if (c.failed || !check(f, r, err) || !read_colours(&c, f))
		return false;
	uint64_t n = cursor_be(&c, 4), resources = c.at;
	if (!read_resources(&c, resources + n, r) && !c.failed)
		return raster_unsupported(err, "a PSD of layers only, mode", f->mode);
	c.at = resources + n;
	r->alpha = read_layers(&c, f);
	r->model = model_of(f);
	r->deep = f->depth == 16;
	r->own = f;
	uint32_t compression = cursor_be(&c, 2);
	if (c.failed)
		return false;
	if (compression > 1)
		return raster_unsupported(err, "PSD compression", compression);
	f->packed = compression;
	f->data = c.at;
	return true;
}

/* Rows */

struct psd_rows {
	struct cursor packed;
	uint64_t *at;                  /* packed: where each row of each shown channel starts, and the last one ends */
	uint8_t *room;                 /* raw: the part's bytes; packed: a row's */
};

static uint32_t shown_channels(const struct raster *r)
{
	return colour_channels(r->own) + r->alpha;
}

static uint64_t row_bytes(const struct raster *r)
{
	const struct psd *f = r->own;
	return ((uint64_t)r->w * f->depth + 7) / 8;
}

static uint64_t table_bytes(const struct raster *r)
{
	return ((uint64_t)shown_channels(r) * r->h + 1) * sizeof(uint64_t);
}

static uint64_t psd_memory(const struct raster *r, struct rect part)
{
	const struct psd *f = r->own;
	(void)part;
	return row_bytes(r) + (f->packed ? table_bytes(r) : 0);
}

/* Lengths of all rows come before the rows, channel by channel. */
static bool find_rows(const struct raster *r, struct psd_rows *rows)
{
	const struct psd *f = r->own;
	int size = f->large ? 4 : 2;
	uint64_t n = (uint64_t)shown_channels(r) * r->h;
	rows->packed.at = f->data;
	rows->at[0] = f->data + (uint64_t)f->channels * r->h * (uint64_t)size;
	for (uint64_t i = 0; i < n && !rows->packed.failed; i++)
		rows->at[i + 1] = rows->at[i] + cursor_be(&rows->packed, size);
	return !rows->packed.failed;
}

static bool psd_start(struct arena *a, struct raster_reader *reader, struct error *err)
{
	const struct raster *r = reader->raster;
	const struct psd *f = r->own;
	struct psd_rows *rows = reader->own = arena_new(a, struct psd_rows);
	rows->packed = (struct cursor){.source = reader->source, .err = err};
	rows->room = arena_block(a, row_bytes(r), err);
	rows->at = f->packed ? arena_block(a, table_bytes(r), err) : NULL;
	return rows->room && (!f->packed || (rows->at && find_rows(r, rows)));
}

static bool unpack(struct psd_rows *rows, uint64_t row, uint64_t bytes)
{
	struct cursor *c = &rows->packed;
	uint64_t n = 0, end = rows->at[row + 1];
	c->at = rows->at[row];
	c->failed = false;
	while (n < bytes && c->at < end && !c->failed) {
		uint8_t how = cursor_byte(c), same = how > 128 ? cursor_byte(c) : 0;
		uint32_t run = how > 128 ? 257u - how : how < 128 ? how + 1u : 0;
		for (uint32_t i = 0; i < run && n < bytes; i++)
			rows->room[n++] = how > 128 ? same : cursor_byte(c);
	}
	return !c->failed && (n == bytes || raster_damaged(c->err, "a packed row that is too short"));
}

/* The part's columns of that channel; *row points at their first byte. */
static bool read_channel(struct raster_reader *reader, uint32_t channel, uint32_t y, const uint8_t **row,
			 struct error *err)
{
	const struct raster *r = reader->raster;
	const struct psd *f = r->own;
	const struct rect *part = &reader->part;
	struct psd_rows *rows = reader->own;
	uint64_t nth = (uint64_t)channel * r->h + y, bytes = row_bytes(r), from = (uint64_t)part->x * f->depth / 8;
	uint64_t end = (((uint64_t)part->x + part->w) * f->depth + 7) / 8;
	*row = rows->room + (f->packed ? from : 0);
	return f->packed ? unpack(rows, nth, bytes)
			 : source_read(reader->source, rows->room, end - from, f->data + nth * bytes + from, err);
}

static uint16_t deep_sample(const struct psd *f, uint32_t channel, uint32_t v)
{
	if (f->mode == PSD_CMYK && channel < 4)
		return (uint16_t)~v;
	if (f->mode != PSD_LAB || channel == 0 || channel > 2)
		return (uint16_t)v;
	/* 32768 is no colour, 256 a step. */
	int32_t chroma = 128 * 257 + ((int32_t)v - 32768) * 257 / 256;
	return (uint16_t)(chroma < 0 ? 0 : chroma > 65535 ? 65535 : chroma);
}

static void put_channel(const struct raster_reader *reader, const uint8_t *row, uint32_t channel, void *samples)
{
	const struct raster *r = reader->raster;
	const struct psd *f = r->own;
	size_t step = shown_channels(r);
	for (size_t x = 0, i = channel; x < reader->part.w; x++, i += step) {
		if (r->deep)
			((uint16_t *)samples)[i] = deep_sample(f, channel, (uint32_t)row[2 * x] << 8 | row[2 * x + 1]);
		else if (f->mode == PSD_INDEXED)
			for (int k = 0; k < 3; k++)
				((uint8_t *)samples)[3 * x + (size_t)k] = f->rgb[k][row[x]];
		else if (f->mode == PSD_BITMAP)
			((uint8_t *)samples)[i] = row[(reader->part.x % 8 + x) / 8] >> (7 - (reader->part.x + x) % 8) & 1 ? 0 : 255;
		else
			((uint8_t *)samples)[i] = f->mode == PSD_CMYK && channel < 4 ? (uint8_t)~row[x] : row[x];
	}
}

/* A colour that lies on white by its opacity, without the white. */
static uint32_t lift(uint32_t v, uint32_t white, uint32_t opacity, uint32_t most)
{
	int64_t c = opacity ? white + ((int64_t)v - white) * most / opacity : v;
	return c < 0 ? 0 : c > most ? most : (uint32_t)c;
}

static void lift_from_white(const struct raster_reader *reader, void *samples)
{
	const struct raster *r = reader->raster;
	uint32_t colours = shown_channels(r) - 1, most = r->deep ? 65535 : 255;
	uint8_t *s = samples;
	uint16_t *d = samples;
	for (uint32_t x = 0; x < reader->part.w; x++, s += colours + 1, d += colours + 1)
		for (uint32_t i = 0; i < colours; i++) {
			uint32_t white = r->model == MODEL_CMYK ? 0 : r->model == MODEL_LAB && i ? most / 255 * 128 : most;
			if (r->deep)
				d[i] = (uint16_t)lift(d[i], white, d[colours], most);
			else
				s[i] = (uint8_t)lift(s[i], white, s[colours], most);
		}
}

static bool psd_row(struct raster_reader *reader, uint32_t y, void *samples, struct error *err)
{
	const uint8_t *row;
	for (uint32_t i = 0; i < shown_channels(reader->raster); i++) {
		if (!read_channel(reader, i, y, &row, err))
			return false;
		put_channel(reader, row, i, samples);
	}
	if (reader->raster->alpha)
		lift_from_white(reader, samples);
	return true;
}

const struct raster_format psd_format = {"psd", psd_knows, psd_parse, psd_memory, psd_start, psd_row};
