/* SPDX-License-Identifier: BSD-2-Clause */
/* What the cache of originals promises to one process at a time (lib/source/cache.h); contract_cache_life.c has many. */
#include "cache_box.h"

#include <sqlite3.h>
#include <sys/resource.h>

#define MAX (64 * MB)

static void an_original_comes_back(void **state)
{
	(void)state;
	static char etag[6000], address[12000];
	memset(etag, '"', sizeof etag - 1);
	memset(address, '%', sizeof address - 1);
	const struct {
		const char *url, *identifier, *etag, *modified;
		int64_t modified_s;
	} table[] = {
		{"https://a.example/x.tif", "x", "\"abc\"", "Wed, 21 Oct 2015 07:28:00 GMT", 1445412480},
		{"https://a.example/%2e%0a?q=1&end", "line\nend\n\r\t=\x01", "W/\"a b\n\"", "", 0},
		{"https://a.example/\xc3\xa4", "Stra\xc3\x9f" "e \xf0\x9f\xa6\x9c.tif", "", "x", 1},
		{"https://a.example/long", address, "\"l\"", "", 5},
		{address, "not \xff UTF-8 \x80", etag, "", 5},
		{"https://a.example/old", "", "", "", -86400},
	};
	const char *folder = new_folder("back");
	struct box b = open_box(folder, MAX, NULL);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct original o = {.url = table[i].url, .identifier = table[i].identifier, .etag = table[i].etag,
				     .last_modified = table[i].modified, .validator = {.modified_s = table[i].modified_s}};
		struct error err = {0};
		cache_key(str_of(o.url), STR("someone"), o.key);
		if (!write_body(b.c, &o, "the body", 8, 8, &err))
			fail_msg("%zu: %s", i, err.why);
		for (int by_name = 0; by_name < 2; by_name++) {
			struct original got;
			struct source *s;
			char body[8];
			must(cache_find(b.c, b.a, o.key, &got) && got.bytes && got.bytes % CACHE_HEADER_STEP == 8);
			must(cache_open_file(b.c, b.a, &got, &s) && s->validator.length == 8 && source_read(s, body, 8, 0, &err));
			assert_memory_equal(body, "the body", 8);
			assert_string_equal(got.url, table[i].url);
			assert_string_equal(got.identifier, table[i].identifier);
			assert_string_equal(got.etag, table[i].etag);
			assert_string_equal(got.last_modified, table[i].modified);
			assert_int_equal(got.validator.modified_s, table[i].modified_s);
			must(validator_equal(&s->validator, &got.validator) && validator_equal(&o.validator, &got.validator));
			/* The second time from what the file says of itself. */
			unlink(in(folder, "current"));
			unlink(in(folder, "index-1"));
		}
	}
	close_box(&b);
}

/* A text that no header can hold is refused, and the folder is no worse for it. */
static void a_header_has_a_bound(void **state)
{
	(void)state;
	static char address[60000];
	memset(address, '%', sizeof address - 1);
	struct box b = open_box(new_folder("header"), MAX, NULL);
	struct original o = original_of(1, "e");
	struct error err = {0};
	o.url = address;
	must(insert(&b, 2, "e"));
	int before = descriptors();
	assert_false(write_body(b.c, &o, "x", 1, 1, &err));
	must(err.status != 0);
	assert_int_equal(descriptors(), before);
	must(insert(&b, 1, "e") && read_back(&b, 1) == RIGHT);
	close_box(&b);
}

static void an_empty_body_is_one(void **state)
{
	(void)state;
	struct box b = open_box(new_folder("empty"), MAX, NULL);
	struct original o = original_of(1, "e"), got;
	struct error err;
	struct source *s;
	must(write_body(b.c, &o, "", 0, 0, &err) && find(&b, 1, &got) && got.bytes == CACHE_HEADER_STEP);
	must(cache_open_file(b.c, b.a, &got, &s) && s->validator.length == 0);
	close_box(&b);
}

