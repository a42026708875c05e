/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a region of a TIFF becomes planes.
 *
 * read takes the smallest level whose step is at most the one wanted. JPEG (the new style) is decoded here: the
 * region is covered with whole tiles (a strip is a tile as wide as the level), and each tile is decoded to its place in
 * planes that span these tiles. The planes are then cut to the level's sides, so that the padding of edge tiles is
 * never seen: beyond the edge the resampler repeats the image's last samples. All else is tiff_plain.c's.
 */
#include "tiff_read.h"

#include <math.h>

#include <tiffio.h>

#include "alpha.h"
#include "colour.h"
#include "tiff_plain.h"
#include "tiff_stored.h"

/* Whole blocks are written beyond a tile's last column and row. */
#define SPARE 64
/* Level samples to one of the answer: below, the answer may be a tile as it is stored. */
#define LEAST_SCALED 1.25

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
	facts->gray = f->kind.model == MODEL_GRAY;
	facts->alpha = f->kind.alpha;
	if (full->tiled) {
		facts->tile_w = full->tile_w;
		facts->tile_h = full->tile_h;
	}
	if (f->kind.model == MODEL_YCC) {
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
	struct rect part;              /* of the level's pixels */
	int eighths;                   /* DCT scale within the level's tiles */
	uint8_t sub_x, sub_y;          /* luma samples per chroma sample at that scale */
	bool halves;                   /* chroma, as dct_chroma says */
	bool turns_ycc;                /* RGB becomes YCbCr with halved chroma */
	struct rect tiles;             /* columns and rows of them */
};

static bool is_jpeg(const struct tiff_file *f)
{
	return f->kind.compression == COMPRESSION_JPEG;
}

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
	if (!is_jpeg(f) || (l->tiled && l->tile_w % across) ||
	    (l->tile_h % down && l->tile_h < l->h))
		return 8;
	return dct_eighths(w, l->dx, l->dy);
}

/* Where an answer in such YCbCr is scaled down: two planes in three have a quarter of the samples to be weighed. */
static bool turns_ycc(const struct picture *p, const struct tiff_level *l, const struct wants *w)
{
	const struct tiff_file *f = p->codec;
	bool halved = w->chroma_x == 2 && w->chroma_y == 2 && !w->gray && !w->upsamples;
	bool scaled = w->step_x >= LEAST_SCALED * l->dx && w->step_y >= LEAST_SCALED * l->dy;
	return !is_jpeg(f) && halved && scaled && !w->in_light && !w->recover && tiff_plain_makes_ycc(f, l) &&
	       !(w->converts && colour_is_converted(p, MODEL_RGB));
}

static struct touched touch(const struct picture *p, const struct wants *w)
{
	const struct tiff_file *f = p->codec;
	struct touched t = {.level = choose_level(f, w)};
	const struct tiff_level *l = t.level;
	t.eighths = choose_eighths(f, l, w);
	t.sub_x = l->jpeg.chroma_x;
	t.sub_y = l->jpeg.chroma_y;
	t.halves = dct_chroma(w, t.eighths, &t.sub_x, &t.sub_y) && f->kind.model == MODEL_YCC;
	double dx = l->dx * 8 / t.eighths, dy = l->dy * 8 / t.eighths;
	t.turns_ycc = turns_ycc(p, l, w);
	if (t.turns_ycc)
		t.sub_x = t.sub_y = 2;
	bool ycc = f->kind.model == MODEL_YCC || t.turns_ycc;
	struct rect r = decoder_cover(p, w, dx, dy, ycc ? t.sub_x : 0, ycc ? t.sub_y : 0);

	double left = floor(r.x / l->dx), top = floor(r.y / l->dy);
	double right = fmin(ceil(((double)r.x + r.w) / l->dx), l->w);
	double bottom = fmin(ceil(((double)r.y + r.h) / l->dy), l->h);
	/* A level rounded down may end before the region does. */
	left = fmin(left, l->w - 1);
	top = fmin(top, l->h - 1);
	right = fmax(right, left + 1);
	bottom = fmax(bottom, top + 1);
	if (t.turns_ycc) {
		left -= fmod(left, 2);
		top -= fmod(top, 2);
		right = fmin(right + fmod(right, 2), l->w);
		bottom = fmin(bottom + fmod(bottom, 2), l->h);
	}
	t.part = (struct rect){(uint32_t)left, (uint32_t)top, (uint32_t)(right - left), (uint32_t)(bottom - top)};
	t.tiles = tiff_tiles_of(l, t.part);
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
	bool chroma = i > 0 && f->kind.model == MODEL_YCC;
	*w = scaled((uint64_t)t->tiles.w * t->level->tile_w, t->eighths, chroma ? t->sub_x : 1);
	*h = scaled((uint64_t)t->tiles.h * t->level->tile_h, t->eighths, chroma ? t->sub_y : 1);
}

