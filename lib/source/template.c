/* SPDX-License-Identifier: BSD-2-Clause */
#include "template.h"

#include <ctype.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define OUT_MAX_BYTES 65536
#define PIECES_MAX 100
#define MISCONFIGURED "The server is not configured rightly."
/*
 * What a match may cost: so many steps back, each of which may look at all of the identifier, and this much memory. The
 * longer an identifier, the fewer steps.
 */
#define MATCH_BUDGET 10000000
#define MATCH_STEPS_MAX 50000
#define MATCH_HEAP_KB 2048
#define COMPILE_OPTIONS (PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C)

enum part_kind { PART_LITERAL, PART_ID, PART_GROUP, PART_PIECE };

struct part {
	enum part_kind kind;
	uint32_t number;                /* of a group or piece */
	struct str text;                /* of a literal, as it is written out */
};

struct template {
	struct str prefix, delimiter;
	/* The same pattern twice: on identifiers that are UTF-8 characters count, on others bytes do. */
	pcre2_code *pattern, *bytes_pattern;
	struct part *parts;
	size_t n;
	uint32_t pieces;                /* the highest number of one, 0 if none is used */
	bool is_url, is_open;
};

static bool wrong(struct error *err, const char *why, struct str what)
{
	return fail(err, 500, REASON_CONFIG, MISCONFIGURED, "%s: %.*s", why, (int)what.n, what.at);
}

static bool not_found(struct error *err, const char *why)
{
	return fail(err, 404, REASON_NOT_FOUND, "There is no image with this identifier.", "%s", why);
}

static bool take_word_nocase(struct str *s, struct str word)
{
	struct str start = {s->at, word.n};
	if (s->n < word.n || !str_equal_nocase(start, word))
		return false;
	s->at += word.n;
	s->n -= word.n;
	return true;
}

/* Neither characters beyond ASCII nor escapes: who maps them would ask another host than the one that was judged. */
static bool take_host(struct str *s)
{
	size_t n = 0;
	bool brackets = take_char(s, '[');
	while (n < s->n && (brackets ? isxdigit((unsigned char)s->at[n]) || (s->at[n] && strchr(":.", s->at[n]))
				     : isalnum((unsigned char)s->at[n]) || (s->at[n] && strchr("-._", s->at[n]))))
		n++;
	s->at += n;
	s->n -= n;
	return n && (!brackets || take_char(s, ']'));
}

/* Scheme, host and port, with nothing but a path, a query or the end behind them. */
static bool take_origin(struct str *s)
{
	struct str rest = *s;
	uint64_t port = 1;
	if (!(take_word_nocase(&rest, STR("https://")) || take_word_nocase(&rest, STR("http://"))) || !take_host(&rest))
		return false;
	if (take_char(&rest, ':') && !take_uint(&rest, 65536, &port))
		return false;
	if (port == 0 || port > 65535 || (rest.n && rest.at[0] != '/' && rest.at[0] != '?'))
		return false;
	*s = rest;
	return true;
}

static bool is_escape(struct str s)
{
	return s.n >= 3 && s.at[0] == '%' && isxdigit((unsigned char)s.at[1]) && isxdigit((unsigned char)s.at[2]);
}

/* Path and query as somebody wrote them: what is legal there, escapes too, stays. */
static void put_written(struct buf *b, struct str s)
{
	for (; s.n; s.at++, s.n--) {
		if (*s.at == '?')
			buf_text(b, "?");
		else if (*s.at == '%' && !is_escape(s))
			buf_text(b, "%25");
		else
			buf_uri_text(b, (struct str){s.at, 1});
	}
}

/* The same from the scheme on. False if it does not begin with scheme and host. */
static bool put_url(struct buf *b, struct str s)
{
	struct str rest = s;
	if (!take_origin(&rest))
		return false;
	for (; s.at < rest.at; s.at++) {
		char c = (char)tolower((unsigned char)*s.at);
		buf_write(b, &c, 1);
	}
	put_written(b, rest);
	return true;
}

static void put_value(struct buf *b, struct str s)
{
	struct str part;
	if (b->n && memchr(b->at, '?', b->n)) {
		buf_uri_segment(b, s);
		return;
	}
	while (take_until(&s, '/', &part)) {
		buf_uri_segment(b, part);
		if (s.at)
			buf_text(b, "/");
	}
}

