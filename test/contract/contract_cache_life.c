/* SPDX-License-Identifier: BSD-2-Clause */
/* The cache of originals among many processes, killed ones too, and with an index that is damaged. */
#include "cache_box.h"

#include <sqlite3.h>
#include <sys/mman.h>

#define KEYS 40
#define PROCESSES 6
#define ONE (CACHE_HEADER_STEP + LARGEST)
#define BOUND (UINT64_C(15) * ONE)

/* --- at random --- */

struct work {
	const char *folder, *temporary;
	int64_t until_us;
	bool calm;                     /* only reads and insertions */
};

static uint64_t random_state;

static unsigned chance(unsigned n)
{
	random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
	return (unsigned)(random_state >> 20) % n;
}

static const char *const etags[] = {"\"v0\"", "\"v1\"", "\"v2\""};

/* As a fetcher: locked, resuming what is there, in pieces, sometimes giving up. */
static void fetch(struct box *b, struct arena *a, int number)
{
	struct original o = original_of(number, etags[chance(3)]);
	char body[LARGEST];
	struct cache_writer *w;
	struct error err;
	const char *etag;
	if (!cache_lock(b->c, o.key, NULL, clock_us() + 20000))
		return;
	size_t n = body_of(o.key, o.etag, body), done = (size_t)cache_part(b->c, a, o.key, &etag);
	if (done && (strcmp(etag, o.etag) != 0 || done > n))
		done = 0;
	if (cache_write_open(b->c, &o, done, n - done, &w, &err)) {
		bool ok = true;
		for (size_t step; ok && done < n; done += step) {
			step = 1 + chance(4000);
			step = step < n - done ? step : n - done;
			ok = cache_write(w, body + done, step, &err);
		}
		if (!ok || chance(10) == 0)
			cache_write_drop(w, chance(2));
		else if (cache_write_close(w, &o, &err) && chance(2)) {
			struct source *s;
			must(!cache_open_file(b->c, a, &o, &s) || compare(s, o.key, o.etag) == RIGHT);
		}
	}
	cache_unlock(b->c);
}

static void work(const void *with)
{
	const struct work *job = with;
	uint64_t least[KEYS] = {0};            /* generations: what was purged does not come back */
	random_state = (uint64_t)getpid() * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)clock_us();
	struct box b = open_box(job->folder, BOUND, job->temporary);
	while (clock_us() < job->until_us) {
		struct arena *a = arena_open();
		int number = (int)chance(KEYS);
		struct original o;
		unsigned what = chance(100);
		if (what < 60 || (job->calm && what >= 85)) {
			enum reading r = read_back_of(&b, number, &o);
			must(r != WRONG && (r == ABSENT || o.validator.generation >= least[number]));
		} else if (what < 85) {
			fetch(&b, a, number);
		} else if (what < 90) {
			o = original_of(number, "");
			if (cache_purge(b.c, &o) && find(&b, number, &o))
				least[number] = o.validator.generation;
		} else if (what < 93) {
			o = original_of(number, "");
			cache_drop(b.c, o.key);
		} else if (find(&b, number, &o)) {
			o.verdict = VERDICT_GOOD;
			o.facts = STR("facts");
			cache_judge(b.c, &o);
			cache_keep_facts(b.c, &o);
			cache_claim(b.c, o.key, 1);
			cache_flush(b.c);
		}
		arena_close(a);
	}
	close_box(&b);
}

/* Who is killed between the two steps of a purge leaves the file, which nobody is served. */
static void count_purged(void *with, const char *key, const char *what)
{
	*(uint64_t *)with += strcmp(what, "was purged") == 0;
	ignore(NULL, key, what);
}

/* After all is over: what is there is right, and rows and files agree. */
static struct cache_verified settle(const char *folder, uint64_t bound)
{
	struct box b = open_box(folder, bound, NULL);
	struct cache_verified v, again;
	struct cache_state st;
	uint64_t purged = 0;
	must(cache_verify(b.c, &v, count_purged, &purged));
	assert_int_equal(v.damaged, purged);
	must(cache_verify(b.c, &again, ignore, NULL) && !again.adopted && !again.gone && !again.damaged);
	for (int i = 0; i < KEYS; i++)
		must(read_back(&b, i) != WRONG);
	cache_stat(b.c, b.a, &st);
	folder_bytes(in(folder, "files-1"));
	must(insert(&b, KEYS + 1, "e") && insert(&b, KEYS + 2, "e"));
	cache_stat(b.c, b.a, &st);
	must(st.usable);
	assert_in_range(folder_bytes(folder), 1, bound);
	uint64_t all = walked_bytes, files = walked_files;
	walked_bytes = walked_files = 0;
	nftw(in(folder, "files-1"), add_one, 16, FTW_PHYS);
	assert_int_equal(walked_bytes, st.totals.bytes);
	assert_int_equal(walked_files, st.totals.files);
	must(all >= walked_bytes && files >= walked_files);
	close_box(&b);
	return v;
}

