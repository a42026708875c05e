/* SPDX-License-Identifier: BSD-2-Clause */
/* What a process of the pool can no longer do once it is in its sandbox (lib/server/sandbox.h), and what it still can:
 * each process that is tried enters as a worker or a fetcher does, and then does as an intruder would. */
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "cache_box.h"

#include "base/landlock.h"
#include "base/seccomp.h"
#include "server/sandbox.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

static const char *root, *aside, *cache, *temporary, *secret, *settings;

/* Sockets and a process from before. */
static int listening, stream;
static pid_t parent;

static int set_up(void **state)
{
	if (box_set_up(state) < 0)
		return -1;
	root = new_path("root");
	aside = new_path("aside");
	cache = new_folder("cache");
	temporary = new_path("temporary");
	must(mkdir(root, 0755) == 0 && mkdir(aside, 0755) == 0);
	secret = strdup(in(aside, "secret"));
	settings = strdup(in(aside, "lorikeet.conf"));
	put_text(in(root, "a.jpg"), "picture");
	put_text(secret, "hush\n");
	put_text(settings, "bearer = \"hush\";\n");
	must(symlink("a.jpg", in(root, "link")) == 0);
	return 0;
}

/* "local": a process of no role without origins. */
static struct config *read_config(struct arena *a, const char *role, const char *sandbox)
{
	struct error err;
	bool local = strcmp(role, "local") == 0;
	const char *http = arena_printf(
		a, ", { prefix = \"h/\"; type = \"http\"; url = \"http://127.0.0.1:9/{id}\"; secret_file = \"%s\"; }", secret);
	const char *text = arena_printf(
		a,
		"server: { role = \"%s\"; sandbox = \"%s\"; };\n"
		"cache: { folder = \"%s\"; temporary = \"%s\"; };\n"
		"rules = ( { prefix = \"f/\"; root = \"%s\"; }%s );\n",
		local ? "all" : role, sandbox, cache, temporary, root, local ? "" : http);
	struct config *c = config_load_text(a, text, "x.conf", environ, &err);
	if (!c)
		fprintf(stderr, "%s\n", err.why);
	must(c);
	return c;
}

/* As workers are, who are not root. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct self = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};
	must(syscall(SYS_capset, &self, none) == 0);
}

/* The log's timer must not end a child, whose handlers are gone. */
static struct sandbox *enter_quietly(struct arena *a, const struct config *c, struct error *err)
{
	signal(SIGALRM, SIG_IGN);
	return sandbox_enter(a, c, err);
}

/* In a child. */
static struct sandbox *enter(const char *role)
{
	struct arena *a = arena_open();
	struct error err;
	parent = getppid();
	listening = socket(AF_UNIX, SOCK_STREAM, 0);
	stream = socket(AF_INET, SOCK_STREAM, 0);
	const struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "\0lorikeet-contract-sandbox"};
	must(bind(listening, (const struct sockaddr *)&at, sizeof at) == 0 || errno == EADDRINUSE);
	drop_capabilities();
	struct sandbox *s = enter_quietly(a, read_config(a, role, "require"), &err);
	if (!s)
		fprintf(stderr, "%s\n", err.why);
	must(s);
	return s;
}

/* --- what is refused --- */

static int result_of(long result)
{
	return result < 0 ? errno : 0;
}

static int opened(const char *path, int flags)
{
	int fd = open(path, flags, 0600);
	int why = result_of(fd);
	if (fd >= 0)
		close(fd);
	return why;
}

static int of_parent(const char *name)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)parent, name);
	return opened(path, O_RDONLY);
}

#define TRY(name, ...)                                                                                                  \
	static int name(void)                                                                                           \
	{                                                                                                               \
		return __VA_ARGS__;                                                                                     \
	}

