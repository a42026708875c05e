/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_RULES_H
#define SERVER_RULES_H

#include "../source/resolver.h"
#include "config.h"

/* The rules of the configuration as the resolver wants them: templates compiled, fallbacks split, secrets read. NULL
 * with err 500 REASON_CONFIG naming the rule. */
struct resolver_rule *rules_make(struct arena *a, const struct config *config, struct error *err);

/* The cache of the configuration, not opened yet. */
struct cache *rules_open_cache(struct arena *a, const struct config *config);

#endif
