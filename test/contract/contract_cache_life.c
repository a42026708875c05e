/* SPDX-License-Identifier: BSD-2-Clause */
/* The cache of originals among many processes, killed ones too, on disks that are full, gone or damaged. */
#include "cache_box.h"

#include <sqlite3.h>
#include <sys/resource.h>

#include "source/cache_index.h"

#define KEYS 40
#define PROCESSES 6
#define ONE (CACHE_HEADER_STEP + LARGEST)
#define BOUND (UINT64_C(15) * ONE)

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLOWER 2
#endif
#endif
#ifndef SLOWER
#define SLOWER 1
#endif

/* --- at random --- */

struct work {
	const char *folder, *temporary;
	int64_t until_us;
	bool calm;                     /* only reads and insertions */
	const char *size;              /* of a volume to be mounted */
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
	if (cache_write_open(b->c, a, &o, done, n - done, &w, &err)) {
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
	random_state = (uint64_t)getpid() * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)clock_us();
	struct box b = open_box(job->folder, BOUND, job->temporary);
	while (clock_us() < job->until_us) {
		struct arena *a = arena_open();
		int number = (int)chance(KEYS);
		struct original o;
		unsigned what = chance(100);
		if (what < 60 || (job->calm && what >= 85)) {
			must(read_back_of(&b, number, &o) != WRONG);
		} else if (what < 85) {
			fetch(&b, a, number);
		} else if (what < 90) {
			o = original_of(number, "");
			cache_purge(b.c, &o);
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

static void ignore(void *with, const char *key, const char *what)
{
	(void)with;
	if (getenv("LORIKEET_TEST_LOG"))
		print_message("found %s: %s\n", key, what);
}

/* After all is over: what is there is right, and rows and files agree. */
static struct cache_verified settle(const char *folder, uint64_t bound)
{
	struct box b = open_box(folder, bound, NULL);
	struct cache_verified v, again;
	struct cache_state st;
	must(cache_verify(b.c, &v, ignore, NULL));
	assert_int_equal(v.damaged, 0);
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
	struct work job = {new_folder("many"), NULL, clock_us() + 1500000, false, NULL};
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
	assert_int_equal(v.adopted, 0);
	print_message("many processes: at most %llu of %llu bytes\n", (unsigned long long)most, (unsigned long long)BOUND);
}

static void many_processes_killed(void **state)
{
	(void)state;
	struct work job = {new_folder("killed"), NULL, INT64_MAX, false, NULL};
	pid_t children[PROCESSES];
	uint64_t most = 0;
	int64_t end = clock_us() + 1500000;
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
	must(cache_lock(b.c, o.key, NULL, 0) && cache_write_open(b.c, b.a, &o, 0, 8, &w, &err) && cache_write(w, "half", 4, &err));
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
	assert_false(cache_write_open(b.c, b.a, &o, 0, 8, &w, &err));
	kill(child, SIGKILL);
	must(waitpid(child, NULL, 0) == child);
	must(cache_lock(b.c, o.key, NULL, clock_us() + 1000000));
	must(cache_part(b.c, b.a, o.key, &etag) == 4);
	must(cache_write_open(b.c, b.a, &o, 4, 4, &w, &err) && cache_write(w, "past", 4, &err) && cache_write_close(w, &o, &err));
	must(o.validator.length == 8 && !cache_verify_file(b.c, &o));
	close_box(&b);
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
			struct work job = {new_folder("index"), NULL, clock_us() + SLOWER * 200000, true, NULL};
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
	struct work job = {new_folder("current"), NULL, clock_us() + 600000, true, NULL};
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

/* --- the folder is damaged --- */

static void a_volume_comes_and_goes(void **state)
{
	(void)state;
	const char *folder = new_path("volume"), *temporary = new_path("volume-temporary");
	struct error err;
	struct original o;
	must(mkdir(folder, 0755) == 0);
	struct box b = open_box(folder, BOUND, temporary);
	must(insert(&b, 1, "e") && read_back_of(&b, 1, &o) == RIGHT && o.temporary);
	must(rmdir(folder) == 0);              /* so nothing was written there */
	must(insert(&b, 2, "e") && read_back(&b, 2) == RIGHT && !exists(folder));
	must(cache_init(folder, &err));
	int64_t begun = clock_us();
	do {
		sleep_ms(50);
		must(insert(&b, 3, "e") && read_back_of(&b, 3, &o) == RIGHT);
	} while (o.temporary && clock_us() - begun < 3000000);
	assert_in_range(clock_us() - begun, 1, 1500000);
	must(exists(file_of(folder, 3)) && read_back(&b, 1) == RIGHT && read_back(&b, 2) == RIGHT);
	/* Gone while serving, twice: the folder, and the marker alone. */
	char aside[120];
	snprintf(aside, sizeof aside, "%s-aside", folder);
	must(rename(folder, aside) == 0 && insert(&b, 4, "e") && read_back_of(&b, 4, &o) == RIGHT && o.temporary && !exists(folder));
	must(mkdir(folder, 0755) == 0 && insert(&b, 5, "e") && read_back(&b, 5) == RIGHT && rmdir(folder) == 0);
	must(rename(aside, folder) == 0);
	sleep_ms(1100);
	must(insert(&b, 6, "e") && read_back_of(&b, 6, &o) == RIGHT && !o.temporary);
	unlink(in(folder, "lorikeet-cache"));
	unlink(in(folder, "current"));
	must(insert(&b, 7, "e") && read_back_of(&b, 7, &o) == RIGHT && o.temporary && !exists(in(folder, "current")));
	close_box(&b);
}

/* Without any place at all requests fail, and no more than that. */
static void without_any_place(void **state)
{
	(void)state;
	struct box b = open_box(new_path("none"), BOUND, NULL), c = open_box("", BOUND, "");
	struct original o;
	int before = descriptors();
	must(!insert(&b, 1, "e") && !find(&b, 1, &o) && read_back(&b, 1) == ABSENT && !cache_claim(b.c, "00", 1));
	o = original_of(1, "e");
	assert_false(cache_purge(b.c, &o));
	must(!insert(&c, 1, "e") && !find(&c, 1, &o));
	assert_int_equal(descriptors(), before);
	close_box(&b);
	close_box(&c);
}

static void store_while_busy(const void *with)
{
	const struct work *job = with;
	struct box b = open_box(job->folder, BOUND, NULL);
	int64_t begun = clock_us();
	must(insert(&b, 2, "e") && read_back(&b, 2) == RIGHT);
	must(clock_us() - begun < 2800000);
	close_box(&b);
}

/* A purge that could not be written down is not one. Hits and stores go on while somebody writes for long. */
static void purges_tell_whether_they_hold(void **state)
{
	(void)state;
	struct work job = {.folder = new_folder("hold")};
	const char *folder = job.folder;
	struct box b = open_box(folder, BOUND, NULL);
	struct original o = original_of(1, "e");
	sqlite3 *db = NULL;
	must(insert(&b, 1, "e") && sqlite3_open(in(folder, "index-1"), &db) == SQLITE_OK);
	must(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
	pid_t child = start(store_while_busy, &job);
	assert_false(cache_purge(b.c, &o));
	finish(child);
	sqlite3_close(db);
	must(cache_purge(b.c, &o) && read_back(&b, 2) == RIGHT);
	close_box(&b);
}

static void read_only(const void *with)
{
	const struct work *job = with;
	MOUNTING_OR_SKIP();
	struct error err;
	struct original o;
	must(mount("none", job->folder, "tmpfs", 0, "size=4m") == 0 && cache_init(job->folder, &err));
	struct box b = open_box(job->folder, BOUND, job->temporary), served = b;
	must(insert(&b, 1, "e"));
	must(mount("none", job->folder, NULL, MS_REMOUNT | MS_RDONLY, "size=4m") == 0 || errno == EBUSY);
	if (errno == EBUSY) {
		/* Open for writing by us: what was read-only from the start is all that can be had. */
		close_box(&b);
		must(mount("none", job->folder, NULL, MS_REMOUNT | MS_RDONLY, "size=4m") == 0);
		served.a = NULL;
	}
	for (int fresh = served.a ? 0 : 1; fresh < 2; fresh++) {
		if (fresh)
			b = open_box(job->folder, BOUND, job->temporary);
		int64_t begun = clock_us();
		must(read_back(&b, 1) == RIGHT);
		must(insert(&b, 2 + fresh, "e") && read_back_of(&b, 2 + fresh, &o) == RIGHT && o.temporary);
		must(clock_us() - begun < 1000000);
		close_box(&b);
	}
	/* Empty and read-only. */
	must(umount2(job->folder, MNT_DETACH) == 0 && mount("none", job->folder, "tmpfs", 0, "size=4m") == 0);
	must(cache_init(job->folder, &err) && mount("none", job->folder, NULL, MS_REMOUNT | MS_RDONLY, "size=4m") == 0);
	b = open_box(job->folder, BOUND, job->temporary);
	int64_t begun = clock_us();
	must(insert(&b, 9, "e") && read_back(&b, 9) == RIGHT && clock_us() - begun < 1000000);
	close_box(&b);
}

static void a_read_only_folder_is_read(void **state)
{
	(void)state;
	struct work job = {.folder = new_path("read-only"), .temporary = new_path("read-only-temporary")};
	must(mkdir(job.folder, 0755) == 0);
	run_mounting(read_only, &job);
}

static void fill(const char *folder, bool all)
{
	static const char zeros[4096];
	int fd = open(in(folder, "ballast"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	struct statvfs v;
	while (fstatvfs(fd, &v) == 0 && (all || v.f_bavail * v.f_frsize > 65536) && write(fd, zeros, sizeof zeros) > 0)
		;
	close(fd);
}

/* The bound is far above the volume: only its end says stop. */
static void full_disk(const void *with)
{
	const struct work *job = with;
	MOUNTING_OR_SKIP();
	struct error err;
	struct original o;
	int main_ones = 0, n = 1000;
	must(mount("none", job->folder, "tmpfs", 0, job->size) == 0 && cache_init(job->folder, &err));
	struct box b = open_box(job->folder, 64 * MB, job->temporary);
	for (int i = 0; i < n; i++) {
		must(insert(&b, i, "e") && read_back_of(&b, i, &o) == RIGHT);
		main_ones += !o.temporary;
	}
	/* Room was made, so that all went on to the volume; but the smallest is not larger than the index's log grows. */
	if (main_ones < n - 10 && job->size[5] != '2')
		fprintf(stderr, "only %d of %d went to the volume\n", main_ones, n);
	must(main_ones >= n - 10 || (job->size[5] == '2' && main_ones));
	for (int i = 0; i < n; i++)
		must(read_back(&b, i) != WRONG);
	/* Others fill it to the last byte: originals go elsewhere, and the index stays the one it is. */
	fill(job->folder, true);
	for (int i = 500; i < 520; i++) {
		fill(job->folder, true);
		must(insert(&b, i, "e") && read_back(&b, i) == RIGHT);
	}
	must(exists(in(job->folder, "index-1")) && !exists(in(job->folder, "index-2")));
	struct cache_state st;
	unlink(in(job->folder, "ballast"));
	close_box(&b);
	b = open_box(job->folder, 64 * MB, job->temporary);
	must(insert(&b, 600, "e") && read_back_of(&b, 600, &o) == RIGHT && !o.temporary);
	cache_stat(b.c, b.a, &st);
	must(strcmp(st.index, "index-1") == 0);
	struct cache_verified v;
	must(cache_verify(b.c, &v, ignore, NULL) && v.damaged == 0);
	close_box(&b);
}

static void a_full_disk_is_no_end(void **state)
{
	(void)state;
	struct work job = {.folder = new_path("full"), .temporary = new_path("full-temporary")};
	must(mkdir(job.folder, 0755) == 0);
	job.size = "size=12m";
	run_mounting(full_disk, &job);
	job.size = "size=2m";
	run_mounting(full_disk, &job);
}

static void little_free(const void *with)
{
	const struct work *job = with;
	MOUNTING_OR_SKIP();
	struct error err;
	struct original o;
	must(mount("none", job->folder, "tmpfs", 0, "size=12m") == 0 && cache_init(job->folder, &err));
	struct arena *a = arena_open();
	struct cache *c = cache_open(a, &(struct cache_options){.folder = job->folder, .max_bytes = 64 * MB, .min_free_bytes = 3 * MB});
	struct box b = {a, c};
	struct statvfs v;
	for (int i = 0; i < 1000; i++) {
		must(insert(&b, i, "e") && read_back_of(&b, i, &o) == RIGHT);
		must(statvfs(job->folder, &v) == 0 && v.f_bavail * v.f_frsize > 3 * MB - 128 * 1024);
	}
	close_box(&b);
}

static void free_room_is_left_to_others(void **state)
{
	(void)state;
	struct work job = {.folder = new_path("free")};
	must(mkdir(job.folder, 0755) == 0);
	run_mounting(little_free, &job);
}

/* --- what it costs --- */

static uint64_t index_state(const char *folder)
{
	struct stat db = {0}, wal = {0};
	stat(in(folder, "index-1"), &db);
	stat(in(folder, "index-1-wal"), &wal);
	return (uint64_t)db.st_size + (uint64_t)wal.st_size + (uint64_t)db.st_mtim.tv_nsec + (uint64_t)wal.st_mtim.tv_nsec +
	       (uint64_t)db.st_mtim.tv_sec + (uint64_t)wal.st_mtim.tv_sec;
}

static int64_t per(int64_t begun, int n)
{
	return (clock_us() - begun) / n;
}

static void cost_at(int rows)
{
	const char *folder = new_folder("cost");
	struct box b = open_box(folder, UINT64_C(1) << 50, NULL);
	struct cache_index *index;
	struct original o;
	for (int i = 0; i < 100; i++)
		must(insert(&b, i, "e"));
	close_box(&b);
	must(cache_index_open(in(folder, "index-1"), &index) == INDEX_OK);
	int64_t begun = clock_us();
	for (int i = 0; i < rows; i++) {
		if (i % 10000 == 0)
			must((i == 0 || cache_index_end(index, true) == INDEX_OK) && cache_index_begin(index, true) == INDEX_OK);
		o = original_of(1000 + i, "e");
		o.bytes = 50000;
		o.used_s = o.fetched_s = 1000000 + i % 100000;
		must(cache_index_store(index, &o) == INDEX_OK);
	}
	must(cache_index_end(index, true) == INDEX_OK);
	print_message("%d rows: %lld us each to insert\n", rows, (long long)per(begun, rows / 1000) / 1000);
	cache_index_close(index);
	b = open_box(folder, UINT64_C(1) << 50, NULL);
	must(read_back(&b, 1) == RIGHT && find(&b, 1, &o));
	uint64_t before = index_state(folder);
	begun = clock_us();
	for (int i = 0; i < 2000; i++) {
		struct arena *a = arena_open();
		struct source *s;
		struct original asked = original_of(i % 100, "");
		must(cache_find(b.c, a, asked.key, &o) && cache_open_file(b.c, a, &o, &s));
		arena_close(a);
	}
	print_message("%d rows: %lld us a hit", rows, (long long)per(begun, 2000));
	assert_int_equal(index_state(folder), before);
	close_box(&b);
	struct cache_state st;
	b = open_box(folder, UINT64_C(1) << 50, NULL);
	cache_stat(b.c, b.a, &st);
	close_box(&b);
	b = open_box(folder, st.totals.bytes, NULL);
	begun = clock_us();
	for (int i = 0; i < 200; i++)
		must(insert(&b, 2000000 + i, "e"));
	print_message(", %lld us a store with its eviction\n", (long long)per(begun, 200));
	close_box(&b);
	remove_tree(folder);
}

static void hits_write_nothing(void **state)
{
	(void)state;
	cost_at(SLOWER > 1 ? 20000 : 100000);
	if (getenv("LORIKEET_LONG"))
		cost_at(1000000);
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
		cmocka_unit_test(readers_keep_what_they_have),
		cmocka_unit_test(index_damaged_while_serving),
		cmocka_unit_test(current_damaged_while_serving),
		cmocka_unit_test(an_index_that_lost_its_name),
		cmocka_unit_test(a_later_index_is_left_alone),
		cmocka_unit_test(two_begin_an_index),
		cmocka_unit_test(an_index_is_made_anew_by_slices),
		cmocka_unit_test(a_volume_comes_and_goes),
		cmocka_unit_test(without_any_place),
		cmocka_unit_test(purges_tell_whether_they_hold),
		cmocka_unit_test(a_read_only_folder_is_read),
		cmocka_unit_test(a_full_disk_is_no_end),
		cmocka_unit_test(free_room_is_left_to_others),
		cmocka_unit_test(hits_write_nothing),
		cmocka_unit_test(descriptors_are_given_back),
	};
	/* One alone: LORIKEET_TEST=name. */
	if (getenv("LORIKEET_TEST"))
		cmocka_set_test_filter(getenv("LORIKEET_TEST"));
	return cmocka_run_group_tests(tests, box_set_up, box_tear_down);
}
