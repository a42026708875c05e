/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_MEMORY_H
#define TEST_MEMORY_H

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the process really took, libraries included, to hold estimates against. */

/* What sanitizers keep beside every block is not our memory. */
#if defined(__SANITIZE_ADDRESS__)
#define PEAK_IS_TRUE 0
#elif defined(__has_feature)
#define PEAK_IS_TRUE (!__has_feature(address_sanitizer))
#else
#define PEAK_IS_TRUE 1
#endif
#define PEAK_SLACK (UINT64_C(512) << 10)

/* A number of /proc/self/status, in bytes; 0 if it is not there. */
static inline uint64_t status_bytes(const char *name)
{
	char line[256];
	unsigned long kib = 0;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, name, strlen(name)) == 0)
			kib = strtoul(line + strlen(name), NULL, 10);
	if (f)
		fclose(f);
	return (uint64_t)kib * 1024;
}

/* Starts a measurement: what is in use now, 0 if it cannot be measured here. */
static inline uint64_t peak_start(void)
{
	/* What malloc keeps from earlier would hide what is taken now. */
	malloc_trim(0);
	FILE *f = PEAK_IS_TRUE ? fopen("/proc/self/clear_refs", "w") : NULL;
	bool ok = f && fputs("5", f) >= 0;
	if (f)
		ok &= fclose(f) == 0;
	return ok ? status_bytes("VmRSS:") : 0;
}

/* The most that was in use since then beyond what was in use then. */
static inline uint64_t peak_since(uint64_t started)
{
	uint64_t peak = started ? status_bytes("VmHWM:") : 0;
	return peak > started ? peak - started : 0;
}

#endif
