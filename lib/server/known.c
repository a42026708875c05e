/* SPDX-License-Identifier: BSD-2-Clause */
#include "known.h"

#define LAYOUT 1
#define FORMAT_BYTES 16

struct layout_of_known {
	uint32_t layout, bytes;
	char format[FORMAT_BYTES];
	double per_cm_x, per_cm_y;
	struct facts facts;
};

struct str known_write(struct arena *a, const struct picture *p)
{
	struct layout_of_known *k = arena_new(a, struct layout_of_known);
	k->layout = LAYOUT;
	k->bytes = sizeof *k;
	k->per_cm_x = p->metadata.per_cm_x;
	k->per_cm_y = p->metadata.per_cm_y;
	k->facts = p->facts;
	k->facts.format = NULL;
	strncpy(k->format, p->facts.format, FORMAT_BYTES - 1);
	return (struct str){(const char *)k, sizeof *k};
}

bool known_read(struct str bytes, struct known_picture *k)
{
	struct layout_of_known l;
	if (bytes.n != sizeof l)
		return false;
	memcpy(&l, bytes.at, sizeof l);
	if (l.layout != LAYOUT || l.bytes != sizeof l || l.format[FORMAT_BYTES - 1] || l.facts.n_levels < 0 ||
	    l.facts.n_levels > FACTS_MAX_LEVELS || !l.facts.w || !l.facts.h)
		return false;
	*k = (struct known_picture){l.facts, l.per_cm_x, l.per_cm_y};
	k->facts.format = bytes.at + offsetof(struct layout_of_known, format);
	return true;
}
