/* SPDX-License-Identifier: BSD-2-Clause */
#include "tiff_range.h"

#include <math.h>

#include <tiffio.h>

#include "tiff_tiles.h"

#define KEPT_RANGES 64

/* Of one state of one file, and a page in it. */
struct known_range {
	struct validator validator;
	int64_t modified_ns, changed_ns;
	uint64_t device, inode, start, directory;
	double low, high;
};

static struct known_range kept[KEPT_RANGES];
static unsigned next;

static bool is_for(const struct known_range *r, const struct tiff_file *f)
{
	const struct source *s = f->source;
	return r->inode && r->inode == s->inode && r->device == s->device && r->start == s->start &&
	       r->modified_ns == s->modified_ns &&
	       r->changed_ns == s->changed_ns && r->directory == f->level[0].directory &&
	       validator_equal(&r->validator, &s->validator);
}

static bool recall(struct tiff_file *f)
{
	for (int i = 0; i < KEPT_RANGES; i++)
		if (is_for(&kept[i], f)) {
			f->kind.low = kept[i].low;
			f->kind.high = kept[i].high;
			return true;
		}
	return false;
}

static void keep(const struct tiff_file *f)
{
	const struct source *s = f->source;
	kept[next++ % KEPT_RANGES] = (struct known_range){s->validator, s->modified_ns, s->changed_ns, s->device, s->inode,
							  s->start, f->level[0].directory, f->kind.low, f->kind.high};
}

static bool is_in_header(struct tiff_file *f)
{
	double low, high;
	if (!TIFFGetField(f->level[0].tif, TIFFTAG_SMINSAMPLEVALUE, &low) ||
	    !TIFFGetField(f->level[0].tif, TIFFTAG_SMAXSAMPLEVALUE, &high) || !isfinite(low) || !isfinite(high) || low >= high)
		return false;
	f->kind.low = low;
	f->kind.high = high;
	return true;
}

/* The tile in t's buffer, without what pads it at the level's edges. */
static void widen(struct tiff_tiles *t, uint32_t x, uint32_t y, double *low, double *high)
{
	const struct tiff_level *l = t->level;
	uint32_t right = l->w - x * l->tile_w, bottom = l->h - y * l->tile_h;
	struct tiff_run run = {.tile = t->at, .tile_w = l->tile_w, .n = right < l->tile_w ? right : l->tile_w};
	for (; run.y < l->tile_h && run.y < bottom; run.y++) {
		tiff_tiles_finish(t, run.y, run.n);
		tiff_samples_widen(&t->f->kind, &run, low, high);
	}
}

static bool scan(struct tiff_file *f, double *low, double *high, struct error *err)
{
	struct arena *scratch = arena_open();
	struct tiff_tiles t;
	bool ok = tiff_tiles_open(scratch, f, &f->level[0], UINT32_MAX, &t, err);
	int parts = f->kind.separate ? model_planes(f->kind.model) : 1;
	for (int sample = 0; ok && sample < parts; sample++)
		for (uint32_t y = 0; ok && y < t.down; y++)
			for (uint32_t x = 0; ok && x < t.across; x++) {
				ok = tiff_tiles_read(&t, x, y, sample, (uint64_t)(t.down - y) * t.across - x - 1, err);
				if (ok)
					widen(&t, x, y, low, high);
				else
					ok = f->range_is_partial = tiff_forgives(f, err);
			}
	arena_close(scratch);
	return ok;
}

bool tiff_range_find(struct tiff_file *f, struct error *err)
{
	double low = INFINITY, high = -INFINITY;
	if (f->range_is_partial && !f->recover) {
		f->kind.low = f->kind.high = 0;
		f->range_is_partial = false;
	}
	if (!f->kind.quantities || f->kind.low < f->kind.high || recall(f))
		return true;
	if (!tiff_go(f, &f->level[0], err))
		return false;
	if (is_in_header(f))
		return true;
	if (!scan(f, &low, &high, err))
		return false;
	if (low > high || (f->kind.format == SAMPLEFORMAT_IEEEFP && low >= 0 && high <= 1)) {
		low = 0;
		high = 1;
	}
	f->kind.low = low;
	f->kind.high = high;
	if (!f->range_is_partial)
		keep(f);
	return true;
}

uint64_t tiff_range_memory(const struct tiff_file *f)
{
	return f->kind.quantities ? tiff_tiles_memory(f, &f->level[0], UINT32_MAX) : 0;
}
