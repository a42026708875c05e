/* SPDX-License-Identifier: BSD-2-Clause */
#include "jp2_head.h"

#define MAX_BOXES 4096
#define MAX_HEADER_BOX (16u << 20)
#define MAX_MAIN_BYTES (1u << 20)
#define MAX_PARTS (1u << 18)
#define MAX_TILES 65535

enum {
	SOC = 0xff4f, CAP = 0xff50, SIZ = 0xff51, COD = 0xff52, COC = 0xff53, QCD = 0xff5c, QCC = 0xff5d, RGN = 0xff5e,
	POC = 0xff5f, PPM = 0xff60, MCT = 0xff74, MCO = 0xff77, SOT = 0xff90, SOD = 0xff93, EOC = 0xffd9,
};

struct reader {
	struct arena *a;
	struct source *source;
	struct jp2_head *h;
	struct error *err;
	uint64_t at, end;              /* of the codestream */
	struct buf *main;
	bool coded, quantized;         /* COD and QCD were seen */
};

static uint32_t be16(const void *at)
{
	const uint8_t *b = at;
	return (uint32_t)b[0] << 8 | b[1];
}

static uint32_t be32(const void *at)
{
	return be16(at) << 16 | be16((const char *)at + 2);
}

static bool damaged(struct error *err, const char *what)
{
	return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "jp2: %s", what);
}

static bool unsupported(struct error *err, const char *what, unsigned value)
{
	return fail(err, 501, REASON_UNSUPPORTED, "This kind of JPEG 2000 is not supported.", "jp2: %s %u", what, value);
}

static const uint8_t signature[12] = {0, 0, 0, 12, 'j', 'P', ' ', ' ', '\r', '\n', 0x87, '\n'};

static bool is_codestream(const uint8_t *head, size_t n)
{
	return n >= 4 && be16(head) == SOC && be16(head + 2) == SIZ;
}

bool jp2_knows(const uint8_t *head, size_t n)
{
	return is_codestream(head, n) || (n >= sizeof signature && memcmp(head, signature, sizeof signature) == 0);
}

/* --- the codestream ------------------------------------------------------------------------------ */

