/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IIIF_NEGOTIATE_H
#define IIIF_NEGOTIATE_H

#include "../base/str.h"

/* The media types in which info.json is sent (digest 6.1). */
enum info_type { INFO_JSON, INFO_LD_JSON, INFO_LD_JSON_3 };

/*
 * The type for an Accept header ("" if it was absent). 3.0: ld+json with the profile, unless plain
 * JSON is asked for with a higher quality. 2.1: plain JSON, unless ld+json is named. Nothing is
 * ever refused: an Accept that fits neither, or is malformed, gets the version's default.
 */
enum info_type negotiate_info(int version, struct str accept);

const char *info_type_name(enum info_type type);

#endif
