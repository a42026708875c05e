/* SPDX-License-Identifier: BSD-2-Clause */
#include "resolver.h"

#include <time.h>

#include "../base/hash.h"
#include "../base/metrics.h"

#define UNUSABLE "The description of this image cannot be used."
#define NOT_FOUND "There is no image with this identifier."
#define CLAIM_S 10
#define DEADLY_S 3600
#define MAX_CANDIDATES 64
#define DEADLY_STRIKES 2

/* --- candidates --- */

bool rule_fits(const struct resolver_rule *rule, struct str identifier)
{
	return rule->template ? template_fits(rule->template, identifier)
			      : str_starts(identifier, str_of(rule->prefix));
}

static bool is_allowed_host(const struct resolver_rule *rule, struct str url)
{
	struct str host = http_host(url);
	const char *colon = host.n ? memrchr(host.at, ':', host.n) : NULL;
	struct str name = colon && !memchr(colon, ']', (size_t)(host.at + host.n - colon))
				  ? (struct str){host.at, (size_t)(colon - host.at)} : host;
	for (const char *const *allowed = rule->allowed_hosts; allowed && *allowed; allowed++) {
		struct str end = str_of(*allowed);
		if (str_equal_nocase(host, end) || str_equal_nocase(name, end))
			return true;
		if (*end.at == '.' && name.n > end.n &&
		    str_equal_nocase((struct str){name.at + name.n - end.n, end.n}, end))
			return true;
	}
	return false;
}

static bool has_dot_parts(struct str name)
{
	struct str part;
	while (take_until(&name, '/', &part))
		if (str_equal(part, STR(".")) || str_equal(part, STR("..")))
			return true;
	return false;
}

static void add(struct arena *a, const struct resolver_rule *rule, struct candidates *list, struct str name,
		bool is_fallback)
{
	if (list->n == MAX_CANDIDATES)
		return;
	struct candidate *c = &list->at[list->n++];
	struct str where;
	c->is_fallback = is_fallback;
	if (rule->type == RULE_S3)
		c->name = s3_url(a, rule->endpoint, rule->region, rule->bucket, rule->path_style, name);
	else
		c->name = str_dup(a, name);
	where = rule->type == RULE_FILE ? str_of(arena_printf(a, "file:%s/%s", rule->file.root, c->name))
					: str_of(c->name);
	cache_key(where, str_of(rule->account ? rule->account : ""), c->key);
}

bool resolver_list(struct arena *a, const struct resolver *r, struct str identifier, struct candidates *list,
		   struct error *err)
{
	*list = (struct candidates){.bare = "", .at = arena_array(a, struct candidate, MAX_CANDIDATES)};
	while (list->rule < r->n_rules && !rule_fits(&r->rules[list->rule], identifier))
		list->rule++;
	if (list->rule == r->n_rules)
		return fail(err, 404, REASON_NOT_FOUND, NOT_FOUND, "no rule for this identifier");

	const struct resolver_rule *rule = &r->rules[list->rule];
	bool is_url = rule->type == RULE_HTTP;
	size_t prefix = strlen(rule->prefix);
	struct str name = {identifier.at + prefix, identifier.n - prefix}, other;
	if (rule->template && !template_fill(a, rule->template, identifier, &name, err))
		return false;
	list->bare = str_dup(a, name);
	if (rule->type == RULE_S3 && (!name.n || memchr(name.at, '\0', name.n) || has_dot_parts(name)))
		return fail(err, 404, REASON_NOT_FOUND, NOT_FOUND, "no key of an object");
	if (is_url && rule->template && template_is_open(rule->template) && !is_allowed_host(rule, name))
		return fail(err, 404, REASON_FORBIDDEN, NOT_FOUND, "a host that is not among allowed_hosts");
	struct str whole[MAX_CANDIDATES] = {name};
	size_t n = 1;
	for (const char *const *s = rule->suffixes; s && *s && n < MAX_CANDIDATES; s++)
		n += template_exchange(a, name, is_url, STR(""), str_of(*s), &whole[n]);
	for (size_t i = 0; i < n; i++)
		add(a, rule, list, whole[i], false);
	for (size_t f = 0; f < rule->n_fallbacks; f++)
		for (size_t i = 0; i < n; i++)
			if (template_exchange(a, whole[i], is_url, rule->fallbacks[f].from, rule->fallbacks[f].to,
					      &other))
				add(a, rule, list, other, true);
	return true;
}

