/* SPDX-License-Identifier: BSD-2-Clause */
/* What the configuration's rules become for the resolver (lib/server/rules.h): as whom origins are asked. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

#include "server/rules.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

/* The account of a rule with these options. */
static const char *account(struct arena *a, const char *options)
{
	struct error err;
	const char *text = arena_printf(a, "rules = ({ url = \"http://h/{id}\"; bucket = \"b\"; %s });", options);
	struct config *c = config_load_text(a, text, "x.conf", NULL, &err);
	struct resolver_rule *rules = c ? rules_make(a, c, &err) : NULL;
	if (!rules)
		fail_msg("%s: %s", options, err.why);
	return rules[0].account;
}

/* Groups: in one all are the same account, between them none are. SECRET stands for a file's name. */
static const char *const groups[][6] = {
	{"type = \"http\";", "type = \"s3\"; anonymous = true;", "type = \"http\"; prefix = \"p/\";"},
	{"type = \"http\"; user = \"u\"; password = \"one\";", "type = \"http\"; user = \"u\"; password = \"two\";",
	 "type = \"http\"; user = \"u\"; password = \"one\"; prefix = \"p/\";"},
	{"type = \"http\"; user = \"v\"; password = \"one\";"},
	{"type = \"http\"; user = \"u\"; secret_file = \"SECRET\";"},
	{"type = \"http\"; secret_file = \"SECRET\";"},
	{"type = \"http\"; bearer = \"one\";", "type = \"http\"; bearer = \"two\";"},
	{"type = \"http\"; bearer = \"one\"; prefix = \"p/\";", "type = \"http\"; bearer = \"two\"; prefix = \"p/\";"},
	{"type = \"http\"; bearer = \"one\"; pattern = \"(.*)\";"},
	{"type = \"http\"; client_certificate = \"/c\";"},
	{"type = \"http\"; headers = [\"X: one\"];"},
	{"type = \"http\"; headers = [\"X: two\"];"},
	{"type = \"s3\";", "type = \"s3\"; prefix = \"p/\";", "type = \"s3\"; session_token = \"t\";"},
	{"type = \"s3\"; access_key = \"one\"; secret_key = \"a\";", "type = \"s3\"; access_key = \"one\"; secret_key = \"b\";",
	 "type = \"s3\"; access_key = \"one\"; secret_key = \"b\"; session_token = \"t\"; prefix = \"p/\";"},
	{"type = \"s3\"; access_key = \"two\"; secret_key = \"a\";"},
	{"type = \"s3\"; profile = \"one\";"},
	{"type = \"s3\"; profile = \"two\";"},
	{"type = \"s3\"; secret_file = \"SECRET\"; access_key = \"one\";"},
};

static const char *group_account(struct arena *a, size_t group, size_t i, const char *secret)
{
	struct str rest = str_of(groups[group][i]);
	const char *name = strstr(rest.at, "SECRET");
	if (!name)
		return account(a, rest.at);
	return account(a, arena_printf(a, "%.*s%s%s", (int)(name - rest.at), rest.at, secret, name + strlen("SECRET")));
}

static const char *new_secret(struct arena *a, const char *text)
{
	char *path = arena_printf(a, "/tmp/lorikeet-secret-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0 && write(fd, text, strlen(text)) > 0 && close(fd) == 0);
	return path;
}

static void accounts_are_those_who_ask(void **state)
{
	struct arena *a = arena_open();
	const char *first[LENGTH(groups)], *secret = new_secret(a, "s\n");
	(void)state;
	for (size_t g = 0; g < LENGTH(groups); g++) {
		first[g] = group_account(a, g, 0, secret);
		for (size_t i = 1; groups[g][i]; i++)
			if (strcmp(group_account(a, g, i, secret), first[g]) != 0)
				fail_msg("other than its group: %s", groups[g][i]);
		for (size_t other = 0; other < g; other++)
			if (strcmp(first[other], first[g]) == 0)
				fail_msg("shared: %s and %s", groups[other][0], groups[g][0]);
	}
	unlink(secret);
	arena_close(a);
}

/* Another secret in the same file is the same account, and is the one that is used. */
static void a_secret_may_be_replaced(void **state)
{
	struct arena *a = arena_open();
	const char *secret = new_secret(a, "one\n");
	const char *options = arena_printf(a, "type = \"http\"; secret_file = \"%s\";", secret);
	(void)state;
	const char *before = account(a, options);
	int fd = open(secret, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(write(fd, "two", 3) == 3 && close(fd) == 0);
	assert_string_equal(account(a, options), before);
	unlink(secret);
	arena_close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accounts_are_those_who_ask),
		cmocka_unit_test(a_secret_may_be_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
