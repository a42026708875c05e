/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a region of a TIFF becomes planes.
 *
 * open walks the directories once and keeps, for the page asked for, its levels: the page itself,
 * the reduced images in its SubIFDs, and the following pages as long as they are halvings of it. A
 * page counts as a halving if its sides are the floor or ceil of the page's over 2, 4, 8... and it
 * is marked as a reduced image or, unmarked, tiled like the page: a plain multi-page TIFF is no
 * pyramid.
 *
 * read takes the smallest level whose step is at most the one wanted, covers the region with whole
 * tiles (a strip is a tile as wide as the level), and lets each tile be decoded to its place in
 * planes that span these tiles. The planes are then cut to the level's sides, so that the padding
 * of edge tiles is never seen: beyond the edge the resampler repeats the image's last samples.
 */
#include "tiff_read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <tiffio.h>

#include "jpeg_tiles.h"

#define MAX_DIRECTORIES 65536
#define LIBTIFF_MAX_BYTES (UINT64_C(1) << 30)   /* of one allocation */
#define MAX_TILE_SAMPLES (UINT64_C(1) << 40)
/* Whole blocks are written beyond a tile's last column and row. */
#define SPARE 64
#define STREAM_SLACK_BYTES 65536                /* headers, tables and profiles in JPEG streams */

struct tiff_level {
	uint64_t directory;            /* its offset in the file */
	uint32_t w, h;
	uint32_t tile_w, tile_h;       /* strips: the level's width, rows per strip */
	bool tiled;
	double dx, dy;
};

struct tiff_file {
	TIFF *tif;
	struct source *source;
	struct error *err;             /* of the call in hand */
	struct tiff_level level[FACTS_MAX_LEVELS];
	int n_levels;
	uint16_t compression, photometric, samples;
	enum model model;
	struct jpeg_stream jpeg;       /* of the first tile, for JPEG compression */
	uint64_t offset;               /* libtiff's own cursor */
};

static tmsize_t on_read(thandle_t handle, void *at, tmsize_t n)
{
	struct tiff_file *f = (struct tiff_file *)handle;
	int64_t got = source_read_up_to(f->source, at, (size_t)n, f->offset, f->err);
	/* Never -1: libtiff 4.5 counts it as a size, and clears memory before its buffer. */
	if (got < 0)
		return 0;
	f->offset += (uint64_t)got;
	return (tmsize_t)got;
}

static tmsize_t on_write(thandle_t handle, void *at, tmsize_t n)
{
	(void)handle;
	(void)at;
	(void)n;
	return -1;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence)
{
	struct tiff_file *f = (struct tiff_file *)handle;
	uint64_t base = whence == SEEK_CUR   ? f->offset
			: whence == SEEK_END ? f->source->validator.length
					     : 0;
	f->offset = base + offset;
	return f->offset;
}

static int on_close(thandle_t handle)
{
	(void)handle;
	return 0;
}

static toff_t on_size(thandle_t handle)
{
	return ((struct tiff_file *)handle)->source->validator.length;
}

/* The first message is the cause; what follows is its echo. */
static int on_error(TIFF *tif, void *user, const char *module, const char *format, va_list args)
{
	struct tiff_file *f = user;
	char text[300];
	(void)tif;
	if (f->err->status)
		return 1;
	vsnprintf(text, sizeof text, format, args);
	fail(f->err, 500, REASON_DAMAGED, "The image is damaged.", "libtiff: %s: %s",
	     module ? module : "", text);
	return 1;
}

static int on_warning(TIFF *tif, void *user, const char *module, const char *format, va_list args)
{
	(void)tif;
	(void)user;
	(void)module;
	(void)format;
	(void)args;
	return 1;
}

static void close_tiff(void *what)
{
	struct tiff_file *f = what;
	if (f->tif)
		TIFFClose(f->tif);
}

