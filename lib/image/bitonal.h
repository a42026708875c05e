/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_BITONAL_H
#define IMAGE_BITONAL_H

#include "pixels.h"

/*
 * Makes each sample of a gray picture 0 or 255, in place: by error diffusion (Floyd and Steinberg, rows in alternating
 * direction), or by a threshold in the middle. Alpha stays as it is.
 */
void bitonal(struct image *image, bool dither);

#endif
