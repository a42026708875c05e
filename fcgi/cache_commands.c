/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache_commands.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache_folder.h"
#include "nginx_cache.h"

#define TEXT_MAX_BYTES (1 << 20)
#define IN_IDENTIFIERS " %"
#define IN_URLS " "

struct command {
	const struct config *config;
	const struct service *service;
	const struct resolver *resolver;
	struct cache *cache;
	struct arena *a;
	const char **word;             /* what is left of the words */
	int n;
	bool json;
};

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "lorikeet: %s: %s\n", what, why);
	return 1;
}

static int wrong_words(const char *usage)
{
	fprintf(stderr, "usage: lorikeet cache %s\n", usage);
	return 2;
}

/* --- words --- */

static void drop_words(struct command *c, int at, int n)
{
	c->n -= n;
	memmove(c->word + at, c->word + at + n, sizeof *c->word * (size_t)(c->n - at));
}

static bool take_flag(struct command *c, const char *flag)
{
	for (int i = 0; i < c->n; i++)
		if (strcmp(c->word[i], flag) == 0) {
			drop_words(c, i, 1);
			return true;
		}
	return false;
}

static const char *take_value(struct command *c, const char *flag)
{
	for (int i = 0; i + 1 < c->n; i++)
		if (strcmp(c->word[i], flag) == 0) {
			const char *value = c->word[i + 1];
			drop_words(c, i, 2);
			return value;
		}
	return NULL;
}

static bool has_flags_left(const struct command *c)
{
	for (int i = 0; i < c->n; i++)
		if (strncmp(c->word[i], "--", 2) == 0)
			return true;
	return false;
}

/* --- writing --- */

/* Also the second block of control characters (U+0080 to U+009F), which terminals obey. */
static size_t readable_length(struct str s)
{
	unsigned char c = (unsigned char)*s.at;
	if (c < 0x80)
		return c >= ' ' && c != 0x7f;
	return c == 0xc2 && s.n > 1 && (unsigned char)s.at[1] < 0xa0 ? 0 : utf8_length(s);
}

/* besides: what is not to be read as it is either. */
static const char *readable(struct arena *a, const char *text, const char *besides)
{
	struct buf *b = buf_open(a, TEXT_MAX_BYTES);
	for (struct str s = str_of(text); s.n;) {
		size_t n = strchr(besides, *s.at) ? 0 : readable_length(s);
		if (n)
			buf_write(b, s.at, n);
		else
			buf_printf(b, "%%%02X", (unsigned char)*s.at);
		s.at += n ? n : 1;
		s.n -= n ? n : 1;
	}
	return str_dup(a, buf_view(b));
}

