/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "../base/metrics.h"

#define MARKER "lorikeet-cache"
#define MARKER_TEXT "lorikeet cache 1\n"
#define FILES "files-1"
#define PARTS "parts-1"
#define AGAIN_US 1000000
#define FULL_US 10000000
#define POLL_US 20000
#define LOCK_TRIES 250
#define EVICT_AT_ONCE 8
#define KEEP_OTHERS 100000
#define PART_AGE_S 3600
#define FOLDER_MODE 0750

/* The first bytes of the lock file are for the folder itself, the others for originals. */
#define LOCK_INDEX 0
#define LOCK_FIRST_KEY 16

static bool unusable(struct store *s, const char *format, const char *what)
{
	snprintf(s->why, sizeof s->why, format, s->folder, what);
	s->again_us = clock_us() + AGAIN_US;
	if (!s->is_unusable && !s->temporary)
		log_event("warn", "the cache cannot be used: %s", s->why);
	s->is_unusable = true;
	store_close(s);
	return false;
}

void store_close(struct store *s)
{
	cache_index_close(s->index);
	s->index = NULL;
	if (s->fd >= 0)
		close(s->fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	s->fd = s->lock_fd = -1;
}

/* Whole small text files of ours; "" if there is none. */
static bool read_text(int folder, const char *name, char *text, size_t bytes)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, text, bytes - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n >= 0;
}

static bool write_text(int folder, const char *name, const char *text)
{
	const char *part = "current.new";
	int fd = openat(folder, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return false;
	bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	ok = close(fd) == 0 && ok;
	return ok && renameat(folder, part, folder, name) == 0;
}

/* --- locks --- */

static bool lock_byte(int fd, off_t at)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static void unlock_bytes(int fd, off_t at, off_t n)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = n};
	fcntl(fd, F_OFD_SETLK, &lock);
}

bool store_try_lock(const struct store *s, const char *key)
{
	char digits[16];
	snprintf(digits, sizeof digits, "%.15s", key);
	return lock_byte(s->lock_fd, LOCK_FIRST_KEY + (off_t)strtoull(digits, NULL, 16));
}

void store_unlock(const struct store *s, int lock_fd)
{
	(void)s;
	unlock_bytes(lock_fd, LOCK_FIRST_KEY, 0);
}

/* --- the index in use --- */

static bool stat_current(const struct store *s, int64_t state[4])
{
	char path[PATH_MAX];
	struct stat st;
	snprintf(path, sizeof path, "%s/current", s->folder);
	if (stat(path, &st) < 0)
		return false;
	state[0] = (int64_t)st.st_dev;
	state[1] = (int64_t)st.st_ino;
	state[2] = st.st_mtim.tv_sec;
	state[3] = st.st_mtim.tv_nsec;
	return true;
}

static unsigned read_current(const struct store *s)
{
	char text[32];
	struct str rest = {text, 0};
	uint64_t number;
	read_text(s->fd, "current", text, sizeof text);
	rest.n = strlen(text);
	return take_word(&rest, STR("index-")) && take_uint(&rest, UINT32_MAX - 1, &number) ? (unsigned)number : 0;
}

static enum index_result open_index(struct store *s, unsigned number)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/index-%u", s->folder, number);
	s->number = number;
	return cache_index_open(path, &s->index);
}

static void unlink_index(const struct store *s, unsigned number)
{
	static const char *const endings[] = {"", "-wal", "-shm"};
	char name[40];
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof name, "index-%u%s", number, endings[i]);
		unlinkat(s->fd, name, 0);
	}
}

/* Begins the index after `broken` and makes it current, unless another process did so before. */
static enum index_result begin_index(struct store *s, unsigned broken)
{
	enum index_result r = INDEX_BUSY;
	int tries = LOCK_TRIES;
	while (!lock_byte(s->lock_fd, LOCK_INDEX) && --tries)
		nanosleep(&(struct timespec){.tv_nsec = POLL_US * 1000}, NULL);
	if (!tries)
		return INDEX_BUSY;
	unsigned now = read_current(s);
	if (now == broken) {
		char text[32];
		unlink_index(s, broken + 1);
		r = open_index(s, broken + 1);
		snprintf(text, sizeof text, "index-%u\n", broken + 1);
		if (r == INDEX_OK && !write_text(s->fd, "current", text))
			r = INDEX_FULL;
		if (r == INDEX_OK && broken) {
			log_event("warn", "the cache's index was not sound; a new one is made from the files: %s/index-%u", s->folder,
				  broken + 1);
			unlink_index(s, broken);
		}
	} else {
		r = open_index(s, now);
	}
	unlock_bytes(s->lock_fd, LOCK_INDEX, 1);
	return r;
}

