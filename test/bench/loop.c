/* SPDX-License-Identifier: BSD-2-Clause */
#include "loop.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Noreturn void die(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	exit(1);
}

static double milliseconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static long peak_kb(void)
{
	char line[200];
	long kb = 0;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, "VmHWM:", 6) == 0)
			kb = strtol(line + 6, NULL, 10);
	if (f)
		fclose(f);
	return kb;
}

static void save(const char *path, struct result r)
{
	FILE *f = fopen(path, "wb");
	if (!f || fwrite(r.at, 1, r.n, f) != r.n || fclose(f))
		die("%s cannot be written", path);
}

void loop(void (*job)(void *user, struct result *out), void *user)
{
	char line[4096];
	while (fgets(line, sizeof line, stdin)) {
		struct result r = {0};
		char *path;
		long n = strtol(line, &path, 10);
		if (n < 1)
			die("how many times?");
		path += strspn(path, " ");
		path[strcspn(path, "\n")] = 0;
		double cpu = milliseconds(CLOCK_PROCESS_CPUTIME_ID), wall = milliseconds(CLOCK_MONOTONIC);
		for (long i = 0; i < n; i++)
			job(user, &r);
		cpu = (milliseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)n;
		wall = (milliseconds(CLOCK_MONOTONIC) - wall) / (double)n;
		if (*path)
			save(path, r);
		printf("%.4f %.4f %ld %zu\n", cpu, wall, peak_kb(), r.n);
		fflush(stdout);
	}
}