static void a_purge_raises_the_generation(void **state)
{
	(void)state;
	struct box b = open_box(new_folder("purge"), MAX, NULL);
	struct original o = original_of(1, "e"), first, second;
	must(insert(&b, 1, "e"));
	cache_purge(b.c, &o);
	must(find(&b, 1, &first) && !first.bytes && first.validator.generation > 0 && read_back(&b, 1) == ABSENT);
	cache_purge(b.c, &o);
	must(find(&b, 1, &second) && second.validator.generation > first.validator.generation);
	must(insert(&b, 1, "e") && read_back(&b, 1) == RIGHT && find(&b, 1, &o));
	assert_int_equal(o.validator.generation, second.validator.generation);
	cache_drop(b.c, o.key);
	must(insert(&b, 1, "e") && find(&b, 1, &o));
	assert_int_equal(o.validator.generation, second.validator.generation);
	close_box(&b);
}

/* What was fetched before a purge is not published after it. */
static void a_purge_reaches_downloads_under_way(void **state)
{
	(void)state;
	const char *folder = new_folder("under-way");
	struct box b = open_box(folder, MAX, NULL), other = open_box(folder, MAX, NULL);
	struct original o = original_of(1, "e"), got;
	struct cache_writer *w;
	struct error err = {0};
	must(cache_write_open(b.c, &o, 0, 4, &w, &err) && cache_write(w, "data", 4, &err));
	cache_purge(other.c, &o);
	assert_false(cache_write_close(w, &o, &err));
	assert_int_equal(err.status, 503);
	must(read_back(&b, 1) == ABSENT && read_back(&other, 1) == ABSENT && !exists(part_of(folder, 1)));
	must(find(&b, 1, &got) && got.validator.generation > 0);
	must(insert(&b, 1, "e") && read_back(&other, 1) == RIGHT);
	close_box(&b);
	close_box(&other);
}

static void a_purge_reaches_broken_off_parts(void **state)
{
	(void)state;
	struct box b = open_box(new_folder("purged-part"), MAX, NULL);
	struct original o = original_of(1, "e");
	struct cache_writer *w;
	struct error err = {0};
	const char *etag;
	must(cache_write_open(b.c, &o, 0, 9, &w, &err) && cache_write(w, "data", 4, &err));
	cache_write_drop(w, true);
	assert_int_equal(cache_part(b.c, b.a, o.key, &etag), 4);
	cache_purge(b.c, &o);
	assert_int_equal(cache_part(b.c, b.a, o.key, &etag), 0);
	close_box(&b);
}

/* A purge that died between its two steps leaves a file that nobody may have. */
static void a_purged_file_left_behind_is_not_served(void **state)
{
	(void)state;
	const char *folder = new_folder("left");
	struct box b = open_box(folder, MAX, NULL);
	struct original o = original_of(1, "e");
	must(insert(&b, 1, "e") && link(file_of(folder, 1), in(folder, "kept")) == 0);
	cache_purge(b.c, &o);
	must(rename(in(folder, "kept"), file_of(folder, 1)) == 0);
	assert_int_equal(read_back(&b, 1), ABSENT);
	assert_false(exists(file_of(folder, 1)));
	close_box(&b);
}

