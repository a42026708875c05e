/* SPDX-License-Identifier: BSD-2-Clause */
#include "metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Counts up with each change of the structs below or of the meaning of a counter's place. */
#define LAYOUT 1
#define MAGIC (UINT64_C(0x4c4f52494b450000) | LAYOUT)
#define LINE_BYTES 64
#define MARK_BITS 8
#define ALT_STACK_BYTES 65536

struct slot {
	alignas(LINE_BYTES) _Atomic uint64_t counters[METRICS];
	/* The mark, and above it how often it was set, so that a claim never meets a later mark of the same kind. */
	alignas(LINE_BYTES) _Atomic uint64_t mark;
	_Atomic uint64_t original, host, signalled;
};

struct board {
	_Atomic uint64_t magic;
	_Atomic uint64_t used;          /* no slot from here on was ever taken: it need not be looked at */
	struct slot slots[METRICS_SLOTS];
};

_Static_assert(METRICS == 24 && sizeof(struct slot) == 4 * LINE_BYTES, "a new layout number, please");

static struct slot private_slot;

static struct {
	int fd;
	struct board *board;            /* NULL without a file */
	struct slot *own;
} here = {-1, NULL, &private_slot};

static const struct {
	const char *name, *help;
} texts[METRICS] = {
	[METRIC_CACHE_HITS] = {"cache_hits", "Originals opened from the cache."},
	[METRIC_CACHE_STALE] = {"cache_stale", "Originals served from the cache past their time."},
	[METRIC_CACHE_MISSES] = {"cache_misses", "Requests whose original was not in the cache."},
	[METRIC_CACHE_EVICTIONS] = {"cache_evictions", "Originals removed from the cache to make room."},
	[METRIC_CACHE_EVICTED_BYTES] = {"cache_evicted_bytes", "Bytes removed from the cache to make room."},
	[METRIC_CACHE_DROPPED] = {"cache_dropped", "Files of the cache thrown away because they were damaged."},
	[METRIC_CACHE_UNUSABLE] = {"cache_unusable", "Originals for which the cache could not be used."},
	[METRIC_REVALIDATIONS] = {"revalidations", "Questions to an origin whether an original has changed."},
	[METRIC_REVALIDATED] = {"revalidated", "Originals that an origin called unchanged."},
	[METRIC_ORIGIN_REQUESTS] = {"origin_requests", "Requests sent to origins."},
	[METRIC_ORIGIN_BYTES] = {"origin_bytes", "Bytes of bodies received from origins."},
	[METRIC_ORIGIN_MISSING] = {"origin_missing", "Answers of origins that there is no such original (404, 410)."},
	[METRIC_ORIGIN_DENIED] = {"origin_denied", "Answers of origins that access is denied (401, 403)."},
	[METRIC_ORIGIN_THROTTLED] = {"origin_throttled", "Answers of origins to ask less often (429, SlowDown)."},
	[METRIC_ORIGIN_FAILED] = {"origin_failed", "Transfers that failed: 5xx, broken connections, wrong answers."},
	[METRIC_ORIGIN_TIMEOUTS] = {"origin_timeouts", "Transfers that took too long."},
	[METRIC_ORIGIN_REFUSED] = {"origin_refused", "Transfers not begun because the address may not be asked."},
	[METRIC_ORIGIN_DAMAGED] = {"origin_damaged", "Bodies that are not what their digest or length says."},
	[METRIC_ORIGIN_RESUMED] = {"origin_resumed", "Broken transfers that were continued where they had stopped."},
	[METRIC_WAITS] = {"waits", "Requests that waited for the download or the verification of another."},
	[METRIC_WAITS_REFUSED] = {"waits_refused", "Requests refused at once because too many were waiting."},
	[METRIC_WAITS_LATE] = {"waits_late", "Requests that waited for their original in vain."},
	[METRIC_FALLBACKS] = {"fallbacks", "Answers made from a fallback instead of the original."},
	[METRIC_CRASHES] = {"crashes", "Worker processes that died while they decoded an original."},
};

static bool unusable(struct error *err, const char *path, const char *why)
{
	return fail(err, 500, REASON_IO, "The counters could not be opened.", "metrics file: %s: %s", why, path);
}

