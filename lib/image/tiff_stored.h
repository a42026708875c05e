/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TIFF_STORED_H
#define IMAGE_TIFF_STORED_H

#include "tiff_streams.h"

/* decoder.stored of a TIFF. */
const char *tiff_stored(struct arena *a, const struct picture *p, const struct wants *w, uint64_t most,
			struct stored_tiles *out, struct error *err);

#endif
