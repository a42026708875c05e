/* SPDX-License-Identifier: BSD-2-Clause */
/* The media type of info.json (lib/iiif/negotiate.h; digest 6.1). */
#include "check.h"

#include "iiif/negotiate.h"

#define PROFILE_3 "application/ld+json;profile=\"http://iiif.io/api/image/3/context.json\""

enum { JSON = INFO_JSON, LD = INFO_LD_JSON, LD3 = INFO_LD_JSON_3 };

static const struct {
	const char *accept;
	int in_3, in_2;
} cases[] = {
	{NULL, LD3, JSON},
	{"", LD3, JSON},
	{"*/*", LD3, JSON},
	{"application/*", LD3, JSON},
	{"application/json", JSON, JSON},
	{"application/ld+json", LD3, LD},
	{PROFILE_3, LD3, LD},
	{"application/ld+json;profile=\"http://iiif.io/api/image/2/context.json\"", LD3, LD},
	{"application/ld+json, application/json", LD3, LD},
	{"application/json, application/ld+json", LD3, LD},
	{"application/json, application/ld+json;q=0.5", JSON, JSON},
	{"application/ld+json;q=0, */*", JSON, JSON},
	{"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", LD3, JSON},
	{"image/png", LD3, JSON},

	{"application/json;q=0.5", JSON, JSON},
	{"application/json;q=0.5, application/ld+json;q=0.9", LD3, LD},
	{"application/json;q=0.9, application/ld+json;q=0.8", JSON, JSON},
	{"application/json;q=0.001, application/ld+json;q=0.002", LD3, LD},
	{"application/json;q=0.123, application/ld+json;q=0.124", LD3, LD},
	{"application/ld+json;q=0.5, */*;q=0.1", LD3, LD},
	{"application/json, */*;q=0.1", JSON, JSON},
	{"application/json;q=0, */*", LD3, JSON},
	{"application/json;q=0", LD3, JSON},
	{"application/ld+json;q=0", LD3, JSON},
	{"*/*;q=0", LD3, JSON},
	{"application/*;q=0.5, application/json", JSON, JSON},
	{"application/*;q=0.5, application/json;q=0.4", LD3, JSON},
	{"*/*;q=1, application/*;q=0.1, application/json;q=0.2", JSON, JSON},
	{"application/json;q=0.1, application/json;q=0.9, application/ld+json;q=0.5", JSON, JSON},

	/* Parameters, blanks, letters of either case. */
	{"application/json;charset=utf-8", JSON, JSON},
	{"application/json ; charset=utf-8 ; q=0.3, application/ld+json;q=0.4", LD3, LD},
	{"  application/json  ", JSON, JSON},
	{"\tapplication/json\t;\tq=0.9\t,\tapplication/ld+json\t;\tq=0.8", JSON, JSON},
	{"Application/JSON", JSON, JSON},
	{"APPLICATION/LD+JSON;Q=0.4, application/json;q=0.3", LD3, LD},
	{"application/ld+json;q=1.000", LD3, LD},

	/* Malformed: what can be read is read, a bad quality counts as none. */
	{",", LD3, JSON},
	{",,,application/json,,", JSON, JSON},
	{";", LD3, JSON},
	{";q=0", LD3, JSON},
	{"application", LD3, JSON},
	{"application/jsonx", LD3, JSON},
	{"application/json/x", LD3, JSON},
	{"json", LD3, JSON},
	{"*", LD3, JSON},
	{"*/json", LD3, JSON},
	{"application/json;q=", JSON, JSON},
	{"application/json;q=abc, application/ld+json;q=0.9", JSON, JSON},
	{"application/json;q=-1, application/ld+json;q=0.9", JSON, JSON},
	{"application/json;q=2, application/ld+json;q=0.9", JSON, JSON},
	{"application/json;q=0.5x, application/ld+json;q=0.9", JSON, JSON},
	{"application/json;q=99999999999999999999, application/ld+json;q=0.9", JSON, JSON},
	{"application/json;;;q=0.1;, application/ld+json;q=0.2", LD3, LD},
	{"application/json\r\nX: y", LD3, JSON},
	{"\xff\xfe", LD3, JSON},
	{"application/ld+json;profile=\"unfinished, application/json", LD3, LD},
	{"application/ld+json;profile=\"a,b\", application/json;q=0.5", LD3, LD},
};

static void accept_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int version = 2; version <= 3; version++) {
			int got = (int)negotiate_info(version, str_of(cases[i].accept));
			int want = version == 3 ? cases[i].in_3 : cases[i].in_2;
			if (got != want)
				fail_msg("%d.0: %s: %s", version, cases[i].accept, info_type_name((enum info_type)got));
		}
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(info_type_name(INFO_JSON), "application/json");
	assert_string_equal(info_type_name(INFO_LD_JSON), "application/ld+json");
	assert_string_equal(info_type_name(INFO_LD_JSON_3), PROFILE_3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accept_headers),
		cmocka_unit_test(names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
