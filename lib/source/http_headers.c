/* SPDX-License-Identifier: BSD-2-Clause */
#include "http_headers.h"

#include <string.h>

struct http_headers *http_headers_open(struct arena *a)
{
	struct http_headers *headers = arena_new(a, struct http_headers);
	headers->a = a;
	return headers;
}

void http_add_header(struct http_headers *headers, const char *line)
{
	if (strpbrk(line, "\r\n")) {
		headers->unsound = true;
		return;
	}
	if (headers->n == headers->room) {
		size_t room = headers->room ? 2 * headers->room : 8;
		const char **longer = arena_array(headers->a, const char *, room);
		for (size_t i = 0; i < headers->n; i++)
			longer[i] = headers->line[i];
		headers->line = longer;
		headers->room = room;
	}
	headers->line[headers->n++] = arena_strndup(headers->a, line, strlen(line));
}
