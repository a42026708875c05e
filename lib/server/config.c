/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <libconfig.h>

#include "../base/file.h"
#include "../image/heif.h"
#include "../image/plain.h"
#include "../source/cache.h"
#include "config_options.h"

#define FILE_MAX_BYTES (1 << 20)
#define MAX_RULES 1000

/* Where a value comes from, for messages. */
struct origin {
	struct arena *a;
	const char *name;              /* "file.conf:12" or the variable */
	struct config *config;
	struct error *err;
};

static bool reject(const struct origin *from, const struct option *o, const char *what)
{
	return fail(from->err, 500, REASON_CONFIG, "The server is not configured.", "%s: %s.%s: %s", from->name,
		    o->section, o->key, what);
}

static bool set_choice(const struct origin *from, const struct option *o, const char *text, int *to)
{
	for (int i = 0; o->choices[i]; i++)
		if (strcmp(text, o->choices[i]) == 0) {
			*to = i;
			return true;
		}
	struct buf *b = buf_open(from->a, 512);
	for (int i = 0; o->choices[i]; i++)
		buf_printf(b, "%s%s", i ? ", " : "", o->choices[i]);
	return reject(from, o, arena_printf(from->a, "must be one of %.*s", (int)b->n, b->at));
}

/* slow:MS has a number behind its word. */
static bool set_requests(const struct origin *from, const struct option *o, const char *text,
			 struct config *c)
{
	struct str s = str_of(text);
	if (!take_word(&s, STR("slow:")))
		return strcmp(text, "slow") == 0 ? reject(from, o, "slow needs milliseconds, as slow:500")
						 : set_choice(from, o, text, &c->log_requests);
	if (!take_uint(&s, UINT32_MAX, &c->log_slow_ms) || s.n)
		return reject(from, o, "slow needs milliseconds, as slow:500");
	c->log_requests = LOG_SLOW;
	return true;
}

static bool set_uint(const struct origin *from, const struct option *o, uint64_t v, void *at)
{
	if (v < o->min || v > o->max)
		return reject(from, o, arena_printf(from->a, "must be from %llu to %llu",
						    (unsigned long long)o->min, (unsigned long long)o->max));
	*(uint64_t *)at = v;
	return true;
}

static bool is_base_uri(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] <= ' ' || strchr("\"<>\\^`{|}#?", s.at[i]))
			return false;
	return (str_starts(s, STR("http://")) || str_starts(s, STR("https://"))) && s.at[s.n - 1] != '/';
}

static bool keep_text(const struct origin *from, const struct option *o, const char *text, void *at)
{
	if (o->type == URI && *text && !is_base_uri(str_of(text)))
		return reject(from, o, "must be http(s)://host without a slash at its end");
	if (o->type == FOLDER && *text && *text != '/')
		return reject(from, o, "must be an absolute path");
	if (o->type == COLOUR && (strlen(text) != 6 || strspn(text, "0123456789abcdefABCDEF") != 6))
		return reject(from, o, "must be six hex digits, as ffffff");
	char *kept = arena_strndup(from->a, text, strlen(text));
	if (o->is_secret)
		secret_note(from->a, &from->config->secrets, kept);
	*(const char **)at = kept;
	return true;
}

/* Takes over the list, whose texts are in the arena. Prefixes lose the slash at their end; "" and "/" are the root. */
static bool keep_list(const struct origin *from, const struct option *o, const char **list, void *at)
{
	for (const char **p = list; *p; p++) {
		struct str s = str_of(*p);
		if (o->is_secret)
			secret_note(from->a, &from->config->secrets, (char *)*p);
		if (o->type == FOLDERS && *s.at != '/')
			return reject(from, o, "must be absolute folders");
		if (o->type != PREFIXES)
			continue;
		while (s.n && s.at[s.n - 1] == '/')
			s.n--;
		if (s.n && *s.at != '/')
			return reject(from, o, "a prefix starts with a slash");
		if (strpbrk(*p, " ?#%\"<>\\"))
			return reject(from, o, "a prefix is a plain path, with nothing escaped in it");
		*p = str_dup(from->a, s);
	}
	*(const char ***)at = list;
	return true;
}

static const char **split_list(struct arena *a, const char *text)
{
	struct str rest = str_of(text), piece;
	size_t n = 0;
	const char **list = arena_array(a, const char *, strlen(text) + 2);
	while (*text && take_until(&rest, ',', &piece))
		list[n++] = str_dup(a, str_trim(piece));
	return list;
}

