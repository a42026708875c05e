/* SPDX-License-Identifier: BSD-2-Clause */
#include "tiff_streams.h"

#define GAP_BYTES 64   /* between neighbours: some writers put a few bytes around each tile */

/* The end of what is worth reading along, behind the stream that ends at `end`. */
static uint64_t run_end(struct tiff_streams *s, uint64_t offset, uint64_t end, uint32_t index, uint64_t after)
{
	uint64_t length = s->f->source->validator.length, at, n;
	struct error *told = s->f->err, ignored;
	/* What is wrong with one of them is told when its turn comes. */
	tiff_begin(s->f, &ignored);
	for (uint64_t i = 1; i <= after && tiff_find_stream(s->f, s->level, index + (uint32_t)i, &at, &n, &ignored); i++) {
		if (at < end || at - end > GAP_BYTES || at >= length || n > length - at ||
		    at + n - offset > TIFF_STREAMS_BYTES)
			break;
		end = at + n;
	}
	s->f->err = told;
	return end;
}

static bool read_run(struct tiff_streams *s, uint64_t offset, uint64_t n, struct error *err)
{
	if (s->at)
		arena_drop_block(s->scratch, s->at);
	s->offset = offset;
	s->n = 0;
	s->at = arena_room(s->scratch, n, err);
	if (!s->at || !source_read(s->f->source, s->at, n, offset, err))
		return false;
	s->n = n;
	return true;
}

bool tiff_streams_read(struct tiff_streams *s, uint32_t index, uint64_t after, uint64_t most, struct str *out,
		       struct error *err)
{
	uint64_t offset, n, length = s->f->source->validator.length;
	if (!tiff_find_stream(s->f, s->level, index, &offset, &n, err))
		return false;
	if (offset >= length)
		return tiff_damaged(err, "a tile or strip lies behind the end");
	bool whole = n <= most;
	if (!whole)
		n = most;
	if (s->f->recover && n > length - offset)
		n = length - offset;
	bool here = offset >= s->offset && offset - s->offset <= s->n && n <= s->n - (offset - s->offset);
	if (!here) {
		uint64_t end = whole && n <= length - offset ? run_end(s, offset, offset + n, index, after) : offset + n;
		if (!read_run(s, offset, end - offset, err))
			return false;
	}
	*out = (struct str){s->at + (offset - s->offset), n};
	return true;
}

struct rect tiff_tiles_of(const struct tiff_level *l, struct rect part)
{
	struct rect t = {part.x / l->tile_w, part.y / l->tile_h, 0, 0};
	t.w = (part.x + part.w - 1) / l->tile_w - t.x + 1;
	t.h = (part.y + part.h - 1) / l->tile_h - t.y + 1;
	return t;
}

uint64_t tiff_tiles_after(const struct tiff_level *l, struct rect tiles, uint32_t x, uint32_t y)
{
	uint32_t across = (l->w - 1) / l->tile_w + 1, in_row = tiles.x + tiles.w - 1 - x;
	return tiles.w < across ? in_row : (uint64_t)(tiles.y + tiles.h - 1 - y) * across + in_row;
}
