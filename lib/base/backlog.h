/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_BACKLOG_H
#define BASE_BACKLOG_H

#include <stdbool.h>
#include <stdint.h>

/* Listening sockets: what they are called, and how many connections wait in each to be accepted. */
#define BACKLOG_NAME_BYTES 112

/* The path of a unix socket; ADDRESS:PORT of another; "" of what has neither. */
void backlog_name(int fd, char name[BACKLOG_NAME_BYTES]);

/* Calls found for each unix socket on a path that listens, as the kernel has them now (sock_diag): one path may be there
 * more than once, where a socket's file was replaced. False: the kernel does not say. */
bool backlog_look(void (*found)(void *with, const char *path, uint32_t waiting, uint32_t most), void *with);

#endif
