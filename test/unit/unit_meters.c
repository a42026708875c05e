/* SPDX-License-Identifier: BSD-2-Clause */
/* Labels, buckets and the text of /metrics (lib/server/meters.h, meters_text.h). */
#include <arpa/inet.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#include "base/backlog.h"
#include "server/meters.h"
#include "server/meters_text.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))
#define TEXT_BYTES (1 << 20)

static char folder[] = "/tmp/unit_meters.XXXXXX";
static char path[100], file[110], name[100];
static int listening = -1;

static struct sockaddr_un address(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	memcpy(at.sun_path, name, strlen(name) + 1);
	return at;
}

/* A socket of a name that wants escapes, and the file. */
static int make_all(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/board", folder);
	snprintf(file, sizeof file, "%s.2", path);
	snprintf(name, sizeof name, "%s/a\"b\\c.sock", folder);
	struct sockaddr_un at = address();
	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return bind(listening, (struct sockaddr *)&at, sizeof at) || listen(listening, 5);
}

static int remove_all(void **state)
{
	struct error err;
	(void)state;
	metrics_open("", "", &err);
	close(listening);
	return unlink(file) || unlink(name) || rmdir(folder);
}

static void open_as(const char *group)
{
	struct error err = {0};
	if (!metrics_open(path, group, &err))
		fail_msg("%s", err.why);
}

static int open_new(void **state)
{
	(void)state;
	unlink(file);
	open_as(name);
	return 0;
}

static const struct config *config(void)
{
	static const char *none[] = {NULL};
	static struct config_rule rule = {.fallback = none};
	static struct config c = {.workers = 8, .workers_are_said = true, .max_waiting = 32, .rules = &rule, .n_rules = 1};
	return &c;
}

static const char *scrape_of(struct arena *a, const struct config *c)
{
	struct buf *b = buf_open(a, TEXT_BYTES);
	const struct cache_state cache = {.usable = true, .totals = {.bytes = 7, .files = 1}, .max_bytes = 100, .free_bytes = 50};
	meters_write(a, b, c, &cache);
	assert_false(b->failed);
	return str_dup(a, buf_view(b));
}

/* The value of a sample, NAN if there is none. */
static double value_in(const char *text, const char *sample)
{
	char line[400];
	snprintf(line, sizeof line, "\nlorikeet_%s ", sample);
	const char *at = strstr(text, line);
	return at ? atof(at + strlen(line)) : NAN;
}

static double value(const char *sample)
{
	struct arena *a = arena_open();
	double v = value_in(scrape_of(a, config()), sample);
	arena_close(a);
	return v;
}

static bool is_shown(const char *sample)
{
	return !isnan(value(sample));
}

static void must_be(const char *sample, double wanted)
{
	double v = value(sample);
	if (!(fabs(v - wanted) < 1e-9))
		fail_msg("%s: %f, not %f", sample, v, wanted);
}

static struct reply reply_of(int version, enum request_kind kind, enum format format, int status, enum path by)
{
	return (struct reply){.status = status, .asked = {version, kind, format}, .path = by};
}

