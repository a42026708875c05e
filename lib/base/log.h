/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "str.h"

/*
 * Log lines: one event, one line, one write(2) of at most LOG_LINE_BYTES, on standard error.
 *
 * A line is built field by field (log_line_open, log_text / log_number / log_ms..., log_line_write)
 * in logfmt or JSON. Control bytes, quotes and bytes that are not UTF-8 are escaped, so that a
 * request cannot forge a line. A line that grows too long loses the end of its longest text fields,
 * never its shape. A write does not wait for a reader: if the pipe is full the line is dropped and counted (METRIC_LOG_DROPPED), and the next
 * line that gets through carries dropped=N. (The descriptor may be shared with other processes, so O_NONBLOCK is not set
 * on it: poll says whether there is room, and where another process takes it first, SIGALRM ends the write after
 * LOG_PATIENCE_MS. Writes to a pipe of at most PIPE_BUF bytes are atomic.)
 */
#define LOG_PATIENCE_MS 5
#define LOG_LINE_BYTES 4096

struct log_options {
	int fd;              /* where lines go, normally 2 */
	bool json;
	int repeat_s;        /* within so many seconds equal events are counted; 0: all are written */
};

struct log_line {
	char at[LOG_LINE_BYTES];
	size_t n;
	bool json;
};

/* Takes over SIGALRM. */
void log_start(const struct log_options *options);

/* Begins a line with time (RFC 3339, UTC, milliseconds) and level ("info", "warn", "error"). */
void log_line_open(struct log_line *line, const char *level);
/* key is a literal of [a-z_]. A text field takes at most limit bytes as written (0: no own limit). */
void log_text(struct log_line *line, const char *key, struct str s, size_t limit);
void log_number(struct log_line *line, const char *key, int64_t value);
void log_ms(struct log_line *line, const char *key, int64_t microseconds);   /* as 12.345 */
void log_line_write(struct log_line *line);

/*
 * A line of its own for events that belong to no request: level (a literal), msg=TEXT. What comes again within repeat_s is
 * only counted; when they have passed, one more line tells how often: repeated=N.
 */
void log_event(const char *level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes those lines when they are due, or, before the process ends, all. Costs nothing where nothing repeats. */
void log_repeated(bool all);

#endif
