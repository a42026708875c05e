/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_S3_H
#define SOURCE_S3_H

#include "s3_credentials.h"

/*
 * S3 and what speaks its protocol: the signature of requests by the account's credentials (struct s3_options), and the
 * addresses of objects.
 */

/* For http_options: s3_sign fits `sign`, with a struct s3_signer as sign_with. It adds Authorization, x-amz-date,
 * x-amz-content-sha256 and the token; nothing if anonymous. It may call http_get itself (roles), for a few seconds at
 * most. 403 REASON_DENIED if there are no credentials at all, 502 REASON_ORIGIN if a role's are not to be had now. */
struct s3_signer;
/* options are borrowed. It lives as long as a. */
struct s3_signer *s3_signer_open(struct arena *a, const struct s3_options *options);
bool s3_sign(void *signer, struct arena *a, const char *url, struct http_headers *headers, struct error *err);

/*
 * The URL of an object: endpoint (absolute; "" is AWS's own of the region), region ("" is us-east-1), bucket, key
 * (decoded). The bucket stands in the path, or in the host's name unless that cannot be: at an endpoint that is an IP
 * address, with a bucket whose name is none for a host, and with a dot in it over TLS, where no certificate fits.
 */
const char *s3_url(struct arena *a, const char *endpoint, const char *region, const char *bucket, bool path_style,
		   struct str key);

#endif
