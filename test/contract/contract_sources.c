/* SPDX-License-Identifier: BSD-2-Clause */
/* What every source promises (lib/source/source.h), and the bounds of the file source and the resolver. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#include "source/resolver.h"

#define TEXT "0123456789abcdef"
#define LENGTH (sizeof TEXT - 1)

static char top[] = "/tmp/lorikeet-sources-XXXXXX";
static char root[64], other[64];

static char *in(const char *folder, const char *name)
{
	static char paths[4][4400];
	static int turn;
	char *path = paths[turn++ % 4];
	snprintf(path, sizeof paths[0], "%s/%s", folder, name);
	return path;
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(top));
	snprintf(root, sizeof root, "%s/root", top);
	snprintf(other, sizeof other, "%s/rooted", top);      /* starts with the same letters as root */
	assert_int_equal(mkdir(root, 0755) | mkdir(other, 0755) | mkdir(in(root, "sub"), 0755), 0);
	put(in(root, "file"), TEXT);
	put(in(root, "sub/deep.jpg"), TEXT);
	put(in(root, "a;b c\xc3\xa9"), TEXT);
	put(in(other, "secret"), TEXT);
	assert_int_equal(mkfifo(in(root, "fifo"), 0644), 0);
	assert_int_equal(symlink("file", in(root, "near")), 0);
	assert_int_equal(symlink("sub", in(root, "folder")), 0);
	assert_int_equal(symlink("../rooted/secret", in(root, "far")), 0);
	assert_int_equal(symlink(in(root, "file"), in(root, "absolute")), 0);
	assert_int_equal(symlink("/etc/passwd", in(root, "passwd")), 0);
	assert_int_equal(symlink("/proc/self/fd/0", in(root, "magic")), 0);
	assert_int_equal(symlink("loop", in(root, "loop")), 0);
	return 0;
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

static struct file_options options(enum symlinks symlinks)
{
	static const char *allowed[] = {NULL, NULL};
	allowed[0] = other;
	return (struct file_options){root, symlinks, allowed};
}

/* 200, or the status of the failure. */
static int status_of(const struct file_options *o, struct str path)
{
	struct arena *a = arena_open();
	struct source *s;
	struct error err = {0};
	int status = file_source_open(a, o, path, &s, &err) ? 200 : err.status;
	if (status == 200) {
		char got[LENGTH];
		assert_true(source_read(s, got, LENGTH, 0, &err));
		assert_memory_equal(got, TEXT, LENGTH);
	} else {
		assert_true(err.say && !strstr(err.say, "/"));
	}
	arena_close(a);
	return status;
}

static struct source *open_kind(struct arena *a, int kind)
{
	struct source *s = NULL;
	struct error err = {0};
	struct file_options o = options(FILE_SYMLINKS_NO);
	if (kind == 0)
		s = memory_source_open(a, STR(TEXT));
	else if (!file_source_open(a, &o, STR("file"), &s, &err))
		fail_msg("%s: %s", err.say, err.why);
	return s;
}

static void reads_keep_their_bounds(void **state)
{
	static const struct {
		size_t n;
		uint64_t offset;
		bool whole;
		int up_to;
	} table[] = {
		{LENGTH, 0, true, LENGTH}, {1, LENGTH - 1, true, 1}, {5, 3, true, 5},
		{0, 0, true, 0},           {0, LENGTH, true, 0},     {1, LENGTH, false, 0},
		{LENGTH + 1, 0, false, LENGTH}, {2, LENGTH - 1, false, 1},
		{1, LENGTH + 1, false, 0}, {1, UINT64_MAX, false, 0}, {100, UINT64_MAX - 50, false, 0},
	};
	(void)state;
	for (int kind = 0; kind < 2; kind++)
		for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
			struct arena *a = arena_open();
			struct source *s = open_kind(a, kind);
			struct error err = {0};
			char got[LENGTH + 1];
			assert_int_equal(s->validator.length, LENGTH);
			assert_int_equal(source_read(s, got, table[i].n, table[i].offset, &err), table[i].whole);
			if (table[i].whole)
				assert_memory_equal(got, &TEXT[table[i].offset], table[i].n);
			else
				assert_int_equal(err.reason, REASON_DAMAGED);
			assert_int_equal(source_read_up_to(s, got, table[i].n, table[i].offset, &err), table[i].up_to);
			/* To ask past the end is the codec's fault, no failure of the source. */
			assert_false(s->has_failed);
			arena_close(a);
		}
}

