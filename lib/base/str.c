/* SPDX-License-Identifier: BSD-2-Clause */
#include "str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

bool str_equal(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n) == 0);
}

bool str_equal_nocase(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || strncasecmp(a.at, b.at, a.n) == 0);
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.at, prefix.at, prefix.n) == 0);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n &&
	       (suffix.n == 0 || memcmp(s.at + s.n - suffix.n, suffix.at, suffix.n) == 0);
}

char *str_dup(struct arena *a, struct str s)
{
	return arena_strndup(a, s.at, s.n);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
	while (s.n && is_blank(s.at[0])) {
		s.at++;
		s.n--;
	}
	while (s.n && is_blank(s.at[s.n - 1]))
		s.n--;
	return s;
}

static void move(struct str *s, size_t n)
{
	s->at += n;
	s->n -= n;
}

bool take_char(struct str *s, char c)
{
	if (!s->n || s->at[0] != c)
		return false;
	move(s, 1);
	return true;
}

bool take_word(struct str *s, struct str word)
{
	if (!str_starts(*s, word))
		return false;
	move(s, word.n);
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool take_uint(struct str *s, uint64_t max, uint64_t *value)
{
	size_t i = 0;
	uint64_t v = 0;
	for (; i < s->n && is_digit(s->at[i]); i++) {
		uint64_t digit = (uint64_t)(s->at[i] - '0');
		v = digit > max || v > (max - digit) / 10 ? max : v * 10 + digit;
	}
	if (!i)
		return false;
	move(s, i);
	*value = v;
	return true;
}

bool take_decimal(struct str *s, uint64_t *value)
{
	struct str rest = *s;
	uint64_t whole = 0, fraction = 0;
	bool has_whole = take_uint(&rest, DECIMAL_MAX_INT, &whole);

	if (take_char(&rest, '.')) {
		size_t i = 0;
		for (; i < rest.n && is_digit(rest.at[i]); i++)
			if (i < DECIMAL_PLACES)
				fraction = fraction * 10 + (uint64_t)(rest.at[i] - '0');
		if (!i)
			return false;
		for (size_t k = i; k < DECIMAL_PLACES; k++)
			fraction *= 10;
		move(&rest, i);
	} else if (!has_whole) {
		return false;
	}
	*s = rest;
	*value = whole * DECIMAL_ONE + fraction;
	return true;
}

bool take_until(struct str *s, char separator, struct str *piece)
{
	if (!s->at)
		return false;
	const char *end = s->n ? memchr(s->at, separator, s->n) : NULL;
	if (!end) {
		*piece = *s;
		*s = (struct str){NULL, 0};
		return true;
	}
	*piece = (struct str){s->at, (size_t)(end - s->at)};
	move(s, piece->n + 1);
	return true;
}

static void buf_free(void *what)
{
	free(((struct buf *)what)->at);
}

struct buf *buf_open(struct arena *a, size_t limit)
{
	struct buf *b = arena_new(a, struct buf);
	b->limit = limit;
	arena_defer(a, buf_free, b);
	return b;
}

char *buf_room(struct buf *b, size_t n)
{
	if (b->failed)
		return NULL;
	if (n > b->limit - b->n) {
		b->failed = true;
		return NULL;
	}
	if (b->n + n > b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 256;
		if (cap < b->n + n)
			cap = b->n + n;
		if (cap > b->limit)
			cap = b->limit;
		char *at = realloc(b->at, cap);
		if (!at) {
			b->failed = true;
			return NULL;
		}
		b->at = at;
		b->cap = cap;
	}
	return b->at + b->n;
}

void buf_write(struct buf *b, const void *at, size_t n)
{
	char *room = n ? buf_room(b, n) : NULL;
	if (!room)
		return;
	memcpy(room, at, n);
	b->n += n;
}

void buf_str(struct buf *b, struct str s)
{
	buf_write(b, s.at, s.n);
}

void buf_text(struct buf *b, const char *text)
{
	buf_write(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *format, ...)
{
	char small[256];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(small, sizeof small, format, args);
	va_end(args);
	if (n < (int)sizeof small) {
		buf_write(b, small, (size_t)n);
		return;
	}
	/* vsnprintf wants room for the NUL too, which the limit need not have. */
	char *large = malloc((size_t)n + 1);
	if (!large) {
		b->failed = true;
		return;
	}
	va_start(args, format);
	vsnprintf(large, (size_t)n + 1, format, args);
	va_end(args);
	buf_write(b, large, (size_t)n);
	free(large);
}

struct str buf_view(const struct buf *b)
{
	return (struct str){b->at, b->n};
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool percent_decode(struct arena *a, struct str raw, struct str *decoded)
{
	if (!raw.n || !memchr(raw.at, '%', raw.n)) {
		*decoded = raw;
		return true;
	}
	char *at = arena_alloc(a, raw.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < raw.n; i++) {
		if (raw.at[i] != '%') {
			at[n++] = raw.at[i];
			continue;
		}
		int high = i + 2 < raw.n ? hex_value(raw.at[i + 1]) : -1;
		int low = i + 2 < raw.n ? hex_value(raw.at[i + 2]) : -1;
		if (high < 0 || low < 0)
			return false;
		at[n++] = (char)(high * 16 + low);
		i += 2;
	}
	*decoded = (struct str){at, n};
	return true;
}

static bool is_unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit((char)c) || c == '-' ||
	       c == '.' || c == '_' || c == '~';
}

static void buf_escaped(struct buf *b, struct str s, const char *also)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.at[i];
		if (is_unreserved(c) || (c && strchr(also, c)))
			buf_write(b, &s.at[i], 1);
		else
			buf_printf(b, "%%%02X", c);
	}
}

void buf_uri_text(struct buf *b, struct str s)
{
	buf_escaped(b, s, "%!$&'()*+,;=:@/");
}

void buf_uri_segment(struct buf *b, struct str s)
{
	buf_escaped(b, s, "");
}

size_t utf8_length(struct str s)
{
	const unsigned char *c = (const unsigned char *)s.at;
	if (!s.n)
		return 0;
	size_t n = c[0] < 0x80 ? 1 : c[0] >= 0xc2 && c[0] < 0xe0 ? 2 : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
		 : c[0] >= 0xf0 && c[0] < 0xf5			 ? 4
								 : 0;
	if (n == 0 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates and what lies above U+10FFFF. */
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
	    (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return n;
}

bool str_is_utf8(struct str s)
{
	while (s.n) {
		size_t n = utf8_length(s);
		if (!n)
			return false;
		move(&s, n);
	}
	return true;
}
