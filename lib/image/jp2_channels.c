/* SPDX-License-Identifier: BSD-2-Clause */
#include "jp2_channels.h"

#include <math.h>

#include "jp2_words.h"

#define MAX_ENTRIES 1024
#define COARSE_BITS 5

enum { BILEVEL = 0, YCBCR_2 = 3, CMYK = 12, CIELAB = 14, BILEVEL_2 = 15, SRGB = 16, GRAY = 17, SYCC = 18 };

/* A channel as the file has it: a component, or a column of the palette. */
struct origin {
	int component, column;         /* column -1: no palette */
	unsigned bits;
	bool is_signed;
};

struct palette {
	unsigned entries, columns;
	const uint8_t *depth, *rows;
	size_t row_bytes;
};

struct reader {
	struct arena *a;
	const struct jp2_boxes *b;
	const struct jp2_head *h;
	struct jp2_channels *c;
	struct error *err;
	struct palette palette;
	struct origin channel[JP2_MAX_COMPONENTS];            /* in the order of the file */
	const struct origin *chosen[JP2_MAX_CHANNELS];        /* in that of the planes */
	int n;
	struct str lab;                /* its parameters */
	bool inverted;
};

static unsigned column_bits(const struct palette *p, unsigned column)
{
	return (p->depth[column] & 127u) + 1;
}

static bool open_palette(struct reader *r)
{
	struct palette *p = &r->palette;
	struct str s = r->b->palette;
	const uint8_t *at = (const uint8_t *)s.at;
	if (s.n < 3 || s.n < 3u + at[2])
		return jp2_damaged(r->err, "a short palette");
	*p = (struct palette){be16(at), at[2], at + 3, at + 3 + at[2], 0};
	for (unsigned i = 0; i < p->columns; i++)
		p->row_bytes += (column_bits(p, i) + 7) / 8;
	if (!p->entries || p->entries > MAX_ENTRIES || s.n < 3 + p->columns + p->entries * p->row_bytes)
		return jp2_damaged(r->err, "a palette that is none");
	return true;
}

static bool read_mapping(struct reader *r, const uint8_t *m, struct origin *o)
{
	o->component = (int)be16(m);
	o->column = m[2] == 1 ? m[3] : -1;
	if (o->component >= r->h->n || o->column >= (int)r->palette.columns)
		return jp2_damaged(r->err, "a channel without component");
	if (o->column < 0)
		return true;
	o->bits = column_bits(&r->palette, m[3]);
	o->is_signed = r->palette.depth[m[3]] >> 7;
	return o->bits <= JP2_MAX_BITS || jp2_unsupported(r->err, "a palette of bits", o->bits);
}

static bool list_channels(struct reader *r)
{
	bool palette = r->c->palette = r->b->palette.n > 0;
	r->n = palette ? (int)(r->b->mapping.n / 4) : r->h->n;
	if (palette && !open_palette(r))
		return false;
	if (!r->n || r->n > JP2_MAX_COMPONENTS)
		return jp2_damaged(r->err, "a palette without its mapping");
	for (int i = 0; i < r->n; i++) {
		struct origin *o = &r->channel[i];
		*o = (struct origin){.component = i, .column = -1};
		if (palette && !read_mapping(r, (const uint8_t *)r->b->mapping.at + 4 * i, o))
			return false;
		if (o->column < 0) {
			o->bits = r->h->component[o->component].bits;
			o->is_signed = r->h->component[o->component].is_signed;
		}
	}
	return true;
}

static bool knows_space(struct reader *r, uint32_t space)
{
	static const enum model models[] = {
		[BILEVEL] = MODEL_GRAY, [YCBCR_2] = MODEL_YCC, [CMYK] = MODEL_CMYK, [CIELAB] = MODEL_LAB,
		[BILEVEL_2] = MODEL_GRAY, [SRGB] = MODEL_RGB, [GRAY] = MODEL_GRAY, [SYCC] = MODEL_YCC,
	};
	const uint32_t known = 1u << BILEVEL | 1u << YCBCR_2 | 1u << CMYK | 1u << CIELAB | 1u << BILEVEL_2 | 1u << SRGB |
			       1u << GRAY | 1u << SYCC;
	if (space > SYCC || !(known >> space & 1))
		return false;
	r->c->model = models[space];
	r->inverted = space == BILEVEL;
	return true;
}

static bool knows_profile(struct reader *r, struct str icc)
{
	static const struct {
		char name[5];
		enum model model;
	} spaces[] = {{"GRAY", MODEL_GRAY}, {"RGB ", MODEL_RGB}, {"CMYK", MODEL_CMYK}};
	for (size_t i = 0; icc.n >= 128 && i < sizeof spaces / sizeof *spaces; i++)
		if (memcmp(icc.at + 16, spaces[i].name, 4) == 0) {
			r->c->model = spaces[i].model;
			r->c->icc = (const uint8_t *)icc.at;
			r->c->icc_bytes = icc.n;
			return true;
		}
	return false;
}