static void verdicts_belong_to_a_state(void **state)
{
	(void)state;
	struct box b = open_box(new_folder("verdicts"), MAX, NULL);
	struct original o, old;
	must(insert(&b, 1, "one") && find(&b, 1, &o));
	o.verdict = VERDICT_GOOD;
	o.strikes = 2;
	o.facts = STR("w\0h");
	cache_judge(b.c, &o);
	cache_keep_facts(b.c, &o);
	old = o;
	must(find(&b, 1, &o) && o.verdict == VERDICT_GOOD && o.strikes == 2 && str_equal(o.facts, STR("w\0h")) && o.bytes);
	must(insert(&b, 1, "one") && find(&b, 1, &o) && o.verdict == VERDICT_GOOD && o.facts.n == 3);
	must(insert(&b, 1, "two") && find(&b, 1, &o) && o.verdict == VERDICT_NONE && !o.facts.n && !o.strikes && !o.until_s);
	/* Who is still decoding the state of before judges nothing but that. */
	old.verdict = VERDICT_DAMAGED;
	cache_judge(b.c, &old);
	cache_keep_facts(b.c, &old);
	must(find(&b, 1, &o) && o.verdict == VERDICT_NONE && !o.facts.n);
	/* But what the origin does is known of all states. */
	old.verdict = VERDICT_FAILED;
	old.status = 502;
	old.until_s = 77;
	cache_judge(b.c, &old);
	must(find(&b, 1, &o) && o.verdict == VERDICT_FAILED && o.status == 502 && o.until_s == 77);
	must(o.bytes && read_back(&b, 1) == RIGHT);
	must(insert(&b, 1, "two") && find(&b, 1, &o) && o.verdict == VERDICT_NONE);
	close_box(&b);
}

static void what_has_no_file_is_judged_too(void **state)
{
	(void)state;
	struct box b = open_box(new_folder("local"), MAX, NULL);
	struct original o = original_of(1, ""), got;
	o.verdict = VERDICT_MISSING;
	o.until_s = 12;
	assert_false(find(&b, 1, &got));
	assert_false(cache_find_learnt(b.c, b.a, o.key, &got));
	cache_judge(b.c, &o);
	must(cache_find_learnt(b.c, b.a, o.key, &got) && got.verdict == VERDICT_MISSING);
	must(find(&b, 1, &got) && got.verdict == VERDICT_MISSING && got.until_s == 12 && !got.bytes);
	assert_string_equal(got.url, o.url);
	must(insert(&b, 1, "e") && find(&b, 1, &got) && got.verdict == VERDICT_NONE && got.bytes);
	close_box(&b);
}

static void one_process_gets_the_claim(void **state)
{
	(void)state;
	const char *folder = new_folder("claim");
	struct box b = open_box(folder, MAX, NULL), other = open_box(folder, MAX, NULL);
	struct original o = original_of(1, ""), got;
	assert_false(cache_claim(b.c, o.key, 60));
	must(insert(&b, 1, "e"));
	must(cache_claim(b.c, o.key, 60) && !cache_claim(other.c, o.key, 60) && !cache_claim(b.c, o.key, 60));
	cache_checked(b.c, o.key);
	must(find(&b, 1, &got) && got.checked_s >= time(NULL) - 1 && cache_claim(other.c, o.key, 60));
	/* A clock that ran ahead must not hold the claim for years. */
	sqlite3 *db;
	must(sqlite3_open(in(folder, "index-1"), &db) == SQLITE_OK);
	must(sqlite3_exec(db, "UPDATE original SET claimed = claimed + 100000000", NULL, NULL, NULL) == SQLITE_OK);
	sqlite3_close(db);
	must(cache_claim(b.c, o.key, 60));
	close_box(&b);
	close_box(&other);
}

