/* SPDX-License-Identifier: BSD-2-Clause */
/* Caches to be tried out: folders, originals whose bytes follow from their key and ETag, and processes. */
#ifndef TEST_CACHE_BOX_H
#define TEST_CACHE_BOX_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#include "base/hash.h"
#include "base/log.h"
#include "source/cache_write.h"

#define MB (UINT64_C(1) << 20)
#define LARGEST 12000                  /* bytes of a body_of */

/* Sanitizers take their time. */
#define SLOWER (SANITIZED ? 2 : 1)

static char box_top[] = "/tmp/lorikeet-cache-XXXXXX";
static bool in_child;

/* cmocka's asserts jump, which a child must not: there it ends. */
static inline void must_be(bool ok, const char *what, const char *file, int line)
{
	if (ok)
		return;
	if (in_child) {
		fprintf(stderr, "%s:%d: not so: %s (%s)\n", file, line, what, strerror(errno));
		_exit(99);
	}
	print_error("not so: %s (%s)\n", what, strerror(errno));
	_fail(file, line);
}
#define must(ok) must_be((ok), #ok, __FILE__, __LINE__)

static inline int box_set_up(void **state)
{
	(void)state;
	if (!getenv("LORIKEET_TEST_LOG"))
		log_start(&(struct log_options){.fd = open("/dev/null", O_WRONLY | O_CLOEXEC)});
	return mkdtemp(box_top) ? 0 : -1;
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static inline void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static inline int box_tear_down(void **state)
{
	(void)state;
	remove_tree(box_top);
	return 0;
}

static inline const char *in(const char *folder, const char *name)
{
	static char paths[16][300];
	static int turn;
	char *path = paths[turn++ % 16], whole[sizeof paths[0]];
	snprintf(whole, sizeof whole, "%s/%s", folder, name);
	return memcpy(path, whole, sizeof whole);
}

static inline void put_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	must(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static inline void get_text(const char *path, char *text, size_t bytes)
{
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, bytes - 1, f) : 0;
	text[n] = '\0';
	if (f)
		fclose(f);
}

static inline bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* The path of a folder that is not there yet. */
static inline const char *new_path(const char *name)
{
	static char paths[64][100];
	static int turn;
	char *path = paths[turn++ % 64];
	snprintf(path, sizeof paths[0], "%s/%s-%d", box_top, name, turn);
	return path;
}

/* A cache folder of its own for each test, made and empty. */
static inline const char *new_folder(const char *name)
{
	struct error err;
	const char *path = new_path(name);
	must(cache_init(path, &err));
	return path;
}

struct box {
	struct arena *a;
	struct cache *c;
};

static inline struct box open_box(const char *folder, uint64_t max_bytes, const char *temporary)
{
	struct arena *a = arena_open();
	struct cache_options o = {
		.folder = folder, .max_bytes = max_bytes, .temporary = temporary, .temporary_bytes = temporary ? MB : 0};
	return (struct box){a, cache_open(a, &o)};
}

static inline void close_box(struct box *b)
{
	arena_close(b->a);
}

/* --- originals --- */

static inline struct original original_of(int number, const char *etag)
{
	static char urls[16][40];
	static int turn;
	char *url = urls[turn++ % 16];
	struct original o = {.identifier = "an image", .etag = etag, .last_modified = "Wed, 21 Oct 2015 07:28:00 GMT",
			     .validator = {.modified_s = 1445412480}};
	snprintf(url, sizeof urls[0], "https://origin.example/%d", number);
	o.url = url;
	hash_hex(str_of(etag), o.validator.tag);
	cache_key(str_of(url), STR(""), o.key);
	return o;
}

/* The only body that an original of this key and ETag may have. */
static inline size_t body_of(const char *key, const char *etag, char *body)
{
	char seed[128];
	snprintf(seed, sizeof seed, "%s %s", key, etag);
	uint64_t x = hash_64(str_of(seed));
	size_t n = 1 + (size_t)(x % LARGEST);
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		body[i] = (char)x;
	}
	return n;
}

static inline bool write_body(struct cache *c, struct original *o, const char *body, size_t n, uint64_t expected,
			      struct error *err)
{
	struct cache_writer *w;
	if (!cache_write_open(c, o, 0, expected, &w, err))
		return false;
	if (!cache_write(w, body, n, err)) {
		cache_write_drop(w, false);
		return false;
	}
	return cache_write_close(w, o, err);
}