static uint64_t tiff_memory(const struct picture *p, const struct wants *w)
{
	struct tiff_file *f = p->codec;
	f->recover = w->recover;
	struct touched t = touch(p, w);
	if (!is_jpeg(f))
		return tiff_plain_memory(f, t.level, t.part);
	uint64_t tile = tiff_tile_bytes(f, t.level), bytes = 1 << 20;
	double planes = 0;             /* may be more than 64 bits can say */
	for (int i = 0; i < model_planes(f->kind.model) + f->kind.alpha; i++) {
		uint64_t across, down;
		plane_sides(f, &t, i, &across, &down);
		planes += (double)(across + SPARE + 63) * (double)(down + SPARE);
	}
	/* Tiles as stored, and one as coefficients. */
	bytes += tiff_stream_limit(f, t.level) + TIFF_STREAMS_BYTES + (uint64_t)JPEG_TILES_ROWS * (t.level->tile_w + 128);
	if (t.level->jpeg.progressive)
		bytes += 2 * tile + (uint64_t)f->kind.n * 64 * (t.level->tile_w + t.level->tile_h + 32);
	return bytes + (uint64_t)fmin(planes, 0x1p62);
}

/* Planes that span the touched tiles, with their place in the full image. */
static bool alloc_planes(struct arena *a, const struct tiff_file *f, const struct touched *t,
			 struct image *out, struct error *err)
{
	const struct tiff_level *l = t->level;
	for (int i = 0; i < image_planes(out); i++) {
		struct plane *p = &out->plane[i];
		bool chroma = i > 0 && f->kind.model == MODEL_YCC;
		uint32_t sub_x = chroma ? t->sub_x : 1, sub_y = chroma ? t->sub_y : 1;
		uint64_t w, h;
		plane_sides(f, t, i, &w, &h);
		if (w + SPARE > FACTS_MAX_SIDE || h + SPARE > FACTS_MAX_SIDE)
			return tiff_unsupported(err, "tiles of width", l->tile_w);
		if (!plane_room(a, p, (uint32_t)w + SPARE, (uint32_t)h + SPARE, err))
			return false;
		p->w = (uint32_t)w;
		p->h = (uint32_t)h;
		p->x = (double)t->tiles.x * l->tile_w * l->dx;
		p->y = (double)t->tiles.y * l->tile_h * l->dy;
		p->dx = l->dx * 8 / t->eighths * sub_x;
		p->dy = l->dy * 8 / t->eighths * sub_y;
	}
	return true;
}

