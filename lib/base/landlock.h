/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_LANDLOCK_H
#define BASE_LANDLOCK_H

#include "arena.h"
#include "error.h"

/*
 * The files that a process may open from now on (Landlock: Linux 5.19 and newer). What is open already stays so, and
 * nothing hides names and what stat says. It cannot be undone, and no program may be run.
 *
 * The kernel holds to what lies at a path when the process enters, not to the path: a volume that is mounted later, a
 * folder that takes another's place, a file that comes by rename are not among the places. For these a process that is
 * to go on is replaced by a new one: places_changed says when.
 */
enum place_use {
	PLACE_READ,             /* the file, or all that lies below the folder */
	PLACE_WRITE,            /* also make, change, rename and remove files and folders there */
};

struct place {
	const char *path;       /* absolute; nothing need be there */
	enum place_use use;
	bool is_watched;        /* for places_changed */
};

struct places;

/* The kernel's version of Landlock, 0 where it has none that is enough. */
int landlock_version(void);

/* Before there are threads. Paths and places live in a. NULL with a why: the kernel does not do it, and nothing has changed. */
struct places *landlock_enter(struct arena *a, const struct place *list, size_t n, struct error *err);

/*
 * The path of a watched place that is not what it was, NULL for none. It waits for no file server, and looks at some of
 * the places only where there are many: the others have their turn at the next call.
 */
const char *places_changed(struct places *p);

#endif
