/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JPEG_READ_H
#define IMAGE_JPEG_READ_H

#include "decoder.h"

/*
 * JPEG files by libjpeg-turbo: gray, YCbCr and RGB, 8 bit, every sampling, baseline, extended and
 * progressive. Planes come in the stream's own chroma resolution, never converted or upsampled.
 */
extern const struct decoder jpeg_decoder;

#endif