static void use_index(struct store *s)
{
	unsigned number = read_current(s);
	enum index_result r = number ? open_index(s, number) : begin_index(s, 0);
	if (r == INDEX_BROKEN)
		r = begin_index(s, number);
	if (r != INDEX_OK && !s->temporary && !s->index_again_us)
		log_event("warn", "the cache's index cannot be used now: %s/index-%u", s->folder, s->number);
	if (r != INDEX_OK) {
		cache_index_close(s->index);
		s->index = NULL;
	}
	s->index_again_us = r == INDEX_OK ? 0 : clock_us() + AGAIN_US;
	if (!stat_current(s, s->current))
		memset(s->current, 0, sizeof s->current);
}

bool store_check(struct store *s, enum index_result r)
{
	if (r == INDEX_BROKEN) {
		log_event("warn", "the cache's index: %s", cache_index_why(s->index));
		unsigned broken = s->number;
		cache_index_close(s->index);
		s->index = NULL;
		if (begin_index(s, broken) != INDEX_OK) {
			cache_index_close(s->index);
			s->index = NULL;
			s->index_again_us = clock_us() + AGAIN_US;
		}
		stat_current(s, s->current);
	}
	return r == INDEX_OK;
}

/* --- the folder --- */

static bool make_folders(int fd)
{
	static const char *const names[] = {FILES, PARTS};
	for (int i = 0; i < 2; i++)
		if (mkdirat(fd, names[i], FOLDER_MODE) < 0 && errno != EEXIST)
			return false;
	return true;
}

/* Another user's folder may be a trap: others can write there what we would serve. */
static bool make_temporary(const struct store *s)
{
	struct stat st;
	char path[PATH_MAX];
	if (mkdir(s->folder, 0700) < 0 && errno != EEXIST)
		return false;
	if (lstat(s->folder, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 022) {
		errno = EPERM;
		return false;
	}
	snprintf(path, sizeof path, "%s/" MARKER, s->folder);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && write(fd, MARKER_TEXT, strlen(MARKER_TEXT)) > 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool open_folder(struct store *s)
{
	char text[64];
	s->fd = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd < 0)
		return unusable(s, "%s: %s", strerror(errno));
	if (!read_text(s->fd, MARKER, text, sizeof text))
		return unusable(s, "%s: no " MARKER " in it%s (lorikeet cache init makes one; is the volume mounted?)", "");
	if (strcmp(text, MARKER_TEXT) != 0)
		return unusable(s, "%s: is of another format than this program's%s", "");
	make_folders(s->fd);
	s->lock_fd = openat(s->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	/* A read-only volume can be read, and nobody writes there. */
	if (s->lock_fd < 0 && errno != EROFS)
		return unusable(s, "%s: lock: %s", strerror(errno));
	if (s->is_unusable && !s->temporary)
		log_event("info", "the cache can be used again: %s", s->folder);
	s->is_unusable = false;
	s->index_again_us = 0;
	use_index(s);
	return true;
}

bool store_ready(struct store *s, bool make)
{
	int64_t state[4];
	if (!*s->folder)
		return false;
	if (s->fd >= 0) {
		bool there = stat_current(s, state);
		if (there && memcmp(state, s->current, sizeof state) == 0 &&
		    (s->index || clock_us() < s->index_again_us))
			return true;
		store_close(s);
	} else if (clock_us() < s->again_us && !make) {
		return false;
	}
	if (s->temporary && !make && access(s->folder, F_OK) < 0)
		return false;
	if (s->temporary && make && !make_temporary(s))
		return unusable(s, "%s: %s", strerror(errno));
	return open_folder(s);
}

static bool is_marker_there(int fd, const char *folder, struct error *err)
{
	char text[64];
	if (!read_text(fd, MARKER, text, sizeof text))
		return false;
	if (strcmp(text, MARKER_TEXT) != 0)
		fail(err, 500, REASON_CONFIG, "", "%s: is of another format than this program's", folder);
	return true;
}

static bool is_empty(int fd)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again < 0 ? NULL : fdopendir(again);
	const struct dirent *e;
	bool empty = true;
	while (dir && (e = readdir(dir)))
		empty &= strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, "lost+found") == 0;
	if (dir)
		closedir(dir);
	return dir && empty;
}

