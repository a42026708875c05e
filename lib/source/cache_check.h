/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_CACHE_CHECK_H
#define SOURCE_CACHE_CHECK_H

#include "cache_room.h"

/* What people may want to know of a cache's folder (cache.h). */
struct cache_verified {
	uint64_t files, bytes, damaged, adopted, gone;
};
/* cache_verify's work. */
bool store_verify(struct store *s, struct cache_verified *v,
		  void (*found)(void *with, const char *key, const char *what), void *with);

/* Why a folder cannot be a cache at all: a network filesystem. NULL if it can. */
const char *cache_folder_fault(const char *folder);

#endif
