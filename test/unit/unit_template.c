/* SPDX-License-Identifier: BSD-2-Clause */
/* What becomes of an identifier by a rule's prefix, pattern and template (lib/source/template.h). */
#include "check.h"

#include "base/clock.h"
#include "source/template.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))
#define NFC "\xc3\xa9"
#define NFD "e\xcc\x81"
#define HUGE_BYTES 16384

static const struct template *make(struct arena *a, const struct template_options *o)
{
	struct error err = {0};
	const struct template *t = template_make(a, o, &err);
	if (!t)
		fail_msg("%s: %s", o->text, err.why);
	return t;
}

struct example {
	struct template_options options;
	struct str identifier;
	const char *name;               /* NULL: 404 */
};

static const struct example names[] = {
	{{"", "", "", "", false}, STR("a/b.tif"), "a/b.tif"},
	{{"", "", "", "{id}", false}, STR("a/b.tif"), "a/b.tif"},
	{{"lax:", "", "", "", false}, STR("lax:a"), "a"},
	{{"lax/", "", "", "", false}, STR("lax/a/b"), "a/b"},
	{{"lax/", "", "", "x/{id}.tif", false}, STR("lax/a"), "x/a.tif"},
	{{"", "", "", "{id}/{id}", false}, STR("a"), "a/a"},
	/* No encoding and no judgement here. */
	{{"", "", "", "", false}, STR("+ %20%" NFC NFD "//?#&\\../{id}\x01"), "+ %20%" NFC NFD "//?#&\\../{id}\x01"},
	{{"", "", "", "{{{id}}}", false}, STR("a"), "{a}"},
	{{"", "", "", "{{id}}", false}, STR("a"), "{id}"},
	{{"", "", "", "a}}b{{{{{id}", false}, STR("c"), "a}b{{c"},
	{{"", "", "", "fixed.tif", false}, STR("a"), "fixed.tif"},
	{{"one", "", "", "fixed.tif", false}, STR("one"), "fixed.tif"},
	{{"", "", "", "", false}, STR(""), NULL},
	{{"lax:", "", "", "", false}, STR("lax:"), NULL},
	/* Patterns. */
	{{"", "([a-z]+)([0-9]*)", "", "{1}/{2}.tif", false}, STR("ab12"), "ab/12.tif"},
	{{"", "([a-z]+)([0-9]*)", "", "{1}/{2}.tif", false}, STR("ab"), "ab/.tif"},
	{{"", "(a)|(b)", "", "{1}-{2}", false}, STR("b"), "-b"},
	{{"", "(?<vol>\\d+)_(?<page>\\d+)", "", "{vol}/{page}/{id}", false}, STR("12_3"), "12/3/12_3"},
	{{"", "(?<vol>\\d+)_(?<page>\\d+)", "", "{2}/{vol}/{02}", false}, STR("12_3"), "3/12/3"},
	{{"lax:", "(..)(.*)", "", "{1}/{id}", false}, STR("lax:abcd"), "ab/abcd"},
	{{"", "(.)(.*)", "", "{1}|{2}", false}, STR(NFC "x"), NFC "|x"},
	{{"", "(.)(.*)", "", "{1}|{2}", false}, STR("\xffx"), "\xff|x"},
	{{"", "(.)(.*)", "", "{1}|{2}", false}, STR("\xc3"), "\xc3|"},
	{{"", "a|(ab)", "", "{1}", false}, STR("ab"), "ab"},
	{{"", "(?i)(AB)", "", "{1}", false}, STR("ab"), "ab"},
	/* Delimiters. */
	{{"", "", "_", "{1}/{2}/{3}.tif", false}, STR("a_b_c"), "a/b/c.tif"},
	{{"", "", "_", "{3}{1}{3}{2}", false}, STR("a_b_c"), "cacb"},
	{{"", "", "--", "{1}/{2}", false}, STR("a-b--c"), "a-b/c"},
	{{"", "", "--", "{1}/{2}", false}, STR("a---c"), "a/-c"},
	{{"", "", "_", "{1}/{2}", false}, STR("_"), "/"},
	{{"", "", "_", "{1}/{2}", false}, STR("a_"), "a/"},
	{{"p:", "", ":", "{2}/{id}", false}, STR("p:a:b"), "b/a:b"},
	{{"", "", NFC, "{1}/{2}", false}, STR("a" NFC "b"), "a/b"},
	{{"", "", "_", "{1}/{2}", false}, STR("a"), NULL},
	{{"", "", "_", "{1}/{2}", false}, STR("a_b_c"), NULL},
	{{"", "", "_", "{1}", false}, STR("a_"), NULL},
	{{"", "", "_", "{2}", false}, STR(""), NULL},
	{{"", "", "_", "{id}", false}, STR("a_b_c"), "a_b_c"},
	{{"", "(?<all>.*)_.*", "_", "{all}/{2}", false}, STR("a_b"), "a/b"},
};

