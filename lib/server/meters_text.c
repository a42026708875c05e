/* SPDX-License-Identifier: BSD-2-Clause */
#include "meters_text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../base/backlog.h"
#include "../base/file.h"
#include "meters.h"

/* The processes that serve one socket. */
struct group {
	char socket[METRICS_GROUP_BYTES];
	const char *label;
	size_t live, busy;
	uint64_t busy_us, memory_bytes, counters[METRICS];
	uint64_t waiting, most;        /* in the socket's queue */
	bool listens;
};

struct pool {
	struct arena *a;
	uint64_t sums[METRICS_COUNTERS];
	struct group *groups;
	size_t n;
	bool memory_is_known;
};

static const struct {
	enum metric metric;
	const char *name, *help;
} plain[] = {
	{METRIC_BODY_BYTES, "response_body_bytes",
	 "Bytes of the bodies of answers, as workers gave them to the web server."},
	{METRIC_FALLBACKS, "fallbacks", "Answers made from a fallback instead of the original."},
	{METRIC_LOG_DROPPED, "log_lines_dropped",
	 "Log lines thrown away because who reads standard error (supervisord) did not keep up."},
	{METRIC_REQUESTS_LOST, "requests_lost",
	 "Requests in the hands of workers that died. The web server asks another worker once."},
	{METRIC_DECODE_CRASHES, "decode_crashes",
	 "Workers that died while they decoded an original: by a codec's bug, without memory, or killed."},
	{METRIC_CACHE_HITS, "cache_hits", "Originals opened from the cache."},
	{METRIC_CACHE_STALE, "cache_stale", "Originals served from the cache past their time."},
	{METRIC_CACHE_MISSES, "cache_misses", "Requests whose original was not in the cache: handed to a fetcher."},
	{METRIC_CACHE_EVICTIONS, "cache_evictions", "Originals removed from the cache to make room."},
	{METRIC_CACHE_EVICTED_BYTES, "cache_evicted_bytes", "Bytes removed from the cache to make room."},
	{METRIC_CACHE_DROPPED, "cache_dropped", "Files of the cache thrown away because they were damaged."},
	{METRIC_CACHE_UNUSABLE, "cache_unusable",
	 "Originals that went to the temporary folder because the cache could not be used."},
	{METRIC_REVALIDATIONS, "revalidations", "Questions to an origin whether an original has changed."},
	{METRIC_REVALIDATED, "revalidated", "Originals that an origin called unchanged."},
	{METRIC_ORIGIN_REQUESTS, "origin_requests", "Requests sent to origins."},
	{METRIC_ORIGIN_BYTES, "origin_bytes", "Bytes of bodies received from origins."},
	{METRIC_ORIGIN_MISSING, "origin_missing", "Answers of origins that there is no such original (404, 410)."},
	{METRIC_ORIGIN_DENIED, "origin_denied", "Answers of origins that access is denied (401, 403)."},
	{METRIC_ORIGIN_THROTTLED, "origin_throttled", "Answers of origins to ask less often (429, SlowDown)."},
	{METRIC_ORIGIN_FAILED, "origin_failed", "Transfers that failed: 5xx, broken connections, wrong answers."},
	{METRIC_ORIGIN_TIMEOUTS, "origin_timeouts", "Transfers that took too long."},
	{METRIC_ORIGIN_REFUSED, "origin_refused", "Transfers not begun because the address may not be asked."},
	{METRIC_ORIGIN_DAMAGED, "origin_damaged", "Bodies that are not what their digest or length says."},
	{METRIC_ORIGIN_RESUMED, "origin_resumed", "Broken transfers that were continued where they had stopped."},
	{METRIC_WAITS, "waits", "Requests that waited for the download or the verification of another."},
	{METRIC_WAITS_REFUSED, "waits_refused", "Requests refused at once (503) because too many were waiting."},
	{METRIC_WAITS_LATE, "waits_late", "Requests that waited for their original in vain (503)."},
};

/* --- looking --- */

/* The socket's name without folder and ending, unless another group has that. */
static const char *label_of(struct pool *p, const char *socket)
{
	struct str s = str_of(socket);
	const char *slash = memrchr(s.at, '/', s.n);
	if (slash && *s.at == '/')
		s = (struct str){slash + 1, (size_t)(s.at + s.n - slash - 1)};
	if (str_ends(s, STR(".sock")))
		s.n -= 5;
	const char *label = s.n ? str_dup(p->a, s) : "-";
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->groups[i].label, label) == 0)
			return arena_strndup(p->a, socket, strlen(socket));
	return label;
}