TRY(read_passwd, opened("/etc/passwd", O_RDONLY))
TRY(read_settings, opened(settings, O_RDONLY))
TRY(read_secret, opened(secret, O_RDONLY))
TRY(read_original, opened(in(root, "a.jpg"), O_RDONLY))
TRY(read_by_link, opened("/proc/self/root/etc/passwd", O_RDONLY))
TRY(read_environment, of_parent("environ"))
TRY(read_memory, of_parent("mem"))
TRY(write_own_memory, opened("/proc/self/mem", O_RDWR))
TRY(list_top, opened("/", O_RDONLY | O_DIRECTORY))
TRY(write_aside, opened(in(aside, "new"), O_WRONLY | O_CREAT))
TRY(write_into_root, opened(in(root, "new"), O_WRONLY | O_CREAT))
TRY(change_original, opened(in(root, "a.jpg"), O_WRONLY))
TRY(truncate_original, result_of(truncate(in(root, "a.jpg"), 0)))
TRY(remove_original, result_of(unlink(in(root, "a.jpg"))))
TRY(take_original_away, result_of(rename(in(root, "a.jpg"), in(cache, "a.jpg"))))
TRY(bring_to_cache, result_of(link(secret, in(cache, "secret"))))
TRY(make_link, result_of(symlink("/etc/passwd", in(cache, "passwd"))))
TRY(make_pipe, result_of(mkfifo(in(cache, "pipe"), 0600)))

static int fork_child(void)
{
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	return result_of(child);
}

static int spawn_child(void)
{
	char *const words[] = {(char *)"true", NULL};
	return posix_spawn(&(pid_t){0}, "/bin/true", NULL, NULL, words, environ);
}

TRY(clone_child, result_of(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL)))
TRY(ask_for_clone3, result_of(syscall(SYS_clone3, NULL, 0)))

static int socket_of(int family, int kind, int protocol)
{
	int fd = socket(family, kind, protocol);
	int why = result_of(fd);
	if (fd >= 0)
		close(fd);
	return why;
}

TRY(socket_4, socket_of(AF_INET, SOCK_STREAM, 0))
TRY(socket_6, socket_of(AF_INET6, SOCK_DGRAM, 0))
TRY(socket_unix, socket_of(AF_UNIX, SOCK_STREAM, 0))
TRY(socket_routes, socket_of(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE))
TRY(socket_audit, socket_of(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT))
TRY(socket_packet, socket_of(AF_PACKET, SOCK_DGRAM, 0))

static const struct sockaddr_in nowhere = {.sin_family = AF_INET, .sin_addr = {0x0100007f}};

/* To port 0, where nobody is. */
static int connect_4(void)
{
	int why = result_of(connect(stream, (const struct sockaddr *)&nowhere, sizeof nowhere));
	return why == EPERM ? EPERM : 0;
}

TRY(bind_4, result_of(bind(stream, (const struct sockaddr *)&nowhere, sizeof nowhere)))
TRY(listen_again, result_of(listen(listening, 1)))
TRY(accept_there, result_of(accept(listening, NULL, NULL)))
TRY(signal_parent, result_of(kill(parent, 0)))
TRY(signal_all, result_of(kill(-1, 0)))
TRY(signal_by_thread, result_of(syscall(SYS_tgkill, parent, parent, 0)))
TRY(signal_by_descriptor, result_of(fcntl(stream, F_SETOWN, parent)))
TRY(type_for_others, result_of(ioctl(0, TIOCSTI, "x")))

static int limit_parent(void)
{
	struct rlimit limit;
	return result_of(prlimit(parent, RLIMIT_NOFILE, NULL, &limit));
}

TRY(change_mode, result_of(chmod(in(root, "a.jpg"), 0600)))
TRY(undo, result_of(prctl(PR_SET_DUMPABLE, 1)))

enum who { NOBODY, FETCHERS, ALL_BUT_HEALTH };

static const struct {
	const char *what;
	int (*try)(void);
	enum who may;
} tries[] = {
	{"read /etc/passwd", read_passwd, NOBODY},
	{"read it by a link of the kernel's", read_by_link, NOBODY},
	{"read the configuration", read_settings, NOBODY},
	{"read a secret", read_secret, FETCHERS},
	{"read an original", read_original, ALL_BUT_HEALTH},
	{"read another process's environment", read_environment, NOBODY},
	{"read another process's memory", read_memory, NOBODY},
	{"open its own memory for writing", write_own_memory, NOBODY},
	{"list /", list_top, NOBODY},
	{"write beside", write_aside, NOBODY},
	{"write into a root", write_into_root, NOBODY},
	{"change an original", change_original, NOBODY},
	{"truncate an original", truncate_original, NOBODY},
	{"remove an original", remove_original, NOBODY},
	{"rename an original", take_original_away, NOBODY},
	{"change an original's mode", change_mode, NOBODY},
	{"link a secret into the cache", bring_to_cache, NOBODY},
	{"make a symbolic link", make_link, NOBODY},
	{"make a pipe", make_pipe, NOBODY},
	{"fork", fork_child, NOBODY},
	{"posix_spawn", spawn_child, NOBODY},
	{"clone", clone_child, NOBODY},
	{"clone3", ask_for_clone3, NOBODY},
	{"an IPv4 socket", socket_4, FETCHERS},
	{"an IPv6 socket", socket_6, FETCHERS},
	{"a unix socket", socket_unix, FETCHERS},
	{"a netlink socket for routes", socket_routes, FETCHERS},
	{"a netlink socket for audits", socket_audit, NOBODY},
	{"a packet socket", socket_packet, NOBODY},
	{"bind", bind_4, NOBODY},
	{"connect", connect_4, FETCHERS},
	{"listen", listen_again, NOBODY},
	{"accept on another socket", accept_there, NOBODY},
	{"signal another process", signal_parent, NOBODY},
	{"signal all", signal_all, NOBODY},
	{"signal another's thread", signal_by_thread, NOBODY},
	{"have a descriptor signal another", signal_by_descriptor, NOBODY},
	{"type into a terminal", type_for_others, NOBODY},
	{"read another's limits", limit_parent, NOBODY},
	{"have cores dumped", undo, NOBODY},
};

