/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_CACHE_NAMES_H
#define SOURCE_CACHE_NAMES_H

#include "cache_index.h"

/*
 * One folder of a cache (cache.h has its layout). For the cache_* below it only.
 */
struct store {
	const char *folder;            /* absolute; "" is never usable */
	bool temporary;                /* made when it is needed; else it must have its marker */
	uint64_t max_bytes, min_free_bytes;
	int fd, lock_fd;               /* the folder and its lock file, -1 while not open */
	struct cache_index *index;     /* NULL while it cannot be used: then files are found by name only */
	unsigned number;               /* of the index */
	/* What `current` was when it was read (device, inode, mtime), and the index when it was opened (inode). */
	int64_t state[5];
	bool is_strange;               /* the index in use is of another format: nothing is added to this folder */
	int64_t again_us, index_again_us, full_until_us;
	bool is_unusable;              /* that was said already */
	char why[300];                 /* it is not usable */
};

#define STORE_FILES "files-1"
#define STORE_PARTS "parts-1"
#define STORE_FOLDER_MODE 0750

/* Its files by their names: a key's file, and the part that is being written and becomes it. */

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
/* Whether fd is what lies there. */
bool store_is_file_of(const struct store *s, const char *key, int fd);
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
