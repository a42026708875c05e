/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_S3_CREDENTIALS_H
#define SOURCE_S3_CREDENTIALS_H

#include "http.h"
#include "s3_sign.h"

/*
 * The keys of an account, looked for once per process, in this order: given ones; AWS_ACCESS_KEY_ID,
 * AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN (not if a profile is given: it was meant); the shared file
 * (AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/credentials) with its profile; the container's role
 * (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, or _FULL_URI, with AWS_CONTAINER_AUTHORIZATION_TOKEN[_FILE]); the machine's
 * role (IMDSv2; where its PUT stays unanswered for a second, version 1; AWS_EC2_METADATA_SERVICE_ENDPOINT,
 * AWS_EC2_METADATA_DISABLED). Metadata calls never use a proxy.
 *
 * Keys that expire are asked for anew five minutes before, and again every few seconds while that fails; until they
 * have expired no request notices. A shared file or secret_file that changed is read again; one that vanished or is
 * half written changes nothing.
 */
struct s3_options {
	const char *region;             /* "" is us-east-1. "" or NULL is none for all texts here. */
	const char *access_key, *secret_key, *session_token;
	const char *secret_file;        /* has the secret key as its only line */
	const char *profile;            /* of the shared file; "" is AWS_PROFILE or default */
	bool anonymous;                 /* unsigned requests, for public buckets */
};

/* How the world is reached. Unit tests give their own. */
struct s3_world {
	bool (*get)(struct arena *a, const struct http_options *options, const struct http_target *target,
		    const struct http_body *body, struct patience *patience, struct http_answer *answer,
		    struct error *err);
	int64_t (*now_s)(void);         /* Unix time */
};
extern const struct s3_world s3_real_world;

/* options and world are borrowed. It lives as long as a. */
struct s3_credentials;
struct s3_credentials *s3_credentials_open(struct arena *a, const struct s3_options *options,
					   const struct s3_world *world);

/* The files named by the environment that keys may come from: at most as many paths, "" for none. */
#define S3_FILES 2
void s3_credentials_files(struct arena *a, const char *files[S3_FILES]);

/* Keys that are valid now; the texts live until the next call. Else 403 REASON_DENIED if nothing has any, 502
 * REASON_ORIGIN if what should have them does not give them now. `why` never has a secret. */
bool s3_credentials_get(struct s3_credentials *c, struct s3_keys *keys, struct error *err);

#endif
