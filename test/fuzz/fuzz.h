/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * One target a file, fuzz_NAME.c, with its inputs in corpus/fuzz_NAME. The fuzz preset links it with
 * libFuzzer; the others with replay.c, as test/replay_NAME, which runs the corpus. A broken promise
 * ends the process, as a crash does.
 */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define must_hold(what, ...) \
	do { \
		if (!(what)) { \
			fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
			fprintf(stderr, __VA_ARGS__); \
			fputc('\n', stderr); \
			abort(); \
		} \
	} while (0)

#endif
