/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_CACHE_NAMES_H
#define SOURCE_CACHE_NAMES_H

#include "cache_store.h"

/*
 * The files of a cache's folder by their names: a key's file, and the part that is being written and becomes it.
 */

/* The file of a key, read-only, or -1 with errno. */
int store_open_file(const struct store *s, const char *key);
/* A part to be looked at, or -1. */
int store_open_part(const struct store *s, const char *key);
/* A part to write into, for this process alone as long as it is open: -1 with errno, EBUSY if it is another's. So
 * much holds even where the lock of the original was lost with its folder. */
int store_take_part(const struct store *s, const char *key, bool make);
/* The part becomes the file. False with errno; ENOENT: it is not the part of this name any more (it was purged). */
bool store_publish(const struct store *s, const char *key, int fd);
bool store_unlink_file(const struct store *s, const char *key);
/* These only if fd is what lies there. */
void store_unlink_file_of(const struct store *s, const char *key, int fd);
void store_unlink_part_of(const struct store *s, const char *key, int fd);
void store_unlink_part(const struct store *s, const char *key);
/* Drops parts that nobody writes and that are older: the bytes of those that are left. */
uint64_t store_drop_old_parts(const struct store *s, int64_t age_s);
#define STORE_PART_AGE_S 3600

/* Calls each(with, key) for the files of our naming in a slice; false from it ends the walk. */
void store_walk_names(const struct store *s, int slice, bool (*each)(void *with, const char *key), void *with);

/* What a file says, as a row of the index. */
struct original store_original_of(const struct cache_header *h);

#endif
