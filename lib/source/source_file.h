/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_SOURCE_FILE_H
#define SOURCE_SOURCE_FILE_H

#include "source.h"

enum symlinks {
	FILE_SYMLINKS_NO,            /* a path with a symbolic link is not found */
	FILE_SYMLINKS_INSIDE,        /* links are followed while they stay below the root */
	FILE_SYMLINKS_FOLLOW,        /* links may lead below the root or one of the allowed roots */
};

struct file_options {
	const char *root;                    /* absolute folder */
	enum symlinks symlinks;
	const char *const *allowed_roots;    /* absolute folders, NULL-terminated; may be NULL */
};

/*
 * Opens the regular file at path below the root. Path parts "..", absolute paths, backslashes and
 * empty parts are not found. 404 not found (also folders, FIFOs, devices; with REASON_FORBIDDEN links out of bounds),
 * 503 the root itself is not there (an unmounted volume), 500 unreadable.
 */
bool file_source_open(struct arena *a, const struct file_options *options, struct str path,
		      struct source **out, struct error *err);

/*
 * The same, but a file that was steady when this process last had it is taken to be as it was then (is_assumed):
 * source_is_steady looks once for both, and where it is not, a second call does not assume.
 */
bool file_source_open_known(struct arena *a, const struct file_options *options, struct str path,
			    struct source **out, struct error *err);

/* A descriptor of whatever lies at path below the root, under the same rules ("" is the root itself),
 * or -1; the caller closes it. For walks; a path's parts are taken as they are. */
int file_open_below(const struct file_options *options, const char *path);

/* The bytes from start of an open file, which the source owns from now on; it has validator.length of them. */
struct source *file_source_adopt(struct arena *a, int fd, uint64_t start, const struct validator *validator);

/* Opens any file that the caller may name (command line): no root, links followed. */
bool file_source_open_path(struct arena *a, const char *path, struct source **out,
			   struct error *err);

#endif
