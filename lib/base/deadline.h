/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_DEADLINE_H
#define BASE_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/*
 * How long a decoding may take. A process decodes one picture at a time, so there is one deadline.
 *
 * Loops over pixels, the codecs' progress monitors and their reads of the source ask deadline_check; so most decodings
 * end with a clear error soon after their time. For what happens inside of a library without asking, a timer at twice
 * the time ends the process, as a bug would (SIGABRT, after a line in the log): the mark of what it decoded stays
 * (metrics.h), and the file does not end another one.
 */

/* ms from now; 0 is no deadline. what, for the log, must live until deadline_end. */
void deadline_start(uint64_t ms, const char *what);

/* False, with 503, once the time is over. Costs some 25 ns. */
bool deadline_check(struct error *err);

void deadline_end(void);

#endif
