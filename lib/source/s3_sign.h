/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_S3_SIGN_H
#define SOURCE_S3_SIGN_H

#include "../base/str.h"

/* AWS Signature Version 4 of GET requests to S3: pure, without clock, network or files. */
struct s3_keys {
	const char *access_key, *secret_key;
	const char *token;              /* of a session; "" or NULL none */
};

#define S3_HEADERS 4

/*
 * The headers that sign a GET of url (absolute; its path RFC 3986 encoded, as it is sent; its query raw) at the Unix
 * time now_s: Authorization, x-amz-content-sha256, x-amz-date and, for a session, x-amz-security-token. Each line is
 * "Name: value"; the list is NULL-terminated and lives in a. extra: further headers of the request that are signed,
 * NULL-terminated "name: value" with the name in lower case; may be NULL.
 */
void s3_authorization(struct arena *a, const struct s3_keys *keys, const char *region, const char *url,
		      const char *const *extra, int64_t now_s, const char *headers[S3_HEADERS + 1]);

#endif
