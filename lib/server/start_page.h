/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_START_PAGE_H
#define SERVER_START_PAGE_H

#include "../iiif/request.h"
#include "../source/resolver.h"

/*
 * The page at "/" for people (server.start_page): images below the roots with previews, each opened
 * in a viewer, and a form that builds an address and shows what it brings. All is in one text, start_page.html;
 * only the viewer, OpenSeadragon, is fetched from where nginx-sample.conf has it, if it is there.
 */
struct start_page {
	const struct request_options *grammar;
	const struct resolver_rule *rules;
	size_t n_rules;
	struct str prefix;               /* what a proxy in front cuts off the path */
};

#define START_PAGE_MAX_IMAGES 200
#define START_PAGE_CACHE_S 5

/* The page as HTML, within 200 ms however many images there are (source/listing.h). */
struct str start_page_write(struct arena *a, const struct start_page *page);

/* Its Content-Security-Policy: its own script and style, what these load from this server, no more. */
const char *start_page_policy(struct arena *a);

#endif