static const struct example urls[] = {
	{{"", "", "", "https://h/{id}", true}, STR("a/b.tif"), "https://h/a/b.tif"},
	{{"", "", "", "HTTPS://Ex.ORG:8080/Iiif/{id}", true}, STR("A"), "https://ex.org:8080/Iiif/A"},
	{{"", "", "", "http://[::1]:80/{id}", true}, STR("a"), "http://[::1]:80/a"},
	{{"", "", "", "https://h/fixed", true}, STR("a"), "https://h/fixed"},
	{{"", "", "", "https://h", true}, STR("a"), "https://h"},
	/* All bytes stay what they are. */
	{{"", "", "", "https://h/{id}", true}, STR("a+b c"), "https://h/a%2Bb%20c"},
	{{"", "", "", "https://h/{id}", true}, STR(NFC), "https://h/%C3%A9"},
	{{"", "", "", "https://h/{id}", true}, STR(NFD), "https://h/e%CC%81"},
	{{"", "", "", "https://h/{id}", true}, STR("\xff"), "https://h/%FF"},
	{{"", "", "", "https://h/{id}", true}, STR("100%"), "https://h/100%25"},
	{{"", "", "", "https://h/{id}", true}, STR("%2F"), "https://h/%252F"},
	{{"", "", "", "https://h/{id}", true}, STR("/a//b/"), "https://h//a//b/"},
	{{"", "", "", "https://h/{id}", true}, STR("a?b#c&d=e"), "https://h/a%3Fb%23c%26d%3De"},
	{{"", "", "", "https://h/{id}", true}, STR("{1}~-._!$'()*,;:@[]|^`\"<>"),
	 "https://h/%7B1%7D~-._%21%24%27%28%29%2A%2C%3B%3A%40%5B%5D%7C%5E%60%22%3C%3E"},
	{{"", "", "", "https://h/{id}", true}, STR("https://x/y"), "https://h/https%3A//x/y"},
	/* The query. */
	{{"", "", "", "https://h/x?f={id}&g=1", true}, STR("a/b&c=d?e+f"), "https://h/x?f=a%2Fb%26c%3Dd%3Fe%2Bf&g=1"},
	{{"", "", "", "https://h?{id}", true}, STR("a/b"), "https://h?a%2Fb"},
	{{"", "", "_", "https://h/{1}?f={2}", true}, STR("a/b?c_d/e"), "https://h/a/b%3Fc?f=d%2Fe"},
	/* What the template says. */
	{{"", "", "", "https://h/a%2Fb c" NFC "/100%/%zz/+!$&'()*,;=:@/{id}?x=a/b+c%20", true}, STR("i"),
	 "https://h/a%2Fb%20c%C3%A9/100%25/%25zz/+!$&'()*,;=:@/i?x=a/b+c%20"},
	{{"", "", "", "https://h/{{{id}}}", true}, STR("a"), "https://h/%7Ba%7D"},
	{{"", "", "", "https://h/%2{id}", true}, STR("f"), "https://h/%252f"},
	/* Parts that lead elsewhere. */
	{{"", "", "", "https://h/{id}", true}, STR(".."), NULL},
	{{"", "", "", "https://h/{id}", true}, STR("."), NULL},
	{{"", "", "", "https://h/{id}", true}, STR("a/../b"), NULL},
	{{"", "", "", "https://h/{id}", true}, STR("a/./b"), NULL},
	{{"", "", "", "https://h/{id}", true}, STR("../b"), NULL},
	{{"", "", "", "https://h/{id}", true}, STR("a/.."), NULL},
	{{"", "", "", "https://h/{id}", true}, STR("a/%2e%2E/b"), NULL},
	{{"", "", "", "https://h/x?f={id}", true}, STR("../b"), NULL},
	{{"", "", "", "https://h/{id}", true}, STR("..."), "https://h/..."},
	{{"", "", "", "https://h/{id}", true}, STR("a../..b/.c/d."), "https://h/a../..b/.c/d."},
	{{"", "", "_", "https://h/{1}.{2}/x", true}, STR("_"), NULL},
	{{"", "", "_", "https://h/{1}.{2}/x", true}, STR("a_"), "https://h/a./x"},
	{{"", "", "_", "https://h/{1}%2e{2}", true}, STR("_"), NULL},
	{{"", "(.?)(.?)", "", "https://h/.{1}/{2}", true}, STR(""), NULL},
	{{"", "", "_", "https://h/{1}", true}, STR("a_.."), NULL},
	{{"", "", "_", "https://h/{2}", true}, STR(".._a"), "https://h/a"},
	{{"", "", "", "https://h/{id}", true}, STR("a\0b"), NULL},
	{{"", "", "", "https://h/{id}", true}, STR("a\nb"), NULL},
	{{"", "", "", "https://h/{id}", true}, STR("a\x7f"), NULL},
	{{"", "", "", "https://h/{id}", true}, STR("a\\b"), NULL},
	{{"", "", "", "https://h/x?{id}", true}, STR("a\r\nb"), NULL},
	{{"", "", "", "https://h/{id}", true}, STR(""), NULL},
	{{"", "([a-z])(.*)", "", "https://h/{1}/{2}", true}, STR("a"), "https://h/a/"},
};

