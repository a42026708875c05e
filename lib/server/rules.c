/* SPDX-License-Identifier: BSD-2-Clause */
#include "rules.h"

#include "../base/file.h"
#include "../base/hash.h"
#include "../iiif/info.h"

static bool wrong(const struct config_rule *r, const char *what, struct error *err)
{
	struct error why = *err;
	return fail(err, 500, REASON_CONFIG, "The server is not configured.", "%s: %s%.400s", r->origin, what, why.why);
}

static bool read_secret(struct arena *a, const char *path, const char **secret, struct error *err)
{
	const char *why;
	*secret = file_read_line(a, path, &why);
	return *secret || fail(err, 500, REASON_CONFIG, "", "%s: %s", path, why);
}

static const struct exchange *split_fallbacks(struct arena *a, const char *const *list, size_t *n)
{
	while (list[*n])
		(*n)++;
	struct exchange *e = arena_array(a, struct exchange, *n + 1);
	for (size_t i = 0; i < *n; i++) {
		const char *arrow = strstr(list[i], "->");
		e[i].from = str_trim((struct str){list[i], (size_t)(arrow - list[i])});
		e[i].to = str_trim(str_of(arrow + 2));
	}
	return e;
}

/* A secret that stands in the rule, with no name beside it. */
static bool has_nameless_secret(const struct config_rule *r)
{
	return *r->bearer || (*r->password && !*r->user);
}

static void add_line(struct hasher *h, const char *text)
{
	hasher_add(h, text, strlen(text));
	hasher_add(h, "\n", 1);
}

/*
 * As whom an origin is asked, and with which limits: rules that ask otherwise must not share what they get.
 *
 * It is where credentials come from, not the secrets, so that what was fetched outlives their rotation: the names of
 * users, keys, profiles and files; S3 that is signed by the environment's or a role's keys; for a secret without a name
 * the rule itself. Further headers count as they are: they may choose what is sent.
 */
static const char *account_of(struct arena *a, const struct config_rule *r)
{
	bool is_signed = r->type == SOURCE_S3 && !r->anonymous, is_own = has_nameless_secret(r);
	const char *const texts[] = {
		r->user, r->secret_file, r->client_certificate, r->access_key, r->profile, is_signed ? "signed" : "",
		is_own ? "own" : "", is_own ? r->prefix : "", is_own ? r->pattern : "",
	};
	/* No text in between that would have to be wiped: headers may be secrets. */
	struct hasher *h = hasher_open(HASH_SHA256);
	char hash[65];
	bool any = *r->headers != NULL;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		add_line(h, texts[i]);
		any |= *texts[i] != '\0';
	}
	for (const char **line = r->headers; *line; line++)
		add_line(h, *line);
	/* Hosts by identifier are guarded, and more is asked of originals that have a limit or a sum. */
	if (*r->allowed_hosts || r->max_original_bytes || r->etag_is_md5) {
		add_line(h, arena_printf(a, "%d %llu %d", *r->allowed_hosts != NULL,
					 (unsigned long long)r->max_original_bytes, r->etag_is_md5));
		any = true;
	}
	hasher_close_hex(h, hash);
	return any ? arena_strndup(a, hash, 32) : "";
}

/* fetches: this process asks origins, and needs their secrets. */
static bool fill_http(struct arena *a, const struct config_rule *r, bool fetches, struct http_options *h,
		      struct error *err)
{
	*h = (struct http_options){
		.connect_ms = (int64_t)r->connect_timeout_ms,
		.stall_ms = (int64_t)r->stall_timeout_ms,
		.total_ms = (int64_t)r->total_timeout_ms,
		.max_bytes = r->max_original_bytes,
		.retries = (unsigned)r->retries,
		.user = r->user,
		.password = r->password,
		.bearer = r->bearer,
		.headers = r->headers,
		.client_certificate = r->client_certificate,
		.client_key = r->client_key,
		.ca_file = r->ca_file,
		.proxy = r->proxy,
	};
	if (r->type == SOURCE_S3) {
		struct s3_options *o = arena_new(a, struct s3_options);
		*o = (struct s3_options){.region = r->region,
					 .access_key = r->access_key,
					 .secret_key = r->secret_key,
					 .session_token = r->session_token,
					 .secret_file = r->secret_file,
					 .profile = r->profile,
					 .anonymous = r->anonymous};
		h->sign = s3_sign;
		h->sign_with = s3_signer_open(a, o);
		return true;
	}
	return !*r->secret_file || !fetches || read_secret(a, r->secret_file, *r->user ? &h->password : &h->bearer, err);
}

