/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/hash.h"

#define FIRST_LINE "lorikeet original 1\n"
#define SAY "The image could not be read."
#define NUMBER_BYTES 20

/* The fields, each "name=value\n". Texts are percent-encoded, so that none can end its line. Numbers and hashes have a
 * fixed width: the header keeps its size while they change. */
static void write_fields(struct buf *b, const struct cache_header *h, uint64_t header_bytes)
{
	buf_text(b, FIRST_LINE);
	buf_printf(b, "header=%0*llu\nlength=%0*llu\nkey=%s\nmodified=%0*lld\nfetched=%0*lld\ngeneration=%0*llu\n",
		   NUMBER_BYTES, (unsigned long long)header_bytes, NUMBER_BYTES, (unsigned long long)h->length, h->key,
		   NUMBER_BYTES, (long long)h->modified_s, NUMBER_BYTES, (long long)h->fetched_s, NUMBER_BYTES,
		   (unsigned long long)h->generation);
	buf_printf(b, "tag=%-32s\nsha256=%-64s\n", h->tag, h->sha256);
	const char *const texts[][2] = {
		{"url", h->url}, {"identifier", h->identifier}, {"etag", h->etag}, {"last-modified", h->last_modified}};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		buf_printf(b, "%s=", texts[i][0]);
		buf_uri_segment(b, str_of(texts[i][1]));
		buf_text(b, "\n");
	}
	buf_text(b, "end\n");
}

static struct buf *make_header(struct arena *a, const struct cache_header *h)
{
	struct buf *b = buf_open(a, CACHE_HEADER_MAX);
	write_fields(b, h, 0);
	uint64_t bytes = (b->n + CACHE_HEADER_STEP - 1) / CACHE_HEADER_STEP * CACHE_HEADER_STEP;
	b->n = 0;
	write_fields(b, h, bytes);
	while (!b->failed && b->n < bytes)
		buf_text(b, "\n");
	return b;
}

uint64_t cache_header_size(const struct cache_header *h)
{
	struct arena *a = arena_open();
	struct buf *b = make_header(a, h);
	uint64_t n = b->failed ? 0 : b->n;
	arena_close(a);
	return n;
}

/* A part of it written means that the rest had no room. */
static bool write_whole(int fd, const struct buf *b)
{
	ssize_t n = pwrite(fd, b->at, b->n, 0);
	if (n >= 0 && (size_t)n < b->n)
		errno = ENOSPC;
	return n == (ssize_t)b->n;
}

bool cache_header_write(int fd, const struct cache_header *h, struct error *err)
{
	struct arena *a = arena_open();
	struct buf *b = make_header(a, h);
	bool ok = false;
	if (b->failed || b->n != h->header_bytes)
		fail(err, 500, REASON_INTERNAL, SAY, "a header of %zu bytes, not %llu", b->n,
		     (unsigned long long)h->header_bytes);
	else
		ok = write_whole(fd, b) || fail(err, 503, REASON_IO, SAY, "cache: %s", strerror(errno));
	int why = errno;
	arena_close(a);
	errno = why;
	return ok;
}

static bool damaged(struct error *err, const char *key, const char *what)
{
	return fail(err, 500, REASON_DAMAGED, SAY, "cached file %s: %s", key, what);
}

static bool take_field(struct str *rest, const char *name, struct str *value)
{
	return take_until(rest, '\n', value) && take_word(value, str_of(name)) && take_char(value, '=');
}

static bool take_number(struct str *rest, const char *name, uint64_t *number)
{
	struct str value;
	return take_field(rest, name, &value) && take_uint(&value, UINT64_MAX, number) && !value.n;
}

static bool take_fixed(struct str *rest, const char *name, char *to, size_t bytes)
{
	struct str value;
	if (!take_field(rest, name, &value) || value.n >= bytes)
		return false;
	while (value.n && value.at[value.n - 1] == ' ')
		value.n--;
	memcpy(to, value.at, value.n);
	to[value.n] = '\0';
	return true;
}

static bool take_text(struct arena *a, struct str *rest, const char *name, const char **text)
{
	struct str value;
	if (!take_field(rest, name, &value) || !percent_decode(a, value, &value))
		return false;
	*text = str_dup(a, value);
	return true;
}

