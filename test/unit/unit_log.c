/* SPDX-License-Identifier: BSD-2-Clause */
/* Log lines: their shape whatever is in them, and that they never block (lib/base/log.h). */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "check.h"

#include "base/log.h"
#include "base/metrics.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

/* Each datagram is one write. */
static int ends[2];

static void start(bool json)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
	log_start(&(struct log_options){.fd = ends[0], .json = json});
}

static void stop(void)
{
	close(ends[0]);
	close(ends[1]);
	log_start(&(struct log_options){.fd = 2});
}

/* The line that the last write wrote, without its end. */
static const char *received(void)
{
	static char text[2 * LOG_LINE_BYTES];
	ssize_t n = recv(ends[1], text, sizeof text - 1, MSG_DONTWAIT);
	assert_in_range(n, 2, LOG_LINE_BYTES);
	assert_null(memchr(text, '\0', (size_t)n));
	assert_ptr_equal(memchr(text, '\n', (size_t)n), text + n - 1);
	text[n - 1] = '\0';
	return text;
}

/* Behind time and level. */
static const char *fields(const char *line)
{
	const char *level = strstr(line, "info");
	assert_non_null(level);
	return level + 4;
}

static const struct {
	struct str text;
	size_t limit;
	const char *logfmt, *json;
} escapes[] = {
	{STR("abc"), 0, "abc", "\"abc\""},
	{STR("/a,b;c'd%20"), 0, "/a,b;c'd%20", "\"/a,b;c'd%20\""},
	{STR(""), 0, "\"\"", "\"\""},
	{{NULL, 0}, 9, "\"\"", "\"\""},
	{STR("a b"), 0, "\"a b\"", "\"a b\""},
	{STR("a=b"), 0, "\"a=b\"", "\"a=b\""},
	{STR("a\"b\\c"), 0, "\"a\\\"b\\\\c\"", "\"a\\\"b\\\\c\""},
	{STR("\\"), 0, "\"\\\\\"", "\"\\\\\""},
	{STR("a\nlevel=error\t"), 0, "\"a\\nlevel=error\\t\"", "\"a\\nlevel=error\\t\""},
	{STR("\r\0\x1b[0m\x7f"), 0, "\"\\x0d\\x00\\x1b[0m\\x7f\"", "\"\\u000d\\u0000\\u001b[0m\\u007f\""},
	{STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa6"), 0, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa6\"",
	 "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa6\""},
	{STR("\xff"), 0, "\"\\xff\"", "\"\\ufffd\""},
	{STR("\xc0\x80"), 0, "\"\\xc0\\x80\"", "\"\\ufffd\\ufffd\""},
	{STR("\xed\xa0\x80"), 0, "\"\\xed\\xa0\\x80\"", "\"\\ufffd\\ufffd\\ufffd\""},
	{STR("\xe2\x82"), 0, "\"\\xe2\\x82\"", "\"\\ufffd\\ufffd\""},
	{STR("abcdef"), 3, "abc", "\"abc\""},
	{STR("abc"), 3, "abc", "\"abc\""},
	{STR("a\xc3\xa9"), 2, "\"a\"", "\"a\""},
	{STR("a\xff\xff"), 5, "\"a\\xff\"", "\"a\""},
	{STR("\xe2\x80\xa8\xe2\x80\xae\xc2\x85"), 0, "\"\\xe2\\x80\\xa8\\xe2\\x80\\xae\\xc2\\x85\"",
	 "\"\\ufffd\\ufffd\\ufffd\""},
};

static void escaped_texts(void **state)
{
	(void)state;
	for (int json = 0; json < 2; json++) {
		start(json);
		for (size_t i = 0; i < LENGTH(escapes); i++) {
			struct log_line line;
			char want[256];
			log_line_open(&line, "info");
			log_text(&line, "key", escapes[i].text, escapes[i].limit);
			log_line_write(&line);
			snprintf(want, sizeof want, json ? "\",\"key\":%s}" : " key=%s",
				 json ? escapes[i].json : escapes[i].logfmt);
			assert_string_equal(fields(received()), want);
		}
		stop();
	}
}

