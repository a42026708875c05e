/* SPDX-License-Identifier: BSD-2-Clause */
#include "commands.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "../lib/image/codecs.h"
#include "../lib/image/tiff_write.h"
#include "../lib/server/sandbox.h"
#include "../lib/source/source_file.h"
#include "cache_folder.h"

static int complain(const char *what, const struct error *err)
{
	fprintf(stderr, "lorikeet: %s: %s%s%s\n", what, err->say, *err->why ? " - " : "", err->why);
	return 1;
}

static int wrong_words(const char *usage)
{
	fprintf(stderr, "usage: lorikeet %s\n", usage);
	return 2;
}

int command_check(const struct config *config, const struct service *service)
{
	/* A root may be a volume that is mounted later: worth a word, no error. */
	for (size_t i = 0; i < config->n_rules; i++)
		if (config->rules[i].type == SOURCE_FILE && access(config->rules[i].root, R_OK | X_OK) < 0)
			fprintf(stderr, "lorikeet: warning: rules.%zu: root %s: %s\n", i, config->rules[i].root,
				strerror(errno));
	if (!cache_check(config, service))
		return 1;
	printf("%zu rule%s, the configuration is valid\n", config->n_rules, config->n_rules == 1 ? "" : "s");
	struct arena *a = arena_open();
	printf("sandbox, as this kernel has it: %s\n", sandbox_support(a));
	arena_close(a);
	struct error err;
	if (!sandbox_check(config, &err)) {
		fprintf(stderr, "lorikeet: %s\n", err.why);
		return 1;
	}
	printf("each of %llu workers may take %llu MiB for a request, for originals of up to %llu megapixels\n",
	       (unsigned long long)config->workers, (unsigned long long)config->max_request_memory >> 20,
	       (unsigned long long)config->max_source_pixels / 1000000);
	return 0;
}

/* A path, or a whole address. */
static struct call make_call(struct str uri)
{
	struct call call = {.method = STR("GET"), .scheme = STR("http"), .host = STR("localhost")};
	if (take_word(&uri, STR("https://")))
		call.scheme = STR("https");
	else if (!take_word(&uri, STR("http://"))) {
		call.uri = uri;
		return call;
	}
	const char *path = uri.n ? memchr(uri.at, '/', uri.n) : NULL;
	call.host = path ? (struct str){uri.at, (size_t)(path - uri.at)} : uri;
	call.uri = path ? str_of(path) : STR("/");
	return call;
}

/* The part of the web server: from step to step, as the replies say. */
static void go_on(const struct service *service, struct call *call, struct reply *reply, struct arena *a)
{
	static const char name[] = "X-Accel-Redirect: /.iiif/";
	service_answer(service, call, reply, a);
	for (struct str rest; rest = buf_view(reply->headers), take_word(&rest, str_of(name));) {
		take_until(&rest, '/', &call->step);
		service_answer(service, call, reply, a);
	}
}

static void print_path(const struct reply *reply)
{
	const char *why = reply->why_not_passed;
	if (!why)
		fprintf(stderr, "lorikeet: no pixels were asked for\n");
	else
		fprintf(stderr, "lorikeet: path %s%s%s\n", path_name(reply->path), *why ? ": not passed on, as " : "", why);
}

int command_get(const struct config *config, const struct service *service, int n, char *const words[])
{
	bool why = n == 2 && strcmp(words[0], "--why") == 0;
	if (n != 1 + why)
		return wrong_words("get [--why] URI");
	if (!cache_act_as_owner(config))
		return 1;
	struct arena *a = arena_open();
	struct reply reply;
	struct call call = make_call(str_of(words[n - 1]));
	go_on(service, &call, &reply, a);
	fprintf(stderr, "Status: %d\r\n%.*s", reply.status, (int)reply.headers->n, reply.headers->at);
	if (*reply.why)
		fprintf(stderr, "lorikeet: %s: %s\n", reason_name(reply.reason), reply.why);
	if (why)
		print_path(&reply);
	bool written = fwrite(reply.body.at, 1, reply.body.n, stdout) == reply.body.n && fflush(stdout) == 0;
	int status = written && reply.status < 400 ? 0 : 1;
	arena_close(a);
	return status;
}

static bool open_file(struct arena *a, const char *path, struct picture *p, struct error *err)
{
	struct source *source;
	return file_source_open_path(a, path, &source, err) && picture_open(a, decoders, source, 1, p, err);
}

static void print_facts(const struct picture *p)
{
	const struct facts *f = &p->facts;
	printf("format: %s\nwidth: %u\nheight: %u\n", f->format, f->w, f->h);
	printf("orientation: %d\ncolour: %s\n", f->orientation, f->gray ? "gray" : "colour");
	if (!f->gray)
		printf("chroma: %ux%u\n", f->chroma_x, f->chroma_y);
	printf("profile: %zu bytes\n", p->icc_bytes);
	if (f->tile_w)
		printf("tiles: %ux%u\n", f->tile_w, f->tile_h);
	for (int i = 0; i < f->n_levels; i++)
		printf("level: %ux%u\n", f->level[i].w, f->level[i].h);
}

int command_info(int n, char *const words[])
{
	if (n != 1)
		return wrong_words("info FILE");
	struct arena *a = arena_open();
	struct picture p;
	struct error err = {0};
	int status = 0;
	if (open_file(a, words[0], &p, &err))
		print_facts(&p);
	else
		status = complain(words[0], &err);
	arena_close(a);
	return status;
}

int command_pyramid(const struct config *config, int n, char *const words[])
{
	if (n != 2)
		return wrong_words("pyramid IN OUT.tif");
	struct arena *a = arena_open();
	struct picture p;
	struct error err = {0};
	struct pyramid_options options = {.jpeg_quality = (int)config->jpeg_quality};
	char *part = arena_printf(a, "%s.part", words[1]);
	int status = 0;
	if (!open_file(a, words[0], &p, &err)) {
		status = complain(words[0], &err);
	} else if (!pyramid_write(&p, &options, part, &err)) {
		unlink(part);
		status = complain(words[1], &err);
	} else if (rename(part, words[1]) < 0) {
		unlink(part);
		fprintf(stderr, "lorikeet: %s: %s\n", words[1], strerror(errno));
		status = 1;
	}
	arena_close(a);
	return status;
}
