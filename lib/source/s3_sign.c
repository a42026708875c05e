/* SPDX-License-Identifier: BSD-2-Clause */
#include "s3_sign.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <time.h>

#define SUM_BYTES 32
#define HEX_BYTES (2 * SUM_BYTES + 1)
/* Of no bytes at all: a GET has no body. */
#define EMPTY_SUM "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OWN_HEADERS 4

struct pair {
	struct str name, value;
};

static int compare(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n ? memcmp(a.at, b.at, n) : 0;
	return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* By the names first: "a-b=" stands before "a=" only as a text. */
static int compare_pairs(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int order = compare(x->name, y->name);
	return order ? order : compare(x->value, y->value);
}

/* The three parts of a URL that are signed. The host has its port unless that is the scheme's own: so it is sent. */
static void split(struct str url, struct str *host, struct str *path, struct str *query)
{
	const struct str own_port = str_starts(url, STR("https:")) ? STR(":443") : STR(":80");
	struct str rest = url, user;
	take_until(&rest, '/', host);
	take_word(&rest, STR("/"));
	take_until(&rest, '?', path);
	*query = rest;

	size_t n = 0;
	while (n < path->n && path->at[n] != '/')
		n++;
	*host = (struct str){path->at, n};
	*path = n < path->n ? (struct str){path->at + n, path->n - n} : STR("/");
	if (host->n && memchr(host->at, '@', host->n))
		take_until(host, '@', &user);
	if (str_ends(*host, own_port))
		host->n -= own_port.n;
}

/* A name or value of a query as servers see it, encoded strictly. They read a plus sign as a space. */
static struct str canonical_word(struct arena *a, struct str raw)
{
	struct buf *b = buf_open(a, 3 * raw.n);
	char *spaced = str_dup(a, raw);
	for (size_t i = 0; i < raw.n; i++)
		if (spaced[i] == '+')
			spaced[i] = ' ';
	struct str word = {spaced, raw.n};
	percent_decode(a, word, &word);
	buf_uri_segment(b, word);
	return buf_view(b);
}

static void write_query(struct arena *a, struct str query, struct buf *out)
{
	size_t n = 0, most = 1;
	for (size_t i = 0; i < query.n; i++)
		most += query.at[i] == '&';
	struct pair *pairs = arena_array(a, struct pair, most);
	struct str piece, name;
	while (take_until(&query, '&', &piece)) {
		if (!piece.n)
			continue;
		take_until(&piece, '=', &name);
		pairs[n++] = (struct pair){canonical_word(a, name), canonical_word(a, piece)};
	}
	qsort(pairs, n, sizeof *pairs, compare_pairs);
	for (size_t i = 0; i < n; i++) {
		buf_text(out, i ? "&" : "");
		buf_str(out, pairs[i].name);
		buf_text(out, "=");
		buf_str(out, pairs[i].value);
	}
}

/* All headers that are signed, in order. */
static struct pair *sorted_headers(struct arena *a, const struct pair own[OWN_HEADERS], const char *const *extra,
				   size_t *count)
{
	size_t n = 0, most = OWN_HEADERS;
	for (const char *const *e = extra; e && *e; e++)
		most++;
	struct pair *headers = arena_array(a, struct pair, most);
	for (size_t i = 0; i < OWN_HEADERS; i++)
		if (own[i].value.n)
			headers[n++] = own[i];
	for (const char *const *e = extra; e && *e; e++) {
		struct str value = str_of(*e), name;
		take_until(&value, ':', &name);
		headers[n++] = (struct pair){name, str_trim(value)};
	}
	qsort(headers, n, sizeof *headers, compare_pairs);
	*count = n;
	return headers;
}

static struct str signed_names(struct arena *a, const struct pair *headers, size_t n)
{
	struct buf *b = buf_open(a, SIZE_MAX);
	for (size_t i = 0; i < n; i++) {
		buf_text(b, i ? ";" : "");
		buf_str(b, headers[i].name);
	}
	return buf_view(b);
}

static struct str canonical_request(struct arena *a, struct str path, struct str query, const struct pair *headers,
				    size_t n, struct str names)
{
	struct buf *b = buf_open(a, SIZE_MAX);
	buf_text(b, "GET\n");
	buf_str(b, path);
	buf_text(b, "\n");
	write_query(a, query, b);
	buf_text(b, "\n");
	for (size_t i = 0; i < n; i++) {
		buf_str(b, headers[i].name);
		buf_text(b, ":");
		buf_str(b, headers[i].value);
		buf_text(b, "\n");
	}
	buf_text(b, "\n");
	buf_str(b, names);
	buf_text(b, "\n" EMPTY_SUM);
	return buf_view(b);
}

static void write_hex(const unsigned char sum[SUM_BYTES], char out[HEX_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	for (int i = 0; i < SUM_BYTES; i++) {
		out[2 * i] = digits[sum[i] >> 4];
		out[2 * i + 1] = digits[sum[i] & 15];
	}
	out[HEX_BYTES - 1] = '\0';
}

/* sum becomes the HMAC of text under it. */
static void hmac_next(unsigned char sum[SUM_BYTES], struct str text)
{
	unsigned char key[SUM_BYTES];
	memcpy(key, sum, SUM_BYTES);
	HMAC(EVP_sha256(), key, SUM_BYTES, (const unsigned char *)text.at, text.n, sum, NULL);
}

static void write_signature(struct arena *a, const char *secret, struct str date, struct str region, struct str text,
			    char out[HEX_BYTES])
{
	unsigned char sum[SUM_BYTES];
	const char *first = arena_printf(a, "AWS4%s", secret);
	HMAC(EVP_sha256(), first, (int)strlen(first), (const unsigned char *)date.at, date.n, sum, NULL);
	hmac_next(sum, region);
	hmac_next(sum, STR("s3"));
	hmac_next(sum, STR("aws4_request"));
	hmac_next(sum, text);
	write_hex(sum, out);
}

void s3_authorization(struct arena *a, const struct s3_keys *keys, const char *region, const char *url,
		      const char *const *extra, int64_t now_s, const char *headers[S3_HEADERS + 1])
{
	char moment[sizeof "20130524T000000Z"];
	time_t now = (time_t)now_s;
	struct tm utc;
	gmtime_r(&now, &utc);
	strftime(moment, sizeof moment, "%Y%m%dT%H%M%SZ", &utc);
	const struct str day = {moment, 8};
	const char *scope = arena_printf(a, "%.8s/%s/s3/aws4_request", moment, region);

	struct str host, path, query;
	split(str_of(url), &host, &path, &query);
	const struct pair own[OWN_HEADERS] = {
		{STR("host"), host},
		{STR("x-amz-content-sha256"), STR(EMPTY_SUM)},
		{STR("x-amz-date"), str_of(moment)},
		{STR("x-amz-security-token"), str_of(keys->token)},
	};
	size_t n;
	const struct pair *all = sorted_headers(a, own, extra, &n);
	struct str names = signed_names(a, all, n);
	struct str request = canonical_request(a, path, query, all, n, names);

	unsigned char sum[SUM_BYTES];
	char hex[HEX_BYTES];
	EVP_Digest(request.at, request.n, sum, NULL, EVP_sha256(), NULL);
	write_hex(sum, hex);
	const char *text = arena_printf(a, "AWS4-HMAC-SHA256\n%s\n%s\n%s", moment, scope, hex);
	write_signature(a, keys->secret_key, day, str_of(region), str_of(text), hex);

	headers[0] = arena_printf(a, "Authorization: AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%.*s,Signature=%s",
				  keys->access_key, scope, (int)names.n, names.at, hex);
	headers[1] = "x-amz-content-sha256: " EMPTY_SUM;
	headers[2] = arena_printf(a, "x-amz-date: %s", moment);
	headers[3] = keys->token && *keys->token ? arena_printf(a, "x-amz-security-token: %s", keys->token) : NULL;
	headers[4] = NULL;
}
