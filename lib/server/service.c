/* SPDX-License-Identifier: BSD-2-Clause */
#include "service.h"

#include <math.h>
#include <time.h>

#include "../base/hash.h"
#include "../base/metrics.h"
#include "../iiif/info.h"
#include "../iiif/negotiate.h"
#include "../image/codecs.h"
#include "../image/heif.h"
#include "../image/magick.h"
#include "../source/fetch.h"
#include "known.h"
#include "rules.h"
#include "start_page.h"
#include "verify.h"

/* Raised whenever the same request gives other pixels than before: part of every ETag. */
#define PIXELS_VERSION 1

#define URI_MAX_BYTES 16384
#define HEADERS_MAX_BYTES 65536
#define INFO_MAX_BYTES (1 << 20)
#define ERROR_CACHE_S 1
#define RETRY_S 1
#define IMMUTABLE_S 31536000
#define FALLBACK_CACHE_S 300
#define STALE_CACHE_S 5
#define CANDIDATE_TRIES 8
#define DEADLY_STRIKES 2

struct service {
	const struct config *config;
	struct request_options grammar;
	struct resolver resolver;
	enum format formats[FORMATS];      /* that this server writes */
	size_t n_formats;
};

/* All that one answer is made of, so that the steps below read as sentences. */
struct job {
	const struct service *service;
	const struct call *call;
	struct reply *reply;
	struct arena *a;
	struct request request;
	enum { ANY_STEP, FETCH_STEP } step;
	unsigned round;                    /* how often a fetcher was asked */
	struct resolved resolved;
	const struct config_rule *rule;
	struct picture picture;            /* its decoder is NULL where the facts were known */
	bool is_open;                      /* the picture's header was sound */
	bool is_redirect;                  /* the reply is for the web server only */
	struct patience patience;          /* of a fetcher's client */
	struct limits limits;
	const char *id;                    /* the image's base URI, as the client sees it */
	struct stopwatch watch;
};

static void header(struct job *job, const char *name, const char *value)
{
	buf_printf(job->reply->headers, "%s: %s\r\n", name, value);
}

static bool is_method(const struct call *call, const char *name)
{
	return str_equal(call->method, str_of(name));
}

static bool is_host(struct str s)
{
	if (!s.n || s.n > 255)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.at[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && !strchr(".-_:[]", c))
			return false;
	}
	return true;
}

/* The base URI of the image, with the identifier as the client sent it. */
static const char *make_id(struct job *job)
{
	const struct call *call = job->call;
	struct buf *b = buf_open(job->a, URI_MAX_BYTES * 4);
	if (*job->service->config->base_uri) {
		buf_text(b, job->service->config->base_uri);
	} else {
		buf_text(b, str_equal_nocase(call->scheme, STR("https")) ? "https://" : "http://");
		buf_str(b, is_host(call->host) ? call->host : STR("localhost"));
	}
	buf_uri_text(b, call->prefix);
	buf_uri_text(b, job->request.base);
	return str_dup(job->a, buf_view(b));
}

static const char *http_date(struct arena *a, int64_t when)
{
	char text[40];
	time_t t = (time_t)when;
	struct tm tm;
	if (!gmtime_r(&t, &tm))
		return "Thu, 01 Jan 1970 00:00:00 GMT";
	strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	return arena_strndup(a, text, strlen(text));
}

static int64_t last_modified(const struct job *job)
{
	int64_t file = job->resolved.modified_s;
	int64_t sidecar = job->resolved.sidecar_validator.modified_s;
	return sidecar > file ? sidecar : file;
}

/* If-None-Match: any of the listed tags, compared weakly (RFC 9110, 13.1.2). */
static bool etag_matches(struct str list, const char *etag)
{
	struct str piece;
	if (str_equal(str_trim(list), STR("*")))
		return true;
	while (take_until(&list, ',', &piece)) {
		piece = str_trim(piece);
		take_word(&piece, STR("W/"));
		if (str_equal(piece, str_of(etag)))
			return true;
	}
	return false;
}

