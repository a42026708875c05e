/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "config_values.h"

/*
 * The configuration: one libconfig file, overridden by the environment, checked as a whole. All
 * strings and arrays live in the arena of config_load.
 */

/*
 * Reads text (called name in messages) or the file at path (NULL: no file), then the environment `environ`-style
 * array env, then checks the whole. Errors have status 500, REASON_CONFIG and a why that names file
 * and line, or the variable: unknown keys, bad values, values out of bounds, rules without a root. config_load leaves
 * no secret in memory but in the texts that the configuration has noted.
 */
struct config *config_load_text(struct arena *a, const char *text, const char *name, char *const *env,
				struct error *err);
struct config *config_load(struct arena *a, const char *path, char *const *env, struct error *err);

/* Whether originals of the rule are decoded in full before they are served. */
bool config_rule_verifies(const struct config_rule *rule);

/* Whether a process of this configuration's role asks origins. */
bool config_role_fetches(const struct config *c);

#endif
