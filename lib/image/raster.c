/* SPDX-License-Identifier: BSD-2-Clause */
#include "raster.h"

#include "../iiif/facts.h"

bool raster_damaged(struct error *err, const char *what)
{
	return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "%s", what);
}

bool raster_unsupported(struct error *err, const char *what, uint64_t value)
{
	return fail(err, 501, REASON_UNSUPPORTED, "This kind of image is not supported.", "%s %llu", what,
		    (unsigned long long)value);
}

uint8_t cursor_byte(struct cursor *c)
{
	if (c->at < c->from || c->at >= c->from + c->n) {
		int64_t n = c->failed ? -1 : source_read_up_to(c->source, c->held, sizeof c->held, c->at, c->err);
		if (n == 0)
			raster_damaged(c->err, "the file is cut off");
		c->failed = n <= 0;
		c->from = c->at;
		c->n = n > 0 ? (size_t)n : 0;
		if (c->failed)
			return 0;
	}
	return c->held[c->at++ - c->from];
}

uint32_t cursor_le(struct cursor *c, int bytes)
{
	uint32_t v = 0;
	for (int i = 0; i < bytes; i++)
		v |= (uint32_t)cursor_byte(c) << (8 * i);
	return v;
}

uint32_t cursor_be(struct cursor *c, int bytes)
{
	uint32_t v = 0;
	for (int i = 0; i < bytes; i++)
		v = v << 8 | cursor_byte(c);
	return v;
}

bool raster_sane_sides(uint32_t w, uint32_t h, struct error *err)
{
	if (!w || !h || w > FACTS_MAX_SIDE || h > FACTS_MAX_SIDE)
		return raster_damaged(err, "sides that make no image");
	return true;
}
