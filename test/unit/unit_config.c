/* SPDX-License-Identifier: BSD-2-Clause */
/* Every option of the configuration (lib/server/config.h): default, bounds, file, environment, rules. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

#include "server/config.h"
#include "server/config_print.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

enum type { BOOL, UINT, TEXT, CHOICE, LIST };

/* Values are written as the environment writes them. */
struct option {
	const char *section, *key;
	enum type type;
	size_t at;
	bool of_rule;
	const char *otherwise, *other;   /* default, and another good value */
	uint64_t min, max;
	const char *const *choices;
};

#define C(section, key, type, field, ...) {section, key, type, offsetof(struct config, field), false, __VA_ARGS__}
#define R(section, key, type, ...) {section, #key, type, offsetof(struct config_rule, key), true, __VA_ARGS__}
#define WORDS(...) 0, 0, (const char *const[]){__VA_ARGS__, NULL}
#define ANY 0, 0, NULL
#define MAX_BYTES (UINT64_C(1) << 60)

static const struct option options[] = {
	C("server", "prefixes_2", LIST, prefixes_2, "/iiif/2", "/two,/x/y", ANY),
	C("server", "prefixes_3", LIST, prefixes_3, "/iiif/3", "/three", ANY),
	C("server", "base_uri", TEXT, base_uri, "", "https://iiif.example.org:8443", ANY),
	C("server", "raw_slashes", BOOL, raw_slashes, "false", "true", ANY),
	C("server", "slash_substitute", TEXT, slash_substitute, "", "~", ANY),
	C("server", "page_delimiter", TEXT, page_delimiter, ";", "", ANY),
	C("server", "requests_per_worker", UINT, requests_per_worker, "10000", "7", 0, UINT32_MAX, NULL),
	C("server", "start_page", BOOL, start_page, "false", "true", ANY),
	C("server", "server_timing", BOOL, server_timing, "false", "true", ANY),
	C("server", "metrics_file", TEXT, metrics_file, "/run/lorikeet/metrics", "/srv/x", ANY),
	R("limits", max_area, UINT, "100000000", "7", 0, UINT64_MAX, NULL),
	R("limits", max_width, UINT, "0", "8000", 0, UINT32_MAX, NULL),
	R("limits", max_height, UINT, "0", "6000", 0, UINT32_MAX, NULL),
	R("limits", upscale, BOOL, "false", "true", ANY),
	R("limits", min_tile_size, UINT, "256", "512", 1, 8192, NULL),
	C("limits", "max_request_memory", UINT, max_request_memory, "0", "12345678", 0, UINT64_MAX, NULL),
	C("limits", "max_source_pixels", UINT, max_source_pixels, "0", "87654321", 0, UINT64_MAX, NULL),
	C("limits", "workers", UINT, workers, "0", "3", 0, 10000, NULL),
	C("limits", "verifiers", UINT, verifiers, "0", "3", 0, 15, NULL),
	C("images", "jpeg_quality", UINT, jpeg_quality, "85", "50", 1, 100, NULL),
	C("images", "jpeg_sampling", CHOICE, jpeg_sampling, "420", "source", WORDS("420", "444", "source")),
	C("images", "png_compression", UINT, png_compression, "3", "9", 0, 9, NULL),
	C("images", "webp_quality", UINT, webp_quality, "80", "101", 0, 101, NULL),
	C("images", "webp_method", UINT, webp_method, "3", "6", 0, 6, NULL),
	C("images", "tif_compression", CHOICE, tif_compression, "deflate", "jpeg", WORDS("deflate", "jpeg")),
	C("images", "jp2_quality", UINT, jp2_quality, "80", "101", 1, 101, NULL),
	C("images", "avif_quality", UINT, avif_quality, "60", "0", 0, 100, NULL),
	C("images", "background", TEXT, background, "ffffff", "00C0ff", ANY),
	C("images", "bitonal", CHOICE, bitonal, "dither", "threshold", WORDS("dither", "threshold")),
	R("images", colour, CHOICE, "srgb", "keep", WORDS("srgb", "keep", "strip")),
	R("images", metadata, CHOICE, "copyright", "all", WORDS("none", "copyright", "all")),
	C("images", "magick_formats", LIST, magick_formats, "gif,bmp,pnm,psd", "psd,gif", ANY),
	C("images", "heif_formats", LIST, heif_formats, "heic,avif", "avif", ANY),
	C("images", "filter", CHOICE, filter, "lanczos", "triangle", WORDS("lanczos", "mitchell", "triangle")),
	C("images", "tile_size", UINT, tile_size, "512", "1024", 64, 8192, NULL),
	R("access", symlinks, CHOICE, "no", "follow", WORDS("no", "inside", "follow")),
	R("access", allowed_roots, LIST, "", "/srv/a,/srv/b", ANY),
	R("access", suffixes, LIST, "", ".tif,.jpg", ANY),
	R("access", fallback, LIST, "", ".tif -> .jpg,.a->.b", ANY),
	R("access", verify, CHOICE, "auto", "no", WORDS("auto", "yes", "no")),
	R("caching", cache_images, UINT, "86400", "7", 0, INT32_MAX, NULL),
	R("caching", cache_info, UINT, "300", "7", 0, INT32_MAX, NULL),
	R("caching", immutable, BOOL, "false", "true", ANY),
	R("caching", revalidate_after, UINT, "60", "7", 1, INT32_MAX, NULL),
	R("caching", negative_ttl, UINT, "60", "77", 0, INT32_MAX, NULL),
	R("caching", stale_if_error, UINT, "604800", "77", 0, INT32_MAX, NULL),
	R("info", rights, TEXT, "", "http://rightsstatements.org/vocab/InC/1.0/", ANY),
	R("info", preferred_formats, LIST, "", "webp,jpg", ANY),
	R("info", info_json, TEXT, "", "{}", ANY),
	R("info", sidecars, BOOL, "true", "false", ANY),
	R("origin", connect_timeout_ms, UINT, "5000", "77", 10, 600000, NULL),
	R("origin", stall_timeout_ms, UINT, "15000", "77", 10, 3600000, NULL),
	R("origin", total_timeout_ms, UINT, "600000", "77", 10, INT32_MAX, NULL),
	R("origin", retries, UINT, "2", "3", 0, 20, NULL),
	R("origin", max_original_bytes, UINT, "0", "77", 0, MAX_BYTES, NULL),
	R("origin", user, TEXT, "", "word", ANY),
	R("origin", password, TEXT, "", "word", ANY),
	R("origin", bearer, TEXT, "", "word", ANY),
	R("origin", secret_file, TEXT, "", "/srv/x", ANY),
	R("origin", headers, LIST, "", "X-A: b,X-C: d", ANY),
	R("origin", client_certificate, TEXT, "", "/srv/x", ANY),
	R("origin", client_key, TEXT, "", "/srv/x", ANY),
	R("origin", ca_file, TEXT, "", "/srv/x", ANY),
	R("origin", proxy, TEXT, "", "word", ANY),
	R("origin", allowed_hosts, LIST, "", "one,two", ANY),
	R("origin", forbidden, CHOICE, "403", "404", WORDS("403", "404")),
	R("origin", validator, CHOICE, "etag", "size", WORDS("etag", "last-modified", "size")),
	R("origin", etag_is_md5, BOOL, "false", "true", ANY),
	R("s3", endpoint, TEXT, "", "word", ANY),
	R("s3", region, TEXT, "us-east-1", "word", ANY),
	R("s3", path_style, BOOL, "false", "true", ANY),
	R("s3", access_key, TEXT, "", "word", ANY),
	R("s3", secret_key, TEXT, "", "word", ANY),
	R("s3", session_token, TEXT, "", "word", ANY),
	R("s3", profile, TEXT, "", "word", ANY),
	R("s3", anonymous, BOOL, "false", "true", ANY),
	C("cache", "folder", TEXT, cache_folder, "", "/srv/x", ANY),
	C("cache", "max_bytes", UINT, cache_max_bytes, "10737418240", "2000000", 1048576, MAX_BYTES, NULL),
	C("cache", "min_free_bytes", UINT, min_free_bytes, "1073741824", "77", 0, MAX_BYTES, NULL),
	C("cache", "temporary", TEXT, temporary, "/var/tmp/lorikeet", "/srv/x", ANY),
	C("cache", "temporary_bytes", UINT, temporary_bytes, "1073741824", "77", 0, MAX_BYTES, NULL),
	C("cache", "max_wait_ms", UINT, max_wait_ms, "10000", "77", 10, 600000, NULL),
	C("cache", "max_waiting", UINT, max_waiting, "32", "77", 1, 10000, NULL),
	C("cache", "nginx_folder", TEXT, nginx_folder, "/var/cache/lorikeet", "/srv/x", ANY),
	C("cache", "tag_header", CHOICE, tag_header, "none", "Cache-Tag", WORDS("none", "Surrogate-Key", "Cache-Tag")),
	C("log", "format", CHOICE, log_format, "logfmt", "json", WORDS("logfmt", "json")),
	C("log", "requests", CHOICE, log_requests, "all", "errors", WORDS("all", "errors", "slow")),
	C("log", "client", CHOICE, log_client, "full", "masked", WORDS("full", "masked", "none")),
};