static bool has_control_or(struct str s, const char *others)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.at[i];
		if (c < ' ' || c == 0x7f || strchr(others, c))
			return true;
	}
	return false;
}

/* "." and "..", also where a server would read them so. */
static bool has_dots(struct str path)
{
	struct str part;
	while (take_until(&path, '/', &part)) {
		int dots = 0;
		while (take_char(&part, '.') || take_word_nocase(&part, STR("%2e")))
			dots++;
		if (part.n == 0 && (dots == 1 || dots == 2))
			return true;
	}
	return false;
}

static void free_code(void *code)
{
	pcre2_code_free(code);
}

static pcre2_code *compile(struct arena *a, struct str pattern, uint32_t options, struct error *err)
{
	PCRE2_UCHAR why[120];
	int code;
	size_t offset;
	pcre2_code *compiled =
		pcre2_compile((PCRE2_SPTR)pattern.at, pattern.n, COMPILE_OPTIONS | options, &code, &offset, NULL);
	if (compiled) {
		arena_defer(a, free_code, compiled);
	} else {
		pcre2_get_error_message(code, why, sizeof why);
		fail(err, 500, REASON_CONFIG, MISCONFIGURED, "%s at byte %zu of the pattern: %s", (const char *)why,
		     offset, pattern.at);
	}
	return compiled;
}

static bool compile_pattern(struct arena *a, struct template *t, const char *pattern, struct error *err)
{
	struct error ignored;
	if (!*pattern)
		return true;
	t->pattern = compile(a, str_of(pattern), PCRE2_UTF, err);
	/* NULL for a pattern of characters that no byte can be: then such identifiers do not fit. */
	t->bytes_pattern = compile(a, str_of(pattern), 0, &ignored);
	return t->pattern != NULL;
}

static uint32_t group_count(const struct template *t)
{
	uint32_t n = 0;
	if (t->pattern)
		pcre2_pattern_info(t->pattern, PCRE2_INFO_CAPTURECOUNT, &n);
	return n;
}

/* What stands between braces. */
static bool read_value(struct arena *a, struct template *t, struct str name, struct part *p, struct error *err)
{
	struct str digits = name;
	uint64_t number;
	if (str_equal(name, STR("id"))) {
		p->kind = PART_ID;
		return true;
	}
	if (take_uint(&digits, UINT32_MAX, &number) && digits.n == 0) {
		p->kind = t->delimiter.n ? PART_PIECE : PART_GROUP;
		p->number = (uint32_t)number;
		if (p->kind == PART_PIECE && p->number > t->pieces)
			t->pieces = p->number;
		uint32_t most = p->kind == PART_PIECE ? PIECES_MAX : group_count(t);
		return (number > 0 && number <= most) || wrong(err, "an unknown value", name);
	}
	int group = t->pattern ? pcre2_substring_number_from_name(t->pattern, (PCRE2_SPTR)str_dup(a, name)) : -1;
	p->kind = PART_GROUP;
	p->number = (uint32_t)group;
	return group > 0 || wrong(err, "an unknown value", name);
}

static bool read_literal(struct arena *a, struct str *rest, struct part *p, struct error *err)
{
	struct buf *b = buf_open(a, rest->n);
	while (rest->n) {
		bool brace = take_word(rest, STR("{{")) || take_word(rest, STR("}}"));
		if (!brace && rest->at[0] == '{')
			break;
		if (!brace && rest->at[0] == '}')
			return wrong(err, "a brace without its other", *rest);
		buf_write(b, rest->at - brace, 1);
		rest->at += !brace;
		rest->n -= !brace;
	}
	p->kind = PART_LITERAL;
	p->text = buf_view(b);
	return !b->failed || wrong(err, "no memory for a template", *rest);
}

static bool read_text(struct arena *a, struct template *t, struct str text, struct error *err)
{
	struct str name;
	t->parts = arena_array(a, struct part, text.n);
	while (text.n) {
		struct part *p = &t->parts[t->n++];
		bool is_value = !str_starts(text, STR("{{")) && take_char(&text, '{');
		if (is_value && !memchr(text.at, '}', text.n))
			return wrong(err, "a brace without its other", text);
		if (is_value)
			take_until(&text, '}', &name);
		if (!(is_value ? read_value(a, t, name, p, err) : read_literal(a, &text, p, err)))
			return false;
	}
	return true;
}