static const char *time_text(struct arena *a, int64_t s)
{
	char text[32];
	struct tm tm;
	time_t t = (time_t)s;
	if (s <= 0 || !gmtime_r(&t, &tm) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return NULL;
	return arena_strndup(a, text, strlen(text));
}

static void add_text(cJSON *o, const char *name, const char *text)
{
	if (text)
		cJSON_AddStringToObject(o, name, text);
	else
		cJSON_AddNullToObject(o, name);
}

static void add_number(cJSON *o, const char *name, uint64_t value)
{
	cJSON_AddNumberToObject(o, name, (double)value);
}

/* Prints it, and ends it. */
static void print_json(cJSON *o, const char *before, const char *after)
{
	char *text = cJSON_PrintUnformatted(o);
	printf("%s%s%s", before, text ? text : "null", after);
	free(text);
	cJSON_Delete(o);
}

/* A full disk, a reader that went away. */
static int end_output(int status)
{
	return fflush(stdout) == 0 && !ferror(stdout) ? status : complain("standard output", "cannot be written");
}

static int not_usable(const struct command *c)
{
	struct cache_state state;
	cache_stat(c->cache, c->a, &state);
	return complain("the cache cannot be used", state.usable ? "its index cannot be used now" : state.why);
}

/* --- init, stat --- */

static int init(struct command *c)
{
	const char *folder = c->config->cache_folder;
	struct error err;
	struct stat st;
	if (c->n)
		return wrong_words("init");
	if (!*folder)
		return complain("cache.folder", "is not set");
	const char *fault = cache_place_fault(c->a, folder);
	if (fault)
		return complain(folder, arena_printf(c->a, "%s: it must be on a local disk", fault));
	if (!cache_init(folder, &err))
		return complain("cache.folder", err.why);
	printf("%s is a cache\n", folder);
	if (geteuid() == 0 && stat(folder, &st) == 0 && st.st_uid == 0)
		fprintf(stderr,
			"lorikeet: warning: %s belongs to root; give it to the workers' user, with all that is in it\n",
			folder);
	return end_output(0);
}

static void print_state_json(const struct command *c, const struct cache_state *s)
{
	cJSON *o = cJSON_CreateObject();
	add_text(o, "folder", readable(c->a, c->config->cache_folder, ""));
	cJSON_AddBoolToObject(o, "usable", s->usable);
	add_text(o, "why", s->usable ? NULL : readable(c->a, s->why, ""));
	add_text(o, "index", s->usable && *s->index ? s->index : NULL);
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {{"files", s->totals.files}, {"bytes", s->totals.bytes}, {"max_bytes", s->max_bytes},
		       {"free_bytes", s->free_bytes}, {"others", s->totals.others},
		       {"slices", (uint64_t)s->totals.slice}, {"all_slices", CACHE_SLICES}};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		add_number(o, numbers[i].name, numbers[i].value);
	print_json(o, "", "\n");
}

static void print_state(const struct command *c, const struct cache_state *s)
{
	const struct index_totals *t = &s->totals;
	printf("folder: %s\nusable: %s%s\n", c->config->cache_folder, s->usable ? "yes" : "no: ",
	       s->usable ? "" : s->why);
	if (!s->usable)
		return;
	printf("index: %s\n", *s->index ? s->index : "cannot be read now");
	printf("free: %llu bytes\n", (unsigned long long)s->free_bytes);
	if (!*s->index)
		return;
	printf("files: %llu\nbytes: %llu of %llu\nwithout a file: %llu\n", (unsigned long long)t->files,
	       (unsigned long long)t->bytes, (unsigned long long)s->max_bytes, (unsigned long long)t->others);
	printf("taken up: %d of %d slices%s\n", t->slice, CACHE_SLICES,
	       t->slice < CACHE_SLICES ? ", the index is being made" : "");
}

static int stat_cache(struct command *c)
{
	struct cache_state s;
	if (c->n)
		return wrong_words("stat [--json]");
	cache_stat(c->cache, c->a, &s);
	if (c->json)
		print_state_json(c, &s);
	else
		print_state(c, &s);
	return end_output(s.usable && *s.index ? 0 : 1);
}

/* --- list --- */

enum list_what { LIST_ALL, LIST_DAMAGED, LIST_FALLBACK };

struct list {
	const struct command *c;
	enum list_what what;
	uint64_t n;
};

static bool is_bad(enum verdict v)
{
	return v == VERDICT_DAMAGED || v == VERDICT_UNSUPPORTED || v == VERDICT_TOO_LARGE || v == VERDICT_DEADLY;
}

/* What is said of a candidate: it serves; it is of no use; or nobody has tried. */
enum standing { SERVES, USELESS, UNKNOWN };

static enum standing standing_of(const struct command *c, struct arena *a, const struct resolver_rule *rule,
				 const struct candidate *candidate, struct original *o)
{
	struct source *source;
	struct error err;
	bool known = cache_find(c->cache, a, candidate->key, o);
	if (!known)
		*o = (struct original){0};
	if (rule->type == RULE_FILE) {
		if (!file_source_open(a, &rule->file, str_of(candidate->name), &source, &err)) {
			*o = (struct original){0};
			return USELESS;
		}
		source->validator.generation = o->validator.generation;
		return known && verdict_counts(o, &source->validator) ? USELESS : SERVES;
	}
	if (known && o->verdict != VERDICT_FAILED && verdict_counts(o, &o->validator))
		return USELESS;
	return known && o->bytes ? SERVES : UNKNOWN;
}

/* The original of a row is the reason why a fallback serves its identifier: that fallback, else NULL. What is damaged
 * is more of a reason than what is missing, as with suffixes only one name is there. */
static const struct candidate *find_fallback(const struct command *c, struct arena *a, const struct original *row)
{
	struct candidates list;
	struct error err;
	struct original o, reason = {0};
	if (!resolver_list(a, c->resolver, str_of(row->identifier), &list, &err))
		return NULL;
	for (size_t i = 0; i < list.n; i++) {
		enum standing s = standing_of(c, a, &c->resolver->rules[list.rule], &list.at[i], &o);
		if (s != USELESS)
			return list.at[i].is_fallback && strcmp(reason.key, row->key) == 0 ? &list.at[i] : NULL;
		if (!list.at[i].is_fallback && *o.key &&
		    (!*reason.key || (!is_bad(reason.verdict) && is_bad(o.verdict))))
			reason = o;
	}
	return NULL;
}

/* A file that is another now, or gone, has nothing to be mended; what is behind a network loses its verdict with its
 * state. */
static bool is_mended(const struct command *c, struct arena *a, const struct original *row)
{
	struct candidates list;
	struct error err;
	struct source *source;
	if (!resolver_list(a, c->resolver, str_of(row->identifier), &list, &err))
		return false;
	const struct resolver_rule *rule = &c->resolver->rules[list.rule];
	for (size_t i = 0; i < list.n && rule->type == RULE_FILE; i++) {
		if (strcmp(list.at[i].key, row->key) != 0)
			continue;
		if (!file_source_open(a, &rule->file, str_of(list.at[i].name), &source, &err))
			return true;
		source->validator.generation = row->validator.generation;
		return !validator_equal(&source->validator, &row->validator);
	}
	return false;
}

static void print_original_json(struct list *l, struct arena *a, const struct original *o, const char *serves)
{
	cJSON *row = cJSON_CreateObject();
	add_text(row, "identifier", readable(a, o->identifier, IN_IDENTIFIERS));
	add_text(row, "url", readable(a, o->url, IN_URLS));
	add_text(row, "verdict", verdict_name(o->verdict));
	if (serves)
		add_text(row, "serves", readable(a, serves, IN_URLS));
	else
		add_number(row, "bytes", o->bytes);
	if (!serves) {
		add_text(row, "fetched", time_text(a, o->fetched_s));
		add_text(row, "checked", time_text(a, o->checked_s));
		add_text(row, "used", time_text(a, o->used_s));
	}
	print_json(row, l->n ? ",\n" : "", "");
}

static const char *or_dash(const char *text)
{
	return text && *text ? text : "-";
}

static void print_original(struct arena *a, const struct original *o, const char *serves)
{
	const char *identifier = or_dash(readable(a, o->identifier, IN_IDENTIFIERS));
	const char *url = or_dash(readable(a, o->url, IN_URLS));
	if (serves)
		printf("%s\t%s\t%s\t%s\n", identifier, url, verdict_name(o->verdict), readable(a, serves, IN_URLS));
	else
		printf("%s\t%s\t%llu\t%s\t%s\t%s\t%s\n", identifier, url, (unsigned long long)o->bytes,
		       or_dash(time_text(a, o->fetched_s)), or_dash(time_text(a, o->checked_s)),
		       or_dash(time_text(a, o->used_s)), verdict_name(o->verdict));
}

static bool list_row(void *with, const struct original *o)
{
	struct list *l = with;
	struct arena *a = arena_open();
	const struct candidate *serves = NULL;
	bool wanted;
	if (l->what == LIST_FALLBACK) {
		serves = is_bad(o->verdict) || o->verdict == VERDICT_MISSING ? find_fallback(l->c, a, o) : NULL;
		wanted = serves != NULL;
	} else if (l->what == LIST_DAMAGED) {
		wanted = is_bad(o->verdict) && !is_mended(l->c, a, o);
	} else {
		/* Of what was purged only the generation is kept. */
		wanted = o->bytes || o->verdict != VERDICT_NONE;
	}
	if (wanted) {
		if (l->c->json)
			print_original_json(l, a, o, serves ? serves->name : NULL);
		else
			print_original(a, o, serves ? serves->name : NULL);
		l->n++;
	}
	arena_close(a);
	return !ferror(stdout);
}

static int list(struct command *c)
{
	struct list l = {.c = c};
	bool damaged = take_flag(c, "--damaged"), fallback = take_flag(c, "--fallback");
	if (c->n || (damaged && fallback))
		return wrong_words("list [--damaged | --fallback] [--json]");
	l.what = damaged ? LIST_DAMAGED : fallback ? LIST_FALLBACK : LIST_ALL;
	if (c->json)
		printf("[");
	bool whole = cache_walk(c->cache, list_row, &l);
	if (c->json)
		printf("]\n");
	return whole ? end_output(0) : not_usable(c);
}

/* --- purge --- */

struct purge {
	const struct command *c;
	struct str *identifiers;
	size_t n;
	const char *prefix;            /* instead of identifiers; "" all */
	bool says_urls;
	uint64_t originals, answers;
	bool failed;                   /* it could not be noted */
	cJSON *urls;
};

static bool purge_row(void *with, const struct original *o)
{
	struct purge *p = with;
	if (!str_starts(str_of(o->identifier), str_of(p->prefix)))
		return true;
	p->originals++;
	p->failed |= !cache_purge(p->c->cache, o);
	return !p->failed;
}

/* All that the identifier may mean: which of them served is nobody's knowledge but the caches'. */
static bool purge_identifier(struct purge *p, struct str identifier)
{
	const struct command *c = p->c;
	struct candidates list;
	struct error err;
	if (!resolver_list(c->a, c->resolver, identifier, &list, &err)) {
		complain(readable(c->a, str_dup(c->a, identifier), IN_IDENTIFIERS), err.why);
		return false;
	}
	for (size_t i = 0; i < list.n; i++) {
		struct original o = {.url = list.at[i].name, .identifier = str_dup(c->a, identifier)};
		memcpy(o.key, list.at[i].key, sizeof o.key);
		p->originals++;
		p->failed |= !cache_purge(c->cache, &o);
	}
	return true;
}

static bool fits_purge(void *with, struct str identifier)
{
	const struct purge *p = with;
	if (p->prefix)
		return !*p->prefix || (identifier.at && str_starts(identifier, str_of(p->prefix)));
	for (size_t i = 0; i < p->n; i++)
		if (identifier.at && str_equal(identifier, p->identifiers[i]))
			return true;
	return false;
}

static void removed_answer(void *with, const char *url)
{
	struct purge *p = with;
	struct arena *a = arena_open();
	const char *text = readable(a, url, IN_URLS);
	p->answers++;
	if (p->urls)
		cJSON_AddItemToArray(p->urls, cJSON_CreateString(text));
	else if (p->says_urls)
		printf("%s\n", text);
	arena_close(a);
}

/* nginx's folder is its user's alone. */
static bool purge_answers(struct purge *p)
{
	const struct config *config = p->c->config;
	struct nginx_purge purge = {service_grammar(p->c->service), fits_purge, removed_answer, p};
	struct error err;
	uint64_t n;
	if (!*config->nginx_folder)
		return true;
	cache_act_as_root();
	bool ok = nginx_cache_purge(config->nginx_folder, &purge, &n, &err);
	if (!cache_act_as_owner(config))
		ok = false;
	else if (!ok)
		fprintf(stderr, "lorikeet: cache.nginx_folder %s: %s (it belongs to nginx's user: run this as root)\n",
			config->nginx_folder, err.why);
	return ok;
}

static bool purge_originals(struct purge *p)
{
	bool known = true;
	if (p->prefix && !cache_walk(p->c->cache, purge_row, p))
		p->failed = true;
	for (size_t i = 0; i < p->n; i++)
		known &= purge_identifier(p, p->identifiers[i]);
	if (p->failed && *p->c->config->cache_folder) {
		not_usable(p->c);
		return false;
	}
	if (p->failed)
		fprintf(stderr, "lorikeet: warning: cache.folder is not set: ETags stay as they are\n");
	return known;
}

static void print_purge(const struct purge *p)
{
	if (!p->c->json) {
		fprintf(p->says_urls ? stderr : stdout, "purged: %llu originals, %llu answers of nginx's cache\n",
			(unsigned long long)p->originals, (unsigned long long)p->answers);
		return;
	}
	cJSON *o = cJSON_CreateObject();
	add_number(o, "originals", p->originals);
	add_number(o, "answers", p->answers);
	if (p->urls)
		cJSON_AddItemToObject(o, "urls", p->urls);
	print_json(o, "", "\n");
}

/* As list writes it, or as it is in a URL. One with a % of its own that is no escape is taken as it is. */
static struct str identifier_of(struct arena *a, const char *word)
{
	struct str decoded;
	return percent_decode(a, str_of(word), &decoded) ? decoded : str_of(word);
}

static int purge(struct command *c)
{
	struct purge p = {.c = c, .says_urls = take_flag(c, "--urls")};
	const char *prefix = take_value(c, "--prefix");
	bool all = take_flag(c, "--all");
	if (has_flags_left(c) || (prefix != NULL) + all + (c->n > 0) != 1)
		return wrong_words("purge [--urls] [--json] IDENTIFIER... | --prefix P | --all");
	p.prefix = prefix ? str_dup(c->a, identifier_of(c->a, prefix)) : all ? "" : NULL;
	p.identifiers = arena_array(c->a, struct str, (size_t)c->n + 1);
	while (p.n < (size_t)c->n) {
		p.identifiers[p.n] = identifier_of(c->a, c->word[p.n]);
		p.n++;
	}
	p.urls = c->json && p.says_urls ? cJSON_CreateArray() : NULL;
	/* In this order: what is made anew must not be of the old. */
	bool forgotten = purge_originals(&p), removed = purge_answers(&p);
	print_purge(&p);
	return end_output(forgotten && removed ? 0 : 1);
}

/* --- verify --- */

struct findings {
	cJSON *list;                   /* of --json */
};

static void found(void *with, const char *key, const char *what)
{
	struct findings *f = with;
	if (!f->list) {
		printf("%s: %s\n", key, what);
		return;
	}
	cJSON *o = cJSON_CreateObject();
	add_text(o, "key", key);
	add_text(o, "what", what);
	cJSON_AddItemToArray(f->list, o);
}

static int verify(struct command *c)
{
	struct cache_verified v;
	struct findings f = {.list = c->json ? cJSON_CreateArray() : NULL};
	if (c->n)
		return wrong_words("verify [--json]");
	bool whole = cache_verify(c->cache, &v, found, &f);
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {{"files", v.files}, {"bytes", v.bytes}, {"damaged", v.damaged}, {"adopted", v.adopted},
		       {"gone", v.gone}};
	cJSON *o = c->json ? cJSON_CreateObject() : NULL;
	if (o)
		cJSON_AddItemToObject(o, "findings", f.list);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (o)
			add_number(o, numbers[i].name, numbers[i].value);
		else
			printf("%s: %llu\n", numbers[i].name, (unsigned long long)numbers[i].value);
	if (o)
		print_json(o, "", "\n");
	return whole ? end_output(v.damaged ? 1 : 0) : not_usable(c);
}

int command_cache(const struct config *config, const struct service *service, int n, char *const words[])
{
	static const struct {
		const char *name;
		int (*run)(struct command *c);
	} commands[] = {{"init", init}, {"stat", stat_cache}, {"list", list}, {"purge", purge}, {"verify", verify}};
	struct arena *a = arena_open();
	struct command c = {.config = config, .service = service, .resolver = service_resolver(service), .a = a};
	int status = -1;
	c.cache = c.resolver->cache;
	c.word = arena_array(a, const char *, (size_t)n + 1);
	for (; c.n < n - 1; c.n++)
		c.word[c.n] = words[c.n + 1];
	for (size_t i = 0; n && i < sizeof commands / sizeof *commands; i++)
		if (strcmp(words[0], commands[i].name) == 0) {
			c.json = commands[i].run != init && take_flag(&c, "--json");
			status = cache_act_as_owner(config) ? commands[i].run(&c) : 1;
		}
	arena_close(a);
	return status < 0 ? wrong_words("init | stat | list | purge | verify") : status;
}