/* --- verdicts --- */

enum verdict verdict_of(const struct error *err)
{
	switch (err->reason) {
	case REASON_NOT_FOUND:
		return VERDICT_MISSING;
	case REASON_DAMAGED:
		return VERDICT_DAMAGED;
	case REASON_UNSUPPORTED:
		return err->status == 501 ? VERDICT_UNSUPPORTED : VERDICT_NONE;
	case REASON_TOO_LARGE:
		return VERDICT_TOO_LARGE;
	default:
		return VERDICT_NONE;
	}
}

bool verdict_fail(enum verdict verdict, int status, struct error *err)
{
	switch (verdict) {
	case VERDICT_MISSING:
		return fail(err, 404, REASON_NOT_FOUND, NOT_FOUND, "known to be missing");
	case VERDICT_DAMAGED:
		return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "known to be damaged");
	case VERDICT_UNSUPPORTED:
		return fail(err, 501, REASON_UNSUPPORTED, "Images of this kind are not decoded here.",
			    "known to be unsupported");
	case VERDICT_TOO_LARGE:
		return fail(err, 413, REASON_TOO_LARGE, "The image is larger than the server allows.",
			    "known to be too large");
	case VERDICT_DEADLY:
		return fail(err, 500, REASON_DAMAGED, "The image is damaged.",
			    "it ended a worker: refused for an hour");
	default:
		return fail(err, status, status == 504 ? REASON_TIMEOUT : REASON_ORIGIN,
			    "The image cannot be fetched now.", "the origin failed a moment ago");
	}
}

bool verdict_counts(const struct original *o, const struct validator *validator)
{
	return o->verdict > VERDICT_GOOD && (!o->until_s || time(NULL) < o->until_s) &&
	       validator_equal(&o->validator, validator);
}

void resolver_judge(const struct resolver *r, const struct resolved *resolved, struct str identifier,
		    enum verdict verdict, unsigned strikes)
{
	if (!r->cache)
		return;
	struct arena *a = arena_open();
	struct original o = {
		.url = resolved->candidate.name,
		.identifier = str_dup(a, identifier),
		.validator = resolved->validator,
		.verdict = verdict,
		.strikes = strikes,
		.etag = resolved->known.etag,
		.last_modified = resolved->known.last_modified,
		.until_s = verdict == VERDICT_DEADLY ? time(NULL) + DEADLY_S : 0,
		.temporary = resolved->known.temporary,
	};
	memcpy(o.key, resolved->candidate.key, sizeof o.key);
	cache_judge(r->cache, &o);
	arena_close(a);
}

static void count_strikes(void *with, uint64_t original, bool certain)
{
	(void)original;
	*(unsigned *)with += certain ? DEADLY_STRIKES : 1;
}

bool resolver_survive(const struct resolver *resolver, struct resolved *r, struct str identifier, struct error *err)
{
	uint64_t original = hash_64(str_of(r->candidate.key));
	unsigned strikes = r->known.strikes, before = strikes;
	metrics_crashes(original, count_strikes, &strikes);
	if (strikes >= DEADLY_STRIKES) {
		resolver_judge(resolver, r, identifier, VERDICT_DEADLY, strikes);
		return verdict_fail(VERDICT_DEADLY, 0, err);
	}
	if (strikes > before)
		resolver_judge(resolver, r, identifier, r->known.verdict, strikes);
	r->known.strikes = strikes;
	metrics_mark(MARK_DECODE, original, 0);
	return true;
}

