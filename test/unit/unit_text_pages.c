/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages of libraries' files: given back, and had again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#include "base/hash.h"
#include "base/text_pages.h"
#include "image/magick.h"

static long resident_file_kb(void)
{
	char line[256];
	long kb = 0;
	FILE *f = fopen("/proc/self/status", "re");
	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		if (strncmp(line, "RssFile:", 8) == 0)
			kb = strtol(line + 8, NULL, 10);
	fclose(f);
	assert_true(kb > 0);
	return kb;
}

static void what_the_start_touched_is_given_back(void **state)
{
	(void)state;
	struct error err;
	assert_true(magick_start(&err));
	long before = resident_file_kb();
	text_pages_give_back();
	long after = resident_file_kb();
	assert_true(after < before / 2);
}

static int counted = 7;

static void what_was_written_stays_and_all_works(void **state)
{
	(void)state;
	char hash[33], again[33];
	hash_hex(STR("a"), hash);
	counted++;
	text_pages_give_back();
	hash_hex(STR("a"), again);
	assert_string_equal(hash, again);
	assert_int_equal(counted, 8);
	struct error err;
	assert_true(magick_start(&err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_start_touched_is_given_back),
		cmocka_unit_test(what_was_written_stays_and_all_works),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
