/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_PNG_H
#define IMAGE_PNG_H

#include "decoder.h"
#include "encoder.h"

/*
 * PNG by libpng: gray, RGB and palettes, with alpha or a transparent colour, up to 8 bits; 16 bits are 501. Rows are
 * decoded from the top to the region's end, an interlaced file as a whole.
 */
extern const struct decoder png_decoder;
extern const struct encoder png_encoder;

#endif