/* A colr box: its method, precedence, approximation, and then what the method takes. */
static bool knows_colour(struct reader *r, struct str s, unsigned *other)
{
	struct str rest = {s.at + 3, s.n - 3};
	if (s.n < 3)
		return false;
	if (s.at[0] == 2 || s.at[0] == 3)
		return knows_profile(r, rest);
	if (s.at[0] != 1 || rest.n < 4)
		return false;
	*other = be32(rest.at);
	r->lab = (struct str){rest.at + 4, rest.n - 4};
	return knows_space(r, *other);
}

/* A colour space for more channels than there are is a slip of who wrote it, where gray is what they can show. */
static void be_gray_if_single(struct reader *r)
{
	if (r->n > 2 || r->n >= model_planes(r->c->model))
		return;
	r->c->model = MODEL_GRAY;
	r->c->icc = NULL;
	r->c->icc_bytes = 0;
}

static bool read_colour(struct reader *r)
{
	unsigned other = 0;
	bool known = false;
	for (int i = 0; !known && i < r->b->colours; i++)
		known = knows_colour(r, r->b->colour[i], &other);
	if (!known && r->b->colours)
		return jp2_unsupported(r->err, "colour space", other);
	if (!known && r->n > 4)
		return jp2_unsupported(r->err, "colours not told of channels", (unsigned)r->n);
	if (!known)
		r->c->model = r->n <= 2 ? MODEL_GRAY : MODEL_RGB;
	be_gray_if_single(r);
	return true;
}

/* One entry of the cdef box: a channel, what kind it is, and of which colour; 0 is the whole picture. */
static bool define(struct reader *r, int colours, const char *at)
{
	uint32_t which = be16(at), kind = be16(at + 2), of = be16(at + 4);
	if ((int)which >= r->n)
		return jp2_damaged(r->err, "a channel that is not there");
	if (kind == 0 && of >= 1 && (int)of <= colours)
		r->chosen[of - 1] = &r->channel[which];
	if ((kind == 1 || kind == 2) && (of == 0 || (of == 1 && colours == 1))) {
		r->c->alpha = true;
		r->c->premultiplied = kind == 2;
		r->chosen[colours] = &r->channel[which];
	}
	return true;
}

static bool order_channels(struct reader *r)
{
	int colours = model_planes(r->c->model);
	struct str s = r->b->channels;
	if (!s.n) {
		r->c->alpha = !r->b->colours && r->n == colours + 1;
		for (int i = 0; i < colours + r->c->alpha && i < r->n; i++)
			r->chosen[i] = &r->channel[i];
	}
	for (size_t i = 2; i + 6 <= s.n; i += 6)
		if (!define(r, colours, s.at + i))
			return false;
	for (int i = 0; i < colours; i++)
		if (!r->chosen[i])
			return jp2_damaged(r->err, "fewer channels than colours");
	return true;
}

static const struct jp2_component *component_of(const struct reader *r, int channel)
{
	return &r->h->component[r->chosen[channel]->component];
}

static bool has_sampling(const struct jp2_component *c, const struct jp2_component *as)
{
	return c->dx == as->dx && c->dy == as->dy;
}

/* All channels have the same samples, or chroma a whole number of times fewer. */
static bool check_sampling(struct reader *r)
{
	struct jp2_channels *c = r->c;
	const struct jp2_component *first = component_of(r, 0);
	int planes = model_planes(c->model);
	/* Only chroma is ever stored at half the resolution, whatever the file says of itself. */
	if (c->model == MODEL_RGB && !has_sampling(component_of(r, 1), first) && !has_sampling(component_of(r, 2), first))
		c->model = MODEL_YCC;
	for (int i = 1; i < planes + c->alpha; i++) {
		bool chroma = c->model == MODEL_YCC && i < planes;
		const struct jp2_component *k = component_of(r, i), *as = chroma ? component_of(r, 1) : first;
		if (!has_sampling(k, as) || k->dx % first->dx || k->dy % first->dy)
			return jp2_unsupported(r->err, "a subsampled channel", (unsigned)i);
	}
	return true;
}

/* A sample that counts from 0, times gain, plus bias, is what it shows: 0 to 1. */
struct shown {
	double gain, bias;
};

static struct shown plain(const struct reader *r, const struct origin *o, int channel)
{
	double gain = 1 / (ldexp(1, (int)o->bits) - 1);
	bool colour = channel < model_planes(r->c->model);
	return r->inverted && colour ? (struct shown){-gain, 1} : (struct shown){gain, 0};
}

