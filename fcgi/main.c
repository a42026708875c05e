/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/base/log.h"
#include "../lib/server/config_print.h"
#include "cache_commands.h"
#include "commands.h"
#include "pool_commands.h"
#include "worker.h"

#define LOG_REPEAT_S 60
#define DEFAULT_CONFIG "/etc/lorikeet/lorikeet.conf"

extern char **environ;

static const char usage[] =
	"usage: lorikeet [--config FILE] [COMMAND]\n"
	"\n"
	"Without a command, on a listening socket as descriptor 0: a FastCGI responder.\n"
	"\n"
	"  check                check the configuration\n"
	"  get [--why] URI      answer one request: headers on standard error, body on standard output;\n"
	"                       --why: how it was made\n"
	"  info FILE            say what an image file is\n"
	"  pyramid IN OUT.tif   write a tiled JPEG pyramid\n"
	"  cache init           make cache.folder a cache\n"
	"  cache stat           what is in it\n"
	"  cache list [--damaged | --fallback]\n"
	"                       originals: all; those that need mending; those instead of which a fallback serves\n"
	"  cache purge [--urls] IDENTIFIER... | --prefix P | --all\n"
	"                       forget originals, and take their answers out of nginx's cache (as root);\n"
	"                       --urls: say which, for the CDN. %XX in identifiers is decoded\n"
	"  cache verify         compare the cache's files with what was fetched\n"
	"                       (cache commands but init: also with --json)\n"
	"  reload               check the configuration, and restart the pool's groups one after the other by\n"
	"                       lorikeet-pool: no request is lost, and a wrong configuration changes nothing\n"
	"  drain on | off | status\n"
	"                       have balancers send nothing new (/health/ready is 503), or again\n"
	"  ping SOCKET          whether the group that listens there answers; 3: not now, as its processes have requests in hand\n"
	"  --print-config       the documented default configuration\n"
	"  --version            the version\n"
	"\n"
	"The configuration is FILE, else $LORIKEET_CONFIG, else " DEFAULT_CONFIG " if it is there.\n";

static int complain(const struct error *err)
{
	fprintf(stderr, "lorikeet: %s\n", err->why);
	return 1;
}

/* A backstop behind the estimates: a decoder that runs away gets no memory, not the machine. */
static void limit_memory(const struct config *c)
{
	uint64_t most = c->max_request_memory, spare = most / 2 + (UINT64_C(256) << 20);
	rlim_t bytes = most < RLIM_INFINITY - spare ? most + spare : RLIM_INFINITY;
	struct rlimit limit = {bytes, bytes};
	if (!SANITIZED)
		setrlimit(RLIMIT_DATA, &limit);
}

static int serve(struct arena *a, const struct config *config, const struct service *service)
{
	struct stat st;
	if (fstat(0, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		fputs(usage, stderr);
		return 2;
	}
	limit_memory(config);
	return worker_run(a, config, service);
}

static int print_default(struct arena *a)
{
	struct buf *out = buf_open(a, 1 << 20);
	config_print_default(out);
	return fwrite(out->at, 1, out->n, stdout) == out->n && fflush(stdout) == 0 ? 0 : 1;
}

static const char *config_path(const char *named)
{
	if (named)
		return named;
	named = getenv("LORIKEET_CONFIG");
	if (named && *named)
		return named;
	return access(DEFAULT_CONFIG, F_OK) == 0 ? DEFAULT_CONFIG : NULL;
}

static int run(struct arena *a, const char *config_file, int n, char *const words[])
{
	struct error err;
	const char *command = n ? words[0] : "";
	if (strcmp(command, "info") == 0)
		return command_info(n - 1, words + 1);

	struct config *config = config_load(a, config_path(config_file), environ, &err);
	if (!config)
		return complain(&err);
	/* People's commands do all steps, whatever part of the pool the configuration is for. */
	if (n)
		config->role = ROLE_ALL;
	if (strcmp(command, "ping") == 0)
		return command_ping(config, n - 1, words + 1);
	log_start(&(struct log_options){.fd = 2, .json = config->log_format == LOG_JSON, .repeat_s = LOG_REPEAT_S});
	const struct service *service = service_open(a, config, &err);
	if (!service)
		return complain(&err);

	if (!n)
		return serve(a, config, service);
	if (strcmp(command, "check") == 0)
		return command_check(config, service);
	if (strcmp(command, "reload") == 0)
		return command_check(config, service) || command_reload(n - 1, words + 1);
	if (strcmp(command, "drain") == 0)
		return command_drain(config, n - 1, words + 1);
	if (strcmp(command, "get") == 0)
		return command_get(config, service, n - 1, words + 1);
	if (strcmp(command, "cache") == 0)
		return command_cache(config, service, n - 1, words + 1);
	if (strcmp(command, "pyramid") == 0)
		return command_pyramid(config, n - 1, words + 1);
	fputs(usage, stderr);
	return 2;
}

int main(int argc, char *argv[])
{
	arena_tune();
	const char *config_file = NULL;
	struct arena *a = arena_open();
	int i = 1, status;

	if (i + 1 < argc && strcmp(argv[i], "--config") == 0) {
		config_file = argv[i + 1];
		i += 2;
	}
	if (i < argc && strcmp(argv[i], "--version") == 0) {
		puts("lorikeet " LORIKEET_VERSION);
		status = 0;
	} else if (i < argc && strcmp(argv[i], "--help") == 0) {
		fputs(usage, stdout);
		status = 0;
	} else if (i < argc && strcmp(argv[i], "--print-config") == 0) {
		status = print_default(a);
	} else {
		status = run(a, config_file, argc - i, argv + i);
		/* A pool restarts a worker that ends: without a pause a broken configuration would spin. */
		if (status && i == argc)
			sleep(1);
	}
	arena_close(a);
	return status;
}