static void parts_are_resumed(void **state)
{
	(void)state;
	const char *folder = new_folder("parts");
	struct box b = open_box(folder, MAX, NULL);
	struct original o = original_of(1, "\"e\"");
	char body[LARGEST];
	size_t n = body_of(o.key, "\"e\"", body), half = n / 2;
	struct cache_writer *w;
	struct error err = {0};
	const char *etag = NULL;
	uint64_t at;
	assert_int_equal(cache_part(b.c, b.a, o.key, &etag), 0);
	must(cache_write_open(b.c, &o, 0, n, &w, &err) && cache_write(w, body, half, &err));
	must(cache_written(w) == half && cache_writer_fd(w, &at) >= 0 && at == CACHE_HEADER_STEP);
	cache_write_drop(w, true);
	must(read_back(&b, 1) == ABSENT && cache_part(b.c, b.a, o.key, &etag) == half);
	assert_string_equal(etag, "\"e\"");
	must(cache_write_open(b.c, &o, half, n - half, &w, &err) && cache_written(w) == half);
	must(cache_write(w, body + half, n - half, &err) && cache_write_close(w, &o, &err));
	must(read_back(&b, 1) == RIGHT && !exists(part_of(folder, 1)) && !cache_verify_file(b.c, &o));
	/* Not kept: nothing is left. */
	must(cache_write_open(b.c, &o, 0, n, &w, &err) && cache_write(w, body, half, &err));
	cache_write_drop(w, false);
	must(!exists(part_of(folder, 1)) && read_back(&b, 1) == RIGHT);
	/* A part that became shorter meanwhile is none. */
	must(cache_write_open(b.c, &o, 0, n, &w, &err) && cache_write(w, body, half, &err));
	cache_write_drop(w, true);
	must(truncate(part_of(folder, 1), CACHE_HEADER_STEP + 1) == 0);
	assert_false(cache_write_open(b.c, &o, half, n - half, &w, &err));
	must(!exists(part_of(folder, 1)) && insert(&b, 1, "\"e\"") && read_back(&b, 1) == RIGHT);
	close_box(&b);
}

/* Whatever became of the locks: two never write into one part, and nobody into a published file. */
static void a_part_has_one_writer(void **state)
{
	(void)state;
	const char *folder = new_folder("two");
	struct box b = open_box(folder, MAX, NULL), other = open_box(folder, MAX, NULL);
	struct original o = original_of(1, "e");
	struct cache_writer *w, *second;
	struct error err = {0};
	char body[LARGEST];
	size_t n = body_of(o.key, "e", body);
	must(cache_write_open(b.c, &o, 0, n, &w, &err) && cache_write(w, body, n / 2, &err));
	assert_false(cache_write_open(other.c, &o, 0, n, &second, &err));
	must(cache_write(w, body + n / 2, n - n / 2, &err) && cache_write_close(w, &o, &err) && read_back(&other, 1) == RIGHT);
	close_box(&b);
	close_box(&other);
}

/* Old parts are cleared away by the next download, whose own lock stays. */
static void old_parts_go_and_locks_stay(void **state)
{
	(void)state;
	const char *folder = new_folder("old-parts");
	struct box b = open_box(folder, MAX, NULL), other = open_box(folder, MAX, NULL);
	struct cache_writer *w;
	struct error err = {0};
	for (int i = 1; i <= 2; i++) {
		struct original o = original_of(i, "e");
		must(cache_write_open(b.c, &o, 0, 9, &w, &err) && cache_write(w, "half", 4, &err));
		cache_write_drop(w, true);
	}
	const struct timespec old[2] = {{.tv_sec = time(NULL) - 7200}, {.tv_sec = time(NULL) - 7200}};
	must(utimensat(AT_FDCWD, part_of(folder, 1), old, 0) == 0 && utimensat(AT_FDCWD, part_of(folder, 2), old, 0) == 0);
	struct original o = original_of(1, "e");
	must(cache_lock(b.c, o.key, NULL, 0));
	must(cache_write_open(b.c, &o, 0, 4, &w, &err));
	assert_false(exists(part_of(folder, 2)));
	assert_false(cache_lock(other.c, o.key, NULL, 0));
	cache_write_drop(w, false);
	cache_unlock(b.c);
	must(cache_lock(other.c, o.key, NULL, 0));
	cache_unlock(other.c);
	close_box(&b);
	close_box(&other);
}

static void late(void *with)
{
	++*(int *)with;
}

