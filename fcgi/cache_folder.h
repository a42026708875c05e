/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FCGI_CACHE_FOLDER_H
#define FCGI_CACHE_FOLDER_H

#include "../lib/server/service.h"
#include "../lib/source/resolver.h"

/* Where the cache's folders lie, and as whom commands may work there. */

/* Root works as the owner of the cache's folder, or of the temporary one: what root makes there (also the files that
 * SQLite adds to an index) the workers could not write. False, and said on standard error, if that is not allowed. */
bool cache_act_as_owner(const struct config *config);
/* Back, for what is not the cache's. */
void cache_act_as_root(void);

/* Why a folder, which need not be there yet, cannot be a cache: as cache_folder_fault. */
const char *cache_place_fault(struct arena *a, const char *folder);

/* The part of `check` that is about the cache: says what is wrong on standard error; false if it is an error. Ends as
 * the cache's owner. */
bool cache_check(const struct config *config, const struct service *service);

#endif