static bool take_time(struct str *rest, const char *name, int64_t *when)
{
	struct str value;
	uint64_t number;
	if (!take_field(rest, name, &value))
		return false;
	bool before_1970 = take_char(&value, '-');
	if (!take_uint(&value, INT64_MAX, &number) || value.n)
		return false;
	*when = before_1970 ? -(int64_t)number : (int64_t)number;
	return true;
}

static bool parse(struct arena *a, struct str text, struct cache_header *h)
{
	struct str end;
	return take_word(&text, STR(FIRST_LINE)) && take_number(&text, "header", &h->header_bytes) &&
	       take_number(&text, "length", &h->length) && take_fixed(&text, "key", h->key, sizeof h->key) &&
	       take_time(&text, "modified", &h->modified_s) && take_time(&text, "fetched", &h->fetched_s) &&
	       take_number(&text, "generation", &h->generation) && take_fixed(&text, "tag", h->tag, sizeof h->tag) &&
	       take_fixed(&text, "sha256", h->sha256, sizeof h->sha256) && take_text(a, &text, "url", &h->url) &&
	       take_text(a, &text, "identifier", &h->identifier) && take_text(a, &text, "etag", &h->etag) &&
	       take_text(a, &text, "last-modified", &h->last_modified) && take_until(&text, '\n', &end) &&
	       str_equal(end, STR("end"));
}

/* Most headers are one step long; the rest of a long one is read when the first step says so. */
static ssize_t read_text(int fd, char *text)
{
	static const char before[] = FIRST_LINE "header=";
	ssize_t n = pread(fd, text, CACHE_HEADER_STEP, 0);
	struct str s = {text, n < 0 ? 0 : (size_t)n};
	uint64_t bytes;
	if (n == CACHE_HEADER_STEP && take_word(&s, str_of(before)) && take_uint(&s, UINT64_MAX, &bytes) &&
	    bytes > CACHE_HEADER_STEP && bytes <= CACHE_HEADER_MAX)
		n = pread(fd, text, bytes, 0);
	return n;
}

bool cache_header_read(struct arena *a, int fd, const char *key, bool is_part, struct cache_header *h,
		       struct error *err)
{
	char text[CACHE_HEADER_MAX];
	struct stat st;
	ssize_t n = read_text(fd, text);
	*h = (struct cache_header){0};
	if (n < 0 || fstat(fd, &st) < 0)
		return fail(err, 500, REASON_IO, SAY, "cached file %s: %s", key, strerror(errno));
	if (!S_ISREG(st.st_mode) || !parse(a, (struct str){text, (size_t)n}, h))
		return damaged(err, key, "has no header");
	/* Numbers that a defect made huge must not make a right sum. */
	if (!h->header_bytes || h->header_bytes > CACHE_HEADER_MAX || h->header_bytes % CACHE_HEADER_STEP ||
	    h->length > INT64_MAX / 2)
		return damaged(err, key, "has lengths that cannot be");
	if (strcmp(h->key, key) != 0)
		return damaged(err, key, "is another");
	if (is_part ? (uint64_t)st.st_size < h->header_bytes
		    : (uint64_t)st.st_size != h->header_bytes + h->length || !*h->sha256)
		return damaged(err, key, "has not the length that it should have");
	return true;
}

struct source *cache_file_source(struct arena *a, int fd, const struct cache_header *h)
{
	struct validator v = {.length = h->length, .modified_s = h->modified_s, .generation = h->generation};
	memcpy(v.tag, h->tag, sizeof v.tag);
	return file_source_adopt(a, fd, h->header_bytes, &v);
}

bool cache_file_verify(int fd, const struct cache_header *h, struct error *err)
{
	struct hasher *hasher = hasher_open(HASH_SHA256);
	char hex[65];
	bool ok = hasher_add_file(hasher, fd, h->header_bytes, h->length);
	int why = errno;
	hasher_close_hex(hasher, hex);
	if (!ok)
		return fail(err, 500, REASON_IO, SAY, "cached file %s: %s", h->key, strerror(why));
	return strcmp(hex, h->sha256) == 0 || damaged(err, h->key, "is not what was fetched");
}
