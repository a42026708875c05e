/* SPDX-License-Identifier: BSD-2-Clause */
#include "tiff_plain.h"

#include <string.h>

#include "rows.h"
#include "tiff_range.h"
#include "tiff_tiles.h"

struct plain {
	struct tiff_tiles tiles;
	const struct tiff_unpacker *unpacker;
	struct rect part;
	struct image *out;
	struct image *pair;            /* not NULL: two rows of RGB, which become YCbCr */
};

/* The rows of a strip up to the last one wanted; of several strips one at least is wanted to its end. */
static uint32_t wanted_rows(const struct tiff_level *l, struct rect part)
{
	uint64_t rows = part.y % l->tile_h + (uint64_t)part.h;
	return rows < l->tile_h ? (uint32_t)rows : l->tile_h;
}

/* The part's pixels in the tile at column x, row y. */
static struct rect seen(const struct plain *p, uint32_t x, uint32_t y)
{
	const struct tiff_level *l = p->tiles.level;
	struct rect tile = {x * l->tile_w, y * l->tile_h, l->tile_w, l->tile_h}, both = {0};
	rect_meet(tile, p->part, &both);
	return both;
}

static void whiten(struct plain *p, struct rect r, int plane)
{
	struct rect samples = {r.x - p->part.x, r.y - p->part.y, r.w, r.h};
	for (int i = 0; i < image_planes(p->out); i++)
		if (!p->tiles.f->kind.separate || i == plane)
			image_whiten_part(p->out, i, samples);
}

/* A row of RGB as YCbCr, at an even width, in that row of the pair. */
static void put_pair_row(struct plain *p, struct tiff_run *run, uint32_t row)
{
	uint8_t *at[3];
	run->to_y = row;
	tiff_tiles_finish(&p->tiles, run->y, run->x + run->n);
	tiff_unpack(p->unpacker, run, p->pair);
	for (int i = 0; i < 3; i++) {
		at[i] = p->pair->plane[i].at + row * p->pair->plane[i].stride;
		at[i][run->n] = at[i][run->n - 1];
	}
	rows_fastest()->rgb_to_ycc(at[0], at[1], at[2], run->n + run->n % 2);
}

/* What is seen of a tile in row y of them. A last row without its neighbour is its own. */
static void put_ycc(struct plain *p, struct tiff_run run, struct rect r, uint32_t y)
{
	uint32_t to_x = run.to_x, to_y = r.y - p->part.y;
	run.to_x = 0;
	for (uint32_t done = 0; done < r.h; done += 2) {
		uint32_t n = r.h - done < 2 ? 1 : 2;
		for (uint32_t k = 0; k < n; k++) {
			const struct plane *luma = &p->out->plane[0];
			run.y = r.y + done + k - y * p->tiles.level->tile_h;
			put_pair_row(p, &run, k);
			memcpy(luma->at + (to_y + done + k) * luma->stride + to_x,
			       p->pair->plane[0].at + k * p->pair->plane[0].stride, r.w);
		}
		uint32_t row = (to_y + done) / 2;
		/* By the place in the level, so that a part has the samples of the whole. */
		int up = 1 + (r.y + done) / 2 % 2;
		for (int i = 1; i < 3; i++) {
			const struct plane *from = &p->pair->plane[i], *to = &p->out->plane[i];
			rows_fastest()->halve(from->at, from->at + (n - 1) * from->stride, (r.w + 1) / 2, up,
					      to->at + row * to->stride + to_x / 2);
		}
	}
}

static bool read_tile(struct plain *p, uint32_t x, uint32_t y, int plane, uint64_t after, struct error *err)
{
	const struct tiff_level *l = p->tiles.level;
	struct rect r = seen(p, x, y);
	if (!tiff_tiles_read(&p->tiles, x, y, tiff_samples_source(&p->tiles.f->kind, plane), after, err)) {
		if (!tiff_forgives(p->tiles.f, err))
			return false;
		if (!p->tiles.partial) {
			whiten(p, r, plane);
			return true;
		}
	}
	struct tiff_run run = {.tile = p->tiles.at, .tile_w = l->tile_w, .x = r.x - x * l->tile_w, .n = r.w,
			       .to_x = r.x - p->part.x, .plane = plane};
	if (p->pair) {
		put_ycc(p, run, r, y);
		return true;
	}
	for (uint32_t row = r.y; row < r.y + r.h; row++) {
		run.y = row - y * l->tile_h;
		run.to_y = row - p->part.y;
		tiff_tiles_finish(&p->tiles, run.y, run.x + run.n);
		tiff_unpack(p->unpacker, &run, p->out);
	}
	return true;
}

