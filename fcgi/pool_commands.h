/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FCGI_POOL_COMMANDS_H
#define FCGI_POOL_COMMANDS_H

#include "../lib/server/config.h"

/* What an operator does with a running pool; as in commands.h. */

/* `drain on | off | status`: balancers that ask /health/ready send nothing new, or send again. status: 0 it is off, 3 on. */
int command_drain(const struct config *config, int n, char *const words[]);

/* `ping SOCKET`: whether a process of the group that listens there answers within some seconds: 0 yes, 1 no, 3 no, but
 * there are some, which must be busy. */
int command_ping(const struct config *config, int n, char *const words[]);

/* `reload`: the configuration was read already and is right; restarts the groups one after the other, by lorikeet-pool. */
int command_reload(int n, char *const words[]);

#endif
