/* SPDX-License-Identifier: BSD-2-Clause */
/* The input is a configuration file; lines behind a line of %% alone are variables. */
#include "fuzz.h"

#include "server/config.h"

#define MARK "\n%%\n"
#define MAX_VARIABLES 64

/* libconfig's parser loses the string at hand when the next word is a syntax error. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so\n";
}

static void check_list(const char *const *list, bool absolute)
{
	must_hold(list, "no list");
	for (; *list; list++)
		must_hold(!absolute || **list == '/', "a relative path %s", *list);
}

static void check_rule(const struct config_rule *r)
{
	must_hold(r->origin && r->prefix && r->rights && r->info_json, "a text is missing");
	must_hold(r->root && r->root[0] == '/', "a rule without a root");
	must_hold(!r->max_height || r->max_width, "max_height alone");
	must_hold(r->min_tile_size >= 1 && r->min_tile_size <= 8192, "min_tile_size");
	must_hold(r->symlinks >= SYMLINKS_NO && r->symlinks <= SYMLINKS_FOLLOW, "symlinks");
	check_list(r->allowed_roots, true);
	check_list(r->suffixes, false);
	check_list(r->preferred_formats, false);
}

static void check_config(const struct config *c)
{
	must_hold(c->workers && c->max_request_memory && c->max_source_pixels, "an automatic value is 0");
	must_hold(c->jpeg_quality >= 1 && c->jpeg_quality <= 100, "jpeg_quality");
	must_hold(c->png_compression <= 9 && c->tile_size >= 64 && c->tile_size <= 8192, "images");
	must_hold(c->base_uri && c->slash_substitute && c->page_delimiter, "a text is missing");
	check_list(c->prefixes_2, false);
	check_list(c->prefixes_3, false);
	must_hold(c->n_rules >= 1, "no rules");
	for (size_t i = 0; i < c->n_rules; i++)
		check_rule(&c->rules[i]);
}

static void check_error(const struct error *err)
{
	must_hold(err->status == 500 && err->reason == REASON_CONFIG && err->say, "a wrong error");
	must_hold(strncmp(err->why, "f.conf:", 7) == 0 || strncmp(err->why, "LORIKEET_", 9) == 0,
		  "no place in: %s", err->why);
}

static void split_variables(struct arena *a, const char *text, char *env[MAX_VARIABLES + 1])
{
	struct str rest = str_of(text), line;
	size_t n = 0;
	while (n < MAX_VARIABLES && take_until(&rest, '\n', &line))
		env[n++] = str_dup(a, line);
	env[n] = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct arena *a = arena_open();
	struct error err = {0};
	char *env[MAX_VARIABLES + 1], *text = arena_strndup(a, (const char *)bytes, n);
	char *mark = strstr(text, MARK);
	split_variables(a, mark ? mark + sizeof MARK - 1 : "", env);
	if (mark)
		mark[1] = '\0';
	/* libconfig opens other files by this, and those are no input. */
	if (!strstr(text, "@include")) {
		const struct config *c = config_load_text(a, text, "f.conf", env, &err);
		if (c)
			check_config(c);
		else
			check_error(&err);
	}
	arena_close(a);
	return 0;
}