static void numbers_and_times(void **state)
{
	static const char logfmt[] = " a=0 b=-9223372036854775808 c=9223372036854775807 d=12.345 e=0.000 f=0.999 g=1.001";
	static const char json[] = "\",\"a\":0,\"b\":-9223372036854775808,\"c\":9223372036854775807,\"d\":12.345,"
				   "\"e\":0.000,\"f\":0.999,\"g\":1.001}";
	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		struct log_line line;
		start(kind);
		log_line_open(&line, "info");
		log_number(&line, "a", 0);
		log_number(&line, "b", INT64_MIN);
		log_number(&line, "c", INT64_MAX);
		log_ms(&line, "d", 12345);
		log_ms(&line, "e", 0);
		log_ms(&line, "f", 999);
		log_ms(&line, "g", 1001);
		log_line_write(&line);
		assert_string_equal(fields(received()), kind ? json : logfmt);
		stop();
	}
}

static bool is_time(const char *text)
{
	static const char shape[] = "0000-00-00T00:00:00.000Z";
	for (size_t i = 0; shape[i]; i++)
		if (shape[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
			return false;
	return true;
}

static void events(void **state)
{
	char large[3000];
	(void)state;
	start(false);
	log_event("warn", "%s %d", "x", 7);
	const char *line = received();
	assert_true(strncmp(line, "time=", 5) == 0 && is_time(line + 5));
	assert_string_equal(line + 5 + 24, " level=warn msg=\"x 7\"");
	memset(large, 'x', sizeof large);
	large[sizeof large - 1] = '\0';
	log_event("info", "%s", large);
	assert_in_range(strlen(received()), 1000, 1100);
	stop();

	start(true);
	log_event("error", "a\"b");
	line = received();
	assert_true(strncmp(line, "{\"time\":\"", 9) == 0 && is_time(line + 9));
	assert_string_equal(line + 9 + 24, "\",\"level\":\"error\",\"msg\":\"a\\\"b\"}");
	stop();
}

/* Undoes the escapes of one logfmt value; the end of it, NULL if it is none. */
static const char *read_value(const char *at, char *to, size_t *n)
{
	bool quoted = *at == '"';
	*n = 0;
	for (at += quoted; *at && *at != (quoted ? '"' : ' '); at++) {
		unsigned byte = (unsigned char)*at;
		if ((byte <= ' ' && !(quoted && byte == ' ')) || (!quoted && (byte == '"' || byte == '=')))
			return NULL;
		if (byte == '\\') {
			at++;
			if (*at == 'x' && sscanf(at + 1, "%2x", &byte) == 1)
				at += 2;
			else if (*at == 'n' || *at == 't')
				byte = *at == 'n' ? '\n' : '\t';
			else if (*at == '"' || *at == '\\')
				byte = (unsigned char)*at;
			else
				return NULL;
		}
		to[(*n)++] = (char)byte;
	}
	return quoted ? *at == '"' ? at + 1 : NULL : at;
}

static uint64_t draw(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Any bytes come back from logfmt as they were. */
static void random_bytes_in_logfmt(void **state)
{
	uint64_t seed = 7;
	(void)state;
	start(false);
	for (int i = 0; i < 3000; i++) {
		char bytes[64], back[64];
		size_t n = draw(&seed) % sizeof bytes, n_back;
		struct log_line line;
		for (size_t k = 0; k < n; k++)
			bytes[k] = (char)draw(&seed);
		log_line_open(&line, "info");
		log_text(&line, "k", (struct str){bytes, n}, 0);
		log_number(&line, "after", i);
		log_line_write(&line);
		const char *at = fields(received());
		assert_int_equal(strncmp(at, " k=", 3), 0);
		at = read_value(at + 3, back, &n_back);
		assert_non_null(at);
		assert_int_equal(n_back, n);
		assert_memory_equal(back, bytes, n);
		assert_int_equal(strncmp(at, " after=", 7), 0);
	}
	stop();
}

static void random_bytes_in_json(void **state)
{
	uint64_t seed = 7;
	(void)state;
	start(true);
	for (int i = 0; i < 3000; i++) {
		char bytes[64];
		size_t n = draw(&seed) % sizeof bytes;
		struct log_line line;
		for (size_t k = 0; k < n; k++)
			bytes[k] = (char)draw(&seed);
		log_line_open(&line, "info");
		log_text(&line, "k", (struct str){bytes, n}, 0);
		log_number(&line, "after", i);
		log_line_write(&line);
		const char *text = received();
		assert_true(str_is_utf8(str_of(text)));
		cJSON *json = cJSON_Parse(text);
		assert_true(cJSON_IsString(cJSON_GetObjectItem(json, "k")));
		assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "after")), i);
		cJSON_Delete(json);
	}
	stop();
}