/* What only a rule has. */
static const struct option rule_options[] = {
	R("rules", prefix, TEXT, "", "maps/", ANY),
	R("rules", type, CHOICE, "file", "file", WORDS("file", "http", "s3")),
	R("rules", root, TEXT, "/var/lib/lorikeet/images", "/srv/images", ANY),
	R("rules", pattern, TEXT, "", "word", ANY),
	R("rules", delimiter, TEXT, "", "word", ANY),
	R("rules", path, TEXT, "{id}", "word", ANY),
	R("rules", url, TEXT, "", "word", ANY),
	R("rules", bucket, TEXT, "", "word", ANY),
};

/* These are resolved by the machine where they are 0. */
static bool is_automatic(const struct option *o)
{
	return strcmp(o->section, "limits") == 0 && !o->of_rule;
}

static char *const no_env[] = {NULL};

static struct config *load(struct arena *a, const char *text, const char *variable, struct error *err)
{
	char *env[] = {arena_printf(a, "PATH=/bin"), arena_printf(a, "%s", variable), NULL};
	return config_load_text(a, text, "x.conf", env, err);
}

static struct config *must_load(struct arena *a, const char *text, const char *variable)
{
	struct error err;
	struct config *c = load(a, text, variable, &err);
	if (!c)
		fail_msg("%s %s: %s", text, variable, err.why);
	return c;
}

