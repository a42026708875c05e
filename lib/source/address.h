/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_ADDRESS_H
#define SOURCE_ADDRESS_H

#include <stdbool.h>

/*
 * Which network addresses a foreign text (a redirect, an identifier) may lead to: those of the public internet. Not
 * private, loopback, link-local, unique-local, shared (CGNAT), multicast, reserved or cloud metadata ones, nor IPv6
 * forms that carry such an IPv4 address.
 */
struct sockaddr;

bool address_is_public(const struct sockaddr *at);

/* ip: as inet_ntop writes it; anything else is not public. */
bool address_text_is_public(const char *ip);

/* All addresses of a name, or the one that it spells ("[::1]", "127.1"). One that cannot be looked up is not public. */
bool address_host_is_public(const char *host);

#endif
