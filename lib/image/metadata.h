/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_METADATA_H
#define IMAGE_METADATA_H

#include "../base/str.h"

/* The orientation (1 to 8) of an EXIF block: a TIFF header and its first directory, without the
 * "Exif\0\0" of JPEG. 1 where it is absent or makes no sense. */
int exif_orientation(struct str exif);

#endif