/* Refused, with a why that starts like this. */
static void must_refuse(struct arena *a, const char *text, const char *variable, const char *why)
{
	struct error err = {0};
	if (load(a, text, variable, &err))
		fail_msg("%s %s: was taken", text, variable);
	if (strncmp(err.why, why, strlen(why)) != 0)
		fail_msg("%s %s: %s, not %s", text, variable, err.why, why);
	assert_int_equal(err.status, 500);
	assert_int_equal(err.reason, REASON_CONFIG);
	assert_string_equal(err.say, "The server is not configured.");
}

static const char *joined(struct arena *a, const char *const *list)
{
	const char *text = list[0] ? list[0] : "";
	for (int i = 1; list[0] && list[i]; i++)
		text = arena_printf(a, "%s,%s", text, list[i]);
	return text;
}

/* The value of an option as the environment writes it. */
static const char *value(struct arena *a, const struct option *o, const void *base)
{
	const char *at = (const char *)base + o->at;
	switch (o->type) {
	case BOOL:
		return *(const bool *)at ? "true" : "false";
	case UINT:
		return arena_printf(a, "%llu", (unsigned long long)*(const uint64_t *)at);
	case TEXT:
		return *(const char *const *)at;
	case CHOICE:
		return o->choices[*(const int *)at];
	case LIST:
		return joined(a, *(const char *const *const *)at);
	}
	return "";
}

static const char *value_in(struct arena *a, const struct option *o, const struct config *c)
{
	return value(a, o, o->of_rule ? (const void *)&c->defaults : (const void *)c);
}

/* A value as the file writes it. */
static const char *in_file(struct arena *a, const struct option *o, const char *text)
{
	struct str rest = str_of(text), piece;
	const char *list = "";
	switch (o->type) {
	case BOOL:
		return text;
	case UINT:
		return arena_printf(a, "%s%s", text, strlen(text) > 9 ? "L" : "");
	case LIST:
		while (*text && take_until(&rest, ',', &piece))
			list = arena_printf(a, "%s%s\"%s\"", list, *list ? ", " : "", str_dup(a, piece));
		return arena_printf(a, "[%s]", list);
	default:
		return arena_printf(a, "\"%s\"", text);
	}
}

static const char *variable(struct arena *a, const struct option *o, const char *text)
{
	char *name = arena_printf(a, "LORIKEET_%s_%s=%s", o->section, o->key, text);
	for (char *c = name; *c != '='; c++)
		*c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
	return name;
}

static const char *rule_variable(struct arena *a, int rule, const struct option *o, const char *text)
{
	char *name = arena_printf(a, "LORIKEET_RULES_%d_%s=%s", rule, o->key, text);
	for (char *c = name; *c != '='; c++)
		*c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
	return name;
}

/* max_height is nothing without a width. */
static bool needs_width(const struct option *o)
{
	return strcmp(o->key, "max_height") == 0;
}

static void check_option(struct arena *a, const struct option *o, const char *text, const char *name)
{
	const char *width = needs_width(o) ? "max_width = 9000;" : "";
	const char *file = arena_printf(a, "%s: { %s %s = %s; };", o->section, width, o->key, in_file(a, o, text));
	assert_string_equal(value_in(a, o, must_load(a, file, "X=1")), text);

	file = arena_printf(a, "%s: { %s %s = %s; };", o->section, width, o->key, in_file(a, o, o->otherwise));
	assert_string_equal(value_in(a, o, must_load(a, file, name)), text);
}

