/* SPDX-License-Identifier: BSD-2-Clause */
/* What the pictures that are kept open promise (lib/image/opened.h): no reads but those of stored tiles, and never the
 * picture of another state. */
#include "samples.h"

#include "image/opened.h"

/* A sample that counts its reads, and looks like a file that was written long ago. */
struct counted {
	struct source source, *real;
	int reads;
	bool broken;
};

static struct counted *counting;

static bool counted_read(struct source *s, void *at, size_t n, uint64_t offset, struct error *err)
{
	(void)s;
	counting->reads++;
	if (counting->broken)
		return fail(err, 500, REASON_IO, "The image could not be read.", "a broken disk");
	return source_read(counting->real, at, n, offset, err);
}

static struct counted open_counted(struct arena *a, const char *name, uint64_t inode)
{
	struct counted c = {.real = sample_source(a, name)};
	c.source = *c.real;
	c.source.read = counted_read;
	c.source.device = 7;
	c.source.inode = inode;
	c.source.modified_ns = c.source.changed_ns = 1000;
	c.source.opened_ns = 1000 + SOURCE_TICK_NS;
	return c;
}

/* A request for that part; the number of its reads, -1 for an error. */
static int ask(struct counted *c, uint32_t page, struct rect region, double step)
{
	struct arena *a = arena_open();
	struct error err = {0};
	struct picture p;
	struct image image;
	struct wants w = {.region = region, .step_x = step, .step_y = step, .chroma_x = 2, .chroma_y = 2};
	counting = c;
	c->reads = 0;
	bool ok = opened_picture(a, decoders, &c->source, page, &p, &err) &&
		  (!region.w || p.decoder->read(a, &p, &w, &image, &err));
	/* What a request leaves behind must not be needed by the next one. */
	c->source.has_failed = false;
	arena_close(a);
	return ok ? c->reads : -1;
}

static const struct rect nothing;

static void a_second_request_reads_tiles_only(void **state)
{
	(void)state;
	static const char *const names[] = {"subs-jpeg.tif", "pages-jpeg.tif", "pages-deflate.tif"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct arena *a = arena_open();
		struct counted c = open_counted(a, names[i], 10 + i);
		opened_configure(4);
		assert_true(ask(&c, 1, nothing, 1) > 2);
		assert_int_equal(ask(&c, 1, nothing, 1), 0);
		/* The level's directory, then the tiles. */
		assert_true(ask(&c, 1, (struct rect){0, 0, 256, 256}, 1) > 2);
		/* Rows of tiles that lie side by side. */
		assert_in_range(ask(&c, 1, (struct rect){0, 0, 256, 256}, 1), 1, 2);
		assert_int_equal(ask(&c, 1, (struct rect){0, 0, 100, 100}, 1), 1);
		ask(&c, 1, (struct rect){0, 0, W, H}, 2);
		assert_in_range(ask(&c, 1, (struct rect){0, 0, W, H}, 2), 1, 2);
		assert_int_equal(ask(&c, 1, (struct rect){0, 0, 100, 100}, 1), 1);
		opened_configure(0);
		assert_true(ask(&c, 1, (struct rect){0, 0, 100, 100}, 1) > 2);
		arena_close(a);
	}
}

/* Each change alone makes another picture of it. */
static void another_state_is_opened_anew(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	struct counted c = open_counted(a, "s420.jpg", 20);
	opened_configure(4);
	int first = ask(&c, 1, nothing, 1);
	assert_true(first > 0);
	for (int i = 0; i < 8; i++) {
		struct counted other = c;
		struct source *s = &other.source;
		s->device += i == 0;
		s->inode += i == 1;
		s->start += i == 2;
		s->modified_ns += i == 3;
		s->changed_ns += i == 4;
		s->validator.generation += i == 5;
		if (i == 6)
			strcpy(s->validator.tag, "other");
		s->validator.modified_s += i == 7;
		assert_int_equal(ask(&other, 1, nothing, 1), first);
		assert_int_equal(ask(&c, 1, nothing, 1), 0);
	}
	opened_configure(0);
	ask(&c, 1, nothing, 1);
	arena_close(a);
}

static void what_may_change_is_not_kept(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	struct counted c = open_counted(a, "s420.jpg", 30);
	opened_configure(4);
	c.source.opened_ns = c.source.modified_ns + SOURCE_TICK_NS - 1;
	assert_true(ask(&c, 1, nothing, 1) > 0);
	assert_true(ask(&c, 1, nothing, 1) > 0);
	/* The clock of another machine is ahead. */
	c.source.opened_ns = c.source.modified_ns - 1;
	ask(&c, 1, nothing, 1);
	assert_int_equal(ask(&c, 1, nothing, 1), 0);
	c.source.inode = 0;
	ask(&c, 1, nothing, 1);
	assert_true(ask(&c, 1, nothing, 1) > 0);
	opened_configure(0);
	ask(&c, 1, nothing, 1);
	arena_close(a);
}

static void what_failed_is_opened_anew(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	struct counted c = open_counted(a, "pages-jpeg.tif", 40);
	struct rect part = {0, 0, 100, 100};
	opened_configure(4);
	int first = ask(&c, 1, part, 1);
	c.broken = true;
	assert_int_equal(ask(&c, 1, part, 1), -1);
	c.broken = false;
	assert_int_equal(ask(&c, 1, part, 1), first);
	assert_int_equal(ask(&c, 1, part, 1), 1);
	opened_configure(0);
	ask(&c, 1, part, 1);
	arena_close(a);
}

static void the_least_used_goes(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	struct counted c[3] = {open_counted(a, "s420.jpg", 50), open_counted(a, "s420.jpg", 51),
			       open_counted(a, "s420.jpg", 52)};
	opened_configure(2);
	ask(&c[0], 1, nothing, 1);
	ask(&c[1], 1, nothing, 1);
	assert_int_equal(ask(&c[0], 1, nothing, 1), 0);
	ask(&c[2], 1, nothing, 1);
	assert_int_equal(ask(&c[0], 1, nothing, 1), 0);
	assert_true(ask(&c[1], 1, nothing, 1) > 0);
	opened_configure(0);
	ask(&c[0], 1, nothing, 1);
	arena_close(a);
}

static void pages_are_pictures_of_their_own(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	struct counted c = open_counted(a, "pages.tif", 60);
	opened_configure(4);
	for (int twice = 0; twice < 2; twice++)
		for (uint32_t page = 1; page <= 3; page++) {
			struct arena *b = arena_open();
			struct error err = {0};
			struct picture kept, fresh;
			counting = &c;
			assert_true(opened_picture(b, decoders, &c.source, page, &kept, &err));
			assert_true(picture_open(b, decoders, c.real, page, &fresh, &err));
			assert_int_equal(kept.facts.w, fresh.facts.w);
			assert_int_equal(kept.facts.h, fresh.facts.h);
			arena_close(b);
		}
	assert_int_equal(ask(&c, 9, nothing, 1), -1);
	opened_configure(0);
	ask(&c, 1, nothing, 1);
	arena_close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_request_reads_tiles_only),
		cmocka_unit_test(another_state_is_opened_anew),
		cmocka_unit_test(what_may_change_is_not_kept),
		cmocka_unit_test(what_failed_is_opened_anew),
		cmocka_unit_test(the_least_used_goes),
		cmocka_unit_test(pages_are_pictures_of_their_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
