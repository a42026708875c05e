/* SPDX-License-Identifier: BSD-2-Clause */
#include "worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <fastcgi.h>
#include <fcgiapp.h>

#include "../lib/base/backlog.h"
#include "../lib/base/clock.h"
#include "../lib/base/log.h"
#include "../lib/base/metrics.h"
#include "../lib/base/text_pages.h"
#include "../lib/server/meters.h"
#include "../lib/server/sandbox.h"

#define LISTENING 0
#define LEAST_LIFE_S 60
#define URI_LOG_BYTES 1200
#define WHY_LOG_BYTES 400

static struct str param(const FCGX_Request *r, const char *name)
{
	return str_of(FCGX_GetParam(name, r->envp));
}

/* Copies: a fetcher works on when the request, and what it said, has ended. */
static struct call read_call(const FCGX_Request *r, struct arena *a)
{
	const struct {
		const char *name;
		size_t offset;
	} params[] = {
		{"REQUEST_METHOD", offsetof(struct call, method)},
		{"REQUEST_URI", offsetof(struct call, uri)},
		{"REQUEST_SCHEME", offsetof(struct call, scheme)},
		{"HTTP_HOST", offsetof(struct call, host)},
		{"LORIKEET_PREFIX", offsetof(struct call, prefix)},
		{"LORIKEET_STEP", offsetof(struct call, step)},
		{"LORIKEET_HEALTH", offsetof(struct call, health)},
		{"HTTP_ACCEPT", offsetof(struct call, accept)},
		{"HTTP_IF_NONE_MATCH", offsetof(struct call, if_none_match)},
		{"HTTP_IF_MODIFIED_SINCE", offsetof(struct call, if_modified_since)},
		{"HTTP_ACCESS_CONTROL_REQUEST_HEADERS", offsetof(struct call, cors_headers)},
	};
	struct call call = {.wants_metrics = param(r, "LORIKEET_METRICS").n > 0};
	for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
		struct str value = param(r, params[i].name);
		*(struct str *)((char *)&call + params[i].offset) = (struct str){str_dup(a, value), value.n};
	}
	return call;
}

/* Without the last byte of an IPv4 address, without the last 80 bits of an IPv6 one; else nothing is shown. */
static struct str masked(struct arena *a, struct str client)
{
	char *text = arena_alloc(a, INET6_ADDRSTRLEN);
	unsigned char address[16];
	bool v4 = client.n && inet_pton(AF_INET, client.at, address) == 1;
	if (v4)
		address[3] = 0;
	else if (client.n && inet_pton(AF_INET6, client.at, address) == 1)
		memset(address + (IN6_IS_ADDR_V4MAPPED(address) ? 15 : 6), 0, IN6_IS_ADDR_V4MAPPED(address) ? 1 : 10);
	else
		return STR("-");
	return str_of(inet_ntop(v4 ? AF_INET : AF_INET6, address, text, INET6_ADDRSTRLEN));
}

static bool wants_line(const struct config *c, const struct reply *reply, int64_t took_us)
{
	switch (c->log_requests) {
	case LOG_ALL:
		return true;
	case LOG_ERRORS:
		return reply->status >= 400;
	case LOG_SLOW:
		return reply->status >= 500 || took_us >= (int64_t)c->log_slow_ms * 1000;
	}
	return true;
}

static void log_request(const FCGX_Request *r, const struct config *c, const struct call *call,
			const struct reply *reply, int64_t took_us, struct arena *a)
{
	struct log_line line;
	struct str path = call->uri, client = param(r, "REMOTE_ADDR");
	const char *query = path.n ? memchr(path.at, '?', path.n) : NULL;
	if (query)
		path.n = (size_t)(query - path.at);
	if (!wants_line(c, reply, took_us))
		return;

	log_line_open(&line, reply->status >= 500 ? "error" : "info");
	log_text(&line, "id", param(r, "REQUEST_ID"), 64);
	if (c->log_client != LOG_CLIENT_NONE)
		log_text(&line, "client", c->log_client == LOG_CLIENT_MASKED ? masked(a, client) : client, 64);
	log_text(&line, "method", call->method, 16);
	log_text(&line, "uri", path, URI_LOG_BYTES);
	log_number(&line, "status", reply->status);
	log_number(&line, "bytes", reply->body_is_left_out ? 0 : (int64_t)reply->body.n);
	log_ms(&line, "ms", took_us);
	if (*reply->source)
		log_text(&line, "source", str_of(reply->source), URI_LOG_BYTES);
	if (call->step.n)
		log_text(&line, "step", call->step, 16);
	if (reply->is_fallback)
		log_number(&line, "fallback", 1);
	if (*reply->source_format)
		log_text(&line, "format", str_of(reply->source_format), 16);
	if (reply->path != PATH_NONE)
		log_text(&line, "path", str_of(path_name(reply->path)), 16);
	for (int i = 0; i < STAGES; i++)
		if (reply->stage_us[i])
			log_ms(&line, stage_name((enum stage)i), reply->stage_us[i]);
	if (reply->reason != REASON_NONE)
		log_text(&line, "reason", str_of(reason_name(reply->reason)), 32);
	if (*reply->why)
		log_text(&line, "why", str_of(reply->why), WHY_LOG_BYTES);
	log_line_write(&line);
}

