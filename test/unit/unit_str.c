/* SPDX-License-Identifier: BSD-2-Clause */
/* Views, cursor parsers, limited buffers, escapes (lib/base/str.h, hash.h). */
#include <string.h>

#include "check.h"

#include "base/hash.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

/* The sanitizer would end the process where the system only refuses. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void views(void **state)
{
	static const struct str none = {NULL, 0};
	(void)state;
	assert_true(str_equal(none, STR("")) && str_equal(STR("a\0b"), STR("a\0b")));
	assert_false(str_equal(STR("a\0b"), STR("a\0c")) || str_equal(STR("a"), STR("ab")));
	assert_true(str_equal_nocase(none, STR("")) && str_equal_nocase(STR("aB"), STR("Ab")));
	assert_false(str_equal_nocase(STR("a"), STR("b")) || str_equal_nocase(STR("a"), STR("aa")));
	assert_true(str_starts(none, none) && str_starts(STR("ab"), STR("a")) && str_starts(STR("ab"), STR("")));
	assert_false(str_starts(STR("a"), STR("ab")) || str_starts(STR("ba"), STR("a")));
	assert_true(str_ends(none, none) && str_ends(STR("ab"), STR("b")) && str_ends(STR("ab"), STR("")));
	assert_false(str_ends(STR("b"), STR("ab")) || str_ends(STR("ba"), STR("b")));
	assert_true(str_equal(str_of(NULL), none) && str_equal(str_of("ab"), STR("ab")));
	assert_true(str_equal(str_trim(STR(" \t a b\t ")), STR("a b")) && str_equal(str_trim(STR(" \t")), STR("")));
	assert_true(str_equal(str_trim(none), STR("")) && str_equal(str_trim(STR("\na\n")), STR("\na\n")));

	struct arena *a = arena_open();
	assert_string_equal(str_dup(a, (struct str){"abc", 2}), "ab");
	assert_string_equal(str_dup(a, none), "");
	arena_close(a);
}

static void characters_and_words(void **state)
{
	struct str s = STR("a,bc"), none = {NULL, 0};
	(void)state;
	assert_false(take_char(&s, ',') || take_word(&s, STR("a,c")) || take_word(&s, STR("a,bcd")));
	assert_true(str_equal(s, STR("a,bc")));
	assert_true(take_char(&s, 'a') && take_word(&s, STR(",b")) && take_word(&s, STR("")) && take_char(&s, 'c'));
	assert_true(s.n == 0 && !take_char(&s, 'c'));
	assert_false(take_char(&none, '\0') || take_word(&none, STR("a")));
}

/* rest NULL: not taken, and the cursor stays. */
static void whole_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t max, value;
		const char *rest;
	} cases[] = {
		{"0", UINT64_MAX, 0, ""},
		{"42,7", UINT64_MAX, 42, ",7"},
		{"007x", UINT64_MAX, 7, "x"},
		{"12.5", UINT64_MAX, 12, ".5"},
		{"18446744073709551614", UINT64_MAX, UINT64_MAX - 1, ""},
		{"18446744073709551615", UINT64_MAX, UINT64_MAX, ""},
		{"18446744073709551616", UINT64_MAX, UINT64_MAX, ""},
		{"184467440737095516150", UINT64_MAX, UINT64_MAX, ""},
		{"99999999999999999999999999999999999999999", UINT64_MAX, UINT64_MAX, ""},
		{"4294967295", UINT32_MAX, UINT32_MAX, ""},
		{"4294967296", UINT32_MAX, UINT32_MAX, ""},
		{"42949672950", UINT32_MAX, UINT32_MAX, ""},
		{"00000000000000000000000000000001", UINT32_MAX, 1, ""},
		{"99", 100, 99, ""},
		{"101", 100, 100, ""},
		{"1000", 100, 100, ""},
		{"4", 5, 4, ""},
		{"7", 5, 5, ""},
		{"70", 5, 5, ""},
		{"9", 0, 0, ""},
		{"", 9, 0, NULL},
		{"-1", 9, 0, NULL},
		{"+1", 9, 0, NULL},
		{" 1", 9, 0, NULL},
		{"x", 9, 0, NULL},
		{"\xb2", 9, 0, NULL},
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct str s = str_of(cases[i].text);
		uint64_t v = 77;
		bool ok = take_uint(&s, cases[i].max, &v);
		if (ok != (cases[i].rest != NULL) || (ok && v != cases[i].value) ||
		    !str_equal(s, str_of(ok ? cases[i].rest : cases[i].text)))
			fail_msg("%s: %d %llu, rest %.*s", cases[i].text, ok, (unsigned long long)v, (int)s.n, s.at);
	}
	struct str none = {NULL, 0};
	uint64_t v;
	assert_false(take_uint(&none, 9, &v) || take_decimal(&none, &v));
}

