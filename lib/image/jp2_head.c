/* SPDX-License-Identifier: BSD-2-Clause */
#include "jp2_head.h"

#include "jp2_words.h"

#define MAX_MAIN_BYTES (1u << 20)
#define MAX_PARTS (1u << 18)
#define MAX_PACKED 256
#define MAX_TILES 65535

enum {
	SOC = 0xff4f, CAP = 0xff50, SIZ = 0xff51, COD = 0xff52, COC = 0xff53, QCD = 0xff5c, QCC = 0xff5d, RGN = 0xff5e,
	POC = 0xff5f, PPM = 0xff60, DCO = 0xff70, ATK = 0xff79, SOT = 0xff90, SOD = 0xff93, EOC = 0xffd9,
};

struct reader {
	struct arena *a;
	struct source *source;
	struct jp2_head *h;
	struct error *err;
	uint64_t at, end;              /* of the codestream */
	struct buf *main;
	struct str packed[MAX_PACKED]; /* PPM segments by their numbers */
	struct str packed_left;        /* of all of them, in their order: what no tile part has had yet */
	bool coded, quantized, capable;   /* COD, QCD and CAP were seen */
};

static bool read_components(struct reader *r, const uint8_t *b)
{
	for (int i = 0; i < r->h->n; i++, b += 3) {
		unsigned bits = (b[0] & 127u) + 1;
		if (!b[1] || !b[2])
			return jp2_damaged(r->err, "a component without sampling");
		if (bits > JP2_MAX_BITS)
			return jp2_unsupported(r->err, "bits per sample", bits);
		r->h->component[i] = (struct jp2_component){(uint8_t)bits, b[0] >> 7, b[1], b[2]};
	}
	return true;
}

static bool read_size(struct reader *r, const uint8_t *b, size_t n)
{
	struct jp2_head *h = r->h;
	if (n < 36)
		return jp2_damaged(r->err, "a short SIZ");
	h->x1 = be32(b + 2);
	h->y1 = be32(b + 6);
	h->x0 = be32(b + 10);
	h->y0 = be32(b + 14);
	h->tile_w = be32(b + 18);
	h->tile_h = be32(b + 22);
	h->tile_x0 = be32(b + 26);
	h->tile_y0 = be32(b + 30);
	uint32_t components = be16(b + 34);
	if (h->x1 <= h->x0 || h->y1 <= h->y0 || !h->tile_w || !h->tile_h || h->tile_x0 > h->x0 || h->tile_y0 > h->y0 ||
	    (uint64_t)h->tile_x0 + h->tile_w <= h->x0 || (uint64_t)h->tile_y0 + h->tile_h <= h->y0 || !components ||
	    n != 36 + 3 * (size_t)components)
		return jp2_damaged(r->err, "a SIZ that makes no image");
	if (h->x1 > INT32_MAX || h->y1 > INT32_MAX)
		return jp2_unsupported(r->err, "a reference grid of", h->x1 > h->y1 ? h->x1 : h->y1);
	if (components > JP2_MAX_COMPONENTS)
		return jp2_unsupported(r->err, "components", components);
	h->n = (int)components;
	if (!read_components(r, b + 36))
		return false;
	uint64_t across = ((uint64_t)h->x1 - h->tile_x0 + h->tile_w - 1) / h->tile_w;
	uint64_t down = ((uint64_t)h->y1 - h->tile_y0 + h->tile_h - 1) / h->tile_h;
	if (across > MAX_TILES || down > MAX_TILES || across * down > MAX_TILES)
		return jp2_damaged(r->err, "more tiles than can be numbered");
	h->across = (uint32_t)across;
	h->down = (uint32_t)down;
	return true;
}

static uint8_t least(int a, uint8_t b)
{
	return a < b ? (uint8_t)a : b;
}

/* SPcod and SPcoc (A.6.1, A.6.2). */
static bool read_component_coding(struct reader *r, bool precincts, const uint8_t *b, size_t n)
{
	struct jp2_coding *c = &r->h->coding;
	if (n < 5 || b[0] > JP2_MAX_LEVELS || b[1] > 8 || b[2] > 8 || b[1] + b[2] > 8 ||
	    (precincts && n < 6 + (size_t)b[0]))
		return jp2_damaged(r->err, "a coding style that does not exist");
	c->levels = least(b[0], (uint8_t)c->levels);
	c->levels_most = b[0] > c->levels_most ? b[0] : c->levels_most;
	c->block_w = least(b[1] + 2, c->block_w);
	c->block_h = least(b[2] + 2, c->block_h);
	c->terminated |= (b[3] & 5) != 0;
	c->high_throughput |= (b[3] & 64) != 0;
	c->reversible |= b[4] != 0;
	for (int i = 0; precincts && i <= b[0]; i++) {
		int w = b[5 + i] & 15, h = b[5 + i] >> 4;
		if (i && (!w || !h))
			return jp2_damaged(r->err, "precincts of no size");
		c->precinct_w[i] = least(w, c->precinct_w[i]);
		c->precinct_h[i] = least(h, c->precinct_h[i]);
	}
	return true;
}