static void defaults_are_documented(void **state)
{
	struct arena *a = arena_open();
	struct config *c = must_load(a, "", "X=1");
	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++) {
		const char *got = value_in(a, &options[i], c);
		if (is_automatic(&options[i]))
			assert_string_not_equal(got, "0");
		else
			assert_string_equal(got, options[i].otherwise);
	}
	assert_int_equal(c->n_rules, 1);
	for (size_t i = 0; i < LENGTH(rule_options); i++)
		assert_string_equal(value(a, &rule_options[i], &c->rules[0]), rule_options[i].otherwise);
	assert_true(c->max_source_pixels == c->max_request_memory * 8);
	arena_close(a);
}

static void file_and_environment(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++) {
		struct arena *a = arena_open();
		const struct option *o = &options[i];
		check_option(a, o, o->other, variable(a, o, o->other));
		arena_close(a);
	}
}

static void every_choice(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++)
		for (int k = 0; options[i].choices && options[i].choices[k]; k++) {
			struct arena *a = arena_open();
			const struct option *o = &options[i];
			bool slow = strcmp(o->choices[k], "slow") == 0;
			const char *text = arena_printf(a, "%s%s", o->choices[k], slow ? ":500" : "");
			struct config *c = must_load(a, "", variable(a, o, text));
			assert_string_equal(value_in(a, o, c), o->choices[k]);
			assert_int_equal(c->log_slow_ms, slow ? 500 : 0);
			arena_close(a);
		}
}

static void check_bound(struct arena *a, const struct option *o, uint64_t good, uint64_t bad, bool has_bad)
{
	const char *where = arena_printf(a, "%s.%s: must be from", o->section, o->key);
	const char *text = arena_printf(a, "%llu", (unsigned long long)good);
	if (!is_automatic(o) || good)
		check_option(a, o, text, variable(a, o, text));
	if (!has_bad)
		return;
	text = arena_printf(a, "%llu", (unsigned long long)bad);
	must_refuse(a, arena_printf(a, "%s: {\n%s = %sL; };", o->section, o->key, text), "X=1",
		    arena_printf(a, "x.conf:2: %s", where));
	const char *name = variable(a, o, text);
	must_refuse(a, "", name, arena_printf(a, "%.*s: %s", (int)strcspn(name, "="), name, where));
}

static void bounds(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++) {
		struct arena *a = arena_open();
		const struct option *o = &options[i];
		/* The file's numbers end below 2^63. */
		uint64_t max = o->max > INT64_MAX ? INT64_MAX : o->max;
		if (o->type == UINT) {
			check_bound(a, o, o->min, o->min - 1, o->min > 0);
			check_bound(a, o, max, max + 1, o->max < UINT64_MAX);
		}
		arena_close(a);
	}
}

/* Good where a machine resolves them too: nothing may overflow on the way. */
static void automatic_values_are_never_0(void **state)
{
	static const char *const bytes[] = {"1", "2305843009213693952", "9223372036854775808",
					    "18446744073709551615", "99999999999999999999"};
	(void)state;
	for (size_t i = 0; i < LENGTH(bytes); i++) {
		struct arena *a = arena_open();
		struct config *c = must_load(a, "", arena_printf(a, "LORIKEET_LIMITS_MAX_REQUEST_MEMORY=%s", bytes[i]));
		assert_true(c->max_source_pixels >= c->max_request_memory);
		arena_close(a);
	}
	struct arena *a = arena_open();
	struct config *c = must_load(a, "", "LORIKEET_LIMITS_WORKERS=10000");
	assert_true(c->max_request_memory > 0 && c->max_source_pixels > 0);
	arena_close(a);
}

/* Fetchers that verify have their share of the memory, where a rule has them verify at all. */
static void verifiers_share_the_memory(void **state)
{
	static const struct {
		const char *workers;
		unsigned verifiers;
	} cases[] = {{"1", 1}, {"7", 1}, {"8", 2}, {"20", 5}, {"63", 15}, {"10000", 15}};
	struct arena *a = arena_open();
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const char *workers = arena_printf(a, "LORIKEET_LIMITS_WORKERS=%s", cases[i].workers);
		assert_int_equal(must_load(a, "", workers)->verifiers, cases[i].verifiers);
	}
	uint64_t alone = must_load(a, "limits: { workers = 4; };", "X=1")->max_request_memory;
	const char *rule = "limits: { workers = 4; }; rules = ({ root = \"/a\"; %s });";
	assert_true(must_load(a, arena_printf(a, rule, "fallback = [\".tif -> .jpg\"];"), "X=1")->max_request_memory <= alone * 4 / 5);
	assert_true(must_load(a, arena_printf(a, rule, "verify = \"yes\";"), "X=1")->max_request_memory <= alone * 4 / 5);
	assert_true(must_load(a, arena_printf(a, rule, "fallback = [\".tif -> .jpg\"]; verify = \"no\";"), "X=1")->max_request_memory == alone);
	arena_close(a);
}

