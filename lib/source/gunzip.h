/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_GUNZIP_H
#define SOURCE_GUNZIP_H

#include "../base/arena.h"

/* Unpacks gzip (and zlib) piece by piece. libcurl could, but takes a stream that ends early for a whole one. */
struct gunzip;

/* Lives as long as a. NULL without memory. */
struct gunzip *gunzip_open(struct arena *a);

/* Unpacks n more bytes and hands the result on to write. False if they are damaged, or once write says so. */
bool gunzip_write(struct gunzip *g, const void *bytes, size_t n,
		  bool (*write)(void *with, const void *bytes, size_t n), void *with);

/* Whether all that was packed has come. */
bool gunzip_is_whole(const struct gunzip *g);

#endif
