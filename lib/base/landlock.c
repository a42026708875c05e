/* SPDX-License-Identifier: BSD-2-Clause */
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Before version 2 nothing could be renamed from one folder to another, which is how originals are stored. */
#define LEAST_VERSION 2
#define LOOKS 16

/* Of newer kernels than Debian 12's headers. */
#define ACCESS_TRUNCATE (UINT64_C(1) << 14)      /* version 3 */
#define ACCESS_IOCTL_DEV (UINT64_C(1) << 15)     /* version 5 */

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE                                                                                                          \
	(READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |       \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REFER | ACCESS_TRUNCATE)
#define OF_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE)

/* What a path leads to. */
struct sight {
	bool is_there;
	uint32_t major, minor;
	uint64_t inode;
};

struct watched {
	const char *path;
	struct sight seen;
};

struct places {
	size_t n, next;
	int mounts;                     /* /proc/self/mountinfo, -1 without it */
	struct watched watched[];
};

static uint64_t known_rights(int version)
{
	uint64_t rights = (LANDLOCK_ACCESS_FS_REFER << 1) - 1;
	return rights | (version >= 3 ? ACCESS_TRUNCATE : 0) | (version >= 5 ? ACCESS_IOCTL_DEV : 0);
}

int landlock_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	return version >= LEAST_VERSION ? (int)version : 0;
}

/* Without asking a file server: what the kernel has of it is enough, and a dead server would keep us for ever. */
static bool look(int at, const char *path, int flags, struct sight *s, mode_t *mode)
{
	struct statx st;
	*s = (struct sight){0};
	if (statx(at, path, flags | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO | STATX_TYPE, &st) < 0)
		return false;
	*s = (struct sight){true, st.stx_dev_major, st.stx_dev_minor, st.stx_ino};
	*mode = st.stx_mode;
	return true;
}

static bool is_same(const struct sight *a, const struct sight *b)
{
	return a->is_there == b->is_there && a->major == b->major && a->minor == b->minor && a->inode == b->inode;
}

/* --- entering --- */

static bool refused(struct error *err, const char *what, const char *path)
{
	return fail(err, 500, REASON_INTERNAL, "", "landlock: %s%s: %s", what, path, strerror(errno));
}

/* As a folder first: that mounts what is to be mounted when it is used. */
static int open_place(const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 && errno == ENOTDIR ? open(path, O_PATH | O_CLOEXEC) : fd;
}

/* What is not there has no rule. */
static bool add(int rules, const struct place *place, uint64_t known, struct error *err)
{
	int fd = open_place(place->path);
	struct sight seen;
	mode_t mode;
	if (fd < 0)
		return true;
	struct landlock_path_beneath_attr rule = {.allowed_access = place->use == PLACE_WRITE ? WRITE & known : READ,
						  .parent_fd = fd};
	bool ok = look(fd, "", AT_EMPTY_PATH, &seen, &mode);
	if (ok && !S_ISDIR(mode))
		rule.allowed_access &= OF_FILES;
	ok = ok && syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
	bool told = ok || refused(err, "", place->path);
	close(fd);
	return told;
}

static bool add_all(int rules, const struct place *list, size_t n, uint64_t known, struct places *p, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		struct watched *w = &p->watched[p->n];
		mode_t mode;
		w->path = list[i].path;
		/* Before the rule, so that what changes in between is noticed; and by its path, as later: what cannot be
		 * opened, or is mounted by that, must not look as if it changed for ever. */
		look(AT_FDCWD, w->path, 0, &w->seen, &mode);
		p->n += list[i].is_watched;
		if (!add(rules, &list[i], known, err))
			return false;
	}
	return true;
}

static void close_mounts(void *places)
{
	int fd = ((struct places *)places)->mounts;
	if (fd >= 0)
		close(fd);
}

static bool enter(const struct place *list, size_t n, struct places *p, struct error *err)
{
	uint64_t known = known_rights(landlock_version());
	struct landlock_ruleset_attr all = {.handled_access_fs = known};
	int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
	if (rules < 0)
		return refused(err, "no rules", "");
	bool ok = add_all(rules, list, n, known, p, err) &&
		  ((prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_landlock_restrict_self, rules, 0) == 0) ||
		   refused(err, "not taken", ""));
	close(rules);
	return ok;
}

struct places *landlock_enter(struct arena *a, const struct place *list, size_t n, struct error *err)
{
	struct places *p = arena_alloc(a, sizeof *p + n * sizeof *p->watched);
	if (!landlock_version()) {
		fail(err, 500, REASON_INTERNAL, "", "landlock: this kernel has none, or an old one");
		return NULL;
	}
	p->n = p->next = 0;
	/* Before the places are looked at, so that nothing is mounted unseen. */
	p->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	arena_defer(a, close_mounts, p);
	return enter(list, n, p, err) ? p : NULL;
}

/* --- watching --- */

/* A volume that was mounted again may look as it did, but the kernel has forgotten the rule on it. */
static bool is_lost(const struct watched *w)
{
	int fd = w->seen.is_there ? open(w->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
	if (fd >= 0)
		close(fd);
	return w->seen.is_there && fd < 0;
}

static bool has_changed(const struct watched *w)
{
	struct sight now;
	mode_t mode;
	look(AT_FDCWD, w->path, 0, &now, &mode);
	return !is_same(&now, &w->seen);
}

static bool mounts_changed(const struct places *p)
{
	struct pollfd mounts = {.fd = p->mounts, .events = POLLPRI};
	return poll(&mounts, 1, 0) == 1;
}

const char *places_changed(struct places *p)
{
	bool mounted = mounts_changed(p);
	size_t looks = mounted || p->n < LOOKS ? p->n : LOOKS;
	for (size_t i = 0; i < looks; i++) {
		const struct watched *w = &p->watched[p->next];
		p->next = p->next + 1 < p->n ? p->next + 1 : 0;
		if (has_changed(w) || (mounted && is_lost(w)))
			return w->path;
	}
	return NULL;
}
