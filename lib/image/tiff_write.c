/* SPDX-License-Identifier: BSD-2-Clause */
#include "tiff_write.h"

#include <tiffio.h>

#include "alpha.h"
#include "colour.h"
#include "jpeg_write.h"
#include "resample.h"
#include "tiff_messages.h"

#define TILE 256
#define WHITE 0xffffff
#define TILE_MAX_BYTES (TILE * TILE * 8)
#define NOT_WRITTEN "The pyramid could not be written."
#define BIG_PIXELS (UINT64_C(1) << 31)

struct pyramid {
	TIFF *tif;
	const struct picture *picture;
	int quality;
	struct image level;            /* whole, sampled as it is stored */
	uint32_t w, h;
	double step;
	uint8_t sub_x, sub_y;
	struct str tables;
};

static bool failed(struct error *err)
{
	if (!err->status)
		fail(err, 500, REASON_IO, NOT_WRITTEN, "libtiff gave no reason");
	return false;
}

static bool set_tags(struct pyramid *y)
{
	TIFF *t = y->tif;
	bool gray = y->level.model == MODEL_GRAY;
	bool ok = TIFFSetField(t, TIFFTAG_IMAGEWIDTH, y->w) && TIFFSetField(t, TIFFTAG_IMAGELENGTH, y->h) &&
		  TIFFSetField(t, TIFFTAG_TILEWIDTH, TILE) && TIFFSetField(t, TIFFTAG_TILELENGTH, TILE) &&
		  TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, 8) &&
		  TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, gray ? 1 : 3) &&
		  TIFFSetField(t, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) &&
		  TIFFSetField(t, TIFFTAG_COMPRESSION, COMPRESSION_JPEG) &&
		  TIFFSetField(t, TIFFTAG_PHOTOMETRIC, gray ? PHOTOMETRIC_MINISBLACK : PHOTOMETRIC_YCBCR) &&
		  TIFFSetField(t, TIFFTAG_JPEGTABLES, (uint32_t)y->tables.n, y->tables.at) &&
		  TIFFSetField(t, TIFFTAG_SUBFILETYPE, y->step > 1 ? FILETYPE_REDUCEDIMAGE : 0) &&
		  TIFFSetField(t, TIFFTAG_ORIENTATION, y->picture->facts.orientation);
	if (ok && !gray)
		ok = TIFFSetField(t, TIFFTAG_YCBCRSUBSAMPLING, y->sub_x, y->sub_y);
	if (ok && y->level.icc_bytes)
		ok = TIFFSetField(t, TIFFTAG_ICCPROFILE, (uint32_t)y->level.icc_bytes, y->level.icc);
	return ok;
}

/* The tile at column x, row y of tiles; edge samples are repeated into the padding. */
static void cut_tile(const struct pyramid *p, uint32_t x, uint32_t y, struct image *tile)
{
	for (int i = 0; i < p->level.n; i++) {
		const struct plane *from = &p->level.plane[i];
		struct plane *to = &tile->plane[i];
		for (uint32_t j = 0; j < to->h; j++) {
			uint32_t row = y * to->h + j < from->h ? y * to->h + j : from->h - 1;
			uint32_t left = x * to->w, n = from->w - left < to->w ? from->w - left : to->w;
			const uint8_t *source = from->at + row * from->stride + left;
			memcpy(to->at + j * to->stride, source, n);
			memset(to->at + j * to->stride + n, source[n - 1], to->w - n);
		}
	}
}

static bool write_level(struct pyramid *p, struct error *err)
{
	struct arena *scratch = arena_open();
	struct image tile = p->level;
	bool ok = set_tags(p) || failed(err);

	for (int i = 0; ok && i < tile.n; i++) {
		struct plane *t = &tile.plane[i];
		ok = plane_alloc(scratch, t, i ? TILE / p->sub_x : TILE, i ? TILE / p->sub_y : TILE, err);
		t->dx = i ? p->sub_x : 1;
		t->dy = i ? p->sub_y : 1;
	}
	struct buf *stream = buf_open(scratch, TILE_MAX_BYTES);
	uint32_t across = (p->w + TILE - 1) / TILE, down = (p->h + TILE - 1) / TILE;
	for (uint32_t y = 0; ok && y < down; y++)
		for (uint32_t x = 0; ok && x < across; x++) {
			stream->n = 0;
			cut_tile(p, x, y, &tile);
			ok = jpeg_tile_write(&tile, p->quality, stream, err) &&
			     (TIFFWriteRawTile(p->tif, y * across + x, stream->at, (tmsize_t)stream->n) ==
				      (tmsize_t)stream->n ||
			      failed(err));
		}
	arena_close(scratch);
	return ok && (TIFFWriteDirectory(p->tif) || failed(err));
}

