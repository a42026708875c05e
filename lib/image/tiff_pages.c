/* SPDX-License-Identifier: BSD-2-Clause */
#include "tiff_pages.h"

#include <tiffio.h>

#include "../base/arena.h"

#define MAX_DIRECTORIES 65536
#define MAX_ENTRIES 512                 /* of a directory, to be looked through */
#define LONGEST_ENTRY 20

struct walk {
	struct source *source;
	bool big_endian, big;          /* byte order; BigTIFF */
};

static uint64_t number(const struct walk *w, const uint8_t *at, int n)
{
	uint64_t v = 0;
	for (int i = 0; i < n; i++)
		v = v << 8 | at[w->big_endian ? i : n - 1 - i];
	return v;
}

static bool start(struct walk *w, uint64_t *first, struct error *err)
{
	uint8_t head[16];
	if (!source_read(w->source, head, 8, 0, err))
		return false;
	w->big_endian = head[0] == 'M';
	w->big = number(w, head + 2, 2) == TIFF_VERSION_BIG;
	if (w->big && !source_read(w->source, head, 16, 0, err))
		return false;
	*first = w->big ? number(w, head + 8, 8) : number(w, head + 4, 4);
	return true;
}

/* Whether a directory's entries, which are sorted by tag, make it no page: a reduced image, or a mask. */
static bool says_beside(const struct walk *w, const uint8_t *entries, uint64_t n)
{
	int entry = w->big ? 20 : 12;
	for (uint64_t i = 0; i < n; i++, entries += entry) {
		uint64_t tag = number(w, entries, 2);
		const uint8_t *value = entries + (w->big ? 12 : 8);
		uint64_t v = number(w, value, number(w, entries + 2, 2) == TIFF_SHORT ? 2 : 4);
		if (tag == TIFFTAG_SUBFILETYPE)
			return v & (FILETYPE_REDUCEDIMAGE | FILETYPE_MASK);
		if (tag == TIFFTAG_OSUBFILETYPE)
			return v == OFILETYPE_REDUCEDIMAGE;
	}
	return false;
}

static bool damaged(struct error *err, const char *what)
{
	return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "%s", what);
}

/* Looks at the directory at `at`, and sets where the next one is, 0 behind the last. */
static bool look(const struct walk *w, uint64_t at, bool *beside, uint64_t *next, struct error *err)
{
	uint8_t bytes[8 + MAX_ENTRIES * LONGEST_ENTRY + 8];
	uint64_t head = w->big ? 8 : 2, entry = w->big ? 20 : 12, link = w->big ? 8 : 4;
	/* Most directories are short: one read is enough. */
	int64_t got = source_read_up_to(w->source, bytes, 512, at, err);
	if (got < 0)
		return false;
	if (got < (int64_t)head)
		return damaged(err, "a directory is nowhere");
	uint64_t n = number(w, bytes, (int)head), seen = n < MAX_ENTRIES ? n : MAX_ENTRIES;
	if (n > 65535)
		return damaged(err, "a directory of too many entries");
	uint64_t end = head + n * entry, wanted = head + seen * entry;
	if (wanted > (uint64_t)got && !source_read(w->source, bytes, wanted, at, err))
		return false;
	*beside = says_beside(w, bytes + head, seen);
	if (end + link <= (uint64_t)got) {
		*next = number(w, bytes + end, (int)link);
		return true;
	}
	/* A file may end right behind its last directory. */
	got = source_read_up_to(w->source, bytes, link, at + end, err);
	*next = got == (int64_t)link ? number(w, bytes, (int)link) : 0;
	return got >= 0;
}

bool tiff_page_find(struct source *source, uint32_t page, uint64_t *directory, struct error *err)
{
	struct walk w = {.source = source};
	uint64_t at, first;
	if (!start(&w, &first, err))
		return false;
	at = first;
	for (uint32_t seen = 0, i = 0; at && i < MAX_DIRECTORIES; i++) {
		uint64_t next;
		bool beside;
		if (!look(&w, at, &beside, &next, err))
			return false;
		*directory = at;
		seen += !beside;
		if (seen == page)
			return true;
		at = next;
	}
	*directory = first;
	return page == 1 ||
	       fail(err, 404, REASON_NOT_FOUND, "The image has no such page.", "fewer than %u pages", page);
}
