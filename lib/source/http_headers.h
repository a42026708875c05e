/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_HTTP_HEADERS_H
#define SOURCE_HTTP_HEADERS_H

#include "../base/arena.h"

/* A list of "Name: value" that grows. */
struct http_headers {
	struct arena *a;
	const char **line;
	size_t n, room;
	bool unsound;                   /* a line with a line break was left out: it would be two */
};

struct http_headers *http_headers_open(struct arena *a);
void http_add_header(struct http_headers *headers, const char *line);

#endif