/* Values of the wrong kind, in the file and (NULL: it takes any text) in the environment. */
static const struct {
	enum type type;
	const char *in_file[10], *in_env[10];
} bad_values[] = {
	{BOOL, {"1", "\"true\"", "[true]", "{}", "1.5"}, {"", "1", "yes", "True", "true ", "on"}},
	{UINT, {"-1", "1.0", "\"7\"", "true", "[7]", "{}", "-9223372036854775807L"},
	 {"", "-1", "+1", "1.0", "0x10", "7 ", " 7", "seven", "1e3"}},
	{TEXT, {"7", "true", "[\"a\"]", "(\"a\")", "{}"}, {NULL}},
	{CHOICE, {"\"\"", "\"xyz\"", "0", "true", "[\"no\"]"}, {"", "xyz", "NO", "0", "420 "}},
	{LIST, {"\"a\"", "7", "[1, 2]", "(\"/a\", 7)", "(\"/a\", [\"/b\"])", "{}"}, {NULL}},
};

static void bad_values_name_their_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++) {
		struct arena *a = arena_open();
		const struct option *o = &options[i];
		for (size_t k = 0; bad_values[o->type].in_file[k]; k++)
			must_refuse(a,
				    arena_printf(a, "# one\n%s:\n{\n\n  %s = %s; };", o->section, o->key,
						 bad_values[o->type].in_file[k]),
				    "X=1", arena_printf(a, "x.conf:5: %s.%s: ", o->section, o->key));
		for (size_t k = 0; bad_values[o->type].in_env[k]; k++) {
			const char *name = variable(a, o, bad_values[o->type].in_env[k]);
			must_refuse(a, "", name,
				    arena_printf(a, "%.*s: %s.%s: ", (int)strcspn(name, "="), name, o->section, o->key));
		}
		arena_close(a);
	}
}

struct refusal {
	const char *text, *variable, *why;
};