bool rule_is_fresh(const struct resolver_rule *rule, const struct original *o)
{
	int64_t age = time(NULL) - o->checked_s;
	return rule->immutable || (age >= 0 && age < rule->revalidate_after_s);
}

void verdict_tell(struct error *told, const struct error *err)
{
	if (!told->status || (told->status == 404 && err->status != 404))
		*told = *err;
}

/* --- opening --- */

/* What trying one candidate came to: it is open; the next may be tried; it is to be fetched; no other may serve. */
enum outcome { OPENED, NEXT, WANTED, STOP };

struct attempt {
	struct arena *a;
	const struct resolver *resolver;
	const struct resolver_rule *rule;
	const struct resolver_wish *wish;
	struct resolved *r;
	bool is_first;
};

/* A verdict counts where something else may serve; one that is deadly always. */
static bool is_refused(const struct attempt *t, const struct validator *validator, struct error *err)
{
	const struct original *o = &t->r->known;
	if (!*o->key || o->verdict == VERDICT_FAILED || !verdict_counts(o, validator) ||
	    (o->verdict != VERDICT_DEADLY && !t->rule->n_fallbacks))
		return false;
	verdict_fail(o->verdict, o->status, err);
	return true;
}

static bool wants_verification(const struct attempt *t)
{
	const struct original *o = &t->r->known;
	bool judged = *o->key && o->verdict != VERDICT_NONE && validator_equal(&o->validator, &t->r->validator);
	return t->rule->verify && t->is_first && !t->wish->was_fetched && !judged && t->resolver->cache;
}

static enum outcome try_file(struct attempt *t, struct error *err)
{
	struct resolved *r = t->r;
	r->name = r->candidate.name;
	if (!file_source_open_known(t->a, &t->rule->file, str_of(r->name), &r->source, err))
		return err->status == 404 ? NEXT : STOP;
	r->validator = r->source->validator;
	r->modified_s = r->validator.modified_s;
	if (!t->resolver->cache || !cache_find_learnt(t->resolver->cache, t->a, r->candidate.key, &r->known))
		r->known = (struct original){0};
	/* A purge made it another state, for a file too. */
	r->validator.generation = r->source->validator.generation = r->known.validator.generation;
	bool refused = is_refused(t, &r->validator, err);
	/* What is said of the state that was assumed may be long mended. */
	struct error changed;
	if (refused && r->source->is_assumed && !source_is_steady(r->source, &changed))
		return try_file(t, err);
	if (refused)
		return NEXT;
	return wants_verification(t) ? WANTED : OPENED;
}

static enum outcome open_cached(struct attempt *t, struct error *err)
{
	struct resolved *r = t->r;
	r->validator = r->known.validator;
	r->modified_s = r->known.validator.modified_s;
	if (is_refused(t, &r->validator, err))
		return NEXT;
	if (wants_verification(t))
		return WANTED;
	if (t->wish->facts_suffice && r->known.facts.n)
		return OPENED;
	if (!cache_open_file(t->resolver->cache, t->a, &r->known, &r->source))
		return WANTED;
	r->validator = r->source->validator;
	r->modified_s = r->validator.modified_s;
	return OPENED;
}