static struct group *group_of(struct pool *p, const char *socket)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->groups[i].socket, socket) == 0)
			return &p->groups[i];
	struct group *g = &p->groups[p->n];
	snprintf(g->socket, sizeof g->socket, "%s", socket);
	g->label = label_of(p, socket);
	p->n++;
	return g;
}

/* What is the process's alone, so that a sum over processes counts nothing twice: 0 of one that is gone meanwhile. False:
 * it may not be seen. */
static bool read_memory(pid_t pid, uint64_t *bytes)
{
	char name[40], text[120] = "";
	unsigned long long resident, shared;
	snprintf(name, sizeof name, "/proc/%d/statm", (int)pid);
	*bytes = 0;
	if (file_read(AT_FDCWD, name, 0, text, sizeof text - 1) < 0)
		return access("/proc/self/statm", F_OK) == 0 && access(name, F_OK) != 0;
	if (sscanf(text, "%*u %llu %llu", &resident, &shared) != 2 || shared > resident)
		return false;
	*bytes = (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

static void look_at_slots(struct pool *p)
{
	size_t n = metrics_slots();
	struct metrics_slot *slot = arena_new(p->a, struct metrics_slot);
	p->groups = arena_array(p->a, struct group, n);
	p->memory_is_known = true;
	for (size_t i = 0; i < n; i++) {
		uint64_t memory = 0;
		metrics_look(i, slot);
		struct group *g = group_of(p, slot->group);
		for (size_t c = 0; c < METRICS_COUNTERS; c++)
			p->sums[c] += slot->counters[c];
		for (size_t c = 0; c < METRICS; c++)
			g->counters[c] += slot->counters[c];
		g->busy_us += slot->busy_us;
		if (!slot->is_live)
			continue;
		g->live++;
		g->busy += slot->busy != BUSY_NOT;
		p->memory_is_known &= read_memory(slot->pid, &memory);
		g->memory_bytes += memory;
	}
}

static void see_queue(void *with, const char *path, uint32_t waiting, uint32_t most)
{
	struct pool *p = with;
	for (size_t i = 0; i < p->n; i++) {
		struct group *g = &p->groups[i];
		if (strcmp(g->socket, path) != 0)
			continue;
		g->listens = true;
		g->waiting += waiting;
		g->most = g->most > most ? g->most : most;
	}
}

/* --- writing --- */

static void family(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP lorikeet_%s %s\n# TYPE lorikeet_%s %s\n", name, help, name, type);
}

static void write_label(struct buf *b, const char *value)
{
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			buf_text(b, "\\");
		if (*value == '\n')
			buf_text(b, "\\n");
		else
			buf_write(b, value, 1);
	}
}

static void write_number(struct buf *b, uint64_t value)
{
	buf_printf(b, " %llu\n", (unsigned long long)value);
}

static void write_seconds(struct buf *b, uint64_t us)
{
	buf_printf(b, " %llu.%06llu\n", (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000));
}

static void write_plain(struct buf *b, const struct pool *p)
{
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
		const char *name = arena_printf(p->a, "%s_total", plain[i].name);
		family(b, name, "counter", plain[i].help);
		buf_printf(b, "lorikeet_%s", name);
		write_number(b, p->sums[plain[i].metric]);
	}
	family(b, "memory_refusals_total", "counter",
	       "Requests refused for want of memory: by estimate before decoding (413: max_request_memory), or by the "
	       "limit while it ran (503: an estimate was too low, or the machine is short of memory).");
	buf_text(b, "lorikeet_memory_refusals_total{by=\"estimate\"}");
	write_number(b, p->sums[METRIC_REFUSED_BY_ESTIMATE]);
	buf_text(b, "lorikeet_memory_refusals_total{by=\"limit\"}");
	write_number(b, p->sums[METRIC_REFUSED_BY_LIMIT]);
}

/* What nearly every server has, and its failures: a series that is there from the start has an increase at its first
 * count. */
static bool is_usual(int api, int status, int format, int path)
{
	if (!api)
		return format == FORMATS + 1 && path == PATH_NONE;
	if (format == FORMATS)
		return path == PATH_NONE;
	return format == FORMAT_JPG && (path == PATH_NONE || (status == 0 && path != PATH_WAND) ||
					(status == 3 && path == PATH_PLANES));
}

static const char *format_label(int format)
{
	return format < FORMATS ? format_name((enum format)format) : format == FORMATS ? "info" : "-";
}

