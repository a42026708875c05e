/* SPDX-License-Identifier: BSD-2-Clause */
#include "http.h"

#include <poll.h>
#include <strings.h>

#include "../base/metrics.h"
#include "gunzip.h"
#include "http_transfer.h"
#include "refusal.h"

#define MAX_HOPS 5
#define BACKOFF_MS 200
#define MAX_BACKOFF_MS 10000
#define SLICE_MS 50
/* Of a refusal's body: what is read so that the connection can be kept. */
#define DRAIN_BYTES 65536

#define SAY_BROKEN "The image could not be fetched from its origin."
#define SAY_SLOW "The image's origin takes too long."
#define SAY_NO_IMAGE "The image's origin sends something else."

enum outcome {
	DONE,
	FAILED,         /* err is the answer */
	AGAIN,          /* err is the answer if there is no time or try left */
	WHOLE,          /* at once, without a range */
};

struct job {
	struct arena *a;
	const struct http_options *options;
	const struct http_target *target;
	const struct http_body *body;
	struct patience *patience;
	struct http_answer *answer;
	struct error *err;
	struct http_place home;
	int64_t until_us;
	struct str host;                /* asked now, for the log */
	struct http_transfer transfer;

	/* The body, across tries. */
	bool begun;
	uint64_t base, written;         /* where it begins in the object; how much of it has been handed on */
	bool goes_on;                   /* the next try asks for the rest only */
	const char *if_range;

	/* This try. */
	enum metric metric;             /* what its failure counts as; METRICS: what its reason says */
	bool stopped;                   /* outcome and err are known */
	enum outcome outcome;
	bool has_body;
	int64_t expected;               /* bytes to come, -1 unknown */
	uint64_t got;
	struct gunzip *gunzip;
	char text[REFUSAL_TEXT_BYTES];
	size_t text_n, text_all;
};

struct str http_host(struct str url)
{
	struct str rest = url, host;
	size_t scheme = str_equal_nocase((struct str){url.at, url.n < 7 ? url.n : 7}, STR("http://")) ? 7 :
			str_equal_nocase((struct str){url.at, url.n < 8 ? url.n : 8}, STR("https://")) ? 8 : 0;
	if (!scheme)
		return (struct str){"", 0};
	rest = (struct str){url.at + scheme, url.n - scheme};
	host = rest;
	for (host.n = 0; host.n < rest.n && !strchr("/?#\\", rest.at[host.n]); host.n++)
		;
	const char *user_end = host.n ? memrchr(host.at, '@', host.n) : NULL;
	return user_end ? (struct str){user_end + 1, (size_t)(host.at + host.n - user_end - 1)} : host;
}

static bool is_set(const char *text)
{
	return text && *text;
}

static bool same(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0;
}

/* Where secrets may go: the host and port asked first, and its usual door for TLS. */
static bool is_home(const struct job *job, const struct http_place *p)
{
	const struct http_place *home = &job->home;
	bool upgraded = same(home->scheme, "http") && same(home->port, "80") && same(p->scheme, "https") &&
			same(p->port, "443");
	return same(home->host, p->host) && (upgraded || (same(home->scheme, p->scheme) && same(home->port, p->port)));
}

/* Ends the transfer with err filled. */
static bool stop(struct job *job, enum outcome outcome)
{
	job->stopped = true;
	job->outcome = outcome;
	return false;
}

