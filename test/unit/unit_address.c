/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "check.h"

#include "source/address.h"

static const struct {
	const char *ip;
	bool public;
} cases[] = {
	{"8.8.8.8", true}, {"1.1.1.1", true}, {"93.184.216.34", true}, {"223.255.255.255", true}, {"11.0.0.0", true},
	{"9.255.255.255", true}, {"100.63.255.255", true}, {"100.128.0.0", true}, {"172.15.255.255", true},
	{"172.32.0.0", true}, {"169.253.255.255", true}, {"192.167.255.255", true}, {"192.169.0.0", true},
	{"198.17.255.255", true}, {"198.20.0.0", true}, {"168.63.129.15", true}, {"168.63.129.17", true},
	{"0.0.0.0", false}, {"0.1.2.3", false}, {"10.0.0.1", false}, {"10.255.255.255", false}, {"100.64.0.0", false},
	{"100.127.255.255", false}, {"100.100.100.200", false}, {"127.0.0.1", false}, {"127.255.255.255", false},
	{"168.63.129.16", false}, {"169.254.169.254", false}, {"169.254.0.0", false}, {"172.16.0.0", false},
	{"172.31.255.255", false}, {"192.0.0.192", false}, {"192.0.2.1", false}, {"192.168.1.1", false},
	{"198.18.0.1", false}, {"198.19.255.255", false}, {"203.0.113.9", false}, {"224.0.0.1", false},
	{"239.255.255.255", false}, {"240.0.0.1", false}, {"255.255.255.255", false},
	{"2606:4700:4700::1111", true}, {"2a00:1450:4001::1", true}, {"2001:200::1", true}, {"2001:db7::1", true},
	{"::ffff:8.8.8.8", true}, {"64:ff9b::8.8.8.8", true}, {"2002:808:808::1", true},
	{"::", false}, {"::1", false}, {"::8.8.8.8", false}, {"::ffff:127.0.0.1", false},
	{"::ffff:169.254.169.254", false}, {"::ffff:0:8.8.8.8", false}, {"64:ff9b::10.0.0.1", false},
	{"64:ff9b:1::808:808", false}, {"100::1", false},
	{"2001::1", false}, {"2001:db8::1", false}, {"2001:1ff::1", false}, {"2002:7f00:1::", false},
	{"2002:a9fe:a9fe::", false}, {"3fff::1", false}, {"4000::1", false}, {"fc00::1", false},
	{"fd00:ec2::254", false}, {"fe80::1", false}, {"fec0::1", false}, {"ff02::1", false},
	{"", false}, {"example.org", false}, {"fe80::1%lo", false}, {"8.8.8", false},
};

static void texts_are_told_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (address_text_is_public(cases[i].ip) != cases[i].public)
			fail_msg("%s should be %s", cases[i].ip, cases[i].public ? "public" : "refused");
}

static void socket_addresses_are_told_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sockaddr_in v4 = {.sin_family = AF_INET};
		struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
		bool is_public;
		if (inet_pton(AF_INET, cases[i].ip, &v4.sin_addr) == 1)
			is_public = address_is_public((struct sockaddr *)&v4);
		else if (inet_pton(AF_INET6, cases[i].ip, &v6.sin6_addr) == 1)
			is_public = address_is_public((struct sockaddr *)&v6);
		else
			continue;
		if (is_public != cases[i].public)
			fail_msg("%s should be %s", cases[i].ip, cases[i].public ? "public" : "refused");
	}
	assert_false(address_is_public(&(struct sockaddr){.sa_family = AF_UNIX}));
}

/* Without a name server: only what is spelled out, and localhost. */
static void hosts_are_looked_up(void **state)
{
	(void)state;
	assert_true(address_host_is_public("8.8.8.8"));
	assert_true(address_host_is_public("[2606:4700:4700::1111]"));
	assert_false(address_host_is_public("localhost"));
	assert_false(address_host_is_public("127.1"));
	assert_false(address_host_is_public("0x7f000001"));
	assert_false(address_host_is_public("2130706433"));
	assert_false(address_host_is_public("[::1]"));
	assert_false(address_host_is_public("[::ffff:10.0.0.1]"));
	assert_false(address_host_is_public("no-such-host.invalid"));
	assert_false(address_host_is_public(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_told_apart),
		cmocka_unit_test(socket_addresses_are_told_apart),
		cmocka_unit_test(hosts_are_looked_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
