/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JPEG_READ_H
#define IMAGE_JPEG_READ_H

#include "decoder.h"

/*
 * JPEG files by libjpeg-turbo: gray, YCbCr and RGB, 8 bit, every sampling, baseline, extended and
 * progressive. Planes come in the stream's own chroma resolution, never converted or upsampled.
 */
extern const struct decoder jpeg_decoder;

/*
 * JPEG streams inside a TIFF: one stream a tile or strip, tables perhaps shared.
 *
 * Calling sequence: jpeg_tiles_open once per read; jpeg_tiles_probe looks at a stream's header,
 * jpeg_tiles_read decodes one stream straight into planes. Streams are abbreviated or complete.
 */
struct jpeg_tiles;

struct jpeg_stream {
	uint32_t w, h;
	int components;
	uint8_t chroma_x, chroma_y;    /* luma samples per chroma sample */
	bool progressive;
};

/* Luma samples per chroma sample in a decode at n eighths: below full scale libjpeg lets chroma keep
 * resolution, by doubling its DCT size as long as that suits both axes. */
void jpeg_chroma_at(int eighths, uint8_t *chroma_x, uint8_t *chroma_y);

/* tables: the JPEGTables of the TIFF, empty for none. Ends with a. */
bool jpeg_tiles_open(struct arena *a, struct str tables, struct jpeg_tiles **out,
		     struct error *err);
bool jpeg_tiles_probe(struct jpeg_tiles *t, struct str stream, struct jpeg_stream *facts,
		      struct error *err);

/*
 * Where a decoded stream goes: sample (0,0) of component i to at[i], rows stride[i] apart. Rows must
 * have room for whole blocks across; there is room for rows_room[i] of them, further ones are
 * dropped. Components with at[i] == NULL are skipped.
 */
struct jpeg_place {
	uint8_t *at[3];
	size_t stride[3];
	uint32_t rows_room[3];
	uint32_t w, h;                 /* luma samples, unscaled, that the stream must have at least */
};

/* Decodes at n eighths, with chroma as jpeg_chroma_at says. The stream must be like the probed one
 * (same components, sampling and mode) and not larger, else it is damaged. */
bool jpeg_tiles_read(struct jpeg_tiles *t, struct str stream, const struct jpeg_stream *like,
		     int eighths, const struct jpeg_place *place, struct error *err);

#endif