/* Makes err the error of this call; libtiff fills it through on_error. */
static void begin(struct tiff_file *f, struct error *err)
{
	*err = (struct error){0};
	f->err = err;
}

/* After a libtiff call that failed: err has its message, or none if it gave none. */
static bool damaged(struct error *err, const char *what)
{
	if (err->status)
		return false;
	return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "libtiff: %s", what);
}

static bool unsupported(struct error *err, const char *what, unsigned value)
{
	return fail(err, 501, REASON_UNSUPPORTED, "This kind of TIFF is not supported.", "%s %u", what,
		    value);
}

static bool tiff_knows(const uint8_t *h, size_t n)
{
	return n >= 4 && ((h[0] == 'I' && h[1] == 'I' && (h[2] == 42 || h[2] == 43) && h[3] == 0) ||
			  (h[0] == 'M' && h[1] == 'M' && h[2] == 0 && (h[3] == 42 || h[3] == 43)));
}

static uint16_t tag16(TIFF *tif, uint32_t tag, uint16_t otherwise)
{
	uint16_t v = otherwise;
	if (!TIFFGetFieldDefaulted(tif, tag, &v))
		v = otherwise;
	return v;
}

static uint32_t tag32(TIFF *tif, uint32_t tag, uint32_t otherwise)
{
	uint32_t v = otherwise;
	if (!TIFFGetFieldDefaulted(tif, tag, &v))
		v = otherwise;
	return v;
}

static bool read_level(struct tiff_file *f, struct tiff_level *l)
{
	TIFF *tif = f->tif;
	*l = (struct tiff_level){.directory = TIFFCurrentDirOffset(tif),
				 .w = tag32(tif, TIFFTAG_IMAGEWIDTH, 0),
				 .h = tag32(tif, TIFFTAG_IMAGELENGTH, 0),
				 .tiled = TIFFIsTiled(tif) != 0};
	if (l->tiled) {
		l->tile_w = tag32(tif, TIFFTAG_TILEWIDTH, 0);
		l->tile_h = tag32(tif, TIFFTAG_TILELENGTH, 0);
	} else {
		l->tile_w = l->w;
		l->tile_h = tag32(tif, TIFFTAG_ROWSPERSTRIP, l->h);
		if (l->tile_h > l->h)
			l->tile_h = l->h;
	}
	return l->w && l->h && l->tile_w && l->tile_h && l->w <= FACTS_MAX_SIDE && l->h <= FACTS_MAX_SIDE &&
	       (uint64_t)l->tile_w * l->tile_h <= MAX_TILE_SAMPLES;
}

/* Whether the JPEG tiles of a level, laid side by side, have a common grid of chroma samples. */
static bool suits_chroma(const struct tiff_file *f, const struct tiff_level *l)
{
	return f->compression != COMPRESSION_JPEG || ((l->tile_w % f->jpeg.chroma_x == 0 || l->tile_w >= l->w) &&
						      (l->tile_h % f->jpeg.chroma_y == 0 || l->tile_h >= l->h));
}

static bool is_half(uint32_t side, uint32_t full, unsigned k)
{
	return k < 32 && (side == full >> k || side == (full >> k) + ((full & ((1u << k) - 1)) != 0));
}

static double level_step(uint32_t side, uint32_t full)
{
	for (unsigned k = 0; k < 31; k++)
		if (is_half(side, full, k))
			return (double)(1u << k);
	return (double)full / side;
}

