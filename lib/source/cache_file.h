/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_CACHE_FILE_H
#define SOURCE_CACHE_FILE_H

#include "source_file.h"

/*
 * One original in the cache: a file that says of itself what it is.
 *
 * A text header, padded with newlines to a multiple of CACHE_HEADER_STEP bytes, then the body. Files are written
 * below another name and renamed when they are whole; after that nobody writes into them. So whoever has one open has
 * it whole.
 */
#define CACHE_HEADER_STEP 4096
#define CACHE_HEADER_MAX 65536
#define CACHE_KEY_BYTES 33             /* 32 hex digits and a NUL */

struct cache_header {
	char key[CACHE_KEY_BYTES];
	uint64_t header_bytes, length;     /* bytes of the header and of the body */
	const char *url;                   /* what was fetched: for people and for purging at the CDN */
	const char *identifier;            /* that asked for it first, decoded */
	const char *etag;                  /* the origin's, "" without one */
	const char *last_modified;         /* as the origin wrote it */
	int64_t modified_s, fetched_s;     /* Unix time */
	uint64_t generation;               /* raised by every purge */
	char tag[33];                      /* what tells this state from others, beside its length: "" is modified_s */
	char sha256[65];                   /* of the body, lower-case hex; "" while it is being written */
};

/* Writes the header at the start of fd. It must take the very bytes that header_bytes says, which cache_header_size
 * gives (it does not depend on numbers and hashes; 0: the texts are too long). False with errno. */
uint64_t cache_header_size(const struct cache_header *h);
bool cache_header_write(int fd, const struct cache_header *h, struct error *err);

/* Reads it; texts go into a. 500 REASON_DAMAGED if it is none, is of another key, or the file has not the length it
 * says (which a file being written need not have). */
bool cache_header_read(struct arena *a, int fd, const char *key, bool is_part, struct cache_header *h,
		       struct error *err);

/* The body as a source that owns fd. */
struct source *cache_file_source(struct arena *a, int fd, const struct cache_header *h);

/* Whether the body is what its header says. False with err 500 REASON_DAMAGED or REASON_IO. */
bool cache_file_verify(int fd, const struct cache_header *h, struct error *err);

#endif