/* A value as text, as defaults and the environment write it. */
static bool set_text(const struct origin *from, const struct option *o, const char *text, struct config *c,
		     void *base)
{
	void *at = (char *)base + o->offset;
	struct str s = str_of(text);
	uint64_t v;
	switch (o->type) {
	case BOOL:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return reject(from, o, "must be true or false");
		*(bool *)at = *text == 't';
		return true;
	case UINT:
		if (!take_uint(&s, UINT64_MAX, &v) || s.n)
			return reject(from, o, "must be a whole number");
		return set_uint(from, o, v, at);
	case TEXT:
	case URI:
	case FOLDER:
	case COLOUR:
		return keep_text(from, o, text, at);
	case CHOICE:
		return at == &c->log_requests ? set_requests(from, o, text, c) : set_choice(from, o, text, at);
	case LIST:
	case PREFIXES:
	case FOLDERS:
		return keep_list(from, o, split_list(from->a, text), at);
	}
	return false;
}

static bool set_list(const struct origin *from, const struct option *o, const config_setting_t *s, void *at)
{
	int n = config_setting_length(s);
	const char **list = arena_array(from->a, const char *, (size_t)n + 1);
	for (int i = 0; i < n; i++) {
		const char *text = config_setting_get_string_elem(s, i);
		if (!text)
			return reject(from, o, "must be a list of strings");
		list[i] = arena_strndup(from->a, text, strlen(text));
	}
	return keep_list(from, o, list, at);
}

static bool set_setting(const struct origin *from, const struct option *o, const config_setting_t *s,
			struct config *c, void *base)
{
	void *at = (char *)base + o->offset;
	int type = config_setting_type(s);
	long long number;
	switch (o->type) {
	case BOOL:
		if (type != CONFIG_TYPE_BOOL)
			return reject(from, o, "must be true or false");
		*(bool *)at = config_setting_get_bool(s);
		return true;
	case UINT:
		if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
			return reject(from, o, "must be a whole number");
		number = type == CONFIG_TYPE_INT ? config_setting_get_int(s) : config_setting_get_int64(s);
		return number < 0 ? reject(from, o, "must not be negative")
				  : set_uint(from, o, (uint64_t)number, at);
	case TEXT:
	case URI:
	case FOLDER:
	case COLOUR:
	case CHOICE:
		if (type != CONFIG_TYPE_STRING)
			return reject(from, o, "must be a string");
		return set_text(from, o, config_setting_get_string(s), c, base);
	case LIST:
	case PREFIXES:
	case FOLDERS:
		if (type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST)
			return reject(from, o, "must be a list of strings");
		return set_list(from, o, s, at);
	}
	return false;
}

/* libconfig names a file only for what came by @include. */
static const char *file_or(const char *file, const char *name)
{
	return file ? file : name;
}

static struct origin origin_of(struct arena *a, const char *name, const config_setting_t *s, struct config *c,
			       struct error *err)
{
	const char *file = file_or(config_setting_source_file(s), name);
	return (struct origin){a, arena_printf(a, "%s:%d", file, config_setting_source_line(s)), c, err};
}

static bool unknown(const struct origin *from, const char *what, const char *key)
{
	return fail(from->err, 500, REASON_CONFIG, "The server is not configured.", "%s: unknown %s %s",
		    from->name, what, key);
}

static bool read_section(struct arena *a, const char *name, const config_setting_t *section,
			 struct config *c, struct error *err)
{
	const char *title = config_setting_name(section);
	struct origin from = origin_of(a, name, section, c, err);
	if (!config_is_section(title))
		return unknown(&from, "section", title);
	if (!config_setting_is_group(section))
		return fail(err, 500, REASON_CONFIG, "The server is not configured.", "%s: %s must be a group",
			    from.name, title);
	for (int i = 0; i < config_setting_length(section); i++) {
		const config_setting_t *s = config_setting_get_elem(section, (unsigned)i);
		const struct option *o = config_find_option(title, config_setting_name(s));
		from = origin_of(a, name, s, c, err);
		if (!o)
			return unknown(&from, "option", config_setting_name(s));
		if (!set_setting(&from, o, s, c, o->of_rule ? (void *)&c->defaults : (void *)c))
			return false;
	}
	return true;
}

