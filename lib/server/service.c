/* SPDX-License-Identifier: BSD-2-Clause */
#include "service.h"

#include <math.h>
#include <time.h>

#include "../base/hash.h"
#include "../iiif/info.h"
#include "../iiif/negotiate.h"
#include "../image/codecs.h"
#include "../image/heif.h"
#include "../image/magick.h"
#include "../source/resolver.h"
#include "start_page.h"

/* Raised whenever the same request gives other pixels than before: part of every ETag. */
#define PIXELS_VERSION 1

#define URI_MAX_BYTES 16384
#define HEADERS_MAX_BYTES 65536
#define INFO_MAX_BYTES (1 << 20)
#define ERROR_CACHE_S 1
#define IMMUTABLE_S 31536000

struct service {
	const struct config *config;
	struct request_options grammar;
	struct resolver_rule *rules;
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
	struct resolved resolved;
	const struct config_rule *rule;
	struct picture picture;
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
	int64_t file = job->resolved.source->validator.modified_s;
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
	return end && !*end && last_modified(job) <= (int64_t)timegm(&tm);
}

/* The part of every ETag that speaks of the original: lengths and whole seconds only, so that
 * servers with copies of the same files agree. */
static void write_validators(const struct job *job, struct buf *b)
{
	const struct validator *v = &job->resolved.source->validator, *s = &job->resolved.sidecar_validator;
	buf_printf(b, "%d|%llu|%lld|%llu|%lld|%u|", PIXELS_VERSION, (unsigned long long)v->length,
		   (long long)v->modified_s, (unsigned long long)s->length, (long long)s->modified_s,
		   job->request.page);
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
	bool immutable = job->rule->immutable && job->request.kind == REQUEST_IMAGE;
	uint64_t accel = immutable ? IMMUTABLE_S : job->rule->revalidate_after;

	header(job, "ETag", etag);
	header(job, "Last-Modified", http_date(job->a, last_modified(job)));
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

static bool open_picture(struct job *job, struct error *err)
{
	const struct service *s = job->service;
	struct resolved *r = &job->resolved;
	bool found = resolver_open(job->a, s->rules, s->config->n_rules, job->request.identifier, r, err);
	stopwatch_lap(&job->watch, STAGE_RESOLVE);
	job->reply->source = r->name;
	if (!found)
		return false;
	job->rule = &s->config->rules[r->rule];

	bool opened = picture_open(job->a, decoders, r->source, job->request.page, &job->picture, err);
	job->reply->source_format = job->picture.facts.format;
	if (opened) {
		struct limits l = {job->rule->max_width, job->rule->max_height, job->rule->max_area,
				   job->rule->upscale};
		opened = info_limits(str_of(job->rule->info_json), &l, err) &&
			 info_limits(r->sidecar, &l, err);
		job->limits = limits_effective(l, &job->picture.facts);
	}
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

static bool answer_info(struct job *job, struct error *err)
{
	const struct config *c = job->service->config;
	if (!open_picture(job, err))
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

static bool answer_image(struct job *job, struct error *err)
{
	const struct request *r = &job->request;
	const struct encoder *encoder = encoder_for(r->format);
	struct recipe recipe;

	if (!encoder)
		return fail(err, 400, REASON_UNSUPPORTED, "This server does not write this format.", "%s", "");
	/* Memory is judged here: a HEAD or 304 promises no more than a GET gives. */
	if (!open_picture(job, err) ||
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

static void answer_error(struct job *job, const struct error *err)
{
	struct reply *reply = job->reply;
	bool json = job->request.kind == REQUEST_INFO;
	reply->status = err->status;
	reply->reason = err->reason;
	reply->why = arena_strndup(job->a, err->why, strlen(err->why));
	header(job, "Content-Type", json ? "application/json" : "text/plain; charset=utf-8");
	buf_printf(reply->headers, "Cache-Control: max-age=%d\r\n", ERROR_CACHE_S);
	if (err->status == 503)
		header(job, "Retry-After", "1");
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
	struct start_page page = {&s->grammar, s->rules, s->config->n_rules, job->call->prefix};
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

static bool answer(struct job *job, struct error *err)
{
	const struct call *call = job->call;
	struct str path = call->uri;
	const char *query = path.n ? memchr(path.at, '?', path.n) : NULL;
	if (query)
		path.n = (size_t)(query - path.at);

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
	switch (job->request.kind) {
	case REQUEST_BASE:
		answer_redirect(job);
		return true;
	case REQUEST_INFO:
		return answer_info(job, err);
	case REQUEST_IMAGE:
		return answer_image(job, err);
	}
	return false;
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
	header(&job, "Access-Control-Allow-Origin", "*");
	header(&job, "Access-Control-Expose-Headers", "Link");
	if (s->config->server_timing)
		header_timing(&job);
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
	s->rules = arena_array(a, struct resolver_rule, c->n_rules);
	for (size_t i = 0; i < c->n_rules; i++) {
		const struct config_rule *r = &c->rules[i];
		struct limits ignored = {0};
		s->rules[i] = (struct resolver_rule){
			.prefix = r->prefix,
			.file = {r->root, (enum symlinks)r->symlinks, r->allowed_roots},
			.suffixes = r->suffixes,
			.sidecars = r->sidecars,
		};
		if (!info_limits(str_of(r->info_json), &ignored, err)) {
			struct error why = *err;
			fail(err, why.status, why.reason, why.say, "%s: info_json: %.400s", r->origin, why.why);
			return NULL;
		}
	}
	for (int f = 0; f < FORMATS; f++)
		if (encoder_for((enum format)f))
			s->formats[s->n_formats++] = (enum format)f;
	return s;
}
