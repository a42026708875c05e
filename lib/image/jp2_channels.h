/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JP2_CHANNELS_H
#define IMAGE_JP2_CHANNELS_H

#include "jp2_boxes.h"
#include "jp2_head.h"

#define JP2_MAX_CHANNELS 5

/* How a component's samples become a plane's. */
struct jp2_channel {
	int component;
	const void *table;             /* samples of the planes' depth, by the bits of mask; or NULL: */
	unsigned mask;
	float scale, offset;           /* times one plus the other, within the range */
};

/* What the components show. */
struct jp2_channels {
	enum model model;
	struct jp2_channel channel[JP2_MAX_CHANNELS];   /* colours, then opacity */
	bool alpha, premultiplied;
	bool deep;                     /* the planes are. YCbCr never is, Lab is always: its steps are not ours */
	bool palette;                  /* samples are indices: no level but the full one */
	bool coarse;                   /* of so few steps that lower levels, which have no more, are bad: likewise */
	const uint8_t *icc;
	size_t icc_bytes;
};

/*
 * By the boxes. Where they say nothing one component is gray, three are RGB, and one more is opacity. 500 boxes that
 * contradict each other, 501 colours or samplings that are not done.
 */
bool jp2_channels_read(struct arena *a, const struct jp2_boxes *b, const struct jp2_head *h, struct jp2_channels *c,
		       struct error *err);

#endif
