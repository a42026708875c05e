/* SPDX-License-Identifier: BSD-2-Clause */
/* Whom http_get (lib/source/http.h) asks and what it shows them: redirects, addresses, proxies, TLS, signatures. */
#include <signal.h>

#include "http_origin.h"

#include "base/metrics.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PUBLIC "8.8.8.8"

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

static void redirects_are_followed(void **state)
{
	struct call *c = *state;
	const char *there = url_at(c, PLAIN, "/there?body=x");
	assert_got(c, arena_printf(c->a, "/absolute?redirect=%s", there));
	assert_body(c, "x");
	assert_string_equal(c->answer.url, there);
	assert_got(c, "/folder/relative?code=307&redirect=sibling%3Fbody=x");
	assert_string_equal(c->answer.url, url_at(c, PLAIN, "/folder/sibling?body=x"));
	static const int codes[] = {301, 302, 303, 307, 308};
	for (size_t i = 0; i < COUNT(codes); i++) {
		assert_got(c, arena_printf(c->a, "/code?code=%d&redirect=/a/../b%%20c%%3Fbody=x", codes[i]));
		/* Newer versions of libcurl take the dots out themselves. */
		if (strcmp(c->answer.url, url_at(c, PLAIN, "/b%20c?body=x")) != 0)
			assert_string_equal(c->answer.url, url_at(c, PLAIN, "/a/../b%20c?body=x"));
	}
	/* All that asks for a body goes along. */
	c->target.if_none_match = "\"5312e17c8c92d7c946a5940990a0a9d9\"";
	assert_got(c, "/unchanged?redirect=/there%3Fbody=an%2Bimage");
	assert_int_equal(c->answer.status, 304);
}

static void a_redirect_may_lead_nowhere(void **state)
{
	struct call *c = *state;
	assert_failed(c, "/loop?redirect=/loop%3Fredirect=/loop%2BSECRET", 404, REASON_NOT_FOUND);
	static const char *const wrong[] = {"ftp://127.0.0.1/SECRET", "file:///etc/SECRET", "http://u:SECRET@/",
					    "http://[SECRET", "javascript:SECRET"};
	for (size_t i = 0; i < COUNT(wrong); i++) {
		assert_failed(c, arena_printf(c->a, "/wrong?redirect=%s", wrong[i]), 502, REASON_ORIGIN);
		assert_null(strstr(c->err.why, "SECRET"));
	}
	char path[512] = "/end?body=x";
	for (int hops = 1; hops <= 6; hops++) {
		char from[600] = "/hop?redirect=";
		for (const char *at = path; *at; at++)
			snprintf(from + strlen(from), sizeof from - strlen(from),
				 strchr("?&%", *at) ? "%%%02X" : "%c", *at);
		snprintf(path, sizeof path, "%.511s", from);
		if (hops < 6)
			assert_got(c, path);
		else
			assert_failed(c, path, 502, REASON_ORIGIN);
	}
	assert_non_null(strstr(c->err.why, "redirects"));
}

/* Not from outside into this machine, whatever its name. */
static void a_redirect_does_not_lead_inside(void **state)
{
	struct call *c = *state;
	const char *const to[] = {
		url_at(c, OTHER, "/inside?body=x"),
		arena_printf(c->a, "http://localhost:%d/inside%%3Fbody=x", ports[PLAIN]),
		arena_printf(c->a, "http://localhost:%d/inside%%3Fbody=x", ports[OTHER]),
		arena_printf(c->a, "http://[::ffff:127.0.0.1]:%d/inside%%3Fbody=x", ports[PLAIN]),
		arena_printf(c->a, "http://127.0.0.2:%d/inside%%3Fbody=x", ports[PLAIN]),
		arena_printf(c->a, "http://0:%d/inside%%3Fbody=x", ports[PLAIN]),
		arena_printf(c->a, "http://u:SECRET@[::]:%d/inside%%3Fbody=x", ports[PLAIN]),
		url_at(c, TLS, "/inside?body=x"),
		"http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://10.0.0.1/",
		"http://192.168.1.1/",
	};
	/* A connection to the other door is open, but not for this. */
	assert_true(call_get(c, url_at(c, OTHER, "/open?body=x")));
	c->options.retries = MANY_TRIES;
	for (size_t i = 0; i < COUNT(to); i++) {
		uint64_t refused = metrics_sum(METRIC_ORIGIN_REFUSED);
		assert_failed(c, arena_printf(c->a, "/out%zu?redirect=%s", i, to[i]), 502, REASON_ORIGIN);
		if (!strstr(c->err.why, "not a public address"))
			fail_msg("%s: %s", to[i], c->err.why);
		assert_int_equal(metrics_sum(METRIC_ORIGIN_REFUSED) - refused, 1);
		assert_int_equal(asked(arena_printf(c->a, "/out%zu", i)), 1);
		assert_true(c->took_ms < AT_ONCE_MS);
	}
	assert_int_equal(asked("/inside"), 0);
}

