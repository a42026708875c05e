/* SPDX-License-Identifier: BSD-2-Clause */
#include "resolver.h"

#define UNUSABLE "The description of this image cannot be used."

static bool open_with_suffixes(struct arena *a, const struct resolver_rule *rule, struct str rest,
			       struct resolved *r, struct error *err)
{
	r->name = str_dup(a, rest);
	if (file_source_open(a, &rule->file, rest, &r->source, err))
		return true;
	for (const char *const *s = rule->suffixes; err->status == 404 && s && *s; s++) {
		struct error again;
		char *name = arena_printf(a, "%.*s%s", (int)rest.n, rest.at, *s);
		if (file_source_open(a, &rule->file, str_of(name), &r->source, &again)) {
			r->name = name;
			return true;
		}
		if (again.status != 404)
			*err = again;
	}
	return false;
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

static bool read_sidecar(struct arena *a, const struct resolver_rule *rule, struct str rest,
			 struct resolved *r, struct error *err)
{
	struct source *s;
	char *name = arena_printf(a, "%s.json", r->name);
	if (!open_sidecar(a, rule, name, &s, err))
		return false;
	if (!s && !str_equal(rest, str_of(r->name))) {
		name = arena_printf(a, "%.*s.json", (int)rest.n, rest.at);
		if (!open_sidecar(a, rule, name, &s, err))
			return false;
	}
	if (!s)
		return true;
	size_t n = (size_t)s->validator.length;
	/* An empty one may be half written: limits that it will name must not fall away. */
	if (!n || s->validator.length > SIDECAR_MAX_BYTES)
		return fail(err, 500, REASON_CONFIG, UNUSABLE, "%s has %zu bytes, not 1 to %d", name, n, SIDECAR_MAX_BYTES);
	char *text = arena_alloc(a, n + 1);
	if (!source_read(s, text, n, 0, err))
		return false;
	r->sidecar = (struct str){text, n};
	r->sidecar_validator = s->validator;
	return true;
}

bool resolver_open(struct arena *a, const struct resolver_rule *rules, size_t n, struct str identifier,
		   struct resolved *r, struct error *err)
{
	*r = (struct resolved){.name = ""};
	for (; r->rule < n; r->rule++) {
		const struct resolver_rule *rule = &rules[r->rule];
		struct str prefix = str_of(rule->prefix);
		if (!str_starts(identifier, prefix))
			continue;
		struct str rest = {identifier.at + prefix.n, identifier.n - prefix.n};
		return open_with_suffixes(a, rule, rest, r, err) &&
		       (!rule->sidecars || read_sidecar(a, rule, rest, r, err));
	}
	return fail(err, 404, REASON_NOT_FOUND, "There is no image with this identifier.",
		    "no rule for this identifier");
}
