/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_HEALTH_H
#define SERVER_HEALTH_H

#include "job.h"

/*
 * What a load balancer asks. Nothing here waits for an origin, a root folder or another process, so that what all
 * servers share (S3, NFS) detaches none of them.
 *
 *   live    200: this process answers.
 *   ready   200, or 503 where another server would do better: this one is draining, no worker is alive, or the cache's
 *           folder is gone. The body says in JSON how the pool, the cache and the origins are.
 */
void answer_health(struct job *job);

#endif
