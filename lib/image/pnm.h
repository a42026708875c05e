/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_PNM_H
#define IMAGE_PNM_H

#include "raster.h"

/* Netpbm: PBM, PGM, PPM, plain and raw, and PAM (netpbm.sourceforge.net/doc); the first picture of the file. */
extern const struct raster_format pnm_format;

#endif
