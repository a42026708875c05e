/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A FastCGI responder that does what the path tells it: the tests' slow, large, failing and dying worker.
 *
 * Orders are path segments "word=value", in any place:
 *   sleep=MS        answer that much later            size=BYTES      a body of that many bytes, not the echo
 *   status=N        answer with that status           type=A+B        Content-Type A/B (the echo is application/json)
 *   expires=S       X-Accel-Expires                   cache=TEXT      Cache-Control (max-age=60 unless told)
 *   location=BYTES  a Location of that many bytes
 *   etag=TEXT       strong ETag; a matching If-None-Match is answered 304
 *   version=NAME    the ETag and the body are the content of the file NAME beside the log
 *   crash=HOW       dies: "abort" at once, "late" after the headers have left
 *
 * Without size and version the body is a JSON object of all parameters it was given. Each run is a line in the
 * file $RESPONDER_LOG: process id, method, URI, If-None-Match.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <fcgiapp.h>

struct orders {
	long sleep_ms, size, status, location;
	char type[100], expires[20], cache[100], etag[100], version[100], crash[20];
};

static const char *param(const FCGX_Request *r, const char *name)
{
	const char *value = FCGX_GetParam(name, r->envp);
	return value ? value : "";
}

static void obey(struct orders *o, const char *word, const char *value)
{
	const struct { const char *name; long *at; } numbers[] = {
		{"sleep", &o->sleep_ms}, {"size", &o->size}, {"status", &o->status}, {"location", &o->location},
	};
	const struct { const char *name; char *at; size_t room; } texts[] = {
		{"type", o->type, sizeof o->type},    {"expires", o->expires, sizeof o->expires},
		{"cache", o->cache, sizeof o->cache}, {"etag", o->etag, sizeof o->etag},
		{"version", o->version, sizeof o->version}, {"crash", o->crash, sizeof o->crash},
	};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (strcmp(word, numbers[i].name) == 0)
			*numbers[i].at = strtol(value, NULL, 10);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (strcmp(word, texts[i].name) == 0)
			snprintf(texts[i].at, texts[i].room, "%s", value);
}

static struct orders read_orders(const char *uri)
{
	struct orders o = {.size = -1, .status = 200, .type = "application/json", .cache = "max-age=60"};
	char path[16384];
	char *rest = path, *segment;
	snprintf(path, sizeof path, "%.*s", (int)strcspn(uri, "?"), uri);
	while ((segment = strsep(&rest, "/"))) {
		char *equals = strchr(segment, '=');
		if (!equals)
			continue;
		*equals = '\0';
		obey(&o, segment, equals + 1);
	}
	if (strchr(o.type, '+'))
		*strchr(o.type, '+') = '/';
	return o;
}

static void log_run(const FCGX_Request *r)
{
	char line[16384];
	const char *path = getenv("RESPONDER_LOG");
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;
	int n = snprintf(line, sizeof line, "%d %s %s %s\n", (int)getpid(), param(r, "REQUEST_METHOD"),
			 param(r, "REQUEST_URI"), param(r, "HTTP_IF_NONE_MATCH"));
	if (fd < 0)
		return;
	if (n > 0 && (size_t)n < sizeof line && write(fd, line, (size_t)n) != n)
		perror("responder: log");
	close(fd);
}

static void read_version(struct orders *o)
{
	char path[PATH_MAX];
	const char *log = getenv("RESPONDER_LOG");
	const char *slash = log ? strrchr(log, '/') : NULL;
	if (!*o->version || !slash)
		return;
	snprintf(path, sizeof path, "%.*s/%s", (int)(slash - log), log, o->version);
	FILE *file = fopen(path, "re");
	if (!file || !fgets(o->etag, sizeof o->etag, file))
		o->status = 404;
	if (file)
		fclose(file);
}

static void put_json_text(FCGX_Stream *out, const char *at, size_t n)
{
	FCGX_PutChar('"', out);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)at[i];
		if (c < 0x20 || c == '"' || c == '\\' || c >= 0x7f)
			FCGX_FPrintF(out, "\\u%04x", c);
		else
			FCGX_PutChar(c, out);
	}
	FCGX_PutChar('"', out);
}

static void put_echo(const FCGX_Request *r)
{
	const char *comma = "{";
	for (char **p = r->envp; *p; p++) {
		size_t n = strcspn(*p, "=");
		FCGX_PutS(comma, r->out);
		put_json_text(r->out, *p, n);
		FCGX_PutChar(':', r->out);
		put_json_text(r->out, *p + n + 1, strlen(*p + n + 1));
		comma = ",";
	}
	FCGX_PutS("}\n", r->out);
}

static void put_body(const FCGX_Request *r, const struct orders *o)
{
	if (*o->version) {
		FCGX_PutS(o->etag, r->out);
	} else if (o->size < 0) {
		put_echo(r);
	} else {
		for (long i = 0; i < o->size; i++)
			FCGX_PutChar("0123456789abcdef"[i * 7919 / 16 % 16], r->out);
	}
}

static void put_headers(const FCGX_Request *r, const struct orders *o)
{
	FCGX_FPrintF(r->out, "Status: %d\r\nContent-Type: %s\r\nCache-Control: %s\r\n", (int)o->status, o->type,
		     o->cache);
	FCGX_PutS("Access-Control-Allow-Origin: *\r\n"
		  "Content-Disposition: inline; filename=\"a.jpg\"; filename*=UTF-8''a.jpg\r\n"
		  "Vary: Accept\r\n", r->out);
	if (*o->expires)
		FCGX_FPrintF(r->out, "X-Accel-Expires: %s\r\n", o->expires);
	if (o->location) {
		FCGX_PutS("Location: http://localhost/", r->out);
		for (long i = 0; i < o->location; i++)
			FCGX_PutChar('a', r->out);
		FCGX_PutS("\r\n", r->out);
	}
	if (*o->etag)
		FCGX_FPrintF(r->out, "ETag: \"%s\"\r\n", o->etag);
	if (o->size >= 0 && o->status != 304)
		FCGX_FPrintF(r->out, "Content-Length: %ld\r\n", o->size);
	FCGX_PutS("\r\n", r->out);
}

static void serve(const FCGX_Request *r)
{
	struct orders o = read_orders(param(r, "REQUEST_URI"));
	struct timespec t = {o.sleep_ms / 1000, o.sleep_ms % 1000 * 1000000};
	log_run(r);
	/* The signal to shut down interrupts it: the answer still takes its time. */
	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
	if (strcmp(o.crash, "abort") == 0)
		abort();
	read_version(&o);
	if (*o.etag && strstr(param(r, "HTTP_IF_NONE_MATCH"), o.etag))
		o.status = 304;
	put_headers(r, &o);
	if (strcmp(o.crash, "late") == 0) {
		FCGX_FFlush(r->out);
		abort();
	}
	if (o.status != 304 && strcmp(param(r, "REQUEST_METHOD"), "HEAD") != 0)
		put_body(r, &o);
}

int main(void)
{
	FCGX_Request request;
	if (FCGX_Init() || FCGX_InitRequest(&request, 0, FCGI_FAIL_ACCEPT_ON_INTR))
		return 1;
	while (FCGX_Accept_r(&request) >= 0) {
		serve(&request);
		FCGX_Finish_r(&request);
	}
	return 0;
}