static const struct refusal refusals[] = {
	/* Names nobody knows, and shapes. */
	{"nosuch: { };", "X=1", "x.conf:1: unknown section nosuch"},
	{"\nserver: {\n nosuch = 1; };", "X=1", "x.conf:3: unknown option nosuch"},
	{"server: { jpeg_quality = 80; };", "X=1", "x.conf:1: unknown option jpeg_quality"},
	{"server: { root = \"/a\"; };", "X=1", "x.conf:1: unknown option root"},
	{"server = 7;", "X=1", "x.conf:1: server must be a group"},
	{"server = (1, 2);", "X=1", "x.conf:1: server must be a group"},
	{"jpeg_quality = 80;", "X=1", "x.conf:1: unknown section jpeg_quality"},
	{"", "LORIKEET_SERVER_NOSUCH=1", "LORIKEET_SERVER_NOSUCH: unknown option nosuch"},
	{"", "LORIKEET_SERVER_=1", "LORIKEET_SERVER_: unknown option "},
	/* Syntax. */
	{"server: {", "X=1", "x.conf:1: syntax error"},
	{"server: {\n base_uri = \"a\n\n", "X=1", "x.conf:"},
	{"server: { raw_slashes = true; raw_slashes = true; };", "X=1", "x.conf:1: duplicate setting name"},
	{"\xff", "X=1", "x.conf:1: "},
	/* Rules. */
	{"rules = 7;", "X=1", "x.conf:1: rules must be a list"},
	{"rules = [ ];", "X=1", "x.conf:1: rules must be a list"},
	{"rules = (\n7 );", "X=1", "x.conf:"},
	{"rules = (\n{ root = \"/a\";\n nosuch = 1; } );", "X=1", "x.conf:3: unknown option of a rule nosuch"},
	{"rules = ({ root = \"/a\"; jpeg_quality = 80; });", "X=1", "x.conf:1: unknown option of a rule jpeg_quality"},
	{"rules = ({ root = \"/a\";\n type = \"ftp\"; });", "X=1", "x.conf:2: rules.type: must be one of file"},
	{"rules = (\n{ root = \"/a\"; },\n{ prefix = \"b\"; });", "X=1", "x.conf:3: rules.root: "},
	{"rules = (\n{ root = \"relative\"; });", "X=1", "x.conf:2: rules.root: "},
	{"rules = (\n{ type = \"http\"; });", "X=1", "x.conf:2: rules.url: "},
	{"rules = (\n{ type = \"s3\"; });", "X=1", "x.conf:2: rules.bucket: "},
	{"rules = (\n{ root = \"/a\"; fallback = [\".tif\"]; });", "X=1", "x.conf:2: access.fallback: "},
	{"rules = (\n{ root = \"/a\"; headers = [\"X\"]; });", "X=1", "x.conf:2: origin.headers: "},
	{"", "LORIKEET_RULES_0_PREFIX=b", "LORIKEET_RULES_0_PREFIX: rules.root: "},
	{"", "LORIKEET_RULES_0_ROOT=relative", "LORIKEET_RULES_0_ROOT: rules.root: "},
	{"", "LORIKEET_RULES_0_NOSUCH=b", "LORIKEET_RULES_0_NOSUCH: unknown option of a rule nosuch"},
	{"", "LORIKEET_RULES_0_=b", "LORIKEET_RULES_0_: unknown option of a rule "},
	{"", "LORIKEET_RULES_ROOT=/a", "LORIKEET_RULES_ROOT: a rule's variable is"},
	{"", "LORIKEET_RULES=/a", "LORIKEET_RULES: a rule's variable is"},
	{"", "LORIKEET_RULES_1_ROOT=/a", "LORIKEET_RULES_1_ROOT: there is no rule before it"},
	{"", "LORIKEET_RULES_99999999999999999999_ROOT=/a", "LORIKEET_RULES_99999999999999999999_ROOT: "},
	/* Values that do not fit. */
	{"server: {\n base_uri = \"iiif.example.org\"; };", "X=1", "x.conf:2: server.base_uri: "},
	{"server: {\n base_uri = \"https://iiif.example.org/\"; };", "X=1", "x.conf:2: server.base_uri: "},
	{"", "LORIKEET_SERVER_BASE_URI=ftp://a", "LORIKEET_SERVER_BASE_URI: server.base_uri: "},
	{"server: {\n prefixes_2 = [\"/a\", \"b\"]; };", "X=1", "x.conf:2: server.prefixes_2: "},
	{"", "LORIKEET_SERVER_PREFIXES_3=b", "LORIKEET_SERVER_PREFIXES_3: server.prefixes_3: "},
	{"access: {\n allowed_roots = [\"/a\", \"b\"]; };", "X=1", "x.conf:2: access.allowed_roots: "},
	{"", "LORIKEET_RULES_0_ALLOWED_ROOTS=/a,b", "LORIKEET_RULES_0_ALLOWED_ROOTS: access.allowed_roots: "},
	{"server: { prefixes_2 = [\"/iiif/3\"]; };", "X=1", "x.conf: server.prefixes: "},
	{"server: { prefixes_2 = [\"/\"]; prefixes_3 = [\"\"]; };", "X=1", "x.conf: server.prefixes: "},
	{"server: { slash_substitute = \";\"; };", "X=1", "x.conf: server.slash_substitute: "},
	{"limits: { max_height = 7; };", "X=1", "x.conf: limits.max_height: "},
	{"rules = (\n{ root = \"/a\"; max_height = 7; });", "X=1", "x.conf:2: limits.max_height: "},
	{"log: { requests = \"slow\"; };", "X=1", "x.conf:1: log.requests: slow needs milliseconds"},
	{"", "LORIKEET_LOG_REQUESTS=slow:", "LORIKEET_LOG_REQUESTS: log.requests: slow needs milliseconds"},
	{"", "LORIKEET_LOG_REQUESTS=slow:5s", "LORIKEET_LOG_REQUESTS: log.requests: slow needs milliseconds"},
};

static void refused_with_file_and_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(refusals); i++) {
		struct arena *a = arena_open();
		must_refuse(a, refusals[i].text, refusals[i].variable, refusals[i].why);
		arena_close(a);
	}
}

static void other_variables_are_ignored(void **state)
{
	static const char *const names[] = {"LORIKEET_CONFIG=/x", "LORIKEET_=1", "LORIKEET=1", "LORIKEET_SERVER=1",
					    "lorikeet_server_nosuch=1", "LORIKEET_SERVER_NOSUCH", "", "=", "LORIKEET_BINARY=x",
					    "LORIKEET_TEST_IMAGES=x"};
	(void)state;
	for (size_t i = 0; i < LENGTH(names); i++) {
		struct arena *a = arena_open();
		must_load(a, "", names[i]);
		arena_close(a);
	}
}

