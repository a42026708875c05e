/* SPDX-License-Identifier: BSD-2-Clause */
/* What http_get promises (lib/source/http.h) of bodies, refusals and time, against test/origin.py. */
#include <sys/socket.h>
#include <netinet/in.h>
#include <time.h>

#include "http_origin.h"

#include "base/metrics.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int open_call(void **state)
{
	*state = call_open();
	return 0;
}

static int close_call(void **state)
{
	call_close(*state);
	return 0;
}

static void a_body_comes_with_all_that_is_said_of_it(void **state)
{
	struct call *c = *state;
	uint64_t requests = metrics_sum(METRIC_ORIGIN_REQUESTS), bytes = metrics_sum(METRIC_ORIGIN_BYTES);
	assert_got(c, "/whole?body=an+image&digest=md5,repr,sha1,sha256,crc32&type=image/tiff");
	assert_body(c, "an image");
	assert_int_equal(c->begins, 1);
	assert_int_equal(c->answer.status, 200);
	assert_int_equal(c->answer.length, 8);
	assert_string_equal(c->answer.content_type, "image/tiff");
	assert_string_equal(c->answer.etag, "\"5312e17c8c92d7c946a5940990a0a9d9\"");
	assert_string_equal(c->answer.last_modified, "Fri, 14 Jul 2017 02:40:00 GMT");
	assert_int_equal(c->answer.modified_s, 1500000000);
	assert_string_equal(c->answer.content_md5, "UxLhfIyS18lGpZQJkKCp2Q==");
	assert_string_equal(c->answer.repr_digest, "sha-256=:pd8/3nsgDD+ieRFEx+BcXCvO1Mathj06TPdslywXEvk=:");
	assert_string_equal(c->answer.checksum_sha256, "pd8/3nsgDD+ieRFEx+BcXCvO1Mathj06TPdslywXEvk=");
	assert_string_equal(c->answer.checksum_sha1, "DsmzEJjd0ssm+Evp59zp6gj5lf0=");
	assert_string_equal(c->answer.checksum_crc32, "plm+gA==");
	assert_string_equal(c->answer.checksum_crc32c, "");
	assert_string_equal(c->answer.url, c->target.url);
	assert_false(c->answer.encoded);
	assert_int_equal(metrics_sum(METRIC_ORIGIN_REQUESTS) - requests, 1);
	assert_int_equal(metrics_sum(METRIC_ORIGIN_BYTES) - bytes, 8);
}

static void what_is_not_said_is_empty(void **state)
{
	struct call *c = *state;
	assert_got(c, "/bare?body=x&etag=none&modified=none&chunked=1&header=Content-Type:");
	assert_body(c, "x");
	assert_int_equal(c->answer.length, -1);
	assert_int_equal(c->answer.modified_s, 0);
	assert_string_equal(c->answer.etag, "");
	assert_string_equal(c->answer.last_modified, "");
	assert_string_equal(c->answer.content_type, "");
	assert_got(c, "/bare?body=x&chunked=none&modified=yesterday&etag=W/%22a%22");
	assert_body(c, "x");
	assert_int_equal(c->answer.length, -1);
	assert_int_equal(c->answer.modified_s, 0);
	assert_string_equal(c->answer.etag, "W/\"a\"");
}

static void an_empty_body_begins_too(void **state)
{
	struct call *c = *state;
	assert_got(c, "/empty?body=");
	assert_int_equal(c->begins, 1);
	assert_int_equal(c->answer.length, 0);
}

static void files_and_large_bodies_come_whole(void **state)
{
	struct call *c = *state;
	FILE *f = fopen(in_folder("file.jpg"), "we");
	assert_true(fputs("in a file", f) >= 0 && fclose(f) == 0);
	assert_got(c, "/file.jpg");
	assert_body(c, "in a file");
	assert_got(c, "/large?size=5000000");
	assert_int_equal(c->bytes->n, 5000000);
	assert_memory_equal(c->bytes->at + 1000, c->bytes->at + 4000000, 1000);
	assert_failed(c, "/no-file.jpg", 404, REASON_NOT_FOUND);
}

