/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JP2_HEAD_H
#define IMAGE_JP2_HEAD_H

#include "../source/source.h"
#include "pixels.h"

/*
 * What a JPEG 2000 codestream says before any packet is decoded (ISO/IEC 15444-1, annex A): the main header, and where
 * the parts of each tile are.
 *
 * It is read here and not by OpenJPEG, so that OpenJPEG sees one tile at a time, as a codestream of
 * its own (jp2_tile.h): memory is a tile's and not the image's, no header can make it allocate
 * for tiles that nobody asked for, and what a file lacks is known for certain.
 *
 * All coordinates are on the reference grid; the image's corner lies at (x0, y0) of it.
 */
#define JP2_MAX_COMPONENTS 8
#define JP2_MAX_BITS 24            /* with what the transforms add, OpenJPEG's 32-bit arithmetic holds no more */
#define JP2_SOT_BYTES 12
#define JP2_MAX_LEVELS 32

struct jp2_part {
	uint64_t at, bytes;            /* in the file, from its SOT on */
	struct str packed;             /* its packet headers, where the main header has them */
	uint32_t next;                 /* of the same tile; 0: none, for parts are counted from 1 */
};

struct jp2_tile {
	uint32_t first, last;          /* parts */
	uint32_t n;
	uint64_t bytes;
};

/* How the samples are coded. Where tiles or components have codings of their own, the extremes. */
struct jp2_coding {
	int levels, levels_most;       /* decompositions */
	uint32_t layers;               /* the most */
	uint8_t block_w, block_h;      /* log2 of code blocks' sides, the smallest */
	uint8_t precinct_w[JP2_MAX_LEVELS + 1], precinct_h[JP2_MAX_LEVELS + 1];   /* log2, the smallest, from the lowest level up */
	bool terminated;               /* code blocks of many segments */
	bool high_throughput;          /* code blocks of 15444-15 */
	bool mct, reversible;
	bool uniform;                  /* no tile or component has a coding of its own */
};

struct jp2_component {
	uint8_t bits;
	bool is_signed;
	uint8_t dx, dy;
};

struct jp2_head {
	uint32_t x0, y0, x1, y1;
	uint32_t tile_x0, tile_y0, tile_w, tile_h;
	uint32_t across, down;         /* tiles */
	int n;                         /* components */
	struct jp2_component component[JP2_MAX_COMPONENTS];
	struct jp2_coding coding;
	struct str main;               /* the main header, as far as tiles need it */
	struct jp2_tile *tile;
	struct jp2_part *part;         /* from 1 */
	uint32_t n_parts, room_parts;
	bool has_packed;               /* parts have packed headers */
};

/* The codestream at..end of the source. 500 damaged or not whole, 501 a kind that is not decoded. */
bool jp2_head_read(struct arena *a, struct source *source, uint64_t at, uint64_t end, struct jp2_head *h,
		   struct error *err);

#endif