static const struct example open_urls[] = {
	{{"", "", "", "{id}", true}, STR("https://host/a/b.tif"), "https://host/a/b.tif"},
	{{"", "", "", "{id}", true}, STR("http://host"), "http://host"},
	{{"", "", "", "{id}", true}, STR("HTTP://Host.Example:8080/A"), "http://host.example:8080/A"},
	{{"url:", "", "", "{id}", true}, STR("url:https://host/a"), "https://host/a"},
	{{"", "", "", "{id}", true}, STR("https://[2001:db8::1]:443/a"), "https://[2001:db8::1]:443/a"},
	{{"", "", "", "{id}", true}, STR("https://host/a?b=/c+d%20&e?f"), "https://host/a?b=/c+d%20&e?f"},
	{{"", "", "", "{id}", true}, STR("https://host?b"), "https://host?b"},
	{{"", "", "", "{id}", true}, STR("https://host/a b/" NFC "/100%/%2F/[x]//y"),
	 "https://host/a%20b/%C3%A9/100%25/%2F/%5Bx%5D//y"},
	{{"", "", "", "{id}/full.jpg", true}, STR("https://host/a"), "https://host/a/full.jpg"},
	{{"", "(.*),(.*)", "", "{1}/{2}/c d", true}, STR("https://host/a,b?c"), "https://host/a/b%3Fc/c%20d"},
	{{"", "(.*),(.*)", "", "{1}/{2}", true}, STR("https://host/a?x=,b/c"), "https://host/a?x=/b%2Fc"},
	{{"", "", "", "{id}?w=1", true}, STR("https://host/a"), "https://host/a?w=1"},
	{{"", "", "", "{id}", true}, STR("https://1.2.3.4:65535/"), "https://1.2.3.4:65535/"},
	{{"", "", "", "{id}", true}, STR("https://host/a@b:c"), "https://host/a@b:c"},
	{{"", "", "", "{id}", true}, STR(""), NULL},
	{{"", "", "", "{id}", true}, STR("a/b.tif"), NULL},
	{{"", "", "", "{id}", true}, STR("//host/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https:/host/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https:host/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https:///a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://"), NULL},
	{{"", "", "", "{id}", true}, STR("https:"), NULL},
	{{"", "", "", "{id}", true}, STR(" https://host/a"), NULL},
	{{"", "", "", "{id}", true}, STR("ftp://host/a"), NULL},
	{{"", "", "", "{id}", true}, STR("file:///etc/passwd"), NULL},
	{{"", "", "", "{id}", true}, STR("httpss://host/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://user@host/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://user:word@host/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host:80@other/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host#@other/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host\\@other/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host/a#b"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host/a\tb"), NULL},
	{{"", "", "", "{id}", true}, STR("https://ho\0st/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://ho st/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://h%6fst/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://h" NFC "/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host\xe3\x80\x82x/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host:/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host:0/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host:65536/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host:99999999999999999999/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host:8x/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host:80:90/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://[::1/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://[]/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://[fe80::1%25eth0]/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://[::1]x/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://::1/a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host/../a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host/%2E./a"), NULL},
	{{"", "", "", "{id}", true}, STR("https://host/..?a"), NULL},
	{{"", "(.*),(.*)", "", "{1}{2}/c", true}, STR("https://host,@other"), NULL},
	{{"", "(.*),(.*)", "", "{1}{2}/c", true}, STR("https://host/.,."), NULL},
	{{"", "", "", "{id}@other/", true}, STR("https://host"), NULL},
};

static void check(const struct example *e, bool open)
{
	struct arena *a = arena_open();
	const struct template *t = make(a, &e->options);
	struct error err = {0};
	struct str name = {0};
	assert_int_equal(template_is_open(t), open);
	bool ok = template_fits(t, e->identifier) && template_fill(a, t, e->identifier, &name, &err);
	if (ok != (e->name != NULL) || (ok && !str_equal(name, str_of(e->name))))
		fail_msg("%s of %s: %.*s", e->options.text, e->identifier.at, (int)name.n, name.at);
	if (!ok && (err.status != 404 || err.reason != REASON_NOT_FOUND || !*err.say))
		fail_msg("%s of %s: %d %s", e->options.text, e->identifier.at, err.status, err.why);
	arena_close(a);
}

static void plain_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(names); i++)
		check(&names[i], false);
}