/* The statuses that service.c gives (RFC 9110, 15). */
static const char *reason_phrase(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 204:
		return "No Content";
	case 303:
		return "See Other";
	case 304:
		return "Not Modified";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 413:
		return "Content Too Large";
	case 414:
		return "URI Too Long";
	case 501:
		return "Not Implemented";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	case 507:
		return "Insufficient Storage";
	default:
		return "Internal Server Error";
	}
}

/* The longest content of a record (FastCGI 1.0, 3.3) that leaves none of the next ones crooked. */
#define RECORD_BYTES 65528
#define RECORDS_AT_ONCE 64

static bool write_all(int fd, struct iovec *parts, int n)
{
	while (n) {
		ssize_t written = writev(fd, parts, n);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return false;
		for (; n && (size_t)written >= parts->iov_len; parts++, n--)
			written -= (ssize_t)parts->iov_len;
		if (n) {
			parts->iov_base = (char *)parts->iov_base + written;
			parts->iov_len -= (size_t)written;
		}
	}
	return true;
}

/* As FCGI_STDOUT records, straight from where the bytes are: libfcgi's stream copies them, and writes 8 KiB at a time. */
static void write_records(const FCGX_Request *r, struct str pieces[], int n_pieces)
{
	while (n_pieces && !pieces[n_pieces - 1].n)
		n_pieces--;
	while (n_pieces) {
		FCGI_Header head[RECORDS_AT_ONCE];
		struct iovec parts[2 * RECORDS_AT_ONCE];
		int n = 0;
		while (n_pieces && n < RECORDS_AT_ONCE) {
			size_t m = pieces->n < RECORD_BYTES ? pieces->n : RECORD_BYTES;
			head[n] = (FCGI_Header){.version = FCGI_VERSION_1, .type = FCGI_STDOUT,
						.requestIdB1 = (unsigned char)(r->requestId >> 8),
						.requestIdB0 = (unsigned char)r->requestId,
						.contentLengthB1 = (unsigned char)(m >> 8), .contentLengthB0 = (unsigned char)m};
			parts[2 * n] = (struct iovec){&head[n], sizeof head[n]};
			parts[2 * n + 1] = (struct iovec){(char *)pieces->at, m};
			n += m > 0;
			*pieces = (struct str){pieces->at + m, pieces->n - m};
			if (!pieces->n) {
				pieces++;
				n_pieces--;
			}
		}
		if (!write_all(r->ipcFd, parts, 2 * n))
			return;
	}
}

static void write_reply(FCGX_Request *r, const struct reply *reply, struct arena *a)
{
	struct buf *head = buf_open(a, reply->headers->n + 256);
	buf_printf(head, "Status: %d %s\r\n", reply->status, reason_phrase(reply->status));
	buf_str(head, buf_view(reply->headers));
	if (!reply->body_is_left_out)
		buf_printf(head, "Content-Length: %llu\r\n", (unsigned long long)reply->body.n);
	buf_text(head, "\r\n");
	/* A web server that has gone away is of no interest. */
	write_records(r, (struct str[]){buf_view(head), reply->body}, reply->body_is_left_out ? 1 : 2);
}

/* A request in hand, so that it can be ended before the work for it has. */
struct in_hand {
	FCGX_Request *request;
	const struct config *config;
	const struct call *call;
	struct arena *a;
	int64_t start_us;
};

static void end_request(void *with, const struct reply *reply)
{
	struct in_hand *h = with;
	write_reply(h->request, reply, h->a);
	int64_t took_us = clock_us() - h->start_us;
	/* Of the server's health balancers ask every few seconds. */
	bool is_health = h->call->health.n > 0;
	if (!reply->is_redirect && !h->call->wants_metrics && !is_health)
		meters_answer(reply, took_us);
	if (!is_health)
		log_request(h->request, h->config, h->call, reply, took_us, h->a);
	FCGX_Finish_r(h->request);
	metrics_busy(BUSY_AFTERWARDS);
}