static bool not_modified(const struct job *job, const char *etag)
{
	const struct call *call = job->call;
	if (call->if_none_match.n)
		return etag_matches(call->if_none_match, etag);
	if (!call->if_modified_since.n)
		return false;
	struct tm tm = {0};
	const char *end = strptime(str_dup(job->a, call->if_modified_since), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	return end && !*end && last_modified(job) && last_modified(job) <= (int64_t)timegm(&tm);
}

/* The part of every ETag that speaks of the original: lengths and whole seconds only, so that
 * servers with copies of the same files agree. */
static void write_validators(const struct job *job, struct buf *b)
{
	const struct validator *v = &job->resolved.validator, *s = &job->resolved.sidecar_validator;
	buf_printf(b, "%d|%llu|%lld|%llu|%lld|%u|", PIXELS_VERSION, (unsigned long long)v->length,
		   *v->tag ? 0 : (long long)v->modified_s, (unsigned long long)s->length, (long long)s->modified_s,
		   job->request.page);
	if (*v->tag || v->generation)
		buf_printf(b, "%s|%llu|", v->tag, (unsigned long long)v->generation);
	if (job->resolved.candidate.is_fallback)
		buf_printf(b, "%s|", job->resolved.candidate.key);
}

/*
 * Validators and lifetimes; answers 304 and HEAD here, before anything is decoded. True if done.
 *
 * stale-while-revalidate (RFC 5861) lets caches, nginx first, give out the old answer while one request asks for the
 * new one: else all that wait when an entry's time has come would run at once.
 */
static bool answer_without_body(struct job *job, const char *etag, uint64_t max_age_s)
{
	struct reply *reply = job->reply;
	bool fallback = job->resolved.candidate.is_fallback, stale = job->resolved.is_stale;
	bool immutable = job->rule->immutable && job->request.kind == REQUEST_IMAGE && !fallback;
	uint64_t accel = immutable ? IMMUTABLE_S : stale ? 1 : job->rule->revalidate_after;

	if (fallback && max_age_s > FALLBACK_CACHE_S)
		max_age_s = FALLBACK_CACHE_S;
	if (stale && max_age_s > STALE_CACHE_S)
		max_age_s = STALE_CACHE_S;
	header(job, "ETag", etag);
	if (last_modified(job))
		header(job, "Last-Modified", http_date(job->a, last_modified(job)));
	if (fallback)
		header(job, "X-IIIF-Fallback", "1");
	if (fallback)
		metrics_add(METRIC_FALLBACKS, 1);
	if (stale)
		metrics_add(METRIC_CACHE_STALE, 1);
	reply->is_fallback = fallback;
	if (immutable)
		buf_printf(reply->headers, "Cache-Control: public, max-age=%d, immutable\r\n", IMMUTABLE_S);
	else
		buf_printf(reply->headers, "Cache-Control: public, max-age=%llu, stale-while-revalidate=%llu\r\n",
			   (unsigned long long)max_age_s, (unsigned long long)accel);
	buf_printf(reply->headers, "X-Accel-Expires: %llu\r\n", (unsigned long long)accel);

	reply->status = not_modified(job, etag) ? 304 : 200;
	reply->body_is_left_out = reply->status == 304 || is_method(job->call, "HEAD");
	return reply->body_is_left_out;
}

static bool set_limits(struct job *job, struct error *err)
{
	struct limits l = {job->rule->max_width, job->rule->max_height, job->rule->max_area, job->rule->upscale};
	if (!info_limits(str_of(job->rule->info_json), &l, err) || !info_limits(job->resolved.sidecar, &l, err))
		return false;
	job->limits = limits_effective(l, &job->picture.facts);
	return true;
}

static void count_strikes(void *with, uint64_t original, bool certain)
{
	(void)original;
	*(unsigned *)with += certain ? DEADLY_STRIKES : 1;
}

/*
 * An original that a process did not survive is not tried again for an hour: at once, if it died of a bug's signal; at the
 * second death in a row otherwise, as a kill -9 may be nobody's fault. Sets the mark that tells of this process's own end.
 */
static bool survive(struct job *job, struct error *err)
{
	const struct resolved *r = &job->resolved;
	uint64_t original = hash_64(str_of(r->candidate.key));
	unsigned strikes = r->known.strikes, before = strikes;
	metrics_crashes(original, count_strikes, &strikes);
	if (strikes > before)
		metrics_add(METRIC_CRASHES, 1);
	if (strikes >= DEADLY_STRIKES) {
		resolver_judge(&job->service->resolver, r, job->request.identifier, VERDICT_DEADLY, strikes);
		return verdict_fail(VERDICT_DEADLY, 0, err);
	}
	if (strikes > before)
		resolver_judge(&job->service->resolver, r, job->request.identifier, r->known.verdict, strikes);
	job->resolved.known.strikes = strikes;
	metrics_mark(MARK_DECODE, original, 0);
	return true;
}

/* A decoding that was survived. */
static void forgive(struct job *job)
{
	metrics_mark(MARK_NONE, 0, 0);
	if (job->resolved.known.strikes)
		resolver_judge(&job->service->resolver, &job->resolved, job->request.identifier, job->resolved.known.verdict, 0);
}

static bool open_original(struct job *job, size_t skip, struct error *err)
{
	struct resolved *r = &job->resolved;
	struct resolver_wish wish = {.identifier = job->request.identifier, .skip = skip, .was_fetched = job->round > 0,
				     .facts_suffice = job->request.kind == REQUEST_INFO && job->request.page == 1};
	struct known_picture known;
	bool found = resolver_open(job->a, &job->service->resolver, &wish, r, err);
	/* Facts of a program with another layout. */
	if (found && !r->source && !known_read(r->known.facts, &known)) {
		wish.facts_suffice = false;
		found = resolver_open(job->a, &job->service->resolver, &wish, r, err);
	}
	stopwatch_lap(&job->watch, STAGE_RESOLVE);
	job->reply->source = r->name;
	if (r->rule < job->service->config->n_rules)
		job->rule = &job->service->config->rules[r->rule];
	return found;
}

/* What was learnt of a picture behind a network is kept, so that the next info.json needs no file. */
static void keep_facts(struct job *job)
{
	struct original o = job->resolved.known;
	if (!o.bytes || o.facts.n || job->request.page != 1)
		return;
	o.facts = known_write(job->a, &job->picture);
	cache_keep_facts(job->service->resolver.cache, &o);
}

static bool open_picture(struct job *job, size_t skip, struct error *err)
{
	struct known_picture known;
	struct picture *p = &job->picture;
	job->is_open = false;
	if (!open_original(job, skip, err))
		return false;
	if (!job->resolved.source && known_read(job->resolved.known.facts, &known)) {
		*p = (struct picture){.facts = known.facts};
		p->metadata.per_cm_x = known.per_cm_x;
		p->metadata.per_cm_y = known.per_cm_y;
		job->reply->source_format = p->facts.format;
		return set_limits(job, err);
	}
	bool opened = survive(job, err) &&
		      picture_open(job->a, decoders, job->resolved.source, job->request.page, p, err) &&
		      verify_pixels(job->service->config, p, err);
	job->reply->source_format = p->facts.format;
	if (opened)
		keep_facts(job);
	opened = opened && set_limits(job, err);
	job->is_open = opened;
	stopwatch_lap(&job->watch, STAGE_OPEN);
	return opened;
}

/* One resolution for both axes. 72 and 96 dots an inch are what programs write that know none. */
static double known_resolution(const struct metadata *m)
{
	double inch = m->per_cm_x * 2.54;
	bool square = fabs(m->per_cm_x - m->per_cm_y) <= 0.001 * m->per_cm_x;
	return square && inch >= 1 && fabs(inch - 72) > 0.01 && fabs(inch - 96) > 0.01 ? m->per_cm_x : 0;
}

static bool answer_info(struct job *job, size_t skip, struct error *err)
{
	const struct config *c = job->service->config;
	if (!open_picture(job, skip, err))
		return false;

	struct info info = {
		.version = job->request.version,
		.id = job->id,
		.facts = &job->picture.facts,
		.limits = job->limits,
		.pixels_per_cm = known_resolution(&job->picture.metadata),
		.tile_size = (uint32_t)c->tile_size,
		.min_tile_size = (uint32_t)job->rule->min_tile_size,
		.formats = job->service->formats,
		.n_formats = job->service->n_formats,
		.bitonal = true,
		.any_rotation = true,
		.rights = job->rule->rights,
		.preferred_formats = job->rule->preferred_formats,
		.rule_json = str_of(job->rule->info_json),
		.sidecar_json = job->resolved.sidecar,
	};
	struct buf *body = buf_open(job->a, INFO_MAX_BYTES);
	if (!info_write(job->a, &info, body, err))
		return false;

	enum info_type type = negotiate_info(job->request.version, job->call->accept);
	struct buf *seed = buf_open(job->a, INFO_MAX_BYTES + 4096);
	write_validators(job, seed);
	buf_printf(seed, "%s|", info_type_name(type));
	buf_str(seed, buf_view(body));
	char hash[33];
	hash_hex(buf_view(seed), hash);

	header(job, "Content-Type", info_type_name(type));
	header(job, "Vary", "Accept");
	if (job->request.version == 3)
		header(job, "Link", "<http://iiif.io/api/image/3/level2.json>;rel=\"profile\"");
	if (!answer_without_body(job, arena_printf(job->a, "\"%s\"", hash), job->rule->cache_info))
		job->reply->body = buf_view(body);
	return true;
}

/* IDENTIFIER_region_size_rotation_quality.format, for people who save the picture. */
static void header_disposition(struct job *job, struct str canonical)
{
	struct str id = job->request.identifier;
	struct buf *name = buf_open(job->a, URI_MAX_BYTES * 2);
	const char *slash = memrchr(id.at, '/', id.n);
	if (slash)
		id = (struct str){slash + 1, (size_t)(id.at + id.n - slash - 1)};
	buf_str(name, id);
	buf_text(name, "_");
	for (size_t i = 0; i < canonical.n; i++)
		buf_write(name, canonical.at[i] == '/' ? "_" : &canonical.at[i], 1);

	char *ascii = str_dup(job->a, buf_view(name));
	for (char *c = ascii; *c; c++) {
		bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
		if (!plain && !strchr("._,-!", *c))
			*c = '_';
	}
	struct buf *h = job->reply->headers;
	buf_printf(h, "Content-Disposition: inline; filename=\"%s\"", ascii);
	if (str_is_utf8(buf_view(name))) {
		buf_text(h, "; filename*=UTF-8''");
		buf_uri_segment(h, buf_view(name));
	}
	buf_text(h, "\r\n");
}

static bool answer_image(struct job *job, size_t skip, struct error *err)
{
	const struct request *r = &job->request;
	const struct encoder *encoder = encoder_for(r->format);
	struct recipe recipe;

	if (!encoder)
		return fail(err, 400, REASON_UNSUPPORTED, "This server does not write this format.", "%s", "");
	/* Memory is judged here: a HEAD or 304 promises no more than a GET gives. */
	if (!open_picture(job, skip, err) ||
	    !recipe_make(job->service->config, job->rule, &job->picture, encoder, r, &job->limits, &recipe, err))
		return false;

	struct buf *canonical = buf_open(job->a, 512), *seed = buf_open(job->a, 1024);
	char hash[33];
	plan_write_canonical(&recipe.plan, &job->picture.facts, r->version, canonical);
	write_validators(job, seed);
	buf_str(seed, buf_view(canonical));
	recipe_write_options(&recipe, seed);
	hash_hex(buf_view(seed), hash);

	header(job, "Content-Type", format_media_type(r->format));
	buf_printf(job->reply->headers,
		   "Link: <%s/%.*s>;rel=\"canonical\", <http://iiif.io/api/image/%d/level2.json>;rel=\"profile\"\r\n",
		   job->id, (int)canonical->n, canonical->at, r->version);
	header_disposition(job, buf_view(canonical));
	return answer_without_body(job, arena_printf(job->a, "\"%s\"", hash), job->rule->cache_images) ||
	       recipe_run(job->a, &recipe, &job->watch, &job->reply->body, err);
}

/* Whether a failure is the original's, so that a fallback may serve; else VERDICT_NONE. */
static enum verdict judge(const struct job *job, const struct error *err)
{
	enum verdict v = job->resolved.source ? verdict_of(err) : VERDICT_NONE;
	/* A page that is not there, and what this one request asks too much, are not the original's fault. */
	return v == VERDICT_MISSING || (job->is_open && v != VERDICT_DAMAGED) ? VERDICT_NONE : v;
}

/* A cached file that is not what was fetched is dropped, and the original asked for again. */
static bool is_rotten(struct job *job)
{
	const struct original *o = &job->resolved.known;
	return o->bytes && cache_verify_file(job->service->resolver.cache, o);
}

static bool try_candidates(struct job *job, struct error *err)
{
	const struct service *s = job->service;
	size_t skip = 0;
	for (int tries = 0; tries < CANDIDATE_TRIES; tries++) {
		bool ok = job->request.kind == REQUEST_INFO ? answer_info(job, skip, err) : answer_image(job, skip, err);
		forgive(job);
		enum verdict verdict = ok || job->resolved.wants_fetch ? VERDICT_NONE : judge(job, err);
		if (verdict == VERDICT_NONE)
			return ok;
		job->reply->headers->n = 0;
		if (verdict == VERDICT_DAMAGED && is_rotten(job))
			continue;
		if (!job->resolved.has_next || !s->resolver.rules[job->resolved.rule].n_fallbacks)
			return false;
		resolver_judge(&s->resolver, &job->resolved, job->request.identifier, verdict, 0);
		skip = job->resolved.index + 1;
	}
	return false;
}

/* To another process. No other header: the web server would add it to the answer. */
static void redirect(struct job *job, struct reply *reply, const char *step)
{
	reply->status = 200;
	reply->headers->n = 0;
	reply->body_is_left_out = true;
	buf_printf(reply->headers, "X-Accel-Redirect: /.iiif/%s/%s\r\n", step,
		   job->request.kind == REQUEST_INFO ? "info.json" : "image");
}

/* Where a fetcher must be asked first, that; unless all are waiting already. */
static bool hand_over(struct job *job, struct error *err)
{
	if (job->round >= SERVICE_ROUNDS)
		return fail(err, 503, REASON_BUSY, "The image is not here yet, please try again.", "fetched twice, and gone again");
	if (metrics_marked(MARK_FETCH, 0) >= job->service->config->max_waiting) {
		metrics_add(METRIC_WAITS_REFUSED, 1);
		return fail(err, 503, REASON_BUSY, "Too many requests wait for origins, please try again.", "max_waiting");
	}
	metrics_add(METRIC_CACHE_MISSES, 1);
	redirect(job, job->reply, arena_printf(job->a, "fetch-%u", job->round + 1));
	job->is_redirect = true;
	return true;
}

static void answer_error(struct job *job, const struct error *err)
{
	struct reply *reply = job->reply;
	bool json = job->request.kind == REQUEST_INFO;
	reply->status = err->status;
	reply->reason = err->reason;
	reply->why = arena_strndup(job->a, err->why, strlen(err->why));
	header(job, "Content-Type", json ? "application/json" : "text/plain; charset=utf-8");
	buf_printf(reply->headers, "Cache-Control: max-age=%d\r\n", ERROR_CACHE_S);
	if (err->status >= 502 && err->status <= 504)
		buf_printf(reply->headers, "Retry-After: %d\r\n", err->retry_after_s > 0 ? err->retry_after_s : RETRY_S);
	if (err->status == 405)
		header(job, "Allow", "GET, HEAD, OPTIONS");
	reply->body_is_left_out = is_method(job->call, "HEAD");
	if (reply->body_is_left_out)
		return;
	const char *text = json ? arena_printf(job->a, "{\"status\":%d,\"error\":\"%s\"}\n", err->status, err->say)
				: arena_printf(job->a, "%s\n", err->say);
	reply->body = str_of(text);
}

static void answer_redirect(struct job *job)
{
	job->reply->status = 303;
	buf_printf(job->reply->headers, "Location: %s/info.json\r\n", job->id);
	const struct config_rule *defaults = &job->service->config->defaults;
	buf_printf(job->reply->headers, "Cache-Control: public, max-age=%llu\r\nX-Accel-Expires: %llu\r\n",
		   (unsigned long long)defaults->cache_info, (unsigned long long)defaults->revalidate_after);
}

/* The headers a page may send: those it asked for, as far as they are header names. */
static void answer_preflight(struct job *job)
{
	struct str asked = job->call->cors_headers;
	bool sane = asked.n > 0 && asked.n < 1024;
	for (size_t i = 0; i < asked.n && sane; i++) {
		char c = asked.at[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		sane = letter || strchr("-_, ", c);
	}
	job->reply->status = 204;
	job->reply->body_is_left_out = true;
	header(job, "Allow", "GET, HEAD, OPTIONS");
	header(job, "Access-Control-Allow-Methods", "GET, HEAD, OPTIONS");
	header(job, "Access-Control-Allow-Headers",
	       sane ? str_dup(job->a, asked) : "Authorization, Accept, Content-Type");
	header(job, "Access-Control-Max-Age", "86400");
}

static void answer_start_page(struct job *job)
{
	const struct service *s = job->service;
	struct start_page page = {&s->grammar, s->resolver.rules, s->config->n_rules, job->call->prefix};
	job->reply->status = 200;
	header(job, "Content-Type", "text/html; charset=utf-8");
	header(job, "Content-Security-Policy", start_page_policy(job->a));
	header(job, "X-Content-Type-Options", "nosniff");
	header(job, "Referrer-Policy", "same-origin");
	buf_printf(job->reply->headers, "Cache-Control: public, max-age=%d\r\nX-Accel-Expires: %d\r\n",
		   START_PAGE_CACHE_S, START_PAGE_CACHE_S);
	job->reply->body_is_left_out = is_method(job->call, "HEAD");
	if (!job->reply->body_is_left_out)
		job->reply->body = start_page_write(job->a, &page);
}

/* --- a fetcher's part --- */

static void header_for_all(struct job *job);

/* The client gets this now; the work goes on. */
static void reply_early(struct job *job, struct reply *early)
{
	const struct call *call = job->call;
	if (!call->early || job->reply->was_early)
		return;
	job->reply->was_early = true;
	call->early(call->early_with, early);
}

static void late(void *with)
{
	struct job *job = with;
	struct error err;
	struct reply *mine = job->reply, early = {.headers = buf_open(job->a, HEADERS_MAX_BYTES), .why = "", .source = mine->source,
						  .source_format = ""};
	fail(&err, 503, REASON_TIMEOUT, "The image is not here yet, please try again.", "max_wait_ms; the download goes on");
	metrics_add(METRIC_WAITS_LATE, 1);
	job->reply = &early;
	answer_error(job, &err);
	header_for_all(job);
	job->reply = mine;
	reply_early(job, &early);
}

static void servable(void *with)
{
	struct job *job = with;
	struct reply early = {.headers = buf_open(job->a, HEADERS_MAX_BYTES), .why = "", .source = "", .source_format = ""};
	redirect(job, &early, arena_printf(job->a, "pool-%u", job->round));
	reply_early(job, &early);
}

static bool verify(void *with, struct source *source, struct error *err)
{
	return verify_picture(((struct job *)with)->service->config, source, err);
}

static bool answer_fetch(struct job *job, struct error *err)
{
	const struct config *c = job->service->config;
	job->patience = (struct patience){clock_us() + (int64_t)c->max_wait_ms * 1000, late, job, false};
	struct fetch_job fetch = {
		.resolver = &job->service->resolver, .identifier = job->request.identifier, .max_waiting = (size_t)c->max_waiting,
		.max_bytes = c->cache_max_bytes, .patience = job->call->early ? &job->patience : NULL,
		.servable = servable, .verify = verify, .with = job,
	};
	bool ok = fetch_run(job->a, &fetch, err);
	stopwatch_lap(&job->watch, STAGE_FETCH);
	if (!ok)
		return false;
	redirect(job, job->reply, arena_printf(job->a, "pool-%u", job->round));
	job->is_redirect = true;
	return true;
}

static void answer_metrics(struct job *job)
{
	struct cache_state state;
	struct buf *body = buf_open(job->a, INFO_MAX_BYTES);
	metrics_write(body);
	cache_stat(job->service->resolver.cache, job->a, &state);
	const struct {
		const char *name, *help;
		uint64_t value;
	} gauges[] = {
		{"usable", "Whether the cache's folder can be used.", state.usable},
		{"bytes", "Bytes of the originals in the cache.", state.totals.bytes},
		{"originals", "Originals in the cache.", state.totals.files},
		{"max_bytes", "Bytes that the cache may hold.", state.max_bytes},
		{"free_bytes", "Bytes free on its volume.", state.free_bytes},
	};
	for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++)
		buf_printf(body, "# HELP lorikeet_cache_%s %s\n# TYPE lorikeet_cache_%s gauge\nlorikeet_cache_%s %llu\n",
			   gauges[i].name, gauges[i].help, gauges[i].name, gauges[i].name, (unsigned long long)gauges[i].value);
	job->reply->status = 200;
	job->reply->body = buf_view(body);
	header(job, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
	header(job, "Cache-Control", "no-store");
}

/* "fetch-N" or "pool-N"; what is not of this form is a first step. */
static void parse_step(struct job *job)
{
	struct str s = job->call->step;
	uint64_t round = 0;
	bool fetch = take_word(&s, STR("fetch-"));
	if ((fetch || take_word(&s, STR("pool-"))) && take_uint(&s, SERVICE_ROUNDS, &round) && !s.n) {
		job->step = fetch ? FETCH_STEP : ANY_STEP;
		job->round = (unsigned)round;
	}
}

static bool answer_request(struct job *job, struct error *err)
{
	if (job->request.kind == REQUEST_BASE) {
		answer_redirect(job);
		return true;
	}
	if (job->step == FETCH_STEP)
		return answer_fetch(job, err);
	return try_candidates(job, err) || (job->resolved.wants_fetch && hand_over(job, err));
}

static bool answer(struct job *job, struct error *err)
{
	const struct call *call = job->call;
	struct str path = call->uri;
	const char *query = path.n ? memchr(path.at, '?', path.n) : NULL;
	if (query)
		path.n = (size_t)(query - path.at);

	parse_step(job);
	if (call->wants_metrics) {
		answer_metrics(job);
		return true;
	}
	if (is_method(call, "OPTIONS")) {
		answer_preflight(job);
		return true;
	}
	bool parsed = call->uri.n <= URI_MAX_BYTES &&
		      request_parse(job->a, &job->service->grammar, path, &job->request, err);
	if (!is_method(call, "GET") && !is_method(call, "HEAD"))
		return fail(err, 405, REASON_SYNTAX, "Only GET, HEAD and OPTIONS are served here.", "%s", "");
	if (call->uri.n > URI_MAX_BYTES)
		return fail(err, 414, REASON_SYNTAX, "The address is too long.", "%s", "");
	if (job->service->config->start_page && str_equal(path, STR("/"))) {
		answer_start_page(job);
		return true;
	}
	if (!parsed)
		return false;

	job->id = make_id(job);
	return answer_request(job, err);
}

static void header_timing(struct job *job)
{
	struct buf *h = job->reply->headers;
	buf_text(h, "Server-Timing: ");
	for (int i = 0; i < STAGES; i++)
		buf_printf(h, "%s%s;dur=%.3f", i ? ", " : "", stage_name((enum stage)i),
			   (double)job->watch.stage_us[i] / 1000);
	buf_text(h, "\r\n");
}

/* The identifier for the CDN: one word, whatever is in it. */
static void header_tag(struct job *job)
{
	static const char *const names[] = {[TAGS_SURROGATE_KEY] = "Surrogate-Key", [TAGS_CACHE_TAG] = "Cache-Tag"};
	int tag = job->service->config->tag_header;
	if (tag == TAGS_NONE || !job->request.identifier.n)
		return;
	buf_printf(job->reply->headers, "%s: ", names[tag]);
	buf_uri_segment(job->reply->headers, job->request.identifier);
	buf_text(job->reply->headers, "\r\n");
}

static void header_for_all(struct job *job)
{
	header(job, "Access-Control-Allow-Origin", "*");
	header(job, "Access-Control-Expose-Headers", "Link");
	header_tag(job);
	if (job->service->config->server_timing)
		header_timing(job);
}

void service_answer(const struct service *s, const struct call *call, struct reply *reply,
		    struct arena *a)
{
	struct job job = {.service = s, .call = call, .reply = reply, .a = a, .watch = stopwatch_start()};
	struct error err = {0};

	*reply = (struct reply){.headers = buf_open(a, HEADERS_MAX_BYTES), .why = "", .source = "",
				.source_format = ""};
	if (!answer(&job, &err)) {
		/* Nothing that a success had announced may stay beside the error. */
		reply->headers->n = 0;
		reply->body = (struct str){0};
		answer_error(&job, &err);
	}
	if (!job.is_redirect)
		header_for_all(&job);
	memcpy(reply->stage_us, job.watch.stage_us, sizeof reply->stage_us);
	reply->peak_bytes = arena_peak_bytes(a);
}

struct service *service_open(struct arena *a, const struct config *c, struct error *err)
{
	struct service *s = arena_new(a, struct service);
	s->config = c;
	magick_configure(&(struct magick_options){c->magick_formats, c->max_request_memory});
	heif_configure(&(struct heif_options){c->heif_formats, c->max_request_memory});
	s->grammar = (struct request_options){
		.prefixes_2 = c->prefixes_2,
		.prefixes_3 = c->prefixes_3,
		.raw_slashes = c->raw_slashes,
		.slash_substitute = c->slash_substitute,
		.page_delimiter = c->page_delimiter,
	};
	s->resolver = (struct resolver){rules_make(a, c, err), c->n_rules, rules_open_cache(a, c)};
	if (!s->resolver.rules)
		return NULL;
	for (int f = 0; f < FORMATS; f++)
		if (encoder_for((enum format)f))
			s->formats[s->n_formats++] = (enum format)f;
	return s;
}