static void urls_of_a_host(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(urls); i++)
		check(&urls[i], false);
}

static void urls_that_identifiers_bring(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(open_urls); i++)
		check(&open_urls[i], true);
}

static void fitting(void **state)
{
	static const struct {
		const char *prefix, *pattern;
		struct str identifier;
		bool fits;
	} cases[] = {
		{"", "", STR(""), true},
		{"lax:", "", STR("lax:a"), true},
		{"lax:", "", STR("lax:"), true},
		{"lax:", "", STR("lax"), false},
		{"lax:", "", STR("LAX:a"), false},
		{"lax:", "", STR("xlax:a"), false},
		{"lax/", "", STR("lax:a"), false},
		{NFC, "", STR(NFC "a"), true},
		{NFC, "", STR(NFD "a"), false},
		{"", "a", STR("a"), true},
		{"", "a", STR("ab"), false},
		{"", "a", STR("ba"), false},
		{"", "a", STR("a\n"), false},
		{"", "a$", STR("a\n"), false},
		{"", "(?m)a$", STR("a\nb"), false},
		{"", "a|ab", STR("ab"), true},
		{"", "ab??", STR("ab"), true},
		{"", ".*", STR("a\nb"), false},
		{"", "(?s).*", STR("a\nb\0c"), true},
		{"", "", STR("\0"), true},
		{"", ".", STR(NFC), true},
		{"", ".", STR(NFD), false},
		{"", ".", STR("\xff"), true},
		{"", "..", STR("\xff\xc3"), true},
		{"", "\\p{L}+", STR("a" NFC), true},
		{"", "\\x{e9}", STR(NFC), true},
		{"", "\\x{20ac}", STR("\xe2\x82\xac"), true},
		{"", "\\x{20ac}", STR("\xff"), false},
		{"p", "", STR("p"), true},
		{"p", "a*", STR("p"), true},
		{"p", "a*", STR("paa"), true},
		{"p", "p*", STR("aa"), false},
		{"", "(?<n>a)\\k<n>", STR("aa"), true},
		{"", "^a$", STR("a"), true},
		{"", "(\\((?:[^()]|(?1))*\\))", STR("(a(b)c)"), true},
		{"", "(a)?(?(1)b|c)", STR("ab"), true},
		{"", "x*(*FAIL)", STR("x"), false},
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct arena *a = arena_open();
		const struct template *t =
			make(a, &(struct template_options){cases[i].prefix, cases[i].pattern, "", "x", false});
		struct error err = {0};
		struct str name;
		if (template_fits(t, cases[i].identifier) != cases[i].fits)
			fail_msg("%s%s and %s", cases[i].prefix, cases[i].pattern, cases[i].identifier.at);
		assert_int_equal(template_fill(a, t, cases[i].identifier, &name, &err), cases[i].fits);
		assert_true(cases[i].fits || err.status == 404);
		arena_close(a);
	}
}

