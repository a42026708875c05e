/* SPDX-License-Identifier: BSD-2-Clause */
#include "geometry.h"

#include <math.h>

typedef unsigned __int128 u128;

/* round(a b / c), half up, saturated: the arithmetic of every derived side. c > 0. */
static uint64_t scale_round(uint64_t a, uint64_t b, uint64_t c)
{
	u128 v = ((u128)a * b * 2 + c) / ((u128)c * 2);
	return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

static uint64_t scale_floor(uint64_t a, uint64_t b, uint64_t c)
{
	u128 v = (u128)a * b / c;
	return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

static uint64_t percent_of(uint64_t side, uint64_t percent)
{
	return scale_round(side, percent, 100 * DECIMAL_ONE);
}

static uint64_t isqrt(u128 v)
{
	u128 low = 0, high = (u128)1 << 63;
	while (low < high) {
		u128 mid = (low + high + 1) / 2;
		if (mid * mid <= v)
			low = mid;
		else
			high = mid - 1;
	}
	return (uint64_t)low;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t or_infinite(uint64_t limit)
{
	return limit ? limit : UINT64_MAX;
}

struct sides {
	uint64_t w, h;
};

/*
 * The largest size of the region's ratio inside the box, the limits and, with cap, the region
 * (digest 3, fit). No side comes out below 1.
 */
static struct sides fit(struct sides region, struct sides box, const struct limits *l, bool cap)
{
	u128 rw = region.w, rh = region.h;
	uint64_t box_w = smaller(box.w, or_infinite(l->max_w));
	uint64_t box_h = smaller(box.h, or_infinite(l->max_h));
	if (cap) {
		box_w = smaller(box_w, region.w);
		box_h = smaller(box_h, region.h);
	}
	if (box_w == UINT64_MAX && box_h == UINT64_MAX && !l->max_area)
		return region;

	bool width_binds = (u128)box_w * rh <= (u128)box_h * rw;
	/* s s rw rh > area, with s = box_w/rw or box_h/rh; the infinite box is above any area. */
	uint64_t bound = width_binds ? box_w : box_h;
	u128 along = width_binds ? rw : rh, other = width_binds ? rh : rw;
	bool area_binds = l->max_area && (bound > UINT32_MAX ||
					  (u128)bound * bound * other > (u128)l->max_area * along);
	struct sides s;
	if (area_binds) {
		s.w = isqrt((u128)l->max_area * rw / rh);
		s.h = scale_round(region.h, s.w, region.w);
		if ((u128)s.w * s.h > l->max_area)
			s.h = scale_floor(region.h, s.w, region.w);
	} else if (width_binds) {
		s.w = box_w;
		s.h = scale_round(region.h, box_w, region.w);
		if (l->max_area && (u128)s.w * s.h > l->max_area)
			s.h = scale_floor(region.h, box_w, region.w);
	} else {
		s.h = box_h;
		s.w = scale_round(region.w, box_h, region.h);
		if (l->max_area && (u128)s.w * s.h > l->max_area)
			s.w = scale_floor(region.w, box_h, region.h);
	}
	return s;
}

static const struct sides no_box = {UINT64_MAX, UINT64_MAX};

/* max and ^max have no empty side; one that was raised to 1 must not lift the area above its limit. */
static struct sides at_least_one(struct sides s, const struct limits *l)
{
	if (!s.w)
		return (struct sides){1, s.h ? smaller(s.h, or_infinite(l->max_area)) : 1};
	if (!s.h)
		return (struct sides){smaller(s.w, or_infinite(l->max_area)), 1};
	return s;
}

static struct sides size_max(struct sides region, const struct limits *l)
{
	return at_least_one(fit(region, no_box, l, true), l);
}

/* ^max: without any limit the same as max. */
static struct sides size_upscaled_max(struct sides region, const struct limits *l)
{
	return at_least_one(fit(region, no_box, l, false), l);
}

bool limits_allow(const struct limits *l, uint64_t w, uint64_t h)
{
	return w <= or_infinite(l->max_w) && h <= or_infinite(l->max_h) &&
	       (!l->max_area || (u128)w * h <= l->max_area);
}

struct limits limits_effective(struct limits l, const struct facts *f)
{
	if (l.max_w && !l.max_h)
		l.max_h = l.max_w;
	if (l.max_w || l.max_h || f->w > JPEG_MAX_SIDE || f->h > JPEG_MAX_SIDE) {
		l.max_w = smaller(or_infinite(l.max_w), JPEG_MAX_SIDE);
		l.max_h = smaller(or_infinite(l.max_h), JPEG_MAX_SIDE);
	}
	if (l.upscale && !l.max_w && !l.max_area)
		l.max_area = 100 * UINT64_C(1000000);
	return l;
}

static bool make_region(const struct region *r, const struct facts *f, struct plan *p,
			struct error *err)
{
	uint64_t x = 0, y = 0, w = f->w, h = f->h;
	switch (r->kind) {
	case REGION_FULL:
		break;
	case REGION_SQUARE:
		w = h = smaller(f->w, f->h);
		x = (f->w - w) / 2;
		y = (f->h - h) / 2;
		break;
	case REGION_PIXELS:
		x = r->x;
		y = r->y;
		w = r->w;
		h = r->h;
		break;
	case REGION_PERCENT:
		x = percent_of(f->w, r->x);
		y = percent_of(f->h, r->y);
		w = percent_of(f->w, r->w);
		h = percent_of(f->h, r->h);
		break;
	}
	if (w == 0 || h == 0)
		return fail(err, 400, REASON_SYNTAX, "The region is empty.", "%s", "");
	if (x >= f->w || y >= f->h)
		return fail(err, 400, REASON_SYNTAX, "The region lies outside the image.", "%s", "");
	p->x = (uint32_t)x;
	p->y = (uint32_t)y;
	p->region_w = (uint32_t)smaller(w, f->w - x);
	p->region_h = (uint32_t)smaller(h, f->h - y);
	return true;
}

/* The size that the form names, before upscaling rule and limits. */
static struct sides named_size(const struct size *s, struct sides region, const struct limits *l)
{
	switch (s->kind) {
	case SIZE_FULL:
		return region;
	case SIZE_MAXIMUM:
		return s->upscale ? size_upscaled_max(region, l) : size_max(region, l);
	case SIZE_BY_W:
		return (struct sides){s->w, scale_round(region.h, s->w, region.w)};
	case SIZE_BY_H:
		return (struct sides){scale_round(region.w, s->h, region.h), s->h};
	case SIZE_BY_WH:
		return (struct sides){s->w, s->h};
	case SIZE_CONFINED:
		if (!s->w || !s->h)
			return (struct sides){0, 0};
		return fit(region, (struct sides){s->w, s->h}, l, !s->upscale);
	case SIZE_BY_PCT:
		return (struct sides){percent_of(region.w, s->w), percent_of(region.h, s->w)};
	}
	return (struct sides){0, 0};
}

static bool make_size(const struct size *s, int version, const struct limits *l, struct plan *p,
		      struct error *err)
{
	struct sides region = {p->region_w, p->region_h};
	struct sides size = named_size(s, region, l);

	if (!size.w || !size.h)
		return fail(err, 400, REASON_SYNTAX, "The size is empty.", "%s", "");

	bool larger = size.w > region.w || size.h > region.h;
	bool asked = larger || (s->kind == SIZE_BY_PCT && s->w > 100 * DECIMAL_ONE);
	if (asked && version == 3 && !s->upscale)
		return fail(err, 400, REASON_SYNTAX,
			    "The size is larger than the region; put ^ before it to enlarge.", "%s", "");
	if (larger && !l->upscale)
		return fail(err, 501, REASON_UNSUPPORTED, "This server does not enlarge images.", "%s", "");
	if (!limits_allow(l, size.w, size.h))
		return fail(err, version == 3 ? 400 : 404, REASON_TOO_LARGE,
			    "The size is above the limits of this image.", "%s", "");
	if (size.w > UINT32_MAX / 2 || size.h > UINT32_MAX / 2)
		return fail(err, 400, REASON_TOO_LARGE, "The size is too large.", "%s", "");

	p->w = (uint32_t)size.w;
	p->h = (uint32_t)size.h;

	struct sides max = size_max(region, l), upscaled = size_upscaled_max(region, l);
	p->size_word = size.w == max.w && size.h == max.h ? PLAN_MAX
		       : l->upscale && size.w == upscaled.w && size.h == upscaled.h
			       ? PLAN_UPSCALED_MAX
			       : PLAN_SIZE;
	return true;
}

static bool is_ceil(uint32_t side, uint32_t region, uint32_t shift)
{
	return side == (((uint64_t)region + (UINT64_C(1) << shift) - 1) >> shift);
}

static bool is_edge(uint32_t at, uint32_t shift, uint32_t side)
{
	return at == side || (at & ((UINT32_C(1) << shift) - 1)) == 0;
}

static void make_steps(const struct facts *f, struct plan *p)
{
	p->step_x = (double)p->region_w / p->w;
	p->step_y = (double)p->region_h / p->h;
	for (uint32_t k = 0; k < 31; k++) {
		uint32_t below = (UINT32_C(1) << k) - 1;
		if (is_ceil(p->w, p->region_w, k) && is_ceil(p->h, p->region_h, k) &&
		    !(p->x & below) && !(p->y & below) && is_edge(p->x + p->region_w, k, f->w) &&
		    is_edge(p->y + p->region_h, k, f->h)) {
			p->step_x = p->step_y = (double)(UINT32_C(1) << k);
			return;
		}
	}
}

/* A side of the bounding box (digest 4). What is within a thousandth of a pixel is no further pixel. */
static uint32_t turned_side(uint32_t along, double c, uint32_t across, double s)
{
	return (uint32_t)fmax(1, ceil(along * fabs(c) + across * fabs(s) - 1e-3));
}

static void make_rotation(const struct rotation *r, struct plan *p)
{
	p->mirror = r->mirror;
	p->degrees = r->degrees;
	if (r->degrees % (90 * DECIMAL_ONE) == 0) {
		bool upright = r->degrees % (180 * DECIMAL_ONE) == 0;
		p->out_w = upright ? p->w : p->h;
		p->out_h = upright ? p->h : p->w;
		return;
	}
	double angle = (double)r->degrees / DECIMAL_ONE * M_PI / 180;
	p->out_w = turned_side(p->w, cos(angle), p->h, sin(angle));
	p->out_h = turned_side(p->h, cos(angle), p->w, sin(angle));
}

static bool check_format_ceiling(const struct plan *p, struct error *err)
{
	static const uint32_t sides[FORMATS] = {
		[FORMAT_JPG] = JPEG_MAX_SIDE,
		[FORMAT_PDF] = JPEG_MAX_SIDE,
		[FORMAT_WEBP] = WEBP_MAX_SIDE,
		[FORMAT_GIF] = GIF_MAX_SIDE,
	};
	uint32_t side = sides[p->format];
	if (side && (p->out_w > side || p->out_h > side))
		return fail(err, 400, REASON_TOO_LARGE, "The size is above what this format can hold.",
			    "%s", "");
	return true;
}

bool plan_make(const struct request *r, const struct facts *f, const struct limits *l,
	       struct plan *p, struct error *err)
{
	*p = (struct plan){.format = r->format, .quality = r->quality};
	if (!make_region(&r->region, f, p, err) || !make_size(&r->size, r->version, l, p, err))
		return false;
	make_rotation(&r->rotation, p);
	if (!check_format_ceiling(p, err))
		return false;
	make_steps(f, p);

	p->gray = f->gray || r->quality == QUALITY_GRAY || r->quality == QUALITY_BITONAL;
	if (r->quality == QUALITY_COLOR || (r->quality == QUALITY_GRAY && f->gray))
		p->quality = QUALITY_DEFAULT;
	return true;
}

static void write_size(const struct plan *p, int version, struct buf *out)
{
	if (version == 2) {
		if (p->w == p->region_w && p->h == p->region_h)
			buf_text(out, "full");
		else if (scale_round(p->region_h, p->w, p->region_w) == p->h)
			buf_printf(out, "%u,", p->w);
		else
			buf_printf(out, "%u,%u", p->w, p->h);
		return;
	}
	if (p->size_word == PLAN_MAX)
		buf_text(out, "max");
	else if (p->size_word == PLAN_UPSCALED_MAX)
		buf_text(out, "^max");
	else
		buf_printf(out, "%s%u,%u", p->w > p->region_w || p->h > p->region_h ? "^" : "", p->w, p->h);
}

static void write_degrees(uint64_t degrees, struct buf *out)
{
	uint64_t fraction = degrees % DECIMAL_ONE;
	buf_printf(out, "%llu", (unsigned long long)(degrees / DECIMAL_ONE));
	if (!fraction)
		return;
	int digits = DECIMAL_PLACES;
	while (fraction % 10 == 0) {
		fraction /= 10;
		digits--;
	}
	buf_printf(out, ".%0*llu", digits, (unsigned long long)fraction);
}

void plan_write_canonical(const struct plan *p, const struct facts *f, int version, struct buf *out)
{
	if (p->region_w == f->w && p->region_h == f->h)
		buf_text(out, "full/");
	else
		buf_printf(out, "%u,%u,%u,%u/", p->x, p->y, p->region_w, p->region_h);
	write_size(p, version, out);
	buf_text(out, p->mirror ? "/!" : "/");
	write_degrees(p->degrees, out);
	buf_printf(out, "/%s.%s", quality_name(p->quality), format_name(p->format));
}
