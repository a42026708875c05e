/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool_commands.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <fastcgi.h>

#include "../lib/base/metrics.h"

#define PING_S 5
#define STATUS_ON 3
#define STATUS_BUSY 3

static int complain(const char *what)
{
	fprintf(stderr, "lorikeet: %s: %s\n", what, strerror(errno));
	return 1;
}

static int wrong_words(const char *usage)
{
	fprintf(stderr, "usage: lorikeet %s\n", usage);
	return 2;
}

/* Readable by all: the pool's user only looks whether it is there. */
static int drain_on(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
	if (fd < 0)
		return complain(path);
	close(fd);
	puts("draining: /health/ready is 503 until `lorikeet drain off`; requests are answered as ever");
	return 0;
}

static int drain_off(const char *path)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return complain(path);
	puts("not draining");
	return 0;
}

static int drain_status(const char *path)
{
	if (access(path, F_OK) == 0) {
		puts("draining");
		return STATUS_ON;
	}
	if (errno != ENOENT)
		return complain(path);
	puts("not draining");
	return 0;
}

int command_drain(const struct config *config, int n, char *const words[])
{
	static const struct {
		const char *word;
		int (*run)(const char *path);
	} words_known[] = {{"on", drain_on}, {"off", drain_off}, {"status", drain_status}};
	if (n == 1 && !*config->drain_file) {
		fprintf(stderr, "lorikeet: server.drain_file is empty: this server cannot be drained\n");
		return 1;
	}
	for (size_t i = 0; n == 1 && i < sizeof words_known / sizeof *words_known; i++)
		if (strcmp(words[0], words_known[i].word) == 0)
			return words_known[i].run(config->drain_file);
	return wrong_words("drain on | off | status");
}

static size_t put_record(unsigned char *to, int type, const void *content, size_t n)
{
	const FCGI_Header header = {.version = FCGI_VERSION_1, .type = (unsigned char)type, .requestIdB0 = 1,
				    .contentLengthB1 = (unsigned char)(n >> 8), .contentLengthB0 = (unsigned char)n};
	memcpy(to, &header, sizeof header);
	memcpy(to + sizeof header, content, n);
	return sizeof header + n;
}

static size_t put_param(unsigned char *to, const char *name, const char *value)
{
	size_t name_n = strlen(name), value_n = strlen(value);
	to[0] = (unsigned char)name_n;
	to[1] = (unsigned char)value_n;
	memcpy(to + 2, name, name_n);
	memcpy(to + 2 + name_n, value, value_n);
	return 2 + name_n + value_n;
}

/* The request of a balancer for /health/live. */
static size_t make_ping(unsigned char *to)
{
	const FCGI_BeginRequestBody begin = {.roleB0 = FCGI_RESPONDER};
	unsigned char params[200];
	size_t n = put_param(params, "REQUEST_METHOD", "GET");
	n += put_param(params + n, "REQUEST_URI", "/health/live");
	n += put_param(params + n, "LORIKEET_HEALTH", "live");
	size_t size = put_record(to, FCGI_BEGIN_REQUEST, &begin, sizeof begin);
	size += put_record(to + size, FCGI_PARAMS, params, n);
	size += put_record(to + size, FCGI_PARAMS, "", 0);
	return size + put_record(to + size, FCGI_STDIN, "", 0);
}

static bool connect_to(int fd, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct timeval patience = {.tv_sec = PING_S};
	if (strlen(path) >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		return false;
	}
	strcpy(address.sun_path, path);
	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
	       setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
	       connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
}

/* The whole answer is a few hundred bytes. */
static bool is_answered(int fd)
{
	unsigned char ping[400];
	char answer[4096];
	size_t n = 0, size = make_ping(ping);
	ssize_t got = 0;
	if (send(fd, ping, size, MSG_NOSIGNAL) != (ssize_t)size)
		return false;
	while (n < sizeof answer && (got = recv(fd, answer + n, sizeof answer - n, 0)) > 0)
		n += (size_t)got;
	if (got < 0)
		return false;
	errno = EPROTO;
	return memmem(answer, n, "Status: 200", 11) != NULL;
}

/* Processes that are there are not enough: they may end one after the other before they answer anything. */
static bool is_busy(const struct config *config, const char *path)
{
	struct metrics_slot slot;
	struct error err;
	bool found = false;
	if (!metrics_read(config->metrics_file, &err))
		return false;
	for (size_t i = 0, n = metrics_slots(); i < n && !found; i++) {
		metrics_look(i, &slot);
		found = slot.is_live && slot.busy != BUSY_NOT && strcmp(slot.group, path) == 0;
	}
	return found;
}

int command_ping(const struct config *config, int n, char *const words[])
{
	if (n != 1)
		return wrong_words("ping SOCKET");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return complain("socket");
	bool answers = connect_to(fd, words[0]) && is_answered(fd), is_late = !answers && errno == EAGAIN;
	int status = answers ? 0 : complain(words[0]);
	close(fd);
	return is_late && is_busy(config, words[0]) ? STATUS_BUSY : status;
}

int command_reload(int n, char *const words[])
{
	(void)words;
	if (n)
		return wrong_words("reload");
	execlp("lorikeet-pool", "lorikeet-pool", "restart", (char *)NULL);
	return complain("lorikeet-pool");
}