/* The current directory as a further level, if it is one of the page's. */
static bool add_level(struct tiff_file *f, bool marked)
{
	struct tiff_level l;
	const struct tiff_level *full = &f->level[0], *last = &f->level[f->n_levels - 1];
	if (f->n_levels == FACTS_MAX_LEVELS || !read_level(f, &l) || l.w > last->w || l.h > last->h ||
	    (l.w == last->w && l.h == last->h) || !suits_chroma(f, &l))
		return false;
	if (tag16(f->tif, TIFFTAG_COMPRESSION, 1) != f->compression ||
	    tag16(f->tif, TIFFTAG_PHOTOMETRIC, 0) != f->photometric ||
	    tag16(f->tif, TIFFTAG_SAMPLESPERPIXEL, 1) != f->samples ||
	    tag16(f->tif, TIFFTAG_BITSPERSAMPLE, 1) != 8 ||
	    tag16(f->tif, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT) != SAMPLEFORMAT_UINT ||
	    (f->samples > 1 && tag16(f->tif, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) != PLANARCONFIG_CONTIG))
		return false;
	l.dx = level_step(l.w, full->w);
	l.dy = level_step(l.h, full->h);
	bool halves = false;
	for (unsigned k = 1; k < 31; k++)
		halves |= is_half(l.w, full->w, k) && is_half(l.h, full->h, k);
	bool same_shape = fabs(l.dx - l.dy) < 0.02 * l.dx + 2.0 / (l.w < l.h ? l.w : l.h);
	if (!(halves && l.tiled && full->tiled) && !(marked && same_shape))
		return false;
	f->level[f->n_levels++] = l;
	return true;
}

static bool is_reduced(struct tiff_file *f)
{
	return tag32(f->tif, TIFFTAG_SUBFILETYPE, 0) & FILETYPE_REDUCEDIMAGE;
}

static void add_sub_levels(struct tiff_file *f, struct arena *a)
{
	uint16_t n = 0;
	toff_t *offsets;
	if (!TIFFGetField(f->tif, TIFFTAG_SUBIFD, &n, &offsets) || !n)
		return;
	uint64_t *kept = arena_array(a, uint64_t, n);
	memcpy(kept, offsets, n * sizeof *kept);
	for (int i = 0; i < n && i < FACTS_MAX_LEVELS; i++)
		if (TIFFSetSubDirectory(f->tif, kept[i]))
			add_level(f, true);
}

/* Goes to the page-th directory that is no reduced image. */
static bool find_page(struct tiff_file *f, uint32_t page, struct error *err)
{
	for (uint32_t seen = is_reduced(f) ? 0 : 1, i = 0; seen < page; i++) {
		if (i >= MAX_DIRECTORIES || !TIFFReadDirectory(f->tif)) {
			/* A file of reduced images only: the first one is its page. */
			if (page == 1 && TIFFSetDirectory(f->tif, 0))
				return true;
			return fail(err, 404, REASON_NOT_FOUND, "The image has no such page.",
				    "fewer than %u pages", page);
		}
		seen += !is_reduced(f);
	}
	return true;
}

