/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TIFF_WRITE_H
#define IMAGE_TIFF_WRITE_H

#include "decoder.h"

/*
 * Writes a picture as a tiled pyramid: 256 x 256 tiles in JPEG with the same tables in all tiles
 * and a restart marker after each MCU row (so that tiles can be sent as stored and stitched),
 * levels by page, each half of the one before (sides rounded up), down to one tile. YCbCr sources
 * keep their chroma sampling up to 2 x 2; RGB becomes 4:2:0; profile and orientation are kept; what
 * is transparent lies on white.
 * A file above 2 GiB of pixels becomes a BigTIFF. path is created or truncated; on failure it is
 * left incomplete for the caller to remove.
 */
struct pyramid_options {
	int jpeg_quality;
};
bool pyramid_write(const struct picture *p, const struct pyramid_options *options, const char *path,
		   struct error *err);

#endif
