/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JP2_BOXES_H
#define IMAGE_JP2_BOXES_H

#include "../source/source.h"

#define JP2_MAX_COLOURS 8

/*
 * What the boxes of a JP2 or JPX file say of its first codestream (ISO/IEC 15444-1, annex I; 15444-2, annex M):
 * contents, n 0 where there is none. In JPX a box in the codestream's or its layer's own header counts before that in
 * the file's.
 */
struct jp2_boxes {
	struct str colour[JP2_MAX_COLOURS];   /* ways to say the same, in the file's order */
	int colours;
	struct str palette, mapping, channels;
	uint64_t at, end;                     /* of the codestream */
};

bool jp2_knows(const uint8_t *head, size_t n);

/* Of a raw codestream: that it is all there is. 500 damaged, 501 a file whose codestream is not in one piece. */
bool jp2_boxes_read(struct arena *a, struct source *source, struct jp2_boxes *b, struct error *err);

#endif
