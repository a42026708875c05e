/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <sqlite3.h>
#include <time.h>

#define FORMAT 1
#define BUSY_MS 2000

/* Totals are kept by triggers: eviction must not count a million rows. */
static const char schema[] =
	"CREATE TABLE original(key TEXT PRIMARY KEY, url TEXT NOT NULL DEFAULT '', identifier BLOB NOT NULL DEFAULT '',"
	" etag TEXT NOT NULL DEFAULT '', last_modified TEXT NOT NULL DEFAULT '', bytes INTEGER NOT NULL DEFAULT 0,"
	" length INTEGER NOT NULL DEFAULT 0, modified INTEGER NOT NULL DEFAULT 0, tag TEXT NOT NULL DEFAULT '',"
	" generation INTEGER NOT NULL DEFAULT 0, fetched INTEGER NOT NULL DEFAULT 0, checked INTEGER NOT NULL DEFAULT 0,"
	" used INTEGER NOT NULL DEFAULT 0, claimed INTEGER NOT NULL DEFAULT 0, verdict INTEGER NOT NULL DEFAULT 0,"
	" until INTEGER NOT NULL DEFAULT 0, status INTEGER NOT NULL DEFAULT 0, strikes INTEGER NOT NULL DEFAULT 0,"
	" facts BLOB) WITHOUT ROWID;"
	"CREATE INDEX by_use ON original(used) WHERE bytes > 0;"
	"CREATE INDEX by_age ON original(used) WHERE bytes = 0;"
	"CREATE TABLE total(bytes INTEGER, files INTEGER, others INTEGER, slice INTEGER, walked INTEGER);"
	"INSERT INTO total VALUES(0, 0, 0, 0, 0);"
	"CREATE TRIGGER more AFTER INSERT ON original BEGIN UPDATE total SET bytes = bytes + new.bytes,"
	" files = files + (new.bytes > 0), others = others + (new.bytes = 0); END;"
	"CREATE TRIGGER fewer AFTER DELETE ON original BEGIN UPDATE total SET bytes = bytes - old.bytes,"
	" files = files - (old.bytes > 0), others = others - (old.bytes = 0); END;"
	"CREATE TRIGGER other AFTER UPDATE OF bytes ON original BEGIN UPDATE total SET bytes = bytes + new.bytes - old.bytes,"
	" files = files + (new.bytes > 0) - (old.bytes > 0), others = others + (new.bytes = 0) - (old.bytes = 0); END;";

#define COLUMNS "key, url, identifier, etag, last_modified, bytes, length, modified, tag, generation, fetched, checked, used," \
	" verdict, until, status, strikes, facts"
/* Whether the new state of a row is another than the old one. */
#define CHANGED "(length != excluded.length OR modified != excluded.modified OR tag != excluded.tag" \
	" OR generation != excluded.generation)"

/* A file that appears ends the verdicts missing (2) and failed (7). */
#define FILE_APPEARS "INSERT INTO original(key, url, identifier, etag, last_modified, bytes, length, modified, tag, generation, fetched," \
	" checked, used) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT(key) DO UPDATE SET" \
	" verdict = CASE WHEN " CHANGED " OR verdict IN (2, 7) THEN 0 ELSE verdict END, until = CASE WHEN " CHANGED \
	" THEN 0 ELSE until END, strikes = CASE WHEN " CHANGED " THEN 0 ELSE strikes END," \
	" facts = CASE WHEN " CHANGED " THEN NULL ELSE facts END, url = excluded.url, identifier = excluded.identifier," \
	" etag = excluded.etag, last_modified = excluded.last_modified, bytes = excluded.bytes, length = excluded.length," \
	" modified = excluded.modified, tag = excluded.tag, generation = excluded.generation, fetched = excluded.fetched," \
	" checked = excluded.checked, used = excluded.used, claimed = 0"

enum statement {
	FIND, STORE, ADOPT, CHECKED, JUDGE, FACTS, CLAIM, USED, UNSTORE, PURGE, TOTALS, BEGIN, COMMIT, ROLLBACK, SET_SLICE,
	OLDEST, TRIM, WALK, STATEMENTS
};

