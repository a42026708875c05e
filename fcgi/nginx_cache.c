/* SPDX-License-Identifier: BSD-2-Clause */
#include "nginx_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_BYTES 4096
#define HEAD_MAX_BYTES 65536
#define KEY "\nKEY: "
#define NAME_BYTES 32
#define MAX_LEVELS 3

struct walk {
	const struct nginx_purge *purge;
	uint64_t removed;
	struct error *err;
	bool failed;
};

static void failed(struct walk *w, const char *name)
{
	int why = errno;
	/* nginx's manager removes entries at the same time; links, and files in the place of folders, are not its
	 * own. */
	if (why == ENOENT || why == ELOOP || why == ENOTDIR || w->failed)
		return;
	w->failed = true;
	fail(w->err, 500, REASON_IO, "", "%s: %s", name, strerror(why));
}

static bool is_hex(const char *name)
{
	return name[strspn(name, "0123456789abcdef")] == '\0';
}

/* Behind a binary header is the line with the key. */
static bool find_key(struct str head, struct str *key)
{
	const char *at = head.n ? memmem(head.at, head.n, KEY, strlen(KEY)) : NULL;
	if (!at)
		return false;
	struct str rest = {at + strlen(KEY), (size_t)(head.at + head.n - at) - strlen(KEY)};
	const char *end = rest.n ? memchr(rest.at, '\n', rest.n) : NULL;
	*key = (struct str){rest.at, end ? (size_t)(end - rest.at) : 0};
	return end != NULL;
}

static bool read_key(int fd, struct arena *a, struct str *key)
{
	char *head = arena_alloc(a, HEAD_MAX_BYTES);
	ssize_t n = pread(fd, head, HEAD_BYTES, 0);
	if (n > 0 && find_key((struct str){head, (size_t)n}, key))
		return true;
	n = n == HEAD_BYTES ? pread(fd, head, HEAD_MAX_BYTES, 0) : n;
	return n > 0 && find_key((struct str){head, (size_t)n}, key);
}

/* Whether the entry is to go, and the URL that it answers. */
static bool is_wanted(const struct walk *w, struct arena *a, struct str key, const char **url)
{
	struct str rest = key, site, path;
	struct request r;
	struct error err;
	if (!memmem(key.at, key.n, "://", 3) || !take_until(&rest, ' ', &site) || !take_until(&rest, ' ', &path) ||
	    !path.n)
		return false;
	bool parsed = request_parse(a, w->purge->grammar, path, &r, &err);
	*url = arena_printf(a, "%.*s%.*s", (int)site.n, site.at, (int)path.n, path.at);
	return w->purge->fits(w->purge->with, parsed ? r.identifier : (struct str){0});
}

static void visit_file(struct walk *w, int folder, const char *name)
{
	struct stat st;
	struct str key;
	const char *url;
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0) {
		failed(w, name);
		return;
	}
	struct arena *a = arena_open();
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read_key(fd, a, &key) && is_wanted(w, a, key, &url)) {
		if (unlinkat(folder, name, 0) == 0) {
			w->removed++;
			w->purge->removed(w->purge->with, url);
		} else {
			failed(w, name);
		}
	}
	arena_close(a);
	close(fd);
}

/* The levels' folders have names of one or two digits, entries of NAME_BYTES; what is being written has longer ones. */
static void visit_folder(struct walk *w, int above, const char *name, int level)
{
	int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (level ? O_NOFOLLOW : 0));
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	if (!dir) {
		failed(w, name);
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(dir))) {
		size_t n = is_hex(e->d_name) ? strlen(e->d_name) : 0;
		if (n == NAME_BYTES)
			visit_file(w, fd, e->d_name);
		else if ((n == 1 || n == 2) && level < MAX_LEVELS)
			visit_folder(w, fd, e->d_name, level + 1);
	}
	closedir(dir);
}

bool nginx_cache_purge(const char *folder, const struct nginx_purge *purge, uint64_t *n, struct error *err)
{
	struct walk w = {.purge = purge, .err = err};
	struct stat st;
	*n = 0;
	if (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode))
		return fail(err, 500, REASON_IO, "", "%s: is no folder", folder);
	visit_folder(&w, AT_FDCWD, folder, 0);
	*n = w.removed;
	return !w.failed;
}