/* COD and COC, in the main header or a tile's. */
static bool read_coding(struct reader *r, uint32_t marker, const uint8_t *b, size_t n, bool of_tile)
{
	struct jp2_coding *c = &r->h->coding;
	if (marker == COC || of_tile)
		c->uniform = false;
	if (marker == COC)
		return n >= 2 ? read_component_coding(r, b[1] & 1, b + 2, n - 2) : jp2_damaged(r->err, "a short COC");
	if (n < 5)
		return jp2_damaged(r->err, "a short COD");
	uint32_t layers = be16(b + 2);
	if (layers > c->layers)
		c->layers = layers;
	c->mct |= b[4] != 0;
	return read_component_coding(r, b[0] & 1, b + 5, n - 5);
}

/* Packet headers of tile parts, to be laid end to end by the segments' numbers (A.7.4). */
static bool keep_packed(struct reader *r, const uint8_t *b, size_t n)
{
	if (n < 2 || r->packed[b[0]].n)
		return jp2_damaged(r->err, "packed headers of no number");
	r->h->has_packed = true;
	r->packed[b[0]] = (struct str){arena_strndup(r->a, (const char *)b + 1, n - 1), n - 1};
	return true;
}

static bool join_packed(struct reader *r)
{
	struct buf *all = buf_open(r->a, MAX_PACKED << 16);
	for (int i = 0; i < MAX_PACKED; i++)
		buf_write(all, r->packed[i].at, r->packed[i].n);
	r->packed_left = buf_view(all);
	return !all->failed ||
	       fail(r->err, 503, REASON_MEMORY, "The server is short of memory; please try again.", "packed headers");
}

/* Those of the next tile part in the file's order. */
static bool take_packed(struct reader *r, struct str *packed)
{
	struct str *left = &r->packed_left;
	uint32_t n = left->n >= 4 ? be32(left->at) : 0;
	if (left->n < 4 || n > left->n - 4)
		return jp2_damaged(r->err, "a tile part without its packed headers");
	*packed = (struct str){left->at + 4, n};
	left->at += 4 + n;
	left->n -= 4 + n;
	return true;
}

static bool copy_segment(struct reader *r, const uint8_t *marker_and_length, const uint8_t *b, size_t n)
{
	buf_write(r->main, marker_and_length, 4);
	buf_write(r->main, b, n);
	return !r->main->failed || jp2_damaged(r->err, "a main header without end");
}

static bool read_segment(struct reader *r, uint32_t marker, const uint8_t *head, struct arena *scratch)
{
	size_t n = be16(head + 2) - 2;
	uint8_t *b = arena_alloc(scratch, n + 1);
	bool first = r->h->n == 0;

	if (!source_read(r->source, b, n, r->at + 4, r->err))
		return false;
	if (first != (marker == SIZ))
		return jp2_damaged(r->err, "SIZ is not the first marker");
	switch (marker) {
	case SIZ:
		return read_size(r, b, n) && copy_segment(r, head, b, n);
	case COD:
	case COC:
		r->coded |= marker == COD;
		return read_coding(r, marker, b, n, false) && copy_segment(r, head, b, n);
	case QCD:
		r->quantized = true;
		return copy_segment(r, head, b, n);
	case CAP:
		r->capable = true;
		return copy_segment(r, head, b, n);
	case QCC:
	case RGN:
	case POC:
		return copy_segment(r, head, b, n);
	case PPM:
		return keep_packed(r, b, n);
	case DCO ... ATK:
		return jp2_unsupported(r->err, "marker", marker);
	default:
		/* Lengths and positions (TLM, PLM) would be wrong in a codestream of one tile; the rest is comment. */
		return true;
	}
}

static bool read_main(struct reader *r)
{
	uint8_t head[4];
	if (!source_read(r->source, head, 2, r->at, r->err))
		return false;
	if (be16(head) != SOC)
		return jp2_damaged(r->err, "no codestream where one should be");
	buf_write(r->main, head, 2);
	for (r->at += 2;; r->at += 2 + be16(head + 2)) {
		if (!source_read(r->source, head, 4, r->at, r->err))
			return false;
		uint32_t marker = be16(head);
		if (marker == SOT)
			break;
		if (marker < 0xff00 || be16(head + 2) < 2)
			return jp2_damaged(r->err, "no marker where one should be");
		struct arena *scratch = arena_open();
		bool ok = read_segment(r, marker, head, scratch);
		arena_close(scratch);
		if (!ok)
			return false;
	}
	if (!r->h->n || !r->coded || !r->quantized)
		return jp2_damaged(r->err, "the main header lacks a marker");
	r->h->main = buf_view(r->main);
	return join_packed(r);
}

