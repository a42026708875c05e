/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include "call.h"

/*
 * One request, answered: the whole path from raw URI to headers and body, without any idea of who
 * asks (the FastCGI worker, `lorikeet get`, tests, fuzzers). service_answer never fails: errors
 * become replies.
 */
struct service;

/* The configuration outlives the service. 500 REASON_CONFIG if its texts make no sense. */
struct service *service_open(struct arena *a, const struct config *config, struct error *err);

void service_answer(const struct service *service, const struct call *call, struct reply *reply,
		    struct arena *a);

/* How it reads paths, and what it takes identifiers for. */
const struct request_options *service_grammar(const struct service *service);
const struct resolver *service_resolver(const struct service *service);

#endif
