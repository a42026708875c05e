/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_ORIGINAL_H
#define SERVER_ORIGINAL_H

#include "job.h"

/*
 * From the identifier of a request to an opened picture, with what is remembered of its original on the way: crashes,
 * verdicts, facts.
 */

/* Opens the picture (or takes its facts from the index, where they are enough), by the candidates after the first
 * `skip`; sets the job's limits. False also where the original is to be fetched first: job->resolved.wants_fetch. */
bool open_picture(struct job *job, size_t skip, struct error *err);

/* The decoding was survived: to be called when it is over. */
void forgive(struct job *job);

#endif
