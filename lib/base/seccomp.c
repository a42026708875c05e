/* SPDX-License-Identifier: BSD-2-Clause */
#include "seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
/* From here on calls are those of x32. */
#define FIRST_STRANGE 0x40000000
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0
#endif

/* The C library names its memory by it; not in all headers. */
#define SET_VMA 0x53564d41
#define MOST 600
#define REFUSE(number) (SECCOMP_RET_ERRNO | (number))
#define LENGTH(a) (sizeof(a) / sizeof *(a))

static const int allowed[] = {
	/* What every request needs comes first: older kernels go through this list for each call. */
	SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_openat, SYS_openat2, SYS_close, SYS_fstat,
	SYS_newfstatat, SYS_statx, SYS_ppoll, SYS_shutdown, SYS_timer_settime, SYS_setitimer, SYS_clock_gettime, SYS_futex,
	SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk, SYS_rt_sigreturn, SYS_rt_sigprocmask,
	SYS_rt_sigaction, SYS_rt_sigpending, SYS_rt_sigtimedwait, SYS_sigaltstack, SYS_lseek, SYS_preadv, SYS_pwritev,
	SYS_preadv2, SYS_pwritev2, SYS_restart_syscall,
	/* files and folders: which of them is Landlock's */
	SYS_faccessat, SYS_faccessat2, SYS_readlinkat, SYS_getdents64, SYS_getcwd, SYS_statfs, SYS_fstatfs, SYS_fsync,
	SYS_fdatasync, SYS_sync_file_range, SYS_ftruncate, SYS_truncate, SYS_fallocate, SYS_fadvise64, SYS_readahead, SYS_msync,
	SYS_mincore, SYS_mkdirat, SYS_unlinkat, SYS_renameat, SYS_renameat2, SYS_linkat, SYS_fchmod, SYS_fchown, SYS_utimensat,
	SYS_umask, SYS_flock, SYS_dup, SYS_dup3, SYS_copy_file_range, SYS_sendfile,
	/* talking on what is open, waiting */
	SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg, SYS_sendto, SYS_sendmsg, SYS_sendmmsg, SYS_getsockname, SYS_getpeername,
	SYS_getsockopt, SYS_setsockopt, SYS_pipe2, SYS_eventfd2, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_pselect6,
	/* time */
	SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_timer_create, SYS_timer_gettime,
	SYS_timer_getoverrun, SYS_timer_delete, SYS_getitimer, SYS_times, SYS_timerfd_create, SYS_timerfd_settime,
	/* itself and its threads */
	SYS_set_robust_list, SYS_get_robust_list, SYS_rseq, SYS_set_tid_address, SYS_membarrier, SYS_sched_yield,
	SYS_sched_getaffinity, SYS_sched_getparam, SYS_sched_getscheduler, SYS_sched_get_priority_max,
	SYS_sched_get_priority_min, SYS_getcpu, SYS_getpriority, SYS_getpid, SYS_getppid, SYS_gettid, SYS_getuid, SYS_geteuid,
	SYS_getgid, SYS_getegid, SYS_getgroups, SYS_getresuid, SYS_getresgid, SYS_getpgid, SYS_getsid, SYS_getrandom,
	SYS_getrusage, SYS_sysinfo, SYS_uname, SYS_exit, SYS_exit_group,
#ifdef SYS_open
	SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_getdents, SYS_mkdir, SYS_rmdir, SYS_unlink, SYS_rename,
	SYS_link, SYS_poll, SYS_select, SYS_pipe, SYS_dup2, SYS_epoll_create, SYS_epoll_wait, SYS_eventfd, SYS_alarm, SYS_pause,
	SYS_time, SYS_getrlimit, SYS_getpgrp, SYS_arch_prctl,
#endif
};

static const int deadly[] = {
	SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
};

/* Not ENOSYS, which would have a library try older ways of the same. */
static const int refused[] = {
	SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_clone, SYS_kill, SYS_tkill,
	SYS_tgkill, SYS_fcntl, SYS_prctl, SYS_prlimit64, SYS_fchmodat, SYS_fchownat, SYS_symlinkat, SYS_mknodat, SYS_setrlimit,
#ifdef SYS_fork
	SYS_fork, SYS_vfork, SYS_chmod, SYS_chown, SYS_lchown, SYS_symlink, SYS_mknod, SYS_creat,
#endif
};

enum test { IS, HAS };

/* Allowed if an argument is such a value, or has its bit: the kernel takes all of these as 32 bits. */
struct condition {
	int call;
	unsigned argument;
	enum test test;
	uint32_t value;
	bool and_next;                  /* the next row must hold as well */
};

struct program {
	struct sock_filter at[MOST];
	unsigned short n;
};

static void add(struct program *p, struct sock_filter step)
{
	if (p->n < MOST)
		p->at[p->n++] = step;
}

static void load(struct program *p, size_t offset)
{
	add(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void end(struct program *p, uint32_t with)
{
	add(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, with));
}

/* The accumulator has the call's number here, and wherever a row of the tables begins. */
static void answer(struct program *p, const int *calls, size_t n, uint32_t with)
{
	for (size_t i = 0; i < n; i++) {
		add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i], 0, 1));
		end(p, with);
	}
}