/* What of the many kinds of TIFF is decoded here. */
static bool check_kind(struct tiff_file *f, struct error *err)
{
	TIFF *tif = f->tif;
	f->compression = tag16(tif, TIFFTAG_COMPRESSION, COMPRESSION_NONE);
	f->samples = tag16(tif, TIFFTAG_SAMPLESPERPIXEL, 1);
	if (!TIFFGetField(tif, TIFFTAG_PHOTOMETRIC, &f->photometric))
		f->photometric = f->samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
	uint16_t bits = tag16(tif, TIFFTAG_BITSPERSAMPLE, 1);
	uint16_t format = tag16(tif, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
	uint16_t planar = tag16(tif, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
	bool jpeg = f->compression == COMPRESSION_JPEG;

	switch (f->compression) {
	case COMPRESSION_NONE:
	case COMPRESSION_LZW:
	case COMPRESSION_PACKBITS:
	case COMPRESSION_ADOBE_DEFLATE:
	case COMPRESSION_DEFLATE:
	case COMPRESSION_JPEG:
		break;
	default:
		return unsupported(err, "compression", f->compression);
	}
	switch (f->photometric) {
	case PHOTOMETRIC_MINISBLACK:
	case PHOTOMETRIC_MINISWHITE:
		f->model = MODEL_GRAY;
		break;
	case PHOTOMETRIC_RGB:
		f->model = MODEL_RGB;
		break;
	case PHOTOMETRIC_YCBCR:
		if (!jpeg)
			return unsupported(err, "YCbCr with compression", f->compression);
		f->model = MODEL_YCC;
		break;
	default:
		return unsupported(err, "photometric interpretation", f->photometric);
	}
	if (bits != 8 || format != SAMPLEFORMAT_UINT)
		return unsupported(err, "bits per sample", bits);
	if (f->samples != model_planes(f->model))
		return unsupported(err, "samples per pixel", f->samples);
	if (planar != PLANARCONFIG_CONTIG && f->samples > 1)
		return unsupported(err, "planar configuration", planar);
	return true;
}

static uint64_t tile_bytes(const struct tiff_file *f, const struct tiff_level *l)
{
	return (uint64_t)l->tile_w * l->tile_h * f->samples;
}

/* More bytes than this no stored tile or strip can need: part of the memory estimate. */
static uint64_t stream_limit(const struct tiff_file *f, const struct tiff_level *l)
{
	uint64_t limit = 2 * tile_bytes(f, l) + STREAM_SLACK_BYTES, length = f->source->validator.length;
	return limit < length ? limit : length;
}

/* Where a stored tile or strip of the current directory is. libtiff itself goes on with offset 0 where
 * its table could not be read, and makes a picture of the file's first bytes. */
static bool find_stream(struct tiff_file *f, const struct tiff_level *l, uint32_t index, uint64_t *offset,
			uint64_t *n, struct error *err)
{
	int no_offset = 0, no_size = 0;
	*offset = TIFFGetStrileOffsetWithErr(f->tif, index, &no_offset);
	*n = TIFFGetStrileByteCountWithErr(f->tif, index, &no_size);
	if (no_offset || no_size || !*offset || !*n)
		return damaged(err, "a tile or strip is nowhere");
	/* What is stored plainly is read by its own size. */
	return f->compression == COMPRESSION_NONE || *n <= stream_limit(f, l) ||
	       damaged(err, "a tile or strip has more bytes than it can need");
}

static bool read_stream(struct tiff_file *f, const struct tiff_level *l, struct arena *a, uint32_t index,
			struct str *out, struct error *err)
{
	uint64_t offset, n;
	if (!find_stream(f, l, index, &offset, &n, err))
		return false;
	char *at = arena_block(a, n, err);
	*out = (struct str){at, n};
	return at && source_read(f->source, at, n, offset, err);
}

static bool open_jpeg(struct tiff_file *f, struct arena *a, struct jpeg_tiles **tiles,
		      struct error *err)
{
	uint32_t n = 0;
	const void *tables = NULL;
	if (!TIFFGetField(f->tif, TIFFTAG_JPEGTABLES, &n, &tables))
		n = 0;
	return jpeg_tiles_open(a, (struct str){tables, n}, tiles, err);
}

/* Sampling and kind of the JPEG streams, from the first one: tags may lie about them. */
static bool probe_jpeg(struct tiff_file *f, struct error *err)
{
	struct arena *scratch = arena_open();
	struct jpeg_tiles *tiles;
	struct str stream;
	bool ok = open_jpeg(f, scratch, &tiles, err) && read_stream(f, &f->level[0], scratch, 0, &stream, err) &&
		  jpeg_tiles_probe(tiles, stream, &f->jpeg, err);
	arena_close(scratch);
	if (!ok)
		return false;
	if (f->jpeg.components != f->samples || f->jpeg.w > f->level[0].tile_w ||
	    f->jpeg.h > f->level[0].tile_h)
		return damaged(err, "the JPEG streams differ from the directory");
	if (f->model == MODEL_RGB && (f->jpeg.chroma_x > 1 || f->jpeg.chroma_y > 1))
		return unsupported(err, "RGB with subsampled components in JPEG, columns", f->jpeg.chroma_x);
	if (!suits_chroma(f, &f->level[0]))
		return unsupported(err, "JPEG with subsampled chroma in strips of height", f->level[0].tile_h);
	return true;
}

static void copy_profile(struct tiff_file *f, struct arena *a, struct picture *p)
{
	uint32_t n = 0;
	const void *icc = NULL;
	if (!TIFFGetField(f->tif, TIFFTAG_ICCPROFILE, &n, &icc) || !n)
		return;
	p->icc = (const uint8_t *)arena_strndup(a, icc, n);
	p->icc_bytes = n;
}

static void fill_facts(const struct tiff_file *f, struct picture *p)
{
	struct facts *facts = &p->facts;
	const struct tiff_level *full = &f->level[0];
	p->stored_w = full->w;
	p->stored_h = full->h;
	facts->gray = f->model == MODEL_GRAY;
	if (full->tiled) {
		facts->tile_w = full->tile_w;
		facts->tile_h = full->tile_h;
	}
	if (f->model == MODEL_YCC) {
		facts->chroma_x = f->jpeg.chroma_x;
		facts->chroma_y = f->jpeg.chroma_y;
	}
	facts->n_levels = f->n_levels;
	for (int i = 0; i < f->n_levels; i++) {
		facts->level[i].w = f->level[i].w;
		facts->level[i].h = f->level[i].h;
	}
}

static bool open_file(struct tiff_file *f, struct source *source, struct arena *a, struct error *err)
{
	TIFFOpenOptions *o = TIFFOpenOptionsAlloc();
	if (!o)
		return fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.",
			    "no memory for libtiff");
	TIFFOpenOptionsSetErrorHandlerExtR(o, on_error, f);
	TIFFOpenOptionsSetWarningHandlerExtR(o, on_warning, f);
	TIFFOpenOptionsSetMaxSingleMemAlloc(o, (tmsize_t)LIBTIFF_MAX_BYTES);
	f->source = source;
	f->tif = TIFFClientOpenExt("source", "rmDO", (thandle_t)f, on_read, on_write, on_seek, on_close,
				   on_size, NULL, NULL, o);
	TIFFOpenOptionsFree(o);
	arena_defer(a, close_tiff, f);
	return f->tif ? true : damaged(err, "it cannot be opened");
}

static bool tiff_open(struct arena *a, uint32_t page, struct picture *p, struct error *err)
{
	struct tiff_file *f = arena_new(a, struct tiff_file);
	begin(f, err);
	if (!open_file(f, p->source, a, err) || !find_page(f, page, err) || !check_kind(f, err))
		return false;
	if (!read_level(f, &f->level[0]))
		return damaged(err, "sides that make no image");
	f->level[0].dx = f->level[0].dy = 1;
	f->n_levels = 1;

	uint16_t orientation = tag16(f->tif, TIFFTAG_ORIENTATION, 1);
	p->facts.orientation = orientation >= 1 && orientation <= 8 ? orientation : 1;
	copy_profile(f, a, p);
	if (f->compression == COMPRESSION_JPEG && !probe_jpeg(f, err))
		return false;

	add_sub_levels(f, a);
	if (TIFFSetSubDirectory(f->tif, f->level[0].directory))
		while (f->n_levels < FACTS_MAX_LEVELS && TIFFReadDirectory(f->tif) &&
		       add_level(f, is_reduced(f)))
			;
	/* Damage behind the pages that are used does not matter; what could not be read might be a level. */
	if (p->source->has_failed)
		return source_blame(p->source, err);
	*err = (struct error){0};
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
	uint32_t across = 8u * f->jpeg.chroma_x, down = 8u * f->jpeg.chroma_y;
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
	t.sub_x = f->jpeg.chroma_x;
	t.sub_y = f->jpeg.chroma_y;
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
	uint64_t tile = tile_bytes(f, t.level), bytes = 1 << 20;
	double planes = 0;             /* may be more than 64 bits can say */
	for (int i = 0; i < model_planes(f->model); i++) {
		uint64_t across, down;
		plane_sides(f, &t, i, &across, &down);
		planes += (double)(across + SPARE + 63) * (double)(down + SPARE);
	}
	/* One tile as stored, and decoded (by libtiff) or as coefficients (by libjpeg). */
	if (f->compression != COMPRESSION_NONE)
		bytes += stream_limit(f, t.level);
	if (f->compression != COMPRESSION_JPEG)
		bytes += tile;
	else if (f->jpeg.progressive)
		bytes += 2 * tile + (uint64_t)f->samples * 64 * (t.level->tile_w + t.level->tile_h + 32);
	return bytes + (uint64_t)fmin(planes, 0x1p62);
}

/* Planes that span the touched tiles, with their place in the full image. */
static bool alloc_planes(struct arena *a, const struct tiff_file *f, const struct touched *t,
			 struct image *out, struct error *err)
{
	const struct tiff_level *l = t->level;
	for (int i = 0; i < out->n; i++) {
		struct plane *p = &out->plane[i];
		bool chroma = i > 0 && f->model == MODEL_YCC;
		uint32_t sub_x = chroma ? t->sub_x : 1, sub_y = chroma ? t->sub_y : 1;
		uint64_t w, h;
		plane_sides(f, t, i, &w, &h);
		if (w + SPARE > FACTS_MAX_SIDE || h + SPARE > FACTS_MAX_SIDE)
			return unsupported(err, "tiles of width", l->tile_w);
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
	for (int i = 0; i < out->n; i++) {
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
	struct jpeg_stream like = j->f->jpeg;
	struct jpeg_tile tile = {.seen_w = at_most(l->tile_w, l->w - x * l->tile_w),
				 .seen_h = at_most(l->tile_h, l->h - y * l->tile_h)};
	unsigned n = (unsigned)t->eighths;

	if (!read_stream(j->f, l, j->scratch, index, &tile.stream, err))
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
	if (!find_stream(j->f, l, index, &offset, &stored, err))
		return false;
	tmsize_t got = l->tiled ? TIFFReadEncodedTile(j->f->tif, index, j->buffer, j->buffer_bytes)
				: TIFFReadEncodedStrip(j->f->tif, index, j->buffer, want);
	if (got < want)
		return damaged(err, "a tile or strip is short");

	uint8_t invert = j->f->photometric == PHOTOMETRIC_MINISWHITE ? 255 : 0;
	for (uint32_t k = 0; k < rows; k++) {
		const uint8_t *from = j->buffer + k * row_bytes;
		for (int i = 0; i < j->out->n; i++) {
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
		if (!open_jpeg(j->f, j->scratch, &j->jpeg, err))
			return false;
	} else {
		j->buffer_bytes = l->tiled ? TIFFTileSize(j->f->tif) : TIFFStripSize(j->f->tif);
		if (j->buffer_bytes <= 0 || (uint64_t)j->buffer_bytes < tile_bytes(j->f, l))
			return damaged(err, "a tile size that makes no sense");
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

	begin(f, err);
	*out = (struct image){.model = f->model == MODEL_YCC && w->gray ? MODEL_GRAY : f->model,
			      .icc = p->icc, .icc_bytes = p->icc_bytes};
	out->n = model_planes(out->model);
	bool ok = (TIFFSetSubDirectory(f->tif, t.level->directory) || damaged(err, "a level is gone")) &&
		  alloc_planes(a, f, &t, out, err) && read_tiles(&job, err);
	arena_close(scratch);
	if (!ok)
		return source_blame(p->source, err);
	cut_planes(&t, out);
	invert_gray(f, out);
	return true;
}

const struct decoder tiff_decoder = {
	.name = "tiff",
	.knows = tiff_knows,
	.open = tiff_open,
	.memory = tiff_memory,
	.read = tiff_read,
};
