/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_HANDOVER_H
#define SERVER_HANDOVER_H

#include "job.h"

/* The steps of a request between workers and fetchers (service.h). */

/* Reads the step that this process is. */
void parse_step(struct job *job);

/* Whether a process of this role (server.role) takes that step; else 500. */
bool is_own_step(const struct job *job, struct error *err);

/* A worker's: a fetcher must be asked first, unless too many wait already (503). */
bool hand_over(struct job *job, struct error *err);

/* A fetcher's: fetches, and sends the request back to the workers; or the error. */
bool answer_fetch(struct job *job, struct error *err);

#endif