static void a_guarded_call_does_not_lead_inside(void **state)
{
	struct call *c = *state;
	c->options.guarded = true;
	c->options.retries = MANY_TRIES;
	assert_failed(c, "/guarded?body=x", 502, REASON_ORIGIN);
	assert_false(call_get(c, arena_printf(c->a, "http://localhost:%d/guarded?body=x", ports[PLAIN])));
	assert_error(c, "localhost", 502, REASON_ORIGIN);
	assert_true(c->took_ms < AT_ONCE_MS);
	/* Nor over a connection that is there already. */
	c->options.guarded = false;
	assert_got(c, "/open?body=x");
	c->options.guarded = true;
	assert_failed(c, "/guarded?body=x", 502, REASON_ORIGIN);
	assert_non_null(strstr(c->err.why, "not a public address"));
	assert_int_equal(asked("/guarded"), 0);
}

static bool add_signature(void *with, struct arena *a, const char *url, struct http_headers *headers, struct error *err)
{
	struct str *urls = with;
	(void)err;
	urls->at = arena_printf(a, "%.*s%s\n", (int)urls->n, urls->n ? urls->at : "", url);
	urls->n = strlen(urls->at);
	http_add_header(headers, "X-Signature: signed");
	return true;
}

/* Behind a proxy (the origin plays it), every host can be reached. */
static void secrets_are_for_the_first_host_only(void **state)
{
	struct call *c = *state;
	static const char *const further[] = {"X-Key: value", NULL};
	struct str signed_urls = {"", 0};
	c->options.proxy = url_at(c, OTHER, "");
	c->options.headers = further;
	c->options.bearer = "t0ken";
	c->options.sign = add_signature;
	c->options.sign_with = &signed_urls;
	assert_true(call_get(c, "http://first.invalid/home?redirect=/home2%3Fbody=x"));
	const char *headers = origin_says("last", "/home2");
	assert_non_null(strstr(headers, "\"Authorization\": \"Bearer t0ken\""));
	assert_non_null(strstr(headers, "\"X-Key\": \"value\""));
	assert_non_null(strstr(headers, "\"X-Signature\": \"signed\""));
	assert_non_null(strstr(headers, "\"Host\": \"first.invalid\""));

	static const char *const to[] = {"http://" PUBLIC "/abroad", "http://u:p@" PUBLIC ":81/abroad",
					 "http://first.invalid:81/no"};
	for (size_t i = 0; i < 2; i++) {
		const char *from = "http://a:b@first.invalid/home?redirect=";
		assert_true(call_get(c, arena_printf(c->a, "%s%s%%3Fbody=x", from, to[i])));
		headers = origin_says("last", "/abroad");
		assert_null(strstr(headers, "Authorization"));
		assert_null(strstr(headers, "X-Key"));
		assert_null(strstr(headers, "X-Signature"));
		assert_non_null(strstr(headers, "\"User-Agent\": \"lorikeet/"));
	}
	/* Basic authentication has a way of its own. */
	c->options.bearer = NULL;
	c->options.user = "anna";
	c->options.password = "p";
	assert_true(call_get(c, "http://first.invalid/home?redirect=http://" PUBLIC "/basic%3Fbody=x"));
	assert_non_null(strstr(origin_says("last", "/home"), "\"Authorization\": \"Basic "));
	assert_null(strstr(origin_says("last", "/basic"), "Authorization"));
	/* Another port is another host; and its name cannot be looked up here. */
	assert_false(call_get(c, arena_printf(c->a, "http://first.invalid/home?redirect=%s", to[2])));
	assert_int_equal(asked("/no"), 0);
	assert_non_null(strstr(signed_urls.at, "http://first.invalid/home2?body=x\n"));
	assert_null(strstr(signed_urls.at, "\nhttp://" PUBLIC));
	assert_null(strstr(signed_urls.at, "\nhttp://first.invalid:81"));
}

