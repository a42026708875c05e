/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache_room.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../base/metrics.h"

#define PATROL_S 300
#define ROOM_US 100000
#define EVICT_AT_ONCE 8
#define FULL_BYTES 262144
#define KEEP_OTHERS 100000

/* --- walking --- */

struct walk {
	const struct store *store;
	void (*each)(void *with, const char *key, int fd, const struct cache_header *h);
	void *with;
};

static bool walk_file(void *with, const char *key)
{
	const struct walk *w = with;
	int fd = store_open_file(w->store, key);
	if (fd < 0)
		return true;
	struct arena *a = arena_open();
	struct cache_header h;
	struct error err;
	bool sound = cache_header_read(a, fd, key, false, &h, &err);
	if (sound || err.reason == REASON_DAMAGED)
		w->each(w->with, key, fd, sound ? &h : NULL);
	close(fd);
	arena_close(a);
	return true;
}

void store_walk_slice(const struct store *s, int slice,
		      void (*each)(void *with, const char *key, int fd, const struct cache_header *h), void *with)
{
	store_walk_names(s, slice, walk_file, &(struct walk){s, each, with});
}

/* --- opening --- */

void store_forget(struct store *s, const char *key, bool waits)
{
	if (!s->index || !store_check(s, cache_index_begin(s->index, waits)))
		return;
	int fd = store_open_file(s, key);
	enum index_result r = fd < 0 && errno == ENOENT ? cache_index_unstore(s->index, key) : INDEX_OK;
	if (fd >= 0)
		close(fd);
	enum index_result ended = cache_index_end(s->index, true);
	store_check(s, r == INDEX_BROKEN ? r : ended);
}

void store_drop_damaged(struct store *s, const char *key, int fd, const struct error *err)
{
	log_event("warn", "dropped from the cache: %s", err->why);
	metrics_add(METRIC_CACHE_DROPPED, 1);
	store_unlink_file_of(s, key, fd);
	store_forget(s, key, false);
}

int store_open_sound(struct store *s, struct arena *a, const char *key, struct cache_header *h)
{
	struct error err;
	int fd = store_open_file(s, key);
	if (fd < 0) {
		if (errno == ENOENT)
			store_forget(s, key, false);
		return -1;
	}
	if (cache_header_read(a, fd, key, false, h, &err))
		return fd;
	if (err.reason == REASON_DAMAGED)
		store_drop_damaged(s, key, fd, &err);
	close(fd);
	return -1;
}

/* --- taking up what is there --- */

enum index_result store_take_up(struct store *s, int fd, const struct original *o)
{
	/* Else the row is about to be another's. */
	if (!store_is_file_of(s, o->key, fd))
		return INDEX_OK;
	struct arena *a = arena_open();
	struct original row;
	enum index_result r = s->index ? cache_index_adopt(s->index, o) : INDEX_BUSY;
	if (r == INDEX_NONE && cache_index_find(s->index, a, o->key, &row) == INDEX_OK &&
	    row.validator.generation > o->validator.generation)
		store_unlink_file_of(s, o->key, fd);
	else if (r == INDEX_NONE)
		r = INDEX_OK;
	else
		store_check(s, r);
	arena_close(a);
	return r;
}

struct adoption {
	struct store *store;
	int64_t end_us;
	bool is_late, has_failed;
};

static void adopt_file(void *with, const char *key, int fd, const struct cache_header *h)
{
	struct adoption *job = with;
	if (!h) {
		store_unlink_file_of(job->store, key, fd);
		return;
	}
	struct original o = store_original_of(h);
	enum index_result r = store_take_up(job->store, fd, &o);
	job->has_failed |= r != INDEX_OK && r != INDEX_NONE;
}

/* Only files that no row counts are opened. What is not done in time is the next one's, who is soon through with the
 * rest. */
static bool adopt_name(void *with, const char *key)
{
	struct adoption *job = with;
	struct store *s = job->store;
	struct arena *a = arena_open();
	struct original o;
	enum index_result r = cache_index_find(s->index, a, key, &o);
	if (r == INDEX_NONE || (r == INDEX_OK && !o.bytes)) {
		walk_file(&(struct walk){s, adopt_file, job}, key);
		job->is_late = clock_us() >= job->end_us;
	}
	job->has_failed |= r != INDEX_NONE && r != INDEX_OK;
	arena_close(a);
	return !job->has_failed && !job->is_late;
}

static bool next_slice(struct store *s, struct index_totals *t)
{
	if (!s->index || !store_check(s, cache_index_totals(s->index, t)))
		return false;
	int64_t age_s = time(NULL) - t->walked_s;
	return t->slice < CACHE_SLICES || age_s >= PATROL_S || age_s < 0;
}

