/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a region of a TIFF becomes planes.
 *
 * read takes the smallest level whose step is at most the one wanted, covers the region with whole
 * tiles (a strip is a tile as wide as the level), and lets each tile be decoded to its place in
 * planes that span these tiles. The planes are then cut to the level's sides, so that the padding
 * of edge tiles is never seen: beyond the edge the resampler repeats the image's last samples.
 */
#include "tiff_read.h"

#include <math.h>

#include <tiffio.h>

#include "alpha.h"
#include "tiff_levels.h"

/* Whole blocks are written beyond a tile's last column and row. */
#define SPARE 64

static bool tiff_knows(const uint8_t *h, size_t n)
{
	return n >= 4 && ((h[0] == 'I' && h[1] == 'I' && (h[2] == 42 || h[2] == 43) && h[3] == 0) ||
			  (h[0] == 'M' && h[1] == 'M' && h[2] == 0 && (h[3] == 42 || h[3] == 43)));
}

static void fill_facts(const struct tiff_file *f, struct picture *p)
{
	struct facts *facts = &p->facts;
	const struct tiff_level *full = &f->level[0];
	p->stored_w = full->w;
	p->stored_h = full->h;
	facts->gray = f->model == MODEL_GRAY;
	facts->alpha = f->alpha;
	if (full->tiled) {
		facts->tile_w = full->tile_w;
		facts->tile_h = full->tile_h;
	}
	if (f->model == MODEL_YCC) {
		facts->chroma_x = full->jpeg.chroma_x;
		facts->chroma_y = full->jpeg.chroma_y;
	}
	facts->n_levels = f->n_levels;
	for (int i = 0; i < f->n_levels; i++) {
		facts->level[i].w = f->level[i].w;
		facts->level[i].h = f->level[i].h;
	}
}

static bool tiff_open(struct arena *a, uint32_t page, struct picture *p, struct error *err)
{
	struct tiff_file *f;
	if (!tiff_file_open(a, page, p, &f, err))
		return false;
	p->codec = f;
	fill_facts(f, p);
	return true;
}

struct touched {
	const struct tiff_level *level;
	int eighths;                   /* DCT scale within the level's tiles */
	uint8_t sub_x, sub_y;          /* luma samples per chroma sample at that scale */
	uint32_t first_x, first_y, end_x, end_y;   /* tiles */
};

static const struct tiff_level *choose_level(const struct tiff_file *f, const struct wants *w)
{
	const struct tiff_level *best = &f->level[0];
	for (int i = 1; i < f->n_levels; i++)
		if (f->level[i].dx <= w->step_x * (1 + 1e-9) && f->level[i].dy <= w->step_y * (1 + 1e-9))
			best = &f->level[i];
	return best;
}

/* Tiles can be scaled only if a tile's side stays whole blocks of whole samples. */
static int choose_eighths(const struct tiff_file *f, const struct tiff_level *l, const struct wants *w)
{
	uint32_t across = 8u * l->jpeg.chroma_x, down = 8u * l->jpeg.chroma_y;
	if (f->compression != COMPRESSION_JPEG || (l->tiled && l->tile_w % across) ||
	    (l->tile_h % down && l->tile_h < l->h))
		return 8;
	return dct_eighths(w, l->dx, l->dy);
}

static struct touched touch(const struct picture *p, const struct wants *w)
{
	const struct tiff_file *f = p->codec;
	struct touched t = {.level = choose_level(f, w)};
	const struct tiff_level *l = t.level;
	t.eighths = choose_eighths(f, l, w);
	t.sub_x = l->jpeg.chroma_x;
	t.sub_y = l->jpeg.chroma_y;
	dct_chroma(t.eighths, &t.sub_x, &t.sub_y);
	double dx = l->dx * 8 / t.eighths, dy = l->dy * 8 / t.eighths;
	bool ycc = f->model == MODEL_YCC;
	struct rect r = decoder_cover(p, w, dx, dy, ycc ? t.sub_x : 0, ycc ? t.sub_y : 0);

	double left = floor(r.x / l->dx), top = floor(r.y / l->dy);
	double right = fmin(ceil(((double)r.x + r.w) / l->dx), l->w);
	double bottom = fmin(ceil(((double)r.y + r.h) / l->dy), l->h);
	/* A level rounded down may end before the region does. */
	left = fmin(left, l->w - 1);
	top = fmin(top, l->h - 1);
	t.first_x = (uint32_t)left / l->tile_w;
	t.first_y = (uint32_t)top / l->tile_h;
	t.end_x = (uint32_t)fmax(ceil(right / l->tile_w), t.first_x + 1);
	t.end_y = (uint32_t)fmax(ceil(bottom / l->tile_h), t.first_y + 1);
	return t;
}

/* Samples of so many of the level's, at a DCT scale and chroma subsampling, rounded up. */
static uint64_t scaled(uint64_t samples, int eighths, uint32_t sub)
{
	return (samples * (unsigned)eighths + 8 * sub - 1) / (8 * sub);
}

