/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_GIF_H
#define IMAGE_GIF_H

#include "raster.h"

/* GIF87a and GIF89a: the first frame, on a clear canvas of the logical screen's size. */
extern const struct raster_format gif_format;

#endif
