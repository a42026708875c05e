/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JP2_WORDS_H
#define IMAGE_JP2_WORDS_H

#include <stdint.h>

#include "../base/error.h"

/* Numbers as JPEG 2000 writes them, and its two kinds of refusal: both return false. */
static inline uint32_t be16(const void *at)
{
	const uint8_t *b = at;
	return (uint32_t)b[0] << 8 | b[1];
}

static inline uint32_t be32(const void *at)
{
	return be16(at) << 16 | be16((const char *)at + 2);
}

static inline bool jp2_damaged(struct error *err, const char *what)
{
	return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "jp2: %s", what);
}

static inline bool jp2_unsupported(struct error *err, const char *what, unsigned value)
{
	return fail(err, 501, REASON_UNSUPPORTED, "This kind of JPEG 2000 is not supported.", "jp2: %s %u", what, value);
}

#endif
