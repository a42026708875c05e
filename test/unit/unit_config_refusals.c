/* SPDX-License-Identifier: BSD-2-Clause */
/* What the configuration (lib/server/config.h) refuses, and how it says where that stands. */
#include "config_table.h"

#include <stdlib.h>
#include <unistd.h>

static char *const no_env[] = {NULL};

/* Values of the wrong kind, in the file and (NULL: it takes any text) in the environment. */
static const struct {
	enum type type;
	const char *in_file[10], *in_env[10];
} bad_values[] = {
	{BOOL, {"1", "\"true\"", "[true]", "{}", "1.5"}, {"", "1", "yes", "True", "true ", "on"}},
	{UINT, {"-1", "1.0", "\"7\"", "true", "[7]", "{}", "-9223372036854775807L"},
	 {"", "-1", "+1", "1.0", "0x10", "7 ", " 7", "seven", "1e3"}},
	{TEXT, {"7", "true", "[\"a\"]", "(\"a\")", "{}"}, {NULL}},
	{CHOICE, {"\"\"", "\"xyz\"", "0", "true", "[\"no\"]"}, {"", "xyz", "NO", "0", "420 "}},
	{LIST, {"\"a\"", "7", "[1, 2]", "(\"/a\", 7)", "(\"/a\", [\"/b\"])", "{}"}, {NULL}},
};

static void bad_values_name_their_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++) {
		struct arena *a = arena_open();
		const struct option *o = &options[i];
		for (size_t k = 0; bad_values[o->type].in_file[k]; k++)
			must_refuse(a,
				    arena_printf(a, "# one\n%s:\n{\n\n  %s = %s; };", o->section, o->key,
						 bad_values[o->type].in_file[k]),
				    "X=1", arena_printf(a, "x.conf:5: %s.%s: ", o->section, o->key));
		for (size_t k = 0; bad_values[o->type].in_env[k]; k++) {
			const char *name = variable(a, o, bad_values[o->type].in_env[k]);
			must_refuse(a, "", name,
				    arena_printf(a, "%.*s: %s.%s: ", (int)strcspn(name, "="), name, o->section, o->key));
		}
		arena_close(a);
	}
}

struct refusal {
	const char *text, *variable, *why;
};

static const struct refusal refusals[] = {
	/* Names nobody knows, and shapes. */
	{"nosuch: { };", "X=1", "x.conf:1: unknown section nosuch"},
	{"\nserver: {\n nosuch = 1; };", "X=1", "x.conf:3: unknown option nosuch"},
	{"server: { jpeg_quality = 80; };", "X=1", "x.conf:1: unknown option jpeg_quality"},
	{"server: { root = \"/a\"; };", "X=1", "x.conf:1: unknown option root"},
	{"server = 7;", "X=1", "x.conf:1: server must be a group"},
	{"server = (1, 2);", "X=1", "x.conf:1: server must be a group"},
	{"jpeg_quality = 80;", "X=1", "x.conf:1: unknown section jpeg_quality"},
	{"", "LORIKEET_SERVER_NOSUCH=1", "LORIKEET_SERVER_NOSUCH: unknown option nosuch"},
	{"", "LORIKEET_SERVER_=1", "LORIKEET_SERVER_: unknown option "},
	/* Syntax. */
	{"server: {", "X=1", "x.conf:1: syntax error"},
	{"server: {\n base_uri = \"a\n\n", "X=1", "x.conf:"},
	{"server: { raw_slashes = true; raw_slashes = true; };", "X=1", "x.conf:1: duplicate setting name"},
	{"\xff", "X=1", "x.conf:1: "},
	/* Rules. */
	{"rules = 7;", "X=1", "x.conf:1: rules must be a list"},
	{"rules = [ ];", "X=1", "x.conf:1: rules must be a list"},
	{"rules = (\n7 );", "X=1", "x.conf:"},
	{"rules = (\n{ root = \"/a\";\n nosuch = 1; } );", "X=1", "x.conf:3: unknown option of a rule nosuch"},
	{"rules = ({ root = \"/a\"; jpeg_quality = 80; });", "X=1", "x.conf:1: unknown option of a rule jpeg_quality"},
	{"rules = ({ root = \"/a\";\n type = \"ftp\"; });", "X=1", "x.conf:2: rules.type: must be one of file"},
	{"rules = (\n{ root = \"/a\"; },\n{ prefix = \"b\"; });", "X=1", "x.conf:3: rules.root: "},
	{"rules = (\n{ root = \"relative\"; });", "X=1", "x.conf:2: rules.root: "},
	{"rules = (\n{ type = \"http\"; });", "X=1", "x.conf:2: rules.url: "},
	{"rules = (\n{ type = \"s3\"; });", "X=1", "x.conf:2: rules.bucket: "},
	{"rules = (\n{ root = \"/a\"; fallback = [\".tif\"]; });", "X=1", "x.conf:2: access.fallback: "},
	{"rules = (\n{ root = \"/a\"; headers = [\"X\"]; });", "X=1", "x.conf:2: origin.headers: "},
	{"", "LORIKEET_RULES_0_PREFIX=b", "LORIKEET_RULES_0_PREFIX: rules.root: "},
	{"", "LORIKEET_RULES_0_ROOT=relative", "LORIKEET_RULES_0_ROOT: rules.root: "},
	{"", "LORIKEET_RULES_0_NOSUCH=b", "LORIKEET_RULES_0_NOSUCH: unknown option of a rule nosuch"},
	{"", "LORIKEET_RULES_0_=b", "LORIKEET_RULES_0_: unknown option of a rule "},
	{"", "LORIKEET_RULES_ROOT=/a", "LORIKEET_RULES_ROOT: a rule's variable is"},
	{"", "LORIKEET_RULES=/a", "LORIKEET_RULES: a rule's variable is"},
	{"", "LORIKEET_RULES_1_ROOT=/a", "LORIKEET_RULES_1_ROOT: there is no rule before it"},
	{"", "LORIKEET_RULES_99999999999999999999_ROOT=/a", "LORIKEET_RULES_99999999999999999999_ROOT: "},
	/* Values that do not fit. */
	{"server: {\n base_uri = \"iiif.example.org\"; };", "X=1", "x.conf:2: server.base_uri: "},
	{"server: {\n base_uri = \"https://iiif.example.org/\"; };", "X=1", "x.conf:2: server.base_uri: "},
	{"", "LORIKEET_SERVER_BASE_URI=ftp://a", "LORIKEET_SERVER_BASE_URI: server.base_uri: "},
	{"server: {\n prefixes_2 = [\"/a\", \"b\"]; };", "X=1", "x.conf:2: server.prefixes_2: "},
	{"", "LORIKEET_SERVER_PREFIXES_3=b", "LORIKEET_SERVER_PREFIXES_3: server.prefixes_3: "},
	{"access: {\n allowed_roots = [\"/a\", \"b\"]; };", "X=1", "x.conf:2: access.allowed_roots: "},
	{"", "LORIKEET_RULES_0_ALLOWED_ROOTS=/a,b", "LORIKEET_RULES_0_ALLOWED_ROOTS: access.allowed_roots: "},
	{"server: { prefixes_2 = [\"/iiif/3\"]; };", "X=1", "x.conf: server.prefixes: "},
	{"server: { prefixes_2 = [\"/\"]; prefixes_3 = [\"\"]; };", "X=1", "x.conf: server.prefixes: "},
	{"server: { slash_substitute = \";\"; };", "X=1", "x.conf: server.slash_substitute: "},
	{"limits: { max_height = 7; };", "X=1", "x.conf: limits.max_height: "},
	{"rules = (\n{ root = \"/a\"; max_height = 7; });", "X=1", "x.conf:2: limits.max_height: "},
	{"log: { requests = \"slow\"; };", "X=1", "x.conf:1: log.requests: slow needs milliseconds"},
	{"", "LORIKEET_LOG_REQUESTS=slow:", "LORIKEET_LOG_REQUESTS: log.requests: slow needs milliseconds"},
	{"", "LORIKEET_LOG_REQUESTS=slow:5s", "LORIKEET_LOG_REQUESTS: log.requests: slow needs milliseconds"},
};

