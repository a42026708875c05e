/* SPDX-License-Identifier: BSD-2-Clause */
#include "tiff_tiles.h"

#include <string.h>

#include <tiffio.h>

#include "../base/deadline.h"
#include "rows.h"

#define WINDOW_BYTES (UINT64_C(16) << 20)   /* what decoders look back at, as writers usually have it */

static bool decodes_whole(uint16_t compression)
{
	return compression == COMPRESSION_WEBP || compression == COMPRESSION_LERC;
}

static uint32_t decoded_rows(const struct tiff_file *f, const struct tiff_level *l, uint32_t rows)
{
	return l->tiled || decodes_whole(f->kind.compression) ? l->tile_h : at_most(rows, l->tile_h);
}

/* Asks libtiff not to add up differences of bytes, before it decodes the first: rows_fastest() adds several at a time. */
static void take_differences(struct tiff_file *f, struct tiff_level *l)
{
	const struct tiff_samples *s = &f->kind;
	uint16_t c = s->compression, predictor = PREDICTOR_NONE;
	bool has_predictor = c == COMPRESSION_LZW || c == COMPRESSION_ADOBE_DEFLATE || c == COMPRESSION_DEFLATE ||
			     c == COMPRESSION_ZSTD || c == COMPRESSION_LZMA;
	size_t together = tiff_samples_together(s);
	if (has_predictor && s->bits == 8 && s->photometric != PHOTOMETRIC_YCBCR && together <= ROWS_MOST_BEFORE &&
	    TIFFGetField(l->tif, TIFFTAG_PREDICTOR, &predictor) && predictor == PREDICTOR_HORIZONTAL &&
	    TIFFSetField(l->tif, TIFFTAG_PREDICTOR, PREDICTOR_NONE))
		l->differences = together;
}

bool tiff_tiles_open(struct arena *a, struct tiff_file *f, const struct tiff_level *l, uint32_t rows,
		     struct tiff_tiles *t, struct error *err)
{
	*t = (struct tiff_tiles){.f = f, .level = l, .rows = decoded_rows(f, l, rows),
				 .streams = {.f = f, .level = l, .scratch = a},
				 .across = (uint32_t)(((uint64_t)l->w + l->tile_w - 1) / l->tile_w),
				 .down = (uint32_t)(((uint64_t)l->h + l->tile_h - 1) / l->tile_h)};
	tmsize_t whole = l->tiled ? TIFFTileSize(l->tif) : TIFFStripSize(l->tif);
	if (whole <= 0 || (uint64_t)whole != tiff_tile_bytes(f, l))
		return tiff_damaged(err, "a tile size that makes no sense");
	take_differences(f, &f->level[l - f->level]);
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
	TIFFGetField(t->level->tif, TIFFTAG_PREDICTOR, &predictor);
	t->partial = t->f->recover && predictor == PREDICTOR_NONE && !t->level->differences && !s->quantities && (ink || light);
	if (t->partial)
		memset(t->at, ink ? 0 : 255, bytes);
}

/*
 * libtiff reads for itself what it alone finds, old-style JPEG that may lie elsewhere than its tags say, and what is
 * large and needs no decoding, so that it is in memory once.
 */
static bool reads_itself(const struct tiff_tiles *t, tmsize_t want)
{
	uint16_t c = t->f->kind.compression;
	return c == COMPRESSION_OJPEG ||
	       (c == COMPRESSION_NONE && !t->f->recover && (uint64_t)want > TIFF_STREAMS_BYTES);
}

static bool read_and_decode(struct tiff_tiles *t, uint32_t index, tmsize_t want, struct error *err)
{
	TIFF *tif = t->level->tif;
	uint64_t offset, n;
	if (t->f->kind.compression != COMPRESSION_OJPEG && !tiff_find_stream(t->f, t->level, index, &offset, &n, err))
		return false;
	tmsize_t got = t->level->tiled ? TIFFReadEncodedTile(tif, index, t->at, want)
				       : TIFFReadEncodedStrip(tif, index, t->at, want);
	return got >= want || tiff_damaged(err, "a tile or strip is short");
}

/* What is cut off libtiff by itself would not even begin to decode: it gets the bytes that there are. */
static bool decode(struct tiff_tiles *t, uint32_t index, uint64_t after, tmsize_t want, struct error *err)
{
	struct str stored;
	tmsize_t whole = want, row = (tmsize_t)tiff_samples_bytes(&t->f->kind, t->level->tile_w, 1);
	if (t->f->recover)
		make_white(t, (size_t)want);
	bool plain = t->f->kind.compression == COMPRESSION_NONE;
	if (!tiff_streams_read(&t->streams, index, after, plain ? (uint64_t)want : UINT64_MAX, &stored, err))
		return false;
	if (plain && stored.n < (size_t)want)
		want = (tmsize_t)stored.n / row * row;
	/* libtiff writes there where it must turn bits round, and turns them back. */
	bool ok = TIFFReadFromUserBuffer(t->level->tif, index, (void *)stored.at, (tmsize_t)stored.n, t->at, want);
	return (ok && want == whole) || tiff_damaged(err, "a tile or strip is short");
}

bool tiff_tiles_read(struct tiff_tiles *t, uint32_t x, uint32_t y, int sample, uint64_t after, struct error *err)
{
	struct tiff_file *f = t->f;
	const struct tiff_level *l = t->level;
	uint32_t rows = l->tiled ? t->rows : at_most(t->rows, l->h - y * l->tile_h);
	uint32_t index = ((f->kind.separate ? (uint32_t)sample * t->down : 0) + y) * t->across + x;
	tmsize_t want = (tmsize_t)tiff_samples_bytes(&f->kind, l->tile_w, rows);
	t->partial = false;
	if (!deadline_check(err))
		return false;
	bool ok = reads_itself(t, want) ? read_and_decode(t, index, want, err) : decode(t, index, after, want, err);
	/* CCITT's decoder goes on after bad codes, but says so. */
	return ok && !err->status;
}

void tiff_tiles_finish(struct tiff_tiles *t, uint32_t y, uint32_t n)
{
	const struct tiff_samples *s = &t->f->kind;
	size_t before = t->level->differences;
	if (before)
		rows_fastest()->add(t->at + y * tiff_samples_bytes(s, t->level->tile_w, 1), n * before, before);
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
		return f->recover ? 2 * bytes : bytes + TIFF_STREAMS_BYTES;
	return bytes + tiff_stream_limit(f, l) + TIFF_STREAMS_BYTES;
}
