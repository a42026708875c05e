/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache_write.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/hash.h"
#include "../base/metrics.h"
#include "cache_inside.h"

#define FULL_US 10000000
#define HEADER_TRIES 8
#define SAY "The image cannot be fetched now."

struct cache_writer {
	struct cache *cache;
	struct store *store;
	int fd;
	struct cache_header header;
	uint64_t written;
	struct hasher *sha256;
};

static bool lacks_room(int why)
{
	return why == ENOSPC || why == EDQUOT;
}

static const char *or_none(const char *text)
{
	return text ? text : "";
}

/* The folder where a part lies. */
static struct store *part_opened(struct cache *c, const char *key, bool to_write, int *fd)
{
	struct store *const stores[] = {&c->main, &c->temporary};
	for (int i = 0; i < 2; i++) {
		if (!store_ready(stores[i], false))
			continue;
		*fd = to_write ? store_take_part(stores[i], key, false) : store_open_part(stores[i], key);
		if (*fd >= 0)
			return stores[i];
	}
	return NULL;
}

uint64_t cache_part(struct cache *c, struct arena *a, const char *key, const char **etag)
{
	int fd = -1;
	struct cache_header h;
	struct error err;
	struct stat st;
	uint64_t n = 0;
	struct store *s = part_opened(c, key, false, &fd);
	if (s && cache_header_read(a, fd, key, true, &h, &err) && fstat(fd, &st) == 0) {
		n = (uint64_t)st.st_size - h.header_bytes;
		*etag = h.etag;
	}
	if (fd >= 0)
		close(fd);
	return n;
}

/* The folder that takes n more bytes: the main one, else the temporary one. */
static struct store *store_with_room(struct cache *c, uint64_t n)
{
	struct store *m = &c->main, *t = &c->temporary;
	if (store_ready(m, false) && clock_us() >= m->full_until_us && store_make_room(m, n))
		return m;
	if (!store_ready(t, true) || !store_make_room(t, n))
		return NULL;
	if (*m->folder)
		metrics_add(METRIC_CACHE_UNUSABLE, 1);
	return t;
}

static bool too_large(const struct cache *c, uint64_t n)
{
	return n > c->main.max_bytes && n > c->temporary.max_bytes;
}

static bool refuse_size(const struct cache *c, uint64_t n, struct error *err)
{
	return fail(err, 507, REASON_TOO_LARGE, "The image is too large for this server.",
		    "%llu bytes, the cache has %llu", (unsigned long long)n, (unsigned long long)c->main.max_bytes);
}

/* What an eviction frees may be taken by others, or by the index's own log. */
static bool write_header(struct cache_writer *w, struct error *err)
{
	for (int i = 0; !cache_header_write(w->fd, &w->header, err); i++)
		if (i == HEADER_TRIES || !lacks_room(errno) || !store_evict(w->store, w->header.header_bytes))
			return false;
	return true;
}

static bool prepare_part(struct cache_writer *w, uint64_t resume_from, struct error *err)
{
	struct cache_header old;
	struct arena *a = arena_open();
	bool resumed = resume_from && cache_header_read(a, w->fd, w->header.key, true, &old, err) &&
		       old.header_bytes == w->header.header_bytes &&
		       hasher_add_file(w->sha256, w->fd, w->header.header_bytes, resume_from);
	arena_close(a);
	w->written = resumed ? resume_from : 0;
	if (resume_from && !resumed)
		return fail(err, 503, REASON_IO, SAY, "cache: the part to be resumed is not what it was");
	if (ftruncate(w->fd, (off_t)(w->header.header_bytes + w->written)) < 0)
		return fail(err, 503, REASON_IO, SAY, "cache: %s", strerror(errno));
	return write_header(w, err);
}

static void free_writer(struct cache_writer *w)
{
	char unused[65];
	if (w->fd >= 0)
		close(w->fd);
	hasher_close_hex(w->sha256, unused);
	free(w);
}

static void fill_header(struct cache_header *h, const struct original *o)
{
	*h = (struct cache_header){.url = or_none(o->url),
				   .identifier = or_none(o->identifier),
				   .etag = or_none(o->etag),
				   .last_modified = or_none(o->last_modified),
				   .modified_s = o->validator.modified_s};
	memcpy(h->key, o->key, sizeof h->key);
	memcpy(h->tag, o->validator.tag, sizeof h->tag);
	h->header_bytes = cache_header_size(h);
}

static uint64_t generation_of(struct cache *c, const char *key)
{
	struct arena *a = arena_open();
	struct original o;
	uint64_t n = cache_find(c, a, key, &o) ? o.validator.generation : 0;
	arena_close(a);
	return n;
}

static bool begin_write(struct cache *c, struct store *s, int fd, const struct cache_header *h, uint64_t resume_from,
			struct cache_writer **out, struct error *err)
{
	struct cache_writer *w = calloc(1, sizeof *w);
	if (!w) {
		close(fd);
		return fail(err, 503, REASON_MEMORY, SAY, "%s", "");
	}
	*w = (struct cache_writer){.cache = c, .store = s, .fd = fd, .header = *h, .sha256 = hasher_open(HASH_SHA256)};
	if (!prepare_part(w, resume_from, err)) {
		cache_write_drop(w, false);
		return false;
	}
	*out = w;
	return true;
}

static bool no_place(struct error *err, uint64_t need)
{
	return fail(err, 503, REASON_IO, SAY, "cache: no place for %llu bytes", (unsigned long long)need);
}

