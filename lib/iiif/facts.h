/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IIIF_FACTS_H
#define IIIF_FACTS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What an image is, known from its header alone: all that the protocol needs to plan an answer.
 * Sides are oriented: for orientations 5 to 8 width and height (of image, tiles and levels) are the
 * stored ones swapped.
 */
#define FACTS_MAX_LEVELS 32
#define FACTS_MAX_SIDE UINT32_C(0x7fffffff)

struct facts {
	const char *format;          /* of the source, a word for the log: "jpeg", "tiff"; "" not known */
	uint32_t w, h;
	uint32_t tile_w, tile_h;     /* stored tiles of the full level, 0 if it has none */
	int n_levels;                /* stored levels, the full one first, each smaller than the last */
	struct {
		uint32_t w, h;
	} level[FACTS_MAX_LEVELS];
	int orientation;             /* 1 to 8 as in EXIF and TIFF */
	bool gray;                   /* has no colour */
	bool alpha;                  /* has opacity */
	uint8_t chroma_x, chroma_y;  /* stored chroma subsampling, 1 if none */
	uint32_t pages;              /* images in the file that a page number can name */
};

static inline bool facts_swapped(const struct facts *f)
{
	return f->orientation >= 5;
}

#endif