static const struct {
	const char *name;
	long call;
} never[] = {
#define CALL(name) {#name, SYS_##name}
	CALL(mount), CALL(umount2), CALL(pivot_root), CALL(chroot), CALL(unshare), CALL(setns), CALL(keyctl), CALL(add_key),
	CALL(request_key), CALL(bpf), CALL(perf_event_open), CALL(userfaultfd), CALL(io_uring_setup), CALL(io_uring_enter),
	CALL(init_module), CALL(finit_module), CALL(delete_module), CALL(kexec_load), CALL(reboot), CALL(swapon), CALL(setuid),
	CALL(setgid), CALL(setresuid), CALL(setreuid), CALL(setgroups), CALL(setfsuid), CALL(capset), CALL(personality),
	CALL(memfd_create), CALL(memfd_secret), CALL(shmget), CALL(semget), CALL(msgget), CALL(mq_open), CALL(open_by_handle_at),
	CALL(name_to_handle_at), CALL(pidfd_open), CALL(pidfd_getfd), CALL(pidfd_send_signal), CALL(process_madvise), CALL(kcmp),
	CALL(rt_sigqueueinfo), CALL(rt_tgsigqueueinfo), CALL(tkill), CALL(setpriority), CALL(sched_setaffinity), CALL(quotactl),
	CALL(acct), CALL(settimeofday), CALL(clock_settime), CALL(adjtimex), CALL(sethostname), CALL(syslog), CALL(lookup_dcookie),
	CALL(fanotify_init), CALL(inotify_init1), CALL(fsopen), CALL(open_tree), CALL(move_mount), CALL(mount_setattr),
	CALL(setxattr), CALL(removexattr), CALL(vmsplice), CALL(splice), CALL(tee), CALL(move_pages), CALL(migrate_pages),
	CALL(seccomp), CALL(landlock_create_ruleset), CALL(setsid), CALL(setpgid), CALL(ioprio_set), CALL(fchownat), CALL(mknodat),
};

static bool is_among(const char *role, enum who who)
{
	return who == FETCHERS ? strcmp(role, "fetcher") == 0 : who == ALL_BUT_HEALTH && strcmp(role, "health") != 0;
}

static void try_all(const void *role)
{
	int faults = 0;
	enter(role);
	for (size_t i = 0; i < LENGTH(tries); i++) {
		int why = tries[i].try();
		if ((why == 0) == is_among(role, tries[i].may))
			continue;
		fprintf(stderr, "%s: %s: %s\n", (const char *)role, tries[i].what, why ? strerror(why) : "not refused");
		faults++;
	}
	for (size_t i = 0; i < LENGTH(never); i++) {
		long result = syscall(never[i].call, -1L, -1L, -1L, -1L, -1L, -1L);
		if (result == -1 && (errno == ENOSYS || errno == EPERM))
			continue;
		fprintf(stderr, "%s: %s: %ld, %s\n", (const char *)role, never[i].name, result, strerror(errno));
		faults++;
	}
	must(faults == 0);
}

static void what_is_refused(void **state)
{
	(void)state;
	run_apart(try_all, "worker");
	run_apart(try_all, "health");
	run_apart(try_all, "fetcher");
	run_apart(try_all, "local");
	assert_true(exists(in(root, "a.jpg")));
}

/* --- what ends the process --- */

