/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_METERS_TEXT_H
#define SERVER_METERS_TEXT_H

#include "../source/cache.h"
#include "config.h"

/* All that is counted, by all processes of the machine, as Prometheus text. */
void meters_write(struct arena *a, struct buf *out, const struct config *config, const struct cache_state *cache);

#endif