/* Cuts the planes where the part ends, or the level: beyond are rows that were not decoded, and padding. */
static void cut_planes(const struct touched *t, struct image *out)
{
	const struct tiff_level *l = t->level;
	for (int i = 0; i < image_planes(out); i++) {
		struct plane *p = &out->plane[i];
		double right = ceil((((double)t->part.x + t->part.w) * l->dx - p->x) / p->dx - 1e-6);
		double bottom = ceil((((double)t->part.y + t->part.h) * l->dy - p->y) / p->dy - 1e-6);
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
	struct tiff_streams streams;
};

/* Where plane i of the tile at column x, row y of the level's tiles goes. */
static struct plane place_of(const struct tile_job *j, int i, uint32_t x, uint32_t y)
{
	const struct touched *t = j->t;
	const struct tiff_level *l = t->level;
	const struct plane *p = &j->out->plane[i];
	unsigned n = (unsigned)t->eighths;
	bool chroma = i > 0 && j->f->kind.model == MODEL_YCC;
	uint32_t sub_x = chroma ? t->sub_x : 1, sub_y = chroma ? t->sub_y : 1;
	uint64_t column = (uint64_t)(x - t->tiles.x) * l->tile_w * n / 8 / sub_x;
	uint64_t row = (uint64_t)(y - t->tiles.y) * l->tile_h * n / 8 / sub_y;
	/* Beyond this tile's rows lie the next tile's, decoded later, or spare rows. */
	return (struct plane){.at = p->at + row * p->stride + column, .stride = p->stride,
			      .h = (uint32_t)((uint64_t)l->tile_h * n / 8 / sub_y) + SPARE};
}

/* All planes of a tile, or, of separate ones, that plane. */
static bool read_tile(struct tile_job *j, uint32_t x, uint32_t y, int plane, struct error *err)
{
	const struct tiff_level *l = j->t->level;
	const struct tiff_samples *kind = &j->f->kind;
	uint32_t across = (l->w - 1) / l->tile_w + 1, down = (l->h - 1) / l->tile_h + 1;
	uint32_t index = ((kind->separate ? (uint32_t)tiff_samples_source(kind, plane) * down : 0) + y) * across + x;
	struct jpeg_stream like = l->jpeg;
	struct jpeg_tile tile = {.halves = j->t->halves, .seen_w = at_most(l->tile_w, l->w - x * l->tile_w),
				 .seen_h = at_most(l->tile_h, l->h - y * l->tile_h),
				 .rows = at_most(l->tile_h, j->t->part.y + j->t->part.h - y * l->tile_h)};

	if (!tiff_streams_read(&j->streams, index, tiff_tiles_after(l, j->t->tiles, x, y), UINT64_MAX, &tile.stream, err))
		return false;
	like.w = l->tile_w;
	like.h = l->tile_h;
	if (kind->separate)
		tile.to[0] = place_of(j, plane, x, y);
	else
		for (int i = 0; i < image_planes(j->out); i++)
			tile.to[tiff_samples_source(kind, i)] = place_of(j, i, x, y);
	return jpeg_tiles_read(j->jpeg, &tile, &like, j->t->eighths, err);
}

/* Leaves a tile white, if that is wanted. */
static bool give_up(struct tile_job *j, uint32_t x, uint32_t y, int plane, struct error *err)
{
	const struct tiff_level *l = j->t->level;
	uint32_t n = (uint32_t)j->t->eighths;
	if (!tiff_forgives(j->f, err))
		return false;
	for (int i = 0; i < image_planes(j->out); i++) {
		if (j->f->kind.separate && i != plane)
			continue;
		struct plane to = place_of(j, i, x, y), *p = &j->out->plane[i];
		size_t at = (size_t)(to.at - p->at);
		bool chroma = i > 0 && j->f->kind.model == MODEL_YCC;
		image_whiten_part(j->out, i, (struct rect){(uint32_t)(at % p->stride), (uint32_t)(at / p->stride),
						      l->tile_w * n / 8 / (chroma ? j->t->sub_x : 1),
						      l->tile_h * n / 8 / (chroma ? j->t->sub_y : 1)});
	}
	return true;
}

static bool read_tiles(struct tile_job *j, struct error *err)
{
	struct rect tiles = j->t->tiles;
	struct str tables = tiff_jpeg_tables(j->t->level->tif);
	if (!jpeg_tiles_open(j->streams.scratch, tables, j->f->recover, &j->jpeg, err))
		return false;
	for (int i = 0; i < (j->f->kind.separate ? image_planes(j->out) : 1); i++)
		for (uint32_t y = tiles.y; y < tiles.y + tiles.h; y++)
			for (uint32_t x = tiles.x; x < tiles.x + tiles.w; x++)
				if (!read_tile(j, x, y, i, err) && !give_up(j, x, y, i, err))
					return false;
	return true;
}

static bool read_jpeg(struct arena *a, struct tiff_file *f, const struct touched *t, struct image *out,
		      struct error *err)
{
	struct arena *scratch = arena_open();
	struct tile_job job = {.f = f, .t = t, .out = out, .streams = {.f = f, .level = t->level, .scratch = scratch}};
	bool ok = tiff_go(f, t->level, err) && alloc_planes(a, f, t, out, err) && read_tiles(&job, err);
	arena_close(scratch);
	if (!ok)
		return false;
	cut_planes(t, out);
	if (f->kind.photometric == PHOTOMETRIC_MINISWHITE)
		plane_invert(&out->plane[0]);
	return true;
}

static bool tiff_read(struct arena *a, const struct picture *p, const struct wants *w,
		      struct image *out, struct error *err)
{
	struct tiff_file *f = p->codec;
	struct touched t = touch(p, w);

	tiff_begin(f, err);
	f->recover = w->recover;
	*out = (struct image){.model = f->kind.model == MODEL_YCC && w->gray ? MODEL_GRAY : f->kind.model,
			      .alpha = f->kind.alpha, .icc = p->icc, .icc_bytes = p->icc_bytes,
				.icc_hash = p->icc_hash};
	if (t.turns_ycc)
		out->model = MODEL_YCC;
	out->n = model_planes(out->model);
	bool ok = is_jpeg(f) ? read_jpeg(a, f, &t, out, err) : tiff_plain_read(a, f, t.level, t.part, out, err);
	if (!ok)
		return source_blame(p->source, err);
	if (f->kind.multiplied)
		alpha_divide(out);
	return true;
}

static uint64_t tiff_held(const struct picture *p)
{
	const struct tiff_file *f = p->codec;
	/* libtiff's decoder of old-style JPEG goes on where it was, in the middle of a stream. */
	return f->kind.compression == COMPRESSION_OJPEG ? UINT64_MAX : tiff_file_bytes(f);
}

const struct decoder tiff_decoder = {
	.name = "tiff",
	.knows = tiff_knows,
	.open = tiff_open,
	.memory = tiff_memory,
	.read = tiff_read,
	.stored = tiff_stored,
	.held = tiff_held,
};
