/* SPDX-License-Identifier: BSD-2-Clause */
#include "source_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../base/hash.h"

#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
#define TRIES 5
#define KNOWN_FILES 256
#define STALE_PAUSE_NS 20000000
#define NOT_FOUND "There is no image with this identifier."

static void close_fd(void *what)
{
	int fd = ((struct source *)what)->fd;
	if (fd >= 0)
		close(fd);
}

static bool file_read(struct source *s, void *at, size_t n, uint64_t offset, struct error *err)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = pread(s->fd, (char *)at + done, n - done, (off_t)(s->start + offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(err, 500, REASON_IO, "The image could not be read.", "pread: %s",
				    strerror(errno));
		if (got == 0)
			return fail(err, 500, REASON_DAMAGED, "The image is damaged.",
				    "the file became shorter while it was read");
		done += (size_t)got;
	}
	return true;
}

static bool not_found(struct error *err, const char *why, struct str path)
{
	return fail(err, 404, REASON_NOT_FOUND, NOT_FOUND, "%s: %.*s", why, (int)path.n, path.at);
}

/* Which paths may be asked of the kernel at all (digest 1). */
static bool is_plain_path(struct str path)
{
	struct str rest = path, part;
	if (path.n == 0 || path.n >= PATH_MAX || memchr(path.at, '\\', path.n) ||
	    memchr(path.at, '\0', path.n))
		return false;
	while (take_until(&rest, '/', &part))
		if (part.n == 0 || part.n > NAME_MAX || str_equal(part, STR(".")) ||
		    str_equal(part, STR("..")))
			return false;
	return true;
}

