/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FCGI_CACHE_COMMANDS_H
#define FCGI_CACHE_COMMANDS_H

#include "../lib/server/service.h"

/*
 * `cache init|stat|list|purge|verify`, on a live server too. Exit status as in commands.h.
 *
 * Identifiers and URLs may hold any bytes. They are written with %XX for what would break a line, a column or a
 * terminal, and identifiers for % itself, so that one can be given back to `purge` as it was printed.
 */
int command_cache(const struct config *config, const struct service *service, int n, char *const words[]);

#endif
