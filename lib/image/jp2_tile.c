/* SPDX-License-Identifier: BSD-2-Clause */
#include "jp2_tile.h"

#define SOT 0xff90
#define PPT "\xff\x61"
#define PPT_BYTES 65532            /* of packet headers in a segment */

static void put32(char *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (char)(v >> (24 - 8 * i));
}

static uint32_t larger(uint64_t a, uint32_t b)
{
	return a > b ? (uint32_t)a : b;
}

static uint32_t smaller(uint64_t a, uint32_t b)
{
	return a < b ? (uint32_t)a : b;
}

struct rect jp2_tile_rect(const struct jp2_head *h, uint32_t across, uint32_t down)
{
	uint64_t x = h->tile_x0 + (uint64_t)across * h->tile_w, y = h->tile_y0 + (uint64_t)down * h->tile_h;
	struct rect r = {larger(x, h->x0), larger(y, h->y0), smaller(x + h->tile_w, h->x1), smaller(y + h->tile_h, h->y1)};
	r.w -= r.x;
	r.h -= r.y;
	return r;
}

/* SIZ of the tile alone: all partitions of a tile hang on the grid's origin, which stays. */
static void resize(char *main, struct rect tile)
{
	char *size = main + 8;
	put32(size, tile.x + tile.w);
	put32(size + 4, tile.y + tile.h);
	put32(size + 8, tile.x);
	put32(size + 12, tile.y);
	put32(size + 16, tile.w);
	put32(size + 20, tile.h);
	put32(size + 24, tile.x);
	put32(size + 28, tile.y);
}

/* The packet headers that the main header had of the tile, as segments of its own first part. */
static struct str packed_headers(struct arena *a, const struct jp2_head *h, const struct jp2_tile *t)
{
	if (!h->has_packed)
		return (struct str){0};
	struct buf *all = buf_open(a, SIZE_MAX), *segments = buf_open(a, SIZE_MAX);
	for (uint32_t i = t->first; i; i = h->part[i].next)
		buf_write(all, h->part[i].packed.at, h->part[i].packed.n);
	for (size_t at = 0, n; at < all->n; at += n) {
		n = all->n - at < PPT_BYTES ? all->n - at : PPT_BYTES;
		const uint8_t head[3] = {(uint8_t)((n + 3) >> 8), (uint8_t)(n + 3), (uint8_t)(at / PPT_BYTES)};
		buf_write(segments, PPT, 2);
		buf_write(segments, head, sizeof head);
		buf_write(segments, all->at + at, n);
	}
	return buf_view(segments);
}

size_t jp2_tile_stream(struct arena *a, const struct jp2_head *h, uint32_t across, uint32_t down,
		       struct jp2_piece **pieces)
{
	const struct jp2_tile *t = &h->tile[down * h->across + across];
	struct jp2_piece *piece = *pieces = arena_array(a, struct jp2_piece, 2 * (size_t)t->n + 3);
	struct str packed = packed_headers(a, h, t);
	char *main = arena_strndup(a, h->main.at, h->main.n);
	unsigned number = 0;

	resize(main, jp2_tile_rect(h, across, down));
	*piece++ = (struct jp2_piece){main, 0, h->main.n};
	for (uint32_t i = t->first; i; i = h->part[i].next, number++) {
		const struct jp2_part *part = &h->part[i];
		char *sot = arena_alloc(a, JP2_SOT_BYTES);
		sot[0] = (char)(SOT >> 8);
		sot[1] = (char)(SOT & 255);
		sot[3] = 10;
		put32(sot + 6, (uint32_t)(part->bytes + (number ? 0 : packed.n)));
		sot[10] = (char)number;
		sot[11] = (char)t->n;
		*piece++ = (struct jp2_piece){sot, 0, JP2_SOT_BYTES};
		if (!number && packed.n)
			*piece++ = (struct jp2_piece){packed.at, 0, packed.n};
		*piece++ = (struct jp2_piece){NULL, part->at + JP2_SOT_BYTES, part->bytes - JP2_SOT_BYTES};
	}
	*piece++ = (struct jp2_piece){"\xff\xd9", 0, 2};
	return (size_t)(piece - *pieces);
}