static void requests_are_plain_and_as_they_were_given(void **state)
{
	struct call *c = *state;
	static const char *const further[] = {"X-Key: value", "User-Agent: other", NULL};
	assert_got(c, "/a/../b%2Fc%c3%a9;v=1//d%20?echo=1&q=%2f+");
	const char *headers = origin_says("last", "/a/../b/c%C3%A9;v%3D1//d%20");
	assert_non_null(strstr(headers, "\"User-Agent\": \"lorikeet/" LORIKEET_VERSION "\""));
	assert_non_null(strstr(headers, "\"Accept-Encoding\": \"identity\""));
	assert_null(strstr(headers, "Range"));
	assert_null(strstr(headers, "Cookie"));
	assert_null(strstr(headers, "Authorization"));
	assert_true(strstr(c->answer.url, "/a/../b%2Fc%c3%a9;v=1//d%20?echo=1&q=%2f+") != NULL);

	c->options.headers = further;
	assert_got(c, "/own?echo=1");
	headers = origin_says("last", "/own");
	assert_non_null(strstr(headers, "\"X-Key\": \"value\""));
	assert_non_null(strstr(headers, "\"User-Agent\": \"other\""));
	assert_null(strstr(headers, "lorikeet/"));
}

static void a_line_break_in_a_header_is_never_sent(void **state)
{
	struct call *c = *state;
	static const char *const further[] = {"X-Key: a\r\nX-Evil: b", NULL};
	c->options.headers = further;
	assert_failed(c, "/two-lines?body=x", 500, REASON_CONFIG);
	c->options.headers = NULL;
	c->target.if_none_match = "\"a\"\nX-Evil: b";
	assert_failed(c, "/two-lines?body=x", 500, REASON_CONFIG);
	assert_int_equal(asked("/two-lines"), 0);
}

static void credentials_are_shown(void **state)
{
	struct call *c = *state;
	c->options.user = "anna";
	c->options.password = "p:w";
	assert_got(c, "/basic?body=x&auth=basic:anna:p:w");
	c->options.user = c->options.password = "";
	assert_true(call_get(c, arena_printf(c->a, "http://anna:p%%3aw@127.0.0.1:%d/in-url?body=x&auth=basic:anna:p:w",
					     ports[PLAIN])));
	assert_null(strchr(c->answer.url, '@'));
	c->options.bearer = "t0ken";
	assert_got(c, "/bearer?body=x&auth=bearer:t0ken");
	uint64_t denied = metrics_sum(METRIC_ORIGIN_DENIED);
	c->options.bearer = "wr0ng";
	assert_failed(c, "/denied?body=x&auth=bearer:t0ken", 403, REASON_DENIED);
	assert_null(strstr(c->err.why, "wr0ng"));
	assert_int_equal(asked("/denied"), 1);
	assert_int_equal(metrics_sum(METRIC_ORIGIN_DENIED) - denied, 1);
}

static void refusals_have_their_meaning(void **state)
{
	struct call *c = *state;
	static const struct {
		int status, want;
		enum reason reason;
		int times;
	} cases[] = {
		{400, 502, REASON_ORIGIN, 1}, {401, 403, REASON_DENIED, 1}, {403, 403, REASON_DENIED, 1},
		{404, 404, REASON_NOT_FOUND, 1}, {410, 404, REASON_NOT_FOUND, 1}, {407, 502, REASON_ORIGIN, 1},
		{418, 502, REASON_ORIGIN, 1}, {416, 502, REASON_ORIGIN, 1}, {429, 503, REASON_THROTTLED, 2},
		{500, 502, REASON_ORIGIN, 2}, {501, 502, REASON_ORIGIN, 1}, {502, 502, REASON_ORIGIN, 2},
		{503, 502, REASON_ORIGIN, 2}, {504, 502, REASON_ORIGIN, 2}, {204, 502, REASON_ORIGIN, 1},
		{206, 502, REASON_ORIGIN, 1}, {300, 502, REASON_ORIGIN, 1}, {301, 502, REASON_ORIGIN, 1},
		{304, 502, REASON_ORIGIN, 1},
	};
	c->options.retries = 1;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char path[64];
		snprintf(path, sizeof path, "/status/%d?status=%d", cases[i].status, cases[i].status);
		assert_failed(c, path, cases[i].want, cases[i].reason);
		assert_int_equal(c->begins, 0);
		assert_int_equal(c->err.retry_after_s, 0);
		snprintf(path, sizeof path, "127.0.0.1:%d: status %d", ports[PLAIN], cases[i].status);
		if (cases[i].status != 206)
			assert_string_equal(c->err.why, path);
		snprintf(path, sizeof path, "/status/%d", cases[i].status);
		assert_int_equal(asked(path), cases[i].times);
	}
}

