/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FCGI_WORKER_H
#define FCGI_WORKER_H

#include "../lib/server/service.h"

/*
 * Answers FastCGI requests on the listening socket 0, one at a time, until told to stop: SIGTERM
 * and SIGUSR1 let the request in hand finish; a worker also retires once it has served its number
 * of requests (with jitter, so that a pool does not retire at once) and lived for a minute, since
 * multiwatch takes an earlier end for a failure; or once what its sandbox holds is out of date. Returns the exit status.
 * a: for as long as the process lives.
 */
int worker_run(struct arena *a, const struct config *config, const struct service *service);

#endif
