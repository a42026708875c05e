/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JPEG_BLOCKS_H
#define IMAGE_JPEG_BLOCKS_H

#include "metadata.h"

/*
 * The segments in front of a JPEG's own (ITU-T T.81, B.1.1): what stands there is the same whether pixels are encoded
 * or passed on. All append to out.
 */

/* JFIF's APP0, with the resolution where it is known. */
void jpeg_write_jfif(const struct metadata *m, struct buf *out);

/* Adobe's APP14, which says that the three components are RGB. */
void jpeg_write_adobe_rgb(struct buf *out);

/* EXIF, XMP, IPTC and the profile, as far as there are such and they fit. */
void jpeg_write_blocks(const struct metadata *m, struct str icc, struct buf *out);

#endif
