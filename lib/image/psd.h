/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_PSD_H
#define IMAGE_PSD_H

#include "raster.h"

/*
 * PSD and PSB (Adobe Photoshop File Formats Specification): the merged picture only, raw or PackBits, of 1, 8 and 16
 * bits. Duotones are the gray that they are stored as. Of further channels only the merged picture's transparency
 * counts.
 */
extern const struct raster_format psd_format;

#endif