bool store_init(const char *folder, struct error *err)
{
	*err = (struct error){0};
	if (mkdir(folder, FOLDER_MODE) < 0 && errno != EEXIST)
		return fail(err, 500, REASON_CONFIG, "", "%s: %s", folder, strerror(errno));
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail(err, 500, REASON_CONFIG, "", "%s: %s", folder, strerror(errno));
	bool there = is_marker_there(fd, folder, err);
	if (!there && !is_empty(fd))
		fail(err, 500, REASON_CONFIG, "", "%s: there are other things in it", folder);
	else if (!there && (!make_folders(fd) || !write_text(fd, MARKER, MARKER_TEXT)))
		fail(err, 500, REASON_CONFIG, "", "%s: %s", folder, strerror(errno));
	close(fd);
	return err->status == 0;
}

uint64_t store_free_bytes(const struct store *s)
{
	struct statvfs v;
	return fstatvfs(s->fd, &v) < 0 ? UINT64_MAX : (uint64_t)v.f_bavail * v.f_frsize;
}

/* --- files --- */

static const char *file_name(const char *key, char name[64])
{
	snprintf(name, 64, FILES "/%.2s/%s", key, key);
	return name;
}

static const char *part_name(const char *key, char name[64])
{
	snprintf(name, 64, PARTS "/%s", key);
	return name;
}

