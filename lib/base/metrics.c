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
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"

/* Counts up with each change of the structs below or of the meaning of a counter's place. */
#define LAYOUT 2
#define MAGIC (UINT64_C(0x4c4f52494b450000) | LAYOUT)
#define LINE_BYTES 64
#define PAGE_BYTES 4096
#define STATE_BITS 8
#define BUSY_BITS 2
#define ALT_STACK_BYTES 65536
#define SEEN_SETS 512
#define SEEN_WAYS 8
#define SEEN_MINUTES 60
#define MINUTE_BITS 24

/* Apart from the slots, as each decoding looks at all of them. */
struct trace {
	/* The mark, and above it how often it was set, so that a claim never meets a later mark of the same kind. */
	alignas(LINE_BYTES) _Atomic uint64_t mark;
	_Atomic uint64_t original, host, signalled;
};

struct slot {
	/* Whether it has an owner that has not said its end; above it, as with the mark, how often that was set. */
	alignas(PAGE_BYTES) _Atomic uint64_t life;
	/* enum busy in the lowest bits. Above it the time that there was any, up to now; while there is, less the time
	 * now. Who has looked at the clock may write late, so that others have seen more: that is kept beside it. */
	_Atomic uint64_t busy, seen_us;
	_Atomic uint64_t pid, role;
	char group[METRICS_GROUP_BYTES];
	alignas(LINE_BYTES) _Atomic uint64_t counters[METRICS_COUNTERS];
};

struct board {
	_Atomic uint64_t magic;
	_Atomic uint64_t used;          /* no slot from here on was ever taken: it need not be looked at */
	alignas(LINE_BYTES) _Atomic uint64_t seen[SEEN_SETS][SEEN_WAYS];
	struct trace traces[METRICS_SLOTS];
	struct slot slots[METRICS_SLOTS];
};

_Static_assert(METRICS_COUNTERS == 935 && sizeof(struct slot) == 2 * PAGE_BYTES, "a new layout number, please");

/* What a process without a file has. */
static struct {
	_Atomic uint64_t seen[SEEN_SETS][SEEN_WAYS];
	struct trace trace;
	struct slot slot;
} mine;

static struct {
	int fd;
	struct board *board;            /* NULL without a file */
	bool is_reader;
	struct slot *slot;
	struct trace *trace;
} here = {-1, NULL, false, &mine.slot, &mine.trace};

static bool unusable(struct error *err, const char *path, const char *why)
{
	return fail(err, 500, REASON_IO, "The counters could not be opened.", "metrics file: %s: %s", why, path);
}

/* One byte a slot; the bytes are only locked, what is in them does not matter. */
static bool is_locked(size_t slot)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)slot, .l_len = 1};
	return fcntl(here.fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

static bool is_private(void)
{
	return here.slot == &mine.slot;
}

void metrics_role(int role)
{
	atomic_store(&here.slot->role, (uint64_t)role);
}

size_t metrics_slots(void)
{
	if (!here.board)
		return 1;
	uint64_t used = atomic_load(&here.board->used);
	return used < METRICS_SLOTS ? used : METRICS_SLOTS;
}

bool metrics_are_shared(void)
{
	return here.board != NULL;
}

static struct slot *slot_at(size_t i)
{
	return here.board ? &here.board->slots[i] : &mine.slot;
}

static struct trace *trace_at(size_t i)
{
	return here.board ? &here.board->traces[i] : &mine.trace;
}

static unsigned state_of(uint64_t word)
{
	return word & ((1 << STATE_BITS) - 1);
}

static uint64_t next_word(uint64_t word, unsigned state)
{
	return ((word >> STATE_BITS) + 1) << STATE_BITS | state;
}

static void set_state(_Atomic uint64_t *word, unsigned state)
{
	atomic_store(word, next_word(atomic_load(word), state));
}

static enum busy busy_of(uint64_t word)
{
	return word & ((1 << BUSY_BITS) - 1);
}

static uint64_t busy_word(uint64_t word, enum busy busy)
{
	uint64_t us = word >> BUSY_BITS, now = (uint64_t)clock_us();
	if (busy_of(word))
		us += now;
	if (busy)
		us -= now;
	return us << BUSY_BITS | busy;
}

/* The clock of a machine that was started anew may be behind. */
static uint64_t busy_us(uint64_t word)
{
	int64_t us = (int64_t)busy_word(word, BUSY_NOT) >> BUSY_BITS;
	return us > 0 ? (uint64_t)us : 0;
}

static void count(struct slot *s, enum metric metric)
{
	atomic_fetch_add_explicit(&s->counters[metric], 1, memory_order_relaxed);
}

/* Without a file again. */
static void leave(void)
{
	if (!is_private()) {
		set_state(&here.trace->mark, MARK_NONE);
		set_state(&here.slot->life, false);
	}
	if (here.board)
		munmap(here.board, sizeof *here.board);
	if (here.fd >= 0)
		close(here.fd);
	here.fd = -1;
	here.board = NULL;
	here.is_reader = false;
	here.slot = &mine.slot;
	here.trace = &mine.trace;
}

/* Room on the disk for the first n slots, where that can be asked for: a touch of a hole in a mapped file on a full disk
 * would be a SIGBUS. */
static bool take_room(int fd, size_t n)
{
	size_t bytes = offsetof(struct board, slots) + n * sizeof(struct slot);
	return fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) == 0 || errno == EOPNOTSUPP;
}

