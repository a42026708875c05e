/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JPEG_READER_H
#define IMAGE_JPEG_READER_H

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

#include "../source/source.h"
#include "pixels.h"

/*
 * libjpeg as files and tiles share it: its errors, where its bytes come from, raw rows.
 *
 * Calling sequence: jpeg_reader_open, then `if (setjmp(r->jump)) return false;` in the function that
 * calls libjpeg: every error, and every warning after which pixels would not be the file's, fills
 * *err and jumps there.
 */
#define JPEG_READER_BYTES 65536
#define JPEG_COMPONENTS 4

struct jpeg_reader {
	struct jpeg_decompress_struct j;
	struct jpeg_error_mgr errors;
	struct jpeg_progress_mgr progress;
	struct jpeg_source_mgr bytes;
	jmp_buf jump;
	struct error *err;
	bool recover;                  /* warnings are no errors */
	struct source *source;         /* NULL: the bytes are all in memory */
	uint64_t offset;
	bool ended;                    /* an end of image was made up where the bytes ran out */
	unsigned seen;                 /* bit i: component i has been in a scan */
	struct arena *a;
	uint8_t *spill;                /* rows that go nowhere, or are halved */
	size_t spill_bytes;
	unsigned char buffer[JPEG_READER_BYTES];
};

/* Ends with a. NULL with err filled if libjpeg does not start. */
struct jpeg_reader *jpeg_reader_open(struct arena *a, struct error *err);

/* Of a header just read. Sampling is luma samples per chroma sample: the coarser one's where the
 * chroma components differ, ratios that are no whole numbers rounded up. */
bool jpeg_has_whole_ratios(const struct jpeg_decompress_struct *j);
bool jpeg_is_full_size(const struct jpeg_decompress_struct *j, int component);
void jpeg_sampling(const struct jpeg_decompress_struct *j, uint8_t *x, uint8_t *y);

/* After jpeg_start_decompress, and after the last line: jumps if scans, or parts of them, are missing. */
void jpeg_check_whole(struct jpeg_reader *r);

/* Halves two rows of w samples, for row y of halved ones; an odd last sample counts twice, by the room behind it. */
void jpeg_halve(uint8_t *above, uint8_t *below, uint32_t w, uint32_t y, uint8_t *to);

/*
 * Reads raw block rows of n components, until so many luma lines are there. Component i goes to
 * to[i]: there is room for to[i].h rows, each for whole blocks across. Further rows, and components
 * with at == NULL, are dropped. halves: all but the first come as the means of two by two samples, as far as they lie
 * in w x h luma samples, not scaled.
 */
void jpeg_read_raw(struct jpeg_reader *r, int n, const struct plane to[], bool halves, uint32_t w, uint32_t h,
		   uint32_t lines);

#endif