static int open_beneath(int root, const char *path, enum symlinks symlinks)
{
	struct open_how how = {
		.flags = OPEN_FLAGS,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
			   (symlinks == FILE_SYMLINKS_NO ? RESOLVE_NO_SYMLINKS : 0),
	};
	int fd = -1;
	for (int i = 0; i < TRIES; i++) {
		fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
		/* EAGAIN: a rename somewhere raced with the check of "..". */
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return fd;
}

/* For kernels and sandboxes without openat2: one part at a time, never through a link. */
static int open_walking(int root, const char *path)
{
	int at = root;
	struct str rest = str_of(path), part;
	while (take_until(&rest, '/', &part)) {
		char name[NAME_MAX + 1];
		snprintf(name, sizeof name, "%.*s", (int)part.n, part.at);
		int flags = rest.at ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
				    : OPEN_FLAGS | O_NOFOLLOW;
		int next = openat(at, name, flags);
		int why = errno;
		if (at != root)
			close(at);
		errno = why;
		if (next < 0)
			return -1;
		at = next;
	}
	return at;
}

static bool is_at_or_below(const char *path, const char *root)
{
	char real[PATH_MAX];
	if (!realpath(root, real))
		return false;
	size_t n = strlen(real);
	return strncmp(path, real, n) == 0 && (path[n] == '/' || path[n] == '\0' || n == 1);
}

/* Where an opened file really lies, against the root and the allowed roots. */
static bool is_allowed(int fd, const struct file_options *o, bool others)
{
	char link[64], path[PATH_MAX];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	if (is_at_or_below(path, o->root))
		return true;
	for (const char *const *r = others ? o->allowed_roots : NULL; r && *r; r++)
		if (is_at_or_below(path, *r))
			return true;
	return false;
}

static int open_checked(int root, const char *path, const struct file_options *o)
{
	bool follow = o->symlinks == FILE_SYMLINKS_FOLLOW;
	if (!follow) {
		int fd = open_beneath(root, path, o->symlinks);
		/* EXDEV: also for an absolute link, which may lead back into the root. */
		bool undecided = errno == ENOSYS || errno == EPERM ||
				 (errno == EXDEV && o->symlinks == FILE_SYMLINKS_INSIDE);
		if (fd >= 0 || !undecided)
			return fd;
		if (o->symlinks == FILE_SYMLINKS_NO)
			return open_walking(root, path);
	}
	int fd = openat(root, path, OPEN_FLAGS), why = errno;
	/* Where nothing outside may be opened it is asked without reading whether this is why. */
	int place = fd < 0 && why == EACCES ? openat(root, path, O_PATH | O_CLOEXEC) : fd;
	if (place < 0 || is_allowed(place, o, follow)) {
		if (place != fd)
			close(place);
		errno = why;
		return fd;
	}
	close(place);
	errno = EXDEV;
	return -1;
}

static bool open_failed(int why, struct str path, struct error *err)
{
	switch (why) {
	case ELOOP:
	case EXDEV:
		return fail(err, 404, REASON_FORBIDDEN, NOT_FOUND, "a link that may not be followed: %.*s", (int)path.n,
			    path.at);
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
	case ENXIO:
	case ENODEV:
		return not_found(err, strerror(why), path);
	default:
		return fail(err, 500, REASON_IO, "The image could not be read.", "open %.*s: %s",
			    (int)path.n, path.at, strerror(why));
	}
}

static int64_t ns_of(struct timespec t)
{
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static bool look_at(struct source *s, struct stat *st)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (fstat(s->fd, st) < 0)
		return false;
	s->device = st->st_dev;
	s->inode = st->st_ino;
	s->modified_ns = ns_of(st->st_mtim);
	s->changed_ns = ns_of(st->st_ctim);
	s->opened_ns = ns_of(now);
	return true;
}

static struct source *make_source(struct arena *a, int fd, uint64_t start)
{
	struct source *s = arena_new(a, struct source);
	*s = (struct source){.read = file_read, .fd = fd, .start = start};
	arena_defer(a, close_fd, s);
	return s;
}

struct source *file_source_adopt(struct arena *a, int fd, uint64_t start, const struct validator *validator)
{
	struct stat st;
	struct source *s = make_source(a, fd, start);
	s->validator = *validator;
	look_at(s, &st);
	return s;
}

/* What files were like that this process had, by the hash of their place. Should two have the same, one look more is due. */
static struct known {
	uint64_t place, device, inode;
	int64_t modified_ns, changed_ns;
	struct validator validator;
} known[KNOWN_FILES];

static bool recall(struct source *s)
{
	const struct known *k = &known[s->place % KNOWN_FILES];
	struct timespec now;
	if (!s->place || k->place != s->place)
		return false;
	clock_gettime(CLOCK_REALTIME, &now);
	s->device = k->device;
	s->inode = k->inode;
	s->modified_ns = k->modified_ns;
	s->changed_ns = k->changed_ns;
	s->validator = k->validator;
	s->opened_ns = ns_of(now);
	return true;
}

static void remember(const struct source *s)
{
	struct validator v = {.length = s->validator.length, .modified_s = s->validator.modified_s};
	if (s->place)
		known[s->place % KNOWN_FILES] = (struct known){s->place, s->device, s->inode, s->modified_ns, s->changed_ns, v};
}

static bool file_is_steady(const struct source *s, struct error *err)
{
	struct stat st;
	bool steady = fstat(s->fd, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode &&
		      (uint64_t)st.st_size == s->validator.length && ns_of(st.st_mtim) == s->modified_ns &&
		      ns_of(st.st_ctim) == s->changed_ns && source_is_settled(s);
	if (steady)
		remember(s);
	else
		known[s->place % KNOWN_FILES].place = 0;
	return steady || fail(err, 503, REASON_BUSY, "The image is being replaced, please try again.",
			      "the file was written to while it was read");
}

static bool adopt(struct arena *a, int fd, uint64_t place, struct str path, struct source **out, struct error *err)
{
	struct stat st;
	struct source *s = make_source(a, fd, 0);
	s->is_steady = file_is_steady;
	s->place = place;
	s->is_assumed = recall(s);
	if (s->is_assumed) {
		*out = s;
		return true;
	}
	if (!look_at(s, &st))
		return open_failed(errno, path, err);
	/* Written to within this tick it is looked at again after it: most often that write was the last. */
	if (!source_is_settled(s)) {
		nanosleep(&(struct timespec){.tv_nsec = SOURCE_TICK_NS}, NULL);
		if (!look_at(s, &st))
			return open_failed(errno, path, err);
	}
	if (!S_ISREG(st.st_mode))
		return not_found(err, "not a regular file", path);
	s->validator = (struct validator){.length = (uint64_t)st.st_size, .modified_s = st.st_mtim.tv_sec};
	*out = s;
	return true;
}

static bool open_at(struct arena *a, const struct file_options *o, struct str path, uint64_t place, struct source **out,
		    struct error *err)
{
	if (!is_plain_path(path))
		return not_found(err, "not a path below the root", path);

	/* The root is opened anew each time: a volume that was mounted late, or an NFS handle that
	 * went stale, needs no restart. */
	int fd = -1, why = ENOENT;
	for (int i = 0; i < TRIES && fd < 0; i++) {
		int root = open(o->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (root < 0) {
			if (errno == ESTALE && i + 1 < TRIES) {
				nanosleep(&(struct timespec){.tv_nsec = STALE_PAUSE_NS}, NULL);
				continue;
			}
			return fail(err, 503, REASON_IO, "The image store is not available now.", "root %s: %s",
				    o->root, strerror(errno));
		}
		fd = open_checked(root, str_dup(a, path), o);
		why = errno;
		close(root);
		if (why != ESTALE)
			break;
	}
	return fd < 0 ? open_failed(why, path, err) : adopt(a, fd, place, path, out, err);
}

bool file_source_open(struct arena *a, const struct file_options *o, struct str path,
		      struct source **out, struct error *err)
{
	return open_at(a, o, path, 0, out, err);
}

bool file_source_open_known(struct arena *a, const struct file_options *o, struct str path,
			    struct source **out, struct error *err)
{
	return open_at(a, o, path, hash_64(str_of(o->root)) + 31 * hash_64(path), out, err);
}

int file_open_below(const struct file_options *o, const char *path)
{
	int root = open(o->root, (*path ? O_PATH : O_RDONLY) | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || !*path)
		return root;
	int fd = open_checked(root, path, o);
	close(root);
	return fd;
}

bool file_source_open_path(struct arena *a, const char *path, struct source **out,
			   struct error *err)
{
	int fd = open(path, OPEN_FLAGS);
	return fd < 0 ? open_failed(errno, str_of(path), err) : adopt(a, fd, 0, str_of(path), out, err);
}
