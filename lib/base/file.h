/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <sys/types.h>

#include "arena.h"

/* Small files of the system's and of people's, read at once. */

/* Up to n bytes of a file's beginning: how many they are, or -1 with errno. name is as for openat, flags are such as are
 * wanted beside reading: O_NONBLOCK, so that nothing waits where a pipe lies in the place of a file. */
ssize_t file_read(int folder, const char *name, int flags, void *to, size_t n);

/* The only line of a file (a secret), without its end. NULL with why ("" never): it cannot be read, or has not one. */
#define FILE_LINE_MAX_BYTES 16384
const char *file_read_line(struct arena *a, const char *path, const char **why);

/* n bytes of a file, which need not have them, for this opening of it: false at once if another has one of them. Until they
 * are unlocked, or the last descriptor of this opening is closed. */
bool file_try_lock(int fd, off_t at, off_t n);
void file_unlock(int fd, off_t at, off_t n);

#endif
