/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FCGI_NGINX_CACHE_H
#define FCGI_NGINX_CACHE_H

#include "../lib/iiif/request.h"

/*
 * nginx's cache of answers (fastcgi_cache_path): finds those of an identifier, and takes them out.
 *
 * nginx needs no word of it: an entry whose file is gone is made anew by the next request. Entries are known by their
 * fastcgi_cache_key as nginx-sample.conf has it, "scheme://host[prefix] path accept". Addresses that nginx rewrites
 * before they reach a worker are no IIIF paths, and only `fits` for all finds them.
 */
struct nginx_purge {
	const struct request_options *grammar;
	/* Whether the answers of an identifier go; at NULL: the path is none of the API's. */
	bool (*fits)(void *with, struct str identifier);
	void (*removed)(void *with, const char *url);   /* as clients ask for it */
	void *with;
};

/* False with err 500 REASON_IO: not all could be read or removed; the others are. *n counts them. */
bool nginx_cache_purge(const char *folder, const struct nginx_purge *purge, uint64_t *n, struct error *err);

#endif
