/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_PASSTHROUGH_H
#define IMAGE_PASSTHROUGH_H

#include "decoder.h"

/*
 * A JPEG made of stored tiles, without decoding them.
 *
 * One tile is sent as it is, with its tables joined in. Several become one picture where all have the same tables and
 * a restart marker behind each row of MCUs and nowhere else: at a restart the prediction of DC coefficients begins anew, so
 * that rows of neighbours can stand behind each other, with the markers counted anew. The pixels are those of the tiles.
 *
 * Only baseline, 8 bits, one scan, tiles of whole MCUs and of the full size. The structure of a stream is checked to its
 * end, but not its codes: damage that leaves the markers as they were is passed on.
 */

/* Appends all of the JPEG to out, with that metadata and profile. NULL; else out is as before, and why it cannot be. */
const char *passthrough_write(struct arena *a, const struct stored_tiles *tiles, const struct metadata *metadata,
			      struct str icc, struct buf *out);

#endif
