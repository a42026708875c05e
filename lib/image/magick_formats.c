/* SPDX-License-Identifier: BSD-2-Clause */
#include "magick_formats.h"

#include "../iiif/facts.h"

static bool damaged(struct error *err, const char *what)
{
	return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "%s", what);
}

static bool unsupported(struct error *err, const char *what, uint64_t value)
{
	return fail(err, 501, REASON_UNSUPPORTED, "This kind of image is not supported.", "%s %llu", what,
		    (unsigned long long)value);
}

/* A forward reader of small things. */
struct cursor {
	struct source *source;
	struct error *err;
	uint64_t at;
	uint64_t from;                 /* of the bytes held */
	size_t n;
	bool failed;
	uint8_t held[4096];
};

static uint8_t next_byte(struct cursor *c)
{
	if (c->at < c->from || c->at >= c->from + c->n) {
		int64_t n = c->failed ? -1 : source_read_up_to(c->source, c->held, sizeof c->held, c->at, c->err);
		if (n == 0)
			damaged(c->err, "the header is cut off");
		c->failed = n <= 0;
		c->from = c->at;
		c->n = n > 0 ? (size_t)n : 0;
		if (c->failed)
			return 0;
	}
	return c->held[c->at++ - c->from];
}

static uint32_t next_le(struct cursor *c, int bytes)
{
	uint32_t v = 0;
	for (int i = 0; i < bytes; i++)
		v |= (uint32_t)next_byte(c) << (8 * i);
	return v;
}

static uint32_t next_be(struct cursor *c, int bytes)
{
	uint32_t v = 0;
	for (int i = 0; i < bytes; i++)
		v = v << 8 | next_byte(c);
	return v;
}

static bool sane_sides(const struct magick_header *h, struct error *err)
{
	if (!h->w || !h->h || h->w > FACTS_MAX_SIDE || h->h > FACTS_MAX_SIDE)
		return damaged(err, "sides that make no image");
	return true;
}

static void frame_is_picture(struct magick_header *h)
{
	h->frame = (struct rect){0, 0, h->w, h->h};
}

/* GIF (GIF89a specification): the first frame on a canvas of the logical screen's size. */

static bool gif_knows(const uint8_t *head, size_t n)
{
	return n >= 13 && (memcmp(head, "GIF87a", 6) == 0 || memcmp(head, "GIF89a", 6) == 0);
}

/* Passes over a colour table of 2^bits entries; whether it is all gray. */
static bool gif_table_is_gray(struct cursor *c, unsigned bits)
{
	bool gray = true;
	for (unsigned i = 0; i < 1u << bits; i++) {
		uint8_t r = next_byte(c), g = next_byte(c), b = next_byte(c);
		gray = gray && r == g && g == b;
	}
	return gray;
}

static void gif_pass_blocks(struct cursor *c)
{
	for (uint8_t n; !c->failed && (n = next_byte(c)) != 0;)
		c->at += n;
}

static void gif_extension(struct cursor *c, struct magick_header *h)
{
	if (next_byte(c) == 0xf9 && next_byte(c) >= 4) {
		h->alpha = next_byte(c) & 1;
		c->at += 3;
	}
	gif_pass_blocks(c);
}

