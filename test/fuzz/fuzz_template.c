/* SPDX-License-Identifier: BSD-2-Clause */
/* The input's first line is a template, what follows is an identifier. It is filled into that template
 * under several patterns, and into some that are fixed. */
#include "fuzz.h"

#include "source/template.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))
#define FIXED "https://host.example:8080/x/"

static const struct template_options fixed[] = {
	{"", "", "", FIXED "{id}", true},
	{"", "", "", FIXED "?f={id}", true},
	{"", "", "_", FIXED "{1}.{2}/{1}?{2}", true},
	{"", "(?<a>.)(.*)", "", FIXED "{a}{2}/{2}", true},
	{"", "(?:(a|b)+|(.+)_)*", "", FIXED "{1}/{2}", true},
	{"url:", "", "", "{id}", true},
	{"", "(.*),(.*)", "", "{1}/{2}?{2}", true},
	{"lax:", "", "", "", false},
};

static const struct template_options free_ones[] = {
	{"", "(?<name>[a-z]*)(.*)", "", NULL, true},
	{"", "(?<name>[a-z]*)(.*)", "", NULL, false},
	{"", "(?<name>\\pL*)\\W*(\\w*)", "/", NULL, true},
};

static void check_error(const struct error *err, int status, enum reason reason)
{
	must_hold(err->status == status && err->reason == reason, "%d: %s", err->status, err->why);
	must_hold(err->say && *err->say, "nothing to say");
}

static struct str behind(struct str s, struct str start)
{
	return (struct str){s.at + start.n, s.n - start.n};
}

/* Without user information, without parts that lead elsewhere, of bytes that need no further encoding. */
static void check_url(struct str url)
{
	struct str path, query, part;
	bool has_host = take_word(&url, STR("https://")) || take_word(&url, STR("http://"));
	must_hold(has_host, "another scheme");
	for (size_t i = 0; i < url.n; i++) {
		char c = url.at[i];
		must_hold(c > ' ' && c < 0x7f && !strchr("#\\\"<>^`{|}", c), "byte %d", c);
	}
	take_until(&url, '?', &path);
	take_until(&path, '/', &query);
	must_hold(query.n > 0 && !memchr(query.at, '@', query.n) && !memchr(query.at, '%', query.n), "a bad host");
	while (take_until(&path, '/', &part))
		must_hold(!str_equal(part, STR(".")) && !str_equal(part, STR("..")), "a part of dots");
}

/* All bytes of the identifier arrive. */
static void check_round_trip(struct arena *a, size_t i, struct str identifier, struct str url)
{
	struct str rest = behind(url, i == 0 ? STR(FIXED) : STR(FIXED "?f=")), back;
	must_hold(percent_decode(a, rest, &back) && str_equal(back, identifier), "other bytes");
}

static bool fill(struct arena *a, const struct template_options *o, struct str identifier, struct str *name)
{
	struct error err = {0};
	struct str other;
	const struct template *t = template_make(a, o, &err);
	if (!t) {
		check_error(&err, 500, REASON_CONFIG);
		return false;
	}
	bool fits = template_fits(t, identifier);
	if (!template_fill(a, t, identifier, name, &err)) {
		check_error(&err, 404, REASON_NOT_FOUND);
		return false;
	}
	must_hold(fits, "filled what does not fit");
	must_hold(!template_is_open(t) || o->is_url, "an open name");
	if (o->is_url)
		check_url(*name);
	if (template_exchange(a, *name, o->is_url, STR("a"), STR(""), &other) && o->is_url)
		check_url(other);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct arena *a = arena_open();
	struct str identifier = {(const char *)bytes, n}, line, name;
	const char *text = take_until(&identifier, '\n', &line) ? str_dup(a, line) : "";
	if (!identifier.at)
		identifier = STR("");
	for (size_t i = 0; i < LENGTH(fixed); i++) {
		if (!fill(a, &fixed[i], identifier, &name))
			continue;
		if (i < 5)
			must_hold(str_starts(name, STR(FIXED)), "another host");
		if (i < 2)
			check_round_trip(a, i, identifier, name);
	}
	for (size_t i = 0; i < LENGTH(free_ones); i++) {
		struct template_options o = free_ones[i];
		o.text = text;
		fill(a, &o, identifier, &name);
	}
	arena_close(a);
	return 0;
}
