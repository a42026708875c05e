/* SPDX-License-Identifier: BSD-2-Clause */
#include "png_colour.h"

#include <math.h>

#include <zlib.h>

#include "../base/log.h"
#include "profile.h"

#define MOST_BYTES 32           /* of the chunks that are read */
#define TRANSFER_PQ 16
#define TRANSFER_HLG 18
/* What programs write for sRGB: 2.2, rounded by some. */
#define SRGB_GAMMA 2.2
#define GAMMA_TOLERANCE 0.05
#define XY_TOLERANCE 0.005

struct chunks {
	bool icc, srgb, gama, chrm, cicp;   /* there is one */
	double gamma;                       /* of a sample to light */
	double xy[4][2];
	uint8_t code[4];                    /* primaries, transfer, matrix, full range */
};

static const struct encoding srgb = {
	.xy = {{.64, .33}, {.30, .60}, {.15, .06}, {.3127, .3290}},
	.curve = {2.4, 1 / 1.055, .055 / 1.055, 1 / 12.92, .04045},
};

/* ITU-T H.273, table 2. */
static const struct {
	uint8_t code;
	double xy[4][2];
} primaries[] = {
	{1, {{.640, .330}, {.300, .600}, {.150, .060}, {.3127, .3290}}},
	{4, {{.67, .33}, {.21, .71}, {.14, .08}, {.310, .316}}},
	{5, {{.64, .33}, {.29, .60}, {.15, .06}, {.3127, .3290}}},
	{6, {{.630, .340}, {.310, .595}, {.155, .070}, {.3127, .3290}}},
	{7, {{.630, .340}, {.310, .595}, {.155, .070}, {.3127, .3290}}},
	{8, {{.681, .319}, {.243, .692}, {.145, .049}, {.310, .316}}},
	{9, {{.708, .292}, {.170, .797}, {.131, .046}, {.3127, .3290}}},
	{11, {{.680, .320}, {.265, .690}, {.150, .060}, {.314, .351}}},
	{12, {{.680, .320}, {.265, .690}, {.150, .060}, {.3127, .3290}}},
	{22, {{.630, .340}, {.295, .605}, {.155, .077}, {.3127, .3290}}},
};

/* The same, table 3, turned to give light. */
#define BT709 {1 / .45, 1 / 1.099296827, .099296827 / 1.099296827, 1 / 4.5, .081242858}
static const struct {
	uint8_t code;
	double curve[5];
} transfers[] = {
	{1, BT709}, {4, {2.2, 1}}, {5, {2.8, 1}}, {6, BT709}, {7, {1 / .45, 1 / 1.1115, .1115 / 1.1115, .25, .0912}},
	{8, {1, 1}}, {13, {2.4, 1 / 1.055, .055 / 1.055, 1 / 12.92, .04045}}, {14, BT709}, {15, BT709},
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

static bool is_srgb(const struct encoding *e)
{
	for (int i = 0; i < 8; i++)
		if (fabs(e->xy[i / 2][i % 2] - srgb.xy[i / 2][i % 2]) > XY_TOLERANCE)
			return false;
	return memcmp(e->curve, srgb.curve, sizeof e->curve) == 0 ||
	       (e->curve[1] == 1 && fabs(e->curve[0] / SRGB_GAMMA - 1) < GAMMA_TOLERANCE);
}

/* False where the codes mean nothing here. */
static bool by_code(const struct chunks *c, struct encoding *e)
{
	bool colours = false, curve = false;
	for (size_t i = 0; i < sizeof primaries / sizeof *primaries; i++)
		if (primaries[i].code == c->code[0]) {
			memcpy(e->xy, primaries[i].xy, sizeof e->xy);
			colours = true;
		}
	for (size_t i = 0; i < sizeof transfers / sizeof *transfers; i++)
		if (transfers[i].code == c->code[1]) {
			memcpy(e->curve, transfers[i].curve, sizeof e->curve);
			curve = true;
		}
	return c->code[2] == 0 && colours && curve;
}

static bool make(struct arena *a, struct picture *p, const struct encoding *e, struct error *err)
{
	struct str icc = {0};
	if (!is_srgb(e) && !profile_make(a, p->facts.gray ? MODEL_GRAY : MODEL_RGB, e, &icc, err))
		return false;
	p->icc = (const uint8_t *)icc.at;
	p->icc_bytes = icc.n;
	return true;
}

bool png_colour_find(struct arena *a, struct picture *p, struct error *err)
{
	struct chunks c = {0};
	struct encoding e = srgb;
	if (!read_chunks(p->source, &c, err))
		return false;
	if (c.cicp && (c.code[1] == TRANSFER_PQ || c.code[1] == TRANSFER_HLG))
		return fail(err, 501, REASON_UNSUPPORTED, "This kind of image is not supported.", "cICP of transfer %d", c.code[1]);
	if (c.cicp && by_code(&c, &e)) {
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
	e = srgb;
	if (c.chrm)
		memcpy(e.xy, c.xy, sizeof e.xy);
	if (c.gama)
		memcpy(e.curve, (double[5]){c.gamma, 1}, sizeof e.curve);
	return make(a, p, &e, err);
}
