/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JP2_TILE_H
#define IMAGE_JP2_TILE_H

#include "jp2_head.h"

/* A tile's part of the image. */
struct rect jp2_tile_rect(const struct jp2_head *h, uint32_t across, uint32_t down);

/*
 * A codestream of which that tile is the whole image: pieces in memory or (bytes NULL) in the file, in
 * order. Returns their number; *pieces belong to a.
 */
struct jp2_piece {
	const char *bytes;
	uint64_t at, n;
};

size_t jp2_tile_stream(struct arena *a, const struct jp2_head *h, uint32_t across, uint32_t down,
		       struct jp2_piece **pieces);

#endif
