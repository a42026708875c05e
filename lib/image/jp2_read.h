/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JP2_READ_H
#define IMAGE_JP2_READ_H

#include "decoder.h"

/*
 * JPEG 2000 by OpenJPEG: JP2 files and raw codestreams. Read: up to 8 unsigned bits, gray, RGB and sYCC with subsampled
 * chroma, palettes, opacity; any progression, tiling, image offset. Only the tiles that a region touches are read, each
 * at the resolution that is enough.
 */
extern const struct decoder jp2_decoder;

#endif