static void many_processes(void **state)
{
	(void)state;
	struct work job = {new_folder("many"), NULL, clock_us() + 1200000, false};
	pid_t children[PROCESSES];
	uint64_t most = 0;
	for (int i = 0; i < PROCESSES; i++)
		children[i] = start(work, &job);
	while (clock_us() < job.until_us) {
		uint64_t bytes = folder_bytes(job.folder);
		most = bytes > most ? bytes : most;
		sleep_ms(3);
	}
	for (int i = 0; i < PROCESSES; i++)
		finish(children[i]);
	assert_in_range(most, BOUND / 2, BOUND + PROCESSES * ONE);
	struct cache_verified v = settle(job.folder, BOUND);
	assert_int_equal(v.adopted + v.damaged, 0);
	print_message("many processes: at most %llu of %llu bytes\n", (unsigned long long)most, (unsigned long long)BOUND);
}

static void many_processes_killed(void **state)
{
	(void)state;
	struct work job = {new_folder("killed"), NULL, INT64_MAX, false};
	pid_t children[PROCESSES];
	uint64_t most = 0;
	int64_t end = clock_us() + 1200000;
	int kills = 0;
	for (int i = 0; i < PROCESSES; i++)
		children[i] = start(work, &job);
	while (clock_us() < end) {
		int i = rand() % PROCESSES, status;
		sleep_ms(rand() % 10);
		kill(children[i], SIGKILL);
		must(waitpid(children[i], &status, 0) == children[i]);
		if (!WIFSIGNALED(status))
			fail_msg("a child ended with %#x", (unsigned)status);
		kills++;
		children[i] = start(work, &job);
		uint64_t bytes = folder_bytes(job.folder);
		most = bytes > most ? bytes : most;
	}
	for (int i = 0; i < PROCESSES; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	assert_in_range(most, 1, BOUND + 2 * PROCESSES * ONE);
	struct cache_verified v = settle(job.folder, BOUND);
	print_message("%d kills: at most %llu of %llu bytes; %llu adopted, %llu gone\n", kills, (unsigned long long)most,
		      (unsigned long long)BOUND, (unsigned long long)v.adopted, (unsigned long long)v.gone);
}

/* --- who holds what --- */

static void hold_lock(const void *with)
{
	const struct work *job = with;
	struct box b = open_box(job->folder, BOUND, NULL);
	struct original o = original_of(1, "e");
	struct cache_writer *w;
	struct error err;
	must(cache_lock(b.c, o.key, NULL, 0) && cache_write_open(b.c, &o, 0, 8, &w, &err) && cache_write(w, "half", 4, &err));
	put_text(in(job->folder, "held"), "");
	sleep_ms(20000);
}

static void the_dead_hold_nothing(void **state)
{
	(void)state;
	struct work job = {.folder = new_folder("dead")};
	struct box b = open_box(job.folder, BOUND, NULL);
	struct original o = original_of(1, "e");
	struct cache_writer *w;
	struct error err;
	const char *etag;
	pid_t child = start(hold_lock, &job);
	while (!exists(in(job.folder, "held")))
		sleep_ms(2);
	assert_false(cache_lock(b.c, o.key, NULL, clock_us() + 50000));
	assert_false(cache_write_open(b.c, &o, 0, 8, &w, &err));
	kill(child, SIGKILL);
	must(waitpid(child, NULL, 0) == child);
	must(cache_lock(b.c, o.key, NULL, clock_us() + 1000000));
	must(cache_part(b.c, b.a, o.key, &etag) == 4);
	must(cache_write_open(b.c, &o, 4, 4, &w, &err) && cache_write(w, "past", 4, &err) && cache_write_close(w, &o, &err));
	must(o.validator.length == 8 && !cache_verify_file(b.c, &o));
	close_box(&b);
}

struct turns {
	const char *folder;
	_Atomic int *now, *most;       /* shared */
	int rounds;                    /* 0: keeps its turn until it is killed */
};

static void take_turns(const void *with)
{
	const struct turns *t = with;
	struct box b = open_box(t->folder, BOUND, NULL);
	for (int i = 0; i < t->rounds || !t->rounds; i++) {
		must(cache_take_turn(b.c, 2, NULL, clock_us() + 10000000));
		int now = ++*t->now;
		if (now > *t->most)
			*t->most = now;
		sleep_ms(t->rounds ? 10 : 20000);
		--*t->now;
		cache_end_turn(b.c);
	}
	close_box(&b);
}

static void turns_are_shared_out(void **state)
{
	(void)state;
	_Atomic int *counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct turns t = {.folder = new_folder("turns"), .now = &counts[0], .most = &counts[1], .rounds = 8};
	pid_t children[6];
	for (int i = 0; i < 6; i++)
		children[i] = start(take_turns, &t);
	for (int i = 0; i < 6; i++)
		finish(children[i]);
	assert_int_equal(counts[1], 2);
	/* Both are taken, an original's lock is another thing, and the dead have no turn. */
	t.rounds = 0;
	for (int i = 0; i < 2; i++)
		children[i] = start(take_turns, &t);
	while (counts[0] < 2)
		sleep_ms(2);
	struct box b = open_box(t.folder, BOUND, NULL);
	struct original o = original_of(1, "e");
	must(!cache_take_turn(b.c, 2, NULL, clock_us() + 50000) && cache_lock(b.c, o.key, NULL, clock_us()));
	kill(children[0], SIGKILL);
	must(waitpid(children[0], NULL, 0) == children[0] && cache_take_turn(b.c, 2, NULL, clock_us() + 1000000));
	cache_unlock(b.c);
	cache_end_turn(b.c);
	kill(children[1], SIGKILL);
	must(waitpid(children[1], NULL, 0) == children[1]);
	close_box(&b);
	munmap(counts, 4096);
}

static void readers_keep_what_they_have(void **state)
{
	(void)state;
	const char *folder = new_folder("readers");
	struct box b = open_box(folder, 3 * ONE, NULL), other = open_box(folder, 3 * ONE, NULL);
	struct original o;
	struct source *evicted, *purged;
	must(insert(&b, 1, "e") && find(&b, 1, &o) && cache_open_file(b.c, b.a, &o, &evicted));
	for (int i = 10; i < 30; i++)
		must(insert(&other, i, "e"));
	assert_false(exists(file_of(folder, 1)));
	must(compare(evicted, o.key, "e") == RIGHT && read_back(&b, 1) == ABSENT);
	must(insert(&b, 2, "e") && find(&b, 2, &o) && cache_open_file(b.c, b.a, &o, &purged));
	must(cache_purge(other.c, &o) && compare(purged, o.key, "e") == RIGHT && read_back(&b, 2) == ABSENT);
	must(insert(&other, 2, "f") && compare(purged, o.key, "e") == RIGHT && read_back(&b, 2) == RIGHT);
	close_box(&b);
	close_box(&other);
}

/* --- the index is damaged --- */

static void overwrite(const char *path, int how)
{
	static char garbage[300000];
	struct stat st;
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	for (size_t i = 0; i < sizeof garbage; i++)
		garbage[i] = (char)(rand() >> 7);
	size_t n = (size_t)st.st_size < sizeof garbage ? (size_t)st.st_size : sizeof garbage;
	if (how == 0)
		must(pwrite(fd, garbage, n, 0) == (ssize_t)n);
	else if (how == 1)
		must(ftruncate(fd, 0) == 0);
	else
		unlink(path);
	close(fd);
}

/* Truncating what others have mapped kills them (SIGBUS); the pool replaces them, and these are asked for no more than that. */
static void index_damaged_while_serving(void **state)
{
	(void)state;
	static const char *const endings[] = {"", "-wal", "-shm"};
	for (int kind = 0; kind < 3; kind++)
		for (int how = 0; how < 3; how++) {
			struct work job = {new_folder("index"), NULL, clock_us() + SLOWER * 200000, true};
			struct box b = open_box(job.folder, BOUND, NULL);
			char name[40];
			for (int i = 0; i < KEYS / 2; i++)
				insert(&b, i, etags[0]);
			close_box(&b);
			pid_t children[4];
			for (int i = 0; i < 4; i++)
				children[i] = start(work, &job);
			sleep_ms(SLOWER * 70);
			snprintf(name, sizeof name, "index-1%s", endings[kind]);
			overwrite(in(job.folder, name), how);
			bool mapped = kind == 2 && how == 1;
			for (int i = 0; i < 4; i++) {
				int status;
				must(waitpid(children[i], &status, 0) == children[i]);
				if (status && !(mapped && WIFSIGNALED(status)))
					fail_msg("index-1%s, damage %d: a child ended with %#x", endings[kind], how, (unsigned)status);
			}
			settle(job.folder, BOUND);
			b = open_box(job.folder, BOUND, NULL);
			must(insert(&b, 3, "e") && read_back(&b, 3) == RIGHT);
			close_box(&b);
			remove_tree(job.folder);
		}
}

static void current_damaged_while_serving(void **state)
{
	(void)state;
	static const char *const contents[] = {NULL, "", "garbage", "index-", "index-77\n", "index-99999999999999999999"};
	struct work job = {new_folder("current"), NULL, clock_us() + 600000, true};
	pid_t children[4];
	for (int i = 0; i < 4; i++)
		children[i] = start(work, &job);
	for (size_t i = 0; i < 6; i++) {
		sleep_ms(80);
		unlink(in(job.folder, "current"));
		if (contents[i])
			put_text(in(job.folder, "current"), contents[i]);
	}
	for (int i = 0; i < 4; i++)
		finish(children[i]);
	settle(job.folder, BOUND);
}

/* A sound index whose name alone was lost keeps what it knows. */
static void an_index_that_lost_its_name(void **state)
{
	(void)state;
	const char *folder = new_folder("name");
	struct box b = open_box(folder, BOUND, NULL);
	struct original o;
	must(insert(&b, 1, "e") && find(&b, 1, &o));
	o.verdict = VERDICT_DEADLY;
	cache_judge(b.c, &o);
	put_text(in(folder, "current"), "?");
	must(find(&b, 1, &o) && o.verdict == VERDICT_DEADLY && o.bytes);
	char text[32];
	get_text(in(folder, "current"), text, sizeof text);
	assert_string_equal(text, "index-1\n");
	close_box(&b);
}

static void run_sql(const char *folder, const char *name, const char *sql)
{
	sqlite3 *db;
	must(sqlite3_open(in(folder, name), &db) == SQLITE_OK && sqlite3_busy_timeout(db, 2000) == SQLITE_OK);
	must(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
	sqlite3_close(db);
}

/* A later program's index: files are read, nothing is added, and nothing of it is touched. */
static void a_later_index_is_left_alone(void **state)
{
	(void)state;
	const char *folder = new_folder("later"), *temporary = new_path("later-temporary");
	struct box b = open_box(folder, BOUND, NULL);
	struct stat before, after;
	struct original o;
	must(insert(&b, 1, "e"));
	close_box(&b);
	run_sql(folder, "index-1", "PRAGMA user_version = 99");
	must(stat(in(folder, "index-1"), &before) == 0);
	for (int lost = 0; lost < 2; lost++) {
		b = open_box(folder, BOUND, temporary);
		must(read_back(&b, 1) == RIGHT);
		must(insert(&b, 2 + lost, "e") && read_back_of(&b, 2 + lost, &o) == RIGHT && o.temporary);
		cache_flush(b.c);
		close_box(&b);
		must(stat(in(folder, "index-1"), &after) == 0 && after.st_ino == before.st_ino && after.st_size == before.st_size &&
		     after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
		must(!exists(in(folder, "index-2")) && !exists(file_of(folder, 2 + lost)));
		unlink(in(folder, "current"));
	}
}

/* While an index is replaced, two may store an original after one another, and tell the index in the other order. */
static void the_file_is_right_and_its_row_is_not(void **state)
{
	(void)state;
	for (int by_verify = 0; by_verify < 2; by_verify++) {
		const char *folder = new_folder(by_verify ? "mended-by-verify" : "mended");
		struct box b = open_box(folder, BOUND, NULL);
		struct original right, now;
		struct cache_verified v;
		struct cache_state st;
		must(insert(&b, 1, "e") && find(&b, 1, &right));
		run_sql(folder, "index-1", "UPDATE original SET length = length + 9, bytes = bytes + 9, etag = 'f', tag = 'ff', fetched = fetched + 5");
		must(by_verify ? cache_verify(b.c, &v, ignore, NULL) : read_back(&b, 1) == RIGHT);
		must(find(&b, 1, &now) && now.bytes == right.bytes && validator_equal(&now.validator, &right.validator));
		assert_string_equal(now.etag, "e");
		cache_stat(b.c, b.a, &st);
		assert_int_equal(st.totals.bytes, right.bytes);
		close_box(&b);
	}
}

/* Two begin an index at once, again and again. */
static void begin_at_once(const void *with)
{
	const struct work *job = with;
	while (!exists(in(job->folder, "go")))
		;
	struct box b = open_box(job->folder, BOUND, NULL);
	struct original o;
	must(insert(&b, getpid() % KEYS, "e"));
	find(&b, 1, &o);
	struct cache_state st;
	cache_stat(b.c, b.a, &st);
	must(strcmp(st.index, "index-1") == 0);
	close_box(&b);
}

static void two_begin_an_index(void **state)
{
	(void)state;
	for (int turn = 0; turn < 10; turn++) {
		struct work job = {.folder = new_folder("begin")};
		pid_t one = start(begin_at_once, &job), two = start(begin_at_once, &job);
		sleep_ms(5);
		put_text(in(job.folder, "go"), "");
		finish(one);
		finish(two);
		remove_tree(job.folder);
	}
}

/* Files are read before the index knows them, and all are counted soon. */
static void an_index_is_made_anew_by_slices(void **state)
{
	(void)state;
	const char *folder = new_folder("slices");
	struct box b = open_box(folder, 64 * MB, NULL);
	struct cache_state st;
	char name[32];
	for (int i = 0; i < 300; i++)
		must(insert(&b, i, "e"));
	uint64_t bytes = folder_bytes(folder);
	close_box(&b);
	overwrite(in(folder, "index-1"), 0);
	unlink(in(folder, "index-1-wal"));
	b = open_box(folder, 64 * MB, NULL);
	for (int i = 0; i < 300; i += 7)
		must(read_back(&b, i) == RIGHT);
	cache_stat(b.c, b.a, &st);
	must(strcmp(st.index, "index-2") == 0 && st.totals.slice < CACHE_SLICES && !exists(in(folder, "index-1")));
	for (int i = 0; i < 50 && st.totals.slice < CACHE_SLICES; i++) {
		must(insert(&b, i, "e"));
		cache_stat(b.c, b.a, &st);
	}
	must(st.totals.slice == CACHE_SLICES && st.totals.files == 300 && st.totals.bytes == bytes);
	/* A file that no row counts is found in time, even if nobody asks for it. */
	snprintf(name, sizeof name, "files-1/%.2s", original_of(5, "").key);
	run_sql(folder, "index-2", "DELETE FROM original WHERE url LIKE '%/5'; UPDATE total SET walked = 0");
	for (int i = 0; i < 300; i++) {
		run_sql(folder, "index-2", "UPDATE total SET walked = 0");
		must(insert(&b, 7, "e"));
		cache_stat(b.c, b.a, &st);
		if (st.totals.files == 300)
			break;
	}
	assert_int_equal(st.totals.files, 300);
	close_box(&b);
}

/* All of the cache is replaced several times within a second. */
static void what_has_just_come_stays(void **state)
{
	(void)state;
	struct box b = open_box(new_folder("quick"), BOUND, NULL);
	for (int i = 0; i < 100; i++) {
		must(insert(&b, i, "e"));
		for (int back = 1; back < 8 && back < i; back++)
			must(read_back(&b, i - back) == RIGHT);
	}
	close_box(&b);
}

static void descriptors_are_given_back(void **state)
{
	(void)state;
	int before = descriptors();
	readers_keep_what_they_have(NULL);
	a_later_index_is_left_alone(NULL);
	an_index_that_lost_its_name(NULL);
	assert_int_equal(descriptors(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_processes),
		cmocka_unit_test(many_processes_killed),
		cmocka_unit_test(the_dead_hold_nothing),
		cmocka_unit_test(turns_are_shared_out),
		cmocka_unit_test(readers_keep_what_they_have),
		cmocka_unit_test(index_damaged_while_serving),
		cmocka_unit_test(current_damaged_while_serving),
		cmocka_unit_test(an_index_that_lost_its_name),
		cmocka_unit_test(a_later_index_is_left_alone),
		cmocka_unit_test(the_file_is_right_and_its_row_is_not),
		cmocka_unit_test(two_begin_an_index),
		cmocka_unit_test(an_index_is_made_anew_by_slices),
		cmocka_unit_test(what_has_just_come_stays),
		cmocka_unit_test(descriptors_are_given_back),
	};
	/* One alone: LORIKEET_TEST=name. */
	if (getenv("LORIKEET_TEST"))
		cmocka_set_test_filter(getenv("LORIKEET_TEST"));
	return cmocka_run_group_tests(tests, box_set_up, box_tear_down);
}
