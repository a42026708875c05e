/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JP2_WRITE_H
#define IMAGE_JP2_WRITE_H

#include "encoder.h"

/*
 * JP2 by OpenJPEG: one tile, one layer, by resolution. The irreversible transform at a quality of 1 to 100, from 25 to
 * 50 dB; 101 is lossless, and so are the smallest pictures. Opacity is a channel of the file (cdef).
 */
extern const struct encoder jp2_encoder;

#endif
