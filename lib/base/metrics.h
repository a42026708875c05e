/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <sys/types.h>

#include "str.h"

/*
 * Counters and marks that all processes of a machine share, in one small mapped file.
 *
 * The file has METRICS_SLOTS slots. Each process owns one, by an open-file-description lock on one byte that the kernel
 * takes away when the process dies, however it dies. A slot has a row of counters, which only grow, also past the
 * process that began them, and one mark: what the process is busy with. A marked slot whose byte nobody locks is the
 * trace of a crash. A slot belongs to one group of processes for good, as long as there are others for the rest, so
 * that its counters are those of the group.
 *
 * Without a file (path "" or not usable, which metrics_open says) all this works in private memory: the counts are
 * those of this process, and no crash is noticed.
 */
#define METRICS_SLOTS 512
#define METRICS_GROUP_BYTES 112

enum metric {
	METRIC_CACHE_HITS,              /* originals opened from the cache */
	METRIC_CACHE_STALE,             /* of these, such as were served past their time */
	METRIC_CACHE_MISSES,            /* requests handed to a fetcher */
	METRIC_CACHE_EVICTIONS,
	METRIC_CACHE_EVICTED_BYTES,
	METRIC_CACHE_DROPPED,           /* files thrown away because they were damaged */
	METRIC_CACHE_UNUSABLE,          /* originals that went to the temporary folder instead */
	METRIC_REVALIDATIONS,           /* questions whether an original has changed */
	METRIC_REVALIDATED,             /* of these, such as were answered no (304) */
	METRIC_ORIGIN_REQUESTS,
	METRIC_ORIGIN_BYTES,
	METRIC_ORIGIN_MISSING,          /* 404, 410 */
	METRIC_ORIGIN_DENIED,           /* 401, 403 */
	METRIC_ORIGIN_THROTTLED,        /* 429, SlowDown */
	METRIC_ORIGIN_FAILED,           /* 5xx, broken connections, wrong answers */
	METRIC_ORIGIN_TIMEOUTS,
	METRIC_ORIGIN_REFUSED,          /* addresses that may not be asked */
	METRIC_ORIGIN_DAMAGED,          /* bodies that are not what their digest or length says */
	METRIC_ORIGIN_RESUMED,
	METRIC_WAITS,                   /* requests that waited for another's download or verification */
	METRIC_WAITS_REFUSED,           /* 503 at once: too many wait */
	METRIC_WAITS_LATE,              /* 503 after max_wait */
	METRIC_FALLBACKS,               /* answers made from a fallback */
	METRIC_BODY_BYTES,              /* of answers */
	METRIC_REFUSED_BY_ESTIMATE,     /* requests that would have taken too much memory */
	METRIC_REFUSED_BY_LIMIT,        /* requests that did */
	METRIC_LOG_DROPPED,
	METRIC_STARTS,
	METRIC_RETIRED,                 /* ends of processes: after their number of requests */
	METRIC_STOPPED,                 /* told to stop */
	METRIC_FAILED,                  /* could not go on */
	METRIC_CRASHED,                 /* by a signal that a bug raises */
	METRIC_KILLED,                  /* without a word */
	METRIC_DECODE_CRASHES,          /* of the last two, while an original was decoded */
	METRIC_REQUESTS_LOST,           /* of the last two, with a request in hand */
	METRICS
};

/* Behind those are counters that base knows by their place only: server/meters gives them names and labels. */
#define METRICS_LABELLED 900
#define METRICS_COUNTERS (METRICS + METRICS_LABELLED)

/* Opens or makes the file at path (the format's number is put behind it, so that programs of two formats can run side
 * by side) and takes a slot of the group. False, with a why for the log, if there is no such file now, as with path "";
 * the counters work all the same. A file or slot of before is given up, as if the process had ended well. */
bool metrics_open(const char *path, const char *group, struct error *err);

/* Opens the file of others to read it, without making it or taking a slot; adding and marking then stay private. */
bool metrics_read(const char *path, struct error *err);

/* Both take an enum metric or the place of a labelled counter, below METRICS_COUNTERS. */
void metrics_add(size_t counter, uint64_t n);
uint64_t metrics_sum(size_t counter);          /* over all slots */

/* The last thing that a process counts: how it ends, METRIC_RETIRED, STOPPED or FAILED. Who dies without it is counted
 * as crashed or killed by the next process that starts, or looks. */
void metrics_end(enum metric how);

/* What a process has to do: nothing, a request in hand, or what is left when that has been answered. */
enum busy { BUSY_NOT, BUSY_ANSWERING, BUSY_AFTERWARDS };
void metrics_busy(enum busy busy);

/* What kind of process this is, a number that means nothing here. */
void metrics_role(int role);

/* What a slot tells, for those who show it. Times are in microseconds. */
struct metrics_slot {
	char group[METRICS_GROUP_BYTES];
	int role;
	bool is_live;
	pid_t pid;                      /* of a live one */
	enum busy busy;
	uint64_t busy_us;               /* with other than BUSY_NOT, up to now; never becomes less */
	uint64_t counters[METRICS_COUNTERS];
};
size_t metrics_slots(void);                    /* slots that were ever taken */
bool metrics_are_shared(void);                 /* whether they are those of all processes */
void metrics_look(size_t slot, struct metrics_slot *out);

/* Whether nobody has said so of this thing (a hash) for an hour. Remembers some thousands. */
bool metrics_first(uint64_t thing);

/* What a process may be busy with. */
enum mark { MARK_NONE, MARK_DECODE, MARK_FETCH };

/* Sets this process's mark: an original (a hash of its key) and, for a fetch, its host (a hash, 0 none). */
void metrics_mark(enum mark mark, uint64_t original, uint64_t host);

/* How many slots have this mark, and this host unless it is 0. A crashed process's mark does not count for long: the
 * process that follows takes its slot. */
size_t metrics_marked(enum mark mark, uint64_t host);

/*
 * Signals that a bug raises (SEGV, BUS, ABRT, FPE, ILL) note in the slot that the original itself ended the process.
 * Other ends (a kill -9) may be nobody's fault. Installs the handlers; they reset themselves and let the process die.
 */
void metrics_watch_signals(void);

/*
 * The traces of crashes while an original was decoded: calls found(with, original, certain) for each and clears it.
 * certain: by a signal of a bug. original 0 asks for all, else only for that one. Costs less than a microsecond when
 * there is none.
 */
void metrics_crashes(uint64_t original, void (*found)(void *with, uint64_t original, bool certain), void *with);

#endif
