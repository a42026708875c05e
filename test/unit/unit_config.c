/* SPDX-License-Identifier: BSD-2-Clause */
/* Every option of the configuration (lib/server/config.h): default, bounds, file, environment, rules. What is refused is
 * unit_config_refusals.c's. */
#include "config_table.h"

#include "server/config_print.h"

/* What only a rule has. */
static const struct option rule_options[] = {
	R("rules", prefix, TEXT, "", "maps/", ANY),
	R("rules", type, CHOICE, "file", "file", WORDS("file", "http", "s3")),
	R("rules", root, TEXT, "/var/lib/lorikeet/images", "/srv/images", ANY),
	R("rules", pattern, TEXT, "", "word", ANY),
	R("rules", delimiter, TEXT, "", "word", ANY),
	R("rules", path, TEXT, "{id}", "word", ANY),
	R("rules", url, TEXT, "", "word", ANY),
	R("rules", bucket, TEXT, "", "word", ANY),
};

/* These are resolved by the machine where they are 0. */
static bool is_automatic(const struct option *o)
{
	return strcmp(o->section, "limits") == 0 && !o->of_rule;
}

static const char *rule_variable(struct arena *a, int rule, const struct option *o, const char *text)
{
	char *name = arena_printf(a, "LORIKEET_RULES_%d_%s=%s", rule, o->key, text);
	for (char *c = name; *c != '='; c++)
		*c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
	return name;
}

static void check_option(struct arena *a, const struct option *o, const char *text, const char *name)
{
	const char *width = needs_width(o) ? "max_width = 9000;" : "";
	const char *file = arena_printf(a, "%s: { %s %s = %s; };", o->section, width, o->key, in_file(a, o, text));
	assert_string_equal(value_in(a, o, must_load(a, file, "X=1")), text);

	file = arena_printf(a, "%s: { %s %s = %s; };", o->section, width, o->key, in_file(a, o, o->otherwise));
	assert_string_equal(value_in(a, o, must_load(a, file, name)), text);
}

static void defaults_are_documented(void **state)
{
	struct arena *a = arena_open();
	struct config *c = must_load(a, "", "X=1");
	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++) {
		const char *got = value_in(a, &options[i], c);
		if (is_automatic(&options[i]))
			assert_string_not_equal(got, "0");
		else
			assert_string_equal(got, options[i].otherwise);
	}
	assert_int_equal(c->n_rules, 1);
	for (size_t i = 0; i < LENGTH(rule_options); i++)
		assert_string_equal(value(a, &rule_options[i], &c->rules[0]), rule_options[i].otherwise);
	assert_true(c->max_source_pixels == c->max_request_memory * 8);
	arena_close(a);
}

static void file_and_environment(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++) {
		struct arena *a = arena_open();
		const struct option *o = &options[i];
		check_option(a, o, o->other, variable(a, o, o->other));
		arena_close(a);
	}
}

static void every_choice(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++)
		for (int k = 0; options[i].choices && options[i].choices[k]; k++) {
			struct arena *a = arena_open();
			const struct option *o = &options[i];
			bool slow = strcmp(o->choices[k], "slow") == 0;
			const char *text = arena_printf(a, "%s%s", o->choices[k], slow ? ":500" : "");
			struct config *c = must_load(a, "", variable(a, o, text));
			assert_string_equal(value_in(a, o, c), o->choices[k]);
			assert_int_equal(c->log_slow_ms, slow ? 500 : 0);
			arena_close(a);
		}
}

static void check_bound(struct arena *a, const struct option *o, uint64_t good, uint64_t bad, bool has_bad)
{
	const char *where = arena_printf(a, "%s.%s: must be from", o->section, o->key);
	const char *text = arena_printf(a, "%llu", (unsigned long long)good);
	if (!is_automatic(o) || good)
		check_option(a, o, text, variable(a, o, text));
	if (!has_bad)
		return;
	text = arena_printf(a, "%llu", (unsigned long long)bad);
	must_refuse(a, arena_printf(a, "%s: {\n%s = %sL; };", o->section, o->key, text), "X=1",
		    arena_printf(a, "x.conf:2: %s", where));
	const char *name = variable(a, o, text);
	must_refuse(a, "", name, arena_printf(a, "%.*s: %s", (int)strcspn(name, "="), name, where));
}

static void bounds(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++) {
		struct arena *a = arena_open();
		const struct option *o = &options[i];
		/* The file's numbers end below 2^63. */
		uint64_t max = o->max > INT64_MAX ? INT64_MAX : o->max;
		if (o->type == UINT) {
			check_bound(a, o, o->min, o->min - 1, o->min > 0);
			check_bound(a, o, max, max + 1, o->max < UINT64_MAX);
		}
		arena_close(a);
	}
}