/* Codings of a tile's own, from the header of one of its parts. */
static bool read_part_header(struct reader *r, uint64_t end)
{
	uint8_t head[4];
	for (uint64_t at = r->at + JP2_SOT_BYTES;; at += 2 + be16(head + 2)) {
		if (at + 2 > end)
			return jp2_damaged(r->err, "a tile part without data");
		if (!source_read(r->source, head, at + 4 <= end ? 4 : 2, at, r->err))
			return false;
		uint32_t marker = be16(head);
		if (marker == SOD)
			return true;
		uint32_t n = at + 4 <= end ? be16(head + 2) : 0;
		if (marker < 0xff00 || n < 2 || at + 2 + n > end)
			return jp2_damaged(r->err, "no marker where one should be");
		if (marker != COD && marker != COC)
			continue;
		struct arena *scratch = arena_open();
		uint8_t *b = arena_alloc(scratch, n);
		bool ok = source_read(r->source, b, n - 2, at + 4, r->err) && read_coding(r, marker, b, n - 2, true);
		arena_close(scratch);
		if (!ok)
			return false;
	}
}

static bool add_part(struct reader *r, uint32_t number, uint64_t bytes, struct str packed)
{
	struct jp2_head *h = r->h;
	if (h->n_parts + 1 >= h->room_parts) {
		if (h->n_parts >= MAX_PARTS)
			return jp2_unsupported(r->err, "tile parts, more than", MAX_PARTS);
		uint32_t room = h->room_parts ? h->room_parts * 4 : 256;
		struct jp2_part *more = arena_block(r->a, room * sizeof *more, r->err);
		if (!more)
			return false;
		if (h->part) {
			memcpy(more, h->part, (h->n_parts + 1) * sizeof *more);
			arena_drop_block(r->a, h->part);
		}
		h->part = more;
		h->room_parts = room;
	}
	struct jp2_tile *t = &h->tile[number];
	uint32_t part = ++h->n_parts;
	h->part[part] = (struct jp2_part){r->at, bytes, packed, 0};
	*(t->n ? &h->part[t->last].next : &t->first) = part;
	t->last = part;
	t->n++;
	t->bytes += bytes + 3 * packed.n;
	return true;
}

/* Walks from tile part to tile part up to EOC, so that a file that is not whole is known as such. */
static bool read_parts(struct reader *r)
{
	struct jp2_head *h = r->h;
	uint32_t n = h->across * h->down;
	h->tile = arena_block(r->a, n * sizeof *h->tile, r->err);
	uint8_t *total = arena_block(r->a, n, r->err), sot[JP2_SOT_BYTES];
	if (!h->tile || !total)
		return false;

	while (r->at + 2 <= r->end) {
		size_t got = r->at + JP2_SOT_BYTES <= r->end ? JP2_SOT_BYTES : 2;
		if (!source_read(r->source, sot, got, r->at, r->err))
			return false;
		if (be16(sot) == EOC)
			break;
		if (got < JP2_SOT_BYTES || be16(sot) != SOT || be16(sot + 2) != 10)
			return jp2_damaged(r->err, "no tile part where one should be");
		uint32_t number = be16(sot + 4);
		uint64_t bytes = be32(sot + 6), left = r->end - r->at;
		if (!bytes) {
			/* Up to EOC, which must then be there. */
			uint8_t last[2];
			if (left < JP2_SOT_BYTES + 4 || !source_read(r->source, last, 2, r->end - 2, r->err) || be16(last) != EOC)
				return jp2_damaged(r->err, "the last tile part has no end");
			bytes = left - 2;
		}
		if (bytes < JP2_SOT_BYTES + 2 || bytes > left || bytes > UINT32_MAX || number >= n || sot[10] != h->tile[number].n)
			return jp2_damaged(r->err, "a tile part that does not fit");
		struct str packed = {0};
		if (!read_part_header(r, r->at + bytes) || (r->h->has_packed && !take_packed(r, &packed)) ||
		    !add_part(r, number, bytes, packed))
			return false;
		if (sot[11])
			total[number] = sot[11];
		r->at += bytes;
	}
	bool ended = r->at + 2 <= r->end;
	for (uint32_t i = 0; i < n; i++)
		if (!h->tile[i].n || (total[i] ? h->tile[i].n != total[i] : !ended))
			return jp2_damaged(r->err, "a tile is not whole");
	arena_drop_block(r->a, total);
	return true;
}

bool jp2_head_read(struct arena *a, struct source *source, uint64_t at, uint64_t end, struct jp2_head *h,
		   struct error *err)
{
	struct reader r = {.a = a, .source = source, .h = h, .err = err, .at = at, .end = end};
	*h = (struct jp2_head){0};
	h->coding = (struct jp2_coding){.levels = JP2_MAX_LEVELS, .block_w = 10, .block_h = 10, .uniform = true};
	memset(h->coding.precinct_w, 15, sizeof h->coding.precinct_w);
	memset(h->coding.precinct_h, 15, sizeof h->coding.precinct_h);
	r.main = buf_open(a, MAX_MAIN_BYTES);
	if (!read_main(&r) || !read_parts(&r))
		return false;
	return r.capable || !h->coding.high_throughput || jp2_damaged(err, "high throughput that CAP does not speak of");
}
