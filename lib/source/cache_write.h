/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_CACHE_WRITE_H
#define SOURCE_CACHE_WRITE_H

#include "cache.h"

/*
 * A download, under the original's lock: cache_write_open, cache_write... and cache_write_close, or cache_write_drop,
 * which leaves the part to be resumed if keep is set. Room is made for `expected` bytes (0 unknown). Errors: 507
 * REASON_TOO_LARGE above all bounds; 503 REASON_IO no place at all, or none for so much now; 503 REASON_BUSY another
 * process writes it.
 */
struct cache_writer;
/* The part that an earlier download left: how many bytes of which ETag. 0 if none. */
uint64_t cache_part(struct cache *c, struct arena *a, const char *key, const char **etag);
bool cache_write_open(struct cache *c, const struct original *o, uint64_t resume_from, uint64_t expected,
		      struct cache_writer **out, struct error *err);
bool cache_write(struct cache_writer *w, const void *bytes, size_t n, struct error *err);
uint64_t cache_written(const struct cache_writer *w);
int cache_writer_fd(const struct cache_writer *w, uint64_t *start);    /* to check sums over the body */
/* Publishes it. o's validator (but its length), texts and times are what it gets; its generation is the one known of
 * the key. 503 too if it was purged since the writer was opened: what was fetched before is not wanted any more. */
bool cache_write_close(struct cache_writer *w, struct original *o, struct error *err);
void cache_write_drop(struct cache_writer *w, bool keep);

#endif