/* Good where a machine resolves them too: nothing may overflow on the way. */
static void automatic_values_are_never_0(void **state)
{
	static const char *const bytes[] = {"1", "2305843009213693952", "9223372036854775808",
					    "18446744073709551615", "99999999999999999999"};
	(void)state;
	for (size_t i = 0; i < LENGTH(bytes); i++) {
		struct arena *a = arena_open();
		struct config *c = must_load(a, "", arena_printf(a, "LORIKEET_LIMITS_MAX_REQUEST_MEMORY=%s", bytes[i]));
		assert_true(c->max_source_pixels >= c->max_request_memory);
		arena_close(a);
	}
	struct arena *a = arena_open();
	struct config *c = must_load(a, "", "LORIKEET_LIMITS_WORKERS=10000");
	assert_true(c->max_request_memory > 0 && c->max_source_pixels > 0);
	arena_close(a);
}

/* Fetchers that verify have their share of the memory, where a rule has them verify at all. */
static void verifiers_share_the_memory(void **state)
{
	static const struct {
		const char *workers;
		unsigned verifiers;
	} cases[] = {{"1", 1}, {"7", 1}, {"8", 2}, {"20", 5}, {"63", 15}, {"10000", 15}};
	struct arena *a = arena_open();
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const char *workers = arena_printf(a, "LORIKEET_LIMITS_WORKERS=%s", cases[i].workers);
		assert_int_equal(must_load(a, "", workers)->verifiers, cases[i].verifiers);
	}
	uint64_t alone = must_load(a, "limits: { workers = 4; };", "X=1")->max_request_memory;
	const char *rule = "limits: { workers = 4; }; rules = ({ root = \"/a\"; %s });";
	assert_true(must_load(a, arena_printf(a, rule, "fallback = [\".tif -> .jpg\"];"), "X=1")->max_request_memory <= alone * 4 / 5);
	assert_true(must_load(a, arena_printf(a, rule, "verify = \"yes\";"), "X=1")->max_request_memory <= alone * 4 / 5);
	assert_true(must_load(a, arena_printf(a, rule, "fallback = [\".tif -> .jpg\"]; verify = \"no\";"), "X=1")->max_request_memory == alone);
	arena_close(a);
}

/* A rule has its own value, the next rule and the defaults keep theirs. */
static void check_rule_option(struct arena *a, const struct option *o)
{
	const char *width = needs_width(o) ? "max_width = 9000;" : "";
	const char *root = strcmp(o->key, "root") == 0 ? "" : "root = \"/a\";";
	const char *file = arena_printf(a, "rules = ({ %s %s %s = %s; }, { root = \"/b\"; });", root, width, o->key,
					in_file(a, o, o->other));
	struct config *c = must_load(a, file, "X=1");
	assert_int_equal(c->n_rules, 2);
	assert_string_equal(value(a, o, &c->rules[0]), o->other);
	if (strcmp(o->key, "root") != 0)
		assert_string_equal(value(a, o, &c->rules[1]), o->otherwise);

	file = arena_printf(a, "rules = ({ %s root = \"/a\"; }, { %s root = \"/b\"; });", width, width);
	c = must_load(a, file, rule_variable(a, 1, o, o->other));
	assert_string_equal(value(a, o, &c->rules[1]), o->other);
	if (strcmp(o->key, "root") != 0)
		assert_string_equal(value(a, o, &c->rules[0]), o->otherwise);

	/* A default, wherever it comes from, goes to every rule that says nothing. */
	if (strcmp(o->section, "rules") != 0) {
		c = must_load(a, file, variable(a, o, o->other));
		assert_string_equal(value(a, o, &c->rules[0]), o->other);
		assert_string_equal(value(a, o, &c->rules[1]), o->other);
	}
}

static void rules_override_defaults(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++) {
		struct arena *a = arena_open();
		const struct option *o = &options[i];
		if (o->of_rule)
			check_rule_option(a, o);
		else
			must_refuse(a, "", rule_variable(a, 0, o, o->other), "LORIKEET_RULES_0_");
		arena_close(a);
	}
	for (size_t i = 0; i < LENGTH(rule_options); i++) {
		struct arena *a = arena_open();
		check_rule_option(a, &rule_options[i]);
		arena_close(a);
	}
}

