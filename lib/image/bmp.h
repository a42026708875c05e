/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_BMP_H
#define IMAGE_BMP_H

#include "raster.h"

/* Bitmaps of Windows and OS/2: every header, 1 to 32 bits, RLE4 and RLE8. Opacity where a mask of it is given. */
extern const struct raster_format bmp_format;

#endif
