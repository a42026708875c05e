/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters and marks that processes share, however these end (lib/base/metrics.h). */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#include "base/clock.h"
#include "base/metrics.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))
#define CHILDREN 64
#define ROUNDS 10000

static char folder[] = "/tmp/unit_metrics.XXXXXX";
static char path[100], file[110];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/board", folder);
	snprintf(file, sizeof file, "%s.2", path);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

static int remove_file(void **state)
{
	struct error err;
	(void)state;
	metrics_open("", "", &err);
	return unlink(file);
}

static void open_it(void)
{
	struct error err = {0};
	if (!metrics_open(path, "", &err))
		fail_msg("%s", err.why);
}

/* Which group the children of `start` belong to. */
static const char *group = "";

/* A child that opened the file itself. It has run `work` when this returns, and waits for the kill unless it ended. */
static pid_t start(void (*work)(uint64_t), uint64_t n)
{
	int ends[2];
	char c;
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct error err;
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		close(ends[0]);
		/* cmocka goes on with its tests after a signal. */
		signal(SIGSEGV, SIG_DFL);
		/* The sanitizers' reports. */
		if ((SANITIZED && !freopen("/dev/null", "we", stderr)) || !metrics_open(path, group, &err))
			_exit(1);
		metrics_watch_signals();
		work(n);
		if (write(ends[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ends[1]);
	(void)!read(ends[0], &c, 1);
	close(ends[0]);
	return child;
}

static int end(pid_t child)
{
	int status = 0;
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void decode(uint64_t original)
{
	metrics_add(METRIC_CACHE_HITS, 1);
	metrics_mark(MARK_DECODE, original, 0);
}

static void decode_and_abort(uint64_t original)
{
	decode(original);
	abort();
}

static void decode_and_finish(uint64_t original)
{
	decode(original);
	metrics_mark(MARK_NONE, 0, 0);
}

static void answer(uint64_t original)
{
	(void)original;
	metrics_busy(BUSY_ANSWERING);
}

static void answer_and_rest(uint64_t original)
{
	answer(original);
	metrics_busy(BUSY_AFTERWARDS);
}

static void stop_well(uint64_t original)
{
	answer(original);
	metrics_end(METRIC_STOPPED);
}

static void fetch(uint64_t host)
{
	metrics_mark(MARK_FETCH, 1, host);
}

static void read_nowhere(uint64_t original)
{
	decode(original);
	*(volatile int *)(original & 0) = 1;
}

static int recurse(volatile char *above)
{
	volatile char here[4096];
	here[0] = above[0];
	return here[0] ? 0 : recurse(here) + here[0];
}

static void overflow_the_stack(uint64_t original)
{
	volatile char first[1] = {0};
	decode(original);
	recurse(first);
}

/* What metrics_crashes found. */
struct finds {
	size_t n;
	uint64_t original;
	bool certain;
};

static void find(void *with, uint64_t original, bool certain)
{
	struct finds *f = with;
	f->n++;
	f->original = original;
	f->certain = certain;
}

static struct finds crashes(uint64_t original)
{
	struct finds f = {0};
	metrics_crashes(original, find, &f);
	return f;
}

static void counts_outlive_their_process(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		end(start(decode_and_finish, 9));
	open_it();
	assert_int_equal(metrics_sum(METRIC_CACHE_HITS), 3);
	metrics_add(METRIC_CACHE_HITS, UINT64_C(1) << 40);
	open_it();
	assert_int_equal(metrics_sum(METRIC_CACHE_HITS), 3 + (UINT64_C(1) << 40));

	struct stat st;
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0117, 0);

	/* Who only reads changes nothing, not even in what he sees. */
	struct error err;
	assert_true(metrics_read(path, &err));
	metrics_add(METRIC_CACHE_HITS, 1);
	metrics_mark(MARK_DECODE, 1, 1);
	assert_int_equal(metrics_sum(METRIC_CACHE_HITS), 3 + (UINT64_C(1) << 40));
	assert_int_equal(metrics_marked(MARK_DECODE, 0), 0);
	assert_int_equal(crashes(0).n, 0);
	assert_false(metrics_read("/nowhere/at/all", &err));
}

static void a_killed_decoder_is_found_once(void **state)
{
	(void)state;
	open_it();
	pid_t child = start(decode, 42);
	assert_int_equal(metrics_marked(MARK_DECODE, 0), 1);
	assert_int_equal(crashes(0).n, 0);
	end(child);
	assert_int_equal(crashes(43).n, 0);
	struct finds f = crashes(42);
	assert_int_equal(f.n, 1);
	assert_int_equal(f.original, 42);
	assert_false(f.certain);
	assert_int_equal(crashes(0).n, 0);
	assert_int_equal(metrics_marked(MARK_DECODE, 0), 0);

	end(start(decode_and_finish, 42));
	assert_int_equal(crashes(0).n, 0);
}

static void a_bug_is_certain(void **state)
{
	static void (*const bugs[])(uint64_t) = {decode_and_abort, read_nowhere, overflow_the_stack};
	(void)state;
	open_it();
	for (size_t i = 0; i < LENGTH(bugs); i++) {
		int status = end(start(bugs[i], i + 1));
		assert_true(SANITIZED || (WIFSIGNALED(status) && WTERMSIG(status) == (i ? SIGSEGV : SIGABRT)));
		struct finds f = crashes(0);
		assert_int_equal(f.n, 1);
		assert_int_equal(f.original, i + 1);
		assert_int_equal(f.certain, !SANITIZED);
	}
	/* The slot forgets the signal with the crash. */
	end(start(decode, 7));
	assert_false(crashes(7).certain);
}

/* Its lock is still there, as for a moment while the kernel takes a process apart: here a child of it has that. */
static void a_bug_is_known_at_once(void **state)
{
	int gate[2];
	char c;
	(void)state;
	open_it();
	assert_int_equal(pipe(gate), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct error err;
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		close(gate[1]);
		metrics_open(path, "", &err);
		metrics_watch_signals();
		decode(42);
		if (fork() == 0)
			_exit((int)read(gate[0], &c, 1));
		abort();
	}
	close(gate[0]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(crashes(42).n, !SANITIZED);
	assert_int_equal(metrics_sum(METRIC_DECODE_CRASHES), !SANITIZED);
	close(gate[1]);
}

/* Also while new processes take slots. */
static void traces_survive_new_owners(void **state)
{
	pid_t next[5];
	(void)state;
	for (size_t i = 0; i < LENGTH(next); i++)
		end(start(decode, i + 1));
	for (size_t i = 0; i < LENGTH(next); i++)
		next[i] = start(decode, 100);
	open_it();
	assert_int_equal(metrics_marked(MARK_DECODE, 0), 2 * LENGTH(next));
	assert_int_equal(crashes(3).n, 1);
	assert_int_equal(crashes(0).n, LENGTH(next) - 1);
	for (size_t i = 0; i < LENGTH(next); i++)
		end(next[i]);
	assert_int_equal(crashes(100).n, LENGTH(next));
}

static void fetches_are_counted_by_host(void **state)
{
	(void)state;
	open_it();
	pid_t a = start(fetch, 5), b = start(fetch, 5), c = start(fetch, 6), d = start(decode, 5);
	assert_int_equal(metrics_marked(MARK_FETCH, 0), 3);
	assert_int_equal(metrics_marked(MARK_FETCH, 5), 2);
	assert_int_equal(metrics_marked(MARK_FETCH, 6), 1);
	assert_int_equal(metrics_marked(MARK_FETCH, 7), 0);
	metrics_mark(MARK_FETCH, 1, 5);
	assert_int_equal(metrics_marked(MARK_FETCH, 5), 3);
	end(a);
	end(c);
	end(d);
	assert_int_equal(crashes(0).n, 1);
	/* A dead one's counts until another process comes. */
	metrics_mark(MARK_NONE, 0, 0);
	assert_int_equal(metrics_marked(MARK_FETCH, 0), 3);
	end(start(decode_and_finish, 1));
	assert_int_equal(metrics_marked(MARK_FETCH, 0), 1);
	end(b);
}

/* Children that wait for each other, so that they really run at once. */
static void start_together(void (*work)(uint64_t), pid_t children[CHILDREN])
{
	int gate[2];
	assert_int_equal(pipe(gate), 0);
	for (size_t i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		assert_true(children[i] >= 0);
		if (children[i] == 0) {
			struct error err;
			char c;
			close(gate[1]);
			(void)!read(gate[0], &c, 1);
			if (!metrics_open(path, "", &err))
				_exit(1);
			work(i);
			_exit(0);
		}
	}
	close(gate[0]);
	close(gate[1]);
}

static uint64_t wait_for(const pid_t children[CHILDREN])
{
	uint64_t sum = 0;
	for (size_t i = 0; i < CHILDREN; i++) {
		int status;
		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_true(WIFEXITED(status));
		sum += (uint64_t)WEXITSTATUS(status);
	}
	return sum;
}

static void add_much(uint64_t n)
{
	for (uint64_t i = 0; i < ROUNDS; i++) {
		metrics_mark(MARK_DECODE, n, n);
		metrics_add(METRIC_WAITS, 1);
		metrics_add(METRIC_ORIGIN_BYTES, n);
		metrics_mark(MARK_NONE, 0, 0);
		if (crashes(0).n)
			_exit(2);
	}
}

static void many_at_once_lose_nothing(void **state)
{
	pid_t children[CHILDREN];
	(void)state;
	/* The file itself is made by all of them, too. */
	start_together(add_much, children);
	assert_int_equal(wait_for(children), 0);
	open_it();
	assert_int_equal(metrics_sum(METRIC_WAITS), CHILDREN * ROUNDS);
	assert_int_equal(metrics_sum(METRIC_ORIGIN_BYTES), CHILDREN * (CHILDREN - 1) / 2 * ROUNDS);
}

static void count_deaths(uint64_t n)
{
	struct metrics_slot slot;
	(void)n;
	for (size_t i = 0; i < metrics_slots(); i++)
		metrics_look(i, &slot);
}

static void each_death_counts_once(void **state)
{
	pid_t children[CHILDREN], dead[20];
	(void)state;
	for (size_t i = 0; i < LENGTH(dead); i++)
		dead[i] = start(i == 0	 ? decode_and_abort :
				i == 1	 ? answer :
				i == 2	 ? answer_and_rest :
				i == 3	 ? stop_well :
					   decode,
				i + 1);
	/* At once, so that nobody is there yet who counts some of them. */
	for (size_t i = 0; i < LENGTH(dead); i++)
		kill(dead[i], SIGKILL);
	for (size_t i = 0; i < LENGTH(dead); i++)
		end(dead[i]);
	start_together(count_deaths, children);
	assert_int_equal(wait_for(children), 0);
	open_it();
	/* The children of start_together end without a word, too. */
	assert_int_equal(metrics_sum(METRIC_CRASHED), !SANITIZED);
	assert_int_equal(metrics_sum(METRIC_KILLED), 16 + SANITIZED + 2 + CHILDREN);
	assert_int_equal(metrics_sum(METRIC_STOPPED), 1);
	assert_int_equal(metrics_sum(METRIC_DECODE_CRASHES), 17);
	assert_int_equal(metrics_sum(METRIC_REQUESTS_LOST), 1);
	assert_int_equal(metrics_sum(METRIC_STARTS), LENGTH(dead) + CHILDREN + 1);
	/* The traces are there for who asks for these originals. */
	assert_int_equal(crashes(0).n, 17);
}

/* Who refuses an original counts the death that it finds, once. */
static void a_found_crash_is_counted(void **state)
{
	(void)state;
	open_it();
	end(start(decode, 42));
	assert_int_equal(crashes(42).n, 1);
	assert_int_equal(metrics_sum(METRIC_DECODE_CRASHES), 1);
	open_it();
	count_deaths(0);
	assert_int_equal(metrics_sum(METRIC_DECODE_CRASHES), 1);
	assert_int_equal(metrics_sum(METRIC_KILLED), 1);
}

static size_t slots_of(const char *name, uint64_t *starts)
{
	struct metrics_slot slot;
	size_t n = 0;
	*starts = 0;
	for (size_t i = 0; i < metrics_slots(); i++) {
		metrics_look(i, &slot);
		if (strcmp(slot.group, name) == 0) {
			*starts += slot.counters[METRIC_STARTS];
			n++;
		}
	}
	return n;
}

static void slots_stay_with_their_group(void **state)
{
	static const char *const groups[] = {"a", "b", "a", "b", "b", "a"};
	uint64_t starts;
	(void)state;
	for (size_t i = 0; i < LENGTH(groups); i++) {
		group = groups[i];
		end(start(stop_well, 1));
	}
	group = "";
	open_it();
	assert_int_equal(slots_of("a", &starts), 1);
	assert_int_equal(starts, 3);
	assert_int_equal(slots_of("b", &starts), 1);
	assert_int_equal(starts, 3);
	assert_int_equal(metrics_slots(), 3);
}

/* Then a slot of another group is better than none. */
static void all_slots_are_of_others(void **state)
{
	struct flock others = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = METRICS_SLOTS - 1};
	struct error err;
	uint64_t starts;
	(void)state;
	group = "a";
	end(start(stop_well, 1));
	int fd = open(file, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &others), 0);
	group = "";
	assert_true(metrics_open(path, "b", &err));
	assert_int_equal(slots_of("b", &starts), 1);
	assert_int_equal(slots_of("a", &starts), 0);
	close(fd);
}

static void switch_work(uint64_t n)
{
	for (uint64_t i = 0; i < ROUNDS; i++) {
		metrics_busy(i % 3 ? BUSY_ANSWERING : BUSY_AFTERWARDS);
		metrics_busy(n % 2 && i % 5 ? BUSY_AFTERWARDS : BUSY_NOT);
	}
}

static void busy_time_only_grows(void **state)
{
	static uint64_t last[METRICS_SLOTS];
	pid_t children[CHILDREN];
	struct metrics_slot slot;
	int status;
	(void)state;
	open_it();
	start_together(switch_work, children);
	for (size_t done = 0; done < CHILDREN;) {
		for (size_t i = 0; i < metrics_slots(); i++) {
			metrics_look(i, &slot);
			assert_true(slot.busy_us >= last[i]);
			last[i] = slot.busy_us;
		}
		if (waitpid(children[done], &status, WNOHANG) == children[done])
			done++;
	}
}

/* An hour is over when the file says a minute of then. */
static void make_older(uint64_t thing, uint64_t minutes)
{
	static uint64_t words[1 << 14];
	int fd = open(file, O_RDWR | O_CLOEXEC);
	size_t n = (size_t)pread(fd, words, sizeof words, 0) / sizeof *words, found = 0;
	for (size_t i = 0; i < n; i++)
		if (words[i] && words[i] >> 24 == thing >> 24) {
			words[i] -= minutes;
			assert_int_equal(pwrite(fd, &words[i], sizeof *words, (off_t)(i * sizeof *words)), sizeof *words);
			found++;
		}
	assert_int_equal(found, 1);
	close(fd);
}

static void say_twice(uint64_t thing)
{
	if (!metrics_first(thing) || metrics_first(thing))
		_exit(1);
}

static void things_are_new_once_an_hour(void **state)
{
	const uint64_t thing = UINT64_C(0x123456789abcdef0);
	(void)state;
	end(start(say_twice, thing));
	open_it();
	assert_false(metrics_first(thing));
	assert_true(metrics_first(thing + (UINT64_C(1) << 40)));
	make_older(thing, 58);
	assert_false(metrics_first(thing));
	make_older(thing, 2);
	assert_true(metrics_first(thing));
	assert_false(metrics_first(thing));

	/* More than there is room for: each is new once, and most of the last ones are remembered. */
	size_t again = 0;
	for (uint64_t i = 1; i <= 20000; i++)
		assert_true(metrics_first(i * UINT64_C(0x9e3779b97f4a7c15)));
	for (uint64_t i = 20000; i > 19000; i--)
		again += metrics_first(i * UINT64_C(0x9e3779b97f4a7c15));
	assert_in_range(again, 0, 500);
}

/* That of a program with another layout, which may run beside this one. */
static void the_file_of_another_layout_is_left_alone(void **state)
{
	char other[120], text[8] = "";
	(void)state;
	snprintf(other, sizeof other, "%s.1", path);
	FILE *f = fopen(other, "we");
	assert_int_equal(fwrite("before", 1, 6, f), 6);
	fclose(f);
	end(start(decode, 1));
	open_it();
	assert_int_equal(crashes(1).n, 1);
	f = fopen(other, "re");
	assert_int_equal(fread(text, 1, sizeof text, f), 6);
	fclose(f);
	assert_string_equal(text, "before");
	unlink(other);
}

/* What nobody has used takes no room on the disk. */
static void the_file_is_as_large_as_its_processes(void **state)
{
	struct stat one, three;
	(void)state;
	open_it();
	assert_int_equal(stat(file, &one), 0);
	assert_in_range(one.st_blocks * 512, 1, 100000);
	pid_t a = start(decode, 1), b = start(decode, 2);
	assert_int_equal(stat(file, &three), 0);
	assert_in_range(three.st_blocks - one.st_blocks, 1, 2 * 8192 / 512);
	end(a);
	end(b);
}

static void count_crashes(uint64_t n)
{
	(void)n;
	_exit((int)crashes(0).n);
}

static void each_crash_is_found_by_one(void **state)
{
	pid_t children[CHILDREN];
	(void)state;
	for (uint64_t i = 0; i < 20; i++)
		end(start(decode, i + 1));
	start_together(count_crashes, children);
	assert_int_equal(wait_for(children), 20);
	open_it();
	assert_int_equal(crashes(0).n, 0);
}

static void no_crash_costs_little(void **state)
{
	(void)state;
	pid_t child = start(decode, 1);
	open_it();
	int64_t began = clock_us();
	for (int i = 0; i < 100000; i++)
		crashes(2);
	if (!SANITIZED)
		assert_in_range(clock_us() - began, 0, 100000);
	end(child);
}

/* Counts and marks all the same, of this process alone. */
static void must_be_private(const char *at, const char *why)
{
	struct error err = {0};
	assert_false(metrics_open(at, "", &err));
	if (!strstr(err.why, why))
		fail_msg("%s: %s", at, err.why);
	uint64_t before = metrics_sum(METRIC_FALLBACKS);
	metrics_add(METRIC_FALLBACKS, 3);
	assert_int_equal(metrics_sum(METRIC_FALLBACKS), before + 3);
	metrics_mark(MARK_FETCH, 1, 2);
	assert_int_equal(metrics_marked(MARK_FETCH, 2), 1);
	metrics_mark(MARK_DECODE, 1, 2);
	assert_int_equal(metrics_marked(MARK_FETCH, 0), 0);
	assert_int_equal(crashes(0).n, 0);
	metrics_mark(MARK_NONE, 0, 0);
}

static void write_file(size_t n, char fill)
{
	static char bytes[1 << 23];
	memset(bytes, fill, n);
	FILE *f = fopen(file, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static void unusable_places(void **state)
{
	char link[120];
	char long_path[5000];
	struct stat st;
	(void)state;
	must_be_private("", "none is named");
	must_be_private("/nowhere/at/all", "No such file");
	must_be_private("/proc/board", "No such file");
	memset(long_path, 'a', sizeof long_path);
	long_path[sizeof long_path - 1] = '\0';
	must_be_private(long_path, "too long");

	assert_int_equal(mkdir(file, 0700), 0);
	must_be_private(path, "directory");
	rmdir(file);
	assert_int_equal(mkfifo(file, 0600), 0);
	must_be_private(path, "not a regular file");
	unlink(file);

	snprintf(link, sizeof link, "%s/link", folder);
	assert_int_equal(symlink(link, file), 0);
	must_be_private(path, "symbolic links");
	unlink(file);

	if (geteuid() != 0) {
		write_file(0, 0);
		chmod(file, 0400);
		must_be_private(path, "denied");
	}

	/* What is no such file stays as it is. */
	static const size_t sizes[] = {1, 4096, 4263936, 1 << 20};
	for (size_t i = 0; i < LENGTH(sizes); i++) {
		unlink(file);
		write_file(sizes[i], 'x');
		must_be_private(path, "not such a file");
		assert_int_equal(stat(file, &st), 0);
		assert_int_equal(st.st_size, sizes[i]);
	}
	unlink(file);
	open_it();
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, 4263936);
}

static void no_slot_is_free(void **state)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = METRICS_SLOTS};
	(void)state;
	open_it();
	metrics_add(METRIC_WAITS, 1);
	must_be_private("", "none");
	int fd = open(file, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &all), 0);
	struct error err = {0};
	assert_false(metrics_open(path, "", &err));
	assert_non_null(strstr(err.why, "no free slot"));

	all.l_start = METRICS_SLOTS - 1;
	all.l_len = 1;
	all.l_type = F_UNLCK;
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &all), 0);
	open_it();
	metrics_add(METRIC_WAITS, 1);
	assert_int_equal(metrics_sum(METRIC_WAITS), 2);
	close(fd);
}

