/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_PLAN_CHECK_H
#define TEST_PLAN_CHECK_H

#include <math.h>

#include "iiif/geometry.h"

/* What must hold for every plan, whatever was asked: for random requests and for the fuzzer. */

static inline bool same_plan(const struct plan *a, const struct plan *b)
{
	return a->x == b->x && a->y == b->y && a->region_w == b->region_w && a->region_h == b->region_h &&
	       a->w == b->w && a->h == b->h && a->step_x == b->step_x && a->step_y == b->step_y &&
	       a->mirror == b->mirror && a->degrees == b->degrees && a->out_w == b->out_w &&
	       a->out_h == b->out_h && a->gray == b->gray && a->quality == b->quality &&
	       a->format == b->format && a->size_word == b->size_word;
}

static inline bool is_level_side(uint64_t at, uint64_t region, uint64_t side, uint64_t image, uint64_t s)
{
	return side == (region + s - 1) / s && at % s == 0 && ((at + region) % s == 0 || at + region == image);
}

static inline bool steps_are_right(const struct plan *p, const struct facts *f)
{
	for (uint64_t s = 1; s <= UINT64_C(1) << 30; s *= 2)
		if (is_level_side(p->x, p->region_w, p->w, f->w, s) &&
		    is_level_side(p->y, p->region_h, p->h, f->h, s))
			return p->step_x == (double)s && p->step_y == (double)s;
	return p->step_x == (double)p->region_w / p->w && p->step_y == (double)p->region_h / p->h;
}

/* Quarters exactly, other angles to the pixel that their bounding box ends in. */
static inline bool rotated_size_is_right(const struct plan *p)
{
	bool upright = p->degrees % (180 * DECIMAL_ONE) == 0;
	if (p->degrees % (90 * DECIMAL_ONE) == 0)
		return p->out_w == (upright ? p->w : p->h) && p->out_h == (upright ? p->h : p->w);
	double angle = (double)p->degrees / DECIMAL_ONE * M_PI / 180, c = fabs(cos(angle)), s = fabs(sin(angle));
	return fabs(p->w * c + p->h * s + 0.5 - p->out_w) <= 1 && fabs(p->h * c + p->w * s + 0.5 - p->out_h) <= 1;
}

/* Parses and plans the canonical form of p again. */
static inline bool plan_again(struct arena *a, int version, const struct facts *f, const struct limits *l,
			      const struct plan *p, struct buf *canonical, struct plan *again,
			      struct error *err)
{
	static const char *const root[] = {"", NULL}, *const none[] = {NULL};
	const struct request_options o = {version == 2 ? root : none, version == 3 ? root : none, false, "", ""};
	struct request r;
	struct buf *path = buf_open(a, 1024);
	plan_write_canonical(p, f, version, canonical);
	buf_text(path, "/a/");
	buf_str(path, buf_view(canonical));
	return request_parse(a, &o, buf_view(path), &r, err) && plan_make(&r, f, l, again, err);
}

/* What is wrong with p, NULL if nothing. l must be effective limits. */
static inline const char *plan_fault(struct arena *a, const struct request *r, const struct facts *f,
				     const struct limits *l, const struct plan *p)
{
	struct plan again;
	struct error err;

	if (!p->region_w || !p->region_h || p->x >= f->w || p->y >= f->h || p->region_w > f->w - p->x ||
	    p->region_h > f->h - p->y)
		return "the region leaves the image";
	if (!p->w || !p->h)
		return "the size is empty";
	if (!limits_allow(l, p->w, p->h))
		return "the size is above the limits";
	if ((p->w > p->region_w || p->h > p->region_h) && (!l->upscale || (r->version == 3 && !r->size.upscale)))
		return "enlarged without leave";
	if (!rotated_size_is_right(p))
		return "the rotated size is wrong";
	if (!steps_are_right(p, f))
		return "the steps are wrong";
	if (!plan_again(a, r->version, f, l, p, buf_open(a, 512), &again, &err))
		return "the canonical form is refused";
	return same_plan(p, &again) ? NULL : "the canonical form is another picture";
}

#endif
