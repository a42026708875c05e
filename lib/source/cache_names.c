/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../base/file.h"

#define TAKE_TRIES 5

static bool is_key(const char *name)
{
	return strlen(name) == CACHE_KEY_BYTES - 1 && strspn(name, "0123456789abcdef") == CACHE_KEY_BYTES - 1;
}

static const char *file_name(const char *key, char name[64])
{
	snprintf(name, 64, STORE_FILES "/%.2s/%s", key, key);
	return name;
}

static const char *part_name(const char *key, char name[64])
{
	snprintf(name, 64, STORE_PARTS "/%s", key);
	return name;
}

int store_open_file(const struct store *s, const char *key)
{
	char name[64];
	return openat(s->fd, file_name(key, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

int store_open_part(const struct store *s, const char *key)
{
	char name[64];
	return openat(s->fd, part_name(key, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

static bool lies_at(int folder, const char *name, int fd)
{
	struct stat here, there;
	return fstat(fd, &here) == 0 && fstatat(folder, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       here.st_ino == there.st_ino;
}

int store_take_part(const struct store *s, const char *key, bool make)
{
	char name[64];
	part_name(key, name);
	for (int i = 0; i < TAKE_TRIES; i++) {
		int fd = openat(s->fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (make ? O_CREAT : 0), 0640);
		if (fd < 0)
			return -1;
		bool mine = file_try_lock(fd, 0, 1);
		/* Else it was published or dropped between open and lock. */
		if (mine && lies_at(s->fd, name, fd))
			return fd;
		close(fd);
		if (!mine)
			break;
	}
	errno = EBUSY;
	return -1;
}

bool store_publish(const struct store *s, const char *key, int fd)
{
	char part[64], file[64], slice[16];
	part_name(key, part);
	file_name(key, file);
	if (!lies_at(s->fd, part, fd)) {
		errno = ENOENT;
		return false;
	}
	if (renameat(s->fd, part, s->fd, file) == 0)
		return true;
	snprintf(slice, sizeof slice, STORE_FILES "/%.2s", key);
	return errno == ENOENT && (mkdirat(s->fd, slice, STORE_FOLDER_MODE) == 0 || errno == EEXIST) &&
	       renameat(s->fd, part, s->fd, file) == 0;
}

bool store_unlink_file(const struct store *s, const char *key)
{
	char name[64];
	return unlinkat(s->fd, file_name(key, name), 0) == 0;
}

void store_unlink_part(const struct store *s, const char *key)
{
	char name[64];
	unlinkat(s->fd, part_name(key, name), 0);
}

bool store_is_file_of(const struct store *s, const char *key, int fd)
{
	char name[64];
	return lies_at(s->fd, file_name(key, name), fd);
}

void store_unlink_file_of(const struct store *s, const char *key, int fd)
{
	if (store_is_file_of(s, key, fd))
		store_unlink_file(s, key);
}

void store_unlink_part_of(const struct store *s, const char *key, int fd)
{
	char name[64];
	if (s->fd >= 0 && lies_at(s->fd, part_name(key, name), fd))
		unlinkat(s->fd, name, 0);
}

/* True if it was dropped. */
static bool drop_part(const struct store *s, const char *key)
{
	int fd = store_take_part(s, key, false);
	if (fd < 0)
		return false;
	store_unlink_part(s, key);
	close(fd);
	return true;
}

uint64_t store_drop_old_parts(const struct store *s, int64_t age_s)
{
	uint64_t bytes = 0;
	int fd = openat(s->fd, STORE_PARTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	struct stat st;
	while (dir && (e = readdir(dir)))
		if (is_key(e->d_name) && fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    !(time(NULL) - st.st_mtim.tv_sec >= age_s && drop_part(s, e->d_name)))
			bytes += (uint64_t)st.st_size;
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	return bytes;
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

void store_walk_names(const struct store *s, int slice, bool (*each)(void *with, const char *key), void *with)
{
	char name[32];
	snprintf(name, sizeof name, STORE_FILES "/%02x", slice);
	int folder = openat(s->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = folder < 0 ? NULL : fdopendir(folder);
	const struct dirent *e;
	while (dir && (e = readdir(dir)) && (!is_key(e->d_name) || each(with, e->d_name)))
		;
	if (dir)
		closedir(dir);
	else if (folder >= 0)
		close(folder);
}
