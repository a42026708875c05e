/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_WEBP_H
#define IMAGE_WEBP_H

#include "decoder.h"
#include "encoder.h"

/* WebP by libwebp, lossy and lossless, with alpha; of an animation the first frame on its canvas. The whole file is
 * read and the part above the region's end decoded, in full resolution. */
extern const struct decoder webp_decoder;
extern const struct encoder webp_encoder;

#endif
