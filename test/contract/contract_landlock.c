/* SPDX-License-Identifier: BSD-2-Clause */
/* Which changes a process notices that is held to its places (lib/base/landlock.h), and which are none. */
#include "cache_box.h"

#include "base/landlock.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

static const char *root, *aside;

static int set_up(void **state)
{
	if (box_set_up(state) < 0)
		return -1;
	root = new_path("root");
	aside = new_path("aside");
	must(mkdir(root, 0755) == 0 && mkdir(aside, 0755) == 0);
	return 0;
}

/* The child enters and says by its status which change it has noticed. The parent makes the change between two bytes. */
struct change {
	const char *what;
	void (*before)(void), (*make)(void);
	bool is_noticed;
};

static const char *shelf, *link_path, *file;

static void no_change(void)
{
}

static void make_shelf(void)
{
	must(mkdir(shelf, 0755) == 0);
}

static void replace_shelf(void)
{
	const char *old = new_path("old");
	must(rename(shelf, old) == 0 && mkdir(shelf, 0755) == 0);
}

static void remove_shelf(void)
{
	must(rmdir(shelf) == 0);
}

static void fill_shelf(void)
{
	put_text(in(shelf, "new"), "new");
	must(chmod(shelf, 0750) == 0);
}

static void make_link_to_root(void)
{
	must(symlink(root, link_path) == 0);
}

static void turn_link(void)
{
	must(unlink(link_path) == 0 && symlink(aside, link_path) == 0);
}

static void make_file(void)
{
	put_text(file, "one");
}

static void overwrite_file(void)
{
	put_text(file, "two");
}

static void replace_file(void)
{
	put_text(in(aside, "part"), "two");
	must(rename(in(aside, "part"), file) == 0);
}

struct meeting {
	int ready[2], go[2];
	int many;
};

/* The three are watched, behind many others. */
static void watch(const void *with)
{
	const struct meeting *m = with;
	struct arena *a = arena_open();
	struct error err;
	struct place list[100];
	size_t n = 0;
	char c;
	for (int i = 0; i < m->many; i++)
		list[n++] = (struct place){arena_printf(a, "%s/none-%d", root, i), PLACE_READ, true};
	list[n++] = (struct place){shelf, PLACE_READ, true};
	list[n++] = (struct place){link_path, PLACE_WRITE, true};
	list[n++] = (struct place){file, PLACE_READ, true};
	/* Changes of what is not watched are nobody's business. */
	list[n++] = (struct place){in(root, "unwatched"), PLACE_READ, false};
	struct places *p = landlock_enter(a, list, n, &err);
	must(p && !places_changed(p) && write(m->ready[1], "", 1) == 1 && read(m->go[0], &c, 1) == 1);
	bool noticed = false;
	for (int i = 0; i < 8 && !noticed; i++)
		noticed = places_changed(p);
	_exit(noticed ? 42 : 43);
}

static void check_change(const struct change *change, int many)
{
	struct meeting m = {.many = many};
	int status = 0;
	char c;
	shelf = new_path("shelf");
	link_path = new_path("link");
	file = new_path("file");
	change->before();
	must(pipe(m.ready) == 0 && pipe(m.go) == 0);
	pid_t child = start(watch, &m);
	close(m.ready[1]);
	assert_int_equal(read(m.ready[0], &c, 1), 1);
	change->make();
	must(write(m.go[1], "", 1) == 1 && waitpid(child, &status, 0) == child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != (change->is_noticed ? 42 : 43))
		fail_msg("%s, %d: ended with %#x", change->what, many, (unsigned)status);
	close(m.ready[0]);
	close(m.go[0]);
	close(m.go[1]);
}

static void touch_unwatched(void)
{
	put_text(in(root, "unwatched"), "x");
}

static void changes_are_noticed(void **state)
{
	static const struct change changes[] = {
		{"nothing", no_change, no_change, false},
		{"a folder that comes", no_change, make_shelf, true},
		{"a folder that goes", make_shelf, remove_shelf, true},
		{"a folder instead of another", make_shelf, replace_shelf, true},
		{"a folder that is filled", make_shelf, fill_shelf, false},
		{"a link that turns", make_link_to_root, turn_link, true},
		{"a file that comes", no_change, make_file, true},
		{"a file that is written", make_file, overwrite_file, false},
		{"a file instead of another", make_file, replace_file, true},
		{"what is not watched", no_change, touch_unwatched, false},
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(changes); i++) {
		check_change(&changes[i], 0);
		check_change(&changes[i], 90);
	}
}

/* --- volumes --- */

static void mount_volume(void)
{
	must(mount("none", shelf, "tmpfs", 0, "size=1m") == 0);
}

static void have_volume(void)
{
	make_shelf();
	mount_volume();
}

static void unmount_volume(void)
{
	must(umount2(shelf, MNT_DETACH) == 0);
}

/* It gets the numbers that the old one had. */
static void mount_anew(void)
{
	struct stat before, now;
	must(stat(shelf, &before) == 0 && umount2(shelf, 0) == 0);
	mount_volume();
	must(stat(shelf, &now) == 0 && before.st_dev == now.st_dev && before.st_ino == now.st_ino);
}

/* The same file system. */
static void mount_again(void)
{
	const char *other = new_path("other");
	must(mkdir(other, 0755) == 0 && mount(shelf, other, NULL, MS_BIND, NULL) == 0 && umount2(shelf, MNT_DETACH) == 0 &&
	     mount(other, shelf, NULL, MS_BIND, NULL) == 0);
}

static void mount_elsewhere(void)
{
	const char *other = new_path("other");
	must(mkdir(other, 0755) == 0 && mount("none", other, "tmpfs", 0, "size=1m") == 0);
}

static void mount_below(void)
{
	const char *below = in(shelf, "below");
	must(mkdir(below, 0755) == 0 && mount("none", below, "tmpfs", 0, "size=1m") == 0);
}

static void ride_mounts(const void *with)
{
	static const struct change changes[] = {
		{"a volume that comes", make_shelf, mount_volume, true},
		{"a volume that goes", have_volume, unmount_volume, true},
		{"another volume that looks the same", have_volume, mount_anew, true},
		{"the volume by another way", have_volume, mount_again, false},
		{"another volume elsewhere", have_volume, mount_elsewhere, false},
		{"a volume below", make_shelf, mount_below, false},
	};
	(void)with;
	MOUNTING_OR_SKIP();
	for (size_t i = 0; i < LENGTH(changes); i++)
		check_change(&changes[i], 0);
}

static void volumes_are_noticed(void **state)
{
	(void)state;
	run_mounting(ride_mounts, NULL);
}

/* Wherever this runs: a kernel without it says so, and changes nothing. */
static void it_is_there_or_not(void **state)
{
	struct arena *a = arena_open();
	struct error err = {0};
	(void)state;
	if (landlock_version() == 0) {
		assert_null(landlock_enter(a, NULL, 0, &err));
		assert_true(*err.why);
	}
	assert_int_equal(access("/etc/passwd", R_OK), 0);
	arena_close(a);
}

int main(void)
{
	const struct CMUnitTest always[] = {
		cmocka_unit_test(it_is_there_or_not),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_are_noticed),
		cmocka_unit_test(volumes_are_noticed),
	};
	int failed = cmocka_run_group_tests(always, NULL, NULL);
	return failed + (landlock_version() ? cmocka_run_group_tests(tests, set_up, box_tear_down) : 0);
}