static enum outcome try_cached(struct attempt *t, struct error *err)
{
	struct resolved *r = t->r;
	struct cache *cache = t->resolver->cache;
	int64_t now = time(NULL);
	struct str url = str_of(r->candidate.name), path;
	take_until(&url, '?', &path);
	r->name = str_dup(t->a, path);
	r->known = (struct original){0};
	bool (*find)(struct cache *, struct arena *, const char *, struct original *) =
		t->wish->was_fetched ? cache_find_stored : cache_find;
	if (!cache || !find(cache, t->a, r->candidate.key, &r->known))
		return WANTED;
	const struct original *o = &r->known;
	if (o->verdict == VERDICT_MISSING && now < o->until_s) {
		verdict_fail(VERDICT_MISSING, 0, err);
		return NEXT;
	}
	bool stored = o->bytes || (t->wish->facts_suffice && o->facts.n);
	int64_t age = now - o->checked_s;
	if (!stored)
		return is_refused(t, &o->validator, err) ? NEXT : WANTED;
	if (rule_is_fresh(t->rule, o))
		return open_cached(t, err);
	if (!o->bytes)
		return WANTED;
	r->is_stale = true;
	/* One request has it asked after; it and all others get what is there. */
	bool usable = t->wish->was_fetched || (age < t->rule->stale_if_error_s && !cache_claim(cache, o->key, CLAIM_S));
	return usable ? open_cached(t, err) : WANTED;
}

/* Opens the sidecar; *s is NULL where there is none. One that is there and cannot be read is an error. */
static bool open_sidecar(struct arena *a, const struct resolver_rule *rule, const char *name, struct source **s,
			 struct error *err)
{
	*s = NULL;
	if (file_source_open(a, &rule->file, str_of(name), s, err))
		return true;
	if (err->reason == REASON_FORBIDDEN)
		return fail(err, 500, REASON_CONFIG, UNUSABLE, "%s is a link that may not be followed", name);
	return err->status == 404;
}

static bool read_sidecar(struct arena *a, const struct resolver_rule *rule, const char *bare, struct resolved *r,
			 struct error *err)
{
	struct source *s;
	char *name = arena_printf(a, "%s.json", r->name);
	if (!open_sidecar(a, rule, name, &s, err))
		return false;
	if (!s && strcmp(bare, r->name) != 0) {
		name = arena_printf(a, "%s.json", bare);
		if (!open_sidecar(a, rule, name, &s, err))
			return false;
	}
	if (!s)
		return true;
	size_t n = (size_t)s->validator.length;
	/* An empty one may be half written: limits that it will name must not fall away. */
	if (!n || s->validator.length > SIDECAR_MAX_BYTES)
		return fail(err, 500, REASON_CONFIG, UNUSABLE, "%s has %zu bytes, not 1 to %d", name, n,
			    SIDECAR_MAX_BYTES);
	char *text = arena_alloc(a, n + 1);
	if (!source_read(s, text, n, 0, err))
		return false;
	r->sidecar = (struct str){text, n};
	r->sidecar_validator = s->validator;
	return true;
}

bool resolver_open(struct arena *a, const struct resolver *resolver, const struct resolver_wish *wish,
		   struct resolved *r, struct error *err)
{
	struct candidates list;
	*r = (struct resolved){.name = ""};
	bool listed = resolver_list(a, resolver, wish->identifier, &list, err);
	r->rule = list.rule;
	r->name = list.bare;
	if (!listed)
		return false;

	struct attempt t = {a, resolver, &resolver->rules[list.rule], wish, r, true};
	struct error first = {0};
	for (size_t i = wish->skip; i < list.n; i++) {
		r->candidate = list.at[i];
		r->index = i;
		t.is_first = i == 0;
		r->has_next = i + 1 < list.n;
		switch (t.rule->type == RULE_FILE ? try_file(&t, err) : try_cached(&t, err)) {
		case OPENED:
			return !(t.rule->sidecars && t.rule->type == RULE_FILE) ||
			       read_sidecar(a, t.rule, list.bare, r, err);
		case WANTED:
			r->wants_fetch = true;
			return fail(err, 503, REASON_BUSY, "The image is not here yet, please try again.",
				    "to be fetched");
		case STOP:
			return false;
		case NEXT:
			verdict_tell(&first, err);
		}
	}
	r->name = list.bare;
	*err = first;
	return first.status ? false : verdict_fail(VERDICT_MISSING, 0, err);
}
