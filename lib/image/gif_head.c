/* SPDX-License-Identifier: BSD-2-Clause */
#include "gif_head.h"

bool gif_knows(const uint8_t *head, size_t n)
{
	return n >= 13 && (memcmp(head, "GIF87a", 6) == 0 || memcmp(head, "GIF89a", 6) == 0);
}

/* Passes over a colour table of 2^bits entries; whether it is all gray. */
static bool gif_table_is_gray(struct cursor *c, unsigned bits)
{
	bool gray = true;
	for (unsigned i = 0; i < 1u << bits; i++) {
		uint8_t r = cursor_byte(c), g = cursor_byte(c), b = cursor_byte(c);
		gray = gray && r == g && g == b;
	}
	return gray;
}

static void gif_pass_blocks(struct cursor *c)
{
	for (uint8_t n; !c->failed && (n = cursor_byte(c)) != 0;)
		c->at += n;
}

static void gif_extension(struct cursor *c, struct gif_header *h)
{
	if (cursor_byte(c) == 0xf9 && cursor_byte(c) >= 4) {
		h->alpha = cursor_byte(c) & 1;
		c->at += 3;
	}
	gif_pass_blocks(c);
}

bool gif_parse(struct source *s, struct gif_header *h, struct error *err)
{
	struct cursor c = {.source = s, .err = err, .at = 6};
	h->w = cursor_le(&c, 2);
	h->h = cursor_le(&c, 2);
	uint8_t flags = cursor_byte(&c);
	c.at += 2;
	bool has_table = flags & 0x80;
	h->gray = has_table && gif_table_is_gray(&c, (flags & 7u) + 1);

	uint8_t block;
	while ((block = cursor_byte(&c)) == 0x21)
		gif_extension(&c, h);
	if (c.failed)
		return false;
	if (block != 0x2c)
		return raster_damaged(err, "there is no frame");
	h->frame.x = cursor_le(&c, 2);
	h->frame.y = cursor_le(&c, 2);
	h->frame.w = cursor_le(&c, 2);
	h->frame.h = cursor_le(&c, 2);
	flags = cursor_byte(&c);
	if (flags & 0x80)
		h->gray = gif_table_is_gray(&c, (flags & 7u) + 1);
	else if (!has_table)
		return raster_damaged(err, "there is no colour table");
	if (c.failed)
		return false;

	/* As browsers do: a screen without sides is the frame. */
	if (!h->w || !h->h) {
		h->w = h->frame.x + h->frame.w;
		h->h = h->frame.y + h->frame.h;
	}
	if (!h->frame.w || !h->frame.h)
		return raster_damaged(err, "the frame has no pixels");
	if (h->frame.x || h->frame.y || h->frame.w < h->w || h->frame.h < h->h)
		h->alpha = true;
	return raster_sane_sides(h->w, h->h, err);
}
