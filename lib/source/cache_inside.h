/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_CACHE_INSIDE_H
#define SOURCE_CACHE_INSIDE_H

#include "cache_room.h"

/* What a cache is made of. For cache.c and cache_write.c. */
#define NOTES 256

struct cache {
	struct store main, temporary;
	int locked_fd, turn_fd;        /* of the stores where this process has an original's lock and a turn, -1 none */
	char note[NOTES][CACHE_KEY_BYTES];
	size_t n_notes;
	int64_t flushed_us;
};

#endif
