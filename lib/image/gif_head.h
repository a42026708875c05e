/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_GIF_HEAD_H
#define IMAGE_GIF_HEAD_H

#include "raster.h"

/*
 * What our own parser knows of a GIF (GIF89a specification): the first frame, on a canvas of the logical screen's size.
 * Nothing reaches ImageMagick's coder unless its header is sane here.
 */
struct gif_header {
	uint32_t w, h;                       /* of the picture */
	struct rect frame;                   /* what the coder delivers and where it lies; may reach beyond the picture */
	bool gray, alpha;
};

bool gif_knows(const uint8_t *head, size_t n);

/* *h is zeroed. 500 damaged. */
bool gif_parse(struct source *s, struct gif_header *h, struct error *err);

#endif
