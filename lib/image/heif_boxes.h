/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_HEIF_BOXES_H
#define IMAGE_HEIF_BOXES_H

#include "../base/str.h"

/*
 * Whether the pictures of a HEIF file that are made of others (ISO/IEC 14496-12, 8.11.12: tiles, overlays, opacity)
 * are so in a few steps. Libraries follow these references without a look for circles, until the stack ends.
 */
bool heif_references_end(struct str file);

#endif