static void run_program(const void *with)
{
	(void)with;
	enter("worker");
	execl("/bin/true", "true", NULL);
}

static void run_descriptor(const void *with)
{
	int fd = open("/bin/true", O_RDONLY | O_CLOEXEC);
	(void)with;
	enter("fetcher");
	fexecve(fd, (char *const[]){(char *)"true", NULL}, environ);
}

static void trace_parent(const void *with)
{
	(void)with;
	enter("worker");
	ptrace(PTRACE_SEIZE, parent, NULL, NULL);
}

static void read_over_there(const void *with)
{
	char here[8];
	struct iovec to = {here, sizeof here}, from = {(void *)&parent, sizeof here};
	(void)with;
	enter("worker");
	process_vm_readv(parent, &to, 1, &from, 1, 0);
}

#ifdef __x86_64__
/* getpid, of 32 bits and of x32. */
static void call_by_the_old_gate(const void *with)
{
	long result;
	(void)with;
	enter("worker");
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
}

static void call_of_x32(const void *with)
{
	(void)with;
	enter("worker");
	syscall(0x40000000L | SYS_getpid);
}
#endif

static void what_ends_the_process(void **state)
{
	static void (*const bodies[])(const void *) = {
		run_program, run_descriptor, trace_parent, read_over_there,
#ifdef __x86_64__
		call_by_the_old_gate, call_of_x32,
#endif
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(bodies); i++) {
		int status = 0;
		pid_t child = start(bodies[i], NULL);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%zu: ended with %#x", i, (unsigned)status);
	}
}

/* --- what goes on --- */

static void *nothing(void *with)
{
	return with;
}

