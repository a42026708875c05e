/* SPDX-License-Identifier: BSD-2-Clause */
/* test/origin.py as a child process, a folder with keys for it, and one GET with all that came of it. */
#ifndef TEST_HTTP_ORIGIN_H
#define TEST_HTTP_ORIGIN_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#include "base/clock.h"
#include "source/http.h"

enum server { PLAIN, OTHER, TLS, MUTUAL, SERVERS };

static char folder[] = "/tmp/lorikeet-http-XXXXXX";
static int ports[SERVERS];
static pid_t child;
static int child_stdin;

/* A name in the folder; good for four calls. */
static inline const char *in_folder(const char *name)
{
	static char paths[4][256];
	static int turn;
	char *path = paths[turn++ % 4];
	snprintf(path, sizeof paths[0], "%s/%s", folder, name);
	return path;
}

static inline void make_keys(void)
{
	char command[2048];
	snprintf(command, sizeof command,
		 "cd %s && exec 2>openssl.log && k='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2' &&"
		 "openssl req -x509 $k -keyout ca.key -out ca.pem -subj /CN=ca -addext keyUsage=keyCertSign &&"
		 "openssl req -x509 $k -keyout stranger.key -out stranger.pem -subj /CN=stranger &&"
		 "for who in server client; do openssl req $k -keyout $who.key -out $who.csr -subj /CN=$who &&"
		 "printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' >ext &&"
		 "openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext"
		 " -out $who.crt || exit 1; done; cat server.key server.crt >server.pem",
		 folder);
	assert_int_equal(system(command), 0);
}

static inline void read_ports(void)
{
	FILE *f = NULL;
	for (int i = 0; !f && i < 1000; i++) {
		usleep(10000);
		f = fopen(in_folder("ports"), "re");
	}
	assert_non_null(f);
	for (int i = 0; i < SERVERS; i++)
		assert_int_equal(fscanf(f, "%d", &ports[i]), 1);
	fclose(f);
}

static inline int start_origin(void **state)
{
	int ends[2];
	(void)state;
	assert_non_null(mkdtemp(folder));
	make_keys();
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	child = fork();
	if (child == 0) {
		dup2(ends[0], 0);
		execlp("python3", "python3", "-B", "test/origin.py", "--port-file", in_folder("ports"),
		       "--folder", folder, "--servers", "http,http,https,mtls", "--pems", folder, NULL);
		_exit(127);
	}
	close(ends[0]);
	child_stdin = ends[1];
	read_ports();
	return 0;
}

static inline int drop_path(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static inline int stop_origin(void **state)
{
	int status;
	(void)state;
	close(child_stdin);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	return nftw(folder, drop_path, 16, FTW_DEPTH | FTW_PHYS);
}

/* Not tried again, on a machine that does other things too: MANY_TRIES take at least 700 ms. */
#define MANY_TRIES 3
#define AT_ONCE_MS 600

/* One call of http_get. */
struct call {
	struct arena *a;
	struct http_options options;
	struct http_target target;
	struct patience *patience;
	struct http_answer answer;
	struct error err;
	int64_t took_ms;
	/* The body as it came, and what becomes of it. */
	struct buf *bytes;
	int begins, first_status, last_status;
	bool refuse_begin, refuse_write;
};

static inline bool call_begin(void *with, const struct http_answer *answer, struct error *err)
{
	struct call *c = with;
	c->bytes->n = 0;
	if (!c->begins++)
		c->first_status = answer->status;
	c->last_status = answer->status;
	return !c->refuse_begin || fail(err, 500, REASON_IO, "begin", "begin");
}

static inline bool call_write(void *with, const void *bytes, size_t n, struct error *err)
{
	struct call *c = with;
	assert_true(c->begins > 0);
	buf_write(c->bytes, bytes, n);
	return !c->refuse_write || fail(err, 500, REASON_IO, "write", "write");
}

static inline struct call *call_open(void)
{
	struct arena *a = arena_open();
	struct call *c = arena_new(a, struct call);
	c->a = a;
	c->bytes = buf_open(a, 64 << 20);
	c->options = (struct http_options){.connect_ms = 2000, .stall_ms = 2000, .total_ms = 10000, .retries = 2};
	return c;
}

static inline void call_close(struct call *c)
{
	arena_close(c->a);
}

static inline bool call_get(struct call *c, const char *url)
{
	struct http_body body = {call_begin, call_write, c};
	int64_t began = clock_us();
	c->target.url = url;
	c->bytes->n = 0;
	c->begins = 0;
	c->err = (struct error){0};
	bool good = http_get(c->a, &c->options, &c->target, &body, c->patience, &c->answer, &c->err);
	c->took_ms = (clock_us() - began) / 1000;
	return good;
}

static inline const char *url_at(struct call *c, enum server server, const char *path)
{
	return arena_printf(c->a, "%s://127.0.0.1:%d%s", server == PLAIN || server == OTHER ? "http" : "https",
			    ports[server], path);
}

static inline bool get(struct call *c, const char *path)
{
	return call_get(c, url_at(c, PLAIN, path));
}

/* What the origin remembers of a path (decoded): "count" of requests, "last" headers. */
static inline const char *origin_says(const char *what, const char *path)
{
	static char text[8192];
	struct call *c = call_open();
	assert_true(get(c, arena_printf(c->a, "/-/%s?of=%s", what, path)));
	snprintf(text, sizeof text, "%.*s", (int)c->bytes->n, c->bytes->at);
	call_close(c);
	return text;
}

static inline int asked(const char *path)
{
	return atoi(origin_says("count", path));
}

#define assert_body(c, text)                                                                                           \
	do {                                                                                                           \
		assert_int_equal((c)->bytes->n, strlen(text));                                                         \
		assert_memory_equal((c)->bytes->at, (text), strlen(text));                                             \
	} while (0)

#define assert_got(c, path)                                                                                            \
	do {                                                                                                           \
		if (!get((c), (path)))                                                                                 \
			fail_msg("%s: %d %s", (path), (c)->err.status, (c)->err.why);                                  \
	} while (0)

/* The call failed with this, and said nothing that is not for a log. */
#define assert_failed(c, path, want, because)                                                                          \
	do {                                                                                                           \
		if (get((c), (path)))                                                                                  \
			fail_msg("%s: came", (path));                                                                  \
		assert_error((c), (path), (want), (because));                                                          \
	} while (0)

#define assert_error(c, path, want, because)                                                                           \
	do {                                                                                                           \
		if ((c)->err.status != (want) || (c)->err.reason != (because))                                         \
			fail_msg("%s: %d %s (%s)", (path), (c)->err.status, reason_name((c)->err.reason),              \
				 (c)->err.why);                                                                        \
		if (!(c)->err.say || !*(c)->err.say || strpbrk((c)->err.why, "?@"))                                    \
			fail_msg("%s: says %s, %s", (path), (c)->err.say, (c)->err.why);                               \
	} while (0)

#endif
