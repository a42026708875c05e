/* SPDX-License-Identifier: BSD-2-Clause */
#include "refusal.h"

#include <ctype.h>

#define CODE_BYTES 63

/* The text of an XML element, as far as it is a plain word: no more of what an origin wrote goes into a log. */
static struct str element(struct str text, const char *open)
{
	const char *at = text.n ? memmem(text.at, text.n, open, strlen(open)) : NULL;
	struct str word = {at ? at + strlen(open) : NULL, 0};
	while (at && word.at + word.n < text.at + text.n && word.n < CODE_BYTES &&
	       (isalnum((unsigned char)word.at[word.n]) || strchr("-._", word.at[word.n])))
		word.n++;
	return word;
}

static bool is_one_of(struct str code, const char *const *codes)
{
	while (*codes && !str_equal(code, str_of(*codes)))
		codes++;
	return *codes;
}

bool refusal_is_wrong_region(const struct refusal *r)
{
	static const char *const codes[] = {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed",
					    "IllegalLocationConstraintException", NULL};
	return is_one_of(element(r->text, "<Code>"), codes);
}

static bool wrong_region(const struct refusal *r, struct error *err)
{
	struct str region = *r->region ? str_of(r->region) : element(r->text, "<Region>");
	struct str endpoint = element(r->text, "<Endpoint>"), code = element(r->text, "<Code>");
	return fail(err, 502, REASON_ORIGIN, "The image's origin is not set up correctly.",
		    "%.*s: status %d %.*s: wrong region or endpoint%s%.*s%s%.*s", (int)r->host.n, r->host.at, r->status,
		    (int)code.n, code.at, region.n ? ", it is in " : "", (int)region.n, region.at,
		    endpoint.n ? ", at " : "", (int)endpoint.n, endpoint.at);
}

static bool is_denied(int status, struct str code)
{
	static const char *const codes[] = {"AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken",
					    "RequestTimeTooSkewed", "SignatureDoesNotMatch", NULL};
	return status == 401 || status == 403 || (status == 400 && is_one_of(code, codes));
}

static bool explain(const struct refusal *r, int status, enum reason reason, const char *say, const char *hint,
		    struct error *err)
{
	struct str code = element(r->text, "<Code>");
	return fail(err, status, reason, say, "%.*s: status %d%s%.*s%s", (int)r->host.n, r->host.at, r->status,
		    code.n ? " " : "", (int)code.n, code.at, hint);
}

bool refusal_explain(const struct refusal *r, struct error *err)
{
	struct str code = element(r->text, "<Code>");
	int status = r->status;

	if (refusal_is_wrong_region(r))
		return wrong_region(r, err);
	if (str_equal(code, STR("InvalidObjectState")))
		return explain(r, 502, REASON_ORIGIN, "The image is archived at its origin.", ": archived", err);
	if (status == 404 || status == 410)
		return explain(r, 404, REASON_NOT_FOUND, "There is no image with this identifier.", "", err);
	if (is_denied(status, code))
		return explain(r, 403, REASON_DENIED, "The image's origin does not give it to this server.",
			       str_equal(code, STR("RequestTimeTooSkewed")) ? ": set this machine's clock" : "", err);
	if (status == 429 || str_equal(code, STR("SlowDown")) || (status == 503 && r->retry_after_s)) {
		explain(r, 503, REASON_THROTTLED, "The image's origin is busy.", "", err);
		err->retry_after_s = r->retry_after_s;
		return true;
	}
	explain(r, 502, REASON_ORIGIN, "The image's origin does not work now.", "", err);
	return status == 500 || status == 502 || status == 503 || status == 504;
}
