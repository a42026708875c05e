/* SPDX-License-Identifier: BSD-2-Clause */
#include "patience.h"

#include "../base/clock.h"

void patience_check(struct patience *p)
{
	if (!p || p->is_late || clock_us() < p->until_us)
		return;
	p->is_late = true;
	if (p->late)
		p->late(p->with);
}