static bool gif_parse(struct source *s, struct magick_header *h, struct error *err)
{
	struct cursor c = {.source = s, .err = err, .at = 6};
	h->w = next_le(&c, 2);
	h->h = next_le(&c, 2);
	uint8_t flags = next_byte(&c);
	c.at += 2;
	bool has_table = flags & 0x80;
	h->gray = has_table && gif_table_is_gray(&c, (flags & 7u) + 1);

	uint8_t block;
	while ((block = next_byte(&c)) == 0x21)
		gif_extension(&c, h);
	if (c.failed)
		return false;
	if (block != 0x2c)
		return damaged(err, "there is no frame");
	h->frame.x = next_le(&c, 2);
	h->frame.y = next_le(&c, 2);
	h->frame.w = next_le(&c, 2);
	h->frame.h = next_le(&c, 2);
	flags = next_byte(&c);
	if (flags & 0x80)
		h->gray = gif_table_is_gray(&c, (flags & 7u) + 1);
	else if (!has_table)
		return damaged(err, "there is no colour table");
	if (c.failed)
		return false;

	/* As browsers do: a screen without sides is the frame. */
	if (!h->w || !h->h) {
		h->w = h->frame.x + h->frame.w;
		h->h = h->frame.y + h->frame.h;
	}
	if (!h->frame.w || !h->frame.h)
		return damaged(err, "the frame has no pixels");
	if (h->frame.x || h->frame.y || h->frame.w < h->w || h->frame.h < h->h)
		h->alpha = true;
	return sane_sides(h, err);
}

/* BMP (Windows and OS/2). */

static bool bmp_knows(const uint8_t *head, size_t n)
{
	if (n < 26 || head[0] != 'B' || head[1] != 'M' || head[15] || head[16] || head[17])
		return false;
	switch (head[14]) {
	case 12:
	case 40:
	case 56:
	case 64:
	case 108:
	case 124:
		return true;
	}
	return false;
}

enum { BMP_RGB, BMP_RLE8, BMP_RLE4, BMP_BITFIELDS };

struct bmp {
	uint32_t pixels, header, bits, compression, colours, alpha_mask;
	bool top_down;
};

static bool bmp_check(const struct bmp *b, const struct magick_header *h, uint64_t length, struct error *err)
{
	bool depth = b->bits == 1 || b->bits == 4 || b->bits == 8 || b->bits == 16 || b->bits == 24 || b->bits == 32;
	if (!depth)
		return unsupported(err, "BMP bits per pixel", b->bits);
	if (b->compression > (b->header == 64 ? BMP_RLE4 : BMP_BITFIELDS))
		return unsupported(err, "BMP compression", b->compression);
	if ((b->compression == BMP_RLE8 && b->bits != 8) || (b->compression == BMP_RLE4 && b->bits != 4) ||
	    (b->compression == BMP_BITFIELDS && b->bits != 16 && b->bits != 32) ||
	    (b->top_down && (b->compression == BMP_RLE8 || b->compression == BMP_RLE4)) ||
	    (b->bits <= 8 && b->colours > 1u << b->bits))
		return damaged(err, "a BMP header that contradicts itself");
	if (b->pixels < 14 + b->header || b->pixels >= length)
		return damaged(err, "the pixels lie outside of the file");
	uint64_t row = ((uint64_t)h->w * b->bits + 31) / 32 * 4;
	if (b->compression != BMP_RLE8 && b->compression != BMP_RLE4 && row * h->h > length - b->pixels)
		return damaged(err, "the file is cut off");
	return true;
}

static bool bmp_table_is_gray(struct cursor *c, const struct bmp *b)
{
	bool gray = true;
	uint32_t n = b->colours ? b->colours : 1u << b->bits;
	c->at = 14 + b->header;
	for (uint32_t i = 0; i < n && c->at + 3 <= b->pixels && !c->failed; i++) {
		uint8_t blue = next_byte(c), green = next_byte(c), red = next_byte(c);
		gray = gray && red == green && green == blue;
		c->at += b->header > 12;
	}
	return gray;
}

static void bmp_sides_long(struct cursor *c, struct bmp *b, struct magick_header *h)
{
	int32_t w = (int32_t)next_le(c, 4), height = (int32_t)next_le(c, 4);
	b->top_down = height < 0;
	h->w = w > 0 ? (uint32_t)w : 0;
	h->h = b->top_down ? 0u - (uint32_t)height : (uint32_t)height;
}