static void locks_have_patience(void **state)
{
	(void)state;
	const char *folder = new_folder("patience");
	struct box b = open_box(folder, MAX, NULL), other = open_box(folder, MAX, NULL);
	struct original o = original_of(1, ""), different = original_of(2, "");
	int called = 0;
	must(cache_lock(b.c, o.key, NULL, 0));
	int64_t begun = clock_us();
	assert_false(cache_lock(other.c, o.key, NULL, begun + 100000));
	assert_in_range(clock_us() - begun, 100000, 400000);
	begun = clock_us();
	struct patience p = {.until_us = begun + 60000, .late = late, .with = &called};
	assert_false(cache_lock(other.c, o.key, &p, begun + 10000000));
	assert_in_range(clock_us() - begun, 60000, 400000);
	must(called == 1 && p.is_late);
	must(cache_lock(other.c, different.key, NULL, 0));
	cache_unlock(other.c);
	cache_unlock(b.c);
	must(cache_lock(other.c, o.key, NULL, 0));
	close_box(&b);
	close_box(&other);
}

/* A new index is no reason to let go of a download's lock. */
static void locks_outlive_the_index(void **state)
{
	(void)state;
	const char *folder = new_folder("outlive");
	struct box b = open_box(folder, MAX, NULL), other = open_box(folder, MAX, NULL);
	struct original o = original_of(1, "e"), got;
	struct cache_writer *w = NULL;
	struct error err = {0};
	char body[LARGEST];
	size_t n = body_of(o.key, "e", body);
	must(insert(&b, 2, "e"));
	must(cache_lock(b.c, o.key, NULL, 0) && cache_write_open(b.c, &o, 0, n, &w, &err));
	unlink(in(folder, "current"));
	must(cache_write(w, body, n, &err) && !find(&b, 1, &got));
	assert_false(cache_lock(other.c, o.key, NULL, 0));
	must(cache_write_close(w, &o, &err) && read_back(&other, 1) == RIGHT && read_back(&other, 2) == RIGHT);
	assert_false(cache_lock(other.c, o.key, NULL, 0));
	cache_unlock(b.c);
	must(cache_lock(other.c, o.key, NULL, 0));
	close_box(&b);
	close_box(&other);
}

static void the_least_used_goes_first(void **state)
{
	(void)state;
	const char *folder = new_folder("lru");
	struct box b = open_box(folder, 10 * (CACHE_HEADER_STEP + LARGEST), NULL);
	sqlite3 *db;
	int n = 0;
	for (uint64_t before; before = folder_bytes(folder), before + CACHE_HEADER_STEP + LARGEST <= 10 * (CACHE_HEADER_STEP + LARGEST);)
		must(insert(&b, n++, "e"));
	must(sqlite3_open(in(folder, "index-1"), &db) == SQLITE_OK);
	must(sqlite3_exec(db, "UPDATE original SET used = used - 1000", NULL, NULL, NULL) == SQLITE_OK);
	sqlite3_close(db);
	for (int i = 0; i < 4; i++)
		must(read_back(&b, i) == RIGHT);
	cache_flush(b.c);
	for (int i = 0; i < 4; i++)
		must(insert(&b, n + i, "e"));
	for (int i = 0; i < 4; i++)
		assert_int_equal(read_back(&b, i), RIGHT);
	assert_int_equal(read_back(&b, n + 3), RIGHT);
	int gone = 0;
	for (int i = 4; i < n; i++)
		gone += read_back(&b, i) == ABSENT;
	assert_in_range(gone, 1, n - 4);
	assert_in_range(folder_bytes(folder), 1, 10 * (CACHE_HEADER_STEP + LARGEST));
	close_box(&b);
}

/* Uses are noted again after a clock that ran ahead was put right. */
static void uses_are_noted_after_a_wrong_clock(void **state)
{
	(void)state;
	const char *folder = new_folder("clock");
	struct box b = open_box(folder, MAX, NULL);
	struct original o;
	sqlite3 *db;
	must(insert(&b, 1, "e"));
	must(sqlite3_open(in(folder, "index-1"), &db) == SQLITE_OK);
	must(sqlite3_exec(db, "UPDATE original SET used = used + 100000000", NULL, NULL, NULL) == SQLITE_OK);
	sqlite3_close(db);
	must(read_back(&b, 1) == RIGHT);
	cache_flush(b.c);
	must(find(&b, 1, &o));
	assert_in_range(o.used_s, time(NULL) - 2, time(NULL) + 1);
	close_box(&b);
}

