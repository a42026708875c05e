/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>

/*
 * How a failure travels from where it is noticed to the client and the log.
 *
 * Every function that can fail returns bool and takes a `struct error *err` as its last parameter;
 * it fills err exactly when it returns false. `say` goes to the client: a literal, free of paths,
 * library text and bytes of the request. `why` goes to the log only.
 */
enum reason {
	REASON_NONE,
	REASON_SYNTAX,       /* the request breaks the grammar or the rules of the API */
	REASON_NOT_FOUND,
	REASON_FORBIDDEN,
	REASON_UNSUPPORTED,  /* a valid request or a sound file that this server does not do */
	REASON_DAMAGED,      /* the source's bytes are not what its format promises */
	REASON_TOO_LARGE,    /* beyond a limit, known before decoding */
	REASON_MEMORY,       /* memory refused while running */
	REASON_IO,           /* the source could not be read */
	REASON_ORIGIN,       /* the origin answers wrongly, or not at all */
	REASON_TIMEOUT,      /* the origin takes too long */
	REASON_THROTTLED,    /* the origin asks to come later */
	REASON_DENIED,       /* the origin does not let us */
	REASON_BUSY,         /* too many wait already */
	REASON_SLOW,         /* the original takes longer to decode than is allowed */
	REASON_CONFIG,
	REASON_INTERNAL,
};

struct error {
	int status;          /* HTTP status */
	enum reason reason;
	const char *say;
	int retry_after_s;   /* of a 503: what the origin asked for, 0 if it did not */
	char why[512];
};

/* The word for `reason=` in the log. */
const char *reason_name(enum reason reason);

/* Fills err and returns false. `say` must be a literal; why is printf-like, "" for nothing to add. */
bool fail(struct error *err, int status, enum reason reason, const char *say, const char *why, ...)
	__attribute__((format(printf, 5, 6)));

#endif
