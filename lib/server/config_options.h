/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_CONFIG_OPTIONS_H
#define SERVER_CONFIG_OPTIONS_H

#include "config_values.h"

/*
 * The table of options, a row each (section, key, type, default, bounds, help, whether a rule may
 * override it): what reading, the environment, check and --print-config walk.
 */
#define CONFIG_ENV_PREFIX "LORIKEET_"

/* URI, FOLDER and COLOUR are texts, PREFIXES and FOLDERS lists, each with a form of its own; "" is none. */
enum type { BOOL, UINT, TEXT, URI, FOLDER, COLOUR, CHOICE, LIST, PREFIXES, FOLDERS };

/* One option. Defaults are written as the environment writes values. */
struct option {
	const char *section, *key;
	enum type type;
	size_t offset;
	bool of_rule;                  /* lies in struct config_rule; a rule may override it */
	const char *otherwise;
	uint64_t min, max;
	const char *const *choices;
	const char *help;
	bool is_secret;                /* its texts are noted (secrets.h) */
};

extern const struct option config_options[];
extern const size_t n_config_options;

/* What only rules have. */
extern const struct option config_rule_options[];
extern const size_t n_config_rule_options;

/* NULL where there is none; a rule has its own options and those that it may override. */
const struct option *config_find_option(const char *section, const char *key);
const struct option *config_find_rule_option(const char *key);
bool config_is_section(const char *name);

#endif