static void a_proxy_does_not_lead_inside(void **state)
{
	struct call *c = *state;
	static const char *const urls[] = {"http://10.0.0.1/behind?body=x", "http://[::1]/behind?body=x",
					   "http://localhost/behind?body=x", "http://127.1/behind?body=x",
					   "http://unknown.invalid/behind?body=x",
					   "http://169.254.169.254/behind?body=x"};
	c->options.proxy = url_at(c, OTHER, "");
	assert_true(call_get(c, "http://10.0.0.1/before?body=x"));
	assert_non_null(strstr(origin_says("last", "/before"), "\"Host\": \"10.0.0.1\""));
	c->options.guarded = true;
	for (size_t i = 0; i < COUNT(urls); i++) {
		assert_false(call_get(c, urls[i]));
		assert_error(c, urls[i], 502, REASON_ORIGIN);
		assert_non_null(strstr(c->err.why, "not a public address"));
	}
	assert_int_equal(asked("/behind"), 0);
	assert_true(call_get(c, "http://" PUBLIC "/public?body=x"));
	assert_int_equal(asked("/public"), 1);
	c->options.guarded = false;
	assert_false(call_get(c, "http://first.invalid/before?redirect=http://10.0.0.1/behind"));
	assert_int_equal(asked("/behind"), 0);
}

static void each_request_is_signed(void **state)
{
	struct call *c = *state;
	struct str urls = {"", 0};
	c->options.sign = add_signature;
	c->options.sign_with = &urls;
	const char *first = url_at(c, PLAIN, "/signed/a%2fb?body=x&status=503&times=1");
	assert_true(call_get(c, first));
	assert_string_equal(urls.at, arena_printf(c->a, "%s\n%s\n", first, first));
	assert_non_null(strstr(origin_says("last", "/signed/a/b"), "\"X-Signature\": \"signed\""));
	urls = (struct str){"", 0};
	assert_got(c, "/signed?redirect=there%3Fbody=x");
	assert_non_null(strstr(urls.at, url_at(c, PLAIN, "/there?body=x\n")));
	/* With a user in the address, the address without it. */
	urls = (struct str){"", 0};
	assert_true(call_get(c, arena_printf(c->a, "http://u:p@127.0.0.1:%d/s?body=x#end", ports[PLAIN])));
	assert_string_equal(urls.at, url_at(c, PLAIN, "/s?body=x\n"));
}

/* As S3's does, which fetches its keys. */
static bool fetch_and_sign(void *with, struct arena *a, const char *url, struct http_headers *headers,
			   struct error *err)
{
	struct call *keys = call_open();
	keys->target.method = "PUT";
	bool good = get(keys, "/keys?body=key") && keys->bytes->n == 3;
	*err = keys->err;
	if (good)
		http_add_header(headers, arena_printf(a, "X-Signature: %.3s%.0s", keys->bytes->at, url));
	call_close(keys);
	return good && *(bool *)with;
}

static void a_signer_may_fetch(void **state)
{
	struct call *c = *state;
	bool good = true;
	c->options.sign = fetch_and_sign;
	c->options.sign_with = &good;
	assert_got(c, "/nested?size=300000&close=1000&times=1");
	assert_int_equal(c->bytes->n, 300000);
	assert_int_equal(c->begins, 1);
	assert_non_null(strstr(origin_says("last", "/nested"), "\"X-Signature\": \"key\""));
	assert_int_equal(asked("/keys"), 2);
	good = false;
	assert_false(get(c, "/unsigned?body=x"));
	assert_int_equal(asked("/unsigned"), 0);
}

