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
#include "../base/file.h"
#include "../base/log.h"

#define MARKER "lorikeet-cache"
#define MARKER_TEXT "lorikeet cache 1\n"
#define AGAIN_US 1000000
#define POLL_US 20000
/* What an index needs to begin. */
#define INDEX_ROOM_BYTES (UINT64_C(1) << 20)
#define LOCK_TRIES 100

/* The first bytes of the lock file are for the folder itself and for turns, the others for originals. */
#define LOCK_INDEX 0
#define LOCK_FIRST_TURN 1
#define LOCK_FIRST_KEY (LOCK_FIRST_TURN + STORE_TURNS)

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
	ssize_t n = file_read(folder, name, O_NOFOLLOW | O_NONBLOCK, text, bytes - 1);
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
	ok = close(fd) == 0 && ok && renameat(folder, part, folder, name) == 0;
	if (!ok)
		unlinkat(folder, part, 0);
	return ok;
}

/* --- locks --- */

bool store_try_lock(const struct store *s, const char *key)
{
	char digits[16];
	snprintf(digits, sizeof digits, "%.15s", key);
	return file_try_lock(s->lock_fd, LOCK_FIRST_KEY + (off_t)strtoull(digits, NULL, 16), 1);
}

void store_unlock(int lock_fd)
{
	file_unlock(lock_fd, LOCK_FIRST_KEY, 0);
}

bool store_try_turn(const struct store *s, unsigned most)
{
	for (unsigned i = 0; i < most && i < STORE_TURNS; i++)
		if (file_try_lock(s->lock_fd, LOCK_FIRST_TURN + (off_t)i, 1))
			return true;
	return false;
}

void store_end_turn(int lock_fd)
{
	file_unlock(lock_fd, LOCK_FIRST_TURN, STORE_TURNS);
}

/* --- the index in use --- */

static void note_file(const struct stat *st, int64_t state[4])
{
	state[0] = (int64_t)st->st_dev;
	state[1] = (int64_t)st->st_ino;
	state[2] = st->st_mtim.tv_sec;
	state[3] = st->st_mtim.tv_nsec;
}

static int64_t inode_of_index(const struct store *s)
{
	char path[PATH_MAX];
	struct stat st;
	snprintf(path, sizeof path, "%s/index-%u", s->folder, s->number);
	return stat(path, &st) < 0 ? 0 : (int64_t)st.st_ino;
}

/* By its path: the folder may be another by now. */
static bool is_state(const struct store *s)
{
	char path[PATH_MAX];
	struct stat st;
	int64_t now[4];
	snprintf(path, sizeof path, "%s/current", s->folder);
	if (stat(path, &st) < 0)
		return false;
	note_file(&st, now);
	return memcmp(now, s->state, sizeof now) == 0 && (!s->index || inode_of_index(s) == s->state[4]);
}

