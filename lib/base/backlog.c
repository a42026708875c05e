/* SPDX-License-Identifier: BSD-2-Clause */
#include "backlog.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_BYTES 32768
#define PATIENCE_MS 200

union address {
	struct sockaddr any;
	struct sockaddr_un un;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

void backlog_name(int fd, char name[BACKLOG_NAME_BYTES])
{
	union address at = {0};
	socklen_t n = sizeof at;
	char host[INET6_ADDRSTRLEN];
	*name = '\0';
	if (getsockname(fd, &at.any, &n) < 0)
		return;
	switch (at.any.sa_family) {
	case AF_UNIX:
		snprintf(name, BACKLOG_NAME_BYTES, "%.*s", (int)sizeof at.un.sun_path, at.un.sun_path);
		break;
	case AF_INET:
		inet_ntop(AF_INET, &at.v4.sin_addr, host, sizeof host);
		snprintf(name, BACKLOG_NAME_BYTES, "%s:%d", host, ntohs(at.v4.sin_port));
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &at.v6.sin6_addr, host, sizeof host);
		snprintf(name, BACKLOG_NAME_BYTES, "[%s]:%d", host, ntohs(at.v6.sin6_port));
		break;
	}
}

static bool ask(int fd)
{
	struct {
		struct nlmsghdr head;
		struct unix_diag_req body;
	} question = {
		.head = {.nlmsg_len = sizeof question, .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.body = {.sdiag_family = AF_UNIX, .udiag_states = 1 << TCP_LISTEN,
			 .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_RQLEN},
	};
	const struct timeval patience = {.tv_usec = PATIENCE_MS * 1000};
	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
	       send(fd, &question, sizeof question, 0) == (ssize_t)sizeof question;
}

struct socket_seen {
	char path[BACKLOG_NAME_BYTES];
	struct unix_diag_rqlen queue;
};

/* An abstract name begins with a NUL, and is "" then. */
static struct socket_seen read_socket(struct nlmsghdr *head)
{
	struct socket_seen seen = {0};
	struct unix_diag_msg *body = NLMSG_DATA(head);
	int left = (int)NLMSG_PAYLOAD(head, sizeof *body);
	for (struct rtattr *a = (struct rtattr *)(body + 1); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		size_t n = RTA_PAYLOAD(a);
		if (a->rta_type == UNIX_DIAG_NAME && n < sizeof seen.path)
			memcpy(seen.path, RTA_DATA(a), n);
		else if (a->rta_type == UNIX_DIAG_RQLEN && n >= sizeof seen.queue)
			memcpy(&seen.queue, RTA_DATA(a), sizeof seen.queue);
	}
	return seen;
}

bool backlog_look(void (*found)(void *with, const char *path, uint32_t waiting, uint32_t most), void *with)
{
	static _Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	bool more = fd >= 0 && ask(fd), done = false;
	while (more) {
		ssize_t n = recv(fd, answer, sizeof answer, 0);
		if (n < 0 && errno == EINTR)
			continue;
		unsigned left = n > 0 ? (unsigned)n : 0;
		more = left > 0;
		for (struct nlmsghdr *h = (struct nlmsghdr *)answer; more && NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			done = h->nlmsg_type == NLMSG_DONE;
			more = !done && h->nlmsg_type == SOCK_DIAG_BY_FAMILY;
			if (!more)
				break;
			struct socket_seen seen = read_socket(h);
			if (*seen.path)
				found(with, seen.path, seen.queue.udiag_rqueue, seen.queue.udiag_wqueue);
		}
	}
	if (fd >= 0)
		close(fd);
	return done;
}