/* Parameters have the numbers that run_original gives, or ?1 the key and ?2.. numbers. */
static const char *const texts[STATEMENTS] = {
	[FIND] = "SELECT " COLUMNS " FROM original WHERE key = ?1",
	[STORE] = FILE_APPEARS " WHERE excluded.generation >= generation",
	[ADOPT] = FILE_APPEARS " WHERE excluded.generation >= generation AND (bytes = 0 OR " CHANGED ")",
	[CHECKED] = "UPDATE original SET checked = ?2, claimed = 0 WHERE key = ?1",
	[JUDGE] = "INSERT INTO original(key, url, identifier, etag, last_modified, length, modified, tag, generation, used, verdict,"
		  " until, status, strikes) VALUES(?1, ?2, ?3, ?4, ?5, ?7, ?8, ?9, ?10, ?13, ?14, ?15, ?16, ?17)"
		  " ON CONFLICT(key) DO UPDATE SET"
		  " facts = CASE WHEN bytes = 0 AND " CHANGED " THEN NULL ELSE facts END, identifier = CASE WHEN identifier = '' THEN"
		  " excluded.identifier ELSE identifier END, url = excluded.url, length = CASE WHEN bytes > 0 THEN length ELSE"
		  " excluded.length END, modified = CASE WHEN bytes > 0 THEN modified ELSE excluded.modified END, tag = CASE WHEN"
		  " bytes > 0 THEN tag ELSE excluded.tag END, used = CASE WHEN bytes > 0 THEN used ELSE excluded.used END,"
		  " verdict = excluded.verdict, until = excluded.until,"
		  " status = excluded.status, strikes = excluded.strikes"
		  " WHERE bytes = 0 OR excluded.verdict IN (0, 2, 7) OR NOT " CHANGED,
	[FACTS] = "UPDATE original SET facts = ?18 WHERE key = ?1 AND length = ?7 AND modified = ?8 AND tag = ?9"
		  " AND generation = ?10",
	/* Times to come are of a clock that ran ahead. */
	[CLAIM] = "UPDATE original SET claimed = ?2 WHERE key = ?1 AND (claimed <= ?2 - ?3 OR claimed > ?2)",
	[USED] = "UPDATE original SET used = ?2 WHERE key = ?1 AND bytes > 0 AND (used < ?2 OR used > ?2 + 60)",
	[UNSTORE] = "UPDATE original SET bytes = 0 WHERE key = ?1",
	[PURGE] = "INSERT INTO original(key, url, identifier, generation, used) VALUES(?1, ?2, ?3, ?19, ?19)"
		  " ON CONFLICT(key) DO UPDATE SET bytes = 0, etag = '', last_modified = '', length = 0, modified = 0, tag = '',"
		  " fetched = 0, checked = 0, claimed = 0, verdict = 0, until = 0, status = 0, strikes = 0, facts = NULL,"
		  " used = ?19, generation = max(generation + 1, ?19)",
	[TOTALS] = "SELECT bytes, files, others, slice, walked FROM total",
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[SET_SLICE] = "UPDATE total SET slice = ?2, walked = ?3",
	[OLDEST] = "SELECT " COLUMNS " FROM original WHERE bytes > 0 ORDER BY used LIMIT 1",
	[TRIM] = "DELETE FROM original WHERE key IN (SELECT key FROM original WHERE bytes = 0 ORDER BY used LIMIT"
		 " max(0, (SELECT others FROM total) - ?2))",
	[WALK] = "SELECT " COLUMNS " FROM original WHERE key > ?1 ORDER BY key LIMIT 100",
};

struct cache_index {
	sqlite3 *db;
	sqlite3_stmt *statement[STATEMENTS];
	char why[200];
};

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = {"unknown", "good", "missing", "damaged", "unsupported", "too-large", "deadly", "failed"};
	return names[verdict];
}

static enum index_result judge(struct cache_index *x, int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return INDEX_OK;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_INTERRUPT:
	case SQLITE_PROTOCOL:
	case SQLITE_SCHEMA:
	case SQLITE_ABORT:
		return INDEX_BUSY;
	}
	snprintf(x->why, sizeof x->why, "%s (%d)", x->db ? sqlite3_errmsg(x->db) : sqlite3_errstr(code), code);
	/* A disk without room, or one that cannot be written, says nothing about what is in the index. */
	switch (code & 0xff) {
	case SQLITE_ERROR:
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
		return INDEX_BROKEN;
	default:
		return code == SQLITE_IOERR_SHORT_READ || code == SQLITE_IOERR_CORRUPTFS ? INDEX_BROKEN : INDEX_FULL;
	}
}

/* The statement, made at its first use. */
static enum index_result prepare(struct cache_index *x, enum statement which, sqlite3_stmt **s)
{
	int code = SQLITE_OK;
	if (!x->statement[which])
		code = sqlite3_prepare_v3(x->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, &x->statement[which], NULL);
	*s = x->statement[which];
	return judge(x, code);
}