static void refused_with_file_and_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(refusals); i++) {
		struct arena *a = arena_open();
		must_refuse(a, refusals[i].text, refusals[i].variable, refusals[i].why);
		arena_close(a);
	}
}

static void other_variables_are_ignored(void **state)
{
	static const char *const names[] = {"LORIKEET_CONFIG=/x", "LORIKEET_=1", "LORIKEET=1", "LORIKEET_SERVER=1",
					    "lorikeet_server_nosuch=1", "LORIKEET_SERVER_NOSUCH", "", "=", "LORIKEET_BINARY=x",
					    "LORIKEET_TEST_IMAGES=x"};
	(void)state;
	for (size_t i = 0; i < LENGTH(names); i++) {
		struct arena *a = arena_open();
		must_load(a, "", names[i]);
		arena_close(a);
	}
}

static void files(void **state)
{
	struct arena *a = arena_open();
	struct error err = {0};
	char path[] = "/tmp/lorikeet-config-XXXXXX";
	int fd = mkstemp(path);
	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "images: {\n jpeg_quality = 70; };\n", 33), 33);
	struct config *c = config_load(a, path, no_env, &err);
	assert_non_null(c);
	assert_int_equal(c->jpeg_quality, 70);

	assert_int_equal(write(fd, "nosuch: { };", 12), 12);
	assert_null(config_load(a, path, no_env, &err));
	assert_string_equal(err.why, arena_printf(a, "%s:3: unknown section nosuch", path));
	must_refuse(a, arena_printf(a, "@include \"%s\"\n", path), "X=1",
		    arena_printf(a, "%s:3: unknown section nosuch", path));

	assert_int_equal(pwrite(fd, "= 7;", 4, 0), 4);
	must_refuse(a, arena_printf(a, "\n\n@include \"%s\"\n", path), "X=1", arena_printf(a, "%s:1: syntax error", path));

	/* What an editor or a lost disk block leaves behind a NUL must not be passed over. */
	assert_int_equal(ftruncate(fd, 50), 0);
	assert_null(config_load(a, path, no_env, &err));
	assert_string_equal(err.why, arena_printf(a, "%s: has a NUL byte", path));

	assert_int_equal(ftruncate(fd, 2 << 20), 0);
	assert_null(config_load(a, path, no_env, &err));
	assert_string_equal(err.why, arena_printf(a, "%s: is too large", path));
	close(fd);
	unlink(path);

	assert_null(config_load(a, path, no_env, &err));
	assert_string_equal(err.why, arena_printf(a, "%s: No such file or directory", path));
	assert_null(config_load(a, "/", no_env, &err));
	assert_int_equal(err.reason, REASON_CONFIG);
	assert_non_null(config_load(a, NULL, no_env, &err));
	assert_non_null(config_load(a, NULL, NULL, &err));
	arena_close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_values_name_their_place),
		cmocka_unit_test(refused_with_file_and_line),
		cmocka_unit_test(other_variables_are_ignored),
		cmocka_unit_test(files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