static void too_large_is_said(void **state)
{
	(void)state;
	char body[LARGEST] = {0};
	struct box b = open_box(new_folder("large"), 10000, NULL);
	struct original o = original_of(1, "e");
	struct error err = {0};
	assert_false(write_body(b.c, &o, body, 8000, 8000, &err));
	assert_int_equal(err.status, 507);
	assert_false(write_body(b.c, &o, body, 8000, 0, &err));
	assert_int_equal(err.status, 507);
	must(write_body(b.c, &o, body, 5000, 0, &err));
	close_box(&b);
}

/* The temporary folder keeps its own bound where the length was not known. */
static void the_temporary_folder_has_its_bound(void **state)
{
	(void)state;
	char body[LARGEST] = {0};
	const char *temporary = new_path("small");
	struct arena *a = arena_open();
	struct cache *c = cache_open(a, &(struct cache_options){.folder = new_path("nowhere"), .max_bytes = MAX,
								 .temporary = temporary, .temporary_bytes = 10000});
	struct original o = original_of(1, "e");
	struct error err = {0};
	assert_false(write_body(c, &o, body, 8000, 0, &err));
	must(err.status == 503 || err.status == 507);
	must(folder_bytes(temporary) <= 10000);
	must(write_body(c, &o, body, 5000, 0, &err) && o.temporary);
	arena_close(a);
}

/* Somebody else's folder in /tmp could hold anything under our names. */
static void a_temporary_folder_of_others_is_a_trap(void **state)
{
	(void)state;
	const char *trap = new_path("trap");
	struct box b = open_box(trap, MAX, NULL), c;
	struct error err;
	must(cache_init(trap, &err) && insert(&b, 1, "e"));
	close_box(&b);
	must(chmod(trap, 0777) == 0);
	c = open_box("", MAX, trap);
	assert_int_equal(read_back(&c, 1), ABSENT);
	assert_false(insert(&c, 2, "e"));
	close_box(&c);
	must(chmod(trap, 0700) == 0);
	c = open_box("", MAX, trap);
	assert_int_equal(read_back(&c, 1), RIGHT);
	close_box(&c);
}

/* An original that cannot be opened for another reason than that it is gone stays known. */
static void without_descriptors_nothing_is_forgotten(void **state)
{
	(void)state;
	const char *folder = new_folder("descriptors");
	struct box b = open_box(folder, MAX, NULL);
	struct original o;
	struct source *s;
	struct rlimit limit, none;
	must(insert(&b, 1, "e") && find(&b, 1, &o) && getrlimit(RLIMIT_NOFILE, &limit) == 0);
	none = (struct rlimit){3, limit.rlim_max};
	must(setrlimit(RLIMIT_NOFILE, &none) == 0);
	bool opened = cache_open_file(b.c, b.a, &o, &s);
	must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	assert_false(opened);
	must(find(&b, 1, &o) && o.bytes && read_back(&b, 1) == RIGHT);
	close_box(&b);
}

static void descriptors_are_given_back(void **state)
{
	(void)state;
	int before = descriptors();
	a_purge_reaches_downloads_under_way(NULL);
	parts_are_resumed(NULL);
	locks_outlive_the_index(NULL);
	assert_int_equal(descriptors(), before);
}

