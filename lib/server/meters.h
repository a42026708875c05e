/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_METERS_H
#define SERVER_METERS_H

#include "../base/metrics.h"
#include "call.h"

/*
 * What base/metrics counts of requests by label: which answers, how long they took, which originals cannot be decoded.
 * The places of these counters behind the plain ones are said here, and meters_text gives all of them names.
 */
#define METER_APIS 3            /* neither, 2, 3 */
#define METER_STATUSES 4        /* 2xx to 5xx */
#define METER_FORMATS (FORMATS + 2)
#define METER_PATHS 5
#define METER_BOUNDS 18         /* of a histogram; above them is one bucket more, then the sum in microseconds */
#define METER_TIMES (STAGES + 1)
#define METER_SOURCES 13
#define METER_REASONS 5

enum {
	METER_REQUESTS = METRICS,
	METER_TIME = METER_REQUESTS + METER_APIS * METER_STATUSES * METER_FORMATS * METER_PATHS,
	METER_FAILURES = METER_TIME + METER_TIMES * (METER_BOUNDS + 2),
	METER_FAILED_ORIGINALS = METER_FAILURES + METER_SOURCES * METER_REASONS,
	METERS = METER_FAILED_ORIGINALS + METER_SOURCES * METER_REASONS
};

struct meter_bound {
	const char *text;       /* in seconds */
	int64_t us;
};
extern const struct meter_bound meter_bounds[METER_BOUNDS];
extern const char *const meter_sources[METER_SOURCES];
extern const enum reason meter_reasons[METER_REASONS];

/* The place of a combination of labels; format FORMATS is info.json, FORMATS + 1 neither. */
size_t meter_request(int api, int status, int format, int path);

/* An answer that was given, took_us after its request came. Not such as only send the request on. */
void meters_answer(const struct reply *reply, int64_t took_us);

/* The stages that a process went through, also for a reply that only sends the request on. */
void meters_stages(const struct reply *reply);

/* An original of format ("" not known) could not be decoded; what is no such failure does not count. */
void meters_failure(const char *format, const struct error *err, struct str identifier);

#endif
