/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TIFF_TILES_H
#define IMAGE_TIFF_TILES_H

#include "tiff_streams.h"

/*
 * The tiles and strips of a level, one after another, as libtiff decodes them.
 *
 * Calling sequence: tiff_go to the level, tiff_tiles_open, then any number of reads, each followed by tiff_tiles_finish for
 * the rows that are wanted; what a read left in `at` is gone with the next one.
 */
struct tiff_tiles {
	struct tiff_file *f;
	const struct tiff_level *level;
	uint32_t across, down;         /* tiles */
	uint32_t rows;                 /* of a tile or strip, that are decoded at the most */
	uint8_t *at;                   /* the decoded one */
	struct tiff_streams streams;
	bool partial;                  /* a read that failed has left its beginning there, white behind */
};

/* rows: no more are wanted of any strip; tiles are always decoded whole. Ends with a. */
bool tiff_tiles_open(struct arena *a, struct tiff_file *f, const struct tiff_level *l, uint32_t rows,
		     struct tiff_tiles *t, struct error *err);

/* The one in that column and row; of the sample's own where components are separate. after: how many of those
 * behind it, by their numbers, will be read next. */
bool tiff_tiles_read(struct tiff_tiles *t, uint32_t x, uint32_t y, int sample, uint64_t after, struct error *err);

/* After a read, once for each row of it that is wanted: its first n pixels are what they are from then on. */
void tiff_tiles_finish(struct tiff_tiles *t, uint32_t y, uint32_t n);

/* Bytes that this takes at its peak. */
uint64_t tiff_tiles_memory(const struct tiff_file *f, const struct tiff_level *l, uint32_t rows);

#endif
