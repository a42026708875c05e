/* SPDX-License-Identifier: BSD-2-Clause */
#include "s3.h"

#define DEFAULT_REGION "us-east-1"

struct s3_signer {
	struct s3_credentials *credentials;
	const char *region;
	bool anonymous;
};

static const char *region_or_default(const char *region)
{
	return region && *region ? region : DEFAULT_REGION;
}

struct s3_signer *s3_signer_open(struct arena *a, const struct s3_options *options)
{
	struct s3_signer *s = arena_new(a, struct s3_signer);
	s->credentials = s3_credentials_open(a, options, &s3_real_world);
	s->region = region_or_default(options->region);
	s->anonymous = options->anonymous;
	return s;
}

bool s3_sign(void *signer, struct arena *a, const char *url, struct http_headers *headers, struct error *err)
{
	struct s3_signer *s = signer;
	struct s3_keys keys;
	const char *lines[S3_HEADERS + 1];
	if (s->anonymous)
		return true;
	if (!s3_credentials_get(s->credentials, &keys, err))
		return false;
	/* S3 tells the sums of objects that have one only to those who ask. */
	static const char *const extra[] = {"x-amz-checksum-mode: ENABLED", NULL};
	s3_authorization(a, &keys, s->region, url, extra, s3_real_world.now_s(), lines);
	http_add_header(headers, extra[0]);
	for (size_t i = 0; lines[i]; i++)
		http_add_header(headers, lines[i]);
	return true;
}

static bool is_ip_address(struct str host)
{
	struct str name;
	if (str_starts(host, STR("[")))
		return true;
	take_until(&host, ':', &name);
	for (size_t i = 0; i < name.n; i++)
		if (!strchr("0123456789.", name.at[i]))
			return false;
	return true;
}

static bool fits_host(struct str scheme, struct str host, struct str bucket)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
	if (is_ip_address(host) || bucket.n < 3 || bucket.n > 63)
		return false;
	for (size_t i = 0; i < bucket.n; i++)
		if (!strchr(letters, bucket.at[i]) || (bucket.at[i] == '.' && str_equal(scheme, STR("https:"))))
			return false;
	return bucket.at[0] != '.' && bucket.at[bucket.n - 1] != '.';
}

const char *s3_url(struct arena *a, const char *endpoint, const char *region, const char *bucket, bool path_style,
		   struct str key)
{
	region = region_or_default(region);
	if (!*endpoint)
		endpoint = arena_printf(a, "https://s3.%s.amazonaws.com%s", region,
					str_starts(str_of(region), STR("cn-")) ? ".cn" : "");
	struct str rest = str_of(endpoint), scheme, host, name = str_of(bucket), part;
	while (str_ends(rest, STR("/")))
		rest.n--;
	take_until(&rest, '/', &scheme);
	take_word(&rest, STR("/"));
	take_until(&rest, '/', &host);

	struct buf *b = buf_open(a, strlen(endpoint) + 3 * (name.n + key.n) + sizeof "//./");
	bool by_host = !path_style && fits_host(scheme, host, name);
	buf_str(b, scheme);
	buf_text(b, "//");
	buf_str(b, by_host ? name : STR(""));
	buf_text(b, by_host ? "." : "");
	buf_str(b, host);
	buf_text(b, rest.n ? "/" : "");
	buf_str(b, rest);
	if (!by_host) {
		buf_text(b, "/");
		buf_uri_segment(b, name);
	}
	while (take_until(&key, '/', &part)) {
		buf_text(b, "/");
		buf_uri_segment(b, part);
	}
	return str_dup(a, buf_view(b));
}
