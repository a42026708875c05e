/* SPDX-License-Identifier: BSD-2-Clause */
#include "service.h"

#include <math.h>

#include "../base/hash.h"
#include "../iiif/info.h"
#include "../iiif/negotiate.h"
#include "../image/codecs.h"
#include "../image/heif.h"
#include "../image/jxl.h"
#include "../image/magick.h"
#include "../image/opened.h"
#include "../image/plain.h"
#include "handover.h"
#include "health.h"
#include "meters.h"
#include "meters_text.h"
#include "original.h"
#include "start_page.h"

#define CANDIDATE_TRIES 8

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
	struct buf *body = buf_open(job->a, SERVICE_TEXT_MAX_BYTES);
	if (!info_write(job->a, &info, body, err))
		return false;

	enum info_type type = negotiate_info(job->request.version, job->call->accept);
	struct buf *seed = buf_open(job->a, SERVICE_TEXT_MAX_BYTES + 4096);
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
	if (answer_without_body(job, arena_printf(job->a, "\"%s\"", hash), job->rule->cache_images))
		return true;
	struct answer answer;
	bool ok = recipe_run(job->a, &recipe, &job->watch, &answer, err);
	job->reply->body = answer.body;
	job->reply->path = answer.path;
	job->reply->why_not_passed = answer.why_not_passed;
	return ok;
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

static bool has_fallback(const struct job *job)
{
	return job->resolved.has_next && job->service->resolver.rules[job->resolved.rule].n_fallbacks;
}

/* What is wrong with this request only is not the original's failure. What is remembered of it is one more only where the
 * answer is an error for that: alerts take these off the errors. */
static void count_failure(const struct job *job, const struct error *err)
{
	bool is_request = job->is_open && (err->reason == REASON_TOO_LARGE || err->reason == REASON_UNSUPPORTED);
	bool is_hidden = job->is_judged && has_fallback(job);
	if (job->resolved.source && !is_hidden && !is_request)
		meters_failure(job->reply->source_format, err, job->request.identifier);
}

static bool try_candidates(struct job *job, struct error *err)
{
	const struct service *s = job->service;
	size_t skip = 0;
	for (int tries = 0; tries < CANDIDATE_TRIES; tries++) {
		bool ok = job->request.kind == REQUEST_INFO ? answer_info(job, skip, err)
							    : answer_image(job, skip, err);
		forgive(job);
		if (job->resolved.source && !source_is_steady(job->resolved.source, err)) {
			if (!job->resolved.source->is_assumed)
				return false;
			job->reply->headers->n = 0;
			continue;
		}
		enum verdict verdict = ok || job->resolved.wants_fetch ? VERDICT_NONE : judge(job, err);
		if (verdict != VERDICT_NONE)
			job->reply->headers->n = 0;
		if (verdict == VERDICT_DAMAGED && is_rotten(job))
			continue;
		if (!ok)
			count_failure(job, err);
		if (verdict == VERDICT_NONE)
			return ok;
		if (!has_fallback(job))
			return false;
		if (!job->is_judged)
			resolver_judge(&s->resolver, &job->resolved, job->request.identifier, verdict, 0);
		skip = job->resolved.index + 1;
	}
	return false;
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

static void answer_metrics(struct job *job)
{
	const struct service *s = job->service;
	struct cache_state state;
	struct buf *body = buf_open(job->a, SERVICE_TEXT_MAX_BYTES);
	cache_stat(s->resolver.cache, job->a, &state);
	meters_write(job->a, body, s->config, &state);
	job->reply->status = 200;
	job->reply->body = buf_view(body);
	header(job, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
	header(job, "Cache-Control", "no-store");
}

static bool answer_request(struct job *job, struct error *err)
{
	if (job->request.kind == REQUEST_BASE) {
		answer_redirect(job);
		return true;
	}
	if (job->is_fetcher)
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
	if (call->health.n) {
		answer_health(job);
		return true;
	}
	if (!is_own_step(job, err))
		return false;
	if (is_method(call, "OPTIONS")) {
		answer_preflight(job);
		return true;
	}
	bool parsed = call->uri.n <= SERVICE_URI_MAX_BYTES &&
		      request_parse(job->a, &job->service->grammar, path, &job->request, err);
	job->reply->asked.version = job->request.version;
	if (parsed || job->request.kind == REQUEST_INFO)
		job->reply->asked.kind = job->request.kind;
	if (parsed)
		job->reply->asked.format = job->request.format;
	if (!is_method(call, "GET") && !is_method(call, "HEAD"))
		return fail(err, 405, REASON_SYNTAX, "Only GET, HEAD and OPTIONS are served here.", "%s", "");
	if (call->uri.n > SERVICE_URI_MAX_BYTES)
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

void service_answer(const struct service *s, const struct call *call, struct reply *reply,
		    struct arena *a)
{
	struct job job = {.service = s, .call = call, .reply = reply, .a = a, .watch = stopwatch_start()};
	struct error err = {0};

	*reply = reply_open(a);
	if (!answer(&job, &err)) {
		/* Nothing that a success had announced may stay beside the error. */
		reply->headers->n = 0;
		reply->body = (struct str){0};
		answer_error(&job, &err);
	}
	if (!reply->is_redirect)
		header_for_all(&job);
	memcpy(reply->stage_us, job.watch.stage_us, sizeof reply->stage_us);
	reply->peak_bytes = arena_peak_bytes(a);
}

struct service *service_open(struct arena *a, const struct config *c, struct error *err)
{
	struct service *s = arena_new(a, struct service);
	s->config = c;
	magick_configure(c->max_request_memory);
	plain_configure(c->magick_formats);
	opened_configure((uint32_t)c->opened_images);
	jxl_configure(c->jxl);
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

const struct request_options *service_grammar(const struct service *s)
{
	return &s->grammar;
}

const struct resolver *service_resolver(const struct service *s)
{
	return &s->resolver;
}
