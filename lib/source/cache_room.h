/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_CACHE_ROOM_H
#define SOURCE_CACHE_ROOM_H

#include "cache_store.h"

/* The files of a store against the rows of its index: finding what no row counts, and making room. For cache.c and
 * cache_check.c. */

/* Evicts until n more bytes fit beside files and parts, and takes up slices of the folder that the index does not
 * know. False: they do not. */
bool store_make_room(struct store *s, uint64_t n);
/* Evicts at least n bytes, for a volume that is full although nothing says so (quotas). False: there was nothing. */
bool store_evict(struct store *s, uint64_t n);
/* Takes up the next slices of the folder, for about budget_us. When all were, one every few minutes: a process that
 * is killed, or a loss of power, can leave a file that no row counts. Waits for nobody. */
void store_adopt(struct store *s, int64_t budget_us);
/* One slice: calls each(with, key, fd, header or NULL if it is damaged) for all files of our naming in it. */
void store_walk_slice(const struct store *s, int slice,
		      void (*each)(void *with, const char *key, int fd, const struct cache_header *h), void *with);

/* A file was found (fd, o by its header) that the index does not know, or knows otherwise: what lies there is right,
 * whatever the row says. Nothing is done where another lies there by now. INDEX_NONE: it was purged, and is gone now. */
enum index_result store_take_up(struct store *s, int fd, const struct original *o);

/* The file of a key with its header. -1, and forgotten, if it is gone or damaged; -1 alone if it cannot be opened or
 * read now. */
int store_open_sound(struct store *s, struct arena *a, const char *key, struct cache_header *h);
/* The index forgets a file if there is none, which nobody publishes meanwhile. A row that stays, since others write,
 * does no harm. */
void store_forget(struct store *s, const char *key, bool waits);
void store_drop_damaged(struct store *s, const char *key, int fd, const struct error *err);

#endif
