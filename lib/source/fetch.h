/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_FETCH_H
#define SOURCE_FETCH_H

#include "resolver.h"

/*
 * The part that waits for origins: makes what the resolver wants to be there.
 *
 * It walks the candidates as the resolver does, asks origins (once per original over all processes; others wait for
 * the result), checks what came, stores it, and has the first candidate decoded where its rule says so: by a few
 * processes at a time over all of them, as each may take as much memory as a worker, and there are many fetchers.
 * Afterwards the resolver is asked again.
 */
struct fetch_job {
	const struct resolver *resolver;
	struct str identifier;
	size_t max_waiting;             /* fetch processes; at most half of them for one origin */
	unsigned max_verifying;         /* processes that verify at a time */
	uint64_t max_bytes;             /* of an original, where its rule does not say; 0 none */
	struct patience *patience;      /* may be NULL */
	/* What is there may be served meanwhile: whoever waits need wait no longer. May be NULL. */
	void (*servable)(void *with);
	/* Decodes all of it: false with the reason why it is of no use. */
	bool (*verify)(void *with, struct source *source, struct error *err);
	void *with;
};

/*
 * True: ask the resolver again. False: 404, 403, 413, 502, 504, 507 as the origin or the original has it; 503
 * REASON_BUSY too many wait, or patience ran out while another process was downloading it or others were verifying;
 * 503 REASON_THROTTLED.
 */
bool fetch_run(struct arena *a, const struct fetch_job *job, struct error *err);

#endif