static void answers_have_labels(void **state)
{
	static const struct {
		struct reply reply;
		const char *sample;
	} table[] = {
		{{.status = 200, .asked = {3, REQUEST_IMAGE, FORMAT_JPG}, .path = PATH_PASS},
		 "requests_total{api=\"3\",status=\"2xx\",format=\"jpg\",path=\"pass\"}"},
		{{.status = 200, .asked = {2, REQUEST_IMAGE, FORMAT_GIF}, .path = PATH_WAND},
		 "requests_total{api=\"2\",status=\"2xx\",format=\"gif\",path=\"wand\"}"},
		{{.status = 304, .asked = {2, REQUEST_INFO, 0}},
		 "requests_total{api=\"2\",status=\"3xx\",format=\"info\",path=\"-\"}"},
		{{.status = 404, .asked = {0, REQUEST_BASE, 0}},
		 "requests_total{api=\"-\",status=\"4xx\",format=\"-\",path=\"-\"}"},
		{{.status = 303, .asked = {3, REQUEST_BASE, 0}},
		 "requests_total{api=\"3\",status=\"3xx\",format=\"-\",path=\"-\"}"},
		{{.status = 507, .asked = {3, REQUEST_IMAGE, FORMAT_AVIF}, .path = PATH_PLANES},
		 "requests_total{api=\"3\",status=\"5xx\",format=\"avif\",path=\"planes\"}"},
		{{.status = 500, .asked = {3, REQUEST_IMAGE, FORMAT_WEBP}, .path = PATH_STITCH},
		 "requests_total{api=\"3\",status=\"5xx\",format=\"webp\",path=\"stitch\"}"},
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(table); i++) {
		double before = is_shown(table[i].sample) ? value(table[i].sample) : 0;
		meters_answer(&table[i].reply, 10);
		must_be(table[i].sample, before + 1);
	}
}

/* No place serves two combinations, nor one of another counter. */
static void places_are_apart(void **state)
{
	static bool taken[METRICS_COUNTERS];
	(void)state;
	for (int api = 0; api < METER_APIS; api++)
		for (int status = 0; status < METER_STATUSES; status++)
			for (int format = 0; format < METER_FORMATS; format++)
				for (int by = 0; by < METER_PATHS; by++) {
					size_t place = meter_request(api, status, format, by);
					assert_in_range(place, METER_REQUESTS, METER_TIME - 1);
					assert_false(taken[place]);
					taken[place] = true;
				}
}

static void usual_combinations_begin_with_zero(void **state)
{
	(void)state;
	must_be("requests_total{api=\"2\",status=\"5xx\",format=\"jpg\",path=\"planes\"}", 0);
	must_be("requests_total{api=\"3\",status=\"5xx\",format=\"info\",path=\"-\"}", 0);
	must_be("requests_total{api=\"-\",status=\"4xx\",format=\"-\",path=\"-\"}", 0);
	assert_false(is_shown("requests_total{api=\"3\",status=\"2xx\",format=\"png\",path=\"planes\"}"));
	must_be("decode_failures_total{format=\"tiff\",reason=\"damaged\"}", 0);
	assert_false(is_shown("decode_failures_total{format=\"tiff\",reason=\"slow\"}"));
}

static double bucket(size_t i)
{
	char sample[100];
	snprintf(sample, sizeof sample, "request_seconds_bucket{le=\"%s\"}", i < METER_BOUNDS ? meter_bounds[i].text : "+Inf");
	return value(sample);
}

/* Each bucket has all that took no longer. */
static void times_fall_into_buckets(void **state)
{
	static const struct {
		int64_t us;
		size_t least;           /* the first bucket that has it */
	} table[] = {{0, 0}, {100, 0}, {101, 1}, {9999, 6}, {10000, 6}, {10001, 7}, {60000000, 17}, {60000001, 18},
		     {4000000000, 18}};
	struct reply info = {.status = 200, .asked = {3, REQUEST_INFO, 0}};
	double sum = 0;
	(void)state;
	for (size_t i = 0; i < LENGTH(table); i++) {
		double before[METER_BOUNDS + 1];
		for (size_t b = 0; b <= METER_BOUNDS; b++)
			before[b] = bucket(b);
		meters_answer(&info, table[i].us);
		sum += (double)table[i].us / 1e6;
		for (size_t b = 0; b <= METER_BOUNDS; b++)
			assert_true(bucket(b) == before[b] + (b >= table[i].least));
	}
	must_be("request_seconds_count", LENGTH(table));
	must_be("request_seconds_sum", sum);
}

