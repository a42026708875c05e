/* SPDX-License-Identifier: BSD-2-Clause */
#include "handover.h"

#include "../base/metrics.h"
#include "../source/fetch.h"
#include "meters.h"
#include "verify.h"

#define SAY_ROLE "The server is not configured for this."

/* To another process. No other header: the web server would add it to the answer. */
static void redirect(struct job *job, struct reply *reply, const char *step)
{
	reply->status = 200;
	reply->headers->n = 0;
	reply->body_is_left_out = true;
	reply->is_redirect = true;
	buf_printf(reply->headers, "X-Accel-Redirect: /.iiif/%s/%s\r\n", step,
		   job->request.kind == REQUEST_INFO ? "info.json" : "image");
}

/* Where a fetcher must be asked first, that; unless all are waiting already. */
bool hand_over(struct job *job, struct error *err)
{
	if (job->round >= SERVICE_ROUNDS)
		return fail(err, 503, REASON_BUSY, "The image is not here yet, please try again.",
			    "fetched %d times, and gone again", SERVICE_ROUNDS);
	if (metrics_marked(MARK_FETCH, 0) >= job->service->config->max_waiting) {
		metrics_add(METRIC_WAITS_REFUSED, 1);
		return fail(err, 503, REASON_BUSY, "Too many requests wait for origins, please try again.",
			    "max_waiting");
	}
	metrics_add(METRIC_CACHE_MISSES, 1);
	redirect(job, job->reply, arena_printf(job->a, "fetch-%u", job->round + 1));
	return true;
}

/* The client gets this now; the work goes on. */
static void reply_early(struct job *job, struct reply *early)
{
	const struct call *call = job->call;
	if (!call->early || job->reply->was_early)
		return;
	job->reply->was_early = true;
	early->asked = job->reply->asked;
	call->early(call->early_with, early);
}

static void late(void *with)
{
	struct job *job = with;
	struct error err;
	if (job->reply->was_early)
		return;
	struct reply *mine = job->reply, early = reply_open(job->a);
	early.source = mine->source;
	fail(&err, 503, REASON_TIMEOUT, "The image is not here yet, please try again.",
	     "max_wait_ms; the download goes on");
	metrics_add(METRIC_WAITS_LATE, 1);
	job->reply = &early;
	answer_error(job, &err);
	header_for_all(job);
	job->reply = mine;
	reply_early(job, &early);
}

static void servable(void *with)
{
	struct job *job = with;
	struct reply early = reply_open(job->a);
	redirect(job, &early, arena_printf(job->a, "pool-%u", job->round));
	reply_early(job, &early);
}

static bool verify(void *with, struct source *source, struct error *err)
{
	const struct job *job = with;
	const char *format;
	bool ok = verify_picture(job->service->config, source, &format, err);
	if (!ok)
		meters_failure(format, err, job->request.identifier);
	return ok;
}

bool answer_fetch(struct job *job, struct error *err)
{
	const struct config *c = job->service->config;
	job->patience = (struct patience){clock_us() + (int64_t)c->max_wait_ms * 1000, late, job, false};
	struct fetch_job fetch = {
		.resolver = &job->service->resolver,
		.identifier = job->request.identifier,
		.max_waiting = (size_t)c->max_waiting,
		.max_verifying = (unsigned)c->verifiers,
		.max_bytes = c->cache_max_bytes,
		.patience = job->call->early ? &job->patience : NULL,
		.servable = servable,
		.verify = verify,
		.with = job,
	};
	bool ok = fetch_run(job->a, &fetch, err);
	stopwatch_lap(&job->watch, STAGE_FETCH);
	if (!ok)
		return false;
	redirect(job, job->reply, arena_printf(job->a, "pool-%u", job->round));
	return true;
}

bool is_own_step(const struct job *job, struct error *err)
{
	switch (job->service->config->role) {
	case ROLE_WORKER:
		return !job->is_fetcher || fail(err, 500, REASON_CONFIG, SAY_ROLE,
						"server.role is worker: it does not fetch");
	case ROLE_FETCHER:
		return job->is_fetcher || fail(err, 500, REASON_CONFIG, SAY_ROLE,
					       "server.role is fetcher: it does nothing but fetch");
	case ROLE_HEALTH:
		return fail(err, 500, REASON_CONFIG, SAY_ROLE, "server.role is health: it has no images");
	}
	return true;
}

/* "fetch-N" or "pool-N"; what is not of this form is a first step. */
void parse_step(struct job *job)
{
	struct str s = job->call->step;
	uint64_t round = 0;
	bool fetch = take_word(&s, STR("fetch-"));
	if ((fetch || take_word(&s, STR("pool-"))) && take_uint(&s, SERVICE_ROUNDS, &round) && !s.n) {
		job->is_fetcher = fetch;
		job->round = (unsigned)round;
	}
}