/* A rule has its own value, the next rule and the defaults keep theirs. */
static void check_rule_option(struct arena *a, const struct option *o)
{
	const char *width = needs_width(o) ? "max_width = 9000;" : "";
	const char *root = strcmp(o->key, "root") == 0 ? "" : "root = \"/a\";";
	const char *file = arena_printf(a, "rules = ({ %s %s %s = %s; }, { root = \"/b\"; });", root, width, o->key,
					in_file(a, o, o->other));
	struct config *c = must_load(a, file, "X=1");
	assert_int_equal(c->n_rules, 2);
	assert_string_equal(value(a, o, &c->rules[0]), o->other);
	if (strcmp(o->key, "root") != 0)
		assert_string_equal(value(a, o, &c->rules[1]), o->otherwise);

	file = arena_printf(a, "rules = ({ %s root = \"/a\"; }, { %s root = \"/b\"; });", width, width);
	c = must_load(a, file, rule_variable(a, 1, o, o->other));
	assert_string_equal(value(a, o, &c->rules[1]), o->other);
	if (strcmp(o->key, "root") != 0)
		assert_string_equal(value(a, o, &c->rules[0]), o->otherwise);

	/* A default, wherever it comes from, goes to every rule that says nothing. */
	if (strcmp(o->section, "rules") != 0) {
		c = must_load(a, file, variable(a, o, o->other));
		assert_string_equal(value(a, o, &c->rules[0]), o->other);
		assert_string_equal(value(a, o, &c->rules[1]), o->other);
	}
}

static void rules_override_defaults(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++) {
		struct arena *a = arena_open();
		const struct option *o = &options[i];
		if (o->of_rule)
			check_rule_option(a, o);
		else
			must_refuse(a, "", rule_variable(a, 0, o, o->other), "LORIKEET_RULES_0_");
		arena_close(a);
	}
	for (size_t i = 0; i < LENGTH(rule_options); i++) {
		struct arena *a = arena_open();
		check_rule_option(a, &rule_options[i]);
		arena_close(a);
	}
}

/* Eleven rules by the environment alone, in no order. */
static void many_rules_in_the_environment(void **state)
{
	static const int order[] = {3, 10, 0, 7, 2, 9, 1, 8, 5, 6, 4};
	struct arena *a = arena_open();
	char *env[LENGTH(order) + 1] = {NULL};
	struct error err;
	(void)state;
	for (size_t i = 0; i < LENGTH(order); i++)
		env[i] = arena_printf(a, "LORIKEET_RULES_%d_ROOT=/r%d", order[i], order[i]);
	struct config *c = config_load_text(a, "", "x.conf", env, &err);
	if (!c)
		fail_msg("%s", err.why);
	assert_int_equal(c->n_rules, LENGTH(order));
	for (size_t i = 0; i < c->n_rules; i++)
		assert_string_equal(c->rules[i].root, arena_printf(a, "/r%zu", i));
	arena_close(a);
}

static void prefixes_are_trimmed(void **state)
{
	struct arena *a = arena_open();
	struct config *c = must_load(a, "server: { prefixes_2 = [\"/a/\", \"/b//\", \"/\"]; prefixes_3 = [ ]; };", "X=1");
	(void)state;
	assert_string_equal(joined(a, c->prefixes_2), "/a,/b,");
	assert_string_equal(joined(a, c->prefixes_3), "");
	c = must_load(a, "", "LORIKEET_SERVER_PREFIXES_2= /a/ , /b ");
	assert_string_equal(joined(a, c->prefixes_2), "/a,/b");
	arena_close(a);
}

static void slow_requests(void **state)
{
	struct arena *a = arena_open();
	struct config *c = must_load(a, "log: { requests = \"slow:250\"; };", "X=1");
	(void)state;
	assert_int_equal(c->log_requests, LOG_SLOW);
	assert_int_equal(c->log_slow_ms, 250);
	c = must_load(a, "log: { requests = \"slow:250\"; };", "LORIKEET_LOG_REQUESTS=all");
	assert_int_equal(c->log_requests, LOG_ALL);
	arena_close(a);
}

static struct buf *printed(struct arena *a)
{
	struct buf *b = buf_open(a, 1 << 20);
	config_print_default(b);
	buf_write(b, "", 1);
	assert_false(b->failed);
	return b;
}

