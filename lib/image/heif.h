/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_HEIF_H
#define IMAGE_HEIF_H

#include "decoder.h"
#include "encoder.h"

/*
 * HEIC and AVIF by libheif, as far as the system's library reads and writes them. Files are held, and pictures
 * decoded, whole. (ImageMagick 6 has a coder for both, which drops opacity and guesses colours.)
 */
struct heif_options {
	const char *const *formats;    /* allowed for reading: "heic", "avif", NULL-terminated; NULL: both */
	uint64_t memory_bytes;         /* the largest file */
};

/* Before the first use; without it both formats are read, up to a gibibyte. The list outlives the process's use. */
void heif_configure(const struct heif_options *options);

/* Whether a word is one for heif_options.formats. */
bool heif_knows_format(const char *name);

extern const struct decoder heif_decoder;
extern const struct encoder avif_encoder;

#endif
