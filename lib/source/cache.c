/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/hash.h"
#include "../base/log.h"
#include "../base/metrics.h"
#include "cache_store.h"

#define NOTES 256
#define FLUSH_US 10000000
#define NOTE_AGE_S 60
#define POLL_US 20000
#define FULL_US 10000000
#define ADOPT_US 20000
#define SAY "The image cannot be fetched now."

struct cache {
	struct store main, temporary;
	int locked_fd;                 /* of the store whose lock this process has, -1 none */
	char note[NOTES][CACHE_KEY_BYTES];
	size_t n_notes;
	int64_t flushed_us;
};

struct cache_writer {
	struct cache *cache;
	struct store *store;
	int fd;
	struct cache_header header;
	uint64_t written;
	struct hasher *sha256;
};

static void close_cache(void *what)
{
	struct cache *c = what;
	cache_flush(c);
	store_close(&c->main);
	store_close(&c->temporary);
}

static const char *or_none(const char *text)
{
	return text ? text : "";
}

struct cache *cache_open(struct arena *a, const struct cache_options *o)
{
	struct cache *c = arena_new(a, struct cache);
	c->main = (struct store){.folder = or_none(o->folder), .max_bytes = o->max_bytes,
				 .min_free_bytes = o->min_free_bytes, .fd = -1, .lock_fd = -1};
	c->temporary = (struct store){.folder = or_none(o->temporary), .temporary = true, .max_bytes = o->temporary_bytes,
				      .fd = -1, .lock_fd = -1};
	c->locked_fd = -1;
	c->flushed_us = clock_us();
	arena_defer(a, close_cache, c);
	return c;
}

void cache_key(struct str url, struct str account, char key[CACHE_KEY_BYTES])
{
	struct arena *a = arena_open();
	struct buf *b = buf_open(a, url.n + account.n + 2);
	buf_str(b, account);
	buf_write(b, "\n", 1);
	buf_str(b, url);
	hash_hex(buf_view(b), key);
	arena_close(a);
}

/* --- reading --- */

/* By the index, or, where that knows of no file, by the file's name. */
static bool find_in(struct store *s, struct arena *a, const char *key, struct original *o)
{
	bool known = s->index && store_check(s, cache_index_find(s->index, a, key, o));
	if (known && o->bytes)
		return true;
	struct cache_header h;
	struct error err;
	int fd = store_open_file(s, key);
	if (fd < 0)
		return known;
	if (cache_header_read(a, fd, key, false, &h, &err) && (!known || h.generation >= o->validator.generation)) {
		*o = store_original_of(&h);
		known = true;
	}
	close(fd);
	return known;
}

bool cache_find(struct cache *c, struct arena *a, const char *key, struct original *o)
{
	struct original other;
	bool known = store_ready(&c->main, false) && find_in(&c->main, a, key, o);
	if (known && o->bytes)
		return true;
	if (store_ready(&c->temporary, false) && find_in(&c->temporary, a, key, &other) && (!known || other.bytes)) {
		*o = other;
		o->temporary = true;
		known = true;
	}
	return known;
}

static struct store *store_of(struct cache *c, const struct original *o)
{
	return o->temporary ? &c->temporary : &c->main;
}

void cache_flush(struct cache *c)
{
	struct store *s = &c->main;
	if (c->n_notes && s->index)
		store_check(s, cache_index_used(s->index, (const char (*)[CACHE_KEY_BYTES])c->note, c->n_notes, time(NULL)));
	c->n_notes = 0;
	c->flushed_us = clock_us();
}

/* A busy index loses the notes: the next uses make new ones. */
static void note_use(struct cache *c, const struct original *o)
{
	if (!o->temporary && time(NULL) - o->used_s > NOTE_AGE_S &&
	    !(c->n_notes && strcmp(c->note[c->n_notes - 1], o->key) == 0))
		memcpy(c->note[c->n_notes++], o->key, CACHE_KEY_BYTES);
	if (c->n_notes == NOTES || clock_us() - c->flushed_us > FLUSH_US) {
		cache_flush(c);
		store_adopt(&c->main, ADOPT_US);
	}
}

