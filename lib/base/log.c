/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "metrics.h"

/* Kept free behind every text field, so that the short fields after it and the end always fit. */
#define RESERVE_BYTES 1024
/* The most that a field has beside its key and text, and what closes a line: the count of dropped ones. */
#define FIELD_BYTES 32
#define END_BYTES 48
/* Fields with a limit up to this may use the reserve. */
#define SHORT_BYTES 64

/* So many different events may repeat at a time. */
#define EVENTS 8
#define EVENT_BYTES 1024

static struct log_options options = {.fd = 2};

static struct event {
	char text[EVENT_BYTES];
	const char *level;
	uint64_t repeated;
	time_t since;
} events[EVENTS];
static size_t next_event, n_repeating;
static uint64_t dropped_unsaid;

static void wake(int signal)
{
	(void)signal;
}

/* Without SA_RESTART the signal ends a write that waits. */
void log_start(const struct log_options *o)
{
	struct sigaction action = {.sa_handler = wake};
	options = *o;
	sigaction(SIGALRM, &action, NULL);
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

/* C1 controls, line separators and the marks that turn the direction of text: they could hide what a line says. */
static bool is_treacherous(struct str s, size_t n)
{
	const unsigned char *c = (const unsigned char *)s.at;
	return (n == 2 && c[0] == 0xc2 && c[1] < 0xa0) ||
	       (n == 3 && c[0] == 0xe2 && ((c[1] == 0x80 && c[2] >= 0xa8 && c[2] <= 0xae) ||
					   (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9)));
}

/* The first character of s as it is written, and how many bytes of s that were. */
static size_t escape_one(const struct log_line *l, struct str s, char out[16])
{
	unsigned char c = (unsigned char)s.at[0];
	size_t n = utf8_length(s);
	if (c == '"' || c == '\\')
		snprintf(out, 16, "\\%c", c);
	else if (c == '\n' || c == '\t')
		snprintf(out, 16, c == '\n' ? "\\n" : "\\t");
	else if (n == 0 || c < ' ' || c == 0x7f || is_treacherous(s, n))
		/* JSON has no escape for a byte that is no character. */
		snprintf(out, 16, l->json ? "\\u%04x" : "\\x%02x", (n && c < 0x80) || !l->json ? c : 0xfffd);
	else
		snprintf(out, 16, "%.*s", (int)n, s.at);
	return n && !(is_treacherous(s, n) && !l->json) ? n : 1;
}

/* How many characters s starts with that are written as they are. */
static size_t plain_bytes(struct str s)
{
	size_t n = 0;
	while (n < s.n && s.at[n] >= ' ' && s.at[n] < 0x7f && s.at[n] != '"' && s.at[n] != '\\')
		n++;
	return n;
}

static void put_escaped(struct log_line *l, struct str s, size_t end)
{
	char out[16];
	while (s.n) {
		size_t n = plain_bytes(s);
		if (n) {
			/* Characters, of which the last ones may be left out. */
			n = l->n + n <= end ? n : l->n < end ? end - l->n : 0;
			if (!n)
				return;
			put(l, s.at, n);
			s.at += n;
			s.n -= n;
			continue;
		}
		n = escape_one(l, s, out);
		if (l->n + strlen(out) > end)
			return;
		put_text(l, out);
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
	bool quotes = l->json || needs_quotes(s);
	put_key(l, key);
	if (quotes)
		put_text(l, "\"");
	size_t end = sizeof l->at - (limit && limit <= SHORT_BYTES ? END_BYTES : RESERVE_BYTES);
	put_escaped(l, s, limit && l->n + limit < end ? l->n + limit : end);
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

/* The timer repeats: its first signal may come before the write has begun. */
static bool write_patiently(const char *at, size_t n)
{
	const struct timeval step = {.tv_usec = LOG_PATIENCE_MS * 1000};
	struct itimerval timer = {step, step};
	setitimer(ITIMER_REAL, &timer, NULL);
	bool written = write(options.fd, at, n) == (ssize_t)n;
	timer = (struct itimerval){0};
	setitimer(ITIMER_REAL, &timer, NULL);
	return written;
}

void log_line_write(struct log_line *l)
{
	struct pollfd ready = {.fd = options.fd, .events = POLLOUT};
	if (dropped_unsaid)
		put_number(l, "dropped", (int64_t)dropped_unsaid);
	put_text(l, l->json ? "}\n" : "\n");

	/* Lines of at most PIPE_BUF bytes are written whole or not at all, and a pipe is only called
	 * writable while it has room for that much. */
	bool room = poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT);
	if (room && write_patiently(l->at, l->n)) {
		dropped_unsaid = 0;
	} else {
		dropped_unsaid++;
		metrics_add(METRIC_LOG_DROPPED, 1);
	}
}

static time_t seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec;
}

static void write_event(const char *level, const char *text, uint64_t repeated)
{
	struct log_line line;
	log_line_open(&line, level);
	log_text(&line, "msg", str_of(text), 0);
	if (repeated)
		log_number(&line, "repeated", (int64_t)repeated);
	log_line_write(&line);
}

/* The next one of its kind is written again. */
static void forget(struct event *e)
{
	if (e->repeated) {
		n_repeating--;
		write_event(e->level, e->text, e->repeated);
	}
	*e->text = '\0';
	e->repeated = 0;
}

void log_repeated(bool all)
{
	time_t now = n_repeating ? seconds() : 0;
	for (size_t i = 0; n_repeating && i < EVENTS; i++)
		if (events[i].repeated && (all || now - events[i].since >= options.repeat_s))
			forget(&events[i]);
}

static struct event *find_event(const char *level, const char *text)
{
	for (size_t i = 0; i < EVENTS; i++)
		if (strcmp(events[i].text, text) == 0 && strcmp(events[i].level, level) == 0)
			return &events[i];
	return NULL;
}

void log_event(const char *level, const char *format, ...)
{
	char text[EVENT_BYTES];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);

	time_t now = seconds();
	struct event *e = *text ? find_event(level, text) : NULL;
	if (e && now - e->since < options.repeat_s) {
		n_repeating += !e->repeated;
		e->repeated++;
		return;
	}
	if (!e)
		e = &events[next_event++ % EVENTS];
	forget(e);
	write_event(level, text, 0);
	memcpy(e->text, text, sizeof text);
	e->level = level;
	e->since = now;
}
