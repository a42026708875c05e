/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TIFF_READ_H
#define IMAGE_TIFF_READ_H

#include "decoder.h"

/*
 * TIFF and BigTIFF by libtiff, tiled or in strips: 8 bit, gray (either polarity), RGB and YCbCr in
 * JPEG; none, LZW, deflate, PackBits and JPEG compression. Pyramids by page or by SubIFD. JPEG
 * tiles are decoded straight to planes, at a DCT scale where the levels are sparse. Only the tiles
 * or strips that a read touches are read.
 */
extern const struct decoder tiff_decoder;

#endif