bool cache_open_file(struct cache *c, struct arena *a, struct original *o, struct source **out)
{
	struct store *s = store_of(c, o);
	struct cache_header h;
	struct error err;
	int fd = store_open_file(s, o->key);
	bool sound = fd >= 0 && cache_header_read(a, fd, o->key, false, &h, &err);
	if (!sound) {
		if (fd >= 0) {
			close(fd);
			log_event("warn", "dropped from the cache: %s", err.why);
			metrics_add(METRIC_CACHE_DROPPED, 1);
			store_unlink_file(s, o->key);
		}
		if (s->index)
			store_check(s, cache_index_unstore(s->index, o->key));
		return false;
	}
	/* The file is the truth: a newer one may be there already, whose row is about to be written. */
	struct original is = store_original_of(&h);
	if (!validator_equal(&is.validator, &o->validator)) {
		is.checked_s = h.fetched_s;
		is.temporary = o->temporary;
		*o = is;
	}
	*out = cache_file_source(a, fd, &h);
	metrics_add(METRIC_CACHE_HITS, 1);
	note_use(c, o);
	return true;
}

/* Where something is to be learnt about an original: beside its file, or in the first folder that can be used. */
static struct store *store_to_write(struct cache *c, const char *key, bool *is_temporary)
{
	struct arena *a = arena_open();
	struct original o = {0};
	bool known = cache_find(c, a, key, &o);
	arena_close(a);
	*is_temporary = known ? o.temporary : !store_ready(&c->main, false);
	struct store *s = *is_temporary ? &c->temporary : &c->main;
	return store_ready(s, *is_temporary) && s->index ? s : NULL;
}

bool cache_claim(struct cache *c, const char *key, int64_t for_s)
{
	bool temporary;
	struct store *s = store_to_write(c, key, &temporary);
	return s && store_check(s, cache_index_claim(s->index, key, time(NULL), for_s));
}

void cache_judge(struct cache *c, const struct original *o)
{
	bool temporary;
	struct store *s = store_to_write(c, o->key, &temporary);
	struct original dated = *o;
	dated.used_s = time(NULL);
	if (s)
		store_check(s, cache_index_judge(s->index, &dated));
}

void cache_keep_facts(struct cache *c, const struct original *o)
{
	bool temporary;
	struct store *s = store_to_write(c, o->key, &temporary);
	if (s)
		store_check(s, cache_index_set_facts(s->index, o));
}

void cache_checked(struct cache *c, const char *key)
{
	bool temporary;
	struct store *s = store_to_write(c, key, &temporary);
	if (s)
		store_check(s, cache_index_checked(s->index, key, time(NULL)));
}

static void drop_from(struct store *s, const char *key)
{
	if (!store_ready(s, false))
		return;
	store_unlink_file(s, key);
	if (s->index)
		store_check(s, cache_index_unstore(s->index, key));
}

void cache_drop(struct cache *c, const char *key)
{
	drop_from(&c->main, key);
	drop_from(&c->temporary, key);
}

bool cache_verify_file(struct cache *c, const struct original *o)
{
	struct store *s = store_of(c, o);
	struct arena *a = arena_open();
	struct cache_header h;
	struct error err;
	int fd = store_open_file(s, o->key);
	bool bad = fd >= 0 && !(cache_header_read(a, fd, o->key, false, &h, &err) && cache_file_verify(fd, &h, &err)) &&
		   err.reason == REASON_DAMAGED;
	if (fd >= 0)
		close(fd);
	if (bad) {
		log_event("warn", "dropped from the cache: %s", err.why);
		metrics_add(METRIC_CACHE_DROPPED, 1);
		drop_from(s, o->key);
	}
	arena_close(a);
	return bad;
}

/* --- fetching --- */

static struct store *store_to_lock(struct cache *c)
{
	if (store_ready(&c->main, false) && c->main.lock_fd >= 0)
		return &c->main;
	return store_ready(&c->temporary, true) ? &c->temporary : NULL;
}

bool cache_lock(struct cache *c, const char *key, struct patience *patience, int64_t until_us)
{
	bool waited = false;
	for (;;) {
		struct store *s = store_to_lock(c);
		if (!s)
			return true;   /* nothing is kept, so nothing can be shared */
		if (store_try_lock(s, key)) {
			c->locked_fd = s->lock_fd;
			return true;
		}
		if (!waited)
			metrics_add(METRIC_WAITS, 1);
		waited = true;
		patience_check(patience);
		if ((patience && patience->is_late) || clock_us() >= until_us)
			return false;
		struct timespec poll = {.tv_nsec = POLL_US * 1000};
		nanosleep(&poll, NULL);
	}
}