static void skip_unless(struct program *p, const struct condition *c, uint8_t steps)
{
	uint16_t test = c->test == HAS ? BPF_JSET : BPF_JEQ;
	load(p, offsetof(struct seccomp_data, args) + 8 * c->argument);
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | test | BPF_K, c->value, 0, steps));
}

/* One row, or two that must both hold. */
static void allow(struct program *p, const struct condition *c)
{
	uint8_t second = c->and_next ? 2 : 0;
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)c->call, 0, second + 4));
	skip_unless(p, c, second + 1);
	if (c->and_next)
		skip_unless(p, c + 1, 1);
	end(p, SECCOMP_RET_ALLOW);
	load(p, offsetof(struct seccomp_data, nr));
}

static void allow_all(struct program *p, const struct condition *c, size_t n)
{
	for (size_t i = 0; i < n; i += c[i].and_next ? 2 : 1)
		allow(p, &c[i]);
}

static void allow_conditions(struct program *p, bool network)
{
	const uint32_t self = (uint32_t)getpid();
	const struct condition rows[] = {
		{SYS_accept, 0, IS, 0, false},
		{SYS_accept4, 0, IS, 0, false},
		/* Orders to signal others, which a descriptor would carry out. */
		{SYS_fcntl, 1, IS, F_GETFL, false},
		{SYS_fcntl, 1, IS, F_SETFL, false},
		{SYS_fcntl, 1, IS, F_GETFD, false},
		{SYS_fcntl, 1, IS, F_SETFD, false},
		{SYS_fcntl, 1, IS, F_GETLK, false},
		{SYS_fcntl, 1, IS, F_SETLK, false},
		{SYS_fcntl, 1, IS, F_SETLKW, false},
		{SYS_fcntl, 1, IS, F_OFD_GETLK, false},
		{SYS_fcntl, 1, IS, F_OFD_SETLK, false},
		{SYS_fcntl, 1, IS, F_OFD_SETLKW, false},
		{SYS_fcntl, 1, IS, F_DUPFD, false},
		{SYS_fcntl, 1, IS, F_DUPFD_CLOEXEC, false},
		{SYS_ioctl, 1, IS, FIONREAD, false},
		{SYS_ioctl, 1, IS, FIONBIO, false},
		{SYS_ioctl, 1, IS, TCGETS, false},
		{SYS_clone, 0, HAS, CLONE_THREAD, false},
		{SYS_prctl, 0, IS, PR_SET_NAME, false},
		{SYS_prctl, 0, IS, SET_VMA, false},
		{SYS_prlimit64, 0, IS, 0, false},
		{SYS_tgkill, 0, IS, self, false},
		{SYS_kill, 0, IS, self, false},
		{SYS_socket, 0, IS, AF_NETLINK, true},
		{SYS_socket, 2, IS, NETLINK_SOCK_DIAG, false},
		/* Of a netlink socket: no other address is as short. */
		{SYS_bind, 2, IS, sizeof(struct sockaddr_nl), false},
	};
	const struct condition more[] = {
		{SYS_socket, 0, IS, AF_INET, false},
		{SYS_socket, 0, IS, AF_INET6, false},
		{SYS_socket, 0, IS, AF_UNIX, false},
		/* getaddrinfo asks which addresses there are. */
		{SYS_socket, 0, IS, AF_NETLINK, true},
		{SYS_socket, 2, IS, NETLINK_ROUTE, false},
	};
	static const int calls[] = {SYS_connect, SYS_socketpair};
	allow_all(p, rows, LENGTH(rows));
	if (network) {
		allow_all(p, more, LENGTH(more));
		answer(p, calls, LENGTH(calls), SECCOMP_RET_ALLOW);
	}
}

static void write_program(struct program *p, bool network)
{
	load(p, offsetof(struct seccomp_data, arch));
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0));
	end(p, SECCOMP_RET_KILL_PROCESS);
	load(p, offsetof(struct seccomp_data, nr));
#ifdef FIRST_STRANGE
	add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FIRST_STRANGE, 0, 1));
	end(p, SECCOMP_RET_KILL_PROCESS);
#endif
	answer(p, allowed, LENGTH(allowed), SECCOMP_RET_ALLOW);
	allow_conditions(p, network);
	answer(p, deadly, LENGTH(deadly), SECCOMP_RET_KILL_PROCESS);
	answer(p, refused, LENGTH(refused), REFUSE(EPERM));
	answer(p, (const int[]){SYS_ioctl}, 1, REFUSE(ENOTTY));
	end(p, REFUSE(ENOSYS));
}

bool seccomp_is_there(void)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;
	return ARCHITECTURE && syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

bool seccomp_enter(bool network, struct error *err)
{
	struct program p = {.n = 0};
	if (!seccomp_is_there())
		return fail(err, 500, REASON_INTERNAL, "", "seccomp: this kernel, or this processor, has none");
	write_program(&p, network);
	const struct sock_fprog filter = {p.n, p.at};
	/* A positive result names a thread that could not be had. */
	bool ok = p.n < MOST && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		  syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0;
	return ok || fail(err, 500, REASON_INTERNAL, "", "seccomp: %s", strerror(errno));
}
