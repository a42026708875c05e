/* SPDX-License-Identifier: BSD-2-Clause */
#include "decoder.h"

#include <math.h>

#include "../base/hash.h"

#define FILTER_REACH 3.0   /* the widest filter, in output pixels */

static void swap(uint32_t *a, uint32_t *b)
{
	uint32_t kept = *a;
	*a = *b;
	*b = kept;
}

/* Codecs speak of the stored image, facts of the oriented one. */
static void orient_facts(struct picture *p)
{
	struct facts *f = &p->facts;
	f->w = p->stored_w;
	f->h = p->stored_h;
	if (!facts_swapped(f))
		return;
	swap(&f->w, &f->h);
	swap(&f->tile_w, &f->tile_h);
	for (int i = 0; i < f->n_levels; i++)
		swap(&f->level[i].w, &f->level[i].h);
}

bool picture_open(struct arena *a, const struct decoder *const *list, struct source *source,
		  uint32_t page, struct picture *p, struct error *err)
{
	uint8_t head[DECODER_HEAD_BYTES];
	*p = (struct picture){.source = source, .facts.format = ""};
	int64_t n = source_read_up_to(source, head, sizeof head, 0, err);
	if (n < 0)
		return false;
	if (n == 0)
		return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "the file is empty");

	for (; *list; list++) {
		if (!(*list)->knows(head, (size_t)n))
			continue;
		p->decoder = *list;
		p->facts = (struct facts){.format = (*list)->name, .orientation = 1, .pages = 1,
					  .chroma_x = 1, .chroma_y = 1};
		if (!(*list)->open(a, page, p, err))
			return source_blame(source, err);
		orient_facts(p);
		if (p->icc_bytes)
			hash_hex((struct str){(const char *)p->icc, p->icc_bytes}, p->icc_hash);
		return true;
	}
	return fail(err, 501, REASON_UNSUPPORTED, "This kind of image is not supported.",
		    "unknown first bytes %02x %02x %02x %02x", head[0], n > 1 ? head[1] : 0,
		    n > 2 ? head[2] : 0, n > 3 ? head[3] : 0);
}

static bool is_copied(uint32_t at, double step, double d)
{
	return fabs(d - step) < 1e-9 * step && fmod(at, d) == 0;
}

/* One axis, with what the filter reaches; sub 0: there are no chroma planes. On a grid that is the output's own, all
 * planes may be copied, and nothing is reached. */
static void widen(uint32_t *at, uint32_t *n, uint32_t side, bool on_grid, double step, double d, int sub, int chroma)
{
	bool chroma_copied = sub == 0 || (sub == chroma && fmod(*at, d * sub) == 0);
	if (on_grid && is_copied(*at, step, d) && chroma_copied)
		return;
	double coarsest = sub ? d * sub : d;
	double margin = ceil(FILTER_REACH * fmax(sub ? step * chroma : step, coarsest) + coarsest);
	double from = fmax(0, *at - margin), to = fmin(side, (double)*at + *n + margin);
	*at = (uint32_t)from;
	*n = (uint32_t)(to - from);
}

static struct rect cover(const struct picture *p, const struct wants *w, bool on_grid, double dx, double dy, int sub_x,
			 int sub_y)
{
	struct rect r = w->region;
	if (w->gray)
		sub_x = sub_y = 0;
	bool scaled = !is_copied(r.x, w->step_x, dx) || !is_copied(r.y, w->step_y, dy);
	on_grid &= !(w->upsamples || (w->in_light && scaled)) || (sub_x <= 1 && sub_y <= 1);
	widen(&r.x, &r.w, p->stored_w, on_grid, w->step_x, dx, sub_x, w->chroma_x);
	widen(&r.y, &r.h, p->stored_h, on_grid, w->step_y, dy, sub_y, w->chroma_y);
	return r;
}

struct rect decoder_cover(const struct picture *p, const struct wants *w, double dx, double dy,
			  int sub_x, int sub_y)
{
	return cover(p, w, true, dx, dy, sub_x, sub_y);
}

struct rect decoder_cover_off_grid(const struct picture *p, const struct wants *w, double dx, double dy,
				   int sub_x, int sub_y)
{
	return cover(p, w, false, dx, dy, sub_x, sub_y);
}

int dct_eighths(const struct wants *w, double level_step_x, double level_step_y)
{
	int n = w->in_light ? 8 : 1;
	while (n < 8 && (level_step_x * 8 / n * 1.5 > w->step_x || level_step_y * 8 / n * 1.5 > w->step_y))
		n *= 2;
	return n;
}

bool dct_chroma(const struct wants *w, int eighths, uint8_t *chroma_x, uint8_t *chroma_y)
{
	int size = eighths;
	while (size < 8 && *chroma_x * eighths % (size * 2) == 0 && *chroma_y * eighths % (size * 2) == 0)
		size *= 2;
	bool halved = size == 2 * eighths && !w->upsamples && *chroma_x <= w->chroma_x && *chroma_y <= w->chroma_y;
	if (halved)
		return true;
	*chroma_x = (uint8_t)(*chroma_x * eighths / size);
	*chroma_y = (uint8_t)(*chroma_y * eighths / size);
	return false;
}