static void write_request(struct buf *b, const struct pool *p, int api, int status, int format, int path)
{
	uint64_t n = p->sums[meter_request(api, status, format, path)];
	if (!n && !is_usual(api, status, format, path))
		return;
	buf_printf(b, "lorikeet_requests_total{api=\"%c\",status=\"%dxx\",format=\"%s\",path=\"%s\"}", "-23"[api], status + 2,
		   format_label(format), path ? path_name((enum path)path) : "-");
	write_number(b, n);
}

static void write_requests(struct buf *b, const struct pool *p)
{
	family(b, "requests_total", "counter",
	       "Answers of workers and fetchers by IIIF version, class of status, format asked for, and the path that made "
	       "the image (pass and stitch send stored tiles, planes decodes, wand too and has ImageMagick write). What "
	       "nginx answers from its cache is not among them.");
	for (int api = 0; api < METER_APIS; api++)
		for (int status = 0; status < METER_STATUSES; status++)
			for (int format = 0; format < METER_FORMATS; format++)
				for (int path = 0; path < METER_PATHS; path++)
					write_request(b, p, api, status, format, path);
}

static void write_histogram(struct buf *b, const struct pool *p, const char *name, const char *label, size_t which)
{
	const uint64_t *counts = &p->sums[METER_TIME + which * (METER_BOUNDS + 2)];
	uint64_t n = 0;
	const char *comma = *label ? "," : "";
	for (size_t i = 0; i < METER_BOUNDS; i++) {
		n += counts[i];
		buf_printf(b, "lorikeet_%s_bucket{%s%sle=\"%s\"}", name, label, comma, meter_bounds[i].text);
		write_number(b, n);
	}
	n += counts[METER_BOUNDS];
	buf_printf(b, "lorikeet_%s_bucket{%s%sle=\"+Inf\"}", name, label, comma);
	write_number(b, n);
	const char *labels = *label ? arena_printf(p->a, "{%s}", label) : "";
	buf_printf(b, "lorikeet_%s_sum%s", name, labels);
	write_seconds(b, counts[METER_BOUNDS + 1]);
	buf_printf(b, "lorikeet_%s_count%s", name, labels);
	write_number(b, n);
}

static void write_times(struct buf *b, const struct pool *p)
{
	family(b, "request_seconds", "histogram",
	       "Time from a worker's taking a request for an image or info.json to its answer. Waiting in the queue "
	       "comes before, and what was fetched first has times of its own.");
	write_histogram(b, p, "request_seconds", "", STAGES);
	family(b, "stage_seconds", "histogram",
	       "Time of one stage of an answer, where it had that: resolve (find the original), fetch (get it from its "
	       "origin), open (read its header), read (decode), colour, transform (scale and turn), encode.");
	for (int i = 0; i < STAGES; i++)
		write_histogram(b, p, "stage_seconds", arena_printf(p->a, "stage=\"%s\"", stage_name((enum stage)i)),
				(size_t)i);
}

static void write_failures(struct buf *b, const struct pool *p)
{
	static const struct {
		const char *name, *help;
		size_t first;
	} families[] = {
		{"decode_failures_total",
		 "Times that an original could not be decoded, by its format and the reason. One damaged original, asked for "
		 "again and again, counts each time.", METER_FAILURES},
		{"failed_originals_total",
		 "Originals that could not be decoded, each at most once an hour whoever asks for it: for alerts. The "
		 "increase over an hour is how many different ones there were.", METER_FAILED_ORIGINALS},
	};
	for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
		family(b, families[f].name, "counter", families[f].help);
		for (size_t i = 0; i < METER_SOURCES * METER_REASONS; i++) {
			uint64_t n = p->sums[families[f].first + i];
			bool usual = meter_reasons[i % METER_REASONS] == REASON_DAMAGED && i / METER_REASONS <= 4;
			if (!n && !usual)
				continue;
			buf_printf(b, "lorikeet_%s{format=\"%s\",reason=\"%s\"}", families[f].name,
				   meter_sources[i / METER_REASONS], reason_name(meter_reasons[i % METER_REASONS]));
			write_number(b, n);
		}
	}
}

static void sample(struct buf *b, const char *name, const struct group *g, const char *more)
{
	buf_printf(b, "lorikeet_%s{group=\"", name);
	write_label(b, g->label);
	buf_printf(b, "\"%s}", more);
}