static void s3_says_why(void **state)
{
	struct call *c = *state;
	static const struct {
		int status;
		const char *code;
		int want;
		enum reason reason;
		const char *hint;
	} cases[] = {
		{503, "SlowDown", 503, REASON_THROTTLED, "SlowDown"},
		{403, "InvalidObjectState", 502, REASON_ORIGIN, "archived"},
		{403, "RequestTimeTooSkewed", 403, REASON_DENIED, "clock"},
		{403, "SignatureDoesNotMatch", 403, REASON_DENIED, "SignatureDoesNotMatch"},
		{403, "InvalidAccessKeyId", 403, REASON_DENIED, "InvalidAccessKeyId"},
		{403, "AccessDenied", 403, REASON_DENIED, "AccessDenied"},
		{400, "ExpiredToken", 403, REASON_DENIED, "ExpiredToken"},
		{404, "NoSuchKey", 404, REASON_NOT_FOUND, "NoSuchKey"},
		{301, "PermanentRedirect", 502, REASON_ORIGIN, "in eu-west-9, at b.s3.eu-west-9.example"},
		{307, "TemporaryRedirect", 502, REASON_ORIGIN, "wrong region"},
		{400, "AuthorizationHeaderMalformed", 502, REASON_ORIGIN, "in eu-west-9"},
		{400, "<b>?x", 502, REASON_ORIGIN, "status 400"},
	};
	c->options.retries = 0;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *path = arena_printf(c->a, "/s3?status=%d&text=<?xml?><Error><Code>%s</Code><Region>"
					"eu-west-9</Region><Endpoint>b.s3.eu-west-9.example</Endpoint></Error>",
					cases[i].status, cases[i].code);
		assert_failed(c, path, cases[i].want, cases[i].reason);
		if (!strstr(c->err.why, cases[i].hint))
			fail_msg("%s: %s", cases[i].code, c->err.why);
	}
}

static void trouble_that_passes_is_not_noticed(void **state)
{
	struct call *c = *state;
	uint64_t failed = metrics_sum(METRIC_ORIGIN_FAILED);
	assert_got(c, "/passes?body=x&status=503&times=2");
	assert_int_equal(asked("/passes"), 3);
	assert_int_equal(metrics_sum(METRIC_ORIGIN_FAILED) - failed, 2);
	c->options.retries = 1;
	assert_failed(c, "/stays?body=x&status=502&times=2", 502, REASON_ORIGIN);
	assert_int_equal(asked("/stays"), 2);
	assert_got(c, "/reset?body=x&reset=head&times=1");
	assert_got(c, "/closed?body=x&close=head&times=1");
	assert_int_equal(asked("/closed"), 2);
}

static void retry_after_is_heard(void **state)
{
	struct call *c = *state;
	assert_got(c, "/later?body=x&status=429&retry_after=1&times=1");
	assert_in_range(c->took_ms, 1000, 2500);
	uint64_t throttled = metrics_sum(METRIC_ORIGIN_THROTTLED);
	assert_failed(c, "/too-late?status=503&retry_after=3600", 503, REASON_THROTTLED);
	assert_int_equal(c->err.retry_after_s, 3600);
	assert_int_equal(asked("/too-late"), 1);
	assert_int_equal(metrics_sum(METRIC_ORIGIN_THROTTLED) - throttled, 1);

	char date[64];
	time_t then = time(NULL) + 600;
	strftime(date, sizeof date, "%a,+%d+%b+%Y+%H:%M:%S+GMT", gmtime(&then));
	assert_failed(c, arena_printf(c->a, "/date?status=429&retry_after=%s", date), 503, REASON_THROTTLED);
	assert_in_range(c->err.retry_after_s, 590, 600);
	assert_got(c, "/past?body=x&status=503&times=1&retry_after=Fri,+14+Jul+2017+02:40:00+GMT");
}

