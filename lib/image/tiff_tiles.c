/* SPDX-License-Identifier: BSD-2-Clause */
#include "tiff_tiles.h"

#include <tiffio.h>

#include "../base/deadline.h"

#define WINDOW_BYTES (UINT64_C(16) << 20)   /* what decoders look back at, as writers usually have it */

static uint32_t at_most(uint32_t n, uint32_t most)
{
	return n < most ? n : most;
}

static bool decodes_whole(uint16_t compression)
{
	return compression == COMPRESSION_WEBP || compression == COMPRESSION_LERC;
}

static uint32_t decoded_rows(const struct tiff_file *f, const struct tiff_level *l, uint32_t rows)
{
	return l->tiled || decodes_whole(f->kind.compression) ? l->tile_h : at_most(rows, l->tile_h);
}

bool tiff_tiles_open(struct arena *a, struct tiff_file *f, const struct tiff_level *l, uint32_t rows, struct tiff_tiles *t,
		     struct error *err)
{
	*t = (struct tiff_tiles){.f = f, .level = l, .rows = decoded_rows(f, l, rows),
				 .across = (uint32_t)(((uint64_t)l->w + l->tile_w - 1) / l->tile_w),
				 .down = (uint32_t)(((uint64_t)l->h + l->tile_h - 1) / l->tile_h)};
	tmsize_t whole = l->tiled ? TIFFTileSize(f->tif) : TIFFStripSize(f->tif);
	if (whole <= 0 || (uint64_t)whole != tiff_tile_bytes(f, l))
		return tiff_damaged(err, "a tile size that makes no sense");
	t->at = arena_block(a, tiff_samples_bytes(&f->kind, l->tile_w, t->rows) + TIFF_SAMPLES_SPARE, err);
	return t->at != NULL;
}

bool tiff_tiles_read(struct tiff_tiles *t, uint32_t x, uint32_t y, int sample, struct error *err)
{
	struct tiff_file *f = t->f;
	const struct tiff_level *l = t->level;
	uint32_t rows = l->tiled ? t->rows : at_most(t->rows, l->h - y * l->tile_h);
	uint32_t index = ((f->kind.separate ? (uint32_t)sample * t->down : 0) + y) * t->across + x;
	tmsize_t want = (tmsize_t)tiff_samples_bytes(&f->kind, l->tile_w, rows);
	uint64_t offset, stored;
	if (!deadline_check(err))
		return false;
	/* Old-style JPEG may lie elsewhere than its tags say; libtiff finds it. */
	if (f->kind.compression != COMPRESSION_OJPEG && !tiff_find_stream(f, l, index, &offset, &stored, err))
		return false;
	tmsize_t got = l->tiled ? TIFFReadEncodedTile(f->tif, index, t->at, want)
				: TIFFReadEncodedStrip(f->tif, index, t->at, want);
	/* CCITT's decoder goes on after bad codes, but says so. */
	return got >= want ? !err->status : tiff_damaged(err, "a tile or strip is short");
}

uint64_t tiff_tiles_memory(const struct tiff_file *f, const struct tiff_level *l, uint32_t rows)
{
	uint16_t c = f->kind.compression;
	uint64_t bytes = tiff_samples_bytes(&f->kind, l->tile_w, decoded_rows(f, l, rows));
	if (bytes > UINT64_MAX / 4)
		return UINT64_MAX / 4;
	if (decodes_whole(c))
		bytes *= 2;
	if (c == COMPRESSION_LZMA || c == COMPRESSION_ZSTD)
		bytes += WINDOW_BYTES;
	return bytes + (c == COMPRESSION_NONE ? 0 : tiff_stream_limit(f, l));
}
