/* SPDX-License-Identifier: BSD-2-Clause */
#include "health.h"

#include <unistd.h>

#include "../base/metrics.h"

/* Origins are judged by what they answered since the last question that came this long or longer after the one before. */
#define SPAN_US INT64_C(60000000)

struct pool {
	unsigned workers, busy, fetchers;
	bool is_known;
};

struct origins {
	int64_t at_us;
	uint64_t requests, failed;
};

static struct pool look_at_pool(struct arena *a)
{
	struct pool p = {0};
	struct metrics_slot *slot = arena_new(a, struct metrics_slot);
	for (size_t i = 0, n = metrics_slots(); i < n; i++) {
		metrics_look(i, slot);
		bool works = slot->role == ROLE_WORKER || slot->role == ROLE_ALL;
		/* Of a file in which there never was a worker, as it was made anew meanwhile, nothing can be told. */
		p.is_known |= works && *slot->group && metrics_are_shared();
		if (!slot->is_live)
			continue;
		p.workers += works;
		p.busy += works && slot->busy != BUSY_NOT;
		p.fetchers += slot->role == ROLE_FETCHER;
	}
	return p;
}

static struct origins count_origins(void)
{
	static const enum metric failures[] = {METRIC_ORIGIN_FAILED, METRIC_ORIGIN_TIMEOUTS, METRIC_ORIGIN_THROTTLED,
					       METRIC_ORIGIN_DENIED};
	struct origins o = {.at_us = clock_us(), .requests = metrics_sum(METRIC_ORIGIN_REQUESTS)};
	for (size_t i = 0; i < sizeof failures / sizeof *failures; i++)
		o.failed += metrics_sum(failures[i]);
	return o;
}

/* What came since one to two spans ago. */
static struct origins recent_origins(void)
{
	static struct origins before, last;
	struct origins now = count_origins();
	if (!last.at_us)
		before = last = now;
	if (now.at_us - last.at_us >= SPAN_US) {
		before = last;
		last = now;
	}
	return (struct origins){now.at_us - before.at_us, now.requests - before.requests, now.failed - before.failed};
}

static const char *state_of_cache(const struct job *job)
{
	struct cache_state state;
	if (!*job->service->config->cache_folder)
		return "none";
	cache_stat(job->service->resolver.cache, job->a, &state);
	return state.usable ? "usable" : "unusable";
}

static void answer_ready(struct job *job, struct buf *body)
{
	const struct config *c = job->service->config;
	struct pool pool = look_at_pool(job->a);
	struct origins origins = recent_origins();
	const char *cache = state_of_cache(job);
	const char *status = *c->drain_file && access(c->drain_file, F_OK) == 0 ? "draining"
			     : pool.is_known && !pool.workers			? "no workers"
			     : strcmp(cache, "unusable") == 0			? "no cache"
										: "ready";
	job->reply->status = strcmp(status, "ready") == 0 ? 200 : 503;
	buf_printf(body, "{\"status\":\"%s\",\"version\":\"%s\",", status, LORIKEET_VERSION);
	if (pool.is_known)
		buf_printf(body, "\"workers\":{\"alive\":%u,\"busy\":%u},\"fetchers\":{\"alive\":%u},", pool.workers, pool.busy,
			   pool.fetchers);
	buf_printf(body, "\"cache\":\"%s\",\"origins\":{\"seconds\":%lld,\"requests\":%llu,\"failed\":%llu}}\n", cache,
		   (long long)(origins.at_us / 1000000), (unsigned long long)origins.requests,
		   (unsigned long long)origins.failed);
}

void answer_health(struct job *job)
{
	struct buf *body = buf_open(job->a, SERVICE_TEXT_MAX_BYTES);
	bool asks_ready = str_equal(job->call->health, STR("ready"));
	if (asks_ready) {
		answer_ready(job, body);
	} else {
		job->reply->status = 200;
		buf_text(body, "live\n");
	}
	header(job, "Content-Type", asks_ready ? "application/json" : "text/plain; charset=utf-8");
	header(job, "Cache-Control", "no-store");
	job->reply->body_is_left_out = is_method(job->call, "HEAD");
	if (!job->reply->body_is_left_out)
		job->reply->body = buf_view(body);
}
