/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "arena.h"
#include "error.h"

/* A view of bytes that somebody else owns; not NUL-terminated. */
struct str {
	const char *at;
	size_t n;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})

static inline struct str str_of(const char *text)
{
	return (struct str){text, text ? strlen(text) : 0};
}

bool str_equal(struct str a, struct str b);
bool str_equal_nocase(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
char *str_dup(struct arena *a, struct str s);   /* NUL-terminated copy */
struct str str_trim(struct str s);              /* without blanks and tabs at both ends */

/*
 * Cursor parsers: each takes what it names from the front of *s and moves *s past it. On failure
 * they return false and leave *s where it was.
 */
bool take_char(struct str *s, char c);
bool take_word(struct str *s, struct str word);

/* One or more digits; values above max saturate to max. */
bool take_uint(struct str *s, uint64_t max, uint64_t *value);

/* digits[.digits] or .digits, as a fixed-point number of DECIMAL_ONE units; further decimals are
 * ignored, the integer part saturates at DECIMAL_MAX_INT (digest 1.2). */
#define DECIMAL_PLACES 10
#define DECIMAL_ONE UINT64_C(10000000000)
#define DECIMAL_MAX_INT UINT64_C(1000000000)
bool take_decimal(struct str *s, uint64_t *value);

/* Takes everything up to the separator, which is passed over, or up to the end. False only when
 * *s was ended already (at == NULL); the last piece sets at to NULL. */
bool take_until(struct str *s, char separator, struct str *piece);

/*
 * A growing text or byte buffer that never passes its limit: once a write does not fit (limit, or
 * no memory), `failed` is set, and this and all later writes are dropped. The bytes live in malloc
 * memory; buf_open binds them to an arena's end.
 */
struct buf {
	char *at;
	size_t n, cap, limit;
	bool failed;
};

struct buf *buf_open(struct arena *a, size_t limit);
void buf_write(struct buf *b, const void *at, size_t n);
void buf_str(struct buf *b, struct str s);
void buf_text(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Room for n more bytes at the returned place, NULL if it does not fit; add to b->n what was used. */
char *buf_room(struct buf *b, size_t n);
struct str buf_view(const struct buf *b);

/* The length of the UTF-8 sequence at the start of s, 0 if there is none. */
size_t utf8_length(struct str s);
bool str_is_utf8(struct str s);

/* Decodes %XX once. False on a malformed escape; NUL and control bytes are kept for the caller. */
bool percent_decode(struct arena *a, struct str raw, struct str *decoded);

/* Writes s so that it is legal inside the path of a URI: bytes that are illegal there (RFC 3986, 3.3)
 * become %XX, everything else, existing escapes too, stays as it was. */
void buf_uri_text(struct buf *b, struct str s);

/* Writes s as one URI path segment: everything but RFC 3986 unreserved bytes becomes %XX. */
void buf_uri_segment(struct buf *b, struct str s);

#endif