/* Eleven rules by the environment alone, in no order. */
static void many_rules_in_the_environment(void **state)
{
	static const int order[] = {3, 10, 0, 7, 2, 9, 1, 8, 5, 6, 4};
	struct arena *a = arena_open();
	char *env[LENGTH(order) + 1] = {NULL};
	struct error err;
	(void)state;
	for (size_t i = 0; i < LENGTH(order); i++)
		env[i] = arena_printf(a, "LORIKEET_RULES_%d_ROOT=/r%d", order[i], order[i]);
	struct config *c = config_load_text(a, "", "x.conf", env, &err);
	if (!c)
		fail_msg("%s", err.why);
	assert_int_equal(c->n_rules, LENGTH(order));
	for (size_t i = 0; i < c->n_rules; i++)
		assert_string_equal(c->rules[i].root, arena_printf(a, "/r%zu", i));
	arena_close(a);
}

static void prefixes_are_trimmed(void **state)
{
	struct arena *a = arena_open();
	struct config *c = must_load(a, "server: { prefixes_2 = [\"/a/\", \"/b//\", \"/\"]; prefixes_3 = [ ]; };", "X=1");
	(void)state;
	assert_string_equal(joined(a, c->prefixes_2), "/a,/b,");
	assert_string_equal(joined(a, c->prefixes_3), "");
	c = must_load(a, "", "LORIKEET_SERVER_PREFIXES_2= /a/ , /b ");
	assert_string_equal(joined(a, c->prefixes_2), "/a,/b");
	arena_close(a);
}

static void slow_requests(void **state)
{
	struct arena *a = arena_open();
	struct config *c = must_load(a, "log: { requests = \"slow:250\"; };", "X=1");
	(void)state;
	assert_int_equal(c->log_requests, LOG_SLOW);
	assert_int_equal(c->log_slow_ms, 250);
	c = must_load(a, "log: { requests = \"slow:250\"; };", "LORIKEET_LOG_REQUESTS=all");
	assert_int_equal(c->log_requests, LOG_ALL);
	arena_close(a);
}

static struct buf *printed(struct arena *a)
{
	struct buf *b = buf_open(a, 1 << 20);
	config_print_default(b);
	buf_write(b, "", 1);
	assert_false(b->failed);
	return b;
}

static void printed_configuration_is_the_default(void **state)
{
	struct arena *a = arena_open();
	struct config *from_print = must_load(a, printed(a)->at, "X=1"), *from_nothing = must_load(a, "", "X=1");
	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++) {
		const struct option *o = &options[i];
		assert_string_equal(value_in(a, o, from_print), value_in(a, o, from_nothing));
		if (o->of_rule)
			assert_string_equal(value(a, o, &from_print->rules[0]), value(a, o, &from_nothing->rules[0]));
	}
	assert_int_equal(from_print->n_rules, 1);
	for (size_t i = 0; i < LENGTH(rule_options); i++)
		assert_string_equal(value(a, &rule_options[i], &from_print->rules[0]),
				    value(a, &rule_options[i], &from_nothing->rules[0]));
	arena_close(a);
}

/* Each option of the tables above, with variable, bounds and choices, and no other. */
static void printed_configuration_is_complete(void **state)
{
	struct arena *a = arena_open();
	const char *text = printed(a)->at;
	size_t n = 0;
	(void)state;
	for (const char *c = text; (c = strstr(c, " = ")); c++)
		n++;
	/* "rules = (" is no option. */
	assert_int_equal(n - 1, LENGTH(options) + LENGTH(rule_options));
	for (size_t i = 0; i < LENGTH(options); i++) {
		const struct option *o = &options[i];
		const char *name = variable(a, o, "");
		const char *entry = strstr(text, arena_printf(a, "%.*s%s\n\t%s = %s;\n", (int)strcspn(name, "="), name,
							      o->of_rule ? "; a rule may override it" : "", o->key,
							      in_file(a, o, o->otherwise)));
		if (!entry && o->type == UINT)
			entry = strstr(text, arena_printf(a, "\n\t%s = %sL;\n", o->key, o->otherwise));
		if (!entry)
			fail_msg("%s.%s is not printed", o->section, o->key);
		if (o->type == UINT && o->max < UINT64_MAX)
			assert_non_null(strstr(text, arena_printf(a, "# From %llu to %llu. %.*s", (unsigned long long)o->min,
								  (unsigned long long)o->max, (int)strcspn(name, "="), name)));
	}
	arena_close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_documented),
		cmocka_unit_test(file_and_environment),
		cmocka_unit_test(every_choice),
		cmocka_unit_test(bounds),
		cmocka_unit_test(automatic_values_are_never_0),
		cmocka_unit_test(verifiers_share_the_memory),
		cmocka_unit_test(rules_override_defaults),
		cmocka_unit_test(many_rules_in_the_environment),
		cmocka_unit_test(prefixes_are_trimmed),
		cmocka_unit_test(slow_requests),
		cmocka_unit_test(printed_configuration_is_the_default),
		cmocka_unit_test(printed_configuration_is_complete),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
