/* SPDX-License-Identifier: BSD-2-Clause */
#include "job.h"

#include <time.h>

#include "../base/metrics.h"

/* Raised whenever the same request gives other pixels than before: part of every ETag. */
#define PIXELS_VERSION 8

#define ERROR_CACHE_S 1
#define RETRY_S 1
#define IMMUTABLE_S 31536000
#define FALLBACK_CACHE_S 300
#define STALE_CACHE_S 5

struct reply reply_open(struct arena *a)
{
	return (struct reply){
		.headers = buf_open(a, SERVICE_HEADERS_MAX_BYTES), .why = "", .source = "", .source_format = ""};
}

void header(struct job *job, const char *name, const char *value)
{
	buf_printf(job->reply->headers, "%s: %s\r\n", name, value);
}

bool is_method(const struct call *call, const char *name)
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
const char *make_id(struct job *job)
{
	const struct call *call = job->call;
	struct buf *b = buf_open(job->a, SERVICE_URI_MAX_BYTES * 4);
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
void write_validators(const struct job *job, struct buf *b)
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
 * new one: else all that wait when an entry's time has come would run at once. stale-if-error lets those behind, as a
 * CDN, do so while this server cannot be asked.
 */
bool answer_without_body(struct job *job, const char *etag, uint64_t max_age_s)
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
		buf_printf(reply->headers,
			   "Cache-Control: public, max-age=%llu, stale-while-revalidate=%llu, stale-if-error=%llu\r\n",
			   (unsigned long long)max_age_s, (unsigned long long)accel,
			   (unsigned long long)job->rule->stale_if_error);
	buf_printf(reply->headers, "X-Accel-Expires: %llu\r\n", (unsigned long long)accel);

	reply->status = not_modified(job, etag) ? 304 : 200;
	reply->body_is_left_out = reply->status == 304 || is_method(job->call, "HEAD");
	return reply->body_is_left_out;
}

/* IDENTIFIER_region_size_rotation_quality.format, for people who save the picture. */
void header_disposition(struct job *job, struct str canonical)
{
	struct str id = job->request.identifier;
	struct buf *name = buf_open(job->a, SERVICE_URI_MAX_BYTES * 2);
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

void answer_error(struct job *job, const struct error *err)
{
	struct reply *reply = job->reply;
	bool json = job->request.kind == REQUEST_INFO;
	reply->status = err->status;
	reply->reason = err->reason;
	reply->why = arena_strndup(job->a, err->why, strlen(err->why));
	header(job, "Content-Type", json ? "application/json" : "text/plain; charset=utf-8");
	buf_printf(reply->headers, "Cache-Control: max-age=%d\r\n", ERROR_CACHE_S);
	if (err->status >= 502 && err->status <= 504)
		buf_printf(reply->headers, "Retry-After: %d\r\n",
			   err->retry_after_s > 0 ? err->retry_after_s : RETRY_S);
	if (err->status == 405)
		header(job, "Allow", "GET, HEAD, OPTIONS");
	reply->body_is_left_out = is_method(job->call, "HEAD");
	if (reply->body_is_left_out)
		return;
	const char *text = json ? arena_printf(job->a, "{\"status\":%d,\"error\":\"%s\"}\n", err->status, err->say)
				: arena_printf(job->a, "%s\n", err->say);
	reply->body = str_of(text);
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

void header_for_all(struct job *job)
{
	header(job, "Access-Control-Allow-Origin", "*");
	header(job, "Access-Control-Expose-Headers", "Link");
	header_tag(job);
	if (job->service->config->server_timing)
		header_timing(job);
}