int store_open_file(const struct store *s, const char *key)
{
	char name[64];
	return openat(s->fd, file_name(key, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

int store_open_part(const struct store *s, const char *key, bool make)
{
	char name[64];
	return openat(s->fd, part_name(key, name), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (make ? O_CREAT : 0), 0640);
}

bool store_publish(const struct store *s, const char *key)
{
	char part[64], file[64], slice[16];
	part_name(key, part);
	file_name(key, file);
	if (renameat(s->fd, part, s->fd, file) == 0)
		return true;
	snprintf(slice, sizeof slice, FILES "/%.2s", key);
	return errno == ENOENT && (mkdirat(s->fd, slice, FOLDER_MODE) == 0 || errno == EEXIST) &&
	       renameat(s->fd, part, s->fd, file) == 0;
}

void store_unlink_file(const struct store *s, const char *key)
{
	char name[64];
	unlinkat(s->fd, file_name(key, name), 0);
}

void store_unlink_part(const struct store *s, const char *key)
{
	char name[64];
	unlinkat(s->fd, part_name(key, name), 0);
}

static bool is_key(const char *name)
{
	return strlen(name) == CACHE_KEY_BYTES - 1 && strspn(name, "0123456789abcdef") == CACHE_KEY_BYTES - 1;
}

void store_drop_old_parts(const struct store *s)
{
	int fd = openat(s->fd, PARTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	struct stat st;
	while (dir && (e = readdir(dir)))
		if (is_key(e->d_name) && fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    time(NULL) - st.st_mtim.tv_sec > PART_AGE_S && store_try_lock(s, e->d_name)) {
			unlinkat(fd, e->d_name, 0);
			/* Only this process's own download, which is young, could have been locked by it. */
			char digits[16];
			snprintf(digits, sizeof digits, "%.15s", e->d_name);
			unlock_bytes(s->lock_fd, LOCK_FIRST_KEY + (off_t)strtoull(digits, NULL, 16), 1);
		}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
}

struct original store_original_of(const struct cache_header *h)
{
	struct original o = {
		.url = h->url, .identifier = h->identifier, .etag = h->etag, .last_modified = h->last_modified,
		.bytes = h->header_bytes + h->length,
		.validator = {.length = h->length, .modified_s = h->modified_s, .generation = h->generation},
		.fetched_s = h->fetched_s, .checked_s = h->fetched_s, .used_s = h->fetched_s,
	};
	memcpy(o.key, h->key, sizeof o.key);
	memcpy(o.validator.tag, h->tag, sizeof o.validator.tag);
	return o;
}

void store_walk_slice(const struct store *s, int slice,
		      void (*each)(void *with, const char *key, int fd, const struct cache_header *h), void *with)
{
	char name[32];
	snprintf(name, sizeof name, FILES "/%02x", slice);
	int folder = openat(s->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = folder < 0 ? NULL : fdopendir(folder);
	const struct dirent *e;
	while (dir && (e = readdir(dir))) {
		int fd = is_key(e->d_name) ? openat(folder, e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
		if (fd < 0)
			continue;
		struct arena *a = arena_open();
		struct cache_header h;
		struct error err;
		bool sound = cache_header_read(a, fd, e->d_name, false, &h, &err);
		if (sound || err.reason == REASON_DAMAGED)
			each(with, e->d_name, fd, sound ? &h : NULL);
		close(fd);
		arena_close(a);
	}
	if (dir)
		closedir(dir);
	else if (folder >= 0)
		close(folder);
}

/* --- room --- */

static void adopt_file(void *with, const char *key, int fd, const struct cache_header *h)
{
	struct store *s = with;
	(void)fd;
	if (h) {
		struct original o = store_original_of(h);
		cache_index_adopt(s->index, &o);
	} else {
		store_unlink_file(s, key);
	}
}

void store_adopt(struct store *s, int64_t budget_us)
{
	int64_t end = clock_us() + budget_us;
	struct index_totals t;
	/* A slice and its number go together: who dies between them leaves the slice to the next. */
	do {
		if (!s->index || !store_check(s, cache_index_totals(s->index, &t)) || t.slice >= CACHE_SLICES ||
		    !store_check(s, cache_index_begin(s->index)))
			return;
		bool ok = store_check(s, cache_index_totals(s->index, &t));
		if (ok && t.slice < CACHE_SLICES) {
			store_walk_slice(s, t.slice, adopt_file, s);
			ok = cache_index_set_slice(s->index, t.slice + 1) == INDEX_OK;
		}
		if (!s->index || !store_check(s, cache_index_end(s->index, ok)))
			return;
	} while (clock_us() < end);
}

/* Inside a transaction: unlinks while the row is still to be committed, so that a file without a row cannot be left. */
static bool evict_oldest(struct store *s, uint64_t *freed)
{
	struct arena *a = arena_open();
	struct original o;
	bool found = cache_index_oldest(s->index, a, &o) == INDEX_OK && cache_index_unstore(s->index, o.key) == INDEX_OK;
	if (found) {
		store_unlink_file(s, o.key);
		*freed += o.bytes;
		metrics_add(METRIC_CACHE_EVICTIONS, 1);
		metrics_add(METRIC_CACHE_EVICTED_BYTES, o.bytes);
	}
	arena_close(a);
	return found;
}

bool store_evict(struct store *s, uint64_t n)
{
	uint64_t freed = 0;
	while (freed < n && s->index && store_check(s, cache_index_begin(s->index))) {
		bool more = true;
		for (int i = 0; i < EVICT_AT_ONCE && more && freed < n; i++)
			more = evict_oldest(s, &freed);
		if (!store_check(s, cache_index_end(s->index, true)) || !more)
			break;
	}
	return freed >= n;
}

bool store_make_room(struct store *s, uint64_t n)
{
	struct index_totals t;
	if (n > s->max_bytes)
		return false;
	store_adopt(s, POLL_US);
	while (s->index && store_check(s, cache_index_totals(s->index, &t))) {
		uint64_t free_bytes = store_free_bytes(s), wanted = n + s->min_free_bytes;
		uint64_t above = t.bytes + n > s->max_bytes ? t.bytes + n - s->max_bytes : 0;
		uint64_t lacking = wanted > free_bytes ? wanted - free_bytes : 0;
		if (t.others > KEEP_OTHERS + KEEP_OTHERS / 10)
			store_check(s, cache_index_trim_others(s->index, KEEP_OTHERS));
		if (!above && !lacking)
			return true;
		if (!store_evict(s, above ? above : 1))
			return false;
	}
	/* Without an index nothing can be counted: only the volume says whether there is room. */
	return !s->index && s->lock_fd >= 0 && store_free_bytes(s) > n + s->min_free_bytes;
}
