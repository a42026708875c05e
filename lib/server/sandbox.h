/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_SANDBOX_H
#define SERVER_SANDBOX_H

#include "config.h"

/*
 * What a process of the pool gives up before it serves, so that a decoder that was taken over reaches little (README,
 * "What contains a broken decoder"): files but for its originals and caches, programs, and, unless it is to ask origins,
 * connections and their secrets.
 */
struct sandbox;

/* What this kernel has of it, for people. */
const char *sandbox_support(struct arena *a);

/* False with a why: server.sandbox is "require", and the kernel has not all. */
bool sandbox_check(const struct config *config, struct error *err);

/* Once everything is open that this does not open itself, and before there are threads. Says in the log what holds. NULL
 * with a why: server.sandbox is "require", and the kernel has not all. Lives in a; the configuration's secrets are gone
 * unless the role needs them. */
struct sandbox *sandbox_enter(struct arena *a, const struct config *config, struct error *err);

/* False: something else lies where a configured folder or file was, and this process may not open it. It said so in the
 * log, and a new process must take over. */
bool sandbox_is_current(const struct sandbox *s);

#endif
