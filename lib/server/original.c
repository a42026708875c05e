/* SPDX-License-Identifier: BSD-2-Clause */
#include "original.h"

#include "../base/deadline.h"
#include "../base/metrics.h"
#include "../iiif/info.h"
#include "../image/codecs.h"
#include "../image/opened.h"
#include "known.h"
#include "verify.h"

static bool set_limits(struct job *job, struct error *err)
{
	struct limits l = {job->rule->max_width, job->rule->max_height, job->rule->max_area, job->rule->upscale};
	if (!info_limits(str_of(job->rule->info_json), &l, err) || !info_limits(job->resolved.sidecar, &l, err))
		return false;
	job->limits = limits_effective(l, &job->picture.facts);
	return true;
}

/* A decoding that was survived. */
void forgive(struct job *job)
{
	metrics_mark(MARK_NONE, 0, 0);
	deadline_end();
	if (job->resolved.known.strikes && !job->is_judged)
		resolver_judge(&job->service->resolver, &job->resolved, job->request.identifier,
			       job->resolved.known.verdict, 0);
}

/* *known is filled where no source is opened. */
static bool open_original(struct job *job, size_t skip, struct known_picture *known, struct error *err)
{
	struct resolved *r = &job->resolved;
	struct resolver_wish wish = {.identifier = job->request.identifier, .skip = skip, .was_fetched = job->round > 0,
				     .facts_suffice = job->request.kind == REQUEST_INFO && job->request.page == 1};
	bool found = resolver_open(job->a, &job->service->resolver, &wish, r, err);
	/* Facts of a program with another layout. */
	if (found && !r->source && !known_read(r->known.facts, known)) {
		wish.facts_suffice = false;
		found = resolver_open(job->a, &job->service->resolver, &wish, r, err);
	}
	stopwatch_lap(&job->watch, STAGE_RESOLVE);
	job->reply->source = r->name;
	if (r->rule < job->service->config->n_rules)
		job->rule = &job->service->config->rules[r->rule];
	return found;
}

/* What was learnt of a picture behind a network is kept, so that the next info.json needs no file. */
static void keep_facts(struct job *job)
{
	struct original o = job->resolved.known;
	if (!o.bytes || o.facts.n || job->request.page != 1)
		return;
	o.facts = known_write(job->a, &job->picture);
	cache_keep_facts(job->service->resolver.cache, &o);
}

bool open_picture(struct job *job, size_t skip, struct error *err)
{
	struct known_picture known;
	struct picture *p = &job->picture;
	*p = (struct picture){.facts.format = ""};
	job->is_open = job->is_judged = false;
	if (!open_original(job, skip, &known, err))
		return false;
	if (!job->resolved.source) {
		*p = (struct picture){.facts = known.facts};
		p->metadata.per_cm_x = known.per_cm_x;
		p->metadata.per_cm_y = known.per_cm_y;
		job->reply->source_format = p->facts.format;
		return set_limits(job, err);
	}
	job->is_judged = !resolver_survive(&job->service->resolver, &job->resolved, job->request.identifier, err);
	deadline_start(job->service->config->max_decode_ms, job->reply->source);
	bool opened = !job->is_judged &&
		      opened_picture(job->a, decoders, job->resolved.source, job->request.page, p, err) &&
		      verify_pixels(job->service->config, p, err);
	job->reply->source_format = p->facts.format;
	if (opened)
		keep_facts(job);
	opened = opened && set_limits(job, err);
	job->is_open = opened;
	stopwatch_lap(&job->watch, STAGE_OPEN);
	return opened;
}