static void use_the_cache(void)
{
	const char *one = in(cache, "one"), *sub = in(cache, "sub"), *two = in(sub, "two");
	int fd = open(one, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	must(fd >= 0 && write(fd, "bytes", 5) == 5 && ftruncate(fd, 3) == 0 && fallocate(fd, 0, 0, 100) == 0);
	must(fdatasync(fd) == 0 && fchmod(fd, 0600) == 0 && mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
	must(fcntl(fd, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK, .l_len = 1}) == 0);
	must(mkdir(sub, 0750) == 0 && rename(one, two) == 0 && link(two, one) == 0);
	must(truncate(two, 0) == 0 && unlink(one) == 0 && unlink(two) == 0 && rmdir(sub) == 0 && close(fd) == 0);
}

static void do_its_work(const void *role)
{
	pthread_t thread;
	timer_t timer;
	enter(role);
	must(opened(in(root, "a.jpg"), O_RDONLY) == 0 && opened(in(root, "link"), O_RDONLY) == 0);
	must(opened(root, O_RDONLY | O_DIRECTORY) == 0);
	must(opened("/proc/self/statm", O_RDONLY) == 0 && opened("/dev/urandom", O_RDONLY) == 0);
	must(opened("/dev/null", O_RDWR) == 0 && opened("/sys/devices/system/cpu/online", O_RDONLY) == 0);
	use_the_cache();
	must(opened(in(temporary, "x"), O_RDWR | O_CREAT) == 0 && unlink(in(temporary, "x")) == 0);
	must(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
	must(timer_create(CLOCK_MONOTONIC, &(struct sigevent){.sigev_notify = SIGEV_NONE}, &timer) == 0);
	must(kill(getpid(), 0) == 0 && raise(0) == 0 && prctl(PR_SET_NAME, "decoder") == 0);
	must(socket_of(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG) == 0);
	/* The pool's socket is on 0: here there is none, which is another error. */
	must(accept(0, NULL, NULL) < 0 && errno != EPERM && errno != ENOSYS);
}

static void what_goes_on(void **state)
{
	(void)state;
	run_apart(do_its_work, "worker");
	run_apart(do_its_work, "fetcher");
	run_apart(do_its_work, "all");
}

/* --- secrets --- */

static bool is_wiped(const char *text)
{
	return !*text;
}

static struct config *config_with_secrets(struct arena *a, const char *role)
{
	struct error err;
	const char *text = arena_printf(
		a, "server: { role = \"%s\"; }; cache: { temporary = \"\"; };\n"
		   "origin: { password = \"one\"; headers = [\"X-Key: two\", \"X-Other: three\"]; proxy = \"http://u:p@h\"; };\n"
		   "rules = ( { type = \"http\"; url = \"http://h/{id}\"; bearer = \"four\"; user = \"somebody\"; },\n"
		   "{ type = \"s3\"; bucket = \"b\"; access_key = \"id\"; secret_key = \"five\"; session_token = \"six\"; } );\n",
		role);
	struct config *c = config_load_text(a, text, "x.conf", environ, &err);
	must(c);
	return c;
}

static void forget(const void *role)
{
	struct arena *a = arena_open();
	struct error err;
	must(setenv("LORIKEET_ORIGIN_PASSWORD", "seven", 1) == 0 && setenv("AWS_SECRET_ACCESS_KEY", "eight", 1) == 0);
	struct config *c = config_with_secrets(a, role);
	const struct config_rule *r = c->rules;
	bool gone = strcmp(role, "fetcher") != 0 && strcmp(role, "all") != 0;
	const char *const secrets[] = {
		r[0].password, r[0].headers[0], r[0].headers[1], r[0].proxy, r[0].bearer, r[1].secret_key, r[1].session_token,
		c->defaults.password, getenv("LORIKEET_ORIGIN_PASSWORD"), getenv("AWS_SECRET_ACCESS_KEY"),
	};
	must(strcmp(r[0].password, "seven") == 0 && enter_quietly(a, c, &err));
	for (size_t i = 0; i < LENGTH(secrets); i++)
		must(is_wiped(secrets[i]) == gone);
	must(strcmp(r[0].user, "somebody") == 0 && strcmp(r[1].access_key, "id") == 0 && strcmp(r[0].url, "http://h/{id}") == 0);
}

static void secrets_are_forgotten(void **state)
{
	(void)state;
	run_apart(forget, "worker");
	run_apart(forget, "health");
	run_apart(forget, "fetcher");
	run_apart(forget, "all");
}

/* --- kernels that have less --- */

/* As by a kernel that does not know the calls. */
static void take_away(int call)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = {LENGTH(steps), steps};
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

static bool enters(const char *role, const char *sandbox)
{
	struct arena *a = arena_open();
	struct error err = {0}, unused;
	const struct config *c = read_config(a, role, sandbox);
	bool may = sandbox_check(c, &unused), in_it = enter_quietly(a, c, &err);
	must(in_it == !err.status && may == in_it);
	return in_it;
}

static void without_landlock(const void *with)
{
	(void)with;
	take_away(SYS_landlock_create_ruleset);
	must(!enters("worker", "require"));
	must(read_passwd() == 0);
	must(enters("worker", "on") && read_passwd() == 0 && socket_4() == EPERM);
}

static void without_seccomp(const void *with)
{
	(void)with;
	take_away(SYS_seccomp);
	must(enters("worker", "on") && read_passwd() == EACCES && socket_4() == 0);
	must(!enters("worker", "require"));
}

static void switched_off(const void *with)
{
	struct arena *a = arena_open();
	(void)with;
	must(strstr(sandbox_support(a), "Landlock, version") && strstr(sandbox_support(a), "; seccomp"));
	must(enters("worker", "off") && read_passwd() == 0 && socket_4() == 0 && fork_child() == 0);
}

static void kernels_that_have_less(void **state)
{
	(void)state;
	run_apart(without_landlock, NULL);
	run_apart(without_seccomp, NULL);
	run_apart(switched_off, NULL);
}

static bool is_there(void)
{
	return !SANITIZED && landlock_version() && seccomp_is_there();
}

/* Wherever this runs. */
static void what_is_required_must_be_there(void **state)
{
	struct config required = {.sandbox = SANDBOX_REQUIRE}, wished = {.sandbox = SANDBOX_ON};
	struct arena *a = arena_open();
	struct error err = {0};
	(void)state;
	assert_int_equal(sandbox_check(&required, &err), is_there());
	assert_true(is_there() || strstr(err.why, "server.sandbox"));
	assert_true(sandbox_check(&wished, &err));
	assert_int_equal(strncmp(sandbox_support(a), "none", 4) == 0, SANITIZED);
	arena_close(a);
}

int main(void)
{
	const struct CMUnitTest always[] = {
		cmocka_unit_test(what_is_required_must_be_there),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(what_ends_the_process),
		cmocka_unit_test(what_goes_on),
		cmocka_unit_test(secrets_are_forgotten),
		cmocka_unit_test(kernels_that_have_less),
	};
	int failed = cmocka_run_group_tests(always, NULL, NULL);
	return failed + (is_there() ? cmocka_run_group_tests(tests, set_up, box_tear_down) : 0);
}