static void write_lives(struct buf *b, const struct pool *p)
{
	static const struct {
		const char *kind;
		enum metric metric;
	} ends[] = {{",kind=\"retired\"", METRIC_RETIRED}, {",kind=\"stopped\"", METRIC_STOPPED},
		    {",kind=\"failed\"", METRIC_FAILED}, {",kind=\"crashed\"", METRIC_CRASHED},
		    {",kind=\"killed\"", METRIC_KILLED}};
	family(b, "worker_starts_total", "counter",
	       "Processes started, by group: the name of the socket that they serve.");
	for (size_t i = 0; i < p->n; i++) {
		sample(b, "worker_starts_total", &p->groups[i], "");
		write_number(b, p->groups[i].counters[METRIC_STARTS]);
	}
	family(b, "worker_ends_total", "counter",
	       "Processes that ended: retired (after requests_per_worker), stopped (by a deploy), failed (could not go "
	       "on), crashed (a bug's signal, or far too slow), killed (without a word: out of memory, kill -9).");
	for (size_t i = 0; i < p->n; i++)
		for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
			sample(b, "worker_ends_total", &p->groups[i], ends[e].kind);
			write_number(b, p->groups[i].counters[ends[e].metric]);
		}
}

static void write_groups(struct buf *b, const struct pool *p)
{
	family(b, "workers", "gauge", "Processes alive now. The one that answers this is busy.");
	for (size_t i = 0; i < p->n; i++) {
		const struct group *g = &p->groups[i];
		sample(b, "workers", g, ",state=\"busy\"");
		write_number(b, g->busy);
		sample(b, "workers", g, ",state=\"idle\"");
		write_number(b, g->live - g->busy);
	}
	family(b, "worker_busy_seconds_total", "counter",
	       "Time that processes spent on requests, up to now. Its rate divided by their number is how saturated a "
	       "group is.");
	for (size_t i = 0; i < p->n; i++) {
		sample(b, "worker_busy_seconds_total", &p->groups[i], "");
		write_seconds(b, p->groups[i].busy_us);
	}
	if (p->memory_is_known) {
		family(b, "worker_memory_bytes", "gauge",
		       "Resident memory that is the processes' own, together: without the program's and libraries' files.");
		for (size_t i = 0; i < p->n; i++) {
			sample(b, "worker_memory_bytes", &p->groups[i], "");
			write_number(b, p->groups[i].memory_bytes);
		}
	}
}

static void write_queues(struct buf *b, const struct pool *p)
{
	family(b, "queue_connections", "gauge",
	       "Connections that wait in the socket of a group until a process is idle. More than a few for long: too "
	       "few workers, or too slow ones.");
	for (size_t i = 0; i < p->n; i++)
		if (p->groups[i].listens) {
			sample(b, "queue_connections", &p->groups[i], "");
			write_number(b, p->groups[i].waiting);
		}
	family(b, "queue_max_connections", "gauge", "Connections that may wait there; more are refused (nginx: 503).");
	for (size_t i = 0; i < p->n; i++)
		if (p->groups[i].listens) {
			sample(b, "queue_max_connections", &p->groups[i], "");
			write_number(b, p->groups[i].most);
		}
}

static void gauge(struct buf *b, const char *name, const char *help, uint64_t value)
{
	family(b, name, "gauge", help);
	buf_printf(b, "lorikeet_%s", name);
	write_number(b, value);
}

static bool has_fetchers(const struct config *c)
{
	for (size_t i = 0; i < c->n_rules; i++)
		if (c->rules[i].type != SOURCE_FILE || config_rule_verifies(&c->rules[i]))
			return true;
	return false;
}

void meters_write(struct arena *a, struct buf *b, const struct config *config, const struct cache_state *cache)
{
	struct pool *p = arena_new(a, struct pool);
	p->a = a;
	look_at_slots(p);
	bool queues_are_known = backlog_look(see_queue, p);

	family(b, "build_info", "gauge", "Always 1; the label says the version of the process that was asked.");
	buf_text(b, "lorikeet_build_info{version=\"" LORIKEET_VERSION "\"} 1\n");
	write_requests(b, p);
	write_times(b, p);
	write_failures(b, p);
	write_plain(b, p);
	write_groups(b, p);
	write_lives(b, p);
	if (queues_are_known)
		write_queues(b, p);
	if (config->workers_are_said)
		gauge(b, "workers_configured",
		      "Processes that limits.workers says there are, in all groups of workers together.", config->workers);
	if (has_fetchers(config))
		gauge(b, "fetchers_configured",
		      "Fetchers that cache.max_waiting says there are, in all their groups together.", config->max_waiting);
	gauge(b, "cache_usable", "Whether the cache's folder can be used.", cache->usable);
	gauge(b, "cache_bytes", "Bytes of the originals in the cache.", cache->totals.bytes);
	gauge(b, "cache_originals", "Originals in the cache.", cache->totals.files);
	gauge(b, "cache_max_bytes", "Bytes that the cache may hold.", cache->max_bytes);
	gauge(b, "cache_free_bytes", "Bytes free on its volume.", cache->free_bytes);
}