static void decimals(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
		const char *rest;
	} cases[] = {
		{"0", 0, ""},
		{"90", 90 * DECIMAL_ONE, ""},
		{"0.9", DECIMAL_ONE / 10 * 9, ""},
		{".9", DECIMAL_ONE / 10 * 9, ""},
		{"0.90", DECIMAL_ONE / 10 * 9, ""},
		{"1.5,", DECIMAL_ONE / 2 * 3, ","},
		{"0.0000000001", 1, ""},
		{"0.00000000019", 1, ""},
		{"0.99999999999999999999", DECIMAL_ONE - 1, ""},
		{"1000000000", DECIMAL_MAX_INT * DECIMAL_ONE, ""},
		{"1000000001", DECIMAL_MAX_INT * DECIMAL_ONE, ""},
		{"99999999999999999999.9999999999", DECIMAL_MAX_INT * DECIMAL_ONE + DECIMAL_ONE - 1, ""},
		{"1.2.3", DECIMAL_ONE / 10 * 12, ".3"},
		{"9e1", 9 * DECIMAL_ONE, "e1"},
		{"0x9", 0, "x9"},
		{"9.", 0, NULL},
		{"9.x", 0, NULL},
		{".", 0, NULL},
		{"..9", 0, NULL},
		{"-9", 0, NULL},
		{"+9", 0, NULL},
		{"inf", 0, NULL},
		{"nan", 0, NULL},
		{",9", 0, NULL},
		{"", 0, NULL},
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct str s = str_of(cases[i].text);
		uint64_t v = 77;
		bool ok = take_decimal(&s, &v);
		if (ok != (cases[i].rest != NULL) || (ok && v != cases[i].value) ||
		    !str_equal(s, str_of(ok ? cases[i].rest : cases[i].text)))
			fail_msg("%s: %d %llu, rest %.*s", cases[i].text, ok, (unsigned long long)v, (int)s.n, s.at);
	}
}

static void pieces(void **state)
{
	static const struct {
		struct str text;
		const char *pieces[5];
	} cases[] = {
		{STR("a,b,c"), {"a", "b", "c"}}, {STR("a"), {"a"}},	   {STR(""), {""}},
		{STR(","), {"", ""}},		 {STR("a,,b,"), {"a", "", "b", ""}}, {{NULL, 0}, {NULL}},
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct str s = cases[i].text, piece;
		int n = 0;
		for (; take_until(&s, ',', &piece); n++)
			assert_true(cases[i].pieces[n] && str_equal(piece, str_of(cases[i].pieces[n])));
		assert_null(cases[i].pieces[n]);
		assert_null(s.at);
	}
}