static void bmp_profile(struct cursor *c, const struct bmp *b, uint64_t length, struct magick_header *h)
{
	c->at = 14 + 56;
	if (b->header < 124 || next_le(c, 4) != 0x4d424544)
		return;
	c->at = 14 + 112;
	uint64_t offset = 14 + (uint64_t)next_le(c, 4), n = next_le(c, 4);
	if (offset < length && n <= length - offset) {
		h->icc_offset = offset;
		h->icc_bytes = n;
	}
}

static bool bmp_parse(struct source *s, struct magick_header *h, struct error *err)
{
	struct cursor c = {.source = s, .err = err, .at = 10};
	struct bmp b = {.pixels = next_le(&c, 4), .header = next_le(&c, 4)};
	if (b.header == 12) {
		h->w = next_le(&c, 2);
		h->h = next_le(&c, 2);
	} else {
		bmp_sides_long(&c, &b, h);
	}
	uint32_t planes = next_le(&c, 2);
	b.bits = next_le(&c, 2);
	if (b.header > 12) {
		b.compression = next_le(&c, 4);
		c.at += 12;
		b.colours = next_le(&c, 4);
	}
	if (b.header >= 56 && b.header != 64) {
		c.at = 14 + 52;
		b.alpha_mask = next_le(&c, 4);
		bmp_profile(&c, &b, s->validator.length, h);
	}
	if (c.failed)
		return false;
	if (planes != 1)
		return damaged(err, "a BMP of several planes");
	if (!sane_sides(h, err) || !bmp_check(&b, h, s->validator.length, err))
		return false;
	h->gray = b.bits <= 8 && bmp_table_is_gray(&c, &b);
	h->alpha = b.compression == BMP_BITFIELDS && b.alpha_mask;
	frame_is_picture(h);

	/* The length in the header is often wrong, which the coder takes for damage. */
	h->tail = 6;
	h->prefix_bytes = 6;
	h->prefix[0] = 'B';
	h->prefix[1] = 'M';
	for (int i = 0; i < 4; i++)
		h->prefix[2 + i] = (uint8_t)(s->validator.length >> (8 * i));
	return !c.failed;
}

/*
 * Netpbm: PBM, PGM, PPM, PAM (netpbm.sourceforge.net/doc). Not their plain forms: the coder takes any text for
 * numbers and what is missing for black.
 */

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

static bool pnm_knows(const uint8_t *head, size_t n)
{
	if (n < 3 || head[0] != 'P' || head[1] < '4' || head[1] > '7')
		return false;
	if (head[1] == '7')
		return head[2] == '\n';
	return is_blank(head[2]) || head[2] == '#';
}

static uint8_t next_beyond_blanks(struct cursor *c)
{
	uint8_t v = next_byte(c);
	while (!c->failed && (is_blank(v) || v == '#')) {
		while (v == '#' && !c->failed && next_byte(c) != '\n')
			;
		v = next_byte(c);
	}
	return v;
}

/* 0 where there is no number; saturates. The byte behind it is taken too. */
static uint32_t next_number(struct cursor *c)
{
	uint64_t v = 0;
	for (uint8_t d = next_beyond_blanks(c); d >= '0' && d <= '9' && !c->failed; d = next_byte(c))
		v = v > UINT32_MAX / 10 ? UINT32_MAX : v * 10 + d - '0';
	return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static void next_word(struct cursor *c, char *word, size_t room)
{
	size_t n = 0;
	for (uint8_t v = next_beyond_blanks(c); !is_blank(v) && !c->failed; v = next_byte(c))
		if (n + 1 < room)
			word[n++] = (char)v;
	word[n] = '\0';
}

/* A PAM's header; its samples a pixel. */
static bool pam_header(struct cursor *c, struct magick_header *h, uint32_t *max, uint32_t *depth)
{
	static const struct {
		const char *word;
		uint32_t depth;
		bool gray, alpha;
	} kinds[] = {{"GRAYSCALE", 1, true, false},	  {"BLACKANDWHITE", 1, true, false},
		     {"GRAYSCALE_ALPHA", 2, true, true}, {"RGB", 3, false, false},
		     {"RGB_ALPHA", 4, false, true}};
	char word[24], kind[24] = "";
	for (;;) {
		next_word(c, word, sizeof word);
		if (c->failed)
			return false;
		if (strcmp(word, "ENDHDR") == 0)
			break;
		if (strcmp(word, "WIDTH") == 0)
			h->w = next_number(c);
		else if (strcmp(word, "HEIGHT") == 0)
			h->h = next_number(c);
		else if (strcmp(word, "DEPTH") == 0)
			*depth = next_number(c);
		else if (strcmp(word, "MAXVAL") == 0)
			*max = next_number(c);
		else if (strcmp(word, "TUPLTYPE") == 0)
			next_word(c, kind, sizeof kind);
		else
			return damaged(c->err, "a PAM header of unknown words");
	}
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(kind, kinds[i].word) == 0 && kinds[i].depth == *depth) {
			h->gray = kinds[i].gray;
			h->alpha = kinds[i].alpha;
			return true;
		}
	return unsupported(c->err, "a PAM of another tuple type, depth", *depth);
}