static bool read_size(struct reader *r, const uint8_t *b, size_t n)
{
	struct jp2_head *h = r->h;
	if (n < 36)
		return damaged(r->err, "a short SIZ");
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
		return damaged(r->err, "a SIZ that makes no image");
	if (h->x1 > INT32_MAX || h->y1 > INT32_MAX)
		return unsupported(r->err, "a reference grid of", h->x1 > h->y1 ? h->x1 : h->y1);
	if (components > JP2_MAX_COMPONENTS)
		return unsupported(r->err, "components", components);
	h->n = (int)components;
	for (int i = 0; i < h->n; i++) {
		const uint8_t *c = b + 36 + 3 * i;
		if (!c[1] || !c[2])
			return damaged(r->err, "a component without sampling");
		if (c[0] & 0x80)
			return unsupported(r->err, "signed component", (unsigned)i);
		if (c[0] > 7)
			return unsupported(r->err, "bits per sample", c[0] + 1u);
		h->component[i].bits = (uint8_t)(c[0] + 1);
		h->component[i].dx = c[1];
		h->component[i].dy = c[2];
	}
	uint64_t across = ((uint64_t)h->x1 - h->tile_x0 + h->tile_w - 1) / h->tile_w;
	uint64_t down = ((uint64_t)h->y1 - h->tile_y0 + h->tile_h - 1) / h->tile_h;
	if (across > MAX_TILES || down > MAX_TILES || across * down > MAX_TILES)
		return damaged(r->err, "more tiles than can be numbered");
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
		return damaged(r->err, "a coding style that does not exist");
	c->levels = least(b[0], (uint8_t)c->levels);
	c->levels_most = b[0] > c->levels_most ? b[0] : c->levels_most;
	c->block_w = least(b[1] + 2, c->block_w);
	c->block_h = least(b[2] + 2, c->block_h);
	c->terminated |= (b[3] & 5) != 0;
	c->reversible |= b[4] != 0;
	for (int i = 0; precincts && i <= b[0]; i++) {
		int w = b[5 + i] & 15, h = b[5 + i] >> 4;
		if (i && (!w || !h))
			return damaged(r->err, "precincts of no size");
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
		return n >= 2 ? read_component_coding(r, b[1] & 1, b + 2, n - 2) : damaged(r->err, "a short COC");
	if (n < 5)
		return damaged(r->err, "a short COD");
	uint32_t layers = be16(b + 2);
	if (layers > c->layers)
		c->layers = layers;
	c->mct |= b[4] != 0;
	return read_component_coding(r, b[0] & 1, b + 5, n - 5);
}

static bool copy_segment(struct reader *r, const uint8_t *marker_and_length, const uint8_t *b, size_t n)
{
	buf_write(r->main, marker_and_length, 4);
	buf_write(r->main, b, n);
	return !r->main->failed || damaged(r->err, "a main header without end");
}

static bool read_segment(struct reader *r, uint32_t marker, const uint8_t *head, struct arena *scratch)
{
	size_t n = be16(head + 2) - 2;
	uint8_t *b = arena_alloc(scratch, n + 1);
	bool first = r->h->n == 0;

	if (!source_read(r->source, b, n, r->at + 4, r->err))
		return false;
	if (first != (marker == SIZ))
		return damaged(r->err, "SIZ is not the first marker");
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
	case QCC:
	case RGN:
	case POC:
		return copy_segment(r, head, b, n);
	case PPM:
	case MCT:
	case MCO:
		return unsupported(r->err, "marker", marker);
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
		return damaged(r->err, "no codestream where one should be");
	buf_write(r->main, head, 2);
	for (r->at += 2;; r->at += 2 + be16(head + 2)) {
		if (!source_read(r->source, head, 4, r->at, r->err))
			return false;
		uint32_t marker = be16(head);
		if (marker == SOT)
			break;
		if (marker < 0xff00 || be16(head + 2) < 2)
			return damaged(r->err, "no marker where one should be");
		struct arena *scratch = arena_open();
		bool ok = read_segment(r, marker, head, scratch);
		arena_close(scratch);
		if (!ok)
			return false;
	}
	if (!r->h->n || !r->coded || !r->quantized)
		return damaged(r->err, "the main header lacks a marker");
	r->h->main = buf_view(r->main);
	return true;
}

/* Codings of a tile's own, from the header of one of its parts. */
static bool read_part_header(struct reader *r, uint64_t end)
{
	uint8_t head[4];
	for (uint64_t at = r->at + JP2_SOT_BYTES;; at += 2 + be16(head + 2)) {
		if (at + 2 > end)
			return damaged(r->err, "a tile part without data");
		if (!source_read(r->source, head, at + 4 <= end ? 4 : 2, at, r->err))
			return false;
		uint32_t marker = be16(head);
		if (marker == SOD)
			return true;
		uint32_t n = at + 4 <= end ? be16(head + 2) : 0;
		if (marker < 0xff00 || n < 2 || at + 2 + n > end)
			return damaged(r->err, "no marker where one should be");
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

static bool add_part(struct reader *r, uint32_t number, uint64_t bytes)
{
	struct jp2_head *h = r->h;
	if (h->n_parts + 1 >= h->room_parts) {
		if (h->n_parts >= MAX_PARTS)
			return unsupported(r->err, "tile parts, more than", MAX_PARTS);
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
	h->part[part] = (struct jp2_part){r->at, bytes, 0};
	*(t->n ? &h->part[t->last].next : &t->first) = part;
	t->last = part;
	t->n++;
	t->bytes += bytes;
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
			return damaged(r->err, "no tile part where one should be");
		uint32_t number = be16(sot + 4);
		uint64_t bytes = be32(sot + 6), left = r->end - r->at;
		if (!bytes) {
			/* Up to EOC, which must then be there. */
			uint8_t last[2];
			if (left < JP2_SOT_BYTES + 4 || !source_read(r->source, last, 2, r->end - 2, r->err) || be16(last) != EOC)
				return damaged(r->err, "the last tile part has no end");
			bytes = left - 2;
		}
		if (bytes < JP2_SOT_BYTES + 2 || bytes > left || bytes > UINT32_MAX || number >= n || sot[10] != h->tile[number].n)
			return damaged(r->err, "a tile part that does not fit");
		if (!read_part_header(r, r->at + bytes) || !add_part(r, number, bytes))
			return false;
		if (sot[11])
			total[number] = sot[11];
		r->at += bytes;
	}
	bool ended = r->at + 2 <= r->end;
	for (uint32_t i = 0; i < n; i++)
		if (!h->tile[i].n || (total[i] ? h->tile[i].n != total[i] : !ended))
			return damaged(r->err, "a tile is not whole");
	arena_drop_block(r->a, total);
	return true;
}

static bool read_codestream(struct reader *r)
{
	r->main = buf_open(r->a, MAX_MAIN_BYTES);
	struct jp2_coding *c = &r->h->coding;
	*c = (struct jp2_coding){.levels = JP2_MAX_LEVELS, .block_w = 10, .block_h = 10, .uniform = true};
	memset(c->precinct_w, 15, sizeof c->precinct_w);
	memset(c->precinct_h, 15, sizeof c->precinct_h);
	return read_main(r) && read_parts(r);
}

/* --- the boxes ----------------------------------------------------------------------------------- */

struct boxes {
	struct str colour, palette, mapping, channels;   /* contents, n 0: absent */
	unsigned other_space;          /* an enumerated colour space that is not known here */
};

/* Takes the next box of a superbox. */
static bool take_box(struct str *s, uint32_t *type, struct str *content)
{
	if (s->n < 8)
		return false;
	uint64_t n = be32(s->at);
	*type = be32(s->at + 4);
	n = n ? n : s->n;
	if (n < 8 || n > s->n)
		return false;
	*content = (struct str){s->at + 8, (size_t)n - 8};
	s->at += n;
	s->n -= (size_t)n;
	return true;
}

static bool knows_colour(struct str c, struct boxes *b)
{
	if (c.n < 3)
		return false;
	if (c.at[0] == 2 || c.at[0] == 3)
		return c.n >= 3 + 128;
	if (c.at[0] != 1 || c.n < 7)
		return false;
	b->other_space = be32(c.at + 3);
	return b->other_space >= 16 && b->other_space <= 18;
}

#define BOX(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static void read_header_box(struct str s, struct boxes *b)
{
	struct str content;
	uint32_t type;
	while (take_box(&s, &type, &content))
		switch (type) {
		case BOX('c', 'o', 'l', 'r'):
			if (!b->colour.n && knows_colour(content, b))
				b->colour = content;
			break;
		case BOX('p', 'c', 'l', 'r'):
			b->palette = content;
			break;
		case BOX('c', 'm', 'a', 'p'):
			b->mapping = content;
			break;
		case BOX('c', 'd', 'e', 'f'):
			b->channels = content;
			break;
		}
}

/* Finds the header box and the codestream. */
static bool read_boxes(struct reader *r, struct boxes *b)
{
	uint64_t at = 0, length = r->source->validator.length;
	uint8_t head[16];
	for (int i = 0; i < MAX_BOXES; i++) {
		int64_t got = source_read_up_to(r->source, head, sizeof head, at, r->err);
		if (got < 0)
			return false;
		if (got < 8)
			return damaged(r->err, "no codestream");
		uint64_t n = be32(head), skip = 8;
		uint32_t type = be32(head + 4);
		if (n == 1 && got == 16) {
			n = (uint64_t)be32(head + 8) << 32 | be32(head + 12);
			skip = 16;
		}
		n = n ? n : length - at;
		if (n < skip || n > length - at)
			return damaged(r->err, "a box larger than the file");
		if (type == BOX('j', 'p', '2', 'c')) {
			r->at = at + skip;
			r->end = at + n;
			return true;
		}
		if (type == BOX('j', 'p', '2', 'h')) {
			if (n > MAX_HEADER_BOX)
				return unsupported(r->err, "a header box of bytes", (unsigned)n);
			char *bytes = arena_block(r->a, (size_t)n, r->err);
			if (!bytes || !source_read(r->source, bytes, (size_t)(n - skip), at + skip, r->err))
				return false;
			read_header_box((struct str){bytes, (size_t)(n - skip)}, b);
		}
		at += n;
	}
	return damaged(r->err, "no codestream");
}

/* --- what the channels mean ---------------------------------------------------------------------- */

/* Samples of fewer bits, over the whole range of 8. */
static const uint8_t *scale_table(struct arena *a, unsigned bits)
{
	uint8_t *table = arena_alloc(a, 256);
	unsigned most = (1u << bits) - 1;
	for (unsigned i = 0; i < 256; i++)
		table[i] = (uint8_t)(((i < most ? i : most) * 255 + most / 2) / most);
	return table;
}

/* A column of the palette; indices beyond its end are the last one. */
static const uint8_t *palette_table(struct arena *a, struct str p, unsigned column, struct error *err)
{
	const uint8_t *b = (const uint8_t *)p.at;
	unsigned entries = p.n >= 3 ? be16(b) : 0, columns = p.n >= 3 ? b[2] : 0;
	if (!entries || entries > 1024 || column >= columns || p.n < 3 + columns + (size_t)entries * columns) {
		damaged(err, "a palette that is none");
		return NULL;
	}
	for (unsigned i = 0; i < columns; i++)
		if (b[3 + i] > 7) {
			unsupported(err, "a palette of bits", (b[3 + i] & 127u) + 1);
			return NULL;
		}
	const uint8_t *scale = scale_table(a, b[3 + column] + 1u);
	uint8_t *table = arena_alloc(a, 256);
	for (unsigned i = 0; i < 256; i++)
		table[i] = scale[b[3 + columns + (i < entries ? i : entries - 1) * columns + column]];
	return table;
}

/* The channels in the order in which the file has them. */
static bool read_channels(struct reader *r, const struct boxes *b, struct jp2_channel *channel, int *n)
{
	struct jp2_head *h = r->h;
	h->palette = b->palette.n > 0;
	*n = h->palette ? (int)(b->mapping.n / 4) : h->n;
	if (h->palette && (!*n || *n > JP2_MAX_COMPONENTS))
		return damaged(r->err, "a palette without its mapping");
	for (int i = 0; i < *n; i++) {
		const uint8_t *m = h->palette ? (const uint8_t *)b->mapping.at + 4 * i : NULL;
		channel[i].component = h->palette ? (int)be16(m) : i;
		if (channel[i].component >= h->n)
			return damaged(r->err, "a channel without component");
		if (h->palette && m[2] == 1)
			channel[i].table = palette_table(r->a, b->palette, m[3], r->err);
		else
			channel[i].table = scale_table(r->a, h->component[channel[i].component].bits);
		if (!channel[i].table)
			return false;
	}
	return true;
}

/* Puts the channels into the order of the planes, by the cdef box or as they come. */
static bool order_channels(struct reader *r, const struct boxes *b, const struct jp2_channel *channel, int n)
{
	struct jp2_head *h = r->h;
	int colours = model_planes(h->model), found = 0;
	for (int i = 0; i < colours && i < n; i++)
		h->channel[i] = channel[i];
	for (size_t i = 0; i < 4; i++)
		if (b->channels.n && (int)i < colours)
			h->channel[i].table = NULL;
	for (size_t i = 2; i + 6 <= b->channels.n; i += 6) {
		uint32_t which = be16(b->channels.at + i), kind = be16(b->channels.at + i + 2), of = be16(b->channels.at + i + 4);
		if ((int)which >= n)
			return damaged(r->err, "a channel that is not there");
		if (kind == 0 && of >= 1 && (int)of <= colours)
			h->channel[of - 1] = channel[which];
		if ((kind == 1 || kind == 2) && of == 0) {
			h->alpha = true;
			h->premultiplied = kind == 2;
			h->channel[colours] = channel[which];
		}
	}
	for (int i = 0; i < colours; i++)
		found += h->channel[i].table != NULL;
	return found == colours || damaged(r->err, "fewer channels than colours");
}

static bool is_subsampled(const struct jp2_head *h, int component)
{
	return h->component[component].dx != 1 || h->component[component].dy != 1;
}

static bool read_colour(struct reader *r, const struct boxes *b, const struct jp2_channel *channel, int channels)
{
	struct jp2_head *h = r->h;
	const char *c = b->colour.at;
	if (!b->colour.n && b->other_space)
		return unsupported(r->err, "colour space", b->other_space);
	if (!b->colour.n) {
		/* A codestream alone does not say what it shows. */
		if (channels != 1 && channels != 3)
			return unsupported(r->err, "colours not told of channels", (unsigned)channels);
		h->model = channels == 1 ? MODEL_GRAY : MODEL_RGB;
	} else if (c[0] == 1) {
		uint32_t space = be32(c + 3);
		h->model = space == 17 ? MODEL_GRAY : space == 18 ? MODEL_YCC : MODEL_RGB;
	} else {
		h->icc = (const uint8_t *)c + 3;
		h->icc_bytes = b->colour.n - 3;
		bool gray = memcmp(h->icc + 16, "GRAY", 4) == 0;
		if (!gray && memcmp(h->icc + 16, "RGB ", 4) != 0)
			return unsupported(r->err, "a profile of colour space", be32(h->icc + 16));
		h->model = gray ? MODEL_GRAY : MODEL_RGB;
	}
	/* Only chroma is ever stored at half the resolution, whatever the file says of itself. */
	if (h->model == MODEL_RGB && channels == 3 && !b->channels.n && is_subsampled(h, channel[1].component) &&
	    is_subsampled(h, channel[2].component))
		h->model = MODEL_YCC;
	return true;
}

static bool check_geometry(struct reader *r)
{
	const struct jp2_head *h = r->h;
	int colours = model_planes(h->model);
	for (int i = 0; i < colours + h->alpha; i++) {
		bool chroma = h->model == MODEL_YCC && (i == 1 || i == 2);
		if (is_subsampled(h, h->channel[i].component) && (!chroma || h->alpha))
			return unsupported(r->err, "a subsampled channel", (unsigned)i);
	}
	if (h->model == MODEL_YCC && (h->component[h->channel[1].component].dx != h->component[h->channel[2].component].dx ||
				      h->component[h->channel[1].component].dy != h->component[h->channel[2].component].dy))
		return unsupported(r->err, "chroma of two samplings", 0);
	return true;
}

bool jp2_head_read(struct arena *a, struct source *source, struct jp2_head *h, struct error *err)
{
	struct reader r = {.a = a, .source = source, .h = h, .err = err, .end = source->validator.length};
	struct boxes b = {0};
	struct jp2_channel channel[JP2_MAX_COMPONENTS] = {0};
	uint8_t head[4];
	int n;

	*h = (struct jp2_head){0};
	if (!source_read(source, head, sizeof head, 0, err) || (!is_codestream(head, sizeof head) && !read_boxes(&r, &b)))
		return false;
	return read_codestream(&r) && read_channels(&r, &b, channel, &n) && read_colour(&r, &b, channel, n) &&
	       order_channels(&r, &b, channel, n) && check_geometry(&r);
}
