/* SPDX-License-Identifier: BSD-2-Clause */
#include "arena.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_BYTES 16384
#define HEAP_MOST_BYTES ((size_t)8 << 20)   /* larger blocks go back to the system */
#define HEAP_KEPT_BYTES (16 << 20)
#define HEAP_TRIM_BYTES (64 << 20)   /* what an arena had at its peak, so that its end is worth a look */
#define HUGE_PAGE ((size_t)2 << 20)
#define ALIGN(n) (((n) + 15) & ~(size_t)15)

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(16) unsigned char at[];
};

struct block {
	struct block *next;
	void *at;
	size_t n_bytes, n_spent;
};

struct deferred {
	struct deferred *next;
	void (*undo)(void *);
	void *what;
};

struct arena {
	struct chunk *chunks;
	struct block *blocks;
	struct deferred *deferred;
	size_t live_bytes, peak_bytes;
};

static void *must(void *at)
{
	if (!at) {
		fputs("lorikeet: out of memory for a small object\n", stderr);
		_Exit(1);
	}
	return at;
}

/* Fresh pages cost more than work on what lies in the cache: what small blocks leave free stays, within a bound, for the
 * next request. */
void arena_tune(void)
{
	mallopt(M_MMAP_THRESHOLD, HEAP_MOST_BYTES + 4096);
	mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
}

struct arena *arena_open(void)
{
	return must(calloc(1, sizeof(struct arena)));
}

static bool is_on_heap(size_t n_bytes)
{
	return SANITIZED || n_bytes <= HEAP_MOST_BYTES;
}

static void block_free(struct block *b)
{
	if (is_on_heap(b->n_bytes))
		free(b->at);
	else
		munmap(b->at, b->n_bytes);
}

void arena_close(struct arena *a)
{
	if (!a)
		return;
	for (struct deferred *d = a->deferred; d; d = d->next)
		d->undo(d->what);
	for (struct block *b = a->blocks; b; b = b->next)
		block_free(b);
	bool was_large = !SANITIZED && a->peak_bytes > HEAP_TRIM_BYTES;
	for (struct chunk *c = a->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(a);
	/* What small objects pin down is given back page by page. */
	if (was_large)
		malloc_trim(HEAP_KEPT_BYTES);
}

void *arena_alloc(struct arena *a, size_t n)
{
	n = ALIGN(n ? n : 1);
	struct chunk *c = a->chunks;
	if (SANITIZED || !c || c->size - c->used < n) {
		size_t size = SANITIZED || n > CHUNK_BYTES ? n : CHUNK_BYTES;
		c = must(calloc(1, sizeof *c + size));
		c->size = size;
		c->next = a->chunks;
		a->chunks = c;
	}
	void *at = c->at + c->used;
	c->used += n;
	return at;
}

char *arena_strndup(struct arena *a, const char *at, size_t n)
{
	char *copy = arena_alloc(a, n + 1);
	if (n)
		memcpy(copy, at, n);
	return copy;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	char *at = arena_alloc(a, (size_t)n + 1);
	va_start(args, format);
	vsnprintf(at, (size_t)n + 1, format, args);
	va_end(args);
	return at;
}

static void *take(size_t n_bytes)
{
	void *at;
	if (is_on_heap(n_bytes))
		return posix_memalign(&at, 64, n_bytes) ? NULL : at;
	at = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	/* All of it will be used: in pages of 2 MiB, where the system has them, that is 512 times fewer faults. */
	madvise(at, n_bytes, MADV_HUGEPAGE);
	return at;
}

void *arena_room(struct arena *a, size_t n_bytes, struct error *err)
{
	if (!n_bytes)
		n_bytes = 1;
	void *at = take(n_bytes);
	if (!at) {
		fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.",
		     "no memory for a block of %zu bytes", n_bytes);
		return NULL;
	}
	/* Who reads what was not written shall see it. */
	if (SANITIZED)
		memset(at, 0xa5, n_bytes);
	struct block *b = arena_new(a, struct block);
	*b = (struct block){.next = a->blocks, .at = at, .n_bytes = n_bytes};
	a->blocks = b;
	a->live_bytes += n_bytes;
	if (a->live_bytes > a->peak_bytes)
		a->peak_bytes = a->live_bytes;
	return at;
}

void *arena_block(struct arena *a, size_t n_bytes, struct error *err)
{
	void *at = arena_room(a, n_bytes, err);
	/* Fresh pages are clear. */
	if (at && is_on_heap(n_bytes))
		memset(at, 0, n_bytes);
	return at;
}

void arena_drop_block(struct arena *a, void *at)
{
	for (struct block **p = &a->blocks; *p; p = &(*p)->next) {
		if ((*p)->at != at)
			continue;
		a->live_bytes -= (*p)->n_bytes;
		block_free(*p);
		*p = (*p)->next;
		return;
	}
}

/* By huge pages, so that none has to be split. */
void arena_spend(struct arena *a, void *at, size_t n)
{
	struct block *b = a->blocks;
	while (b && b->at != at)
		b = b->next;
	if (!b || is_on_heap(b->n_bytes))
		return;
	size_t end = n - ((uintptr_t)b->at + n) % HUGE_PAGE;
	if (end > n || end <= b->n_spent)
		return;
	madvise((char *)b->at + b->n_spent, end - b->n_spent, MADV_DONTNEED);
	b->n_spent = end;
}

void arena_defer(struct arena *a, void (*undo)(void *), void *what)
{
	struct deferred *d = arena_new(a, struct deferred);
	*d = (struct deferred){.next = a->deferred, .undo = undo, .what = what};
	a->deferred = d;
}

size_t arena_bytes(const struct arena *a)
{
	size_t bytes = sizeof *a + a->live_bytes;
	for (const struct chunk *c = a->chunks; c; c = c->next)
		bytes += sizeof *c + c->size;
	return bytes;
}

size_t arena_peak_bytes(const struct arena *a)
{
	return a->peak_bytes;
}
