/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TIFF_RANGE_H
#define IMAGE_TIFF_RANGE_H

#include "tiff_levels.h"

/*
 * Sets low and high of a file's kind, if its samples are quantities (tiff_samples.h).
 *
 * Where the header does not say them, all samples of the full level are read, not counting what is infinite or no
 * number. That is done once in a process: the ranges of the last files are kept, by what tells one state of a file
 * from all others.
 */
bool tiff_range_find(struct tiff_file *f, struct error *err);

/* Bytes that finding it takes; 0 where nothing is to be found. */
uint64_t tiff_range_memory(const struct tiff_file *f);

#endif