void store_adopt(struct store *s, int64_t budget_us)
{
	struct adoption job = {.store = s, .end_us = clock_us() + budget_us};
	struct index_totals t;
	/* Not above all: who dies between a slice and its number leaves the slice to the next. */
	do {
		if (s->lock_fd < 0 || !next_slice(s, &t) || !store_check(s, cache_index_begin(s->index, false)))
			return;
		struct cache_index *index = s->index;
		if (next_slice(s, &t)) {
			store_walk_names(s, t.slice % CACHE_SLICES, adopt_name, &job);
			int next = t.slice + 1 < 2 * CACHE_SLICES ? t.slice + 1 : CACHE_SLICES;
			if (!job.has_failed && !job.is_late)
				job.has_failed = !store_check(s, cache_index_set_slice(s->index, next, time(NULL)));
		}
		/* A broken index was replaced, and its transaction is gone with it. */
		if (s->index != index || !store_check(s, cache_index_end(s->index, !job.has_failed)) || job.has_failed)
			return;
	} while (!job.is_late && clock_us() < job.end_us);
}

/* --- room --- */

/* Inside a transaction: unlinks while the row is still to be committed, so that a file without a row cannot be left,
 * and even where the volume is so full that the index takes nothing. */
static bool evict_oldest(struct store *s, uint64_t *freed, uint64_t *unlinked)
{
	struct arena *a = arena_open();
	struct original o;
	bool found = cache_index_oldest(s->index, a, &o) == INDEX_OK;
	if (found) {
		found = cache_index_unstore(s->index, o.key) == INDEX_OK;
		bool there = store_unlink_file(s, o.key);
		*freed += found ? o.bytes : 0;
		*unlinked += there ? o.bytes : 0;
		metrics_add(METRIC_CACHE_EVICTIONS, there);
		metrics_add(METRIC_CACHE_EVICTED_BYTES, there ? o.bytes : 0);
	}
	arena_close(a);
	return found;
}

static bool evict(struct store *s, uint64_t n)
{
	uint64_t freed = 0, unlinked = 0;
	while (freed < n && s->index && store_check(s, cache_index_begin(s->index, true))) {
		uint64_t before = unlinked;
		bool more = true;
		for (int i = 0; i < EVICT_AT_ONCE && more && freed < n; i++)
			more = evict_oldest(s, &freed, &unlinked);
		enum index_result r = cache_index_end(s->index, true);
		/* The rows are still there, so only what was really unlinked is room; maybe enough for the index to
		 * go on. */
		if (r == INDEX_FULL) {
			cache_index_shrink(s->index);
			freed = unlinked;
			more = unlinked > before;
		} else if (!store_check(s, r)) {
			break;
		}
		if (!more)
			break;
	}
	return freed >= n;
}

/* Enough that the index, which notes what is evicted, does not take it all. */
bool store_evict(struct store *s, uint64_t n)
{
	return evict(s, n > FULL_BYTES ? n : FULL_BYTES);
}

/* How many bytes have to go so that n more fit. */
static bool lacking(struct store *s, uint64_t n, uint64_t parts, uint64_t *bytes)
{
	struct index_totals t;
	if (!s->index || !store_check(s, cache_index_totals(s->index, &t)))
		return false;
	if (t.others > KEEP_OTHERS + KEEP_OTHERS / 10)
		store_check(s, cache_index_trim_others(s->index, KEEP_OTHERS));
	uint64_t all = t.bytes + parts + n, wanted = n + s->min_free_bytes;
	*bytes = all > s->max_bytes ? all - s->max_bytes : wanted > store_free_bytes(s) ? FULL_BYTES : 0;
	return true;
}

bool store_make_room(struct store *s, uint64_t n)
{
	if (n > s->max_bytes || s->is_strange || s->lock_fd < 0)
		return false;
	store_adopt(s, ROOM_US);
	uint64_t bytes, parts = store_drop_old_parts(s, STORE_PART_AGE_S);
	bool last = false;
	while (lacking(s, n, parts, &bytes)) {
		if (!bytes)
			return true;
		if (evict(s, bytes))
			continue;
		/* All that is left are the index's log and parts: such as could be resumed, but who is asked for now
		 * goes first. */
		if (last || !s->index)
			return false;
		last = true;
		cache_index_shrink(s->index);
		parts = store_drop_old_parts(s, 0);
	}
	/* Without an index nothing can be counted: only the volume says whether there is room. */
	return !s->index && store_free_bytes(s) > n + s->min_free_bytes;
}