/* A whole line of the right kind, with the keys that must be there. */
static void must_be_whole(const char *line, bool json, const char *last)
{
	char text[LOG_LINE_BYTES];
	size_t n;
	if (json) {
		cJSON *o = cJSON_Parse(line);
		if (!o || (last && !cJSON_GetObjectItem(o, last)))
			fail_msg("no whole line: %s", line);
		cJSON_Delete(o);
		return;
	}
	bool found = !last;
	for (const char *at = line; *at;) {
		size_t key = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
		found = found || (strlen(last) == key && strncmp(at, last, key) == 0);
		at = at[key] == '=' ? read_value(at + key + 1, text, &n) : NULL;
		if (!key || !at || (*at && *at++ != ' '))
			fail_msg("no whole line: %s", line);
	}
	assert_true(found);
}

/* A text too long loses its end; the fields behind it stay. */
static void long_texts_keep_the_shape(void **state)
{
	static const char *const fill[] = {"x", "\"", "\n", "\x01", "\xff", "\xe2\x82\xac", "\xf0\x9f\x90\xa6"};
	static char text[60000];
	(void)state;
	for (int json = 0; json < 2; json++)
		for (size_t i = 0; i < LENGTH(fill); i++)
			for (size_t n = 2900; n < sizeof text; n = n < 3100 ? n + 1 : n * 2) {
				struct log_line line;
				for (size_t k = 0; k < n; k++)
					text[k] = fill[i][k % strlen(fill[i])];
				start(json);
				log_line_open(&line, "info");
				log_text(&line, "uri", (struct str){text, n}, 0);
				log_number(&line, "status", 200);
				log_text(&line, "source", (struct str){text, n}, 1000);
				for (int k = 0; k < 12; k++)
					log_ms(&line, "transform", 123456789);
				log_text(&line, "why", (struct str){text, n}, 0);
				log_number(&line, "last", INT64_MIN);
				log_line_write(&line);
				must_be_whole(received(), json, "last");
				stop();
			}
}

/* More than fits at all: whole fields are missing, no part of one. */
static void many_fields_keep_the_shape(void **state)
{
	(void)state;
	for (int json = 0; json < 2; json++)
		for (int n = 20; n < 1500; n += 7) {
			struct log_line line;
			start(json);
			log_line_open(&line, "info");
			for (int i = 0; i < n; i++) {
				log_text(&line, "some_text", STR("a b c \x01 \xff"), 0);
				log_number(&line, "some_number", 1000000 + i);
				log_ms(&line, "some_time", 1000000 + i);
			}
			log_line_write(&line);
			must_be_whole(received(), json, NULL);
			stop();
		}
}

static void one_write_a_line(void **state)
{
	char more;
	(void)state;
	start(false);
	for (int i = 0; i < 5; i++)
		log_event("info", "number %d", i);
	for (int i = 0; i < 5; i++)
		must_be_whole(received(), false, "msg");
	assert_int_equal(recv(ends[1], &more, 1, MSG_DONTWAIT), -1);
	stop();
}

static void must_be(const char *end)
{
	const char *line = received();
	assert_true(strlen(line) > strlen(end));
	assert_string_equal(line + strlen(line) - strlen(end), end);
}

static void must_be_silent(void)
{
	char more;
	assert_int_equal(recv(ends[1], &more, 1, MSG_DONTWAIT), -1);
}

static void say(const char *level, const char *text, int times)
{
	for (int i = 0; i < times; i++)
		log_event(level, "%s", text);
}

