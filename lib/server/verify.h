/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_VERIFY_H
#define SERVER_VERIFY_H

#include "../source/source.h"
#include "config.h"

/*
 * Decodes an original in full, each of its stored levels, and throws the pixels away. False as the decoders say it, and
 * 413 REASON_TOO_LARGE above max_source_pixels or where its memory is above max_request_memory, 503 REASON_SLOW where a
 * level or band takes longer than max_decode_ms. *format is the decoder's name for it, "" unknown.
 */
bool verify_picture(const struct config *config, struct source *source, const char **format, struct error *err);

/* Whether the header names more pixels than are allowed: 413 REASON_TOO_LARGE. */
struct picture;
bool verify_pixels(const struct config *config, const struct picture *p, struct error *err);

#endif