static bool read_tiles(struct plain *p, int plane, struct error *err)
{
	struct rect tiles = tiff_tiles_of(p->tiles.level, p->part);
	for (uint32_t y = tiles.y; y < tiles.y + tiles.h; y++)
		for (uint32_t x = tiles.x; x < tiles.x + tiles.w; x++)
			if (!read_tile(p, x, y, plane, tiff_tiles_after(p->tiles.level, tiles, x, y), err))
				return false;
	return true;
}

static bool alloc_planes(struct arena *a, const struct tiff_samples *kind, const struct tiff_level *l,
			 struct rect part, struct image *out, struct error *err)
{
	bool ycc = out->model != kind->model;
	if (!ycc && !(kind->deep ? image_alloc_deep : image_alloc)(a, out, kind->model, kind->alpha, part, err))
		return false;
	for (int i = 0; i < image_planes(out); i++) {
		struct plane *plane = &out->plane[i];
		uint32_t sub = ycc && i ? 2 : 1;
		if (ycc && !plane_room(a, plane, (part.w + sub - 1) / sub, (part.h + sub - 1) / sub, err))
			return false;
		plane->x = part.x * l->dx;
		plane->y = part.y * l->dy;
		plane->dx = sub * l->dx;
		plane->dy = sub * l->dy;
	}
	return true;
}

/* Room for two rows of a tile, an even number of samples. */
static bool alloc_pair(struct arena *a, struct plain *p, struct error *err)
{
	p->pair = arena_new(a, struct image);
	return image_alloc(a, p->pair, MODEL_RGB, false, (struct rect){0, 0, p->tiles.level->tile_w + 1, 2}, err);
}

bool tiff_plain_makes_ycc(const struct tiff_file *f, const struct tiff_level *l)
{
	return f->kind.model == MODEL_RGB && !f->kind.alpha && !f->kind.deep && !f->kind.separate &&
	       (l->tile_w % 2 == 0 || l->tile_w >= l->w) && (l->tile_h % 2 == 0 || l->tile_h >= l->h);
}

bool tiff_plain_read(struct arena *a, struct tiff_file *f, const struct tiff_level *l, struct rect part,
		     struct image *out, struct error *err)
{
	struct plain p = {.part = part, .out = out};
	struct arena *scratch = arena_open();
	struct tiff_unpacker *unpacker = NULL;
	bool ok = tiff_range_find(f, err) && tiff_go(f, l, err) && alloc_planes(a, &f->kind, l, part, out, err) &&
		  tiff_unpacker_open(scratch, &f->kind, &unpacker, err) &&
		  tiff_tiles_open(scratch, f, l, wanted_rows(l, part), &p.tiles, err);
	ok = ok && (out->model == f->kind.model || alloc_pair(scratch, &p, err));
	p.unpacker = unpacker;
	for (int i = 0; ok && i < (f->kind.separate ? image_planes(out) : 1); i++)
		ok = read_tiles(&p, i, err);
	arena_close(scratch);
	return ok;
}

uint64_t tiff_plain_memory(const struct tiff_file *f, const struct tiff_level *l, struct rect part)
{
	uint64_t range = tiff_range_memory(f), tiles = tiff_tiles_memory(f, l, wanted_rows(l, part));
	uint64_t planes = image_bytes(f->kind.model, f->kind.alpha, part) * (f->kind.deep ? 2 : 1);
	/* The tables of what codes mean: 128 kB a plane. */
	return (range > tiles ? range : tiles) + planes + (1 << 20);
}