static void rules_that_cannot_be(void **state)
{
	static const struct {
		struct template_options options;
		const char *why;
	} cases[] = {
		{{"", "(", "", "{id}", false}, "parenthesis"},
		{{"", "a{2,1}", "", "", false}, "quantifier"},
		{{"", "\xff", "", "", false}, "UTF-8"},
		{{"", "\\C", "", "", false}, "\\C"},
		{{"", "(?<n>a)(?<n>b)", "", "", false}, "name"},
		{{"", "", "", "{x}", false}, "unknown value: x"},
		{{"", "", "", "{ID}", false}, "unknown value: ID"},
		{{"", "", "", "{}", false}, "unknown value"},
		{{"", "", "", "{ id}", false}, "unknown value"},
		{{"", "", "", "{1}", false}, "unknown value: 1"},
		{{"", "(a)", "", "{0}", false}, "unknown value: 0"},
		{{"", "(a)", "", "{2}", false}, "unknown value: 2"},
		{{"", "(a)", "", "{-1}", false}, "unknown value: -1"},
		{{"", "(a)", "", "{1x}", false}, "unknown value: 1x"},
		{{"", "(a)", "", "{4294967297}", false}, "unknown value"},
		{{"", "(?<n>a)", "", "{m}", false}, "unknown value: m"},
		{{"", "", "_", "{0}", false}, "unknown value: 0"},
		{{"", "", "_", "{101}", false}, "unknown value: 101"},
		{{"", "", "_", "{4294967295}", false}, "unknown value"},
		{{"", "", "", "{id", false}, "brace"},
		{{"", "", "", "a{", false}, "brace"},
		{{"", "", "", "id}", false}, "brace"},
		{{"", "", "", "{id}}", false}, "brace"},
		{{"", "", "", "", true}, "must be given"},
		{{"", "", "", "/a/{id}", true}, "no http(s) URL"},
		{{"", "", "", "ftp://h/{id}", true}, "no http(s) URL"},
		{{"", "", "", "https://{id}", true}, "no http(s) URL"},
		{{"", "", "", "https://{id}/a", true}, "no http(s) URL"},
		{{"", "", "", "https://h{id}", true}, "no http(s) URL"},
		{{"", "", "", "https://h{id}/a", true}, "no http(s) URL"},
		{{"", "", "", "https://h:{id}/a", true}, "no http(s) URL"},
		{{"", "", "", "https://h:80{id}/a", true}, "no http(s) URL"},
		{{"", "", "", "http{id}://h/a", true}, "no http(s) URL"},
		{{"", "", "", "https://{id}@h/a", true}, "no http(s) URL"},
		{{"", "", "", "https://me@h/{id}", true}, "no http(s) URL"},
		{{"", "", "", "https://h:0/{id}", true}, "no http(s) URL"},
		{{"", "", "", "https://h" NFC "/{id}", true}, "no http(s) URL"},
		{{"", "", "", "https://h/{id}#x", true}, "fragment"},
		{{"", "", "", "https://h/a\n{id}", true}, "control byte"},
		{{"", "", "", "https://h\\{id}", true}, "backslash"},
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct arena *a = arena_open();
		struct error err = {0};
		const struct template *t = template_make(a, &cases[i].options, &err);
		if (t || err.status != 500 || err.reason != REASON_CONFIG || !strstr(err.why, cases[i].why))
			fail_msg("%s %s: %s", cases[i].options.pattern, cases[i].options.text, err.why);
		arena_close(a);
	}
}