static bool pnm_parse(struct source *s, struct magick_header *h, struct error *err)
{
	struct cursor c = {.source = s, .err = err, .at = 1};
	uint8_t kind = next_byte(&c);
	uint32_t max = 1, depth = kind == '6' ? 3 : 1;
	h->gray = depth == 1;
	if (kind == '7') {
		if (!pam_header(&c, h, &max, &depth))
			return false;
	} else {
		h->w = next_number(&c);
		h->h = next_number(&c);
		if (kind != '4')
			max = next_number(&c);
	}
	if (c.failed || !sane_sides(h, err))
		return false;
	if (!max || max > 65535)
		return damaged(err, "a greatest sample that makes no sense");

	uint64_t left = s->validator.length - c.at, samples = (uint64_t)h->w * depth;
	uint64_t row = kind == '4' ? ((uint64_t)h->w + 7) / 8 : max > 255 ? samples * 2 : samples;
	if (row > left / h->h)
		return damaged(err, "the file is cut off");
	frame_is_picture(h);
	return true;
}

/*
 * PSD (Adobe Photoshop File Formats Specification): the merged picture only. Its layers, which most of the file and
 * most of the coder's code is about, are cut out of what the coder gets.
 */

enum { PSD_GRAY = 1, PSD_INDEXED = 2, PSD_RGB = 3, PSD_DUOTONE = 8 };
#define PSD_TABLE_BYTES 768
#define PSD_VERSION_INFO 0x0421
#define PSD_ICC 0x040f

static bool psd_knows(const uint8_t *head, size_t n)
{
	return n >= 26 && memcmp(head, "8BPS\0\1", 6) == 0;
}

static void prefix_be(struct magick_header *h, uint32_t v, int bytes)
{
	while (bytes--)
		h->prefix[h->prefix_bytes++] = (uint8_t)(v >> (8 * bytes));
}

/* Finds the profile; false without a merged picture. */
static bool psd_resources(struct cursor *c, uint64_t end, struct magick_header *h)
{
	bool merged = true;
	while (c->at + 12 <= end && !c->failed) {
		uint32_t signature = next_be(c, 4), id = next_be(c, 2);
		uint8_t name = next_byte(c);
		c->at += name + !(name & 1);
		uint32_t n = next_be(c, 4);
		if (signature != 0x3842494d)
			break;
		uint64_t at = c->at;
		if (id == PSD_VERSION_INFO && n >= 5) {
			c->at += 4;
			merged = next_byte(c);
		}
		if (id == PSD_ICC && at + n <= end) {
			h->icc_offset = at;
			h->icc_bytes = n;
		}
		c->at = at + n + (n & 1);
	}
	return merged;
}

