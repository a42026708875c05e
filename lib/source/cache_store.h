/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_CACHE_STORE_H
#define SOURCE_CACHE_STORE_H

#include "cache_names.h"

/*
 * Whether a cache's folder can be used, its index in use and its locks. For the cache_* below it only.
 */

/* Whether it can be used now: opens it, or notices that folder or index are others than before. make: also makes a
 * temporary one. A new index alone leaves the folder open, and with it this process's locks. */
bool store_ready(struct store *s, bool make);
void store_close(struct store *s);
/* Whether there is a cache in it: an empty folder may have been made for a temporary one. */
bool store_is_marked(const struct store *s);
/* What could not be used a moment ago is tried at the next use, not in a second. */
void store_look_again(struct store *s);

/* Judges what an operation on the index came to: true for INDEX_OK. A broken index is replaced by a new one. */
bool store_check(struct store *s, enum index_result r);

/* A byte of the lock file, polled: true when this process has it. */
bool store_try_lock(const struct store *s, const char *key);
void store_unlock(int lock_fd);
/* Likewise one of the first bytes that are turns (cache_take_turn): at most `most` processes have one. */
#define STORE_TURNS 15
bool store_try_turn(const struct store *s, unsigned most);
void store_end_turn(int lock_fd);

bool store_init(const char *folder, struct error *err);
uint64_t store_free_bytes(const struct store *s);

#endif
