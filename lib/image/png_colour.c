/* SPDX-License-Identifier: BSD-2-Clause */
#include "png_colour.h"

#include <zlib.h>

#include "../base/log.h"
#include "coded_colour.h"

#define MOST_BYTES 32           /* of the chunks that are read */

struct chunks {
	bool icc, srgb, gama, chrm, cicp;   /* there is one */
	double gamma;                       /* of a sample to light */
	double xy[4][2];
	uint8_t code[4];                    /* primaries, transfer, matrix, full range */
};

static uint32_t be32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The first of a name counts. */
static void take_chunk(const uint8_t *name, const uint8_t *at, uint32_t n, struct chunks *c)
{
	if (memcmp(name, "sRGB", 4) == 0) {
		c->srgb = true;
	} else if (memcmp(name, "gAMA", 4) == 0 && n == 4 && be32(at) && !c->gama) {
		c->gama = true;
		c->gamma = 100000.0 / be32(at);
	} else if (memcmp(name, "cHRM", 4) == 0 && n == 32 && !c->chrm) {
		c->chrm = true;
		/* White comes first there. */
		for (size_t i = 0; i < 8; i++)
			c->xy[(i / 2 + 3) % 4][i % 2] = be32(at + 4 * i) / 100000.0;
	} else if (memcmp(name, "cICP", 4) == 0 && n == 4 && !c->cicp) {
		c->cicp = true;
		memcpy(c->code, at, 4);
	}
}

/* All chunks before the pixels. */
static bool read_chunks(struct source *s, struct chunks *c, struct error *err)
{
	uint8_t head[8], body[4 + MOST_BYTES + 4];
	for (uint64_t at = 8;; at += 12 + (uint64_t)be32(head)) {
		if (!source_read(s, head, sizeof head, at, err))
			return false;
		uint32_t n = be32(head);
		if (memcmp(head + 4, "IDAT", 4) == 0)
			return true;
		c->icc |= memcmp(head + 4, "iCCP", 4) == 0;
		if (n > MOST_BYTES)
			continue;
		if (!source_read(s, body, n + 8, at + 4, err))
			return false;
		if (be32(body + 4 + n) == crc32(0, body, n + 4))
			take_chunk(body, body + 4, n, c);
	}
}

static bool make(struct arena *a, struct picture *p, const struct encoding *e, struct error *err)
{
	struct str icc;
	if (!encoding_profile(a, p->facts.gray ? MODEL_GRAY : MODEL_RGB, e, &icc, err))
		return false;
	p->icc = (const uint8_t *)icc.at;
	p->icc_bytes = icc.n;
	return true;
}

bool png_colour_find(struct arena *a, struct picture *p, struct error *err)
{
	struct chunks c = {0};
	struct encoding e = srgb_encoding;
	if (!read_chunks(p->source, &c, err))
		return false;
	if (c.cicp && (c.code[1] == TRANSFER_PQ || c.code[1] == TRANSFER_HLG))
		return fail(err, 501, REASON_UNSUPPORTED, "This kind of image is not supported.", "cICP of transfer %d", c.code[1]);
	if (c.cicp && c.code[2] == 0 && coded_colour(c.code[0], c.code[1], &e)) {
		if (!c.code[3])
			return fail(err, 501, REASON_UNSUPPORTED, "This kind of image is not supported.", "cICP of narrow range");
		return make(a, p, &e, err);
	}
	if (p->icc)
		return true;
	if (c.icc)
		log_event("warn", "a profile that libpng refuses is ignored");
	if (c.srgb)
		return true;
	e = srgb_encoding;
	if (c.chrm)
		memcpy(e.xy, c.xy, sizeof e.xy);
	if (c.gama)
		memcpy(e.curve, (double[5]){c.gamma, 1}, sizeof e.curve);
	return make(a, p, &e, err);
}