/* Bounds are what they say, and rise. */
static void bounds_are_true(void **state)
{
	(void)state;
	for (size_t i = 0; i < METER_BOUNDS; i++) {
		assert_int_equal(llround(atof(meter_bounds[i].text) * 1e6), meter_bounds[i].us);
		assert_true(i == 0 || meter_bounds[i].us > meter_bounds[i - 1].us);
	}
}

static void only_stages_that_ran_count(void **state)
{
	struct reply reply = {.stage_us = {[STAGE_RESOLVE] = 40, [STAGE_READ] = 3000000}};
	(void)state;
	meters_stages(&reply);
	must_be("stage_seconds_count{stage=\"resolve\"}", 1);
	must_be("stage_seconds_count{stage=\"read\"}", 1);
	must_be("stage_seconds_sum{stage=\"read\"}", 3);
	must_be("stage_seconds_bucket{stage=\"read\",le=\"2.5\"}", 0);
	must_be("stage_seconds_bucket{stage=\"read\",le=\"5\"}", 1);
	must_be("stage_seconds_count{stage=\"encode\"}", 0);
	/* What is neither image nor info.json has no time. */
	reply = reply_of(0, REQUEST_BASE, 0, 404, PATH_NONE);
	meters_answer(&reply, 5);
	must_be("request_seconds_count", 0);
}

static void bodies_that_were_sent_count(void **state)
{
	struct reply reply = reply_of(3, REQUEST_IMAGE, FORMAT_JPG, 200, PATH_PLANES);
	(void)state;
	reply.body = STR("1234567");
	meters_answer(&reply, 1);
	reply.body_is_left_out = true;
	meters_answer(&reply, 1);
	must_be("response_body_bytes_total", 7);
}

static void fail_with(const char *format, enum reason reason, const char *identifier)
{
	struct error err = {.status = 500, .reason = reason};
	meters_failure(format, &err, str_of(identifier));
}

static void an_original_fails_once_an_hour(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++)
		fail_with("tiff", REASON_DAMAGED, "one.tif");
	fail_with("tiff", REASON_DAMAGED, "two.tif");
	fail_with("", REASON_UNSUPPORTED, "text");
	fail_with("no such format", REASON_UNSUPPORTED, "text");
	fail_with("jpeg", REASON_NOT_FOUND, "none.jpg");
	fail_with("jpeg", REASON_MEMORY, "none.jpg");
	must_be("decode_failures_total{format=\"tiff\",reason=\"damaged\"}", 51);
	must_be("failed_originals_total{format=\"tiff\",reason=\"damaged\"}", 2);
	must_be("decode_failures_total{format=\"other\",reason=\"unsupported\"}", 2);
	must_be("failed_originals_total{format=\"other\",reason=\"unsupported\"}", 1);
	must_be("decode_failures_total{format=\"jpeg\",reason=\"damaged\"}", 0);
	assert_false(is_shown("decode_failures_total{format=\"jpeg\",reason=\"memory\"}"));
}

static void refusals_have_a_cause(void **state)
{
	struct reply reply = reply_of(3, REQUEST_IMAGE, FORMAT_JPG, 503, PATH_PLANES);
	(void)state;
	reply.reason = REASON_MEMORY;
	meters_answer(&reply, 1);
	reply.reason = REASON_SLOW;
	meters_answer(&reply, 1);
	metrics_add(METRIC_REFUSED_BY_ESTIMATE, 3);
	must_be("memory_refusals_total{by=\"limit\"}", 1);
	must_be("memory_refusals_total{by=\"estimate\"}", 3);
}

static void configured_numbers(void **state)
{
	struct arena *a = arena_open();
	const char *none[] = {NULL};
	struct config_rule rules[2] = {{.type = SOURCE_FILE, .fallback = none}, {.type = SOURCE_S3, .fallback = none}};
	struct config c = {.workers = 5, .max_waiting = 7, .rules = rules, .n_rules = 1};
	(void)state;
	const char *text = scrape_of(a, &c);
	assert_true(isnan(value_in(text, "workers_configured")) && isnan(value_in(text, "fetchers_configured")));
	c.workers_are_said = true;
	c.n_rules = 2;
	text = scrape_of(a, &c);
	assert_true(value_in(text, "workers_configured") == 5 && value_in(text, "fetchers_configured") == 7);
	arena_close(a);
}