/* Runs a statement to its end; INDEX_NONE if nothing came of it. */
static enum index_result run(struct cache_index *x, sqlite3_stmt *s)
{
	int code = sqlite3_step(s);
	enum index_result r = judge(x, code);
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return r == INDEX_OK && sqlite3_changes(x->db) == 0 ? INDEX_NONE : r;
}

static enum index_result run_numbers(struct cache_index *x, enum statement which, const char *key, int64_t two, int64_t three)
{
	sqlite3_stmt *s;
	enum index_result r = prepare(x, which, &s);
	if (r != INDEX_OK)
		return r;
	if (key)
		sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
	if (sqlite3_bind_parameter_count(s) >= 2)
		sqlite3_bind_int64(s, 2, two);
	if (sqlite3_bind_parameter_count(s) >= 3)
		sqlite3_bind_int64(s, 3, three);
	return run(x, s);
}

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
	sqlite3_bind_text(s, at, text ? text : "", -1, SQLITE_STATIC);
}

/* Of what is stored now the very moment: in seconds alone there is no order where all of a small cache is replaced within
 * one, and what has just come would be evicted. */
static double moment_of(int64_t unix_s)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	double now = (double)t.tv_sec + (double)t.tv_nsec / 1e9, age = now - (double)unix_s;
	return age >= 0 && age < 2 + BUSY_MS / 1000.0 ? now : (double)unix_s;
}

static enum index_result run_original(struct cache_index *x, enum statement which, const struct original *o, uint64_t number)
{
	sqlite3_stmt *s;
	enum index_result r = prepare(x, which, &s);
	if (r != INDEX_OK)
		return r;
	const char *const words[] = {o->key, o->url, o->identifier, o->etag, o->last_modified};
	for (int i = 0; i < 5; i++)
		bind_text(s, i + 1, words[i]);
	bind_text(s, 9, o->validator.tag);
	const struct {
		int at;
		int64_t value;
	} numbers[] = {
		{6, (int64_t)o->bytes}, {7, (int64_t)o->validator.length}, {8, o->validator.modified_s},
		{10, (int64_t)o->validator.generation}, {11, o->fetched_s}, {12, o->checked_s},
		{14, o->verdict}, {15, o->until_s}, {16, o->status}, {17, o->strikes}, {19, (int64_t)number}};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		sqlite3_bind_int64(s, numbers[i].at, numbers[i].value);
	sqlite3_bind_double(s, 13, moment_of(o->used_s));
	sqlite3_bind_blob(s, 18, o->facts.at, (int)o->facts.n, SQLITE_STATIC);
	return run(x, s);
}

static const char *text_of(struct arena *a, sqlite3_stmt *s, int column)
{
	const char *text = (const char *)sqlite3_column_text(s, column);
	return text ? arena_strndup(a, text, (size_t)sqlite3_column_bytes(s, column)) : "";
}

static void copy_fixed(char *to, size_t bytes, const char *from)
{
	snprintf(to, bytes, "%s", from);
}

static void read_row(struct arena *a, sqlite3_stmt *s, struct original *o)
{
	*o = (struct original){
		.url = text_of(a, s, 1), .identifier = text_of(a, s, 2), .etag = text_of(a, s, 3),
		.last_modified = text_of(a, s, 4),
		.bytes = (uint64_t)sqlite3_column_int64(s, 5),
		.validator = {.length = (uint64_t)sqlite3_column_int64(s, 6), .modified_s = sqlite3_column_int64(s, 7),
			      .generation = (uint64_t)sqlite3_column_int64(s, 9)},
		.fetched_s = sqlite3_column_int64(s, 10), .checked_s = sqlite3_column_int64(s, 11),
		.used_s = sqlite3_column_int64(s, 12),
		.until_s = sqlite3_column_int64(s, 14), .status = sqlite3_column_int(s, 15),
		.strikes = (unsigned)sqlite3_column_int(s, 16),
	};
	int verdict = sqlite3_column_int(s, 13);
	o->verdict = verdict >= VERDICT_NONE && verdict <= VERDICT_FAILED ? (enum verdict)verdict : VERDICT_NONE;
	copy_fixed(o->key, sizeof o->key, text_of(a, s, 0));
	copy_fixed(o->validator.tag, sizeof o->validator.tag, text_of(a, s, 8));
	size_t n = (size_t)sqlite3_column_bytes(s, 17);
	const char *facts = sqlite3_column_blob(s, 17);
	if (facts)
		o->facts = (struct str){arena_strndup(a, facts, n), n};
}

