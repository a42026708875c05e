/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_CACHE_INDEX_H
#define SOURCE_CACHE_INDEX_H

#include "cache_file.h"

/*
 * What is known of originals, one row each, in SQLite (WAL, synchronous=NORMAL): when each was fetched, asked after
 * and used, what decoding it showed, how many bytes all have. For files in the cache it is derived from them and can
 * be made anew; verdicts and facts can be found out again. Many processes have it open.
 */
enum verdict {
	VERDICT_NONE,                  /* not decoded yet */
	VERDICT_GOOD,                  /* decoded in full */
	VERDICT_MISSING,               /* the origin has none */
	VERDICT_DAMAGED,
	VERDICT_UNSUPPORTED,
	VERDICT_TOO_LARGE,
	VERDICT_DEADLY,                /* ended a worker */
	VERDICT_FAILED,                /* the origin did not give it a moment ago */
};

const char *verdict_name(enum verdict verdict);

/* Texts live in the arena of the call, "" where unknown. */
struct original {
	char key[CACHE_KEY_BYTES];
	const char *url, *identifier, *etag, *last_modified;
	uint64_t bytes;                /* of the file in the cache with its header, 0 if there is none */
	struct validator validator;    /* of the file, or of what was judged */
	int64_t fetched_s, checked_s, used_s;   /* Unix time; checked: known to be the origin's state then */
	enum verdict verdict;
	int64_t until_s;               /* when the verdict ends, 0 never */
	int status;                    /* VERDICT_FAILED: what was answered */
	unsigned strikes;              /* decodings in a row that a process did not survive */
	struct str facts;              /* of whoever keeps them here */
	bool temporary;                /* known in the temporary folder: cache.c's own mark */
};

/* What an operation came to. After INDEX_BROKEN the index is of no use any more; FULL and BUSY may pass. */
enum index_result { INDEX_OK, INDEX_NONE, INDEX_BUSY, INDEX_FULL, INDEX_BROKEN, INDEX_STRANGE };

struct cache_index;

/* Opens or makes the file. INDEX_STRANGE: of another format. INDEX_BUSY etc. leave *index NULL. */
enum index_result cache_index_open(const char *path, struct cache_index **index);
void cache_index_close(struct cache_index *index);                    /* NULL is allowed */
const char *cache_index_why(const struct cache_index *index);         /* of the last failure */

enum index_result cache_index_find(struct cache_index *index, struct arena *a, const char *key, struct original *o);

/* A file appeared, with o's texts, bytes, validator, fetched_s and checked_s. A state that is another than before
 * loses verdict and facts. INDEX_NONE: it was purged meanwhile, the row is of a later generation. */
enum index_result cache_index_store(struct cache_index *index, const struct original *o);
/* The same for a file that was found, without waiting for others. INDEX_NONE: the row knows that file, or is of a later
 * generation. */
enum index_result cache_index_adopt(struct cache_index *index, const struct original *o);

enum index_result cache_index_checked(struct cache_index *index, const char *key, int64_t now_s);
/* Verdict, until_s, status, strikes, validator and texts of o; the file, if there is one, stays. INDEX_NONE: what
 * decoding showed of another state than the file's. */
enum index_result cache_index_judge(struct cache_index *index, const struct original *o);
enum index_result cache_index_set_facts(struct cache_index *index, const struct original *o);
/* INDEX_OK for the first who asks within for_s seconds, INDEX_NONE for others. */
enum index_result cache_index_claim(struct cache_index *index, const char *key, int64_t now_s, int64_t for_s);
/* One transaction that gives up at once when another writes. */
enum index_result cache_index_used(struct cache_index *index, const char (*keys)[CACHE_KEY_BYTES], size_t n,
				   int64_t now_s);

/* The file is gone. What is known besides stays; purged: nothing but the generation, which is `generation` now. */
enum index_result cache_index_unstore(struct cache_index *index, const char *key);
enum index_result cache_index_purge(struct cache_index *index, const struct original *o, uint64_t generation);

struct index_totals {
	uint64_t bytes, files, others;  /* others: rows without a file */
	int slice;                      /* of the folder, to be walked next; from CACHE_SLICES on all were once */
	int64_t walked_s;               /* when the one before was */
};
#define CACHE_SLICES 256
enum index_result cache_index_totals(struct cache_index *index, struct index_totals *t);

/* A transaction for steps that belong together: begin (INDEX_BUSY when it has to wait too long, or at all), then
 * commit (or roll back). */
enum index_result cache_index_begin(struct cache_index *index, bool waits);
enum index_result cache_index_end(struct cache_index *index, bool commit);
/* Gives back the room that its log takes, if nobody needs it now. */
void cache_index_shrink(struct cache_index *index);
enum index_result cache_index_set_slice(struct cache_index *index, int slice, int64_t now_s);
/* The stored original that was not used for longest. INDEX_NONE: there is none. */
enum index_result cache_index_oldest(struct cache_index *index, struct arena *a, struct original *o);
/* Drops rows without a file, those that were not touched for longest, until `keep` are left. */
enum index_result cache_index_trim_others(struct cache_index *index, uint64_t keep);

/* Calls each(with, o) for all rows in the order of keys; false from it ends the walk. No transaction is open
 * meanwhile. */
enum index_result cache_index_walk(struct cache_index *index, bool (*each)(void *with, const struct original *o),
				   void *with);

#endif