/* Whether the first alpha channel is the merged picture's transparency: the number of layers is negative. */
static bool psd_has_transparency(struct cursor *c, uint32_t layers)
{
	if (layers < 6)
		return false;
	c->at += 4;
	return next_be(c, 2) & 0x8000;
}

/* The merged picture's bytes are all there. */
static bool psd_is_whole(struct cursor *c, uint64_t length, const struct magick_header *h, uint32_t channels,
			 uint32_t depth)
{
	uint64_t rows = (uint64_t)channels * h->h, left = length > c->at ? length - c->at : 0;
	uint64_t row = (uint64_t)h->w * depth / 8, sum = 2;
	uint32_t compression = next_be(c, 2);
	if (compression > 1)
		return unsupported(c->err, "PSD compression", compression);
	if (compression == 0)
		return (left >= 2 && row <= (left - 2) / rows) || damaged(c->err, "the file is cut off");
	for (uint64_t i = 0; i < rows && sum <= left && !c->failed; i++)
		sum += 2 + next_be(c, 2);
	return !c->failed && (sum <= left || damaged(c->err, "the file is cut off"));
}

static bool psd_parse(struct source *s, struct magick_header *h, struct error *err)
{
	struct cursor c = {.source = s, .err = err};
	const uint64_t length = s->validator.length;
	for (int i = 0; i < 26; i++)
		prefix_be(h, next_byte(&c), 1);
	c.at = 12;
	uint32_t channels = next_be(&c, 2);
	h->h = next_be(&c, 4);
	h->w = next_be(&c, 4);
	uint32_t depth = next_be(&c, 2), mode = next_be(&c, 2);
	if (c.failed || !sane_sides(h, err))
		return false;
	if (h->w > 30000 || h->h > 30000)
		return damaged(err, "sides that a PSD cannot have");
	if (mode != PSD_GRAY && mode != PSD_INDEXED && mode != PSD_RGB && mode != PSD_DUOTONE)
		return unsupported(err, "PSD mode", mode);
	if (depth != 8 && (depth != 16 || mode == PSD_INDEXED))
		return unsupported(err, "PSD bits per channel", depth);
	uint32_t least = mode == PSD_RGB ? 3 : 1;
	if (channels < least || channels > 56)
		return damaged(err, "a number of channels that makes no sense");

	uint32_t n = next_be(&c, 4);
	uint64_t table = c.at;
	if (mode == PSD_INDEXED && n != PSD_TABLE_BYTES)
		return damaged(err, "a colour table of a wrong size");
	prefix_be(h, mode == PSD_INDEXED ? n : 0, 4);
	for (uint32_t i = 0; mode == PSD_INDEXED && i < n; i++)
		prefix_be(h, next_byte(&c), 1);

	c.at = table + n;
	n = next_be(&c, 4);
	uint64_t resources = c.at;
	if (!psd_resources(&c, resources + n, h) && !c.failed)
		return unsupported(err, "a PSD of layers only, mode", mode);
	prefix_be(h, 0, 4);

	c.at = resources + n;
	n = next_be(&c, 4);
	h->tail = c.at + n;
	h->alpha = channels > least && mode != PSD_INDEXED && psd_has_transparency(&c, n);
	/* A section of layers that has but their number. */
	prefix_be(h, h->alpha ? 6 : 0, 4);
	if (h->alpha) {
		prefix_be(h, 2, 4);
		prefix_be(h, 0xffff, 2);
	}
	h->gray = mode == PSD_GRAY || mode == PSD_DUOTONE;
	frame_is_picture(h);
	c.at = h->tail;
	return !c.failed && psd_is_whole(&c, length, h, channels, depth);
}

const struct magick_format magick_formats[] = {
	{"gif", "GIF", gif_knows, gif_parse},
	{"bmp", "BMP", bmp_knows, bmp_parse},
	{"pnm", "PNM", pnm_knows, pnm_parse},
	{"psd", "PSD", psd_knows, psd_parse},
};
const size_t n_magick_formats = sizeof magick_formats / sizeof *magick_formats;