static void repeated_events_are_counted(void **state)
{
	(void)state;
	start(false);
	log_start(&(struct log_options){.fd = ends[0], .repeat_s = 3});
	say("warn", "full", 1);
	must_be("level=warn msg=full");
	say("warn", "full", 3);
	must_be_silent();
	say("info", "full", 1);
	must_be("level=info msg=full");
	say("warn", "empty", 1);
	must_be("level=warn msg=empty");
	say("warn", "empty", 2);
	log_repeated(false);
	must_be_silent();
	sleep(4);
	log_repeated(false);
	must_be("level=warn msg=full repeated=3");
	must_be("level=warn msg=empty repeated=2");
	log_repeated(true);
	must_be_silent();

	say("warn", "full", 1);
	must_be("level=warn msg=full");
	say("warn", "full", 2);
	log_repeated(true);
	must_be("level=warn msg=full repeated=2");
	must_be_silent();
	/* Too many others: what was counted is not lost. */
	say("warn", "full", 1);
	must_be("level=warn msg=full");
	say("warn", "full", 5);
	for (char c = 'a'; c < 'h'; c++) {
		say("warn", (char[]){c, '\0'}, 1);
		received();
	}
	must_be_silent();
	say("warn", "h", 1);
	must_be("level=warn msg=full repeated=5");
	must_be("level=warn msg=h");
	stop();
}

/* What a pipe has in it, up to the end of the buffer. */
static size_t drain(int fd, char *to, size_t size)
{
	size_t n = 0;
	ssize_t got;
	while (n < size && (got = read(fd, to + n, size - n)) > 0)
		n += (size_t)got;
	return n;
}

static void a_full_pipe_drops_and_counts(void **state)
{
	static char text[1 << 20];
	int fd[2];
	uint64_t before = metrics_sum(METRIC_LOG_DROPPED);
	(void)state;
	assert_int_equal(pipe(fd), 0);
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	log_start(&(struct log_options){.fd = fd[1]});

	uint64_t n = 0;
	while (metrics_sum(METRIC_LOG_DROPPED) == before && n++ < 100000)
		log_event("info", "fills the pipe");
	assert_int_equal(metrics_sum(METRIC_LOG_DROPPED) - before, 1);
	for (int i = 0; i < 6; i++)
		log_event("info", "is dropped");
	assert_int_equal(metrics_sum(METRIC_LOG_DROPPED) - before, 7);
	assert_int_equal(fcntl(fd[1], F_GETFL) & O_NONBLOCK, 0);

	/* Nothing of a dropped line arrived, and the first that gets through says how many. */
	size_t got = drain(fd[0], text, sizeof text - 1);
	text[got] = '\0';
	assert_int_equal(text[got - 1], '\n');
	assert_null(strstr(text, "is dropped"));
	assert_null(strstr(text, "dropped="));

	log_event("info", "first");
	log_event("info", "second");
	text[drain(fd[0], text, sizeof text - 1)] = '\0';
	char *second = strchr(text, '\n');
	assert_non_null(second);
	*second++ = '\0';
	assert_non_null(strstr(text, " msg=first dropped=7"));
	assert_null(strstr(second, "dropped"));
	assert_int_equal(metrics_sum(METRIC_LOG_DROPPED) - before, 7);

	close(fd[0]);
	close(fd[1]);
	log_start(&(struct log_options){.fd = 2});
}

static void a_closed_descriptor_counts_too(void **state)
{
	uint64_t before = metrics_sum(METRIC_LOG_DROPPED);
	(void)state;
	log_start(&(struct log_options){.fd = 1000});
	log_event("info", "x");
	assert_int_equal(metrics_sum(METRIC_LOG_DROPPED) - before, 1);
	start(true);
	log_event("info", "y");
	must_be_whole(received(), true, "dropped");
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escaped_texts),
		cmocka_unit_test(numbers_and_times),
		cmocka_unit_test(events),
		cmocka_unit_test(random_bytes_in_logfmt),
		cmocka_unit_test(random_bytes_in_json),
		cmocka_unit_test(long_texts_keep_the_shape),
		cmocka_unit_test(many_fields_keep_the_shape),
		cmocka_unit_test(one_write_a_line),
		cmocka_unit_test(repeated_events_are_counted),
		cmocka_unit_test(a_full_pipe_drops_and_counts),
		cmocka_unit_test(a_closed_descriptor_counts_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