static void serve(FCGX_Request *r, const struct config *config, const struct service *service)
{
	struct arena *a = arena_open();
	struct call call = read_call(r, a);
	struct in_hand h = {r, config, &call, a, clock_us()};
	struct reply reply;

	metrics_busy(BUSY_ANSWERING);
	call.early = end_request;
	call.early_with = &h;
	service_answer(service, &call, &reply, a);
	meters_stages(&reply);
	if (!reply.was_early)
		end_request(&h, &reply);
	arena_close(a);
	metrics_busy(BUSY_NOT);
}

/* The number of requests after which this worker retires: the option, up to a quarter more. */
static uint64_t lifetime(const struct config *c)
{
	uint32_t dice = 0;
	if (!c->requests_per_worker)
		return UINT64_MAX;
	if (getrandom(&dice, sizeof dice, GRND_NONBLOCK) < 0)
		dice = (uint32_t)getpid() * UINT32_C(2654435761);
	return c->requests_per_worker + c->requests_per_worker / 4 * (dice % 1000) / 1000;
}

/* group_stops: the signal is multiwatch's, who sends it to all of the group and starts none of them again. */
static volatile sig_atomic_t stopping, group_stops;

static void stop(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	stopping = 1;
	if (info->si_pid == getppid())
		group_stops = 1;
}

/*
 * The socket is open until the last of the group has ended, which may wait long for an origin; who connected meanwhile would
 * wait with it. The web server asks the other group at once instead.
 */
static void send_to_other_group(void)
{
	int fd;
	shutdown(LISTENING, SHUT_RDWR);
	while ((fd = accept(LISTENING, NULL, NULL)) >= 0)
		close(fd);
}

/*
 * Signals to stop come through while a connection is waited for, and at no other time: a request in hand is not
 * interrupted, and none is slept through between a look at `stopping` and accept. libfcgi's own way of it,
 * FCGX_ShutdownPending, may turn round for ever in accept where the signal comes before the request's first byte.
 */
static void heed_signals(sigset_t *before)
{
	struct sigaction action = {.sa_sigaction = stop, .sa_flags = SA_SIGINFO};
	sigset_t signals;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, before);
	sigdelset(before, SIGTERM);
	sigdelset(before, SIGUSR1);
	/* Who is woken by a connection that another worker takes must not wait in accept. */
	fcntl(LISTENING, F_SETFL, fcntl(LISTENING, F_GETFL) | O_NONBLOCK);
}

/* False: to stop. */
static bool wait_for_connection(const sigset_t *mask)
{
	struct pollfd listening = {.fd = LISTENING, .events = POLLIN};
	while (!stopping && ppoll(&listening, 1, NULL, mask) < 0 && errno == EINTR)
		;
	/* Another of the group had the signal first; this one's waits behind it. */
	if (listening.revents & POLLHUP)
		stopping = 1;
	return !stopping;
}

int worker_run(struct arena *a, const struct config *config, const struct service *service)
{
	FCGX_Request request;
	/* The pool's supervisor may be killed: a worker must not outlive it and keep the socket. */
	pid_t parent = getppid();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		return 0;
	if (FCGX_Init() || FCGX_InitRequest(&request, LISTENING, 0)) {
		log_event("error", "libfcgi could not start");
		return 1;
	}
	sigset_t mask;
	heed_signals(&mask);
	struct error err;
	char group[BACKLOG_NAME_BYTES];
	backlog_name(LISTENING, group);
	if (!metrics_open(config->metrics_file, group, &err) && *config->metrics_file)
		log_event("warn", "metrics: %s", err.why);
	metrics_role(config->role);
	metrics_watch_signals();
	const struct sandbox *sandbox = sandbox_enter(a, config, &err);
	if (!sandbox) {
		log_event("error", "%s", err.why);
		metrics_end(METRIC_FAILED);
		return 1;
	}
	text_pages_give_back();
	int64_t born = clock_us();
	uint64_t most = lifetime(config);
	uint64_t served = 0;
	/* A connection that waits is left to the process that comes instead of this one. */
	while ((served < most || clock_us() - born < LEAST_LIFE_S * INT64_C(1000000)) && wait_for_connection(&mask) &&
	       sandbox_is_current(sandbox)) {
		int accepted = FCGX_Accept_r(&request);
		if (accepted >= 0) {
			serve(&request, config, service);
			served++;
			log_repeated(false);
			/* Also one that the web server would keep: it would be waited for in vain. */
			FCGX_Free(&request, 1);
		} else if (accepted != -EAGAIN) {
			log_event("error", "accept: %s", strerror(errno));
			metrics_end(METRIC_FAILED);
			return 1;
		}
	}
	if (group_stops)
		send_to_other_group();
	log_repeated(true);
	metrics_end(stopping ? METRIC_STOPPED : METRIC_RETIRED);
	return 0;
}