/* --- groups --- */

#define GROUP "{group=\"a\\\"b\\\\c\""

static void connections_wait(void **state)
{
	struct sockaddr_un at = address();
	int clients[3];
	(void)state;
	must_be("queue_connections" GROUP "}", 0);
	must_be("queue_max_connections" GROUP "}", 5);
	for (size_t i = 0; i < LENGTH(clients); i++) {
		clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(clients[i], (struct sockaddr *)&at, sizeof at), 0);
	}
	must_be("queue_connections" GROUP "}", 3);
	for (size_t i = 0; i < LENGTH(clients); i++) {
		close(accept(listening, NULL, NULL));
		close(clients[i]);
	}
	must_be("queue_connections" GROUP "}", 0);
}

static void sockets_have_names(void **state)
{
	char got[BACKLOG_NAME_BYTES];
	(void)state;
	backlog_name(listening, got);
	assert_string_equal(got, name);
	backlog_name(-1, got);
	assert_string_equal(got, "");
	struct sockaddr_un abstract = {.sun_family = AF_UNIX, .sun_path = "\0hidden"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&abstract, sizeof abstract), 0);
	backlog_name(fd, got);
	assert_string_equal(got, "");
	close(fd);

	char wanted[BACKLOG_NAME_BYTES];
	struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof inet;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&inet, n) || getsockname(fd, (struct sockaddr *)&inet, &n), 0);
	snprintf(wanted, sizeof wanted, "127.0.0.1:%d", ntohs(inet.sin_port));
	backlog_name(fd, got);
	assert_string_equal(got, wanted);
	close(fd);
}

