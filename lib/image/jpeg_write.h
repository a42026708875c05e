/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JPEG_WRITE_H
#define IMAGE_JPEG_WRITE_H

#include "encoder.h"

extern const struct encoder jpeg_encoder;

/*
 * The streams of a TIFF: tiles without tables, and the tables that they share. Huffman tables are
 * the standard ones; a restart marker ends each MCU row, so that tiles can be stitched later
 * without decoding.
 */
bool jpeg_tile_tables(enum model model, int quality, struct buf *out, struct error *err);
bool jpeg_tile_write(struct image *tile, int quality, struct buf *out, struct error *err);

#endif
