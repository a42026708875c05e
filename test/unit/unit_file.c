/* SPDX-License-Identifier: BSD-2-Clause */
/* Small files (lib/base/file.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

#include "base/file.h"

static char folder[] = "/tmp/unit_file.XXXXXX";

static const char *write_file(struct arena *a, const char *text, size_t n)
{
	char *path = arena_printf(a, "%s/file", folder);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && write(fd, text, n) == (ssize_t)n && close(fd) == 0);
	return path;
}

static void only_lines(void **state)
{
	static const struct {
		const char *text, *line;
	} cases[] = {
		{"one", "one"}, {"one\n", "one"}, {"one\r\n\n", "one"}, {" a b ", " a b "}, {"\xff", "\xff"},
		{"", NULL}, {"\n", NULL}, {"one\ntwo", NULL}, {"\none", NULL},
	};
	struct arena *a = arena_open();
	const char *why;
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *line = file_read_line(a, write_file(a, cases[i].text, strlen(cases[i].text)), &why);
		if (!cases[i].line)
			assert_true(!line && strcmp(why, "must have one line") == 0);
		else
			assert_string_equal(line, cases[i].line);
	}
	static char large[FILE_LINE_MAX_BYTES];
	memset(large, 'x', sizeof large);
	assert_non_null(file_read_line(a, write_file(a, large, sizeof large - 1), &why));
	assert_null(file_read_line(a, write_file(a, large, sizeof large), &why));
	assert_null(file_read_line(a, folder, &why));
	assert_string_equal(why, strerror(EISDIR));
	assert_null(file_read_line(a, "/nowhere/at all", &why));
	assert_string_equal(why, strerror(ENOENT));
	arena_close(a);
}

static void beginnings(void **state)
{
	struct arena *a = arena_open();
	char text[8];
	int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)state;
	write_file(a, "0123456789", 10);
	assert_int_equal(file_read(at, "file", 0, text, sizeof text), 8);
	assert_memory_equal(text, "01234567", 8);
	write_file(a, "0123", 4);
	assert_int_equal(file_read(at, "file", O_NOFOLLOW, text, sizeof text), 4);
	assert_int_equal(file_read(at, "none", 0, text, sizeof text), -1);
	assert_int_equal(errno, ENOENT);
	/* Where a pipe lies in its place, nobody waits for somebody to write. */
	assert_int_equal(mkfifoat(at, "pipe", 0600), 0);
	assert_int_equal(file_read(at, "pipe", O_NONBLOCK, text, sizeof text), 0);
	unlinkat(at, "pipe", 0);
	close(at);
	arena_close(a);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char path[64];
	(void)state;
	snprintf(path, sizeof path, "%s/file", folder);
	unlink(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_lines),
		cmocka_unit_test(beginnings),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
