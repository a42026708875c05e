/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Kept free behind every text field, so that the short fields after it and the end always fit. */
#define RESERVE_BYTES 1024
/* The most that a field has beside its key and text, and what closes a line: the count of dropped ones. */
#define FIELD_BYTES 32
#define END_BYTES 48

static struct log_options options = {.fd = 2};
static uint64_t dropped, dropped_unsaid;

void log_start(const struct log_options *o)
{
	options = *o;
}

uint64_t log_dropped(void)
{
	return dropped;
}

static void put(struct log_line *l, const char *at, size_t n)
{
	if (n > sizeof l->at - l->n)
		n = sizeof l->at - l->n;
	memcpy(l->at + l->n, at, n);
	l->n += n;
}

static void put_text(struct log_line *l, const char *text)
{
	put(l, text, strlen(text));
}

/* Without room for the whole of it and the end of the line a field is left out. */
static bool has_room(const struct log_line *l, const char *key)
{
	return sizeof l->at - l->n >= strlen(key) + FIELD_BYTES + END_BYTES;
}

static void put_key(struct log_line *l, const char *key)
{
	bool first = l->n == 0;
	put_text(l, l->json ? first ? "{\"" : ",\"" : first ? "" : " ");
	put_text(l, key);
	put_text(l, l->json ? "\":" : "=");
}

static bool needs_quotes(struct str s)
{
	if (s.n == 0)
		return true;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.at[i];
		if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
			return true;
	}
	return false;
}

static void put_escaped(struct log_line *l, struct str s, size_t end)
{
	while (s.n && l->n < end) {
		unsigned char c = (unsigned char)s.at[0];
		size_t n = utf8_length(s);
		char escape[8];
		if (c == '"' || c == '\\') {
			snprintf(escape, sizeof escape, "\\%c", c);
			put_text(l, escape);
		} else if (c == '\n' || c == '\t') {
			put_text(l, c == '\n' ? "\\n" : "\\t");
		} else if (n == 0 || c < ' ' || c == 0x7f) {
			/* JSON has no escape for a byte that is no character. */
			snprintf(escape, sizeof escape, l->json ? "\\u%04x" : "\\x%02x", n || !l->json ? c : 0xfffd);
			put_text(l, escape);
		} else {
			put(l, s.at, n);
		}
		n = n ? n : 1;
		s.at += n;
		s.n -= n;
	}
}

void log_line_open(struct log_line *l, const char *level)
{
	struct timespec now;
	struct tm tm;
	char time_text[64];
	l->n = 0;
	l->json = options.json;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t n = strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(time_text + n, sizeof time_text - n, ".%03ldZ", now.tv_nsec / 1000000);
	log_text(l, "time", str_of(time_text), 0);
	log_text(l, "level", str_of(level), 0);
}

void log_text(struct log_line *l, const char *key, struct str s, size_t limit)
{
	if (!has_room(l, key))
		return;
	if (limit && s.n > limit)
		s.n = limit;
	bool quotes = l->json || needs_quotes(s);
	put_key(l, key);
	if (quotes)
		put_text(l, "\"");
	put_escaped(l, s, sizeof l->at - RESERVE_BYTES);
	if (quotes)
		put_text(l, "\"");
}

static void put_number(struct log_line *l, const char *key, int64_t value)
{
	char text[32];
	snprintf(text, sizeof text, "%lld", (long long)value);
	put_key(l, key);
	put_text(l, text);
}

void log_number(struct log_line *l, const char *key, int64_t value)
{
	if (has_room(l, key))
		put_number(l, key, value);
}

void log_ms(struct log_line *l, const char *key, int64_t us)
{
	char text[32];
	if (!has_room(l, key))
		return;
	snprintf(text, sizeof text, "%lld.%03lld", (long long)(us / 1000), (long long)(us % 1000));
	put_key(l, key);
	put_text(l, text);
}

void log_line_write(struct log_line *l)
{
	struct pollfd ready = {.fd = options.fd, .events = POLLOUT};
	if (dropped_unsaid)
		put_number(l, "dropped", (int64_t)dropped_unsaid);
	put_text(l, l->json ? "}\n" : "\n");

	/* Lines of at most PIPE_BUF bytes are written whole or not at all, and a pipe is only called
	 * writable while it has room for that much. */
	bool written = poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) &&
		       write(options.fd, l->at, l->n) == (ssize_t)l->n;
	if (written) {
		dropped_unsaid = 0;
	} else {
		dropped++;
		dropped_unsaid++;
	}
}

void log_event(const char *level, const char *format, ...)
{
	struct log_line line;
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	log_line_open(&line, level);
	log_text(&line, "msg", str_of(text), 0);
	log_line_write(&line);
}