/* The range and offset of L*, a* or b*, and their defaults (15444-2, annex M); ours begin at 0, -128 and -128. */
static struct shown lab(const struct reader *r, const struct origin *o, int channel)
{
	static const double ranges[] = {100, 170, 200}, offsets[] = {0, 0.5, 0.375}, spans[] = {100, 255, 255};
	double range = ranges[channel], offset = ldexp(offsets[channel], (int)o->bits);
	if (r->lab.n >= 24) {
		range = be32(r->lab.at + 8 * channel);
		offset = be32(r->lab.at + 8 * channel + 4);
	}
	double gain = range / (ldexp(1, (int)o->bits) - 1) / spans[channel];
	return (struct shown){gain, (channel ? 128 / 255.0 : 0) - offset * gain};
}

static void put(const struct reader *r, const struct jp2_channel *c, void *table, unsigned i, double sample)
{
	double most = r->c->deep ? 65535 : 255, v = floor(sample * (double)c->scale + (double)c->offset + 0.5);
	v = v < 0 ? 0 : v > most ? most : v;
	if (r->c->deep)
		((uint16_t *)table)[i] = (uint16_t)v;
	else
		((uint8_t *)table)[i] = (uint8_t)v;
}

/* Of a sample of n bits, stored as two's complement where it is signed. */
static double value(unsigned stored, const struct origin *o)
{
	unsigned sign = 1u << (o->bits - 1), bits = 2 * sign - 1;
	if (o->is_signed)
		return (double)((stored & bits) ^ sign) - sign;
	return stored < bits ? stored : bits;
}

/* Indices beyond the palette's end are its last one. */
static void make_palette_table(const struct reader *r, const struct origin *o, struct jp2_channel *c)
{
	const struct palette *p = &r->palette;
	unsigned bytes = (o->bits + 7) / 8;
	const uint8_t *at = p->rows;
	void *table = arena_alloc(r->a, MAX_ENTRIES * sizeof(uint16_t));
	for (int i = 0; i < o->column; i++)
		at += (column_bits(p, (unsigned)i) + 7) / 8;
	for (unsigned i = 0; i < MAX_ENTRIES; i++) {
		unsigned v = 0;
		for (unsigned k = 0; k < bytes; k++)
			v = v << 8 | at[k];
		put(r, c, table, i, value(v, o));
		at += i + 1 < p->entries ? p->row_bytes : 0;
	}
	c->table = table;
	c->mask = MAX_ENTRIES - 1;
}

static void make_table(const struct reader *r, const struct origin *o, struct jp2_channel *c)
{
	uint8_t *table = arena_alloc(r->a, 256);
	for (unsigned i = 0; i < 256; i++)
		put(r, c, table, i, value(i, o));
	c->table = table;
	c->mask = 255;
}

static void make_channel(const struct reader *r, int i)
{
	const struct origin *o = r->chosen[i];
	struct jp2_channel *c = &r->c->channel[i];
	struct shown s = (r->c->model == MODEL_LAB && i < 3 ? lab : plain)(r, o, i);
	double range = r->c->deep ? 65535 : 255, zero = o->is_signed ? ldexp(1, (int)o->bits - 1) : 0;
	c->component = o->component;
	c->scale = (float)(range * s.gain);
	c->offset = (float)(range * (zero * s.gain + s.bias));
	if (o->column >= 0)
		make_palette_table(r, o, c);
	else if (!r->c->deep && o->bits <= 8)
		make_table(r, o, c);
}

#define D50 0x00443530

static bool make_channels(struct reader *r)
{
	struct jp2_channels *c = r->c;
	int n = model_planes(c->model) + c->alpha;
	if (c->model == MODEL_LAB && r->lab.n >= 28 && be32(r->lab.at + 24) != D50)
		return jp2_unsupported(r->err, "Lab under another light", be32(r->lab.at + 24));
	c->deep = c->model == MODEL_LAB;
	for (int i = 0; i < n; i++) {
		c->deep |= c->model != MODEL_YCC && r->chosen[i]->bits > 8;
		c->coarse |= r->chosen[i]->bits <= COARSE_BITS;
	}
	for (int i = 0; i < n; i++)
		make_channel(r, i);
	return true;
}

bool jp2_channels_read(struct arena *a, const struct jp2_boxes *b, const struct jp2_head *h, struct jp2_channels *c,
		       struct error *err)
{
	struct reader r = {.a = a, .b = b, .h = h, .c = c, .err = err};
	*c = (struct jp2_channels){0};
	return list_channels(&r) && read_colour(&r) && order_channels(&r) && check_sampling(&r) && make_channels(&r);
}
