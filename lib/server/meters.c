/* SPDX-License-Identifier: BSD-2-Clause */
#include "meters.h"

#include "../base/hash.h"

_Static_assert(METERS <= METRICS_COUNTERS && (int)FORMATS == 8 && (int)STAGES == 7,
	       "other places of counters are another layout of base/metrics");

const struct meter_bound meter_bounds[METER_BOUNDS] = {
	{"0.0001", 100}, {"0.00025", 250}, {"0.0005", 500}, {"0.001", 1000}, {"0.0025", 2500}, {"0.005", 5000},
	{"0.01", 10000}, {"0.025", 25000}, {"0.05", 50000}, {"0.1", 100000}, {"0.25", 250000}, {"0.5", 500000},
	{"1", 1000000}, {"2.5", 2500000}, {"5", 5000000}, {"10", 10000000}, {"30", 30000000}, {"60", 60000000},
};

const char *const meter_sources[METER_SOURCES] = {"other", "jpeg", "tiff", "jp2", "png", "webp", "heic",
						  "avif", "gif", "bmp", "pnm", "psd", "jxl"};

const enum reason meter_reasons[METER_REASONS] = {REASON_DAMAGED, REASON_UNSUPPORTED, REASON_TOO_LARGE, REASON_SLOW,
						  REASON_IO};

size_t meter_request(int api, int status, int format, int path)
{
	return METER_REQUESTS +
	       (size_t)(((api * METER_STATUSES + status) * METER_FORMATS + format) * METER_PATHS + path);
}

static void count_time(size_t which, int64_t us)
{
	size_t first = METER_TIME + which * (METER_BOUNDS + 2), bucket = 0;
	while (bucket < METER_BOUNDS && us > meter_bounds[bucket].us)
		bucket++;
	metrics_add(first + bucket, 1);
	metrics_add(first + METER_BOUNDS + 1, (uint64_t)us);
}

static int status_class(int status)
{
	int class = status / 100 - 2;
	return class < 0 ? 0 : class < METER_STATUSES ? class : METER_STATUSES - 1;
}

void meters_answer(const struct reply *reply, int64_t took_us)
{
	const struct asked *asked = &reply->asked;
	int api = asked->version == 2 || asked->version == 3 ? asked->version - 1 : 0;
	int format = asked->kind == REQUEST_IMAGE ? (int)asked->format :
		     asked->kind == REQUEST_INFO  ? FORMATS :
						    FORMATS + 1;
	metrics_add(meter_request(api, status_class(reply->status), format, reply->path), 1);
	if (!reply->body_is_left_out)
		metrics_add(METRIC_BODY_BYTES, reply->body.n);
	if (reply->reason == REASON_MEMORY)
		metrics_add(METRIC_REFUSED_BY_LIMIT, 1);
	if (asked->kind != REQUEST_BASE)
		count_time(STAGES, took_us);
}

void meters_stages(const struct reply *reply)
{
	for (size_t i = 0; i < STAGES; i++)
		if (reply->stage_us[i])
			count_time(i, reply->stage_us[i]);
}

static size_t source_of(const char *format)
{
	for (size_t i = 1; i < METER_SOURCES; i++)
		if (strcmp(meter_sources[i], format) == 0)
			return i;
	return 0;
}

void meters_failure(const char *format, const struct error *err, struct str identifier)
{
	size_t reason = 0;
	while (reason < METER_REASONS && meter_reasons[reason] != err->reason)
		reason++;
	if (reason == METER_REASONS)
		return;
	size_t place = source_of(format) * METER_REASONS + reason;
	metrics_add(METER_FAILURES + place, 1);
	if (metrics_first(hash_64(identifier)))
		metrics_add(METER_FAILED_ORIGINALS + place, 1);
}
