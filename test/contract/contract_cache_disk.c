/* SPDX-License-Identifier: BSD-2-Clause */
/* The cache of originals on disks that are damaged, full, read-only, gone or slow to come, and what it costs. */
#include "cache_box.h"

#include <sqlite3.h>

#include "source/cache_index.h"

#define ONE (CACHE_HEADER_STEP + LARGEST)
#define BOUND (UINT64_C(15) * ONE)

struct work {
	const char *folder, *temporary;
	const char *size;              /* of a volume to be mounted */
};

static void damage(const char *path, int how)
{
	char byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	off_t end = lseek(fd, 0, SEEK_END);
	switch (how) {
	case 0:
		must(pread(fd, &byte, 1, end - 1) == 1);
		byte ^= 1;
		must(pwrite(fd, &byte, 1, end - 1) == 1);
		break;
	case 1:
		must(ftruncate(fd, end - 1) == 0);
		break;
	case 2:
		must(ftruncate(fd, 0) == 0 && ftruncate(fd, end) == 0);
		break;
	case 3:
		must(ftruncate(fd, end + 1) == 0);
		break;
	case 4:
		must(ftruncate(fd, 0) == 0);
		break;
	default:   /* A header that speaks of impossible lengths, whose sum is the file's. */
		must(pwrite(fd, "18446744073709551615", 20, strlen("lorikeet original 1\nheader=")) == 20);
		char length[21];
		snprintf(length, sizeof length, "%020llu", (unsigned long long)end + 1);
		must(pwrite(fd, length, 20, strlen("lorikeet original 1\nheader=\nlength=") + 20) == 20);
	}
	close(fd);
}

static int n_found;

static void count_found(void *with, const char *key, const char *what)
{
	(void)with, (void)key;
	n_found++;
	if (getenv("LORIKEET_TEST_LOG"))
		print_message("%s %s\n", key, what);
}

static void damage_is_noticed(void **state)
{
	(void)state;
	int before = descriptors();
	const char *folder = new_folder("damage");
	struct box b = open_box(folder, BOUND, NULL);
	for (int how = 0; how < 6; how++) {
		must(insert(&b, 1, "e") && read_back(&b, 1) == RIGHT);
		damage(file_of(folder, 1), how);
		struct original o;
		must(find(&b, 1, &o));
		if (how == 0) {
			assert_int_equal(read_back(&b, 1), WRONG);
			must(cache_verify_file(b.c, &o));
		}
		if (read_back(&b, 1) != ABSENT || exists(file_of(folder, 1)) || (find(&b, 1, &o) && o.bytes))
			fail_msg("damage %d was not noticed", how);
	}
	struct cache_verified v;
	for (int how = 0; how < 6; how++) {
		must(insert(&b, how, "e"));
		damage(file_of(folder, how), how);
	}
	must(insert(&b, 7, "e") && insert(&b, 8, "e") && unlink(file_of(folder, 8)) == 0);
	n_found = 0;
	must(cache_verify(b.c, &v, count_found, NULL));
	must(v.damaged == 6 && v.gone == 1 && v.adopted == 0 && v.files == 7 && n_found == 7);
	must(cache_verify(b.c, &v, count_found, NULL) && v.files == 1 && !v.damaged && !v.gone && n_found == 7);
	must(read_back(&b, 7) == RIGHT);
	close_box(&b);
	assert_int_equal(descriptors(), before);
}

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