static void a_file_cut_while_open_is_damage(void **state)
{
	(void)state;
	put(in(root, "cut"), TEXT);
	struct arena *a = arena_open();
	struct file_options o = options(FILE_SYMLINKS_NO);
	struct source *s;
	struct error err = {0};
	char got[LENGTH];
	assert_true(file_source_open(a, &o, STR("cut"), &s, &err));
	assert_int_equal(truncate(in(root, "cut"), 4), 0);
	assert_false(source_read(s, got, LENGTH, 0, &err));
	assert_int_equal(err.reason, REASON_DAMAGED);
	err = (struct error){0};
	assert_false(source_blame(s, &err));
	assert_int_equal(err.reason, REASON_DAMAGED);
	arena_close(a);
}

/* As the service does: opened, read, and looked at for an end. */
static struct source *ask_known(struct arena *a, const char *name, bool *steady)
{
	struct file_options o = options(FILE_SYMLINKS_NO);
	struct source *s;
	struct error err = {0};
	char got[LENGTH];
	assert_true(file_source_open_known(a, &o, str_of(name), &s, &err));
	assert_true(source_read(s, got, LENGTH, 0, &err));
	*steady = source_is_steady(s, &err);
	return s;
}

/* A new file in its place may be of the same size. */
static void replace(const char *name, const char *text, int64_t modified_s)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = modified_s}};
	put(in(root, "new"), text);
	assert_int_equal(utimensat(AT_FDCWD, in(root, "new"), times, 0), 0);
	assert_int_equal(rename(strdupa(in(root, "new")), in(root, name)), 0);
	usleep(2 * SOURCE_TICK_NS / 1000);
}

static void a_known_file_is_taken_as_it_was(void **state)
{
	struct arena *a = arena_open();
	bool steady;
	(void)state;
	replace("known", TEXT, 1000);
	struct source *first = ask_known(a, "known", &steady), *again;
	assert_true(steady && !first->is_assumed);
	for (int i = 0; i < 3; i++) {
		again = ask_known(a, "known", &steady);
		assert_true(steady && again->is_assumed);
		assert_true(validator_equal(&again->validator, &first->validator));
		assert_true(again->inode == first->inode && again->device == first->device && source_tells_states(again));
	}
	/* The old state is believed no longer than until it is looked at. */
	replace("known", "another " TEXT, 2000);
	again = ask_known(a, "known", &steady);
	assert_true(!steady && again->is_assumed);
	again = ask_known(a, "known", &steady);
	assert_true(steady && !again->is_assumed && again->validator.modified_s == 2000);
	assert_int_equal(again->validator.length, LENGTH + 8);
	again = ask_known(a, "known", &steady);
	assert_true(steady && again->is_assumed && again->validator.modified_s == 2000);
	/* Equal in all but the file itself. */
	replace("known", "ANOTHER " TEXT, 2000);
	ask_known(a, "known", &steady);
	assert_false(steady);
	/* What was not steady is not known. */
	ask_known(a, "known", &steady);
	put(in(root, "known"), TEXT TEXT);
	assert_false(ask_known(a, "known", &steady)->is_assumed && steady);
	/* Nor is what nobody asked to have known. */
	struct file_options o = options(FILE_SYMLINKS_NO);
	struct source *s;
	struct error err = {0};
	assert_true(file_source_open(a, &o, STR("file"), &s, &err) && source_is_steady(s, &err));
	assert_false(ask_known(a, "file", &steady)->is_assumed);
	arena_close(a);
}

static const struct {
	struct str path;
	int no, inside, follow;
} paths[] = {
	{STR("file"), 200, 200, 200},
	{STR("sub/deep.jpg"), 200, 200, 200},
	{STR("a;b c\xc3\xa9"), 200, 200, 200},
	{STR("near"), 404, 200, 200},
	{STR("folder/deep.jpg"), 404, 200, 200},
	{STR("far"), 404, 404, 200},            /* into the allowed root */
	{STR("absolute"), 404, 200, 200},       /* leads back into the root */
	{STR("passwd"), 404, 404, 404},
	{STR("magic"), 404, 404, 404},
	{STR("loop"), 404, 404, 404},
	{STR("none"), 404, 404, 404},
	{STR("sub"), 404, 404, 404},
	{STR("fifo"), 404, 404, 404},
	{STR("file/x"), 404, 404, 404},
	{STR(""), 404, 404, 404},
	{STR("."), 404, 404, 404},
	{STR("/etc/passwd"), 404, 404, 404},
	{STR("../rooted/secret"), 404, 404, 404},
	{STR("sub/../file"), 404, 404, 404},
	{STR("sub//deep.jpg"), 404, 404, 404},
	{STR("./file"), 404, 404, 404},
	{STR("file/"), 404, 404, 404},
	{STR("sub\\deep.jpg"), 404, 404, 404},
	{STR("file\0x"), 404, 404, 404},
};