/* The number of the index in use, 0 if there is none, and what `current` is at this very moment. */
static unsigned read_current(struct store *s)
{
	char text[32];
	struct stat st;
	uint64_t number;
	int fd = openat(s->fd, "current", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 || fstat(fd, &st) < 0 ? -1 : read(fd, text, sizeof text);
	memset(s->state, 0, sizeof s->state);
	if (n >= 0)
		note_file(&st, s->state);
	if (fd >= 0)
		close(fd);
	struct str rest = {text, n < 0 ? 0 : (size_t)n};
	return take_word(&rest, STR("index-")) && take_uint(&rest, UINT32_MAX - 1, &number) ? (unsigned)number : 0;
}

static enum index_result open_index(struct store *s, unsigned number)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/index-%u", s->folder, number);
	s->number = number;
	enum index_result r = cache_index_open(path, &s->index);
	s->state[4] = inode_of_index(s);
	return r;
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

/* The highest number that an index has, 0 without any. */
static unsigned newest_index(const struct store *s)
{
	unsigned newest = 0;
	int fd = openat(s->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	while (dir && (e = readdir(dir))) {
		struct str rest = str_of(e->d_name);
		uint64_t number;
		if (take_word(&rest, STR("index-")) && take_uint(&rest, UINT32_MAX - 1, &number) && !rest.n &&
		    number > newest)
			newest = (unsigned)number;
	}
	if (dir)
		closedir(dir);
	return newest;
}

static bool lock_index(const struct store *s)
{
	for (int tries = LOCK_TRIES; s->lock_fd >= 0 && tries; tries--) {
		if (file_try_lock(s->lock_fd, LOCK_INDEX, 1))
			return true;
		nanosleep(&(struct timespec){.tv_nsec = POLL_US * 1000}, NULL);
	}
	return false;
}

static bool drop_file(void *with, const char *key)
{
	store_unlink_file(with, key);
	return true;
}

/* Without an index nothing is evicted, and a full volume has no room for one: originals of any age go, a slice at a time. */
static bool make_room_for_index(struct store *s)
{
	if (store_free_bytes(s) >= INDEX_ROOM_BYTES)
		return false;
	log_event("warn", "there is no room for the cache's index, so originals are dropped: %s", s->folder);
	int first = (int)(clock_us() % CACHE_SLICES);
	for (int i = 0; i < CACHE_SLICES && store_free_bytes(s) < INDEX_ROOM_BYTES; i++)
		store_walk_names(s, (first + i) % CACHE_SLICES, drop_file, s);
	return true;
}

/* A new index behind all that are there; the sound one that only lost its name in `current` is not `broken`. */
static enum index_result replace_index(struct store *s, unsigned broken)
{
	char text[32];
	unsigned newest = newest_index(s);
	enum index_result r = !broken && newest ? open_index(s, newest) : INDEX_BROKEN;
	if (r != INDEX_OK && r != INDEX_BROKEN)
		return r;
	if (r == INDEX_BROKEN) {
		broken = broken ? broken : newest;
		newest = (newest > broken ? newest : broken) + 1;
		unlink_index(s, newest);
		r = open_index(s, newest);
		if (r != INDEX_OK && make_room_for_index(s)) {
			unlink_index(s, newest);
			r = open_index(s, newest);
		}
		if (r != INDEX_OK)
			unlink_index(s, newest);
	}
	snprintf(text, sizeof text, "index-%u\n", newest);
	if (r == INDEX_OK && !write_text(s->fd, "current", text))
		return INDEX_FULL;
	if (r == INDEX_OK && broken) {
		log_event("warn", "the cache's index was not sound; a new one is made from the files: %s/index-%u",
			  s->folder, newest);
		unlink_index(s, broken);
	}
	int64_t inode = s->state[4];
	read_current(s);
	s->state[4] = inode;
	return r;
}

/* Begins the index after `broken` and makes it current, unless another process did so before. */
static enum index_result begin_index(struct store *s, unsigned broken)
{
	if (!lock_index(s))
		return s->lock_fd < 0 ? INDEX_FULL : INDEX_BUSY;
	unsigned now = read_current(s);
	enum index_result r = now == broken ? replace_index(s, broken) : open_index(s, now);
	file_unlock(s->lock_fd, LOCK_INDEX, 1);
	return r;
}

static bool have_index(struct store *s, enum index_result r)
{
	bool was_strange = s->is_strange;
	s->is_strange = r == INDEX_STRANGE;
	if (r != INDEX_OK) {
		if (!s->temporary && (!s->index_again_us || s->is_strange != was_strange))
			log_event("warn", "the cache's index cannot be used now: %s/index-%u%s", s->folder, s->number,
				  s->is_strange ? ": it is of another format" : "");
		cache_index_close(s->index);
		s->index = NULL;
	}
	s->index_again_us = r == INDEX_OK ? 0 : clock_us() + AGAIN_US;
	return r == INDEX_OK;
}

static void use_index(struct store *s)
{
	unsigned number = read_current(s);
	enum index_result r = number ? open_index(s, number) : begin_index(s, 0);
	if (r == INDEX_BROKEN)
		r = begin_index(s, number);
	have_index(s, r);
}

bool store_check(struct store *s, enum index_result r)
{
	if (r == INDEX_BROKEN) {
		log_event("warn", "the cache's index: %s", cache_index_why(s->index));
		unsigned broken = s->number;
		cache_index_close(s->index);
		s->index = NULL;
		have_index(s, begin_index(s, broken));
	}
	return r == INDEX_OK;
}

/* --- the folder --- */

static bool make_folders(int fd)
{
	static const char *const names[] = {STORE_FILES, STORE_PARTS};
	for (int i = 0; i < 2; i++)
		if (mkdirat(fd, names[i], STORE_FOLDER_MODE) < 0 && errno != EEXIST)
			return false;
	return true;
}

/* Another user's folder may be a trap: others can write there what we would serve. */
static bool is_ours(const struct store *s)
{
	struct stat st;
	return fstat(s->fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 022);
}

static bool mark_temporary(const struct store *s)
{
	int fd = openat(s->fd, MARKER, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && write(fd, MARKER_TEXT, strlen(MARKER_TEXT)) > 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool open_folder(struct store *s, bool make)
{
	char text[64];
	if (make && s->temporary && mkdir(s->folder, 0700) < 0 && errno != EEXIST)
		return unusable(s, "%s: %s", strerror(errno));
	s->fd = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (s->temporary ? O_NOFOLLOW : 0));
	if (s->fd < 0)
		return unusable(s, "%s: %s", strerror(errno));
	if (s->temporary && !is_ours(s))
		return unusable(s, "%s: others can write there%s", "");
	if (make && s->temporary && !mark_temporary(s))
		return unusable(s, "%s: %s", strerror(errno));
	if (!read_text(s->fd, MARKER, text, sizeof text))
		return unusable(s, "%s: no " MARKER " in it%s (lorikeet cache init makes one; is the volume mounted?)",
				"");
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
	s->is_strange = false;
	use_index(s);
	return true;
}

/* The folder at this path is still the one that is open, with its marker. */
static bool is_same_folder(const struct store *s)
{
	char text[64];
	struct stat here, there;
	return fstat(s->fd, &here) == 0 && stat(s->folder, &there) == 0 && here.st_dev == there.st_dev &&
	       here.st_ino == there.st_ino && read_text(s->fd, MARKER, text, sizeof text) &&
	       strcmp(text, MARKER_TEXT) == 0;
}

/* Opened read-only, without its locks, and the volume takes writes now. */
static bool can_be_written_again(struct store *s)
{
	if (s->fd < 0 || s->lock_fd >= 0 || clock_us() < s->again_us)
		return false;
	s->again_us = clock_us() + AGAIN_US;
	return faccessat(s->fd, ".", W_OK, 0) == 0;
}

bool store_is_marked(const struct store *s)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/" MARKER, s->folder);
	return access(path, F_OK) == 0;
}

bool store_ready(struct store *s, bool make)
{
	if (!*s->folder)
		return false;
	if (can_be_written_again(s)) {
		store_close(s);
		return open_folder(s, make);
	}
	if (s->fd >= 0 && is_state(s) && (s->index || clock_us() < s->index_again_us))
		return true;
	if (s->fd >= 0 && is_same_folder(s)) {
		/* Without `current` too: on a read-only volume, or a full one, there may be none. */
		if (s->index || clock_us() >= s->index_again_us) {
			cache_index_close(s->index);
			s->index = NULL;
			use_index(s);
		}
		return true;
	}
	if (s->fd >= 0)
		store_close(s);
	else if (clock_us() < s->again_us && !make)
		return false;
	if (s->temporary && !make && !store_is_marked(s))
		return false;
	return open_folder(s, make);
}

void store_look_again(struct store *s)
{
	s->again_us = s->index_again_us = 0;
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
		empty &= strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
			 strcmp(e->d_name, "lost+found") == 0;
	if (dir)
		closedir(dir);
	return dir && empty;
}

bool store_init(const char *folder, struct error *err)
{
	*err = (struct error){0};
	if (mkdir(folder, STORE_FOLDER_MODE) < 0 && errno != EEXIST)
		return fail(err, 500, REASON_CONFIG, "", "%s: %s", folder, strerror(errno));
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail(err, 500, REASON_CONFIG, "", "%s: %s", folder, strerror(errno));
	bool there = is_marker_there(fd, folder, err);
	if (!there && !is_empty(fd))
		fail(err, 500, REASON_CONFIG, "", "%s: there are other things in it", folder);
	else if (!there && (!write_text(fd, MARKER, MARKER_TEXT) || !make_folders(fd)))
		fail(err, 500, REASON_CONFIG, "", "%s: %s", folder, strerror(errno));
	close(fd);
	return err->status == 0;
}

uint64_t store_free_bytes(const struct store *s)
{
	struct statvfs v;
	return fstatvfs(s->fd, &v) < 0 ? UINT64_MAX : (uint64_t)v.f_bavail * v.f_frsize;
}
