/* SPDX-License-Identifier: BSD-2-Clause */
/* Which images the start page lists, under which identifiers, and how they stand in its text. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#include "image/codecs.h"
#include "server/start_page.h"
#include "source/listing.h"

static char top[] = "/tmp/lorikeet-start-page-XXXXXX";

static char *in_top(const char *name)
{
	static char paths[4][8192];
	static int turn;
	char *path = paths[turn++ % 4];
	snprintf(path, sizeof paths[0], "%s/%s", top, name);
	return path;
}

static void put(const char *name)
{
	FILE *f = fopen(in_top(name), "we");
	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
}

static void folder(const char *name)
{
	assert_int_equal(mkdir(in_top(name), 0755), 0);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(strrchr(top, '-'), "-XXXXXX");
	return mkdtemp(top) ? 0 : -1;
}

static int drop(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(top, drop, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *const prefixes_2[] = {"/iiif/2", NULL}, *const prefixes_3[] = {"/iiif/3", NULL};
static const struct request_options grammar = {
	.prefixes_2 = prefixes_2, .prefixes_3 = prefixes_3, .slash_substitute = "", .page_delimiter = ";",
};

static struct resolver_rule rule_of(const char *prefix, const char *root)
{
	return (struct resolver_rule){.prefix = prefix, .file = {.root = root}};
}

/* The identifiers, each behind a space. */
static char *list(struct arena *a, const struct resolver_rule *rules, size_t n, struct listing *out)
{
	const struct listing_options o = {
		.rules = rules, .n_rules = n, .suffixes = image_suffixes, .max = 50, .budget_us = 10000000,
	};
	struct buf *b = buf_open(a, 1 << 20);
	listing_make(a, &o, out);
	for (size_t i = 0; i < out->n; i++) {
		buf_text(b, " ");
		buf_str(b, out->identifier[i]);
	}
	return str_dup(a, buf_view(b));
}

static char *page(struct arena *a, const struct resolver_rule *rule, const struct request_options *options,
		  const char *prefix)
{
	const struct start_page p = {options, rule, 1, str_of(prefix)};
	return str_dup(a, start_page_write(a, &p));
}

static void assert_in(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("%s: not in the page", part);
}

static void assert_not_in(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("%s: in the page", part);
}

static void images_by_their_names(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	struct listing l;
	struct resolver_rule rule = rule_of("p/", top);
	folder("sub");
	folder("sub/.git");
	folder("folder.jpg");
	const char *const names[] = {"b10.jpg", "b9.JPEG", "sub/a.tif", "sub/x.tiff", "notes.txt", "jpg", ".hidden.jpg",
				     "sub/.git/y.jpg", "back\\slash.jpg", "a.jpg.json", "a.jpg."};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		put(names[i]);
	assert_int_equal(mkfifo(in_top("pipe.jpg"), 0644), 0);
	assert_string_equal(list(a, &rule, 1, &l), " p/b9.JPEG p/b10.jpg p/sub/a.tif p/sub/x.tiff");
	assert_int_equal(l.found, 4);
	assert_false(l.more || l.unreachable);
	arena_close(a);
}

static void links_by_the_rule(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	struct listing l;
	folder("root");
	folder("root/in");
	folder("out");
	put("root/in/a.jpg");
	put("out/b.jpg");
	assert_int_equal(symlink("in/a.jpg", in_top("root/near.jpg")), 0);
	assert_int_equal(symlink("in", in_top("root/near")), 0);
	assert_int_equal(symlink("..", in_top("root/in/up")), 0);
	assert_int_equal(symlink("../out/b.jpg", in_top("root/far.jpg")), 0);
	assert_int_equal(symlink("../out", in_top("root/far")), 0);
	assert_int_equal(symlink("nowhere", in_top("root/dead.jpg")), 0);
	assert_int_equal(symlink("round.jpg", in_top("root/round.jpg")), 0);

	const char *allowed[] = {in_top("out"), NULL};
	struct resolver_rule rule = {.prefix = "", .file = {in_top("root"), FILE_SYMLINKS_NO, allowed}};
	assert_string_equal(list(a, &rule, 1, &l), " in/a.jpg");
	rule.file.symlinks = FILE_SYMLINKS_INSIDE;
	assert_string_equal(list(a, &rule, 1, &l), " in/a.jpg near.jpg near/a.jpg");
	rule.file.symlinks = FILE_SYMLINKS_FOLLOW;
	assert_string_equal(list(a, &rule, 1, &l), " far.jpg far/b.jpg in/a.jpg near.jpg near/a.jpg");
	arena_close(a);
}