/* Literals get the form in which they are written out; the first has scheme and host, all of both. */
static bool make_url(struct arena *a, struct template *t, struct error *err)
{
	t->is_open = t->parts[0].kind != PART_LITERAL;
	for (size_t i = 0; i < t->n; i++) {
		struct part *p = &t->parts[i];
		struct buf *b = buf_open(a, OUT_MAX_BYTES);
		struct str rest = p->text;
		if (p->kind != PART_LITERAL)
			continue;
		if (has_control_or(p->text, "\\#"))
			return wrong(err, "a fragment, backslash or control byte in a URL", p->text);
		if (i == 0 && (!take_origin(&rest) || (rest.n == 0 && t->n > 1)))
			return wrong(err, "no http(s) URL with host and port written out", p->text);
		if (i == 0)
			put_url(b, p->text);
		else
			put_written(b, p->text);
		p->text = buf_view(b);
		if (b->failed)
			return wrong(err, "too long a URL", p->text);
	}
	return true;
}

const struct template *template_make(struct arena *a, const struct template_options *options, struct error *err)
{
	struct template *t = arena_new(a, struct template);
	const char *text = *options->text || options->is_url ? options->text : "{id}";
	t->prefix = (struct str){str_dup(a, str_of(options->prefix)), strlen(options->prefix)};
	t->delimiter = (struct str){str_dup(a, str_of(options->delimiter)), strlen(options->delimiter)};
	t->is_url = options->is_url;
	if (!*text) {
		wrong(err, "a URL must be given", str_of(text));
		return NULL;
	}
	bool ok = compile_pattern(a, t, options->pattern, err) && read_text(a, t, str_of(text), err) &&
		  (!t->is_url || make_url(a, t, err));
	return ok ? t : NULL;
}

bool template_is_open(const struct template *t)
{
	return t->is_open;
}

static void free_match(void *match)
{
	pcre2_match_data_free(match);
}

/* NULL: it does not fit, or to find out would cost too much. */
static pcre2_match_data *match(const struct template *t, struct str id)
{
	const pcre2_code *code = str_is_utf8(id) ? t->pattern : t->bytes_pattern;
	pcre2_match_data *data = code ? pcre2_match_data_create_from_pattern(code, NULL) : NULL;
	pcre2_match_context *context = data ? pcre2_match_context_create(NULL) : NULL;
	int found = PCRE2_ERROR_NOMEMORY;
	if (context) {
		size_t steps = MATCH_BUDGET / (id.n + 1);
		pcre2_set_match_limit(context, (uint32_t)(steps < MATCH_STEPS_MAX ? steps : MATCH_STEPS_MAX));
		pcre2_set_depth_limit(context, MATCH_STEPS_MAX);
		pcre2_set_heap_limit(context, MATCH_HEAP_KB);
		found = pcre2_match(code, (PCRE2_SPTR)id.at, id.n, 0, PCRE2_NO_UTF_CHECK, data, context);
		pcre2_match_context_free(context);
	}
	if (found > 0)
		return data;
	pcre2_match_data_free(data);
	return NULL;
}

bool template_fits(const struct template *t, struct str identifier)
{
	if (!take_word(&identifier, t->prefix))
		return false;
	if (!t->pattern)
		return true;
	pcre2_match_data *data = match(t, identifier);
	pcre2_match_data_free(data);
	return data != NULL;
}

static size_t length_to(struct str s, struct str delimiter)
{
	const char *end = s.n ? memmem(s.at, s.n, delimiter.at, delimiter.n) : NULL;
	return end ? (size_t)(end - s.at) : s.n;
}

/* The pieces of id, as many as the template names. */
static bool split(const struct template *t, struct str id, struct str *pieces, struct error *err)
{
	for (uint32_t i = 0; i < t->pieces; i++) {
		pieces[i] = (struct str){id.at, length_to(id, t->delimiter)};
		bool more = pieces[i].n < id.n;
		if (more != (i + 1 < t->pieces))
			return not_found(err, more ? "too many pieces" : "too few pieces");
		id.at += pieces[i].n + (more ? t->delimiter.n : 0);
		id.n -= pieces[i].n + (more ? t->delimiter.n : 0);
	}
	return true;
}