static void check_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		const int want[] = {paths[i].no, paths[i].inside, paths[i].follow};
		for (int mode = FILE_SYMLINKS_NO; mode <= FILE_SYMLINKS_FOLLOW; mode++) {
			struct file_options o = options((enum symlinks)mode);
			int got = status_of(&o, paths[i].path);
			if (got != want[mode])
				fail_msg("%s, mode %d: %d, not %d", paths[i].path.at, mode, got, want[mode]);
		}
	}
	char name[600];
	memset(name, 'x', sizeof name);
	struct file_options o = options(FILE_SYMLINKS_NO);
	assert_int_equal(status_of(&o, (struct str){name, 255}), 404);
	assert_int_equal(status_of(&o, (struct str){name, 256}), 404);
	static char deep[5000];
	for (size_t i = 0; i < sizeof deep; i++)
		deep[i] = i % 2 ? '/' : 'd';
	assert_int_equal(status_of(&o, (struct str){deep, sizeof deep - 1}), 404);
}

/* From here on openat2 fails in this process, as in an old kernel or a strict sandbox. */
static void forbid_openat2(int with)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)with),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof code / sizeof *code, code};
	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* The same table by the ways that do without openat2. */
static void without_openat2(void **state)
{
	(void)state;
	for (int with = 0; with < 2; with++) {
		pid_t child = fork();
		if (child == 0) {
			forbid_openat2(with ? EPERM : ENOSYS);
			int bad = 0;
			for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
				struct file_options no = options(FILE_SYMLINKS_NO);
				struct file_options inside = options(FILE_SYMLINKS_INSIDE);
				bad += status_of(&no, paths[i].path) != paths[i].no;
				bad += status_of(&inside, paths[i].path) != paths[i].inside;
			}
			_exit(bad);
		}
		int status;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

static void a_root_may_come_late(void **state)
{
	(void)state;
	char late[64];
	snprintf(late, sizeof late, "%s/late", top);
	struct file_options o = {late, FILE_SYMLINKS_NO, NULL};
	assert_int_equal(status_of(&o, STR("file")), 503);
	assert_int_equal(mkdir(late, 0755), 0);
	assert_int_equal(status_of(&o, STR("file")), 404);
	put(in(late, "file"), TEXT);
	assert_int_equal(status_of(&o, STR("file")), 200);
}

static void an_unreadable_file_is_500(void **state)
{
	(void)state;
	put(in(root, "shut"), TEXT);
	assert_int_equal(chmod(in(root, "shut"), 0), 0);
	assert_int_equal(chmod(top, 0755), 0);
	struct file_options o = options(FILE_SYMLINKS_NO);
	uid_t me = geteuid();
	if (me == 0)
		assert_int_equal(seteuid(65534), 0);
	int status = status_of(&o, STR("shut"));
	assert_int_equal(seteuid(me), 0);
	assert_int_equal(status, 500);
}

static void no_descriptor_stays_open(void **state)
{
	(void)state;
	int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(before);
	check_paths(NULL);
	int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(after);
	assert_int_equal(before, after);
}

static void the_first_rule_that_fits_wins(void **state)
{
	static const char *const suffixes[] = {".tif", ".jpg", NULL};
	const struct resolver_rule rules[] = {
		{.prefix = "s/", .file = {in(root, "sub"), FILE_SYMLINKS_NO, NULL}, .suffixes = suffixes},
		{.prefix = "o/", .file = {other, FILE_SYMLINKS_NO, NULL}, .sidecars = true},
		{.prefix = "", .file = {root, FILE_SYMLINKS_NO, NULL}},
	};
	static const struct {
		const char *identifier;
		int status;
		size_t rule;
		const char *name;
	} table[] = {
		{"s/deep.jpg", 200, 0, "deep.jpg"}, {"s/deep", 200, 0, "deep.jpg"}, {"s/none", 404, 0, "none"},
		{"s/../file", 404, 0, "../file"},   {"o/secret", 200, 1, "secret"}, {"file", 200, 2, "file"},
		{"sub/deep.jpg", 200, 2, "sub/deep.jpg"}, {"sub/deep", 404, 2, "sub/deep"}, {"s/", 404, 0, ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct arena *a = arena_open();
		struct resolved r;
		struct error err = {.status = 200};
		resolver_open(a, &(struct resolver){rules, 3, NULL}, &(struct resolver_wish){.identifier = str_of(table[i].identifier)}, &r, &err);
		if (err.status != table[i].status && !(r.source && table[i].status == 200))
			fail_msg("%s: %d %s", table[i].identifier, err.status, err.why);
		assert_int_equal(r.rule, table[i].rule);
		assert_string_equal(r.name, table[i].name);
		arena_close(a);
	}
	struct arena *a = arena_open();
	struct resolved r;
	struct error err = {0};
	assert_false(resolver_open(a, &(struct resolver){rules, 2, NULL}, &(struct resolver_wish){.identifier = STR("file")}, &r, &err));
	assert_int_equal(err.status, 404);
	arena_close(a);
}

/* Beside the file that was found, or by the identifier alone; a link that may not be followed takes no limit away. */
static void sidecars_of_bare_identifiers(void **state)
{
	static const char *const suffixes[] = {".tif", ".jpg", NULL};
	const struct resolver_rule rule = {
		.prefix = "", .file = {root, FILE_SYMLINKS_NO, NULL}, .suffixes = suffixes, .sidecars = true};
	static const struct {
		const char *file, *text, *link;
		bool opens;
	} table[] = {
		{"sub/deep.jpg.json", "{}", NULL, true},
		{"sub/deep.json", "{}", NULL, true},
		{"sub/deep.jpg.json", NULL, "../file", false},
		{"sub/deep.json", NULL, "/etc/passwd", false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct arena *a = arena_open();
		struct resolved r;
		struct error err = {0};
		if (table[i].text)
			put(in(root, table[i].file), table[i].text);
		else
			assert_int_equal(symlink(table[i].link, in(root, table[i].file)), 0);
		assert_int_equal(resolver_open(a, &(struct resolver){&rule, 1, NULL}, &(struct resolver_wish){.identifier = STR("sub/deep")}, &r, &err), table[i].opens);
		if (table[i].opens)
			assert_int_equal(r.sidecar.n, 2);
		else
			assert_int_equal(err.status, 500);
		assert_int_equal(remove(in(root, table[i].file)), 0);
		arena_close(a);
	}
}

static void sidecars(void **state)
{
	static char large[SIDECAR_MAX_BYTES + 2];
	const struct resolver_rule rules[] = {
		{.prefix = "", .file = {root, FILE_SYMLINKS_NO, NULL}, .sidecars = true},
	};
	static const struct {
		const char *identifier, *text;
		bool opens;
		size_t n;
	} table[] = {
		{"sub/deep.jpg", "{\"a\":1}", true, 7}, {"file", NULL, true, 0}, {"sub/deep.jpg", "", false, 0},
		{"sub/deep.jpg", large, false, 0},
	};
	(void)state;
	memset(large, ' ', sizeof large - 1);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct arena *a = arena_open();
		struct resolved r;
		struct error err = {0};
		if (table[i].text)
			put(in(root, "sub/deep.jpg.json"), table[i].text);
		assert_int_equal(resolver_open(a, &(struct resolver){rules, 1, NULL}, &(struct resolver_wish){.identifier = str_of(table[i].identifier)}, &r, &err), table[i].opens);
		assert_int_equal(r.sidecar.n, table[i].n);
		assert_int_equal(r.sidecar_validator.length, table[i].n);
		if (!table[i].opens)
			assert_int_equal(err.status, 500);
		arena_close(a);
	}
	assert_int_equal(remove(in(root, "sub/deep.jpg.json")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_keep_their_bounds),
		cmocka_unit_test(a_file_cut_while_open_is_damage),
		cmocka_unit_test(a_known_file_is_taken_as_it_was),
		cmocka_unit_test(check_paths),
		cmocka_unit_test(without_openat2),
		cmocka_unit_test(a_root_may_come_late),
		cmocka_unit_test(an_unreadable_file_is_500),
		cmocka_unit_test(no_descriptor_stays_open),
		cmocka_unit_test(the_first_rule_that_fits_wins),
		cmocka_unit_test(sidecars),
		cmocka_unit_test(sidecars_of_bare_identifiers),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
