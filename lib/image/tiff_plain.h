/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TIFF_PLAIN_H
#define IMAGE_TIFF_PLAIN_H

#include "tiff_levels.h"

/*
 * Regions of a level that is not new-style JPEG: libtiff decodes the tiles and strips that the region touches, and of
 * these just the region's samples become planes.
 *
 * part is of the level's pixels. Where the file recovers, what cannot be decoded is white. out has its model already: that of
 * the file, or YCbCr where tiff_plain_makes_ycc allows it, with chroma halved along both axes; then part is a whole
 * number of chroma's samples, or ends with the level.
 */
bool tiff_plain_read(struct arena *a, struct tiff_file *f, const struct tiff_level *l, struct rect part,
		     struct image *out, struct error *err);

/* Whether RGB may become YCbCr as it is read: its tiles are whole samples of halved chroma. */
bool tiff_plain_makes_ycc(const struct tiff_file *f, const struct tiff_level *l);

/* Bytes that it takes at its peak, its result included. */
uint64_t tiff_plain_memory(const struct tiff_file *f, const struct tiff_level *l, struct rect part);

#endif
