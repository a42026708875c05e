/* SPDX-License-Identifier: BSD-2-Clause */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

ssize_t file_read(int folder, const char *name, int flags, void *to, size_t n)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | flags);
	if (fd < 0)
		return -1;
	size_t done = 0;
	ssize_t got = 0;
	while (done < n && ((got = read(fd, (char *)to + done, n - done)) > 0 || (got < 0 && errno == EINTR)))
		done += got > 0 ? (size_t)got : 0;
	int failure = errno;
	close(fd);
	errno = failure;
	return got < 0 ? -1 : (ssize_t)done;
}

const char *file_read_line(struct arena *a, const char *path, const char **why)
{
	char text[FILE_LINE_MAX_BYTES];
	ssize_t n = file_read(AT_FDCWD, path, O_NONBLOCK, text, sizeof text);
	*why = n < 0 ? strerror(errno) : "must have one line";
	if (n < 0 || n == sizeof text)
		return NULL;
	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	return n && !memchr(text, '\n', (size_t)n) ? arena_strndup(a, text, (size_t)n) : NULL;
}

static bool set_lock(int fd, off_t at, off_t n, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = n};
	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool file_try_lock(int fd, off_t at, off_t n)
{
	return set_lock(fd, at, n, F_WRLCK);
}

void file_unlock(int fd, off_t at, off_t n)
{
	set_lock(fd, at, n, F_UNLCK);
}
