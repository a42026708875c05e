/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_LOOP_H
#define BENCH_LOOP_H

#include <stddef.h>

/*
 * What the programs that scripts/bench compares Lorikeet with share: a warm process that repeats one job.
 *
 * loop() reads lines "N" or "N FILE" from standard input, does the job N times, and answers each line with
 * "CPU_MS WALL_MS PEAK_KB BYTES": per job, but for the peak of resident memory so far. With FILE the last result is written
 * there. Ends with the input.
 */
struct result {
	const unsigned char *at;       /* belongs to the job */
	size_t n;
};

void loop(void (*job)(void *user, struct result *out), void *user);

/* Says so on standard error, as printf, and ends the process. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
