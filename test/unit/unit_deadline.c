/* SPDX-License-Identifier: BSD-2-Clause */
/* The time for a decoding: asked in loops, and kept where nobody asks. */
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#include "base/clock.h"
#include "base/deadline.h"
#include "source/source.h"

static void pause_ms(int64_t ms)
{
	for (int64_t end = clock_us() + ms * 1000; clock_us() < end;)
		;
}

static void without_a_deadline_nothing_is_late(void **state)
{
	(void)state;
	struct error err = {0};
	assert_true(deadline_check(&err));
	deadline_start(0, "nothing");
	pause_ms(2);
	assert_true(deadline_check(&err));
	deadline_end();
	assert_int_equal(err.status, 0);
}

static void loops_are_told(void **state)
{
	(void)state;
	struct error err = {0};
	deadline_start(200, "x.tif");
	assert_true(deadline_check(&err));
	pause_ms(205);
	assert_false(deadline_check(&err));
	assert_int_equal(err.status, 503);
	assert_int_equal(err.reason, REASON_SLOW);
	deadline_end();
	assert_true(deadline_check(&err));
	/* The timer of before is gone too. */
	pause_ms(250);
	deadline_start(1000, "y.tif");
	assert_true(deadline_check(&err));
	deadline_end();
}

static void reads_of_a_source_end(void **state)
{
	(void)state;
	struct arena *a = arena_open();
	struct error err = {0};
	struct source *s = memory_source_open(a, STR("bytes"));
	char at[5];
	deadline_start(200, "x.tif");
	assert_true(source_read(s, at, 5, 0, &err));
	pause_ms(205);
	assert_false(source_read(s, at, 5, 0, &err));
	deadline_end();
	/* A codec would call it damage: the source knows better. */
	fail(&err, 500, REASON_DAMAGED, "The image is damaged.", "%s", "");
	assert_false(source_blame(s, &err));
	assert_int_equal(err.status, 503);
	arena_close(a);
}

/* A process that never asks ends at twice the time, with a line that says why. */
static void who_never_asks_is_ended(void **state)
{
	(void)state;
	int ends[2], status;
	char line[1000] = "";
	assert_int_equal(pipe(ends), 0);
	int64_t start = clock_us();
	pid_t child = fork();
	if (child == 0) {
		dup2(ends[1], 2);
		deadline_start(50, "shelf/slow.tif");
		pause_ms(5000);
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_in_range(clock_us() - start, 99000, 3000000);
	assert_true(read(ends[0], line, sizeof line - 1) > 0);
	assert_non_null(strstr(line, "level=error"));
	assert_non_null(strstr(line, "shelf/slow.tif"));
	close(ends[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_deadline_nothing_is_late),
		cmocka_unit_test(loops_are_told),
		cmocka_unit_test(reads_of_a_source_end),
		cmocka_unit_test(who_never_asks_is_ended),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
