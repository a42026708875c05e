/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_MAGICK_H
#define IMAGE_MAGICK_H

#include "decoder.h"
#include "encoder.h"

/*
 * What goes through ImageMagick: source formats that are rarely served, whole images in memory, and gif.
 *
 * The library is started at the first need. It gets blobs only, with the format named by our own recognition, under
 * a policy that allows the coders of our formats and nothing else: no delegates, no paths, no disk, one thread.
 */
struct magick_options {
	const char *const *formats;    /* allowed for reading: "gif", "bmp"..., NULL-terminated; NULL: all we know */
	uint64_t memory_bytes;         /* at most, for pixels */
};

/* Before the first use; without it all formats are read, with a gibibyte. The list outlives the process's use. */
void magick_configure(const struct magick_options *options);

/* Whether a word is one for magick_options.formats. */
bool magick_knows_format(const char *name);

extern const struct decoder magick_decoder;
extern const struct encoder gif_encoder;

#endif
