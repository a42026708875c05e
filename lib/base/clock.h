/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Microseconds that only grow, from no particular beginning. */
int64_t clock_us(void);

/* Whoever waits for something long: late(with) is called once, when clock_us() has passed until_us; the work goes on. */
struct patience {
	int64_t until_us;
	void (*late)(void *with);
	void *with;
	bool is_late;
};

/* To be called in every loop that waits; p may be NULL: nobody waits. */
void patience_check(struct patience *p);

#endif
