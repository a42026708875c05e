/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_HTTP_TRANSFER_H
#define SOURCE_HTTP_TRANSFER_H

#include "../base/clock.h"
#include "../base/str.h"
#include "http_headers.h"

/*
 * One request to one address by libcurl: no redirects, no second tries, no opinion of the answer.
 *
 * Calling sequence: fill the upper part, http_transfer, look at the lower part and at http_transfer_header, which both
 * are good until the next one. There is one libcurl handle a process, so transfers do not overlap (and a handler in one
 * starts none).
 */
struct http_transfer {
	const char *url, *host;         /* host without port, for the check behind a proxy */
	const char *method;             /* NULL is GET */
	const struct http_headers *headers;
	const char *user, *password;    /* "" or NULL none. So are the texts below. */
	const char *certificate, *key, *ca_file, *proxy;
	bool only_public;               /* refuses addresses that are not the public internet's */
	struct patience *patience;
	int64_t connect_ms, stall_ms;
	int64_t until_us;               /* of clock_us() */
	bool (*head)(void *with);       /* the headers of the answer have come; false ends the transfer */
	bool (*data)(void *with, const void *bytes, size_t n);
	void *with;

	enum http_end {
		HTTP_DONE,
		HTTP_STOPPED,           /* by head or data */
		HTTP_UNREACHED,         /* no connection, for a reason that may pass */
		HTTP_UNWANTED,          /* no connection, or no usable request: it would be the same again */
		HTTP_REFUSED,           /* only_public */
		HTTP_BROKEN,            /* the answer ended early */
		HTTP_TOO_LONG,          /* the answer went on after its announced length */
		HTTP_STALLED,           /* stall_ms or connect_ms without progress */
		HTTP_LATE,              /* until_us */
	} end;
	int status;                     /* 0 while none has come */
	int64_t length;                 /* announced, -1 none */
	int retry_after_s;              /* 0 none */
	char why[256];                  /* libcurl's word for an end that is not HTTP_DONE; has no address */

	int64_t raw_bytes;              /* of the body, as they came */

	bool refused;
	int64_t moved_us;               /* when something last came, 0 before there is a connection */
};

void http_transfer(struct http_transfer *t);

/* A header of the last answer, "" without one; the first if there are several. */
const char *http_transfer_header(const char *name);

/* An absolute http or https URL in pieces. */
struct http_place {
	const char *scheme, *host, *port;
	const char *url;                /* without user, password and fragment */
	const char *user, *password;    /* decoded, "" none */
};

/* url may be relative to base (NULL none), as in Location. False if it is no such URL. */
bool http_place_of(struct arena *a, const char *base, const char *url, struct http_place *place);

/* The Unix time of an HTTP date, 0 for other texts. */
int64_t http_time(const char *date);

#endif
