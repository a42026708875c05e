/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_SOURCE_H
#define SOURCE_SOURCE_H

#include "../base/str.h"

/* What tells one state of an original from another. Equal files on two servers have equal ones. */
struct validator {
	uint64_t length;             /* bytes */
	int64_t modified_s;          /* Unix time, whole seconds */
	char tag[33];                /* of the origin's ETag; where it is not "", it counts instead of the time */
	uint64_t generation;         /* raised by every purge */
};

/* The clock of files ticks every 10 ms at the longest: two writes within a tick look like one. */
#define SOURCE_TICK_NS 20000000

bool validator_equal(const struct validator *a, const struct validator *b);

/*
 * The bytes of an original, read at any place; there is no cursor. Made by memory_source_open,
 * file_source_open or the cache; ends with its arena. The length is the one known at open: reading past it, or
 * finding fewer bytes, is damage. A failed read is remembered in `failed`, so that a codec that
 * could only say "bad data" does not hide an I/O error: ask source_blame. Reads also fail when the time for a decoding
 * is over (deadline.h).
 */
struct source {
	struct validator validator;
	bool (*read)(struct source *s, void *at, size_t n, uint64_t offset, struct error *err);
	bool (*is_steady)(const struct source *s, struct error *err);   /* NULL: it cannot change */
	const void *bytes;           /* memory sources */
	int fd;                      /* file sources */
	uint64_t start;              /* of the bytes in the file */
	int64_t modified_ns, changed_ns, opened_ns;   /* file sources; of the bytes, of the file, both as of the open */
	uint64_t device, inode;      /* file sources; else 0 */
	uint64_t place;              /* a hash of where such a file was found, if it is to be known again; else 0 */
	bool is_assumed;             /* its state is that of before, until is_steady has looked */
	bool has_failed;
	struct error failed;         /* the first failure */
};

/* Exactly n bytes from offset, or false. */
bool source_read(struct source *s, void *at, size_t n, uint64_t offset, struct error *err);

/* Up to n bytes from offset, fewer at the end: returns the number, or -1 with err filled. */
int64_t source_read_up_to(struct source *s, void *at, size_t n, uint64_t offset, struct error *err);

/* Replaces err by the I/O failure behind it, if there was one. Always false. */
bool source_blame(const struct source *s, struct error *err);

/* Whether all that was read is of one state of the file; 503 if it was written to meanwhile, or, where its state was
 * assumed, before: then it is opened anew. To be asked after the last read, and before an answer or an error is believed. */
bool source_is_steady(const struct source *s, struct error *err);

/* Whether its file was written to, before it was opened, so long ago that another write would have shown. */
bool source_is_settled(const struct source *s);

/* Whether the source says enough of its file to know it again, and that it has not changed since. */
bool source_tells_states(const struct source *s);

/* A view of bytes that outlive a. */
struct source *memory_source_open(struct arena *a, struct str bytes);

#endif
