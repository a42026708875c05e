/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory with one end, and how failures are told (lib/base/arena.h, error.h). */
#include <string.h>

#include "check.h"

#include "base/arena.h"

/* The sanitizer would end the process where the system only refuses. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static char trail[32];

static void note(void *what)
{
	strcat(trail, what);
}

/* Undos run last first, while all memory of the arena is still there. */
static void undos_run_in_reverse(void **state)
{
	static const char *const words[] = {"a", "b", "c", "d"};
	struct arena *a = arena_open();
	struct error err;
	(void)state;
	trail[0] = '\0';
	for (int i = 0; i < 4; i++) {
		arena_defer(a, note, arena_strndup(a, words[i], 1));
		assert_non_null(arena_block(a, 100000, &err));
	}
	assert_string_equal(trail, "");
	arena_close(a);
	assert_string_equal(trail, "dcba");
	arena_close(NULL);
}

static bool is_zero(const unsigned char *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (at[i])
			return false;
	return true;
}

/* Objects are aligned, zeroed, and nobody else's, across chunks and beyond one's size. */
static void small_objects(void **state)
{
	enum { MANY = 3000 };
	static unsigned char *at[MANY];
	static size_t size[MANY];
	struct arena *a = arena_open();
	(void)state;
	for (int i = 0; i < MANY; i++) {
		size[i] = i % 500 == 499 ? 40000 : (size_t)i % 67;
		at[i] = arena_alloc(a, size[i]);
		assert_int_equal((uintptr_t)at[i] % 16, 0);
		assert_true(is_zero(at[i], size[i]));
		memset(at[i], i % 255 + 1, size[i]);
	}
	for (int i = 0; i < MANY; i++)
		for (size_t k = 0; k < size[i]; k++)
			assert_int_equal(at[i][k], i % 255 + 1);
	arena_close(a);
}

static void texts(void **state)
{
	struct arena *a = arena_open();
	char *text = arena_strndup(a, "abc", 2), *empty = arena_strndup(a, NULL, 0);
	(void)state;
	assert_string_equal(text, "ab");
	assert_string_equal(empty, "");
	assert_string_equal(arena_printf(a, "%d-%s", 7, "x"), "7-x");
	assert_string_equal(arena_printf(a, "%s", ""), "");
	assert_int_equal(strlen(arena_printf(a, "%50000d", 1)), 50000);
	int *numbers = arena_array(a, int, 10);
	assert_true(is_zero((unsigned char *)numbers, 10 * sizeof(int)));
	arena_close(a);
}

static void blocks(void **state)
{
	struct arena *a = arena_open();
	struct error err;
	(void)state;
	assert_int_equal(arena_peak_bytes(a), 0);
	unsigned char *one = arena_block(a, 1000, &err), *two = arena_block(a, 500, &err), *none = arena_block(a, 0, &err);
	assert_true(one && two && none);
	assert_true((uintptr_t)one % 64 == 0 && (uintptr_t)two % 64 == 0);
	assert_true(is_zero(one, 1000) && is_zero(two, 500));
	memset(one, 1, 1000);
	memset(two, 2, 500);
	size_t peak = arena_peak_bytes(a);
	assert_in_range(peak, 1500, 1501);

	/* What was given back makes room for the next, and the peak stays. */
	arena_drop_block(a, one);
	assert_true(two[0] == 2 && two[499] == 2);
	unsigned char *three = arena_block(a, 900, &err);
	assert_true(is_zero(three, 900));
	assert_int_equal(arena_peak_bytes(a), peak);
	assert_non_null(arena_block(a, 200, &err));
	assert_int_equal(arena_peak_bytes(a), peak + 100);

	int stranger;
	arena_drop_block(a, &stranger);
	arena_drop_block(a, NULL);
	arena_drop_block(a, three);
	arena_close(a);
}

static void refused_memory_is_503(void **state)
{
	struct arena *a = arena_open();
	struct error err = {0};
	(void)state;
	assert_null(arena_block(a, SIZE_MAX / 4, &err));
	assert_int_equal(err.status, 503);
	assert_int_equal(err.reason, REASON_MEMORY);
	assert_non_null(err.say);
	assert_int_equal(arena_peak_bytes(a), 0);
	arena_close(a);
}

static void failures(void **state)
{
	struct error err;
	char text[2000];
	(void)state;
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	assert_false(fail(&err, 404, REASON_NOT_FOUND, "Not here.", "%s: %d", "a", 7));
	assert_int_equal(err.status, 404);
	assert_int_equal(err.reason, REASON_NOT_FOUND);
	assert_string_equal(err.say, "Not here.");
	assert_string_equal(err.why, "a: 7");
	assert_false(fail(&err, 500, REASON_IO, "", "%s", text));
	assert_int_equal(strlen(err.why), sizeof err.why - 1);
	for (int i = REASON_NONE; i <= REASON_INTERNAL; i++)
		assert_non_null(reason_name((enum reason)i));
}

/* What is behind them stays, and so does a small block, which is no page of its own. */
static void spent_bytes(void **state)
{
	enum { LARGE = 24 << 20, SMALL = 1 << 20, SPENT = 13 << 20 };
	struct arena *a = arena_open();
	struct error err;
	(void)state;
	unsigned char *small = arena_block(a, SMALL, &err), *large = arena_room(a, LARGE, &err);
	assert_true(small && large);
	memset(large, 7, LARGE);
	memset(small, 7, SMALL);
	for (size_t n = 0; n <= SPENT; n += SPENT / 10)
		arena_spend(a, large, n);
	arena_spend(a, large, 5);
	arena_spend(a, small, SMALL);
	for (size_t i = SPENT; i < LARGE; i += 4096)
		assert_int_equal(large[i], 7);
	assert_int_equal(large[LARGE - 1], 7);
	size_t given_back = 0;
	for (size_t i = 0; i < SPENT; i++)
		given_back += !large[i];
	/* Huge pages, the first and the last of which may be cut. */
	if (!SANITIZED)
		assert_in_range(given_back, SPENT - (4 << 20), SPENT);
	for (size_t i = 0; i < SMALL; i++)
		assert_int_equal(small[i], 7);
	/* Spent bytes can be written anew. */
	memset(large, 9, SPENT);
	assert_int_equal(large[0], 9);
	arena_close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(undos_run_in_reverse),
		cmocka_unit_test(small_objects),
		cmocka_unit_test(texts),
		cmocka_unit_test(blocks),
		cmocka_unit_test(spent_bytes),
		cmocka_unit_test(refused_memory_is_503),
		cmocka_unit_test(failures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
