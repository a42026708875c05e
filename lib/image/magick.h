/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_MAGICK_H
#define IMAGE_MAGICK_H

#include "decoder.h"
#include "encoder.h"

/*
 * What goes through ImageMagick: GIF, in and out, as whole images in memory.
 *
 * The library is started at the first need. It gets blobs only, with the format named by our own recognition, under
 * a policy that allows this coder and nothing else: no delegates, no paths, no disk, one thread.
 */
struct magick_options {
	const char *const *formats;    /* GIF is read if "gif" is one, NULL-terminated; NULL: it is */
	uint64_t memory_bytes;         /* at most, for pixels */
};

/* Before the first use; without it GIF is read, with a gibibyte. The list outlives the process's use. */
void magick_configure(const struct magick_options *options);

/* Whether a word is one for magick_options.formats. */
bool magick_knows_format(const char *name);

extern const struct decoder magick_decoder;
extern const struct encoder gif_encoder;

#endif