static enum index_result read_one(struct cache_index *x, struct arena *a, enum statement which, const char *key,
				  struct original *o)
{
	sqlite3_stmt *s;
	enum index_result r = prepare(x, which, &s);
	if (r != INDEX_OK)
		return r;
	if (key)
		sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
	int code = sqlite3_step(s);
	r = judge(x, code);
	if (code == SQLITE_ROW)
		read_row(a, s, o);
	sqlite3_reset(s);
	return r == INDEX_OK && code != SQLITE_ROW ? INDEX_NONE : r;
}

static int read_number(void *to, int n, char **values, char **names)
{
	(void)names;
	if (n == 1 && values[0])
		*(long *)to = strtol(values[0], NULL, 10);
	return 0;
}

/* The tables are made by the first who comes; a format that is not ours is left alone. */
static enum index_result make_tables(struct cache_index *x)
{
	long format = -1;
	int code = sqlite3_exec(x->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(x->db, "PRAGMA user_version", read_number, &format, NULL);
	if (code == SQLITE_OK && format == 0)
		code = sqlite3_exec(x->db, schema, NULL, NULL, NULL);
	if (code == SQLITE_OK && format == 0)
		code = sqlite3_exec(x->db, "PRAGMA user_version = 1", NULL, NULL, NULL);
	enum index_result r = judge(x, code);
	if (code == SQLITE_OK)
		r = judge(x, sqlite3_exec(x->db, "COMMIT", NULL, NULL, NULL));
	else
		sqlite3_exec(x->db, "ROLLBACK", NULL, NULL, NULL);
	return r == INDEX_OK && format != 0 && format != FORMAT ? INDEX_STRANGE : r;
}

static enum index_result start(struct cache_index *x)
{
	long format = -1;
	sqlite3_busy_timeout(x->db, BUSY_MS);
	int code = sqlite3_exec(x->db, "PRAGMA user_version", read_number, &format, NULL);
	if (code == SQLITE_OK && format != 0 && format != FORMAT)
		return INDEX_STRANGE;
	if (code == SQLITE_OK)
		code = sqlite3_exec(x->db, "PRAGMA temp_store=MEMORY; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=16777216;"
					   "PRAGMA cell_size_check=1", NULL, NULL, NULL);
	enum index_result r = judge(x, code);
	return r == INDEX_OK && format != FORMAT ? make_tables(x) : r;
}

enum index_result cache_index_open(const char *path, struct cache_index **index)
{
	struct cache_index *x = calloc(1, sizeof *x);
	*index = NULL;
	if (!x)
		return INDEX_FULL;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	enum index_result r = judge(x, sqlite3_open_v2(path, &x->db, flags, NULL));
	if (r == INDEX_OK)
		r = start(x);
	if (r == INDEX_OK)
		*index = x;
	else
		cache_index_close(x);
	return r;
}

void cache_index_close(struct cache_index *x)
{
	if (!x)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(x->statement[i]);
	sqlite3_close_v2(x->db);
	free(x);
}

const char *cache_index_why(const struct cache_index *x)
{
	return x->why;
}

enum index_result cache_index_find(struct cache_index *x, struct arena *a, const char *key, struct original *o)
{
	return read_one(x, a, FIND, key, o);
}

enum index_result cache_index_oldest(struct cache_index *x, struct arena *a, struct original *o)
{
	return read_one(x, a, OLDEST, NULL, o);
}

enum index_result cache_index_store(struct cache_index *x, const struct original *o)
{
	return run_original(x, STORE, o, 0);
}

enum index_result cache_index_adopt(struct cache_index *x, const struct original *o)
{
	sqlite3_busy_timeout(x->db, 0);
	enum index_result r = run_original(x, ADOPT, o, 0);
	sqlite3_busy_timeout(x->db, BUSY_MS);
	return r;
}

enum index_result cache_index_judge(struct cache_index *x, const struct original *o)
{
	return run_original(x, JUDGE, o, 0);
}

enum index_result cache_index_set_facts(struct cache_index *x, const struct original *o)
{
	return run_original(x, FACTS, o, 0);
}

enum index_result cache_index_purge(struct cache_index *x, const struct original *o, uint64_t generation)
{
	return run_original(x, PURGE, o, generation);
}

enum index_result cache_index_checked(struct cache_index *x, const char *key, int64_t now_s)
{
	return run_numbers(x, CHECKED, key, now_s, 0);
}

enum index_result cache_index_claim(struct cache_index *x, const char *key, int64_t now_s, int64_t for_s)
{
	return run_numbers(x, CLAIM, key, now_s, for_s);
}

enum index_result cache_index_unstore(struct cache_index *x, const char *key)
{
	return run_numbers(x, UNSTORE, key, 0, 0);
}

enum index_result cache_index_set_slice(struct cache_index *x, int slice, int64_t now_s)
{
	return run_numbers(x, SET_SLICE, NULL, slice, now_s);
}

enum index_result cache_index_trim_others(struct cache_index *x, uint64_t keep)
{
	return run_numbers(x, TRIM, NULL, (int64_t)keep, 0);
}

static enum index_result run_plain(struct cache_index *x, enum statement which)
{
	enum index_result r = run_numbers(x, which, NULL, 0, 0);
	return r == INDEX_NONE ? INDEX_OK : r;
}

enum index_result cache_index_begin(struct cache_index *x, bool waits)
{
	sqlite3_busy_timeout(x->db, waits ? BUSY_MS : 0);
	enum index_result r = run_plain(x, BEGIN);
	sqlite3_busy_timeout(x->db, BUSY_MS);
	return r;
}

enum index_result cache_index_end(struct cache_index *x, bool commit)
{
	/* SQLite rolls back by itself when there is no room; to end nothing would be an error, and look like a broken
	 * index. */
	if (sqlite3_get_autocommit(x->db))
		return commit ? INDEX_FULL : INDEX_OK;
	enum index_result r = run_plain(x, commit ? COMMIT : ROLLBACK);
	/* What could not be committed must not stay open. */
	if (r != INDEX_OK && commit && !sqlite3_get_autocommit(x->db))
		run_plain(x, ROLLBACK);
	return r;
}

void cache_index_shrink(struct cache_index *x)
{
	sqlite3_busy_timeout(x->db, 0);
	sqlite3_wal_checkpoint_v2(x->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sqlite3_busy_timeout(x->db, BUSY_MS);
}

enum index_result cache_index_used(struct cache_index *x, const char (*keys)[CACHE_KEY_BYTES], size_t n, int64_t now_s)
{
	enum index_result r = cache_index_begin(x, false);
	for (size_t i = 0; i < n && r == INDEX_OK; i++) {
		r = run_numbers(x, USED, keys[i], now_s, 0);
		r = r == INDEX_NONE ? INDEX_OK : r;
	}
	enum index_result ended = cache_index_end(x, r == INDEX_OK);
	return r == INDEX_OK ? ended : r;
}

enum index_result cache_index_totals(struct cache_index *x, struct index_totals *t)
{
	sqlite3_stmt *s;
	enum index_result r = prepare(x, TOTALS, &s);
	if (r != INDEX_OK)
		return r;
	int code = sqlite3_step(s);
	r = judge(x, code);
	if (code == SQLITE_ROW)
		*t = (struct index_totals){(uint64_t)sqlite3_column_int64(s, 0), (uint64_t)sqlite3_column_int64(s, 1),
					   (uint64_t)sqlite3_column_int64(s, 2), sqlite3_column_int(s, 3),
					   sqlite3_column_int64(s, 4)};
	sqlite3_reset(s);
	return r == INDEX_OK && code != SQLITE_ROW ? INDEX_BROKEN : r;
}

/* The rows behind a key, at most 100: *n of them. */
static enum index_result read_page(struct cache_index *x, struct arena *a, const char *after, struct original page[100], size_t *n)
{
	sqlite3_stmt *s;
	enum index_result r = prepare(x, WALK, &s);
	*n = 0;
	if (r != INDEX_OK)
		return r;
	int code;
	sqlite3_bind_text(s, 1, after, -1, SQLITE_STATIC);
	while ((code = sqlite3_step(s)) == SQLITE_ROW && *n < 100)
		read_row(a, s, &page[(*n)++]);
	r = judge(x, code);
	sqlite3_reset(s);
	return r;
}

/* By pages: a statement kept open would hold a state of long ago, from which nothing can be written. */
enum index_result cache_index_walk(struct cache_index *x, bool (*each)(void *with, const struct original *o), void *with)
{
	char after[CACHE_KEY_BYTES] = "";
	enum index_result r;
	bool go_on = true;
	size_t n;
	do {
		struct arena *a = arena_open();
		struct original *page = arena_array(a, struct original, 100);
		r = read_page(x, a, after, page, &n);
		for (size_t i = 0; r == INDEX_OK && i < n && go_on; i++)
			go_on = each(with, &page[i]);
		if (n)
			memcpy(after, page[n - 1].key, sizeof after);
		arena_close(a);
	} while (r == INDEX_OK && go_on && n == 100);
	return r;
}
