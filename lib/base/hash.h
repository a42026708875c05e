/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "str.h"

/* The first 16 bytes of the SHA-256 of s as 32 lower-case hex digits and a NUL. */
void hash_hex(struct str s, char out[33]);

/* The first 8 bytes of the SHA-256 of s, never 0. */
uint64_t hash_64(struct str s);

/* The whole SHA-256 of s in base64 and a NUL, as Content-Security-Policy wants it. */
void hash_base64(struct str s, char out[45]);

/*
 * A sum over bytes that come piece by piece: hasher_open, hasher_add..., then one of the closes, which frees it.
 */
enum hash_kind { HASH_SHA256, HASH_SHA512, HASH_SHA1, HASH_MD5, HASH_CRC32, HASH_CRC32C };
#define HASH_BASE64_MAX 96

struct hasher;
struct hasher *hasher_open(enum hash_kind kind);
void hasher_add(struct hasher *h, const void *at, size_t n);
/* n bytes of a file from offset; false with errno if there are fewer. */
bool hasher_add_file(struct hasher *h, int fd, uint64_t offset, uint64_t n);
void hasher_close_hex(struct hasher *h, char out[static 65]);        /* of at most 32 bytes */
void hasher_close_base64(struct hasher *h, char out[HASH_BASE64_MAX]);

#endif
