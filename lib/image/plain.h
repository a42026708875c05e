/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_PLAIN_H
#define IMAGE_PLAIN_H

#include "decoder.h"

/*
 * The simple formats (raster.h): GIF, BMP, Netpbm and PSD. A read takes the wanted part of the wanted rows; only run-length
 * coded BMPs and interlaced GIFs are unpacked whole, and other GIFs and plain Netpbm are read from their beginning.
 */

/* Those allowed: "gif", "bmp", "pnm", "psd", NULL-terminated; other words do not matter. NULL: all. The list outlives its
 * use. */
void plain_configure(const char *const *formats);

bool plain_knows_format(const char *name);

extern const struct decoder plain_decoder;

#endif