static bool busy_part(struct error *err, const char *key)
{
	return fail(err, 503, REASON_BUSY, SAY, "cache: another process writes %s", key);
}

bool cache_write_open(struct cache *c, const struct original *o, uint64_t resume_from, uint64_t expected,
		      struct cache_writer **out, struct error *err)
{
	struct cache_header h;
	int fd = -1;
	fill_header(&h, o);
	uint64_t need = expected + h.header_bytes;
	if (!h.header_bytes)
		return fail(err, 507, REASON_TOO_LARGE, SAY, "cache: the URL or identifier is too long");
	if (too_large(c, need))
		return refuse_size(c, need, err);
	h.generation = generation_of(c, o->key);
	/* A part is gone on with where it lies. */
	if (resume_from) {
		struct store *s = part_opened(c, o->key, true, &fd);
		return s ? begin_write(c, s, fd, &h, resume_from, out, err) : busy_part(err, o->key);
	}
	/* Where the main folder takes nothing, although it seemed to, it is left alone for a while. */
	for (struct store *s; (s = store_with_room(c, need));) {
		fd = store_take_part(s, o->key, true);
		if (fd < 0 && errno == EBUSY)
			return busy_part(err, o->key);
		if (fd >= 0 && begin_write(c, s, fd, &h, 0, out, err))
			return true;
		if (s != &c->main)
			break;
		s->full_until_us = clock_us() + FULL_US;
	}
	return no_place(err, need);
}

/* A full volume: what was not used for long makes room; else the folder counts as full for a while. */
static bool write_all(struct cache_writer *w, const char *at, size_t n, uint64_t offset)
{
	while (n) {
		ssize_t done = pwrite(w->fd, at, n, (off_t)offset);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0 && lacks_room(errno) && store_evict(w->store, n))
			continue;
		if (done <= 0) {
			int why = errno;
			w->store->full_until_us = clock_us() + FULL_US;
			errno = why;
			return false;
		}
		at += done;
		offset += (uint64_t)done;
		n -= (size_t)done;
	}
	return true;
}

bool cache_write(struct cache_writer *w, const void *bytes, size_t n, struct error *err)
{
	uint64_t all = w->header.header_bytes + w->written + n;
	if (too_large(w->cache, all))
		return refuse_size(w->cache, all, err);
	if (all > w->store->max_bytes)
		return no_place(err, all);
	if (!write_all(w, bytes, n, w->header.header_bytes + w->written))
		return fail(err, 503, REASON_IO, SAY, "cache: %s", strerror(errno));
	hasher_add(w->sha256, bytes, n);
	w->written += n;
	return true;
}

uint64_t cache_written(const struct cache_writer *w)
{
	return w->written;
}

int cache_writer_fd(const struct cache_writer *w, uint64_t *start)
{
	*start = w->header.header_bytes;
	return w->fd;
}

/* Steps that must not be parted: between them nothing is purged or evicted, if the index can be had. */
static bool publish(struct cache_writer *w, bool held, struct original *row, struct error *err)
{
	struct store *s = w->store;
	/* A generation that became lower is of an index that was lost. */
	if (generation_of(w->cache, w->header.key) > w->header.generation)
		return fail(err, 503, REASON_BUSY, SAY, "cache: %s was purged while it was fetched", w->header.key);
	if (!cache_header_write(w->fd, &w->header, err))
		return false;
	if (!store_publish(s, w->header.key, w->fd))
		return fail(err, 503, REASON_IO, SAY, "cache: %s: %s", w->header.key, strerror(errno));
	*row = store_original_of(&w->header);
	row->temporary = s == &w->cache->temporary;
	/* Whoever finds the file tells the index of it, if it cannot be had now. */
	enum index_result r = held && s->index ? cache_index_store(s->index, row) : INDEX_BUSY;
	if (r == INDEX_NONE) {
		store_unlink_file_of(s, row->key, w->fd);
		return fail(err, 503, REASON_BUSY, SAY, "cache: %s was purged while it was fetched", row->key);
	}
	store_check(s, r);
	return true;
}

bool cache_write_close(struct cache_writer *w, struct original *o, struct error *err)
{
	struct store *s = w->store;
	struct original row;
	w->header.length = w->written;
	w->header.fetched_s = time(NULL);
	hasher_close_hex(w->sha256, w->header.sha256);
	w->sha256 = hasher_open(HASH_SHA256);
	bool ok = store_ready(s, false);
	if (!ok)
		fail(err, 503, REASON_IO, SAY, "cache: %s", s->why);
	/* It lies there already, so there is no sense in giving it up where nothing can be evicted now. */
	for (int i = 0; ok && i < 2; i++) {
		store_make_room(s, 0);
		errno = 0;
		bool held = s->index && store_check(s, cache_index_begin(s->index, true));
		ok = publish(w, held, &row, err);
		int why = errno;
		if (held && s->index)
			store_check(s, cache_index_end(s->index, true));
		if (ok || !lacks_room(why) || !store_evict(s, w->header.header_bytes))
			break;
		ok = i == 0;
	}
	if (!ok) {
		cache_write_drop(w, false);
		return false;
	}
	*o = row;
	free_writer(w);
	return true;
}

void cache_write_drop(struct cache_writer *w, bool keep)
{
	if (!keep)
		store_unlink_part_of(w->store, w->header.key, w->fd);
	free_writer(w);
}
