/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JPEG_TILES_H
#define IMAGE_JPEG_TILES_H

#include "decoder.h"

/*
 * JPEG streams inside a TIFF: one stream a tile or strip, tables perhaps shared.
 *
 * Calling sequence: jpeg_tiles_open once per read; jpeg_tiles_probe looks at a stream's header,
 * jpeg_tiles_read decodes one stream straight into planes. Streams are abbreviated or complete.
 */
struct jpeg_tiles;

#define JPEG_TILES_COMPONENTS 4
#define JPEG_TILES_ROWS 64     /* as wide as the widest stream, which reading takes */

struct jpeg_stream {
	uint32_t w, h;
	int components;
	uint8_t chroma_x, chroma_y;    /* luma samples per chroma sample */
	bool progressive;
};

/* tables: the JPEGTables of the TIFF, empty for none. recover: streams that end early are gray from there on.
 * Ends with a. */
bool jpeg_tiles_open(struct arena *a, struct str tables, bool recover, struct jpeg_tiles **out, struct error *err);
bool jpeg_tiles_probe(struct jpeg_tiles *t, struct str stream, struct jpeg_stream *facts,
		      struct error *err);

/* A stream and where it goes: component i to to[i], with room for whole blocks across and for to[i].h
 * rows; components with at == NULL are skipped. */
struct jpeg_tile {
	struct str stream;
	uint32_t seen_w, seen_h;       /* luma samples, unscaled, that the stream must have at least */
	uint32_t rows;                 /* of them, unscaled: those below need not be decoded */
	bool halves;                   /* chroma is halved, as dct_chroma says */
	struct plane to[JPEG_TILES_COMPONENTS];
};

/* Decodes at n eighths, with chroma as dct_chroma says. The stream must be like the probed one (same
 * components, sampling and mode) and not larger, else it is damaged. */
bool jpeg_tiles_read(struct jpeg_tiles *t, const struct jpeg_tile *tile, const struct jpeg_stream *like,
		     int eighths, struct error *err);

#endif
