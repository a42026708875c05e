/* SPDX-License-Identifier: BSD-2-Clause */
#include "clock.h"

#include <time.h>

int64_t clock_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void patience_check(struct patience *p)
{
	if (!p || p->is_late || clock_us() < p->until_us)
		return;
	p->is_late = true;
	if (p->late)
		p->late(p->with);
}
