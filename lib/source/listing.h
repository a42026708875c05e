/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_LISTING_H
#define SOURCE_LISTING_H

#include "resolver.h"

/*
 * Some identifiers of the images that lie below the roots of the rules, for people to begin with.
 *
 * A walk, folder by folder from the top, that ends when its time is up; so it may see a part only,
 * and says so. Hidden files are left out, links are followed as far as the rule allows. Only names
 * count, no file is opened. The time is looked at between system calls: a root that hangs (a dead
 * network volume) holds this walk as it would hold any request for an image there.
 */
struct listing_options {
	const struct resolver_rule *rules;
	size_t n_rules;
	const char *const *suffixes;      /* of image files, as "jpg", NULL-terminated; a rule's own count as well */
	size_t max;                       /* identifiers that are wanted */
	int64_t budget_us;
	/* Whether a request can name this identifier. */
	bool (*usable)(struct arena *a, const void *with, struct str identifier);
	const void *with;
};

struct listing {
	struct str *identifier;           /* decoded; rule by rule, in the order of their names */
	size_t n;
	uint64_t found;                   /* image files seen */
	bool more;                        /* there may be some that were not seen */
	size_t unreachable;               /* roots that could not be read */
};

/*
 * An identifier is a rule's prefix and the path below its root, without one of the rule's suffixes
 * where that is enough to find the file. Only identifiers that the rule itself gets are listed.
 */
void listing_make(struct arena *a, const struct listing_options *options, struct listing *out);

#endif
