/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TIFF_STREAMS_H
#define IMAGE_TIFF_STREAMS_H

#include "tiff_levels.h"

/*
 * The tiles and strips of a level as they are stored. Those that lie side by side in the file come in one read.
 *
 * Calling sequence: tiff_go to the level, fill in file, level and scratch, then any number of reads.
 */
struct tiff_streams {
	struct tiff_file *f;
	const struct tiff_level *level;
	struct arena *scratch;
	char *at;                      /* what was read last: so many bytes of the file, from there */
	uint64_t offset, n;
};

#define TIFF_STREAMS_BYTES (UINT64_C(1) << 20)   /* of one read, but for a stream that is larger alone */

/*
 * The stream with that number, or so many bytes of it at the most (by recover: fewer, where the file ends). after: how
 * many of the numbers behind it will be asked for next. *out is valid until the next call.
 */
bool tiff_streams_read(struct tiff_streams *s, uint32_t index, uint64_t after, uint64_t most, struct str *out,
		       struct error *err);

/* The columns and rows of tiles or strips that a part of the level, which is not empty, lies in. */
struct rect tiff_tiles_of(const struct tiff_level *l, struct rect part);

/* Of these, read row by row: how many stand behind the one in column x and row y, by their numbers one after another. */
uint64_t tiff_tiles_after(const struct tiff_level *l, struct rect tiles, uint32_t x, uint32_t y);

#endif
