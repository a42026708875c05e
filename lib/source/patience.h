/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_PATIENCE_H
#define SOURCE_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

/* Whoever waits: late(with) is called once, when clock_us() passes until_us; the work goes on. It must not call http_get. */
struct patience {
	int64_t until_us;
	void (*late)(void *with);
	void *with;
	bool is_late;
};

/* p may be NULL: nobody. */
void patience_check(struct patience *p);

#endif
