/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_SECCOMP_H
#define BASE_SECCOMP_H

#include "error.h"

/*
 * The system calls that a process may make from now on: what reading files, decoding, threads and the socket on
 * descriptor 0 need. It cannot be undone.
 *
 * The rest are answered as by a kernel that does not know them (ENOSYS), for which libraries have other ways; what a
 * library may well try (a socket, a child) is not permitted (EPERM). Calls that none makes and an intruder does (running
 * a program, another process's memory, another architecture's calls) end the process.
 */

/* False where this kernel, or this processor, has none. */
bool seccomp_is_there(void);

/* network: connections to others, by IPv4, IPv6 and unix sockets, beside questions to the kernel about sockets. With all
 * threads. 500 with a why: nothing has changed. */
bool seccomp_enter(bool network, struct error *err);

#endif
