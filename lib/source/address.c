/* SPDX-License-Identifier: BSD-2-Clause */
#include "address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define V4(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static bool v4_is_public(uint32_t ip)
{
	static const struct {
		uint32_t net;
		int bits;
	} not[] = {
		{V4(0, 0, 0, 0), 8},
		{V4(10, 0, 0, 0), 8},
		{V4(100, 64, 0, 0), 10},        /* CGNAT; metadata of Alibaba */
		{V4(127, 0, 0, 0), 8},
		{V4(168, 63, 129, 16), 32},     /* Azure's host, reachable from each of its machines */
		{V4(169, 254, 0, 0), 16},       /* link-local; metadata of AWS, Azure, Google */
		{V4(172, 16, 0, 0), 12},
		{V4(192, 0, 0, 0), 24},         /* protocol assignments; metadata of Oracle */
		{V4(192, 0, 2, 0), 24},         /* for documentation, as 198.51.100 and 203.0.113 */
		{V4(192, 88, 99, 0), 24},       /* 6to4 relays */
		{V4(192, 168, 0, 0), 16},
		{V4(198, 18, 0, 0), 15},        /* benchmarks */
		{V4(198, 51, 100, 0), 24},
		{V4(203, 0, 113, 0), 24},
		{V4(224, 0, 0, 0), 3},          /* multicast, reserved, broadcast */
	};
	for (size_t i = 0; i < sizeof not / sizeof *not; i++)
		if ((ip ^ not[i].net) >> (32 - not[i].bits) == 0)
			return false;
	return true;
}

static uint32_t v4_at(const uint8_t *at)
{
	return V4(at[0], at[1], at[2], at[3]);
}

static bool v6_is_public(const uint8_t ip[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, 0xff}, nat64[12] = {0, 0x64, 0xff, 0x9b};
	if (memcmp(ip, mapped, sizeof mapped) == 0 || memcmp(ip, nat64, sizeof nat64) == 0)
		return v4_is_public(v4_at(ip + 12));
	uint32_t net = v4_at(ip);
	if (net >> 16 == 0x2002)        /* 6to4 */
		return v4_is_public(v4_at(ip + 2));
	bool special = net >> 9 == 0x20010000 >> 9 ||   /* Teredo, ORCHID and other protocols' */
		       net == 0x20010db8 || net >> 12 == 0x3fff0;       /* for documentation */
	return net >> 29 == 1 && !special;
}

bool address_is_public(const struct sockaddr *at)
{
	if (at->sa_family == AF_INET)
		return v4_is_public(ntohl(((const struct sockaddr_in *)at)->sin_addr.s_addr));
	return at->sa_family == AF_INET6 && v6_is_public(((const struct sockaddr_in6 *)at)->sin6_addr.s6_addr);
}

bool address_text_is_public(const char *ip)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (inet_pton(AF_INET, ip, &v4) == 1)
		return v4_is_public(ntohl(v4.s_addr));
	return inet_pton(AF_INET6, ip, &v6) == 1 && v6_is_public(v6.s6_addr);
}

bool address_host_is_public(const char *host)
{
	char name[NI_MAXHOST];
	size_t n = strlen(host);
	bool bracketed = n > 1 && host[0] == '[' && host[n - 1] == ']';
	if (n >= sizeof name)
		return false;
	snprintf(name, sizeof name, "%.*s", (int)(bracketed ? n - 2 : n), host + bracketed);

	struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
	if (getaddrinfo(name, NULL, &hints, &found) != 0)
		return false;
	bool public = true;
	for (struct addrinfo *i = found; i; i = i->ai_next)
		public = public && address_is_public(i->ai_addr);
	freeaddrinfo(found);
	return public;
}
