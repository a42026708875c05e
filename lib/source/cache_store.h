/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_CACHE_STORE_H
#define SOURCE_CACHE_STORE_H

#include "cache_index.h"

/*
 * One folder of a cache (cache.h has its layout): whether it can be used, its index in use, its files, and room in it.
 * For cache.c only.
 */
struct store {
	const char *folder;            /* absolute; "" is never usable */
	bool temporary;                /* made when it is needed; else it must have its marker */
	uint64_t max_bytes, min_free_bytes;
	int fd, lock_fd;               /* the folder and its lock file, -1 while not open */
	struct cache_index *index;     /* NULL while it cannot be used: then files are found by name only */
	unsigned number;               /* of the index */
	int64_t current[4];            /* what `current` was when it was opened: device, inode, mtime */
	int64_t again_us, index_again_us, full_until_us;
	bool is_unusable;              /* that was said already */
	char why[300];                 /* it is not usable */
};

/* Whether it can be used now: opens it, or notices that folder or index are others than before. make: also makes a temporary one. */
bool store_ready(struct store *s, bool make);
void store_close(struct store *s);

/* Judges what an operation on the index came to: true for INDEX_OK. A broken index is replaced by a new one. */
bool store_check(struct store *s, enum index_result r);

/* The file of a key, read-only, or -1 with errno. */
int store_open_file(const struct store *s, const char *key);
/* A part, made if it is not there. */
int store_open_part(const struct store *s, const char *key, bool make);
bool store_publish(const struct store *s, const char *key);    /* the part becomes the file; errno */
void store_unlink_file(const struct store *s, const char *key);
void store_unlink_part(const struct store *s, const char *key);

/* Evicts until n more bytes fit, and takes up slices of the folder that the index does not know. False: they do not. */
bool store_make_room(struct store *s, uint64_t n);
/* Evicts at least n bytes, for a volume that is full although nothing says so (quotas). False: there was nothing. */
bool store_evict(struct store *s, uint64_t n);
/* Takes up the next slices of the folder, for at most budget_us. */
void store_adopt(struct store *s, int64_t budget_us);
/* One slice: calls each(with, key, fd, header or NULL if it is damaged) for all files of our naming in it. */
void store_walk_slice(const struct store *s, int slice,
		      void (*each)(void *with, const char *key, int fd, const struct cache_header *h), void *with);
void store_drop_old_parts(const struct store *s);

/* What a file says, as a row of the index. */
struct original store_original_of(const struct cache_header *h);

/* A byte of the lock file, polled: true when this process has it. */
bool store_try_lock(const struct store *s, const char *key);
void store_unlock(const struct store *s, int lock_fd);

bool store_init(const char *folder, struct error *err);
uint64_t store_free_bytes(const struct store *s);

#endif
