/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

/*
 * All memory of one request (or of one opened image) with one end.
 *
 * Calling sequence: arena_open, then alloc/block/defer as often as needed, then arena_close, which
 * runs the deferred undos in reverse order and returns every byte. Error paths therefore are a
 * plain `return false`. Small objects come from chunks; blocks above 8 MiB come straight from the system and
 * go back to it. In sanitizer builds every object is a malloc of its own, so that overruns show.
 */
struct arena;

/* Has malloc keep up to 16 MiB that are free for the next request. For main, before anything else. */
void arena_tune(void);

struct arena *arena_open(void);
void arena_close(struct arena *a);   /* NULL is allowed */

/* Small objects, 16-byte aligned and zeroed. Never NULL: without memory for a few kilobytes the
 * process says so and ends; the pool replaces it. */
void *arena_alloc(struct arena *a, size_t n);
char *arena_strndup(struct arena *a, const char *at, size_t n);
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define arena_new(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define arena_array(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (n)))

/* A large zeroed block (pixels), 64-byte aligned. Refused memory is NULL with status 503. */
void *arena_block(struct arena *a, size_t n_bytes, struct error *err);

/* The same, not cleared: for what is written before it is read. */
void *arena_room(struct arena *a, size_t n_bytes, struct error *err);

/* Gives a block back before the end; at must come from arena_block or arena_room of the same arena. */
void arena_drop_block(struct arena *a, void *at);

/* The first n bytes of such a block were read for the last time: their pages may go back to the system before the end. */
void arena_spend(struct arena *a, void *at, size_t n);

/* Runs undo(what) when the arena is closed; later deferred, earlier run. */
void arena_defer(struct arena *a, void (*undo)(void *), void *what);

/* All that it holds now, in bytes. */
size_t arena_bytes(const struct arena *a);

/* The largest sum of live blocks so far, in bytes: what a request cost. */
size_t arena_peak_bytes(const struct arena *a);

#endif
