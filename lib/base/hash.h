/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "str.h"

/* The first 16 bytes of the SHA-256 of s as 32 lower-case hex digits and a NUL. */
void hash_hex(struct str s, char out[33]);

/* The whole SHA-256 of s in base64 and a NUL, as Content-Security-Policy wants it. */
void hash_base64(struct str s, char out[45]);

#endif