/* Resamples the level onto a grid of this step: the first one to its stored sampling, the others
 * to half of the one before. */
static bool next_level(struct pyramid *p, struct arena *a, double step, struct error *err)
{
	const struct picture *picture = p->picture;
	struct image next = p->level;
	p->w = (uint32_t)(((uint64_t)picture->stored_w + (uint64_t)step - 1) / (uint64_t)step);
	p->h = (uint32_t)(((uint64_t)picture->stored_h + (uint64_t)step - 1) / (uint64_t)step);
	p->step = step;
	for (int i = 0; i < next.n; i++) {
		struct plane *to = &next.plane[i];
		uint32_t sub_x = i ? p->sub_x : 1, sub_y = i ? p->sub_y : 1;
		struct axis across = {0, step * sub_x, (p->w + sub_x - 1) / sub_x};
		struct axis down = {0, step * sub_y, (p->h + sub_y - 1) / sub_y};
		if (!plane_alloc(a, to, across.n, down.n, err) ||
		    !resample(a, &p->level.plane[i], across, down, FILTER_LANCZOS3, to, err))
			return false;
		to->x = to->y = 0;
		to->dx = across.step;
		to->dy = down.step;
		arena_drop_block(a, p->level.plane[i].at);
	}
	p->level = next;
	return true;
}

static bool write_levels(struct pyramid *p, struct arena *a, struct error *err)
{
	const struct picture *picture = p->picture;
	struct wants all = {.region = {0, 0, picture->stored_w, picture->stored_h},
			    .step_x = 1, .step_y = 1, .chroma_x = p->sub_x, .chroma_y = p->sub_y};
	if (!picture->decoder->read(a, picture, &all, &p->level, err) || !colour_as_it_is(a, &p->level, false, err))
		return false;
	alpha_multiply(&p->level);
	alpha_flatten(&p->level, WHITE);
	if (p->level.model == MODEL_RGB) {
		colour_rgb_to_ycc(&p->level);
		p->sub_x = p->sub_y = 2;
	}

	struct buf *tables = buf_open(a, TILE_MAX_BYTES);
	if (!jpeg_tile_tables(p->level.model, p->quality, tables, err))
		return false;
	p->tables = buf_view(tables);
	for (double step = 1;; step *= 2) {
		if (!next_level(p, a, step, err) || !write_level(p, err))
			return false;
		if (p->w <= TILE && p->h <= TILE)
			return true;
	}
}

static uint8_t at_most_two(uint8_t sub)
{
	return sub > 2 ? 2 : sub;
}

bool pyramid_write(const struct picture *picture, const struct pyramid_options *options,
		   const char *path, struct error *err)
{
	struct arena *a = arena_open();
	struct pyramid p = {
		.picture = picture,
		.quality = options->jpeg_quality,
		.sub_x = at_most_two(picture->facts.chroma_x),
		.sub_y = at_most_two(picture->facts.chroma_y),
	};
	bool big = (uint64_t)picture->stored_w * picture->stored_h > BIG_PIXELS;
	bool ok = false;

	*err = (struct error){0};
	struct tiff_messages messages = {&err, REASON_IO, NOT_WRITTEN};
	TIFFOpenOptions *o = tiff_messages_options(&messages);
	if (o) {
		p.tif = TIFFOpenExt(path, big ? "w8" : "w", o);
		TIFFOpenOptionsFree(o);
	}
	if (p.tif) {
		/* What is still buffered is written here: a full disk may show only now. */
		ok = write_levels(&p, a, err) && (TIFFFlush(p.tif) || failed(err));
		TIFFClose(p.tif);
	} else {
		failed(err);
	}
	arena_close(a);
	return ok;
}