/* The rule number i, made of the defaults if it is new; there are no gaps. */
static struct config_rule *rule_at(struct config *c, size_t i, const char *origin)
{
	if (i > c->n_rules || i >= MAX_RULES)
		return NULL;
	if (i == c->n_rules) {
		c->rules[i] = c->defaults;
		c->rules[i].origin = origin;
		c->n_rules++;
	}
	return &c->rules[i];
}

static bool read_rule(struct arena *a, const char *name, const config_setting_t *group, struct config *c,
		      struct error *err)
{
	struct origin from = origin_of(a, name, group, c, err);
	struct config_rule *rule = rule_at(c, c->n_rules, from.name);
	if (!rule || !config_setting_is_group(group))
		return fail(err, 500, REASON_CONFIG, "The server is not configured.",
			    "%s: rules must be a list of at most %d groups", from.name, MAX_RULES);
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const struct option *o = config_find_rule_option(config_setting_name(s));
		from = origin_of(a, name, s, c, err);
		if (!o)
			return unknown(&from, "option of a rule", config_setting_name(s));
		if (!set_setting(&from, o, s, c, rule))
			return false;
	}
	return true;
}

static bool read_sections(struct arena *a, const char *name, const config_setting_t *root,
			  struct config *c, struct error *err)
{
	for (int i = 0; i < config_setting_length(root); i++) {
		const config_setting_t *s = config_setting_get_elem(root, (unsigned)i);
		if (strcmp(config_setting_name(s), "rules") != 0 && !read_section(a, name, s, c, err))
			return false;
	}
	return true;
}

static bool read_rules(struct arena *a, const char *name, const config_setting_t *root, struct config *c,
		       struct error *err)
{
	const config_setting_t *rules = config_setting_get_member(root, "rules");
	if (rules && !config_setting_is_list(rules))
		return fail(err, 500, REASON_CONFIG, "The server is not configured.",
			    "%s:%d: rules must be a list, in ( )", name, config_setting_source_line(rules));
	for (int i = 0; rules && i < config_setting_length(rules); i++)
		if (!read_rule(a, name, config_setting_get_elem(rules, (unsigned)i), c, err))
			return false;
	return true;
}

