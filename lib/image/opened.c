/* SPDX-License-Identifier: BSD-2-Clause */
#include "opened.h"

#define MOST_PICTURES 256
#define MOST_BYTES (UINT64_C(8) << 20)

struct opened {
	struct arena *arena;           /* of the picture; NULL: this place is free */
	struct source *source;         /* what the picture reads from: a copy of the last one it was asked for with */
	uint32_t page;
	uint64_t last_use;
	struct picture picture;
};

static struct opened opened[MOST_PICTURES];
static uint32_t most;
static uint64_t uses;

void opened_configure(uint32_t number)
{
	most = number < MOST_PICTURES ? number : MOST_PICTURES;
}

static void close_opened(struct opened *o)
{
	arena_close(o->arena);
	*o = (struct opened){0};
}

static uint64_t held_bytes(const struct opened *o)
{
	const struct decoder *d = o->picture.decoder;
	uint64_t held = d->held ? d->held(&o->picture) : 0;
	return held < MOST_BYTES ? arena_bytes(o->arena) + held : UINT64_MAX;
}

static struct opened *least_used(void)
{
	struct opened *least = NULL;
	for (uint32_t i = 0; i < MOST_PICTURES; i++)
		if (opened[i].arena && (!least || opened[i].last_use < least->last_use))
			least = &opened[i];
	return least;
}

/* Nobody has a picture now: what reading made of them may have grown, or be half read. */
static void trim(void)
{
	uint64_t bytes = 0;
	uint32_t n = 0;
	for (uint32_t i = 0; i < MOST_PICTURES; i++) {
		struct opened *o = &opened[i];
		uint64_t held = o->arena ? held_bytes(o) : 0;
		if (o->arena && (o->source->has_failed || held > MOST_BYTES)) {
			close_opened(o);
		} else {
			bytes += held;
			n += o->arena != NULL;
		}
	}
	for (struct opened *o; (bytes > MOST_BYTES || n > most) && (o = least_used()); n--) {
		bytes -= held_bytes(o);
		close_opened(o);
	}
}

static bool is_same_state(const struct source *a, const struct source *b)
{
	return a->device == b->device && a->inode == b->inode && a->start == b->start &&
	       a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns &&
	       validator_equal(&a->validator, &b->validator);
}

static struct opened *find(const struct source *source, uint32_t page)
{
	for (uint32_t i = 0; i < MOST_PICTURES; i++)
		if (opened[i].arena && opened[i].page == page && is_same_state(opened[i].source, source))
			return &opened[i];
	return NULL;
}

static struct opened *free_place(void)
{
	for (uint32_t i = 0; i < MOST_PICTURES; i++)
		if (!opened[i].arena)
			return &opened[i];
	struct opened *o = least_used();
	close_opened(o);
	return o;
}

static void close_arena(void *what)
{
	arena_close(what);
}

bool opened_picture(struct arena *a, const struct decoder *const *list, struct source *source, uint32_t page,
		    struct picture *p, struct error *err)
{
	trim();
	struct opened *found = find(source, page);
	if (found) {
		*found->source = *source;
		found->last_use = ++uses;
		*p = found->picture;
		return true;
	}
	struct opened o = {.arena = arena_open(), .page = page, .last_use = ++uses};
	o.source = arena_new(o.arena, struct source);
	*o.source = *source;
	bool ok = picture_open(o.arena, list, o.source, page, p, err);
	o.picture = *p;
	if (ok && most && source_tells_states(source) && held_bytes(&o) <= MOST_BYTES)
		*free_place() = o;
	else
		arena_defer(a, close_arena, o.arena);
	return ok;
}