static void escapes_are_decoded_once(void **state)
{
	static const struct {
		struct str raw, decoded;
		bool ok;
	} cases[] = {
		{STR(""), STR(""), true},
		{STR("abc+d"), STR("abc+d"), true},
		{STR("%61%62"), STR("ab"), true},
		{STR("a%2Fb%2fc"), STR("a/b/c"), true},
		{STR("%253C"), STR("%3C"), true},
		{STR("%00%0a%7F%ff"), STR("\0\n\x7f\xff"), true},
		{STR("%25"), STR("%"), true},
		{STR("%"), STR(""), false},
		{STR("%6"), STR(""), false},
		{STR("a%"), STR(""), false},
		{STR("%%36"), STR(""), false},
		{STR("%g1"), STR(""), false},
		{STR("%1g"), STR(""), false},
		{STR("%-1"), STR(""), false},
		{STR("% 1"), STR(""), false},
		{STR("%61%6"), STR(""), false},
		/* Nothing behind the view is read. */
		{{"%61", 2}, STR(""), false},
		{{"%61", 1}, STR(""), false},
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct arena *a = arena_open();
		struct str got;
		if (percent_decode(a, cases[i].raw, &got) != cases[i].ok || (cases[i].ok && !str_equal(got, cases[i].decoded)))
			fail_msg("%.*s", (int)cases[i].raw.n, cases[i].raw.at);
		arena_close(a);
	}
}

static void texts_inside_uris(void **state)
{
	static const struct {
		struct str text;
		const char *in_path, *as_segment;
	} cases[] = {
		{STR("aZ09-._~"), "aZ09-._~", "aZ09-._~"},
		{STR("a/b"), "a/b", "a%2Fb"},
		{STR("a%2Fb"), "a%2Fb", "a%252Fb"},
		{STR("!$&'()*+,;=:@"), "!$&'()*+,;=:@", "%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40"},
		{STR("^[]<>\"\\ ?#`{}|"), "%5E%5B%5D%3C%3E%22%5C%20%3F%23%60%7B%7D%7C",
		 "%5E%5B%5D%3C%3E%22%5C%20%3F%23%60%7B%7D%7C"},
		{STR("\0\r\n\x7f\xc3\xa9"), "%00%0D%0A%7F%C3%A9", "%00%0D%0A%7F%C3%A9"},
		{STR(""), "", ""},
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct arena *a = arena_open();
		struct buf *path = buf_open(a, 1000), *segment = buf_open(a, 1000);
		struct str again;
		buf_uri_text(path, cases[i].text);
		buf_uri_segment(segment, cases[i].text);
		assert_true(str_equal(buf_view(path), str_of(cases[i].in_path)));
		assert_true(str_equal(buf_view(segment), str_of(cases[i].as_segment)));
		assert_true(percent_decode(a, buf_view(segment), &again) && str_equal(again, cases[i].text));
		arena_close(a);
	}
}

