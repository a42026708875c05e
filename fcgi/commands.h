/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FCGI_COMMANDS_H
#define FCGI_COMMANDS_H

#include "../lib/server/service.h"

/*
 * The subcommands for people. Each prints to standard output, complains on standard error as
 * `lorikeet: what: why`, and returns the exit status: 0 done, 1 it failed, 2 wrong words.
 */

/* `check`: the configuration was read already; are its roots there and readable, and does the cache lie where it
 * can? */
int command_check(const struct config *config, const struct service *service);

/* `get URI`: one request, a path or a whole address, without nginx; headers on standard error, body on
 * standard output. */
int command_get(const struct config *config, const struct service *service, int n, char *const words[]);

/* `info FILE`: what the header of an image file says. */
int command_info(int n, char *const words[]);

/* `pyramid IN OUT.tif`: a tiled JPEG pyramid. OUT appears when it is complete. */
int command_pyramid(const struct config *config, int n, char *const words[]);

#endif
