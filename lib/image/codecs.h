/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_CODECS_H
#define IMAGE_CODECS_H

#include "decoder.h"
#include "encoder.h"

/* Every source format and every output format: a new one is a file and a row. */
extern const struct decoder *const decoders[];    /* NULL-terminated */

/* Endings of the names of files that the decoders read, as "jpg"; NULL-terminated. Files are known by
 * their bytes, this is for lists of them. */
extern const char *const image_suffixes[];

/* NULL where this server does not write the format. */
const struct encoder *encoder_for(enum format format);

#endif
