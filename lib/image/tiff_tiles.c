/* SPDX-License-Identifier: BSD-2-Clause */
#include "tiff_tiles.h"

#include <string.h>

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

bool tiff_tiles_open(struct arena *a, struct tiff_file *f, const struct tiff_level *l, uint32_t rows,
		     struct tiff_tiles *t, struct error *err)
{
	*t = (struct tiff_tiles){.f = f, .level = l, .scratch = a, .rows = decoded_rows(f, l, rows),
				 .across = (uint32_t)(((uint64_t)l->w + l->tile_w - 1) / l->tile_w),
				 .down = (uint32_t)(((uint64_t)l->h + l->tile_h - 1) / l->tile_h)};
	tmsize_t whole = l->tiled ? TIFFTileSize(f->tif) : TIFFStripSize(f->tif);
	if (whole <= 0 || (uint64_t)whole != tiff_tile_bytes(f, l))
		return tiff_damaged(err, "a tile size that makes no sense");
	t->at = arena_block(a, tiff_samples_bytes(&f->kind, l->tile_w, t->rows) + TIFF_SAMPLES_SPARE, err);
	return t->at != NULL;
}

/* Before a read that recovers: all white, where that is one kind of byte and what is decoded appears as it is
 * decoded. */
static void make_white(struct tiff_tiles *t, size_t bytes)
{
	const struct tiff_samples *s = &t->f->kind;
	uint16_t predictor = PREDICTOR_NONE;
	bool ink = s->photometric == PHOTOMETRIC_MINISWHITE || s->photometric == PHOTOMETRIC_SEPARATED;
	bool light = s->photometric == PHOTOMETRIC_MINISBLACK || s->photometric == PHOTOMETRIC_RGB;
	TIFFGetField(t->f->tif, TIFFTAG_PREDICTOR, &predictor);
	t->partial = t->f->recover && predictor == PREDICTOR_NONE && !s->quantities && (ink || light);
	if (t->partial)
		memset(t->at, ink ? 0 : 255, bytes);
}

static bool decode(struct tiff_tiles *t, uint32_t index, tmsize_t want, struct error *err)
{
	tmsize_t got = t->level->tiled ? TIFFReadEncodedTile(t->f->tif, index, t->at, want)
				       : TIFFReadEncodedStrip(t->f->tif, index, t->at, want);
	return got >= want || tiff_damaged(err, "a tile or strip is short");
}

/* What is cut off libtiff would not even begin to decode: it gets the bytes that there are. */
static bool decode_rest(struct tiff_tiles *t, uint32_t index, tmsize_t want, struct error *err)
{
	struct str stored;
	tmsize_t whole = want, row = (tmsize_t)tiff_samples_bytes(&t->f->kind, t->level->tile_w, 1);
	make_white(t, (size_t)want);
	bool plain = t->f->kind.compression == COMPRESSION_NONE;
	if (!tiff_read_stream(t->f, t->level, t->scratch, index, plain ? (uint64_t)want : UINT64_MAX, &stored, err))
		return false;
	if (plain && stored.n < (size_t)want)
		want = (tmsize_t)stored.n / row * row;
	bool ok = TIFFReadFromUserBuffer(t->f->tif, index, (void *)stored.at, (tmsize_t)stored.n, t->at, want);
	arena_drop_block(t->scratch, (void *)stored.at);
	return (ok && want == whole) || tiff_damaged(err, "a tile or strip is short");
}

bool tiff_tiles_read(struct tiff_tiles *t, uint32_t x, uint32_t y, int sample, struct error *err)
{
	struct tiff_file *f = t->f;
	const struct tiff_level *l = t->level;
	uint32_t rows = l->tiled ? t->rows : at_most(t->rows, l->h - y * l->tile_h);
	uint32_t index = ((f->kind.separate ? (uint32_t)sample * t->down : 0) + y) * t->across + x;
	tmsize_t want = (tmsize_t)tiff_samples_bytes(&f->kind, l->tile_w, rows);
	bool old_jpeg = f->kind.compression == COMPRESSION_OJPEG;
	uint64_t offset, stored;
	t->partial = false;
	if (!deadline_check(err))
		return false;
	/* Old-style JPEG may lie elsewhere than its tags say; libtiff finds it. */
	if (!old_jpeg && !tiff_find_stream(f, l, index, &offset, &stored, err))
		return false;
	/* CCITT's decoder goes on after bad codes, but says so. */
	return (f->recover && !old_jpeg ? decode_rest : decode)(t, index, want, err) && !err->status;
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
	if (c == COMPRESSION_NONE)
		return f->recover ? 2 * bytes : bytes;
	return bytes + tiff_stream_limit(f, l);
}