/* The slots with traces are taken when there are no others. */
static void all_slots_have_traces(void **state)
{
	struct flock others = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = METRICS_SLOTS - 1};
	(void)state;
	end(start(decode, 1));
	int fd = open(file, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &others), 0);
	open_it();
	assert_int_equal(crashes(0).n, 0);
	close(fd);
}

#define with_file(test) cmocka_unit_test_teardown(test, remove_file)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_file(counts_outlive_their_process),
		with_file(a_killed_decoder_is_found_once),
		with_file(a_bug_is_certain),
		with_file(a_bug_is_known_at_once),
		with_file(traces_survive_new_owners),
		with_file(fetches_are_counted_by_host),
		with_file(many_at_once_lose_nothing),
		with_file(each_crash_is_found_by_one),
		with_file(each_death_counts_once),
		with_file(a_found_crash_is_counted),
		with_file(slots_stay_with_their_group),
		with_file(all_slots_are_of_others),
		with_file(busy_time_only_grows),
		with_file(things_are_new_once_an_hour),
		with_file(the_file_of_another_layout_is_left_alone),
		with_file(the_file_is_as_large_as_its_processes),
		with_file(no_crash_costs_little),
		with_file(unusable_places),
		with_file(no_slot_is_free),
		with_file(all_slots_have_traces),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
