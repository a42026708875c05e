/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_CALL_H
#define SERVER_CALL_H

#include "recipe.h"

/*
 * How a request goes from process to process, through the web server (nginx-sample.conf):
 *
 *   ""        a worker of the pool answers, unless the original is to be fetched first: then its reply is a redirect to
 *   fetch-N   a fetcher, which waits for the origin, and whose reply is an error, or a redirect back to
 *   pool-N    the pool again. N counts: after SERVICE_ROUNDS a worker does not ask for more. (nginx follows ten redirects.)
 *
 * A redirect is X-Accel-Redirect: /.iiif/STEP/info.json or /.iiif/STEP/image, and no other header.
 */
#define SERVICE_ROUNDS 3

struct reply;

/* What the web server said. All views live as long as the call; absent ones are empty. */
struct call {
	struct str method;
	struct str uri;                    /* raw request target, with query */
	struct str scheme, host, prefix;   /* effective; prefix is put before the path in ids */
	struct str accept, if_none_match, if_modified_since;
	struct str cors_headers;           /* Access-Control-Request-Headers */
	struct str step;                   /* "", fetch-N or pool-N */
	struct str health;                 /* live or ready: the answer is that, whatever the URI (health.h); else empty */
	bool wants_metrics;                /* whoever asks may see them: the answer is that text, whatever the URI */
	/*
	 * A fetcher need not let its client wait as long as it works: early(with, reply) is called at most once, and
	 * what service_answer returns afterwards is for nobody. NULL: the client waits.
	 */
	void (*early)(void *with, const struct reply *reply);
	void *early_with;
};

/* What was asked for, as far as it could be read. */
struct asked {
	int version;                       /* 2, 3; 0 neither */
	enum request_kind kind;            /* REQUEST_BASE: neither image nor info.json */
	enum format format;                /* of an image */
};

struct reply {
	int status;
	struct buf *headers;               /* "Name: value\r\n" lines */
	struct str body;
	bool body_is_left_out;             /* HEAD and 304: no body, and no Content-Length is known */
	bool is_redirect;                  /* for the web server only */
	/* for the log and the counts */
	struct asked asked;
	enum reason reason;
	const char *why;
	const char *source, *source_format;
	enum path path;
	const char *why_not_passed;        /* of images; NULL where none was made */
	int64_t stage_us[STAGES];
	size_t peak_bytes;
	bool is_fallback;                  /* made from a fallback */
	bool was_early;                    /* early was called: nobody waits for this one */
};

#endif
