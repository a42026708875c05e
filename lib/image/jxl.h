/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JXL_H
#define IMAGE_JXL_H

#include "decoder.h"

/*
 * JPEG XL by libjxl: codestreams and containers, of animations the first frame; 8 bits, or more as 16. Files are held, and
 * pictures decoded, whole. Orientation is the library's work.
 */
/* Before the first use; without it JPEG XL is read. */
void jxl_configure(bool allowed);

extern const struct decoder jxl_decoder;

#endif