static bool is_sound_url(struct str url, struct error *err)
{
	if (!take_origin(&url))
		return not_found(err, "no absolute http(s) URL of scheme, host and port");
	const char *query = url.n ? memchr(url.at, '?', url.n) : NULL;
	if (query)
		url.n = (size_t)(query - url.at);
	return !has_dots(url) || not_found(err, "a part . or .. in a URL");
}

static bool put_part(const struct template *t, bool first, struct str value, struct buf *b, struct error *err)
{
	if (!t->is_url) {
		buf_str(b, value);
		return true;
	}
	bool brings_url = first && t->is_open;
	if (has_control_or(value, brings_url ? "\\#" : "\\") || has_dots(value))
		return not_found(err, "a part . or .., a fragment, a backslash or a control byte in a value of a URL");
	if (brings_url)
		return put_url(b, value) || not_found(err, "no absolute http(s) URL of scheme, host and port");
	put_value(b, value);
	return true;
}

/* A group that took no part in the match is empty. */
static struct str group_of(pcre2_match_data *data, struct str id, uint32_t number)
{
	const size_t *ends = pcre2_get_ovector_pointer(data);
	size_t from = ends[2 * number], to = ends[2 * number + 1];
	return from == PCRE2_UNSET || to < from ? STR("") : (struct str){id.at + from, to - from};
}

bool template_fill(struct arena *a, const struct template *t, struct str identifier, struct str *name,
		   struct error *err)
{
	struct buf *b = buf_open(a, OUT_MAX_BYTES);
	struct str id = identifier;
	pcre2_match_data *data = NULL;
	if (!take_word(&id, t->prefix))
		return not_found(err, "the identifier has another prefix");
	if (t->pattern) {
		data = match(t, id);
		if (!data)
			return not_found(err, "the identifier does not fit the pattern");
		arena_defer(a, free_match, data);
	}
	struct str *pieces = arena_array(a, struct str, t->pieces + 1);
	if (!split(t, id, pieces, err))
		return false;
	for (size_t i = 0; i < t->n; i++) {
		const struct part *p = &t->parts[i];
		struct str value = p->kind == PART_GROUP ? group_of(data, id, p->number)
				 : p->kind == PART_PIECE ? pieces[p->number - 1]
							 : id;
		if (p->kind == PART_ID && id.n == 0)
			return not_found(err, "nothing is left of the identifier");
		if (p->kind == PART_LITERAL)
			buf_str(b, p->text);
		else if (!put_part(t, i == 0, value, b, err))
			return false;
	}
	*name = buf_view(b);
	if (b->failed)
		return not_found(err, "too long a name");
	return !t->is_url || is_sound_url(*name, err);
}

/* Where the ending of a name may lie: in a URL in its path, whose first slash stays. */
static bool find_path(struct str name, bool is_url, size_t *from, size_t *to)
{
	struct str rest = name;
	*from = 0;
	*to = name.n;
	if (!is_url)
		return true;
	if (!take_origin(&rest) || !take_char(&rest, '/'))
		return false;
	*from = name.n - rest.n;
	*to = *from + length_to(rest, STR("?"));
	return true;
}

bool template_exchange(struct arena *a, struct str name, bool is_url, struct str from, struct str to, struct str *out)
{
	struct error ignored;
	size_t start, end;
	if (!find_path(name, is_url, &start, &end) || end - start < from.n)
		return false;
	size_t keep = end - from.n;
	if (!str_equal_nocase((struct str){name.at + keep, from.n}, from))
		return false;
	struct buf *b = buf_open(a, OUT_MAX_BYTES);
	buf_write(b, name.at, keep);
	if (is_url)
		put_written(b, to);
	else
		buf_str(b, to);
	buf_write(b, name.at + end, name.n - end);
	*out = buf_view(b);
	/* "...tif" without ".tif" is "..". */
	return !b->failed && (!is_url || is_sound_url(*out, &ignored));
}
