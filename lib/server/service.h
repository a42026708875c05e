/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include "recipe.h"

/*
 * One request, answered: the whole path from raw URI to headers and body, without any idea of who
 * asks (the FastCGI worker, `lorikeet get`, tests, fuzzers). service_answer never fails: errors
 * become replies.
 */
struct service;

/* What the web server said. All views live as long as the call; absent ones are empty. */
struct call {
	struct str method;
	struct str uri;                    /* raw request target, with query */
	struct str scheme, host, prefix;   /* effective; prefix is put before the path in ids */
	struct str accept, if_none_match, if_modified_since;
	struct str cors_headers;           /* Access-Control-Request-Headers */
};

struct reply {
	int status;
	struct buf *headers;               /* "Name: value\r\n" lines */
	struct str body;
	bool body_is_left_out;             /* HEAD and 304: no body, and no Content-Length is known */
	/* for the log */
	enum reason reason;
	const char *why;
	const char *source, *source_format;
	int64_t stage_us[STAGES];
	size_t peak_bytes;
};

/* The configuration outlives the service. 500 REASON_CONFIG if its texts make no sense. */
struct service *service_open(struct arena *a, const struct config *config, struct error *err);

void service_answer(const struct service *service, const struct call *call, struct reply *reply,
		    struct arena *a);

#endif
