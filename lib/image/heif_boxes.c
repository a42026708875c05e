/* SPDX-License-Identifier: BSD-2-Clause */
#include "heif_boxes.h"

#include <stdlib.h>

/* A turned grid, its opacity's grid, and the tiles. */
#define MOST_STEPS 3
#define MOST_EDGES 100000

struct edge {
	uint32_t whole, part;
};

struct edges {
	struct edge *at;
	size_t n;
};

static uint64_t take_be(struct str *s, size_t bytes)
{
	uint64_t v = 0;
	if (s->n < bytes) {
		s->n = 0;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | (unsigned char)s->at[i];
	s->at += bytes;
	s->n -= bytes;
	return v;
}

/* A box's header; *inside is what follows, up to the box's end. */
static uint32_t take_header(struct str *s, struct str *inside)
{
	struct str start = *s;
	uint64_t size = take_be(s, 4);
	uint32_t type = (uint32_t)take_be(s, 4);
	if (size == 1)
		size = take_be(s, 8);
	if (type == 0x75756964)
		take_be(s, s->n < 16 ? s->n : 16);
	if (size == 0 || size > start.n)
		size = start.n;
	size_t header = start.n - s->n;
	*inside = (struct str){s->at, size > header ? (size_t)size - header : 0};
	return type;
}

static bool take_box(struct str *s, uint32_t *type, struct str *inside)
{
	if (s->n < 8)
		return false;
	*type = take_header(s, inside);
	s->at = inside->at + inside->n;
	s->n -= inside->n;
	return true;
}

/* References follow each other as their numbers say: the library does not look at their boxes' sizes. */
static bool read_references(struct str s, struct edges *e)
{
	size_t id = take_be(&s, 4) >> 24 ? 4 : 2;
	while (s.n >= 8) {
		struct str ignored;
		uint32_t type = take_header(&s, &ignored), from = (uint32_t)take_be(&s, id);
		for (uint64_t n = take_be(&s, 2); n && s.n >= id; n--) {
			uint32_t to = (uint32_t)take_be(&s, id);
			if (e->n == MOST_EDGES)
				return false;
			if (type == 0x64696d67)
				e->at[e->n++] = (struct edge){from, to};
			else if (type == 0x6175786c || type == 0x74686d62)
				e->at[e->n++] = (struct edge){to, from};
		}
	}
	return true;
}

static bool find_references(struct str file, struct edges *e)
{
	struct str meta, inside;
	uint32_t type;
	while (take_box(&file, &type, &meta)) {
		if (type != 0x6d657461)
			continue;
		take_be(&meta, 4);
		while (take_box(&meta, &type, &inside))
			if (type == 0x69726566 && !read_references(inside, e))
				return false;
	}
	return true;
}

static int by_whole(const void *a, const void *b)
{
	uint32_t x = ((const struct edge *)a)->whole, y = ((const struct edge *)b)->whole;
	return x < y ? -1 : x > y;
}

/* Without the edges to what is not made of others itself. */
static void peel(struct edges *e, struct edge *kept)
{
	size_t n = 0;
	for (size_t i = 0; i < e->n; i++) {
		struct edge sought = {.whole = e->at[i].part};
		if (bsearch(&sought, e->at, e->n, sizeof *e->at, by_whole))
			kept[n++] = e->at[i];
	}
	memcpy(e->at, kept, n * sizeof *kept);
	e->n = n;
}

bool heif_references_end(struct str file)
{
	struct arena *a = arena_open();
	struct error ignored;
	struct edges e = {.at = arena_block(a, MOST_EDGES * sizeof *e.at, &ignored)};
	struct edge *kept = arena_block(a, MOST_EDGES * sizeof *kept, &ignored);
	bool ok = e.at && kept && find_references(file, &e);
	if (ok) {
		qsort(e.at, e.n, sizeof *e.at, by_whole);
		for (int i = 0; i < MOST_STEPS && e.n; i++)
			peel(&e, kept);
		ok = e.n == 0;
	}
	arena_close(a);
	return ok;
}
