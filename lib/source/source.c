/* SPDX-License-Identifier: BSD-2-Clause */
#include "source.h"

#include "../base/deadline.h"

bool validator_equal(const struct validator *a, const struct validator *b)
{
	return a->length == b->length && a->generation == b->generation && strcmp(a->tag, b->tag) == 0 &&
	       (*a->tag || a->modified_s == b->modified_s);
}

static bool remember(struct source *s, const struct error *err)
{
	if (!s->has_failed) {
		s->has_failed = true;
		s->failed = *err;
	}
	return false;
}

bool source_read(struct source *s, void *at, size_t n, uint64_t offset, struct error *err)
{
	if (offset > s->validator.length || n > s->validator.length - offset)
		return fail(err, 500, REASON_DAMAGED, "The image is damaged.",
			    "read of %zu bytes at %llu past the end at %llu", n,
			    (unsigned long long)offset, (unsigned long long)s->validator.length);
	return n == 0 || (deadline_check(err) && s->read(s, at, n, offset, err)) || remember(s, err);
}

int64_t source_read_up_to(struct source *s, void *at, size_t n, uint64_t offset, struct error *err)
{
	if (offset >= s->validator.length)
		return 0;
	if (n > s->validator.length - offset)
		n = (size_t)(s->validator.length - offset);
	return source_read(s, at, n, offset, err) ? (int64_t)n : -1;
}

bool source_blame(const struct source *s, struct error *err)
{
	if (s->has_failed)
		*err = s->failed;
	return false;
}

bool source_is_steady(const struct source *s, struct error *err)
{
	return !s->is_steady || s->is_steady(s, err);
}

bool source_is_settled(const struct source *s)
{
	int64_t last = s->modified_ns > s->changed_ns ? s->modified_ns : s->changed_ns, age = s->opened_ns - last;
	return age < 0 || age >= SOURCE_TICK_NS;
}

bool source_tells_states(const struct source *s)
{
	return s->inode && source_is_settled(s);
}

static bool memory_read(struct source *s, void *at, size_t n, uint64_t offset, struct error *err)
{
	(void)err;
	memcpy(at, (const char *)s->bytes + offset, n);
	return true;
}

struct source *memory_source_open(struct arena *a, struct str bytes)
{
	struct source *s = arena_new(a, struct source);
	s->read = memory_read;
	s->bytes = bytes.at;
	s->validator.length = bytes.n;
	s->fd = -1;
	return s;
}
