/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_BOXES_H
#define IMAGE_BOXES_H

#include "decoder.h"

/*
 * Pictures that are read row by row and wanted much smaller: boxes of side x side samples become their mean as the rows
 * come, so that neither memory nor the resampler sees them all. What a DCT-scaled decode is to JPEG. Boxes lie at
 * multiples of their side in the full image, so tiles agree; those at its right and bottom edge may be cut.
 *
 * Calling sequence: boxes_side, boxes_cover, boxes_open, then boxes_row for each row of the part.
 */
struct boxes {
	struct image *out;
	struct rect part;
	uint32_t side;
	int channels;                  /* of the rows, interleaved; as many as planes, or more */
	uint32_t y;                    /* rows seen */
	uint32_t n;                    /* of them, in the box */
	void *sums;                    /* of each sample of a row, over the rows of the box */
};

/* At least two boxes a step are left to the resampler; 1 is the sample itself: there, with opacity, by which colours
 * would have to be weighed, and in linear light. */
uint32_t boxes_side(const struct wants *w, bool alpha);

/* A part of w x h samples, grown to whole boxes. */
struct rect boxes_widen(struct rect part, uint32_t side, uint32_t w, uint32_t h);

/* What must be read: decoder_cover, in whole boxes. */
struct rect boxes_cover(const struct picture *p, const struct wants *w, uint32_t side);

/* Allocates the planes, in a; the sums, in scratch, need not outlive the rows. Of *b side, part, channels and out are
 * set. */
bool boxes_open(struct arena *a, struct arena *scratch, struct boxes *b, enum model model, bool alpha, bool deep,
		struct error *err);

/* NULL: the row could not be read, and does not count. A box without rows is left as it is. */
void boxes_row(struct boxes *b, const void *samples);

/* Bytes that boxes_open takes. */
uint64_t boxes_memory(enum model model, bool alpha, bool deep, struct rect part, uint32_t side);

#endif
