/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_MAGICK_FORMATS_H
#define IMAGE_MAGICK_FORMATS_H

#include "../source/source.h"
#include "pixels.h"

/*
 * What our own parsers know of the formats that ImageMagick decodes. Nothing reaches one of its coders unless the
 * format's row here recognised it and found its header sane, its sides in proportion to the file, and its kind one
 * that is decoded: ImageMagick never guesses.
 */
#define MAGICK_PREFIX_BYTES 1024

struct magick_header {
	uint32_t w, h;                       /* of the picture */
	struct rect frame;                   /* what the coder delivers and where it lies; may reach beyond the picture */
	bool gray, alpha;
	uint64_t icc_offset, icc_bytes;      /* 0 bytes: none */
	/* The coder gets the prefix, then the source's bytes from tail to its end. */
	uint8_t prefix[MAGICK_PREFIX_BYTES];
	size_t prefix_bytes;
	uint64_t tail;
};

struct magick_format {
	const char *name;                    /* as in the option and the log */
	const char *coder;                   /* ImageMagick's word */
	bool (*knows)(const uint8_t *head, size_t n);
	/* *h is zeroed. 500 damaged, 501 a kind that is not decoded. */
	bool (*parse)(struct source *s, struct magick_header *h, struct error *err);
};

extern const struct magick_format magick_formats[];
extern const size_t n_magick_formats;

#endif