/* Each process notices for itself that a volume has come; but what one has stored there another finds at once. */
static void what_another_stored_is_found(void **state)
{
	(void)state;
	const char *folder = new_path("later");
	struct error err;
	struct original o;
	struct box worker = open_box(folder, BOUND, NULL);
	must(!find(&worker, 1, &o) && cache_init(folder, &err));
	struct box fetcher = open_box(folder, BOUND, NULL);
	must(insert(&fetcher, 1, "e") && !find(&worker, 1, &o));
	o = original_of(1, "e");
	must(cache_find_stored(worker.c, worker.a, o.key, &o) && o.bytes && read_back(&worker, 1) == RIGHT);
	close_box(&worker);
	close_box(&fetcher);
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

/* Runs body(work) in a process that may mount, with two new places. */
static void run_on_volume(const char *name, const char *size, void (*body)(const void *with))
{
	struct work job = {.folder = new_path(name), .temporary = new_path("temporary"), .size = size};
	must(mkdir(job.folder, 0755) == 0);
	run_mounting(body, &job);
}

/* What body was given, with its volume there, and a cache on it. */
static const struct work *mounted(const void *with)
{
	const struct work *job = with;
	struct error err;
	MOUNTING_OR_SKIP();
	must(mount("none", job->folder, "tmpfs", 0, job->size) == 0 && cache_init(job->folder, &err));
	return job;
}

static void read_only(const void *with)
{
	const struct work *job = mounted(with);
	struct error err;
	struct original o;
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
	must(mount("none", job->folder, NULL, MS_REMOUNT, "size=4m") == 0);
	sleep_ms(1100);
	must(insert(&b, 10, "e") && read_back_of(&b, 10, &o) == RIGHT && !o.temporary && exists(in(job->folder, "index-1")));
	close_box(&b);
}

static void a_read_only_folder_is_read(void **state)
{
	(void)state;
	run_on_volume("read-only", "size=4m", read_only);
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
	const struct work *job = mounted(with);
	struct original o;
	int main_ones = 0, n = 1000;
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
	must(insert(&b, 600, "e") && read_back_of(&b, 600, &o) == RIGHT && (!o.temporary || job->size[5] == '2'));
	cache_stat(b.c, b.a, &st);
	must(strcmp(st.index, "index-1") == 0 || job->size[5] == '2');
	struct cache_verified v;
	must(cache_verify(b.c, &v, ignore, NULL) && v.damaged == 0);
	close_box(&b);
}

static void a_full_disk_is_no_end(void **state)
{
	(void)state;
	run_on_volume("full", "size=12m", full_disk);
	run_on_volume("full-small", "size=2m", full_disk);
}

/* Full to the last byte, and then the index is lost, of which eviction depends: room is made for a new one. */
static void full_and_without_index(const void *with)
{
	const struct work *job = mounted(with);
	struct original o;
	struct box b = open_box(job->folder, 64 * MB, job->temporary);
	for (int i = 0; i < 300; i++)
		must(insert(&b, i, "e") && read_back(&b, i) == RIGHT);
	fill(job->folder, true);
	char garbage[8192];
	memset(garbage, 0xa5, sizeof garbage);
	int fd = open(in(job->folder, "index-1"), O_WRONLY | O_CLOEXEC);
	must(write(fd, garbage, sizeof garbage) == sizeof garbage && close(fd) == 0);
	close_box(&b);
	unlink(in(job->folder, "index-1-wal"));
	fill(job->folder, true);
	b = open_box(job->folder, 64 * MB, job->temporary);
	must(insert(&b, 400, "e") && read_back_of(&b, 400, &o) == RIGHT && !o.temporary);
	struct cache_state st;
	cache_stat(b.c, b.a, &st);
	must(strcmp(st.index, "index-2") == 0 && !exists(in(job->folder, "index-3")));
	for (int i = 0; i < 300; i++)
		must(read_back(&b, i) != WRONG);
	close_box(&b);
}

static void a_full_disk_may_lose_its_index(void **state)
{
	(void)state;
	run_on_volume("indexless", "size=12m", full_and_without_index);
}

static void little_free(const void *with)
{
	const struct work *job = mounted(with);
	struct original o;
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
	run_on_volume("free", "size=12m", little_free);
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
	/* But every ten seconds what was used is noted. */
	if (clock_us() - begun < 5000000)
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
	cost_at(SANITIZED ? 20000 : 100000);
	if (getenv("LORIKEET_LONG"))
		cost_at(1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damage_is_noticed),
		cmocka_unit_test(a_volume_comes_and_goes),
		cmocka_unit_test(what_another_stored_is_found),
		cmocka_unit_test(without_any_place),
		cmocka_unit_test(purges_tell_whether_they_hold),
		cmocka_unit_test(a_read_only_folder_is_read),
		cmocka_unit_test(a_full_disk_is_no_end),
		cmocka_unit_test(a_full_disk_may_lose_its_index),
		cmocka_unit_test(free_room_is_left_to_others),
		cmocka_unit_test(hits_write_nothing),
	};
	/* One alone: LORIKEET_TEST=name. */
	if (getenv("LORIKEET_TEST"))
		cmocka_set_test_filter(getenv("LORIKEET_TEST"));
	return cmocka_run_group_tests(tests, box_set_up, box_tear_down);
}
