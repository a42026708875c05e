/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_FLOOR_JPEG_H
#define BENCH_FLOOR_JPEG_H

#include <stdio.h>

#include <jpeglib.h>

#include "floor.h"

/* What flat files and tiles share of libjpeg. */

struct jpeg_error_mgr *strict_errors(struct jpeg_error_mgr *errors);

/* Before jpeg_start_decompress. */
void drop_chroma(struct jpeg_decompress_struct *j);

/* All raw block rows of the first n components to these places. */
void read_blocks(struct jpeg_decompress_struct *j, int n, uint8_t *const at[3], const size_t stride[3]);

#endif
