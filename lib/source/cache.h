/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_CACHE_H
#define SOURCE_CACHE_H

#include "cache_check.h"
#include "http.h"

/*
 * Originals that came over a network, kept on the local disk, and what was learnt about any original.
 *
 * Any number of processes use one folder, on a live server, without a daemon:
 *
 *   FOLDER/lorikeet-cache      the marker; without it nothing is written there (a volume that is not mounted)
 *   FOLDER/current             names the index in use, index-1 and so on
 *   FOLDER/index-N             SQLite: freshness, use, verdicts (cache_index.h)
 *   FOLDER/lock                byte locks: one download per original at a time
 *   FOLDER/files-1/ab/KEY      originals (cache_file.h); the number is the files' format
 *   FOLDER/parts-1/KEY         downloads under way, or broken off and to be resumed
 *
 * Files are the truth: they appear by rename and vanish by unlink, so who has one open keeps it, and the index can be
 * lost. Then a new one is begun beside it, current is renamed over, and the files are taken up slice by slice while
 * requests are served. An original that the index does not know is looked for by its name.
 *
 * A hit writes nothing: uses are noted in the process and written in one transaction, at most every ten seconds.
 * Whoever stores an original first makes room, least recently used first.
 *
 * Where the folder cannot be used (not there, full, read-only, of a format that is not ours), originals go to the
 * temporary folder, which is a small cache of the same make; log and metrics say so.
 *
 * No function here blocks on another process for longer than SQLite's busy timeout, except cache_lock.
 */
struct cache_options {
	const char *folder;             /* absolute; "" or NULL: the temporary one only */
	uint64_t max_bytes;             /* of all files */
	uint64_t min_free_bytes;        /* of the volume */
	const char *temporary;          /* absolute; made when it is needed; "" or NULL none */
	uint64_t temporary_bytes;
};

struct cache;

/* Never fails; what cannot be used now is tried again at each use. */
struct cache *cache_open(struct arena *a, const struct cache_options *options);

/* The key of what lies at a URL (or path), as fetched by an account ("" none). */
void cache_key(struct str url, struct str account, char key[CACHE_KEY_BYTES]);

/* --- the reading side ------------------------------------------------------------------------------------------ */

/* What is known of an original. False: nothing. o->bytes says whether there is a file. */
bool cache_find(struct cache *c, struct arena *a, const char *key, struct original *o);

/* The same of an original that is never stored, as it lies on this machine: no file is looked for. */
bool cache_find_learnt(struct cache *c, struct arena *a, const char *key, struct original *o);

/* Looks for it also where a moment ago nothing could be used, for those who know that another process has just stored
 * it: each process notices for itself, within a second, that a volume has come. */
bool cache_find_stored(struct cache *c, struct arena *a, const char *key, struct original *o);

/* Opens the file of an original that was found, and notes the use. o's validator and texts become those of the file
 * that was opened. False: it is gone, or was damaged and thrown away: go on as if it had not been found. */
bool cache_open_file(struct cache *c, struct arena *a, struct original *o, struct source **out);

/* The right to ask whether it has changed: one process gets it in for_s seconds. */
bool cache_claim(struct cache *c, const char *key, int64_t for_s);

/* Keeps verdict, until_s, status, strikes of o, for its validator. */
void cache_judge(struct cache *c, const struct original *o);
void cache_keep_facts(struct cache *c, const struct original *o);

/* The file of this original is not what was fetched (it was read and compared) and was thrown away. True if so. */
bool cache_verify_file(struct cache *c, const struct original *o);

/* --- the fetching side ----------------------------------------------------------------------------------------- */

/* One process at a time has an original's lock; the kernel takes it from the dead. Waits by polling until patience is
 * late or until_us; false then. At most one lock a process. */
bool cache_lock(struct cache *c, const char *key, struct patience *patience, int64_t until_us);
void cache_unlock(struct cache *c);

/* A turn at what takes much memory: at most `most` processes, of STORE_TURNS at the most, have one at a time. Else as
 * cache_lock, beside which a process may have one. */
bool cache_take_turn(struct cache *c, unsigned most, struct patience *patience, int64_t until_us);
void cache_end_turn(struct cache *c);

void cache_checked(struct cache *c, const char *key);           /* the origin says: unchanged */
void cache_drop(struct cache *c, const char *key);              /* the file only */

/* --- for people ------------------------------------------------------------------------------------------------ */

/* Makes the marker and the folders. 500 if there is something else, or a format that is not ours. */
bool cache_init(const char *folder, struct error *err);

/* Forgets an original, and raises its generation, so that every ETag changes. Who has its file open reads on; nobody
 * else gets it, nor what a download under way brings. False: the folder or its index cannot be used now, so it may
 * come back. */
bool cache_purge(struct cache *c, const struct original *o);

struct cache_state {
	bool usable;
	const char *why;                /* it is not */
	struct index_totals totals;
	uint64_t max_bytes, free_bytes;
	const char *index;              /* its name */
};
void cache_stat(struct cache *c, struct arena *a, struct cache_state *state);
bool cache_walk(struct cache *c, bool (*each)(void *with, const struct original *o), void *with);

/* Compares files and index, in slices: takes up files that are not known, forgets rows whose file is gone, drops what
 * is damaged (all bodies are read) or not of our making's form. Says each by a call of found. */
bool cache_verify(struct cache *c, struct cache_verified *v,
		  void (*found)(void *with, const char *key, const char *what), void *with);

/* Writes what is noted of uses. */
void cache_flush(struct cache *c);

#endif