void cache_unlock(struct cache *c)
{
	/* A store that was closed meanwhile has let go of its locks. */
	struct store *const stores[] = {&c->main, &c->temporary};
	for (int i = 0; i < 2; i++)
		if (c->locked_fd >= 0 && stores[i]->lock_fd == c->locked_fd)
			store_unlock(stores[i], c->locked_fd);
	c->locked_fd = -1;
}

static struct store *parts_of(struct cache *c, const char *key, int *fd)
{
	struct store *const stores[] = {&c->main, &c->temporary};
	for (int i = 0; i < 2; i++)
		if (store_ready(stores[i], false) && (*fd = store_open_part(stores[i], key, false)) >= 0)
			return stores[i];
	return NULL;
}

uint64_t cache_part(struct cache *c, struct arena *a, const char *key, const char **etag)
{
	int fd = -1;
	struct cache_header h;
	struct error err;
	struct stat st;
	uint64_t n = 0;
	struct store *s = parts_of(c, key, &fd);
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
	return fail(err, 507, REASON_TOO_LARGE, "The image is too large for this server.", "%llu bytes, the cache has %llu",
		    (unsigned long long)n, (unsigned long long)c->main.max_bytes);
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
	return cache_header_write(w->fd, &w->header, err);
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
	*h = (struct cache_header){.url = or_none(o->url), .identifier = or_none(o->identifier), .etag = or_none(o->etag),
				   .last_modified = or_none(o->last_modified), .modified_s = o->validator.modified_s};
	memcpy(h->key, o->key, sizeof h->key);
	memcpy(h->tag, o->validator.tag, sizeof h->tag);
	h->header_bytes = cache_header_size(h);
}

bool cache_write_open(struct cache *c, struct arena *a, const struct original *o, uint64_t resume_from, uint64_t expected,
		      struct cache_writer **out, struct error *err)
{
	(void)a;
	struct cache_header h;
	fill_header(&h, o);
	uint64_t need = expected + h.header_bytes;
	if (too_large(c, need))
		return refuse_size(c, need, err);
	int fd = -1;
	/* A part is gone on with where it lies. */
	struct store *s = resume_from ? parts_of(c, o->key, &fd) : store_with_room(c, need);
	if (s && !resume_from) {
		store_drop_old_parts(s);
		fd = store_open_part(s, o->key, true);
	}
	if (!s || fd < 0 || !h.header_bytes) {
		if (s == &c->main)
			s->full_until_us = clock_us() + FULL_US;
		return fail(err, 503, REASON_IO, SAY, "cache: no place for %llu bytes", (unsigned long long)need);
	}
	struct cache_writer *w = calloc(1, sizeof *w);
	if (!w) {
		close(fd);
		return fail(err, 503, REASON_MEMORY, SAY, "%s", "");
	}
	*w = (struct cache_writer){.cache = c, .store = s, .fd = fd, .header = h, .sha256 = hasher_open(HASH_SHA256)};
	if (!prepare_part(w, resume_from, err)) {
		cache_write_drop(w, false);
		return false;
	}
	*out = w;
	return true;
}