/* The sides of the plane of component i that spans the touched tiles, spare samples not counted. */
static void plane_sides(const struct tiff_file *f, const struct touched *t, int i, uint64_t *w, uint64_t *h)
{
	bool chroma = i > 0 && f->model == MODEL_YCC;
	*w = scaled((uint64_t)(t->end_x - t->first_x) * t->level->tile_w, t->eighths, chroma ? t->sub_x : 1);
	*h = scaled((uint64_t)(t->end_y - t->first_y) * t->level->tile_h, t->eighths, chroma ? t->sub_y : 1);
}

static uint64_t tiff_memory(const struct picture *p, const struct wants *w)
{
	const struct tiff_file *f = p->codec;
	struct touched t = touch(p, w);
	uint64_t tile = tiff_tile_bytes(f, t.level), bytes = 1 << 20;
	double planes = 0;             /* may be more than 64 bits can say */
	for (int i = 0; i < model_planes(f->model) + f->alpha; i++) {
		uint64_t across, down;
		plane_sides(f, &t, i, &across, &down);
		planes += (double)(across + SPARE + 63) * (double)(down + SPARE);
	}
	/* One tile as stored, and decoded (by libtiff) or as coefficients (by libjpeg). */
	if (f->compression != COMPRESSION_NONE)
		bytes += tiff_stream_limit(f, t.level);
	if (f->compression != COMPRESSION_JPEG)
		bytes += tile;
	else if (t.level->jpeg.progressive)
		bytes += 2 * tile + (uint64_t)f->samples * 64 * (t.level->tile_w + t.level->tile_h + 32);
	return bytes + (uint64_t)fmin(planes, 0x1p62);
}

/* Planes that span the touched tiles, with their place in the full image. */
static bool alloc_planes(struct arena *a, const struct tiff_file *f, const struct touched *t,
			 struct image *out, struct error *err)
{
	const struct tiff_level *l = t->level;
	for (int i = 0; i < image_planes(out); i++) {
		struct plane *p = &out->plane[i];
		bool chroma = i > 0 && f->model == MODEL_YCC;
		uint32_t sub_x = chroma ? t->sub_x : 1, sub_y = chroma ? t->sub_y : 1;
		uint64_t w, h;
		plane_sides(f, t, i, &w, &h);
		if (w + SPARE > FACTS_MAX_SIDE || h + SPARE > FACTS_MAX_SIDE)
			return tiff_unsupported(err, "tiles of width", l->tile_w);
		if (!plane_alloc(a, p, (uint32_t)w + SPARE, (uint32_t)h + SPARE, err))
			return false;
		p->w = (uint32_t)w;
		p->h = (uint32_t)h;
		p->x = (double)t->first_x * l->tile_w * l->dx;
		p->y = (double)t->first_y * l->tile_h * l->dy;
		p->dx = l->dx * 8 / t->eighths * sub_x;
		p->dy = l->dy * 8 / t->eighths * sub_y;
	}
	return true;
}

/* Cuts the planes where the level ends: what lies beyond is padding. */
static void cut_planes(const struct touched *t, struct image *out)
{
	const struct tiff_level *l = t->level;
	for (int i = 0; i < image_planes(out); i++) {
		struct plane *p = &out->plane[i];
		double right = ceil((l->w * l->dx - p->x) / p->dx - 1e-6);
		double bottom = ceil((l->h * l->dy - p->y) / p->dy - 1e-6);
		if (right < p->w)
			p->w = (uint32_t)right;
		if (bottom < p->h)
			p->h = (uint32_t)bottom;
	}
}

struct tile_job {
	struct tiff_file *f;
	const struct touched *t;
	struct image *out;
	struct jpeg_tiles *jpeg;
	uint8_t *buffer;               /* one decoded tile, interleaved */
	tmsize_t buffer_bytes;
	struct arena *scratch;
};

static uint32_t at_most(uint32_t n, uint32_t most)
{
	return n < most ? n : most;
}

/* The tile at column x, row y of the level's tiles. */
static bool read_jpeg_tile(struct tile_job *j, uint32_t index, uint32_t x, uint32_t y, struct error *err)
{
	const struct touched *t = j->t;
	const struct tiff_level *l = t->level;
	struct jpeg_stream like = l->jpeg;
	struct jpeg_tile tile = {.seen_w = at_most(l->tile_w, l->w - x * l->tile_w),
				 .seen_h = at_most(l->tile_h, l->h - y * l->tile_h)};
	unsigned n = (unsigned)t->eighths;

	if (!tiff_read_stream(j->f, l, j->scratch, index, UINT64_MAX, &tile.stream, err))
		return false;
	like.w = l->tile_w;
	like.h = l->tile_h;
	for (int i = 0; i < j->out->n; i++) {
		const struct plane *p = &j->out->plane[i];
		bool chroma = i > 0 && j->f->model == MODEL_YCC;
		uint32_t sub_x = chroma ? t->sub_x : 1, sub_y = chroma ? t->sub_y : 1;
		uint64_t column = (uint64_t)(x - t->first_x) * l->tile_w * n / 8 / sub_x;
		uint64_t row = (uint64_t)(y - t->first_y) * l->tile_h * n / 8 / sub_y;
		tile.to[i].at = p->at + row * p->stride + column;
		tile.to[i].stride = p->stride;
		/* Beyond this tile's rows lie the next tile's, decoded later, or spare rows. */
		tile.to[i].h = (uint32_t)((uint64_t)l->tile_h * n / 8 / sub_y) + SPARE;
	}
	bool ok = jpeg_tiles_read(j->jpeg, &tile, &like, (int)n, err);
	arena_drop_block(j->scratch, (void *)tile.stream.at);
	return ok;
}