/* One byte a slot; the bytes are only locked, what is in them does not matter. */
static struct flock byte_of(size_t slot, short type)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)slot, .l_len = 1};
}

static bool try_lock(size_t slot, short type)
{
	struct flock lock = byte_of(slot, type);
	return fcntl(here.fd, F_OFD_SETLK, &lock) == 0;
}

static bool is_locked(size_t slot)
{
	struct flock lock = byte_of(slot, F_WRLCK);
	return fcntl(here.fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

static struct slot *slots(size_t *n)
{
	if (!here.board) {
		*n = 1;
		return &private_slot;
	}
	uint64_t used = atomic_load(&here.board->used);
	*n = used < METRICS_SLOTS ? used : METRICS_SLOTS;
	return here.board->slots;
}

static enum mark kind_of(uint64_t word)
{
	return word & ((1 << MARK_BITS) - 1);
}

static uint64_t next_word(uint64_t word, enum mark mark)
{
	return ((word >> MARK_BITS) + 1) << MARK_BITS | mark;
}

static void set_mark(struct slot *s, enum mark mark)
{
	atomic_store(&s->mark, next_word(atomic_load(&s->mark), mark));
}

/* Without a file again. */
static void leave(void)
{
	if (here.own != &private_slot)
		set_mark(here.own, MARK_NONE);
	if (here.board)
		munmap(here.board, sizeof *here.board);
	if (here.fd >= 0)
		close(here.fd);
	here.fd = -1;
	here.board = NULL;
	here.own = &private_slot;
}

/*
 * An empty file gets its size. Any number of processes may do so at once, as all want the same size. The room on the
 * disk is taken first, where that can be done: a write to a hole of a mapped file on a full disk would be a SIGBUS.
 */
static bool grow(int fd, struct stat *st)
{
	if (st->st_size != 0)
		return true;
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, sizeof(struct board)) < 0 && errno != EOPNOTSUPP)
		return false;
	return ftruncate(fd, sizeof(struct board)) == 0 && fstat(fd, st) == 0;
}

/* A new file is all zeros, and whoever comes first writes the magic. */
static bool has_magic(struct board *board, bool make)
{
	uint64_t zero = 0;
	if (make)
		atomic_compare_exchange_strong(&board->magic, &zero, MAGIC);
	return atomic_load(&board->magic) == MAGIC;
}

