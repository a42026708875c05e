/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef UNIT_CONFIG_TABLE_H
#define UNIT_CONFIG_TABLE_H

#include <stdio.h>
#include <string.h>

#include "check.h"

#include "server/config.h"

/* All options but those that only rules have, and how a test writes, loads and reads them. */
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
	C("server", "opened_images", UINT, opened_images, "32", "7", 0, 256, NULL),
	C("server", "start_page", BOOL, start_page, "false", "true", ANY),
	C("server", "server_timing", BOOL, server_timing, "false", "true", ANY),
	C("server", "role", CHOICE, role, "all", "worker", WORDS("all", "worker", "fetcher", "health")),
	C("server", "sandbox", CHOICE, sandbox, "on", "off", WORDS("on", "off", "require")),
	C("server", "metrics_file", TEXT, metrics_file, "/run/lorikeet/metrics", "/srv/x", ANY),
	C("server", "drain_file", TEXT, drain_file, "/run/lorikeet/drain", "/srv/x", ANY),
	R("limits", max_area, UINT, "100000000", "7", 0, UINT64_MAX, NULL),
	R("limits", max_width, UINT, "0", "8000", 0, UINT32_MAX, NULL),
	R("limits", max_height, UINT, "0", "6000", 0, UINT32_MAX, NULL),
	R("limits", upscale, BOOL, "false", "true", ANY),
	R("limits", min_tile_size, UINT, "256", "512", 1, 8192, NULL),
	C("limits", "max_request_memory", UINT, max_request_memory, "0", "12345678", 0, UINT64_MAX, NULL),
	C("limits", "max_source_pixels", UINT, max_source_pixels, "0", "87654321", 0, UINT64_MAX, NULL),
	C("limits", "max_decode_ms", UINT, max_decode_ms, "45000", "77", 0, 3600000, NULL),
	C("limits", "workers", UINT, workers, "0", "3", 0, 10000, NULL),
	C("limits", "verifiers", UINT, verifiers, "0", "3", 0, 15, NULL),
	C("images", "jpeg_quality", UINT, jpeg_quality, "85", "50", 1, 100, NULL),
	C("images", "pass_through", BOOL, pass_through, "true", "false", ANY),
	C("images", "jpeg_sampling", CHOICE, jpeg_sampling, "420", "source", WORDS("420", "444", "source")),
	C("images", "png_compression", UINT, png_compression, "3", "9", 0, 9, NULL),
	C("images", "webp_quality", UINT, webp_quality, "80", "101", 0, 101, NULL),
	C("images", "webp_method", UINT, webp_method, "3", "6", 0, 6, NULL),
	C("images", "tif_compression", CHOICE, tif_compression, "deflate", "jpeg", WORDS("deflate", "jpeg")),
	C("images", "jp2_quality", UINT, jp2_quality, "80", "101", 1, 101, NULL),
	C("images", "avif_quality", UINT, avif_quality, "60", "0", 0, 100, NULL),
	C("images", "background", TEXT, background, "ffffff", "00C0ff", ANY),
	C("images", "bitonal", CHOICE, bitonal, "dither", "threshold", WORDS("dither", "threshold")),
	R("images", colour, CHOICE, "convert", "keep", WORDS("convert", "keep", "strip")),
	R("images", recover, BOOL, "false", "true", ANY),
	R("images", metadata, CHOICE, "copyright", "all", WORDS("none", "copyright", "all")),
	C("images", "magick_formats", LIST, magick_formats, "gif,bmp,pnm,psd", "psd,gif", ANY),
	C("images", "heif_formats", LIST, heif_formats, "heic,avif", "avif", ANY),
	C("images", "jxl", BOOL, jxl, "true", "false", ANY),
	C("images", "filter", CHOICE, filter, "lanczos", "triangle", WORDS("lanczos", "mitchell", "triangle")),
	R("images", linear_light, BOOL, "false", "true", ANY),
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

static inline struct config *load(struct arena *a, const char *text, const char *variable, struct error *err)
{
	char *env[] = {arena_printf(a, "PATH=/bin"), arena_printf(a, "%s", variable), NULL};
	return config_load_text(a, text, "x.conf", env, err);
}

static inline struct config *must_load(struct arena *a, const char *text, const char *variable)
{
	struct error err;
	struct config *c = load(a, text, variable, &err);
	if (!c)
		fail_msg("%s %s: %s", text, variable, err.why);
	return c;
}

/* Refused, with a why that starts like this. */
static inline void must_refuse(struct arena *a, const char *text, const char *variable, const char *why)
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

static inline const char *joined(struct arena *a, const char *const *list)
{
	const char *text = list[0] ? list[0] : "";
	for (int i = 1; list[0] && list[i]; i++)
		text = arena_printf(a, "%s,%s", text, list[i]);
	return text;
}

/* The value of an option as the environment writes it. */
static inline const char *value(struct arena *a, const struct option *o, const void *base)
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

static inline const char *value_in(struct arena *a, const struct option *o, const struct config *c)
{
	return value(a, o, o->of_rule ? (const void *)&c->defaults : (const void *)c);
}

/* A value as the file writes it. */
static inline const char *in_file(struct arena *a, const struct option *o, const char *text)
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

static inline const char *variable(struct arena *a, const struct option *o, const char *text)
{
	char *name = arena_printf(a, "LORIKEET_%s_%s=%s", o->section, o->key, text);
	for (char *c = name; *c != '='; c++)
		*c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
	return name;
}

/* max_height is nothing without a width. */
static inline bool needs_width(const struct option *o)
{
	return strcmp(o->key, "max_height") == 0;
}

#endif