static void what_has_not_changed_is_304(void **state)
{
	struct call *c = *state;
	c->target.if_none_match = "\"5312e17c8c92d7c946a5940990a0a9d9\"";
	assert_got(c, "/unchanged?body=an+image");
	assert_int_equal(c->answer.status, 304);
	assert_int_equal(c->begins, 0);
	assert_string_equal(c->answer.etag, c->target.if_none_match);
	assert_got(c, "/unchanged?body=another");
	assert_int_equal(c->answer.status, 200);
	c->target.if_none_match = "";
	c->target.if_modified_since = "Fri, 14 Jul 2017 02:40:00 GMT";
	assert_got(c, "/unchanged?body=an+image");
	assert_int_equal(c->answer.status, 304);
	assert_got(c, "/unchanged?body=an+image&modified=new");
	assert_int_equal(c->answer.status, 200);
}

static void the_rest_is_asked_for(void **state)
{
	struct call *c = *state;
	uint64_t resumed = metrics_sum(METRIC_ORIGIN_RESUMED);
	c->target.from = 3;
	c->target.if_range = "\"5312e17c8c92d7c946a5940990a0a9d9\"";
	assert_got(c, "/rest?body=an+image");
	assert_body(c, "image");
	assert_int_equal(c->answer.status, 206);
	assert_int_equal(c->answer.length, 5);
	assert_int_equal(c->last_status, 206);
	assert_int_equal(metrics_sum(METRIC_ORIGIN_RESUMED) - resumed, 1);
	assert_non_null(strstr(origin_says("last", "/rest"), "\"Range\": \"bytes=3-\""));
	assert_got(c, "/rest?body=an+image&chunked=1");
	assert_body(c, "image");
	assert_int_equal(c->answer.length, 5);
}

/* Whatever an origin does with a range instead of serving it: the whole comes, and begins anew. */
static void the_whole_comes_where_the_rest_does_not(void **state)
{
	struct call *c = *state;
	static const struct {
		const char *path;
		int times;
	} cases[] = {
		{"/w0?body=an+image&etag=%22other%22", 1}, {"/w1?body=an+image&ranges=none", 1},
		{"/w2?body=an+image&ranges=off", 2}, {"/w3?body=an+image&ranges=short", 2},
		{"/w4?body=an+image&ranges=multipart", 2}, {"/w5?body=an+image&ranges=deaf&etag=%22other%22", 2},
		{"/w6?body=an+image&gzip=1", 2}, {"/w7?status=416&times=1&body=an+image", 2},
		{"/w8?status=206&times=1&body=an+image", 2},
	};
	c->options.retries = 0;
	c->target.from = 3;
	c->target.if_range = "\"5312e17c8c92d7c946a5940990a0a9d9\"";
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_got(c, cases[i].path);
		assert_body(c, "an image");
		assert_int_equal(c->begins, 1);
		assert_int_equal(c->first_status, 200);
		assert_int_equal(c->answer.status, 200);
		assert_int_equal(asked(arena_printf(c->a, "/w%zu", i)), cases[i].times);
	}
	assert_failed(c, "/always?status=416", 502, REASON_ORIGIN);
	assert_int_equal(asked("/always"), 2);
	/* Beyond the end, as the object has become shorter. */
	c->target.from = 300;
	assert_got(c, "/shorter?body=an+image&ranges=deaf");
	assert_body(c, "an image");
}

static void a_broken_body_goes_on_where_it_can(void **state)
{
	struct call *c = *state;
	struct call *whole = call_open();
	uint64_t damaged = metrics_sum(METRIC_ORIGIN_DAMAGED);
	assert_got(whole, "/b?size=300000");
	assert_got(c, "/b1?size=300000&close=100000&times=2");
	assert_int_equal(c->bytes->n, 300000);
	assert_memory_equal(c->bytes->at, whole->bytes->at, 300000);
	assert_int_equal(c->begins, 1);
	assert_int_equal(c->answer.status, 200);
	assert_int_equal(c->answer.length, 300000);
	assert_int_equal(asked("/b1"), 3);
	assert_non_null(strstr(origin_says("last", "/b1"), "\"Range\": \"bytes=200000-\""));
	assert_int_equal(metrics_sum(METRIC_ORIGIN_DAMAGED) - damaged, 2);

	static const char *const anew[] = {"etag=weak", "etag=none", "change=1", "ranges=none", "chunked=1&etag=none",
					   "gzip=1", "ranges=deaf&change=1"};
	for (size_t i = 0; i < COUNT(anew); i++) {
		assert_got(c, arena_printf(c->a, "/anew%zu?size=300000&close=1000&times=1&%s", i, anew[i]));
		assert_int_equal(c->bytes->n, 300000);
		assert_int_equal(c->begins, 2);
		if (!strstr(anew[i], "change"))
			assert_memory_equal(c->bytes->at, whole->bytes->at, 300000);
	}
	/* Another object than the caller's, and that breaks. */
	c->target.from = 3;
	c->target.if_range = "\"other\"";
	assert_got(c, "/b2?size=300000&close=1000&times=1");
	assert_int_equal(c->bytes->n, 300000);
	assert_memory_equal(c->bytes->at, whole->bytes->at, 300000);
	assert_int_equal(c->begins, 1);
	call_close(whole);
}

