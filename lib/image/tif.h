/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TIF_H
#define IMAGE_TIF_H

#include "encoder.h"

/* The tif answer: one image in strips, 8 bit gray or RGB, deflate or JPEG (encode_options.tif_jpeg); with straight
 * alpha always deflate; bitonal in CCITT group 4. */
extern const struct encoder tif_encoder;

#endif