static void utf8(void **state)
{
	static const struct {
		struct str text;
		bool ok;
	} cases[] = {
		{STR(""), true},	   {STR("a\0\x7f"), true},     {STR("\xc2\x80\xdf\xbf"), true},
		{STR("\xe0\xa0\x80"), true}, {STR("\xed\x9f\xbf"), true}, {STR("\xef\xbf\xbf"), true},
		{STR("\xf0\x90\x80\x80"), true}, {STR("\xf4\x8f\xbf\xbf"), true}, {STR("\x80"), false},
		{STR("\xc3"), false},	   {STR("\xc0\x80"), false},   {STR("\xc1\xbf"), false},
		{STR("\xe0\x9f\xbf"), false}, {STR("\xed\xa0\x80"), false}, {STR("\xf0\x8f\xbf\xbf"), false},
		{STR("\xf4\x90\x80\x80"), false}, {STR("\xf5\x80\x80\x80"), false}, {STR("\xe2\x82"), false},
		{STR("\xe2\x82" "a"), false}, {STR("a\xff"), false},
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		if (str_is_utf8(cases[i].text) != cases[i].ok)
			fail_msg("case %zu", i);
	assert_int_equal(utf8_length(STR("\xe2\x82\xac!")), 3);
	assert_int_equal(utf8_length(STR("")), 0);
}

static void fill(struct buf *b, char c, size_t n)
{
	while (n--)
		buf_write(b, &c, 1);
}

static void a_buffer_grows_to_its_limit(void **state)
{
	struct arena *a = arena_open();
	struct buf *b = buf_open(a, 5000);
	(void)state;
	fill(b, 'x', 4990);
	buf_text(b, "12345");
	buf_printf(b, "%d", 67890);
	assert_int_equal(b->n, 5000);
	assert_false(b->failed);
	buf_write(b, "", 0);
	assert_false(b->failed);
	assert_memory_equal(b->at + 4985, "xxxxx1234567890", 15);
	buf_text(b, "a");
	assert_true(b->failed);
	assert_int_equal(b->n, 5000);
	arena_close(a);
}

/* Once a write was dropped, so are the smaller ones after it: no text has holes. */
static void a_failed_buffer_stays_failed(void **state)
{
	struct arena *a = arena_open();
	struct buf *b = buf_open(a, 10);
	(void)state;
	buf_text(b, "12345");
	buf_text(b, "678901");
	assert_true(b->failed);
	buf_text(b, "6");
	buf_str(b, STR("7"));
	buf_printf(b, "8");
	assert_null(buf_room(b, 0));
	assert_true(str_equal(buf_view(b), STR("12345")));

	struct buf *zero = buf_open(a, 0);
	buf_text(zero, "");
	assert_false(zero->failed);
	buf_text(zero, "a");
	assert_true(zero->failed && zero->n == 0);

	struct buf *huge = buf_open(a, SIZE_MAX);
	buf_text(huge, "a");
	assert_null(buf_room(huge, SIZE_MAX / 2));
	assert_null(buf_room(buf_open(a, 10), SIZE_MAX));
	arena_close(a);
}

/* Long prints take another way than short ones; both fit to the last byte. */
static void prints_fit_exactly(void **state)
{
	static const int sizes[] = {1, 254, 255, 256, 257, 511, 512, 1000};
	struct arena *a = arena_open();
	(void)state;
	for (size_t i = 0; i < LENGTH(sizes); i++)
		for (int spare = -1; spare <= 1; spare++) {
			struct buf *b = buf_open(a, (size_t)(sizes[i] + spare));
			buf_printf(b, "%0*d", sizes[i], 7);
			if (b->failed != (spare < 0) || (!b->failed && b->n != (size_t)sizes[i]))
				fail_msg("%d bytes, %d to spare", sizes[i], spare);
			assert_true(b->n == 0 || b->at[b->n - 1] == '7');
		}
	arena_close(a);
}

static void room_is_used_from_its_start(void **state)
{
	struct arena *a = arena_open();
	struct buf *b = buf_open(a, 1000);
	(void)state;
	buf_text(b, "ab");
	char *room = buf_room(b, 998);
	assert_non_null(room);
	memcpy(room, "cd", 2);
	b->n += 2;
	assert_true(str_equal(buf_view(b), STR("abcd")));
	assert_null(buf_room(b, 997));
	arena_close(a);
}

static void hashes(void **state)
{
	char out[33];
	(void)state;
	hash_hex(STR("abc"), out);
	assert_string_equal(out, "ba7816bf8f01cfea414140de5dae2223");
	hash_hex(STR(""), out);
	assert_string_equal(out, "e3b0c44298fc1c149afbf4c8996fb924");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(views),
		cmocka_unit_test(characters_and_words),
		cmocka_unit_test(whole_numbers),
		cmocka_unit_test(decimals),
		cmocka_unit_test(pieces),
		cmocka_unit_test(escapes_are_decoded_once),
		cmocka_unit_test(texts_inside_uris),
		cmocka_unit_test(utf8),
		cmocka_unit_test(a_buffer_grows_to_its_limit),
		cmocka_unit_test(a_failed_buffer_stays_failed),
		cmocka_unit_test(prints_fit_exactly),
		cmocka_unit_test(room_is_used_from_its_start),
		cmocka_unit_test(hashes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