/* A full volume: what was not used for long makes room; else the folder counts as full for a while. */
static bool write_all(struct cache_writer *w, const char *at, size_t n, uint64_t offset)
{
	while (n) {
		ssize_t done = pwrite(w->fd, at, n, (off_t)offset);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0 && (errno == ENOSPC || errno == EDQUOT) && store_evict(w->store, n))
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
	if (too_large(w->cache, w->header.header_bytes + w->written + n))
		return refuse_size(w->cache, w->written + n, err);
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

static uint64_t generation_of(struct cache *c, const char *key)
{
	struct arena *a = arena_open();
	struct original o;
	uint64_t n = cache_find(c, a, key, &o) ? o.validator.generation : 0;
	arena_close(a);
	return n;
}

bool cache_write_close(struct cache_writer *w, struct original *o, struct error *err)
{
	struct store *s = w->store;
	w->header.length = w->written;
	w->header.fetched_s = time(NULL);
	w->header.generation = generation_of(w->cache, o->key);
	hasher_close_hex(w->sha256, w->header.sha256);
	w->sha256 = hasher_open(HASH_SHA256);
	bool ok = store_ready(s, false) && store_make_room(s, 0) && cache_header_write(w->fd, &w->header, err) &&
		  store_publish(s, o->key);
	if (!ok) {
		fail(err, 503, REASON_IO, SAY, "cache: %s", strerror(errno));
		cache_write_drop(w, false);
		return false;
	}
	struct original row = store_original_of(&w->header);
	row.temporary = s == &w->cache->temporary;
	if (s->index)
		store_check(s, cache_index_store(s->index, &row));
	*o = row;
	free_writer(w);
	return true;
}

void cache_write_drop(struct cache_writer *w, bool keep)
{
	if (!keep && w->store->fd >= 0)
		store_unlink_part(w->store, w->header.key);
	free_writer(w);
}

/* --- for people --- */

bool cache_init(const char *folder, struct error *err)
{
	return store_init(folder, err);
}

void cache_purge(struct cache *c, const struct original *o)
{
	struct store *const stores[] = {&c->main, &c->temporary};
	for (int i = 0; i < 2; i++) {
		struct store *s = stores[i];
		if (!store_ready(s, false))
			continue;
		if (s->index)
			store_check(s, cache_index_purge(s->index, o, (uint64_t)time(NULL)));
		store_unlink_file(s, o->key);
	}
}

void cache_stat(struct cache *c, struct arena *a, struct cache_state *state)
{
	struct store *s = &c->main;
	*state = (struct cache_state){.usable = store_ready(s, false), .why = s->why, .max_bytes = s->max_bytes, .index = ""};
	if (!*s->folder)
		state->why = "no folder is configured";
	if (!state->usable)
		return;
	state->free_bytes = store_free_bytes(s);
	if (s->index && store_check(s, cache_index_totals(s->index, &state->totals)))
		state->index = arena_printf(a, "index-%u", s->number);
}

bool cache_walk(struct cache *c, bool (*each)(void *with, const struct original *o), void *with)
{
	return store_ready(&c->main, false) && c->main.index && store_check(&c->main, cache_index_walk(c->main.index, each, with));
}

struct verification {
	struct cache *cache;
	struct cache_verified *v;
	void (*found)(void *with, const char *key, const char *what);
	void *with;
};

static void verify_file(void *with, const char *key, int fd, const struct cache_header *h)
{
	struct verification *job = with;
	struct store *s = &job->cache->main;
	struct error err;
	job->v->files++;
	if (!h || !cache_file_verify(fd, h, &err)) {
		job->v->damaged++;
		job->found(job->with, key, h ? err.why : "no header that fits its length");
		drop_from(s, key);
		return;
	}
	job->v->bytes += h->header_bytes + h->length;
	struct original o = store_original_of(h);
	if (s->index && cache_index_adopt(s->index, &o) == INDEX_OK) {
		job->v->adopted++;
		job->found(job->with, key, "was not in the index");
	}
}

static bool forget_gone(void *with, const struct original *o)
{
	struct verification *job = with;
	int fd = o->bytes ? store_open_file(&job->cache->main, o->key) : -1;
	if (fd >= 0)
		close(fd);
	if (!o->bytes || fd >= 0)
		return true;
	job->v->gone++;
	job->found(job->with, o->key, "is in the index, but has no file");
	cache_index_unstore(job->cache->main.index, o->key);
	return true;
}

bool cache_verify(struct cache *c, struct cache_verified *v, void (*found)(void *with, const char *key, const char *what), void *with)
{
	struct verification job = {c, v, found, with};
	*v = (struct cache_verified){0};
	if (!store_ready(&c->main, false) || c->main.lock_fd < 0)
		return false;
	for (int i = 0; i < CACHE_SLICES; i++)
		store_walk_slice(&c->main, i, verify_file, &job);
	store_drop_old_parts(&c->main);
	return cache_walk(c, forget_gone, &job);
}

const char *cache_folder_fault(const char *folder)
{
	static const struct {
		unsigned long magic;
		const char *fault;
	} kinds[] = {
		{0x6969, "is on NFS"}, {0xff534d42, "is on CIFS"}, {0xfe534d42, "is on SMB"}, {0x517b, "is on SMB"},
		{0x65735546, "is on FUSE"}, {0x01021997, "is on 9p"}, {0x5346414f, "is on AFS"}, {0x00c36400, "is on Ceph"},
		{0x0bd00bd0, "is on Lustre"}, {0x7461636f, "is on OCFS2"}, {0x01161970, "is on GFS2"}, {0x47504653, "is on GPFS"}};
	struct statfs st;
	if (statfs(folder, &st) < 0)
		return NULL;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (((unsigned long)st.f_type & 0xffffffff) == kinds[i].magic)
			return kinds[i].fault;
	return NULL;
}
