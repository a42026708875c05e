/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_MAGICK_H
#define IMAGE_MAGICK_H

#include "encoder.h"

/*
 * What goes through ImageMagick: the writing of GIF, out of the samples and the palette of the finished answer.
 *
 * The library is started at the first need, unless it was before. It gets no files, under a policy that allows this coder and nothing else: no
 * delegates, no paths, no disk, one thread.
 */

/* The most memory it may take for pixels, in bytes; before the first use. Without it a gibibyte. */
void magick_configure(uint64_t memory_bytes);

/* Reads all the files it needs: none later. An error comes again with every use. */
bool magick_start(struct error *err);

extern const struct encoder gif_encoder;

#endif