static void printed_configuration_is_the_default(void **state)
{
	struct arena *a = arena_open();
	struct config *from_print = must_load(a, printed(a)->at, "X=1"), *from_nothing = must_load(a, "", "X=1");
	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++) {
		const struct option *o = &options[i];
		assert_string_equal(value_in(a, o, from_print), value_in(a, o, from_nothing));
		if (o->of_rule)
			assert_string_equal(value(a, o, &from_print->rules[0]), value(a, o, &from_nothing->rules[0]));
	}
	assert_int_equal(from_print->n_rules, 1);
	for (size_t i = 0; i < LENGTH(rule_options); i++)
		assert_string_equal(value(a, &rule_options[i], &from_print->rules[0]),
				    value(a, &rule_options[i], &from_nothing->rules[0]));
	arena_close(a);
}

/* Each option of the tables above, with variable, bounds and choices, and no other. */
static void printed_configuration_is_complete(void **state)
{
	struct arena *a = arena_open();
	const char *text = printed(a)->at;
	size_t n = 0;
	(void)state;
	for (const char *c = text; (c = strstr(c, " = ")); c++)
		n++;
	/* "rules = (" is no option. */
	assert_int_equal(n - 1, LENGTH(options) + LENGTH(rule_options));
	for (size_t i = 0; i < LENGTH(options); i++) {
		const struct option *o = &options[i];
		const char *name = variable(a, o, "");
		const char *entry = strstr(text, arena_printf(a, "%.*s%s\n\t%s = %s;\n", (int)strcspn(name, "="), name,
							      o->of_rule ? "; a rule may override it" : "", o->key,
							      in_file(a, o, o->otherwise)));
		if (!entry && o->type == UINT)
			entry = strstr(text, arena_printf(a, "\n\t%s = %sL;\n", o->key, o->otherwise));
		if (!entry)
			fail_msg("%s.%s is not printed", o->section, o->key);
		if (o->type == UINT && o->max < UINT64_MAX)
			assert_non_null(strstr(text, arena_printf(a, "# From %llu to %llu. %.*s", (unsigned long long)o->min,
								  (unsigned long long)o->max, (int)strcspn(name, "="), name)));
	}
	arena_close(a);
}

static void files(void **state)
{
	struct arena *a = arena_open();
	struct error err = {0};
	char path[] = "/tmp/lorikeet-config-XXXXXX";
	int fd = mkstemp(path);
	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "images: {\n jpeg_quality = 70; };\n", 33), 33);
	struct config *c = config_load(a, path, no_env, &err);
	assert_non_null(c);
	assert_int_equal(c->jpeg_quality, 70);

	assert_int_equal(write(fd, "nosuch: { };", 12), 12);
	assert_null(config_load(a, path, no_env, &err));
	assert_string_equal(err.why, arena_printf(a, "%s:3: unknown section nosuch", path));
	must_refuse(a, arena_printf(a, "@include \"%s\"\n", path), "X=1",
		    arena_printf(a, "%s:3: unknown section nosuch", path));

	assert_int_equal(pwrite(fd, "= 7;", 4, 0), 4);
	must_refuse(a, arena_printf(a, "\n\n@include \"%s\"\n", path), "X=1", arena_printf(a, "%s:1: syntax error", path));

	/* What an editor or a lost disk block leaves behind a NUL must not be passed over. */
	assert_int_equal(ftruncate(fd, 50), 0);
	assert_null(config_load(a, path, no_env, &err));
	assert_string_equal(err.why, arena_printf(a, "%s: has a NUL byte", path));

	assert_int_equal(ftruncate(fd, 2 << 20), 0);
	assert_null(config_load(a, path, no_env, &err));
	assert_string_equal(err.why, arena_printf(a, "%s: is too large", path));
	close(fd);
	unlink(path);

	assert_null(config_load(a, path, no_env, &err));
	assert_string_equal(err.why, arena_printf(a, "%s: No such file or directory", path));
	assert_null(config_load(a, "/", no_env, &err));
	assert_int_equal(err.reason, REASON_CONFIG);
	assert_non_null(config_load(a, NULL, no_env, &err));
	assert_non_null(config_load(a, NULL, NULL, &err));
	arena_close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_documented),
		cmocka_unit_test(file_and_environment),
		cmocka_unit_test(every_choice),
		cmocka_unit_test(bounds),
		cmocka_unit_test(automatic_values_are_never_0),
		cmocka_unit_test(verifiers_share_the_memory),
		cmocka_unit_test(bad_values_name_their_place),
		cmocka_unit_test(refused_with_file_and_line),
		cmocka_unit_test(other_variables_are_ignored),
		cmocka_unit_test(rules_override_defaults),
		cmocka_unit_test(many_rules_in_the_environment),
		cmocka_unit_test(prefixes_are_trimmed),
		cmocka_unit_test(slow_requests),
		cmocka_unit_test(printed_configuration_is_the_default),
		cmocka_unit_test(printed_configuration_is_complete),
		cmocka_unit_test(files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