static void init_is_careful(void **state)
{
	(void)state;
	struct error err;
	const char *folder = new_folder("init");
	must(cache_init(folder, &err));
	char text[64];
	get_text(in(folder, "lorikeet-cache"), text, sizeof text);
	assert_string_equal(text, "lorikeet cache 1\n");
	put_text(in(folder, "lorikeet-cache"), "lorikeet cache 2\n");
	assert_false(cache_init(folder, &err));
	assert_int_equal(err.status, 500);
	const char *other = new_path("other");
	must(mkdir(other, 0755) == 0);
	put_text(in(other, "precious"), "x");
	assert_false(cache_init(other, &err));
	must(!exists(in(other, "lorikeet-cache")) && !exists(in(other, "files-1")));
	unlink(in(other, "precious"));
	must(mkdir(in(other, "lost+found"), 0700) == 0 && cache_init(other, &err));
	assert_false(cache_init(in(other, "lorikeet-cache"), &err));
	assert_false(cache_init(in(box_top, "no/such"), &err));
}

static bool count_rows(void *with, const struct original *o)
{
	(void)o;
	return ++*(int *)with < 300;
}

/* A walk lets others write, and its own process too. */
static bool drop_each(void *with, const struct original *o)
{
	struct box *boxes = with;
	must(insert(&boxes[1], 9999, "e"));
	struct original got;
	cache_drop(boxes[0].c, o->key);
	must(!cache_find(boxes[0].c, boxes[0].a, o->key, &got) || !got.bytes);
	return true;
}

static void walks_and_totals(void **state)
{
	(void)state;
	const char *folder = new_folder("walk");
	struct box b[2] = {open_box(folder, MAX, NULL), open_box(folder, MAX, NULL)};
	struct cache_state st;
	int n = 0;
	for (int i = 0; i < 150; i++)
		must(insert(&b[0], i, "e"));
	cache_stat(b[0].c, b[0].a, &st);
	must(st.usable && st.totals.files == 150 && st.totals.bytes == folder_bytes(folder) && st.free_bytes);
	assert_string_equal(st.index, "index-1");
	must(cache_walk(b[0].c, count_rows, &n) && n == 150);
	must(cache_walk(b[0].c, drop_each, b));
	cache_stat(b[0].c, b[0].a, &st);
	must(st.totals.files <= 1 && st.totals.bytes == folder_bytes(folder));
	close_box(&b[0]);
	close_box(&b[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_original_comes_back),
		cmocka_unit_test(a_header_has_a_bound),
		cmocka_unit_test(an_empty_body_is_one),
		cmocka_unit_test(a_purge_raises_the_generation),
		cmocka_unit_test(a_purge_reaches_downloads_under_way),
		cmocka_unit_test(a_purge_reaches_broken_off_parts),
		cmocka_unit_test(a_purged_file_left_behind_is_not_served),
		cmocka_unit_test(verdicts_belong_to_a_state),
		cmocka_unit_test(what_has_no_file_is_judged_too),
		cmocka_unit_test(one_process_gets_the_claim),
		cmocka_unit_test(parts_are_resumed),
		cmocka_unit_test(a_part_has_one_writer),
		cmocka_unit_test(old_parts_go_and_locks_stay),
		cmocka_unit_test(locks_have_patience),
		cmocka_unit_test(locks_outlive_the_index),
		cmocka_unit_test(the_least_used_goes_first),
		cmocka_unit_test(uses_are_noted_after_a_wrong_clock),
		cmocka_unit_test(too_large_is_said),
		cmocka_unit_test(the_temporary_folder_has_its_bound),
		cmocka_unit_test(a_temporary_folder_of_others_is_a_trap),
		cmocka_unit_test(without_descriptors_nothing_is_forgotten),
		cmocka_unit_test(descriptors_are_given_back),
		cmocka_unit_test(init_is_careful),
		cmocka_unit_test(walks_and_totals),
	};
	/* One alone: LORIKEET_TEST=name. */
	if (getenv("LORIKEET_TEST"))
		cmocka_set_test_filter(getenv("LORIKEET_TEST"));
	return cmocka_run_group_tests(tests, box_set_up, box_tear_down);
}
