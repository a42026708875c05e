/* SPDX-License-Identifier: BSD-2-Clause */
#include "tiff_stored.h"

#include <math.h>

#include <tiffio.h>

#include "colour.h"

#define MOST_TILES 4096

/* Whether planes are made of the streams' components as they are. */
static bool is_plain_jpeg(const struct tiff_file *f)
{
	const struct tiff_samples *k = &f->kind;
	bool shown = k->model == MODEL_GRAY || k->model == MODEL_YCC || k->model == MODEL_RGB;
	return k->compression == COMPRESSION_JPEG && shown && !k->separate && !k->alpha &&
	       k->photometric != PHOTOMETRIC_MINISWHITE && k->n == model_planes(k->model);
}

/* The range of tiles along one axis, if the region is made of whole ones. */
static bool find_range(uint32_t at, uint32_t n, double step, uint32_t tile, uint32_t side, uint32_t *first,
		       uint32_t *count)
{
	double from = at / step, length = n / step;
	if (fmod(from, tile) != 0 || fmod(length, tile) != 0 || from + length > side)
		return false;
	*first = (uint32_t)(from / tile);
	*count = (uint32_t)(length / tile);
	return *count > 0;
}

static const struct tiff_level *find_tiles(const struct tiff_file *f, const struct wants *w, struct rect *tiles)
{
	for (int i = 0; i < f->n_levels; i++) {
		const struct tiff_level *l = &f->level[i];
		if (l->tiled && l->dx == w->step_x && l->dy == w->step_y &&
		    find_range(w->region.x, w->region.w, l->dx, l->tile_w, l->w, &tiles->x, &tiles->w) &&
		    find_range(w->region.y, w->region.h, l->dy, l->tile_h, l->h, &tiles->y, &tiles->h))
			return l;
	}
	return NULL;
}

/* Copies: they are looked at side by side, and the pieces that were read come and go. */
static const char *read_tiles(struct arena *a, struct tiff_streams *s, struct rect tiles, uint64_t most, struct str *streams,
			      struct error *err)
{
	uint32_t across = (s->level->w - 1) / s->level->tile_w + 1;
	for (uint32_t y = tiles.y; y < tiles.y + tiles.h; y++)
		for (uint32_t x = tiles.x; x < tiles.x + tiles.w; x++, streams++) {
			struct str stored;
			if (!tiff_streams_read(s, y * across + x, tiff_tiles_after(s->level, tiles, x, y), UINT64_MAX, &stored, err))
				return "a tile cannot be read";
			if (stored.n > most)
				return "the stored tiles are too large";
			most -= stored.n;
			char *copy = arena_room(a, stored.n, err);
			if (!copy)
				return "";
			memcpy(copy, stored.at, stored.n);
			*streams = (struct str){copy, stored.n};
		}
	return NULL;
}

const char *tiff_stored(struct arena *a, const struct picture *p, const struct wants *w, uint64_t most,
			struct stored_tiles *out, struct error *err)
{
	struct tiff_file *f = p->codec;
	struct rect tiles;
	if (!is_plain_jpeg(f))
		return "the source has no JPEG tiles that can be sent as they are";
	if (w->converts && colour_is_converted(p, f->kind.model))
		return "its colours are converted";
	const struct tiff_level *l = find_tiles(f, w, &tiles);
	if (!l)
		return "it is not made of whole stored tiles of a level";
	if ((uint64_t)tiles.w * tiles.h > MOST_TILES)
		return "too many tiles";

	struct str *streams = arena_array(a, struct str, (size_t)tiles.w * tiles.h);
	struct arena *scratch = arena_open();
	struct tiff_streams reader = {.f = f, .level = l, .scratch = scratch};
	tiff_begin(f, err);
	f->recover = false;
	const char *why = tiff_go(f, l, err) ? read_tiles(a, &reader, tiles, most, streams, err) : "a level cannot be read";
	arena_close(scratch);
	if (why && p->source->has_failed) {
		source_blame(p->source, err);
		return "";
	}
	/* Decoding will say what is wrong. */
	if (why && *why)
		*err = (struct error){0};
	*out = (struct stored_tiles){f->kind.model, l->jpeg.components, l->jpeg.chroma_x, l->jpeg.chroma_y, tiles.w, tiles.h,
				     l->tile_w, l->tile_h, tiff_jpeg_tables(l->tif), streams};
	return why;
}
