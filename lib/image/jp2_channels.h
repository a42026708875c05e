/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JP2_CHANNELS_H
#define IMAGE_JP2_CHANNELS_H

#include "jp2_boxes.h"
#include "jp2_head.h"

#define JP2_MAX_CHANNELS 5

/* How a component's samples become a plane's: by the table, or times scale plus offset, rounded, within the range. */
struct jp2_channel {
	int component;
	const void *table;             /* NULL, or samples of the planes' depth by the component's, of which mask is looked at */
	unsigned mask;
	float scale, offset;
};

/* What the components show. */
struct jp2_channels {
	enum model model;
	struct jp2_channel channel[JP2_MAX_CHANNELS];   /* colours, then opacity */
	bool alpha, premultiplied;
	bool deep;                     /* the planes are. Never with YCbCr, whatever its depth, and always with Lab, whose steps
					* are no multiples of ours */
	bool palette;                  /* samples are indices: no level but the full one */
	bool coarse;                   /* so few steps that the wavelet's halves, which have no more, show them: likewise */
	const uint8_t *icc;
	size_t icc_bytes;
};

/*
 * By the boxes. Of a codestream that is told nothing of: one component is gray, three are RGB, and with one more it is
 * opacity. 500 boxes that contradict each other, 501 colours or samplings that are not done.
 */
bool jp2_channels_read(struct arena *a, const struct jp2_boxes *b, const struct jp2_head *h, struct jp2_channels *c,
		       struct error *err);

#endif