static struct str huge(struct arena *a, const char *text, const char *end)
{
	size_t n = strlen(text);
	char *at = arena_alloc(a, HUGE_BYTES + 1);
	for (size_t i = 0; i < HUGE_BYTES; i++)
		at[i] = text[i % n];
	memcpy(at + HUGE_BYTES - strlen(end), end, strlen(end));
	return (struct str){at, HUGE_BYTES};
}

static void huge_identifiers(void **state)
{
	struct arena *a = arena_open();
	struct error err = {0};
	struct str name, id = huge(a, "\xff", "");
	(void)state;
	const struct template *t = make(a, &(struct template_options){"", "", "", "https://h/{id}", true});
	assert_true(template_fill(a, t, id, &name, &err));
	assert_int_equal(name.n, 10 + 3 * HUGE_BYTES);
	t = make(a, &(struct template_options){"", "", "", "https://h/{id}/{id}", true});
	assert_false(template_fill(a, t, id, &name, &err));
	assert_int_equal(err.status, 404);
	t = make(a, &(struct template_options){"", "(.*)", "", "{1}", false});
	assert_true(template_fill(a, t, id, &name, &err));
	assert_true(str_equal(name, id));
	arena_close(a);
}

/* What would take years ends soon, and does not fit. */
static void catastrophic_patterns(void **state)
{
	static const struct {
		const char *pattern, *text, *end;
	} cases[] = {
		{"(a+)+b", "a", "bc"},
		{"(a|aa)+", "a", "b"},
		{"(a*)*b", "a", "bc"},
		{"(.*)*x(.*)*y", "a", "xyb"},
		{"(x+x+)+y", "x", "yz"},
		{"(?:a*+b|a)*", "a", "c"},
		{"(?:a?){64}a{64}b", "a", "bc"},
		{"(.*)_(.*)_(.*)_(.*)#", "_", "#x"},
		{"((a)(?1)?)*b", "a", "bc"},
		{"(?:(?=.*b)a)*", "a", "bc"},
		{"(?:(?=a*+bc)a)*b", "a", "bc"},
		{"(?:(?=(?:[a-y]|" NFC ")*+z)" NFC "?a)*b", "a" NFC, "zbz"},
		{"(?:a(?=a*+(?:a*+a*+)*bc))*+b", "a", "bc"},
		{"(.*)\\1b", "a", "bc"},
		{"(?:(a*)\\1)*b", "a", "bc"},
		{"(?:(a*)(?!\\1b))*b", "a", "bc"},
		{"(?s)(.*)(?:.*x|.*y|.*z|.*q)(.*)b", "a", "bc"},
		{"(\\X)*\\X*\\X*b", "a", "bc"},
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		for (size_t n = 16; n <= HUGE_BYTES; n *= 4) {
			struct arena *a = arena_open();
			struct str id = huge(a, cases[i].text, cases[i].end);
			const struct template *t =
				make(a, &(struct template_options){"", cases[i].pattern, "", "{id}", false});
			id.at += id.n - n;
			id.n = n;
			int64_t began = clock_us();
			bool fits = template_fits(t, id);
			int64_t took = clock_us() - began;
			if (fits || (!SANITIZED && took > 50000))
				fail_msg("%s: %d after %lld us", cases[i].pattern, fits, (long long)took);
			arena_close(a);
		}
}

static void exchanging(void **state)
{
	static const struct {
		const char *name;
		bool is_url;
		const char *from, *to, *out;
	} cases[] = {
		{"a.tif", false, ".tif", ".jpg", "a.jpg"},
		{"a.TIF", false, ".tif", ".jpg", "a.jpg"},
		{"a.tif", false, ".TIF", ".JPG", "a.JPG"},
		{"a.tif.tif", false, ".tif", "", "a.tif"},
		{"a", false, "", ".tif", "a.tif"},
		{"a.tif", false, ".tiff", ".jpg", NULL},
		{"a.tif", false, ".jpg", ".tif", NULL},
		{"tif", false, ".tif", ".jpg", NULL},
		{".tif", false, ".tif", "x", "x"},
		{"a.tif?b", false, ".tif", ".jpg", NULL},
		{"a?b.tif", false, ".tif", ".jpg", "a?b.jpg"},
		{"a.tif", false, ".tif", " +" NFC, "a +" NFC},
		{"https://h/a.tif", true, ".tif", ".jpg", "https://h/a.jpg"},
		{"https://h/a.TIF?b=c.tif", true, ".tif", ".jpg", "https://h/a.jpg?b=c.tif"},
		{"https://h/a.tif?", true, ".tif", "-full.jpg", "https://h/a-full.jpg?"},
		{"https://h/a?b=c.tif", true, ".tif", ".jpg", NULL},
		{"https://h/a.tif", true, ".tif", " +" NFC, "https://h/a%20+%C3%A9"},
		{"https://h/a?b", true, "", ".jpg", "https://h/a.jpg?b"},
		{"https://h/.tif", true, ".tif", "x", "https://h/x"},
		{"https://h/a/...tif", true, ".tif", ".jpg", "https://h/a/...jpg"},
		{"https://h/a/...tif", true, ".tif", "", NULL},
		/* The host is no place for it. */
		{"https://h.tif", true, ".tif", ".jpg", NULL},
		{"https://h.tif?a", true, ".tif", ".jpg", NULL},
		{"https://h", true, "", ".jpg", NULL},
		{"https://h.tif/", true, ".tif/", ".jpg", NULL},
		{"https://h.tif/", true, "/", ".jpg", NULL},
		{"https://h:80/a.tif", true, "80/a.tif", "90", NULL},
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct arena *a = arena_open();
		struct str out = {0};
		bool ok = template_exchange(a, str_of(cases[i].name), cases[i].is_url, str_of(cases[i].from),
					    str_of(cases[i].to), &out);
		if (ok != (cases[i].out != NULL) || (ok && !str_equal(out, str_of(cases[i].out))))
			fail_msg("%s: %.*s", cases[i].name, (int)out.n, out.at);
		arena_close(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_names),
		cmocka_unit_test(urls_of_a_host),
		cmocka_unit_test(urls_that_identifiers_bring),
		cmocka_unit_test(fitting),
		cmocka_unit_test(rules_that_cannot_be),
		cmocka_unit_test(huge_identifiers),
		cmocka_unit_test(catastrophic_patterns),
		cmocka_unit_test(exchanging),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