/* The caller's own rest breaks: it goes on, or begins again at the same place. */
static void a_broken_rest_goes_on(void **state)
{
	struct call *c = *state;
	c->target.from = 3;
	c->target.if_range = "\"5312e17c8c92d7c946a5940990a0a9d9\"";
	assert_got(c, "/rest1?body=an+image&close=2&times=1");
	assert_body(c, "image");
	assert_int_equal(c->begins, 1);
	assert_non_null(strstr(origin_says("last", "/rest1"), "\"Range\": \"bytes=5-\""));
	c->target.if_range = "Fri, 14 Jul 2017 02:40:00 GMT";
	assert_got(c, "/rest2?body=an+image&close=2&times=1&etag=none");
	assert_body(c, "image");
	assert_int_equal(c->begins, 2);
	assert_int_equal(c->last_status, 206);
}

static void a_wrong_length_is_an_error(void **state)
{
	struct call *c = *state;
	static const char *const cases[] = {
		"/l?body=an+image&length=%2b3", "/l?body=an+image&length=-3", "/l?size=900000&length=-3000",
		"/l?size=900000&length=%2b1", "/l?size=5000&close=4999", "/l?size=5000&reset=4999",
		"/l?size=5000&close=0", "/l?size=5000&chunked=cut", "/l?size=5000&close=100&chunked=1",
	};
	c->options.retries = 0;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t damaged = metrics_sum(METRIC_ORIGIN_DAMAGED);
		assert_failed(c, cases[i], 502, REASON_ORIGIN);
		if (metrics_sum(METRIC_ORIGIN_DAMAGED) - damaged != 1)
			fail_msg("%s: is not counted (%s)", cases[i], c->err.why);
	}
	/* Where the announced length was wrong, the place to go on is unknown. */
	c->options.retries = 1;
	assert_got(c, "/once?body=an+image&length=-3&times=1");
	assert_body(c, "an image");
	assert_int_equal(c->begins, 2);
	/* What was left over does not disturb the next. */
	assert_got(c, "/next?body=an+image");
	assert_body(c, "an image");
}

static void packed_bodies_are_unpacked(void **state)
{
	struct call *c = *state;
	assert_got(c, "/packed?size=300000&gzip=1");
	assert_int_equal(c->bytes->n, 300000);
	assert_true(c->answer.encoded);
	assert_int_equal(c->answer.length, -1);
	assert_got(c, "/packed?body=an+image&gzip=two");
	assert_body(c, "an image");
	c->options.retries = 0;
	assert_failed(c, "/packed?size=300000&gzip=cut", 502, REASON_ORIGIN);
	assert_failed(c, "/packed?size=3000&gzip=cut&chunked=1", 502, REASON_ORIGIN);
	assert_failed(c, "/packed?size=300000&encoding=gzip", 502, REASON_ORIGIN);
	assert_failed(c, "/packed?size=300000&encoding=br", 502, REASON_ORIGIN);
	assert_int_equal(c->begins, 0);
	assert_got(c, "/packed?body=x&encoding=identity");
	assert_false(c->answer.encoded);
	c->options.max_bytes = 299999;
	assert_failed(c, "/packed?size=300000&gzip=1", 413, REASON_TOO_LARGE);
	assert_true(c->bytes->n <= 299999);
}