#define ORIGIN_FAILS(job, say, why, ...)                                                                              \
	fail((job)->err, 502, REASON_ORIGIN, (say), "%.*s: " why, (int)(job)->host.n, (job)->host.at, ##__VA_ARGS__)

static bool too_large(struct job *job)
{
	fail(job->err, 413, REASON_TOO_LARGE, "The original is larger than this server fetches.",
	     "%.*s: more than %ju bytes", (int)job->host.n, job->host.at, (uintmax_t)job->options->max_bytes);
	return stop(job, FAILED);
}

static const char *header(struct job *job, const char *name)
{
	return arena_printf(job->a, "%s", http_transfer_header(name));
}

static struct http_answer read_answer(struct job *job)
{
	struct http_answer answer = {
		.status = job->transfer.status,
		.url = job->transfer.url,
		.etag = header(job, "ETag"),
		.last_modified = header(job, "Last-Modified"),
		.length = job->transfer.length,
		.content_type = header(job, "Content-Type"),
		.content_md5 = header(job, "Content-MD5"),
		.repr_digest = header(job, "Repr-Digest"),
		.checksum_sha256 = header(job, "x-amz-checksum-sha256"),
		.checksum_sha1 = header(job, "x-amz-checksum-sha1"),
		.checksum_crc32 = header(job, "x-amz-checksum-crc32"),
		.checksum_crc32c = header(job, "x-amz-checksum-crc32c"),
	};
	answer.modified_s = http_time(answer.last_modified);
	return answer;
}

/* Whether a 206 is all that was asked for, of the same object. */
static bool is_the_rest(struct job *job, struct http_answer *answer)
{
	uint64_t first, last, all;
	struct str range = str_of(http_transfer_header("Content-Range"));
	bool fits = take_word(&range, STR("bytes ")) && take_uint(&range, UINT64_MAX, &first) &&
		    take_char(&range, '-') && take_uint(&range, UINT64_MAX, &last) && take_char(&range, '/') &&
		    first == job->base + job->written && last >= first && last < INT64_MAX;
	if (!fits || (take_uint(&range, UINT64_MAX, &all) && last + 1 != all))
		return false;
	/* Some ignore If-Range. */
	const char *now = job->if_range[0] == '"' ? answer->etag : answer->last_modified;
	if (*now && strcmp(now, job->if_range) != 0)
		return false;
	int64_t n = (int64_t)(last - first + 1);
	if (answer->length < 0)
		answer->length = n;
	return answer->length == n;
}

static bool is_html(const char *type)
{
	return strncasecmp(type, "text/html", 9) == 0 || strncasecmp(type, "application/xhtml", 17) == 0;
}

static bool begin_unpacking(struct job *job, struct http_answer *answer)
{
	const char *encoding = http_transfer_header("Content-Encoding");
	job->gunzip = NULL;
	if (!*encoding || same(encoding, "identity"))
		return true;
	if (!same(encoding, "gzip") && !same(encoding, "x-gzip") && !same(encoding, "deflate")) {
		ORIGIN_FAILS(job, SAY_NO_IMAGE, "a content coding that was not asked for");
		return stop(job, FAILED);
	}
	job->gunzip = gunzip_open(job->a);
	answer->encoded = true;
	answer->length = -1;
	if (job->gunzip)
		return true;
	fail(job->err, 503, REASON_MEMORY, "There is not enough memory now.", "zlib");
	return stop(job, FAILED);
}

/* Where in the object the body of this answer begins. */
static bool find_place(struct job *job, struct http_answer *answer)
{
	if (answer->status == 200) {
		job->base = job->written = 0;
		job->goes_on = false;
		return true;
	}
	if (job->base + job->written == 0) {
		ORIGIN_FAILS(job, SAY_NO_IMAGE, "status 206 without being asked for a part");
		return stop(job, FAILED);
	}
	if (!is_the_rest(job, answer) || is_set(http_transfer_header("Content-Encoding")))
		return stop(job, WHOLE);
	metrics_add(METRIC_ORIGIN_RESUMED, 1);
	return true;
}

static bool begin_body(struct job *job)
{
	struct http_answer answer = read_answer(job);
	if (!find_place(job, &answer))
		return false;
	if (is_html(answer.content_type)) {
		ORIGIN_FAILS(job, SAY_NO_IMAGE, "status %d with HTML, not an image", answer.status);
		return stop(job, FAILED);
	}
	if (!begin_unpacking(job, &answer))
		return false;
	uint64_t max = job->options->max_bytes, here = job->base + job->written;
	if (max && answer.length >= 0 && (here > max || (uint64_t)answer.length > max - here))
		return too_large(job);
	job->has_body = true;
	job->expected = answer.length;
	job->got = 0;
	if (job->goes_on)
		return true;
	*job->answer = answer;
	job->begun = true;
	job->written = 0;
	return job->body->begin(job->body->with, job->answer, job->err) || stop(job, FAILED);
}

static bool take_head(void *with)
{
	struct job *job = with;
	int status = job->transfer.status;
	return (status != 200 && status != 206) || begin_body(job);
}

static bool hand_on(void *with, const void *bytes, size_t n)
{
	struct job *job = with;
	uint64_t max = job->options->max_bytes, here = job->base + job->written;
	if (max && (here > max || n > max - here))
		return too_large(job);
	if (!job->body->write(job->body->with, bytes, n, job->err))
		return stop(job, FAILED);
	job->written += n;
	job->got += n;
	return true;
}

static bool take_data(void *with, const void *bytes, size_t n)
{
	struct job *job = with;
	if (!job->has_body) {
		size_t room = sizeof job->text - job->text_n, taken = n < room ? n : room;
		memcpy(job->text + job->text_n, bytes, taken);
		job->text_n += taken;
		job->text_all += n;
		return job->text_all <= DRAIN_BYTES;
	}
	if (!job->gunzip)
		return hand_on(job, bytes, n);
	if (gunzip_write(job->gunzip, bytes, n, hand_on, job))
		return true;
	if (job->stopped)
		return false;
	job->metric = METRIC_ORIGIN_DAMAGED;
	ORIGIN_FAILS(job, SAY_BROKEN, "the body's gzip is damaged");
	return stop(job, AGAIN);
}

static void add(struct job *job, struct http_headers *headers, const char *name, const char *value)
{
	if (is_set(value))
		http_add_header(headers, arena_printf(job->a, "%s: %s", name, value));
}

static bool fill_headers(struct job *job, struct http_headers *headers, const char *url, bool home)
{
	const struct http_options *o = job->options;
	uint64_t from = job->base + job->written;
	if (from) {
		add(job, headers, "Range", arena_printf(job->a, "bytes=%ju-", (uintmax_t)from));
		add(job, headers, "If-Range", job->if_range);
	} else if (!job->begun) {
		add(job, headers, "If-None-Match", job->target->if_none_match);
		add(job, headers, "If-Modified-Since", job->target->if_modified_since);
	}
	if (!home)
		return true;
	if (is_set(o->bearer))
		add(job, headers, "Authorization", arena_printf(job->a, "Bearer %s", o->bearer));
	for (const char *const *line = o->headers; line && *line; line++)
		http_add_header(headers, *line);
	return !o->sign || o->sign(o->sign_with, job->a, url, headers, job->err);
}

/* One request; what came of it is in job->transfer, or the job is stopped. */
static void ask(struct job *job, const struct http_place *place)
{
	const struct http_options *o = job->options;
	bool home = is_home(job, place);
	bool own_user = is_set(o->user);
	struct http_headers *headers = http_headers_open(job->a);

	job->host = http_host(str_of(place->url));
	job->metric = METRICS;
	job->stopped = job->has_body = false;
	job->text_n = job->text_all = 0;
	/* Before anything of the transfer is set: a signer may fetch its keys with http_get. */
	if (!fill_headers(job, headers, place->url, home)) {
		stop(job, FAILED);
		return;
	}
	if (headers->unsound) {
		fail(job->err, 500, REASON_CONFIG, SAY_BROKEN, "a header for the origin has a line break");
		stop(job, FAILED);
		return;
	}
	job->transfer = (struct http_transfer){
		.url = place->url, .host = place->host, .method = job->target->method, .headers = headers,
		.user = !home ? "" : own_user ? o->user : job->home.user,
		.password = !home ? "" : own_user ? (o->password ? o->password : "") : job->home.password,
		.certificate = home ? o->client_certificate : "", .key = home ? o->client_key : "",
		.ca_file = o->ca_file, .proxy = o->proxy, .only_public = o->guarded || !home,
		.patience = job->patience, .until_us = job->until_us,
		.connect_ms = o->connect_ms, .stall_ms = o->stall_ms,
		.head = take_head, .data = take_data, .with = job,
	};
	metrics_add(METRIC_ORIGIN_REQUESTS, 1);
	http_transfer(&job->transfer);
	metrics_add(METRIC_ORIGIN_BYTES, (uint64_t)job->transfer.raw_bytes);
}

static struct refusal refusal_of(const struct job *job)
{
	return (struct refusal){
		.status = job->transfer.status,
		.retry_after_s = job->transfer.retry_after_s,
		.host = job->host,
		.text = {job->text, job->text_n},
		.region = http_transfer_header("x-amz-bucket-region"),
	};
}

/* An answer that is not the object. */
static enum outcome judge_refusal(struct job *job)
{
	struct refusal r = refusal_of(job);
	bool conditional = !job->begun && job->base == 0 &&
			   (is_set(job->target->if_none_match) || is_set(job->target->if_modified_since));
	if (r.status == 304 && conditional) {
		*job->answer = read_answer(job);
		return DONE;
	}
	bool again = refusal_explain(&r, job->err);
	if (r.status == 416 && job->base + job->written)
		return WHOLE;
	return again ? AGAIN : FAILED;
}

/* A transfer that did not come to its end. */
static enum outcome judge_trouble(struct job *job)
{
	const char *why = job->transfer.why;
	switch (job->transfer.end) {
	case HTTP_REFUSED:
		job->metric = METRIC_ORIGIN_REFUSED;
		ORIGIN_FAILS(job, SAY_BROKEN, "not a public address: only the configuration may lead there");
		return FAILED;
	case HTTP_UNWANTED:
		ORIGIN_FAILS(job, SAY_BROKEN, "%s", why);
		return FAILED;
	case HTTP_LATE:
		fail(job->err, 504, REASON_TIMEOUT, SAY_SLOW, "%.*s: not done after %jd ms", (int)job->host.n,
		     job->host.at, (intmax_t)job->options->total_ms);
		return FAILED;
	case HTTP_STALLED:
		fail(job->err, 504, REASON_TIMEOUT, SAY_SLOW, "%.*s: %s", (int)job->host.n, job->host.at,
		     *why ? why : "no more bytes came");
		return AGAIN;
	case HTTP_TOO_LONG:
		job->metric = METRIC_ORIGIN_DAMAGED;
		ORIGIN_FAILS(job, SAY_BROKEN, "the body is longer than announced");
		return AGAIN;
	default:
		job->metric = job->has_body ? METRIC_ORIGIN_DAMAGED : METRICS;
		ORIGIN_FAILS(job, SAY_BROKEN, "%s", why);
		return AGAIN;
	}
}

static enum outcome judge_body(struct job *job)
{
	bool whole = job->gunzip ? gunzip_is_whole(job->gunzip)
				 : job->expected < 0 || job->got == (uint64_t)job->expected;
	if (whole)
		return DONE;
	job->metric = METRIC_ORIGIN_DAMAGED;
	ORIGIN_FAILS(job, SAY_BROKEN, "the body ended early");
	return AGAIN;
}

static bool is_redirect(struct job *job)
{
	struct refusal r = refusal_of(job);
	int s = r.status;
	bool moved = s == 301 || s == 302 || s == 303 || s == 307 || s == 308;
	return !job->stopped && moved && is_set(http_transfer_header("Location")) &&
	       !(job->options->sign && refusal_is_wrong_region(&r));
}

/* Where the answer sends us. */
static bool follow(struct job *job, struct http_place *place)
{
	struct http_place next = {0};
	if (!http_place_of(job->a, place->url, http_transfer_header("Location"), &next))
		return ORIGIN_FAILS(job, SAY_BROKEN, "status %d to what is no web address", job->transfer.status);
	if (same(place->scheme, "https") && same(next.scheme, "http"))
		return ORIGIN_FAILS(job, SAY_BROKEN, "status %d from https to http", job->transfer.status);
	*place = next;
	return true;
}

/* From the first address to the object. */
static enum outcome attempt(struct job *job)
{
	struct http_place place = job->home;
	for (int hops = 0;; hops++) {
		ask(job, &place);
		if (!is_redirect(job))
			break;
		if (hops == MAX_HOPS) {
			ORIGIN_FAILS(job, SAY_BROKEN, "more than %d redirects", MAX_HOPS);
			return FAILED;
		}
		if (!follow(job, &place))
			return FAILED;
	}
	if (job->stopped)
		return job->outcome;
	if (job->transfer.status && !job->has_body)
		return judge_refusal(job);
	return job->transfer.end == HTTP_DONE ? judge_body(job) : judge_trouble(job);
}

static void count_failure(const struct job *job)
{
	enum reason reason = job->err->reason;
	enum metric metric = job->metric != METRICS ? job->metric :
			     reason == REASON_NOT_FOUND ? METRIC_ORIGIN_MISSING :
			     reason == REASON_DENIED ? METRIC_ORIGIN_DENIED :
			     reason == REASON_THROTTLED ? METRIC_ORIGIN_THROTTLED :
			     reason == REASON_TIMEOUT ? METRIC_ORIGIN_TIMEOUTS :
			     reason == REASON_ORIGIN ? METRIC_ORIGIN_FAILED : METRICS;
	if (metric != METRICS)
		metrics_add(metric, 1);
}

/* What the next try asks for: only with a strong ETag, of bytes as they are stored, will the rest fit. */
static void prepare_next(struct job *job, enum outcome outcome)
{
	const char *etag = job->begun ? job->answer->etag : "";
	if (outcome == WHOLE)
		job->base = 0;
	job->goes_on = outcome == AGAIN && job->written && etag[0] == '"' && !job->answer->encoded &&
		       job->transfer.end != HTTP_TOO_LONG;
	if (job->goes_on)
		job->if_range = etag;
	else
		job->written = 0;
}

/* Sleeps before the next try. False if there is no time for one. */
static bool pause_before(struct job *job, unsigned tries)
{
	int64_t ms = job->err->retry_after_s * INT64_C(1000), now = clock_us();
	if (!ms) {
		ms = tries < 6 ? BACKOFF_MS << tries : MAX_BACKOFF_MS;
		/* Jitter: servers that failed together shall not come back together. */
		ms = ms / 2 + now % (ms / 2);
	}
	int64_t until = now + ms * 1000;
	if (until >= job->until_us)
		return false;
	for (; now < until; now = clock_us()) {
		patience_check(job->patience);
		int64_t left_ms = (until - now) / 1000 + 1;
		poll(NULL, 0, left_ms < SLICE_MS ? (int)left_ms : SLICE_MS);
	}
	return true;
}

bool http_get(struct arena *a, const struct http_options *options, const struct http_target *target,
	      const struct http_body *body, struct patience *patience, struct http_answer *answer, struct error *err)
{
	struct job *job = arena_new(a, struct job);
	*job = (struct job){
		.a = a, .options = options, .target = target, .body = body, .patience = patience,
		.answer = answer, .err = err,
		.until_us = options->total_ms ? clock_us() + options->total_ms * 1000 : INT64_MAX,
		.base = is_set(target->if_range) ? target->from : 0,
		.if_range = target->if_range,
	};
	if (!http_place_of(a, NULL, target->url, &job->home))
		return fail(err, 502, REASON_ORIGIN, SAY_BROKEN, "an origin's address is not an http or https URL");
	for (unsigned tries = 0;;) {
		enum outcome outcome = attempt(job);
		if (outcome == DONE)
			return true;
		if (outcome != WHOLE)
			count_failure(job);
		if (outcome == FAILED || (outcome == AGAIN && (tries >= options->retries || !pause_before(job, tries))))
			return false;
		tries += outcome == AGAIN;
		prepare_next(job, outcome);
	}
}