/* Puts an original into the cache, with the lock held, as a fetcher does. */
static inline bool insert(struct box *b, int number, const char *etag)
{
	char body[LARGEST];
	struct original o = original_of(number, etag);
	struct error err = {0};
	size_t n = body_of(o.key, etag, body);
	if (!cache_lock(b->c, o.key, NULL, INT64_MAX))
		return false;
	bool ok = write_body(b->c, &o, body, n, n, &err);
	cache_unlock(b->c);
	return ok;
}

enum reading { ABSENT, RIGHT, WRONG };

/* Whether the bytes of a source are those of its key and ETag. */
static inline enum reading compare(struct source *s, const char *key, const char *etag)
{
	char want[LARGEST], got[LARGEST];
	struct error err;
	size_t n = body_of(key, etag, want);
	return s->validator.length == n && source_read(s, got, n, 0, &err) && memcmp(want, got, n) == 0 ? RIGHT : WRONG;
}

static inline enum reading read_back_of(struct box *b, int number, struct original *o)
{
	struct original asked = original_of(number, "");
	struct arena *a = arena_open();
	struct source *s;
	enum reading r = ABSENT;
	if (cache_find(b->c, a, asked.key, o) && o->bytes && cache_open_file(b->c, a, o, &s))
		r = compare(s, asked.key, o->etag);
	arena_close(a);
	return r;
}

static inline enum reading read_back(struct box *b, int number)
{
	struct original o;
	return read_back_of(b, number, &o);
}

static inline bool find(struct box *b, int number, struct original *o)
{
	struct original asked = original_of(number, "");
	return cache_find(b->c, b->a, asked.key, o);
}

/* The path of an original's file. */
static inline const char *file_of(const char *folder, int number)
{
	char name[64];
	struct original o = original_of(number, "");
	snprintf(name, sizeof name, "files-1/%.2s/%s", o.key, o.key);
	return in(folder, name);
}

static inline const char *part_of(const char *folder, int number)
{
	char name[64];
	struct original o = original_of(number, "");
	snprintf(name, sizeof name, "parts-1/%s", o.key);
	return in(folder, name);
}

/* --- folders --- */

static uint64_t walked_bytes, walked_files;

static inline int add_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)path, (void)at;
	if (kind == FTW_F)
		walked_bytes += (uint64_t)st->st_size, walked_files++;
	return 0;
}

/* Of originals and parts. Others may unlink what is being walked over. */
static inline uint64_t folder_bytes(const char *folder)
{
	walked_bytes = walked_files = 0;
	nftw(in(folder, "files-1"), add_one, 16, FTW_PHYS);
	nftw(in(folder, "parts-1"), add_one, 16, FTW_PHYS);
	return walked_bytes;
}

static inline int descriptors(void)
{
	int n = 0;
	DIR *dir = opendir("/proc/self/fd");
	while (dir && readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* For cache_verify. */
static inline void ignore(void *with, const char *key, const char *what)
{
	(void)with;
	if (getenv("LORIKEET_TEST_LOG"))
		print_message("found %s: %s\n", key, what);
}

/* --- processes --- */

/* Runs body(with) in a process of its own, which is not waited for. */
static inline pid_t start(void (*body)(const void *with), const void *with)
{
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		/* cmocka's would go on with the next test. */
		for (int n = 1; n < 32; n++)
			signal(n, SIG_DFL);
		in_child = true;
		body(with);
		_exit(0);
	}
	return child;
}

static inline void finish(pid_t child)
{
	int status = -1;
	must(waitpid(child, &status, 0) == child);
	if (status)
		fail_msg("a child ended with %#x", (unsigned)status);
}

static inline void run_apart(void (*body)(const void *with), const void *with)
{
	finish(start(body, with));
}

static inline void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* In a child: mounts of its own from here on; false if this machine does not let us. */
static inline bool may_mount(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (unshare(CLONE_NEWNS) < 0) {
		char map[40];
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
			return false;
		snprintf(map, sizeof map, "0 %u 1", uid);
		put_text("/proc/self/uid_map", map);
		put_text("/proc/self/setgroups", "deny");
		snprintf(map, sizeof map, "0 %u 1", gid);
		put_text("/proc/self/gid_map", map);
	}
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* Runs body in a child that may mount. A machine without that skips the test, and says so. */
static inline void run_mounting(void (*body)(const void *with), const void *with)
{
	pid_t probe = start(body, with);
	int status = -1;
	must(waitpid(probe, &status, 0) == probe);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_error("SKIPPED: this machine does not let us mount\n");
		skip();
	}
	if (status)
		fail_msg("a child ended with %#x", (unsigned)status);
}
#define MOUNTING_OR_SKIP() do { if (!may_mount()) _exit(77); } while (0)

#endif