static void too_much_is_not_taken(void **state)
{
	struct call *c = *state;
	c->options.max_bytes = 100000;
	assert_got(c, "/max?size=100000");
	assert_got(c, "/max?size=100000&chunked=1");
	assert_failed(c, "/max?size=100001", 413, REASON_TOO_LARGE);
	assert_int_equal(c->begins, 0);
	assert_failed(c, "/max?size=100001&chunked=1", 413, REASON_TOO_LARGE);
	assert_true(c->bytes->n <= 100000);
	c->target.from = 99999;
	c->target.if_range = "\"x\"";
	assert_got(c, "/max?size=100000&etag=%22x%22");
	assert_failed(c, "/max?size=100001&etag=%22x%22", 413, REASON_TOO_LARGE);
	assert_failed(c, "/max?size=100001&etag=%22x%22&chunked=1", 413, REASON_TOO_LARGE);
}

static void a_page_is_no_image(void **state)
{
	struct call *c = *state;
	assert_failed(c, "/page?body=hello&type=text/html;+charset=utf-8", 502, REASON_ORIGIN);
	assert_non_null(strstr(c->err.why, "not an image"));
	assert_int_equal(c->begins, 0);
	assert_int_equal(asked("/page"), 1);
	assert_got(c, "/text?body=hello&type=text/plain");
}

static void the_receiver_ends_a_call(void **state)
{
	struct call *c = *state;
	c->refuse_begin = true;
	assert_failed(c, "/begin?body=x", 500, REASON_IO);
	c->refuse_begin = false;
	c->refuse_write = true;
	assert_failed(c, "/write?size=100000", 500, REASON_IO);
	assert_string_equal(c->err.why, "write");
	assert_int_equal(asked("/begin") + asked("/write"), 2);
	c->refuse_write = false;
	assert_got(c, "/write?body=x");
}

static void silence_is_not_waited_for(void **state)
{
	struct call *c = *state;
	uint64_t timeouts = metrics_sum(METRIC_ORIGIN_TIMEOUTS);
	c->options.stall_ms = 100;
	c->options.retries = 0;
	assert_failed(c, "/stall?stall=head", 504, REASON_TIMEOUT);
	assert_in_range(c->took_ms, 100, 900);
	assert_failed(c, "/stall?size=5000&stall=10", 504, REASON_TIMEOUT);
	assert_in_range(c->took_ms, 100, 900);
	assert_int_equal(metrics_sum(METRIC_ORIGIN_TIMEOUTS) - timeouts, 2);
	/* Slow is not silent. */
	assert_got(c, "/slow?size=400&drip=1000");
	assert_true(c->took_ms >= 350);
	/* A refusal whose text does not come is one all the same. */
	assert_failed(c, "/mute?status=404&text=trouble&stall=3", 404, REASON_NOT_FOUND);
	c->options.retries = 1;
	assert_got(c, "/stalls-once?size=5000&stall=10&times=1");
	assert_int_equal(c->begins, 1);
}

static void a_call_has_an_end(void **state)
{
	struct call *c = *state;
	c->options.total_ms = 300;
	assert_failed(c, "/total?size=1000000&drip=1000", 504, REASON_TIMEOUT);
	assert_in_range(c->took_ms, 300, 1000);
	assert_failed(c, "/total?stall=head", 504, REASON_TIMEOUT);
	assert_in_range(c->took_ms, 300, 1000);
	c->options.retries = 100;
	assert_failed(c, "/again?status=500", 502, REASON_ORIGIN);
	assert_true(c->took_ms < 1000);
	c->options.total_ms = c->options.stall_ms = 0;
	assert_got(c, "/endless?body=x&delay=0.4");
}

/* A listener that nobody serves. */
static int deaf_port(int *fd)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof at;
	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*fd, (struct sockaddr *)&at, n) | listen(*fd, 5), 0);
	assert_int_equal(getsockname(*fd, (struct sockaddr *)&at, &n), 0);
	return ntohs(at.sin_port);
}

static void where_nobody_is(void **state)
{
	struct call *c = *state;
	int fd, port = deaf_port(&fd);
	c->options.connect_ms = 200;
	c->options.retries = 1;
	assert_false(call_get(c, arena_printf(c->a, "https://127.0.0.1:%d/x?secret", port)));
	assert_error(c, "deaf", 504, REASON_TIMEOUT);
	assert_in_range(c->took_ms, 400, 2000);
	close(fd);
	assert_false(call_get(c, arena_printf(c->a, "http://127.0.0.1:%d/x?secret", port)));
	assert_error(c, "closed", 502, REASON_ORIGIN);
	assert_false(call_get(c, "http://u:p@no-such-host.invalid/x?secret"));
	assert_error(c, "unknown", 502, REASON_ORIGIN);
	static const char *const wrong[] = {"", "x", "/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://",
					    "http://[::1/", "http://127.0.0.1:99999/", "http://a b/"};
	c->options.retries = MANY_TRIES;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		assert_false(call_get(c, wrong[i]));
		assert_error(c, wrong[i], 502, REASON_ORIGIN);
		assert_true(c->took_ms < AT_ONCE_MS);
	}
}

