/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_TEMPLATE_H
#define SOURCE_TEMPLATE_H

#include "../base/str.h"

/*
 * From an identifier to a name or URL: which rule fits, and what it makes of it. Pure.
 *
 * An identifier fits by its prefix, which is cut off, or by a regular expression (PCRE2, UTF-8 where it is valid,
 * matched over all of what is left after the prefix), whose groups, by name or number, are values. The template has
 * values in braces:
 *   {id}     what is left of the identifier after the prefix
 *   {NAME}   a named group of the pattern
 *   {1}...   a numbered group; or, with a delimiter, the pieces of {id} between delimiters
 * {{ and }} are braces. A group that took no part in the match is empty. A match that would cost more than a few
 * milliseconds does not fit.
 *
 * In a URL each value is percent-encoded for its place: in the path all but unreserved characters and "/", in the
 * query "/" as well; bytes stay what they are (NFC or NFD, "+", "%", "//"). What the template itself says is encoded
 * only where it is illegal; its escapes stay. Values may not stand in scheme, host or port, except where the template
 * is just "{id}" or begins with a value: then the identifier brings the whole URL, and `open` is set. Such a value is
 * written as if the template said it: its escapes stay escapes, and it may have a query.
 */
struct template;

struct template_options {
	const char *prefix;             /* "" fits all */
	const char *pattern;            /* "" none */
	const char *delimiter;          /* "" none */
	const char *text;               /* the template; "" is "{id}" as a plain name, and an error for a URL */
	bool is_url;
};

/* NULL with err 500 REASON_CONFIG: a pattern that does not compile, an unknown value, a value in the host, a URL that
 * is not http(s) or has user information or a fragment. */
const struct template *template_make(struct arena *a, const struct template_options *options, struct error *err);

/* Whether the identifier brings scheme and host itself. */
bool template_is_open(const struct template *t);

/* Whether the rule gets this identifier (prefix and pattern). */
bool template_fits(const struct template *t, struct str identifier);

/*
 * The name made of an identifier that fits. URLs have scheme and host in lower case. 404 REASON_NOT_FOUND: an empty
 * {id}; pieces that are missing or too many; parts "." or ".." of a URL, or a control byte (NUL too) or backslash in a
 * value of one; an open one that is no absolute http(s) URL, or has user information, a fragment, or a host beyond
 * ASCII. Plain names are not judged: their source does that.
 */
bool template_fill(struct arena *a, const struct template *t, struct str identifier, struct str *name,
		   struct error *err);

/* One candidate after the other: `from` is an ending that is exchanged, whatever its case, for `to` (".tif" -> ".jpg"),
 * in a URL at the end of its path. False if the name does not end so. */
bool template_exchange(struct arena *a, struct str name, bool is_url, struct str from, struct str to, struct str *out);

#endif
