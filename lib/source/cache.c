/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache.h"

#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/hash.h"
#include "../base/log.h"
#include "../base/metrics.h"
#include "cache_check.h"
#include "cache_inside.h"

#define FLUSH_US 10000000
#define NOTE_AGE_S 60
#define POLL_US 20000
#define ADOPT_US 20000

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
	c->temporary = (struct store){.folder = or_none(o->temporary),
				      .temporary = true,
				      .max_bytes = o->temporary_bytes,
				      .fd = -1,
				      .lock_fd = -1};
	c->locked_fd = c->turn_fd = -1;
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

static void keep_judgement(struct original *o, const struct original *row)
{
	if (!validator_equal(&o->validator, &row->validator))
		return;
	o->verdict = row->verdict;
	o->until_s = row->until_s;
	o->strikes = row->strikes;
	o->facts = row->facts;
}

static bool find_in_index(struct store *s, struct arena *a, const char *key, struct original *o)
{
	return s->index && store_check(s, cache_index_find(s->index, a, key, o));
}

/* By the index, or, where that knows of no file, by the file's name: then the index learns of it. */
static bool find_in(struct store *s, struct arena *a, const char *key, struct original *o)
{
	bool known = find_in_index(s, a, key, o);
	if (known && o->bytes)
		return true;
	struct cache_header h;
	struct error err;
	int fd = store_open_file(s, key);
	if (fd < 0)
		return known;
	if (cache_header_read(a, fd, key, false, &h, &err)) {
		struct original row = *o, is = store_original_of(&h);
		if (known)
			keep_judgement(&is, &row);
		if (store_take_up(s, fd, &is) != INDEX_NONE) {
			*o = is;
			known = true;
		}
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

bool cache_find_learnt(struct cache *c, struct arena *a, const char *key, struct original *o)
{
	return (store_ready(&c->main, false) && find_in_index(&c->main, a, key, o)) ||
	       (store_ready(&c->temporary, false) && find_in_index(&c->temporary, a, key, o));
}

bool cache_find_stored(struct cache *c, struct arena *a, const char *key, struct original *o)
{
	bool known = cache_find(c, a, key, o);
	if (known && o->bytes)
		return true;
	store_look_again(&c->main);
	store_look_again(&c->temporary);
	return cache_find(c, a, key, o);
}

static struct store *store_of(struct cache *c, const struct original *o)
{
	return o->temporary ? &c->temporary : &c->main;
}

void cache_flush(struct cache *c)
{
	struct store *s = &c->main;
	if (c->n_notes && s->index)
		store_check(s, cache_index_used(s->index, (const char (*)[CACHE_KEY_BYTES])c->note, c->n_notes,
						time(NULL)));
	c->n_notes = 0;
	c->flushed_us = clock_us();
}

/* A busy index loses the notes: the next uses make new ones. Uses to come are of a clock that ran ahead. */
static void note_use(struct cache *c, const struct original *o)
{
	int64_t age_s = time(NULL) - o->used_s;
	if (!o->temporary && (age_s > NOTE_AGE_S || age_s < -NOTE_AGE_S) &&
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
	int fd = store_open_sound(s, a, o->key, &h);
	if (fd < 0)
		return false;
	/* The file is the truth: a newer one may be there already, whose row is about to be written, or never was. */
	struct original is = store_original_of(&h);
	if (!validator_equal(&is.validator, &o->validator)) {
		if (store_take_up(s, fd, &is) == INDEX_NONE) {
			close(fd);
			return false;
		}
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
	store_forget(s, key, true);
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
	if (bad)
		store_drop_damaged(s, o->key, fd, &err);
	if (fd >= 0)
		close(fd);
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

/* Polls until try(store, what) has it in the folder in use, whose lock file is *fd then. */
static bool wait_for_lock(struct cache *c, bool (*try)(const struct store *s, const void *what), const void *what,
			  struct patience *patience, int64_t until_us, int *fd)
{
	bool waited = false;
	for (;;) {
		struct store *s = store_to_lock(c);
		if (!s)
			return true;   /* nothing is kept, so nothing can be shared */
		if (try(s, what)) {
			*fd = s->lock_fd;
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

/* A store that was closed meanwhile has let go of its locks. */
static void give_back(struct cache *c, int *fd, void (*unlock)(int lock_fd))
{
	if (*fd >= 0 && (c->main.lock_fd == *fd || c->temporary.lock_fd == *fd))
		unlock(*fd);
	*fd = -1;
}

static bool try_key(const struct store *s, const void *key)
{
	return store_try_lock(s, key);
}

bool cache_lock(struct cache *c, const char *key, struct patience *patience, int64_t until_us)
{
	return wait_for_lock(c, try_key, key, patience, until_us, &c->locked_fd);
}

void cache_unlock(struct cache *c)
{
	give_back(c, &c->locked_fd, store_unlock);
}

static bool try_turn(const struct store *s, const void *most)
{
	return store_try_turn(s, *(const unsigned *)most);
}

bool cache_take_turn(struct cache *c, unsigned most, struct patience *patience, int64_t until_us)
{
	return wait_for_lock(c, try_turn, &most, patience, until_us, &c->turn_fd);
}

void cache_end_turn(struct cache *c)
{
	give_back(c, &c->turn_fd, store_end_turn);
}

/* --- for people --- */

bool cache_init(const char *folder, struct error *err)
{
	return store_init(folder, err);
}

bool cache_purge(struct cache *c, const struct original *o)
{
	struct store *const stores[] = {&c->main, &c->temporary};
	bool ok = true, any = false;
	for (int i = 0; i < 2; i++) {
		struct store *s = stores[i];
		if (!*s->folder || (s->temporary && !store_is_marked(s)))
			continue;
		bool ready = store_ready(s, false);
		any = true;
		ok &= ready && s->index && store_check(s, cache_index_purge(s->index, o, (uint64_t)time(NULL)));
		if (ready) {
			store_unlink_part(s, o->key);
			store_unlink_file(s, o->key);
		}
	}
	return ok && any;
}

void cache_stat(struct cache *c, struct arena *a, struct cache_state *state)
{
	struct store *s = &c->main;
	*state = (struct cache_state){
		.usable = store_ready(s, false), .why = s->why, .max_bytes = s->max_bytes, .index = ""};
	if (!*s->folder)
		state->why = "no folder is configured";
	if (!state->usable)
		return;
	state->free_bytes = store_free_bytes(s);
	if (s->index && store_check(s, cache_index_totals(s->index, &state->totals)))
		state->index = arena_printf(a, "index-%u", s->number);
	if (state->totals.slice > CACHE_SLICES)
		state->totals.slice = CACHE_SLICES;
}

bool cache_walk(struct cache *c, bool (*each)(void *with, const struct original *o), void *with)
{
	return store_ready(&c->main, false) && c->main.index &&
	       store_check(&c->main, cache_index_walk(c->main.index, each, with));
}

bool cache_verify(struct cache *c, struct cache_verified *v,
		  void (*found)(void *with, const char *key, const char *what), void *with)
{
	return store_ready(&c->main, false) && store_verify(&c->main, v, found, with);
}