static void note_late(void *with)
{
	*(int64_t *)with = *(int64_t *)with ? -1 : clock_us();
}

static void who_waits_hears_in_time(void **state)
{
	struct call *c = *state;
	static const char *const paths[] = {"/p?stall=head", "/p?size=5000&stall=10", "/p?size=5000&drip=100",
					    "/p?status=503&retry_after=1", "/p?body=x&delay=0.4", "/p?status=500"};
	c->options.stall_ms = 200;
	c->options.retries = 1;
	for (size_t i = 0; i < COUNT(paths); i++) {
		int64_t heard = 0, until = clock_us() + 60000;
		c->options.total_ms = strstr(paths[i], "retry_after") ? 1100 : 300;
		c->patience = &(struct patience){.until_us = until, .late = note_late, .with = &heard};
		get(c, paths[i]);
		if (!c->patience->is_late || heard < until || heard > until + 90000)
			fail_msg("%s: heard %jd us after", paths[i], (intmax_t)(heard - until));
	}
	int64_t heard = 0;
	c->patience = &(struct patience){.until_us = clock_us() + 10000000, .late = note_late, .with = &heard};
	assert_got(c, "/p?body=x");
	assert_int_equal(heard, 0);
	assert_false(c->patience->is_late);
}

static void hosts_of_urls(void **state)
{
	(void)state;
	static const struct {
		const char *url, *host;
	} cases[] = {
		{"http://a/b", "a"}, {"https://a.b:81", "a.b:81"}, {"HTTPS://A?b@c", "A"},
		{"http://u:p@a:1/b@c", "a:1"},
		{"http://u@v@a#x", "a"}, {"http://[::1]:8/x", "[::1]:8"}, {"http://", ""}, {"ftp://a/", ""},
		{"", ""}, {"a", ""}, {"http:/a", ""}, {"https:", ""},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct str host = http_host(str_of(cases[i].url));
		if (!str_equal(host, str_of(cases[i].host)))
			fail_msg("%s: %.*s", cases[i].url, (int)host.n, host.at);
	}
}

/* A child does not talk on its parent's connections. */
static void processes_do_not_share_connections(void **state)
{
	struct call *c = *state;
	assert_got(c, "/parent?body=parent");
	pid_t pid = fork();
	for (int i = 0; i < 20; i++) {
		bool good = get(c, pid ? "/parent?body=parent" : "/child?body=of+child") &&
			    c->bytes->n == (pid ? 6 : 8);
		if (!pid && (!good || i == 19))
			_exit(!good);
		assert_true(good);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_call, close_call)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_body_comes_with_all_that_is_said_of_it),
		TEST(what_is_not_said_is_empty),
		TEST(an_empty_body_begins_too),
		TEST(files_and_large_bodies_come_whole),
		TEST(requests_are_plain_and_as_they_were_given),
		TEST(a_line_break_in_a_header_is_never_sent),
		TEST(credentials_are_shown),
		TEST(refusals_have_their_meaning),
		TEST(s3_says_why),
		TEST(trouble_that_passes_is_not_noticed),
		TEST(retry_after_is_heard),
		TEST(what_has_not_changed_is_304),
		TEST(the_rest_is_asked_for),
		TEST(the_whole_comes_where_the_rest_does_not),
		TEST(a_broken_body_goes_on_where_it_can),
		TEST(a_broken_rest_goes_on),
		TEST(a_wrong_length_is_an_error),
		TEST(packed_bodies_are_unpacked),
		TEST(too_much_is_not_taken),
		TEST(a_page_is_no_image),
		TEST(the_receiver_ends_a_call),
		TEST(silence_is_not_waited_for),
		TEST(a_call_has_an_end),
		TEST(where_nobody_is),
		TEST(who_waits_hears_in_time),
		TEST(hosts_of_urls),
		TEST(processes_do_not_share_connections),
	};
	/* It is not asked. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	return cmocka_run_group_tests(tests, start_origin, stop_origin);
}