/* An empty file gets its size. Any number of processes may do so at once, as all want the same size. */
static bool grow(int fd, struct stat *st)
{
	return st->st_size != 0 ||
	       (take_room(fd, 0) && ftruncate(fd, sizeof(struct board)) == 0 && fstat(fd, st) == 0);
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

/* Whether its last owner is gone, or going: its lock may outlive its connections for a moment, and whoever gets the same
 * request then must know. A reader need not say so of the living. */
static bool is_dead(size_t i)
{
	return here.board && !here.is_reader && slot_at(i) != here.slot &&
	       (atomic_load(&trace_at(i)->signalled) || !is_locked(i));
}

/* Whether the process that set this mark is gone and nobody else has taken its mark away. */
static bool claim(size_t i, uint64_t mark)
{
	return is_dead(i) && atomic_compare_exchange_strong(&trace_at(i)->mark, &mark, next_word(mark, MARK_NONE));
}

/* Counts the death of who ended without a word, once: all is read before others can know that it is settled. */
static void bury(size_t i)
{
	struct slot *s = slot_at(i);
	uint64_t life = atomic_load(&s->life);
	if (!state_of(life) || !is_dead(i))
		return;
	uint64_t word = atomic_load(&s->busy);
	bool signalled = atomic_load(&trace_at(i)->signalled);
	bool decoding = state_of(atomic_load(&trace_at(i)->mark)) == MARK_DECODE;
	if (!atomic_compare_exchange_strong(&s->life, &life, next_word(life, false)))
		return;
	count(s, signalled ? METRIC_CRASHED : METRIC_KILLED);
	if (decoding)
		count(s, METRIC_DECODE_CRASHES);
	if (busy_of(word) == BUSY_ANSWERING)
		count(s, METRIC_REQUESTS_LOST);
	atomic_compare_exchange_strong(&s->busy, &word, busy_us(word) << BUSY_BITS);
}

/* With its lock. */
static void adopt(size_t i, const char *group)
{
	struct slot *s = slot_at(i);
	uint64_t used = atomic_load(&here.board->used);
	bury(i);
	here.slot = s;
	here.trace = trace_at(i);
	set_state(&here.trace->mark, MARK_NONE);
	atomic_store(&here.trace->signalled, 0);
	atomic_store(&s->pid, (uint64_t)getpid());
	atomic_store(&s->busy, busy_word(atomic_load(&s->busy), BUSY_NOT));
	if (strcmp(s->group, group) != 0)
		snprintf(s->group, sizeof s->group, "%s", group);
	set_state(&s->life, true);
	count(s, METRIC_STARTS);
	while (used < i + 1 && !atomic_compare_exchange_weak(&here.board->used, &used, i + 1))
		;
}

/* Not such as other groups count in, or with the trace of a crash, which metrics_crashes is to find. */
static bool is_fit(size_t i, const char *group)
{
	const struct slot *s = slot_at(i);
	return i >= metrics_slots() || (state_of(atomic_load(&trace_at(i)->mark)) != MARK_DECODE &&
					(!*s->group || strcmp(s->group, group) == 0));
}

static bool take_slot(const char *group, bool any)
{
	for (size_t i = 0; i < METRICS_SLOTS; i++) {
		if ((!any && !is_fit(i, group)) || !file_try_lock(here.fd, (off_t)i, 1))
			continue;
		/* Its owner may have marked it and died meanwhile. */
		if ((any || is_fit(i, group)) && take_room(here.fd, i + 1)) {
			adopt(i, group);
			return true;
		}
		file_unlock(here.fd, (off_t)i, 1);
	}
	return false;
}

static void clear_dead_fetches(void)
{
	size_t n = metrics_slots();
	for (size_t i = 0; i < n; i++) {
		uint64_t word = atomic_load(&trace_at(i)->mark);
		bury(i);
		if (state_of(word) == MARK_FETCH)
			claim(i, word);
	}
}

bool metrics_open(const char *path, const char *group, struct error *err)
{
	leave();
	bool ok = map(path, true, err) && (take_slot(group, false) || take_slot(group, true) ||
					   unusable(err, path, "no free slot, no room for one, or locks do not work there"));
	if (ok) {
		clear_dead_fetches();
		return true;
	}
	leave();
	snprintf(mine.slot.group, sizeof mine.slot.group, "%s", group);
	count(&mine.slot, METRIC_STARTS);
	return false;
}

bool metrics_read(const char *path, struct error *err)
{
	leave();
	here.is_reader = map(path, false, err);
	if (!here.is_reader)
		leave();
	return here.is_reader;
}

void metrics_add(size_t counter, uint64_t n)
{
	atomic_fetch_add_explicit(&here.slot->counters[counter], n, memory_order_relaxed);
}

uint64_t metrics_sum(size_t counter)
{
	uint64_t sum = 0;
	size_t n = metrics_slots();
	for (size_t i = 0; i < n; i++)
		sum += atomic_load_explicit(&slot_at(i)->counters[counter], memory_order_relaxed);
	return sum;
}

void metrics_end(enum metric how)
{
	metrics_add(how, 1);
	set_state(&here.trace->mark, MARK_NONE);
	set_state(&here.slot->life, false);
}

void metrics_busy(enum busy busy)
{
	atomic_store(&here.slot->busy, busy_word(atomic_load(&here.slot->busy), busy));
}

/* What others have seen does not become less: a counter that does is taken for a new one. */
static uint64_t show_busy_us(struct slot *s, uint64_t word)
{
	uint64_t us = busy_us(word), seen = atomic_load(&s->seen_us);
	while (!here.is_reader && us > seen && !atomic_compare_exchange_weak(&s->seen_us, &seen, us))
		;
	return us > seen ? us : seen;
}

void metrics_look(size_t i, struct metrics_slot *out)
{
	struct slot *s = slot_at(i);
	bury(i);
	out->role = (int)atomic_load(&s->role);
	memcpy(out->group, s->group, sizeof out->group);
	out->group[sizeof out->group - 1] = '\0';
	out->is_live = s == here.slot || (state_of(atomic_load(&s->life)) && is_locked(i));
	out->pid = s == here.slot ? getpid() : (pid_t)atomic_load(&s->pid);
	uint64_t word = atomic_load(&s->busy);
	out->busy = busy_of(word);
	out->busy_us = show_busy_us(s, word);
	for (size_t c = 0; c < METRICS_COUNTERS; c++)
		out->counters[c] = atomic_load_explicit(&s->counters[c], memory_order_relaxed);
}

bool metrics_first(uint64_t thing)
{
	_Atomic uint64_t *set = (is_private() ? mine.seen : here.board->seen)[thing % SEEN_SETS];
	const uint64_t minutes = (UINT64_C(1) << MINUTE_BITS) - 1, now = (uint64_t)time(NULL) / 60 & minutes;
	uint64_t oldest = 0, most = 0;
	size_t place = 0;
	for (size_t i = 0; i < SEEN_WAYS; i++) {
		/* Of several of the same minute not always the same one goes. */
		size_t at = (thing / SEEN_SETS + i) % SEEN_WAYS;
		uint64_t word = atomic_load(&set[at]), age = word ? (now - word) & minutes : minutes;
		if (word >> MINUTE_BITS == thing >> MINUTE_BITS && age < SEEN_MINUTES)
			return false;
		if (age >= most) {
			most = age;
			oldest = word;
			place = at;
		}
	}
	/* Where another process was quicker, it most likely said the same. */
	return atomic_compare_exchange_strong(&set[place], &oldest, (thing & ~minutes) | now);
}

/* Unmarked while the other fields change, so that no mark is ever seen with the fields of another. */
void metrics_mark(enum mark mark, uint64_t original, uint64_t host)
{
	set_state(&here.trace->mark, MARK_NONE);
	if (mark == MARK_NONE)
		return;
	atomic_store(&here.trace->original, original);
	atomic_store(&here.trace->host, host);
	set_state(&here.trace->mark, mark);
}

size_t metrics_marked(enum mark mark, uint64_t host)
{
	size_t n = metrics_slots(), marked = 0;
	for (size_t i = 0; i < n; i++) {
		const struct trace *t = trace_at(i);
		if (state_of(atomic_load(&t->mark)) == mark && (host == 0 || atomic_load(&t->host) == host))
			marked++;
	}
	return marked;
}

void metrics_crashes(uint64_t original, void (*found)(void *with, uint64_t original, bool certain), void *with)
{
	size_t n = metrics_slots();
	for (size_t i = 0; i < n; i++) {
		struct trace *t = trace_at(i);
		uint64_t word = atomic_load(&t->mark), of = atomic_load(&t->original);
		bool certain = atomic_load(&t->signalled);
		if (state_of(word) != MARK_DECODE || (original != 0 && of != original))
			continue;
		/* First: it looks at the mark. */
		bury(i);
		if (claim(i, word))
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
	atomic_store(&here.trace->signalled, 1);
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