static bool fill_template(struct arena *a, const struct config_rule *r, struct resolver_rule *rule, struct error *err)
{
	struct template_options o = {.prefix = r->prefix,
				     .pattern = r->pattern,
				     .delimiter = r->delimiter,
				     .text = r->type == SOURCE_HTTP ? r->url : r->path,
				     .is_url = r->type == SOURCE_HTTP};
	/* The plain case, which the start page's list can go through backwards. */
	if (r->type == SOURCE_FILE && !*r->pattern && !*r->delimiter && strcmp(r->path, "{id}") == 0)
		return true;
	rule->template = template_make(a, &o, err);
	return rule->template != NULL;
}

static bool make_rule(struct arena *a, const struct config_rule *r, bool fetches, struct resolver_rule *rule,
		      struct error *err)
{
	struct limits ignored = {0};
	*rule = (struct resolver_rule){
		.type = (enum rule_type)r->type,
		.prefix = r->prefix,
		.file = {r->root, (enum symlinks)r->symlinks, r->allowed_roots},
		.suffixes = r->suffixes,
		.sidecars = r->sidecars,
		.endpoint = r->endpoint, .region = r->region, .bucket = r->bucket, .path_style = r->path_style,
		.allowed_hosts = r->allowed_hosts, .account = account_of(a, r),
		.validator = (enum rule_validator)r->validator, .etag_is_md5 = r->etag_is_md5,
		.forbidden_is_missing = r->forbidden == FORBIDDEN_404, .immutable = r->immutable,
		.revalidate_after_s = (int64_t)r->revalidate_after, .negative_ttl_s = (int64_t)r->negative_ttl,
		.stale_if_error_s = (int64_t)r->stale_if_error,
	};
	rule->fallbacks = split_fallbacks(a, r->fallback, &rule->n_fallbacks);
	rule->verify = config_rule_verifies(r);
	if (!fill_template(a, r, rule, err))
		return wrong(r, "", err);
	if (rule->type != RULE_FILE && !fill_http(a, r, fetches, &rule->http, err))
		return wrong(r, "secret_file: ", err);
	rule->http.guarded = rule->template && template_is_open(rule->template);
	if (rule->http.guarded && !*r->allowed_hosts)
		return fail(err, 500, REASON_CONFIG, "The server is not configured.",
			    "%s: origin.allowed_hosts: identifiers bring the host, so a list of hosts is needed",
			    r->origin);
	return info_limits(str_of(r->info_json), &ignored, err) || wrong(r, "info_json: ", err);
}

struct resolver_rule *rules_make(struct arena *a, const struct config *c, struct error *err)
{
	struct resolver_rule *rules = arena_array(a, struct resolver_rule, c->n_rules);
	for (size_t i = 0; i < c->n_rules; i++)
		if (!make_rule(a, &c->rules[i], config_role_fetches(c), &rules[i], err))
			return NULL;
	return rules;
}

struct cache *rules_open_cache(struct arena *a, const struct config *c)
{
	struct cache_options o = {.folder = c->cache_folder,
				  .max_bytes = c->cache_max_bytes,
				  .min_free_bytes = c->min_free_bytes,
				  .temporary = c->temporary,
				  .temporary_bytes = c->temporary_bytes};
	return cache_open(a, &o);
}