static bool read_plain_tile(struct tile_job *j, uint32_t index, uint32_t x, uint32_t y, struct error *err)
{
	const struct touched *t = j->t;
	const struct tiff_level *l = t->level;
	uint32_t rows = l->tiled ? l->tile_h : at_most(l->tile_h, l->h - y * l->tile_h);
	uint64_t offset, stored;
	size_t n = j->f->samples, row_bytes = (size_t)l->tile_w * n;
	tmsize_t want = (tmsize_t)(row_bytes * rows);
	if (!tiff_find_stream(j->f, l, index, &offset, &stored, err))
		return false;
	tmsize_t got = l->tiled ? TIFFReadEncodedTile(j->f->tif, index, j->buffer, j->buffer_bytes)
				: TIFFReadEncodedStrip(j->f->tif, index, j->buffer, want);
	if (got < want)
		return tiff_damaged(err, "a tile or strip is short");

	for (uint32_t k = 0; k < rows; k++) {
		const uint8_t *from = j->buffer + k * row_bytes;
		for (int i = 0; i < image_planes(j->out); i++) {
			uint8_t invert = i == 0 && j->f->photometric == PHOTOMETRIC_MINISWHITE ? 255 : 0;
			const struct plane *p = &j->out->plane[i];
			uint8_t *to = p->at + ((size_t)(y - t->first_y) * l->tile_h + k) * p->stride +
				      (size_t)(x - t->first_x) * l->tile_w;
			for (uint32_t c = 0; c < l->tile_w; c++)
				to[c] = from[c * n + (size_t)i] ^ invert;
		}
	}
	return true;
}

static void invert_gray(const struct tiff_file *f, struct image *out)
{
	struct plane *p = &out->plane[0];
	if (f->photometric != PHOTOMETRIC_MINISWHITE || f->compression != COMPRESSION_JPEG)
		return;
	for (uint32_t y = 0; y < p->h; y++)
		for (uint32_t x = 0; x < p->w; x++)
			p->at[y * p->stride + x] ^= 255;
}

static bool read_tiles(struct tile_job *j, struct error *err)
{
	const struct touched *t = j->t;
	const struct tiff_level *l = t->level;
	uint32_t per_row = (l->w + l->tile_w - 1) / l->tile_w;
	bool jpeg = j->f->compression == COMPRESSION_JPEG;

	if (jpeg) {
		if (!tiff_open_jpeg(j->f, j->scratch, &j->jpeg, err))
			return false;
	} else {
		j->buffer_bytes = l->tiled ? TIFFTileSize(j->f->tif) : TIFFStripSize(j->f->tif);
		if (j->buffer_bytes <= 0 || (uint64_t)j->buffer_bytes < tiff_tile_bytes(j->f, l))
			return tiff_damaged(err, "a tile size that makes no sense");
		j->buffer = arena_block(j->scratch, (size_t)j->buffer_bytes, err);
		if (!j->buffer)
			return false;
	}
	for (uint32_t y = t->first_y; y < t->end_y; y++)
		for (uint32_t x = t->first_x; x < t->end_x; x++)
			if (!(jpeg ? read_jpeg_tile : read_plain_tile)(j, y * per_row + x, x, y, err))
				return false;
	return true;
}

static bool tiff_read(struct arena *a, const struct picture *p, const struct wants *w,
		      struct image *out, struct error *err)
{
	struct tiff_file *f = p->codec;
	struct touched t = touch(p, w);
	struct arena *scratch = arena_open();
	struct tile_job job = {.f = f, .t = &t, .out = out, .scratch = scratch};

	tiff_begin(f, err);
	*out = (struct image){.model = f->model == MODEL_YCC && w->gray ? MODEL_GRAY : f->model,
			      .alpha = f->alpha, .icc = p->icc, .icc_bytes = p->icc_bytes};
	out->n = model_planes(out->model);
	bool ok = (TIFFSetSubDirectory(f->tif, t.level->directory) || tiff_damaged(err, "a level is gone")) &&
		  alloc_planes(a, f, &t, out, err) && read_tiles(&job, err);
	arena_close(scratch);
	if (!ok)
		return source_blame(p->source, err);
	cut_planes(&t, out);
	invert_gray(f, out);
	if (f->multiplied)
		alpha_divide(out);
	return true;
}

const struct decoder tiff_decoder = {
	.name = "tiff",
	.knows = tiff_knows,
	.open = tiff_open,
	.memory = tiff_memory,
	.read = tiff_read,
};
