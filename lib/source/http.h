/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_HTTP_H
#define SOURCE_HTTP_H

#include "../base/clock.h"
#include "../base/str.h"
#include "http_headers.h"

/*
 * Originals over HTTP: one GET at a time, by libcurl, with all that an origin may do wrong turned into a clear error.
 *
 * Calling sequence: http_get(...) with a target, the options of its rule, a body to fill and the patience of whoever
 * waits. Connections are kept between calls in this process (at most 5 minutes, names are resolved anew after 60 s).
 * HEAD is never used (presigned addresses allow GET only); no variable of the environment (http_proxy) counts. From the
 * first call on SIGPIPE is ignored, unless the program has a handler. patience->late must not call http_get.
 */
struct http_options {
	int64_t connect_ms;             /* for connecting, with TLS */
	int64_t stall_ms;               /* without a byte arriving; 0 no limit. So is total_ms. */
	int64_t total_ms;               /* for all of a call, retries too */
	uint64_t max_bytes;             /* of a body; 0 none */
	unsigned retries;               /* after connection failures, 5xx, 429: with backoff, or by Retry-After */
	const char *user, *password;    /* basic authentication; "" or NULL none. So are all texts here. */
	const char *bearer;
	const char *const *headers;     /* further "Name: value", NULL-terminated, may be NULL */
	const char *client_certificate, *client_key;    /* PEM files */
	const char *ca_file;            /* PEM file instead of the system's */
	const char *proxy;
	/* Other hosts than the one asked first (redirects), or all (guarded), may not be at private, loopback,
	 * link-local, multicast or metadata addresses. This is checked on the address connected to; behind a proxy on
	 * all that the name has here, so one that only the proxy can look up is refused. */
	bool guarded;
	/* Signs a request (S3), NULL for none: adds headers by http_add_header. url is the very one that is asked for.
	 * Called anew for each try, and never for another host than the first; may itself call http_get. */
	bool (*sign)(void *with, struct arena *a, const char *url, struct http_headers *headers, struct error *err);
	void *sign_with;
};

struct http_target {
	const char *url;                /* absolute, encoded; its path is sent as it is */
	const char *method;             /* NULL is GET; PUT has an empty body: metadata services only */
	const char *if_none_match;      /* "" or NULL none; so below */
	const char *if_modified_since;
	uint64_t from;                  /* resume: bytes that are there already; needs if_range */
	const char *if_range;           /* a strong ETag, or a date */
};

/* What the origin said of a body, and of the object. Texts live in the arena of the call, "" if absent. */
struct http_answer {
	int status;                     /* 200, 206, 304 */
	const char *url;                /* that answered, after redirects; its query may be secret */
	const char *etag;               /* as sent, with quotes and W/ */
	const char *last_modified;
	int64_t modified_s;             /* Unix time, 0 if unknown */
	int64_t length;                 /* of this body (of a 206 the part) as announced; -1 unknown, or encoded */
	const char *content_type;
	const char *content_md5;        /* base64 */
	const char *repr_digest;        /* structured field: sha-256=:...:, ... */
	const char *checksum_sha256, *checksum_sha1, *checksum_crc32, *checksum_crc32c;  /* x-amz-checksum-*, base64 */
	/* The body came gzipped and was unpacked: digests speak of other bytes, and it cannot be resumed. */
	bool encoded;
};

/*
 * Where a body goes. begin is called once the headers of a 200 or 206 are known, before any byte. It may come again,
 * when a body broke and cannot be gone on with: then the body starts anew, from 0 with a 200, from target->from with
 * a 206. False ends the call with err filled.
 */
struct http_body {
	bool (*begin)(void *with, const struct http_answer *answer, struct error *err);
	bool (*write)(void *with, const void *bytes, size_t n, struct error *err);
	void *with;
};

/*
 * True for 200, 206 (only if `from` was given and If-Range held, from exactly there) and 304 (only if a condition was
 * given). Else err has: 404 REASON_NOT_FOUND (404, 410); 403 REASON_DENIED (401, 403; S3's clock skew and wrong keys
 * too); 502 REASON_ORIGIN (5xx, refused connection, unknown name, TLS, a body shorter or longer than announced,
 * text/html, a redirect loop, redirects to forbidden addresses, wrong region, an archived object); 503 REASON_THROTTLED
 * with err->retry_after_s (429, 503 with Retry-After or SlowDown); 504 REASON_TIMEOUT; 413 REASON_TOO_LARGE above
 * max_bytes. `why` names the host and status, never a secret or a query (it may be a signature). Counts into
 * base/metrics: a request each time one is sent, a failure each time one fails, also where the next try helps.
 */
bool http_get(struct arena *a, const struct http_options *options, const struct http_target *target,
	      const struct http_body *body, struct patience *patience, struct http_answer *answer, struct error *err);

/* Host and port of an absolute http(s) URL, "" if it is none. For limits per origin. */
struct str http_host(struct str url);

#endif