static void tls_is_checked(void **state)
{
	struct call *c = *state;
	const char *url = url_at(c, TLS, "/tls?body=x");
	c->options.ca_file = in_folder("ca.pem");
	assert_true(call_get(c, url));
	assert_body(c, "x");
	assert_true(call_get(c, arena_printf(c->a, "https://localhost:%d/tls?body=x", ports[TLS])));
	/* Not for others' names, nor by strangers or the system's authorities, also while a connection is open. */
	static const char *const others[] = {"stranger.pem", "", "missing.pem"};
	c->options.retries = MANY_TRIES;
	for (size_t i = 0; i < COUNT(others); i++) {
		c->options.ca_file = *others[i] ? in_folder(others[i]) : NULL;
		assert_false(call_get(c, url));
		assert_error(c, others[i], 502, REASON_ORIGIN);
		assert_true(c->took_ms < AT_ONCE_MS);
	}
	c->options.ca_file = in_folder("ca.pem");
	assert_false(call_get(c, arena_printf(c->a, "https://127.0.0.2:%d/tls?body=x", ports[TLS])));
	assert_error(c, "127.0.0.2", 502, REASON_ORIGIN);
	assert_int_equal(asked("/tls"), 2);
	/* What comes behind an announced length cannot be seen here; the next answer is not taken for its rest. */
	call_get(c, url_at(c, TLS, "/tls-long?body=an+image&length=-3"));
	assert_true(call_get(c, url));
	assert_body(c, "x");
}

static void tls_is_not_left(void **state)
{
	struct call *c = *state;
	c->options.ca_file = in_folder("ca.pem");
	const char *down = arena_printf(c->a, "/tls?redirect=%s", url_at(c, PLAIN, "/down?body=x"));
	assert_false(call_get(c, url_at(c, TLS, down)));
	assert_error(c, down, 502, REASON_ORIGIN);
	assert_non_null(strstr(c->err.why, "from https to http"));
	assert_int_equal(asked("/down"), 0);
}

static void a_client_has_a_certificate(void **state)
{
	struct call *c = *state;
	const char *url = url_at(c, MUTUAL, "/mutual?body=x");
	c->options.ca_file = in_folder("ca.pem");
	c->options.retries = 0;
	assert_false(call_get(c, url));
	assert_error(c, "without", 502, REASON_ORIGIN);
	c->options.client_certificate = in_folder("client.crt");
	c->options.client_key = in_folder("client.key");
	assert_true(call_get(c, url));
	assert_body(c, "x");
	c->options.client_certificate = in_folder("stranger.pem");
	c->options.client_key = in_folder("stranger.key");
	assert_false(call_get(c, url));
	c->options.client_key = in_folder("client.key");
	assert_false(call_get(c, url));
	assert_error(c, "mismatch", 502, REASON_ORIGIN);
	assert_int_equal(asked("/mutual"), 1);
}

static void signals_stay_away(void **state)
{
	(void)state;
	struct sigaction now;
	assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
	assert_true(now.sa_handler == SIG_IGN);
	assert_int_equal(sigaction(SIGALRM, NULL, &now), 0);
	assert_true(now.sa_handler == SIG_DFL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_call, close_call)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(redirects_are_followed),
		TEST(a_redirect_may_lead_nowhere),
		TEST(a_redirect_does_not_lead_inside),
		TEST(a_guarded_call_does_not_lead_inside),
		TEST(secrets_are_for_the_first_host_only),
		TEST(a_proxy_does_not_lead_inside),
		TEST(each_request_is_signed),
		TEST(a_signer_may_fetch),
		TEST(tls_is_checked),
		TEST(tls_is_not_left),
		TEST(a_client_has_a_certificate),
		TEST(signals_stay_away),
	};
	return cmocka_run_group_tests(tests, start_origin, stop_origin);
}
