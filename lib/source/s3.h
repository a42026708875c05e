/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_S3_H
#define SOURCE_S3_H

#include "http.h"

/*
 * S3 and what speaks its protocol: credentials, and AWS Signature Version 4 for GET requests.
 *
 * Credentials are looked for once per process and account, in this order: given ones; AWS_ACCESS_KEY_ID,
 * AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; the shared file (AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/credentials) with its
 * profile; the container's role (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, or _FULL_URI with AWS_CONTAINER_AUTHORIZATION_TOKEN[_FILE]); the
 * machine's role (IMDSv2; where its PUT stays unanswered for a second, version 1; AWS_EC2_METADATA_SERVICE_ENDPOINT,
 * AWS_EC2_METADATA_DISABLED). Those that expire are asked for anew five minutes before, and again every few seconds while that
 * fails; until they have expired no request notices. Metadata calls never use a proxy. A file or secret_file that changed is read again.
 */
struct s3_options {
	const char *region;             /* "" is us-east-1 */
	const char *access_key, *secret_key, *session_token;   /* "" or NULL none */
	const char *secret_file;        /* has the secret key as its only line */
	const char *profile;            /* of the shared file; "" is AWS_PROFILE or default */
	bool anonymous;                 /* unsigned requests, for public buckets */
};

/* For http_options: fits `sign`, with a struct s3_signer as sign_with. Adds Authorization, x-amz-date, x-amz-content-sha256 and the token.
 * 403 REASON_DENIED if there are no credentials at all. */
struct s3_signer;
struct s3_signer *s3_signer_open(struct arena *a, const struct s3_options *options);   /* lives as long as a */
bool s3_sign(void *signer, struct arena *a, const char *url, struct http_headers *headers, struct error *err);

/* The headers themselves, pure: for a GET of url (absolute, path RFC 3986 encoded, query raw) at the Unix time now_s. token may
 * be "". extra: further headers that are signed, NULL-terminated "name: value" in lower case; may be NULL. */
struct s3_keys {
	const char *access_key, *secret_key, *token;
};
void s3_authorization(struct arena *a, const struct s3_keys *keys, const char *region, const char *url,
		      const char *const *extra, int64_t now_s, struct http_headers *headers);

/* The URL of an object: endpoint ("" is AWS's own of the region), bucket, key (decoded), style by path or host. */
const char *s3_url(struct arena *a, const char *endpoint, const char *region, const char *bucket, bool path_style,
		   struct str key);

#endif