/* A process of a group, until it is killed: it has run `work`. */
static pid_t start(const char *group, void (*work)(void))
{
	int ends[2];
	char c;
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct error err;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ends[0]);
		if (!metrics_open(path, group, &err))
			_exit(1);
		work();
		if (write(ends[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &c, 1), 1);
	close(ends[0]);
	return child;
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void be_idle(void)
{
}

static void be_busy(void)
{
	metrics_busy(BUSY_ANSWERING);
}

static void be_busy_afterwards(void)
{
	metrics_busy(BUSY_ANSWERING);
	metrics_busy(BUSY_AFTERWARDS);
}

static void retire(void)
{
	metrics_end(METRIC_RETIRED);
}

static void groups_are_apart(void **state)
{
	(void)state;
	pid_t idle = start("/run/x/fetch.sock", be_idle), busy = start("/run/x/fetch.sock", be_busy),
	      after = start("/run/x/fetch.sock", be_busy_afterwards), other = start("/elsewhere/fetch.sock", be_idle);
	must_be("workers{group=\"fetch\",state=\"busy\"}", 2);
	must_be("workers{group=\"fetch\",state=\"idle\"}", 1);
	must_be("workers{group=\"/elsewhere/fetch.sock\",state=\"idle\"}", 1);
	must_be("worker_starts_total{group=\"fetch\"}", 3);
	assert_true(value("worker_memory_bytes{group=\"fetch\"}") > 3 * 4096);
	assert_false(is_shown("queue_connections{group=\"fetch\"}"));
	end(idle);
	end(busy);
	end(after);
	end(other);
	must_be("workers{group=\"fetch\",state=\"idle\"}", 0);
	must_be("workers{group=\"fetch\",state=\"busy\"}", 0);
	must_be("worker_ends_total{group=\"fetch\",kind=\"killed\"}", 3);
	must_be("requests_lost_total", 1);
}

static void ends_have_kinds(void **state)
{
	(void)state;
	end(start("/run/k.sock", retire));
	must_be("worker_ends_total{group=\"k\",kind=\"retired\"}", 1);
	must_be("worker_ends_total{group=\"k\",kind=\"killed\"}", 0);
	end(start("/run/k.sock", be_idle));
	must_be("worker_ends_total{group=\"k\",kind=\"retired\"}", 1);
	must_be("worker_ends_total{group=\"k\",kind=\"killed\"}", 1);
	must_be("worker_starts_total{group=\"k\"}", 2);
}

/* Also of one that still is, or that died of it. */
static void busy_time_never_goes_back(void **state)
{
	double last = 0;
	(void)state;
	for (int i = 0; i < 20; i++) {
		pid_t child = start("/run/t.sock", be_busy);
		usleep(5000);
		double now = value("worker_busy_seconds_total{group=\"t\"}");
		assert_true(now >= last + 0.005 || !(fprintf(stderr, "%f after %f\n", now, last)));
		end(child);
		last = value("worker_busy_seconds_total{group=\"t\"}");
		assert_true(last >= now);
	}
	metrics_busy(BUSY_ANSWERING);
	usleep(2000);
	metrics_busy(BUSY_NOT);
	double own = value("worker_busy_seconds_total" GROUP "}");
	assert_true(own >= 0.002);
	usleep(5000);
	must_be("worker_busy_seconds_total" GROUP "}", own);
}

/* --- what it costs: printed, not judged --- */

/* Of the processor, as others use it too. */
static double cpu_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void what_a_request_costs(void **state)
{
	struct reply reply = reply_of(3, REQUEST_IMAGE, FORMAT_JPG, 200, PATH_PLANES);
	const int n = 200000;
	(void)state;
	for (size_t i = 0; i < STAGES; i++)
		reply.stage_us[i] = i == STAGE_FETCH ? 0 : (int64_t)(90 << i);
	double began = cpu_us();
	for (int i = 0; i < n; i++) {
		metrics_busy(BUSY_ANSWERING);
		meters_answer(&reply, 8000);
		metrics_busy(BUSY_AFTERWARDS);
		meters_stages(&reply);
		metrics_busy(BUSY_NOT);
	}
	double took = cpu_us() - began;
	print_message("a request's counts: %.0f ns\n", took * 1000 / n);
	must_be("request_seconds_count", n);
}

static void what_a_scrape_costs(void **state)
{
	pid_t children[63];
	const int n = 50;
	(void)state;
	for (size_t i = 0; i < LENGTH(children); i++)
		children[i] = start(i % 2 ? "/run/b.sock" : "/run/fetch.sock", be_idle);
	double began = cpu_us();
	for (int i = 0; i < n; i++) {
		struct arena *a = arena_open();
		scrape_of(a, config());
		arena_close(a);
	}
	double took = cpu_us() - began;
	print_message("a scrape of %zu slots: %.2f ms\n", metrics_slots(), took / 1000 / n);
	assert_int_equal(metrics_slots(), 64);
	for (size_t i = 0; i < LENGTH(children); i++)
		end(children[i]);
}

#define fresh(test) cmocka_unit_test_setup(test, open_new)

int main(void)
{
	const struct CMUnitTest tests[] = {
		fresh(answers_have_labels),
		fresh(places_are_apart),
		fresh(usual_combinations_begin_with_zero),
		fresh(times_fall_into_buckets),
		fresh(bounds_are_true),
		fresh(only_stages_that_ran_count),
		fresh(bodies_that_were_sent_count),
		fresh(an_original_fails_once_an_hour),
		fresh(refusals_have_a_cause),
		fresh(configured_numbers),
		fresh(connections_wait),
		fresh(sockets_have_names),
		fresh(groups_are_apart),
		fresh(ends_have_kinds),
		fresh(busy_time_never_goes_back),
		fresh(what_a_request_costs),
		fresh(what_a_scrape_costs),
	};
	return cmocka_run_group_tests(tests, make_all, remove_all);
}
