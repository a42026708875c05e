/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TIFF_LEVELS_H
#define IMAGE_TIFF_LEVELS_H

#include "jpeg_tiles.h"
#include "tiff_samples.h"

/*
 * What a TIFF holds, and where: its pages, their levels, the stored tiles and strips.
 *
 * Opening walks the directories once and keeps, for the page asked for, its levels: the page itself,
 * the reduced images in its SubIFDs, and the following pages as long as they are halvings of it. A
 * page counts as a halving if its sides are the floor or ceil of the page's over 2, 4, 8... and it
 * is marked as a reduced image or, unmarked, tiled like the page: a plain multi-page TIFF is no
 * pyramid.
 */
struct tiff_level {
	uint64_t directory;            /* its offset in the file */
	uint32_t w, h;
	uint32_t tile_w, tile_h;       /* strips: the level's width, rows per strip */
	bool tiled;
	double dx, dy;
	struct jpeg_stream jpeg;       /* of its first tile, for JPEG compression */
	struct tiff *tif;              /* with its directory, from tiff_go on */
	/* Not 0: libtiff gives differences of bytes to those so many before them in the row (TIFF 6.0, section 14), and does
	 * not add them up. From tiff_tiles_open on. */
	size_t differences;
};

struct tiff_file {
	struct tiff *tif;              /* that walks the directories, while the file is opened */
	struct tiff_messages *messages;
	struct source *source;
	struct error *err;             /* of the call in hand */
	struct tiff_level level[FACTS_MAX_LEVELS];
	int n_levels;
	size_t profile_bytes;
	struct tiff_samples kind;
	bool range_is_partial;         /* low and high of its kind are of what could be read */
	bool recover;                  /* of the read in hand */
	uint64_t offset;               /* libtiff's own cursor */
};

/* Opens p's source at a page, fills orientation and profile of p. Ends with a. Errors as decoder.open. */
bool tiff_file_open(struct arena *a, uint32_t page, struct picture *p, struct tiff_file **out,
		    struct error *err);

/* Makes err the error of what follows; libtiff fills it by its messages. */
void tiff_begin(struct tiff_file *f, struct error *err);

/* After a libtiff call that failed: err keeps libtiff's message, or says `what` if it gave none. */
bool tiff_damaged(struct error *err, const char *what);

/* Whether a read that recovers may go on after this error; then there is none any more. */
bool tiff_forgives(struct tiff_file *f, struct error *err);

/* Opens a level's directory, the first time; it stays open as long as the file. Before anything below is asked of it. */
bool tiff_go(struct tiff_file *f, const struct tiff_level *l, struct error *err);

/* Bytes of a decoded tile or strip (of one component where they are separate), and the most that one may have as
 * stored: what memory estimates are made of. */
uint64_t tiff_tile_bytes(const struct tiff_file *f, const struct tiff_level *l);
uint64_t tiff_stream_limit(const struct tiff_file *f, const struct tiff_level *l);

/* Where a stored tile or strip is. */
bool tiff_find_stream(struct tiff_file *f, const struct tiff_level *l, uint32_t index, uint64_t *offset,
		      uint64_t *n, struct error *err);

/* The tables that all JPEG streams of a directory share; empty without any. */
struct str tiff_jpeg_tables(struct tiff *tif);

/* What libtiff holds for an opened file, in bytes, as near as it can be told. */
uint64_t tiff_file_bytes(const struct tiff_file *f);

#endif