static bool map(const char *path, bool make, struct error *err)
{
	char name[PATH_MAX];
	struct stat st;
	if (!*path)
		return unusable(err, "", "none is named");
	if (snprintf(name, sizeof name, "%s.%d", path, LAYOUT) >= (int)sizeof name)
		return unusable(err, path, strerror(ENAMETOOLONG));
	/* O_NONBLOCK: a pipe that lies there must not hold us up. */
	int how = make ? O_RDWR | O_CREAT : O_RDONLY;
	here.fd = open(name, how | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0660);
	if (here.fd < 0 || fstat(here.fd, &st) < 0)
		return unusable(err, name, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return unusable(err, name, "not a regular file");
	if (make && !grow(here.fd, &st))
		return unusable(err, name, strerror(errno));
	if (st.st_size != sizeof *here.board)
		return unusable(err, name, "not such a file: its size is wrong");

	void *at = mmap(NULL, sizeof *here.board, make ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, here.fd, 0);
	if (at == MAP_FAILED)
		return unusable(err, name, strerror(errno));
	here.board = at;
	return has_magic(here.board, make) || unusable(err, name, "not such a file: its first bytes are wrong");
}

static void adopt(size_t i)
{
	uint64_t used = atomic_load(&here.board->used);
	here.own = &here.board->slots[i];
	set_mark(here.own, MARK_NONE);
	atomic_store(&here.own->signalled, 0);
	while (used < i + 1 && !atomic_compare_exchange_weak(&here.board->used, &used, i + 1))
		;
}

/* Leaves slots with the trace of a crash to metrics_crashes, unless there are no others. */
static bool take_slot(bool with_trace)
{
	for (size_t i = 0; i < METRICS_SLOTS; i++) {
		const struct slot *s = &here.board->slots[i];
		if (!with_trace && kind_of(atomic_load(&s->mark)) == MARK_DECODE)
			continue;
		if (!try_lock(i, F_WRLCK))
			continue;
		/* Its owner may have marked it and died meanwhile. */
		if (with_trace || kind_of(atomic_load(&s->mark)) != MARK_DECODE) {
			adopt(i);
			return true;
		}
		try_lock(i, F_UNLCK);
	}
	return false;
}

/* Whether the process that set this mark is gone and nobody else has taken its mark away. */
static bool claim(size_t i, struct slot *s, uint64_t word)
{
	return s != here.own && !is_locked(i) &&
	       atomic_compare_exchange_strong(&s->mark, &word, next_word(word, MARK_NONE));
}

static void clear_dead_fetches(void)
{
	size_t n;
	struct slot *s = slots(&n);
	for (size_t i = 0; i < n; i++) {
		uint64_t word = atomic_load(&s[i].mark);
		if (kind_of(word) == MARK_FETCH)
			claim(i, &s[i], word);
	}
}

bool metrics_open(const char *path, struct error *err)
{
	leave();
	bool ok = map(path, true, err) && (take_slot(false) || take_slot(true) ||
					   unusable(err, path, "no free slot, or locks do not work there"));
	if (ok)
		clear_dead_fetches();
	else
		leave();
	return ok;
}

bool metrics_read(const char *path, struct error *err)
{
	leave();
	bool ok = map(path, false, err);
	if (!ok)
		leave();
	return ok;
}

void metrics_add(enum metric metric, uint64_t n)
{
	atomic_fetch_add_explicit(&here.own->counters[metric], n, memory_order_relaxed);
}

uint64_t metrics_sum(enum metric metric)
{
	uint64_t sum = 0;
	size_t n;
	const struct slot *s = slots(&n);
	for (size_t i = 0; i < n; i++)
		sum += atomic_load_explicit(&s[i].counters[metric], memory_order_relaxed);
	return sum;
}

void metrics_write(struct buf *out)
{
	for (enum metric m = 0; m < METRICS; m++) {
		const char *name = texts[m].name;
		buf_printf(out, "# HELP lorikeet_%s_total %s\n", name, texts[m].help);
		buf_printf(out, "# TYPE lorikeet_%s_total counter\n", name);
		buf_printf(out, "lorikeet_%s_total %llu\n", name, (unsigned long long)metrics_sum(m));
	}
}

/* Unmarked while the other fields change, so that no mark is ever seen with the fields of another. */
void metrics_mark(enum mark mark, uint64_t original, uint64_t host)
{
	set_mark(here.own, MARK_NONE);
	if (mark == MARK_NONE)
		return;
	atomic_store(&here.own->original, original);
	atomic_store(&here.own->host, host);
	set_mark(here.own, mark);
}

size_t metrics_marked(enum mark mark, uint64_t host)
{
	size_t n, marked = 0;
	const struct slot *s = slots(&n);
	for (size_t i = 0; i < n; i++)
		if (kind_of(atomic_load(&s[i].mark)) == mark && (host == 0 || atomic_load(&s[i].host) == host))
			marked++;
	return marked;
}

void metrics_crashes(uint64_t original, void (*found)(void *with, uint64_t original, bool certain), void *with)
{
	size_t n;
	struct slot *s = slots(&n);
	if (here.own == &private_slot)
		return;
	for (size_t i = 0; i < n; i++) {
		uint64_t word = atomic_load(&s[i].mark), of = atomic_load(&s[i].original);
		bool certain = atomic_load(&s[i].signalled);
		if (kind_of(word) == MARK_DECODE && (original == 0 || of == original) && claim(i, &s[i], word))
			found(with, of, certain);
	}
}

#if SANITIZED
/* They report these signals themselves. */
void metrics_watch_signals(void)
{
}
#else
static void note(int signal)
{
	atomic_store(&here.own->signalled, 1);
	raise(signal);
}

/* On a stack of its own: the bug may have used up the other. */
void metrics_watch_signals(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
	static char stack[ALT_STACK_BYTES];
	const struct sigaction action = {.sa_handler = note, .sa_flags = (int)SA_RESETHAND | SA_NODEFER | SA_ONSTACK};
	sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		sigaction(signals[i], &action, NULL);
}
#endif