static const char *lowered(struct arena *a, struct str s)
{
	char *text = str_dup(a, s);
	for (char *c = text; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
	return text;
}

/* LORIKEET_RULES_<n>_<KEY>, name without its first part. */
static bool set_rule_variable(const struct origin *from, struct str name, const char *value,
			      struct config *c)
{
	uint64_t i;
	if (!take_uint(&name, MAX_RULES, &i) || !take_char(&name, '_'))
		return fail(from->err, 500, REASON_CONFIG, "The server is not configured.",
			    "%s: a rule's variable is " CONFIG_ENV_PREFIX "RULES_<number>_<KEY>", from->name);
	const struct option *o = config_find_rule_option(lowered(from->a, name));
	struct config_rule *rule = rule_at(c, (size_t)i, from->name);
	if (!rule)
		return fail(from->err, 500, REASON_CONFIG, "The server is not configured.",
			    "%s: there is no rule before it", from->name);
	return o ? set_text(from, o, value, c, rule)
		 : unknown(from, "option of a rule", lowered(from->a, name));
}

/* One variable; sections first (rules are copied from the defaults), then rules. */
static bool set_variable(struct arena *a, const char *variable, bool rules, struct config *c,
			 struct error *err)
{
	struct str value = str_of(variable), name, section;
	take_until(&value, '=', &name);
	struct origin from = {a, str_dup(a, name), c, err};
	struct str key = name;
	if (!take_word(&key, STR(CONFIG_ENV_PREFIX)) || !value.at)
		return true;
	take_until(&key, '_', &section);
	const char *title = lowered(a, section);
	if (strcmp(title, "rules") == 0)
		return !rules || set_rule_variable(&from, key, value.at, c);
	if (rules || !config_is_section(title) || !key.at)
		return true;
	const struct option *o = config_find_option(title, lowered(a, key));
	if (!o)
		return unknown(&from, "option", lowered(a, key));
	return set_text(&from, o, value.at, c, o->of_rule ? (void *)&c->defaults : (void *)c);
}

/* RULES_10 comes after RULES_9. */
static int by_number(const void *a, const void *b)
{
	return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

/* Rule numbers must come in order, so that new rules follow each other. */
static bool read_environment(struct arena *a, char *const *env, bool rules, struct config *c,
			     struct error *err)
{
	size_t n = 0;
	while (env && env[n])
		n++;
	const char **sorted = arena_array(a, const char *, n + 1);
	for (size_t i = 0; i < n; i++)
		sorted[i] = env[i];
	qsort(sorted, n, sizeof *sorted, by_number);
	for (size_t i = 0; i < n; i++)
		if (!set_variable(a, sorted[i], rules, c, err))
			return false;
	return true;
}

static uint64_t read_number(const char *path)
{
	char text[32];
	ssize_t n = file_read(AT_FDCWD, path, 0, text, sizeof text);
	struct str rest = {text, n > 0 ? (size_t)n : 0};
	uint64_t v;
	return take_uint(&rest, UINT64_MAX, &v) ? v : 0;
}

/* The least memory.max of this process's cgroup and those above it (cgroups v2), 0 for none. */
static uint64_t cgroup_bytes(void)
{
	char path[PATH_MAX + 64] = "/sys/fs/cgroup", text[PATH_MAX];
	const size_t top = strlen(path);
	ssize_t n = file_read(AT_FDCWD, "/proc/self/cgroup", 0, text, sizeof text);
	struct str rest = {text, n > 0 ? (size_t)n : 0}, line;
	uint64_t least = 0;
	while (take_until(&rest, '\n', &line))
		if (take_word(&line, STR("0::")) && line.n > 1)
			snprintf(path + top, sizeof path - top - sizeof "/memory.max", "%.*s", (int)line.n, line.at);
	for (char *end = path + strlen(path); end >= path + top; end = memrchr(path, '/', (size_t)(end - path))) {
		strcpy(end, "/memory.max");
		uint64_t limit = read_number(path);
		if (limit && (!least || limit < least))
			least = limit;
	}
	return least;
}

/* RAM, or the cgroup's part of it. */
static uint64_t memory_bytes(void)
{
	uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t limits[] = {cgroup_bytes(), read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes")};
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
		if (limits[i] && limits[i] < bytes)
			bytes = limits[i];
	return bytes;
}

bool config_rule_verifies(const struct config_rule *r)
{
	return r->verify == VERIFY_YES || (r->verify == VERIFY_AUTO && *r->fallback);
}

bool config_role_fetches(const struct config *c)
{
	return c->role == ROLE_ALL || c->role == ROLE_FETCHER;
}

static bool verifies(const struct config *c)
{
	for (size_t i = 0; i < c->n_rules; i++)
		if (config_rule_verifies(&c->rules[i]))
			return true;
	return false;
}

static void resolve_automatic(struct config *c)
{
	c->workers_are_said = c->workers > 0;
	if (!c->workers)
		c->workers = 2 * (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (!c->verifiers)
		c->verifiers = c->workers < 8 ? 1 : c->workers < 4 * STORE_TURNS ? c->workers / 4 : STORE_TURNS;
	if (!c->max_request_memory)
		c->max_request_memory = memory_bytes() / 4 * 3 / (c->workers + (verifies(c) ? c->verifiers : 0));
	if (!c->max_source_pixels)
		c->max_source_pixels = c->max_request_memory > UINT64_MAX / 8 ? UINT64_MAX : c->max_request_memory * 8;
}

static bool wrong(struct error *err, const char *name, const char *what)
{
	return fail(err, 500, REASON_CONFIG, "The server is not configured.", "%s: %s", name, what);
}

static bool check_twice(const struct config *c, const char *name, struct error *err)
{
	for (const char **p = c->prefixes_2; *p; p++)
		for (const char **q = c->prefixes_3; *q; q++)
			if (strcmp(*p, *q) == 0)
				return wrong(err, name, "server.prefixes: a prefix can serve one version only");
	return true;
}

static bool check_rule(const struct config_rule *r, struct error *err)
{
	if (r->type == SOURCE_FILE && !*r->root)
		return wrong(err, r->origin, "rules.root: a rule of type file needs one");
	if (r->type == SOURCE_HTTP && !*r->url)
		return wrong(err, r->origin, "rules.url: a rule of type http needs one");
	if (r->type == SOURCE_S3 && !*r->bucket)
		return wrong(err, r->origin, "rules.bucket: a rule of type s3 needs one");
	for (const char **f = r->fallback; *f; f++)
		if (!strstr(*f, "->"))
			return wrong(err, r->origin, "access.fallback: must be as \".tif -> .jpg\"");
	for (const char **h = r->headers; *h; h++)
		if (!strchr(*h, ':') || strpbrk(*h, "\r\n"))
			return wrong(err, r->origin, "origin.headers: must be as \"Name: value\"");
	if (r->max_height && !r->max_width)
		return wrong(err, r->origin, "limits.max_height: needs max_width (IIIF 3.0, 5.3)");
	return true;
}

static bool check_words(const char *const *list, bool (*knows)(const char *), const char *name, const char *what,
			struct error *err)
{
	for (; *list; list++)
		if (!knows(*list))
			return wrong(err, name, what);
	return true;
}

static bool is_rare_format(const char *name)
{
	return plain_knows_format(name);
}

/* What options say of each other. */
static bool check(const struct config *c, const char *name, struct error *err)
{
	if (*c->slash_substitute && strcmp(c->slash_substitute, c->page_delimiter) == 0)
		return wrong(err, name, "server.slash_substitute: is the page delimiter too");
	if (!check_words(c->magick_formats, is_rare_format, name,
			 "images.magick_formats: must be of gif, bmp, pnm, psd", err) ||
	    !check_words(c->heif_formats, heif_knows_format, name, "images.heif_formats: must be of heic, avif", err))
		return false;
	if (!check_twice(c, name, err))
		return false;
	for (size_t i = 0; i < c->n_rules; i++)
		if (!check_rule(&c->rules[i], err))
			return false;
	return true;
}

static bool set_defaults(struct arena *a, struct config *c, struct error *err)
{
	struct origin from = {a, "default", c, err};
	for (size_t i = 0; i < n_config_options; i++)
		if (!set_text(&from, &config_options[i], config_options[i].otherwise, c,
			      config_options[i].of_rule ? (void *)&c->defaults : (void *)c))
			return false;
	for (size_t i = 0; i < n_config_rule_options; i++)
		if (!set_text(&from, &config_rule_options[i], config_rule_options[i].otherwise, c, &c->defaults))
			return false;
	c->rules = arena_array(a, struct config_rule, MAX_RULES);
	return true;
}

/* Rules start as copies of the defaults, so these come first, from file and environment. */
static bool read_all(struct arena *a, const config_setting_t *root, const char *name, char *const *env,
		     struct config *c, struct error *err)
{
	return set_defaults(a, c, err) && read_sections(a, name, root, c, err) &&
	       read_environment(a, env, false, c, err) && read_rules(a, name, root, c, err) &&
	       read_environment(a, env, true, c, err);
}

struct config *config_load_text(struct arena *a, const char *text, const char *name, char *const *env,
				struct error *err)
{
	struct config *c = arena_new(a, struct config);
	config_t parser;
	config_init(&parser);
	bool ok = config_read_string(&parser, text) == CONFIG_TRUE
			  ? read_all(a, config_root_setting(&parser), name, env, c, err)
			  : fail(err, 500, REASON_CONFIG, "The server is not configured.", "%s:%d: %s",
				 file_or(config_error_file(&parser), name), config_error_line(&parser),
				 config_error_text(&parser));
	config_destroy(&parser);
	if (!ok)
		return NULL;
	if (!c->n_rules)
		rule_at(c, 0, str_dup(a, str_of(name)))->root = "/var/lib/lorikeet/images";
	resolve_automatic(c);
	return check(c, name, err) ? c : NULL;
}

struct loading {
	struct arena *a;
	const char *path;
	char *const *env;
	struct error *err;
	struct config *config;
};

static void load(void *with)
{
	struct loading *l = with;
	char *text = arena_alloc(l->a, FILE_MAX_BYTES + 1);
	ssize_t n = file_read(AT_FDCWD, l->path, 0, text, FILE_MAX_BYTES);
	if (n < 0 || n == FILE_MAX_BYTES)
		wrong(l->err, l->path, n < 0 ? strerror(errno) : "is too large");
	else if (memchr(text, '\0', (size_t)n))
		wrong(l->err, l->path, "has a NUL byte");
	else
		l->config = config_load_text(l->a, text, l->path, l->env, l->err);
	explicit_bzero(text, FILE_MAX_BYTES);
}

struct config *config_load(struct arena *a, const char *path, char *const *env, struct error *err)
{
	struct loading l = {a, path, env, err, NULL};
	if (!path)
		return config_load_text(a, "", "configuration", env, err);
	secrets_careful(load, &l);
	return l.config;
}
