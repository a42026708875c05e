/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JP2_READ_H
#define IMAGE_JP2_READ_H

#include "decoder.h"

/*
 * JPEG 2000 by OpenJPEG: JP2, JPX and raw codestreams of up to 24 bits, in gray, RGB, sYCC with subsampled chroma, CMYK
 * and Lab, with palettes and opacity. Only the tiles that a region touches are read, each at the resolution that is
 * enough; those of high throughput (HTJ2K) whole.
 */
extern const struct decoder jp2_decoder;

#endif
