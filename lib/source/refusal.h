/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_REFUSAL_H
#define SOURCE_REFUSAL_H

#include "../base/str.h"

/* What an origin means by an answer that is not the object: its status and, from S3, the code in its XML. */
struct refusal {
	int status;
	int retry_after_s;              /* 0 none */
	struct str host;                /* for the log */
	struct str text;                /* the beginning of its body */
	const char *region;             /* x-amz-bucket-region, "" none */
};

#define REFUSAL_TEXT_BYTES 4096

/* Fills err, as http_get promises. True if another try, later, may help. */
bool refusal_explain(const struct refusal *r, struct error *err);

/* S3 says the bucket is in another region. Going there would not help, as the signature names the region. */
bool refusal_is_wrong_region(const struct refusal *r);

#endif
