/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_JOB_H
#define SERVER_JOB_H

#include "../base/clock.h"
#include "call.h"
#include "rules.h"

/*
 * What the rooms behind service_answer share: the request in hand, and how replies are written. Not for others.
 */
#define SERVICE_URI_MAX_BYTES 16384
#define SERVICE_HEADERS_MAX_BYTES 65536
#define SERVICE_TEXT_MAX_BYTES (1 << 20)

struct service {
	const struct config *config;
	struct request_options grammar;
	struct resolver resolver;
	enum format formats[FORMATS];      /* that this server writes */
	size_t n_formats;
};

/* All that one answer is made of, so that the steps below read as sentences. */
struct job {
	const struct service *service;
	const struct call *call;
	struct reply *reply;
	struct arena *a;
	struct request request;
	bool is_fetcher;                   /* this process is to fetch, and then to send the request back */
	unsigned round;                    /* how often a fetcher was asked */
	struct resolved resolved;
	const struct config_rule *rule;
	struct picture picture;            /* its decoder is NULL where the facts were known */
	bool is_open;                      /* the picture's header was sound */
	bool is_judged;                    /* what is wrong with the original is remembered already */
	struct patience patience;          /* of a fetcher's client */
	struct limits limits;
	const char *id;                    /* the image's base URI, as the client sees it */
	struct stopwatch watch;
};

/* An empty reply. */
struct reply reply_open(struct arena *a);

void header(struct job *job, const char *name, const char *value);
bool is_method(const struct call *call, const char *name);

/* The base URI of the image, with the identifier as the client sent it. */
const char *make_id(struct job *job);

/* The part of every ETag that speaks of the original. */
void write_validators(const struct job *job, struct buf *b);

/* Validators and lifetimes; answers 304 and HEAD, before anything is decoded. True if done. */
bool answer_without_body(struct job *job, const char *etag, uint64_t max_age_s);

void header_disposition(struct job *job, struct str canonical);
void answer_error(struct job *job, const struct error *err);

/* What every reply has but a redirect between processes. */
void header_for_all(struct job *job);

#endif