static void suffixes_are_left_out_where_that_is_enough(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	struct listing l;
	const char *const suffixes[] = {".tif", ".jpg", ".raw", NULL};
	struct resolver_rule rule = rule_of("", top);
	rule.suffixes = suffixes;
	/* b.jpg: b would be b.tif; c.jpg: c is there itself; d.jpeg is no suffix of the rule. */
	const char *const names[] = {"a.jpg", "b.tif", "b.jpg", "c", "c.jpg", "d.jpeg", "e.raw"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		put(names[i]);
	assert_string_equal(list(a, &rule, 1, &l), " a b.jpg b c.jpg d.jpeg e");

	for (size_t i = 0; i < l.n; i++) {
		struct resolved r;
		struct error err;
		assert_true(resolver_open(a, &(struct resolver){&rule, 1, NULL}, &(struct resolver_wish){.identifier = l.identifier[i]}, &r, &err));
	}
	arena_close(a);
}

static void a_rule_has_only_what_comes_to_it(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	struct listing l;
	folder("one");
	folder("one/x");
	folder("two");
	put("one/x/1.jpg");
	put("one/2.jpg");
	put("two/x-3.jpg");
	const struct resolver_rule rules[] = {
		rule_of("x", in_top("two")), rule_of("", in_top("one")), rule_of("late/", in_top("two")),
		rule_of("gone/", in_top("gone")),
	};
	assert_string_equal(list(a, rules, 4, &l), " xx-3.jpg 2.jpg");
	assert_int_equal(l.unreachable, 1);
	arena_close(a);
}

static void it_ends(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	struct listing l;
	char name[400] = "";
	struct resolver_rule rule = rule_of("", top);
	for (int i = 0; i < 12; i++) {
		strcat(name, i ? "/d" : "d");
		folder(name);
		put(arena_printf(a, "%s/i.jpg", name));
	}
	list(a, &rule, 1, &l);
	assert_true(l.more && l.n >= 8 && l.n < 12);

	struct listing_options o = {.rules = &rule, .n_rules = 1, .suffixes = image_suffixes, .max = 2, .budget_us = 10000000};
	listing_make(a, &o, &l);
	assert_int_equal(l.n, 2);
	assert_true(l.found > 2);
	o.budget_us = 0;
	listing_make(a, &o, &l);
	assert_true(l.more && l.n == 0);
	arena_close(a);
}

static void names_stand_rightly_in_the_page(void **state)
{
	(void)state;
	static const struct { const char *name, *address, *text; } rows[] = {
		{"<script>alert(1).jpg", "%3Cscript%3Ealert%281%29.jpg", ">&lt;script&gt;alert(1).jpg<"},
		{"\"q\" 'a'.jpg", "%22q%22%20%27a%27.jpg", ">&quot;q&quot; &#39;a&#39;.jpg<"},
		{"100%2F&amp;.jpg", "100%252F%26amp%3B.jpg", ">100%2F&amp;amp;.jpg<"},
		{"a;2.jpg", "a%3B2.jpg", ">a;2.jpg<"},
		{"caf\xc3\xa9.jpg", "caf%C3%A9.jpg", ">caf\xc3\xa9.jpg<"},
		{"caf\xe9.jpg", "caf%E9.jpg", ">caf\xef\xbf\xbd.jpg<"},
		{"\xed\xa0\x80\xf4\x90.jpg", "%ED%A0%80%F4%90.jpg", ">\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd.jpg<"},
		{"sub/x y.jpg", "sub%2Fx%20y.jpg", ">x y.jpg</bdi> <bdi class=\"folder\">sub<"},
	};
	struct arena *a = arena_open();
	struct resolver_rule rule = rule_of("", top);
	folder("sub");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		put(rows[i].name);
	put("line\nbreak.jpg");
	char *text = page(a, &rule, &grammar, "/cut<");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_in(text, rows[i].text);
		assert_in(text, arena_printf(a, "<a href=\"#id=%s\">", rows[i].address));
		assert_in(text, arena_printf(a, " src=\"/cut%%3C/iiif/3/%s/full/!200,200/0/default.jpg\"", rows[i].address));
	}
	assert_in(text, " data-iiif2=\"/cut%3C/iiif/2\" data-iiif3=\"/cut%3C/iiif/3\"");
	assert_in(text, ">8 of 9 images<");
	assert_not_in(text, "<script>alert");
	assert_not_in(text, "break.jpg");
	arena_close(a);
}

/* What a name without its suffix, or with a text that stands for a slash, would mean to the grammar. */
static void names_that_would_be_read_otherwise(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	const char *const suffixes[] = {".jpg", NULL};
	struct resolver_rule rule = rule_of("", top);
	struct request_options options = grammar;
	rule.suffixes = suffixes;
	options.prefixes_3 = NULL;
	options.slash_substitute = "--";
	put("a;2.jpg");
	put("b--c.jpg");
	char *text = page(a, &rule, &options, "");
	assert_in(text, "#id=a%3B2.jpg\"");
	assert_in(text, " src=\"/iiif/2/a%3B2.jpg/full/!200,200/0/default.jpg\"");
	assert_not_in(text, "data-iiif3");
	assert_not_in(text, "c.jpg");
	arena_close(a);
}

static void five_thousand_files(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	struct resolver_rule rule = rule_of("", top);
	struct timespec before, after;
	for (int i = 0; i < 5000; i++)
		put(arena_printf(a, "%d.jpg", i));
	clock_gettime(CLOCK_MONOTONIC, &before);
	char *text = page(a, &rule, &grammar, "");
	clock_gettime(CLOCK_MONOTONIC, &after);
	/* The promise is 0.2 s; a busy machine with sanitizers gets more. */
	assert_true((double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9 < 1);
	size_t n = 0;
	for (const char *at = text; (at = strstr(at, "<li><a href=\"#id=")); at++)
		n++;
	assert_int_equal(n, START_PAGE_MAX_IMAGES);
	assert_in(text, "#id=199.jpg\"");
	assert_not_in(text, "#id=200.jpg\"");
	assert_in(text, ">200 of 5000 images<");
	arena_close(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(images_by_their_names),
		TEST(links_by_the_rule),
		TEST(suffixes_are_left_out_where_that_is_enough),
		TEST(a_rule_has_only_what_comes_to_it),
		TEST(it_ends),
		TEST(names_stand_rightly_in_the_page),
		TEST(names_that_would_be_read_otherwise),
		TEST(five_thousand_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
