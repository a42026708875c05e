/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the keys of S3 come from, and how they are renewed (lib/source/s3_credentials.h). */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "source/s3.h"

#define DAY_S 1369353600        /* 2013-05-24, of Amazon's examples */
#define COUNT(table) (sizeof(table) / sizeof *(table))

static struct arena *arena;

/* A world in which metadata services answer as each test wants, and time stands still until it says so. */
static struct {
	int64_t now_s;
	const char *base;               /* of the machine's service */
	bool no_put, silent, no_role;
	int lifetime_s;                 /* of keys, -1: forever */
	const char *bad;                /* an answer instead of keys */
	int calls, puts, given;
	char header[256];               /* of the last call */
	char url[256];
	int64_t ms;
} world;

static int64_t fake_now_s(void)
{
	return world.now_s;
}

static const char *keys_text(void)
{
	char until[64] = "";
	time_t end = world.now_s + world.lifetime_s;
	if (world.bad)
		return world.bad;
	if (world.lifetime_s >= 0)
		strftime(until, sizeof until, ",\"Expiration\":\"%Y-%m-%dT%H:%M:%SZ\"", gmtime(&end));
	return arena_printf(arena,
			    "{\"Code\":\"Success\",\"AccessKeyId\":\"ROLE%d\",\"SecretAccessKey\":\"hush\","
			    "\"Token\":\"t\"%s}",
			    ++world.given, until);
}

static bool answer_with(const struct http_body *body, const char *text, struct error *err)
{
	struct http_answer answer = {.status = 200};
	return body->begin(body->with, &answer, err) && body->write(body->with, text, strlen(text), err);
}

static bool fake_get(struct arena *a, const struct http_options *o, const struct http_target *t,
		     const struct http_body *body, struct patience *patience, struct http_answer *answer,
		     struct error *err)
{
	(void)a;
	(void)patience;
	(void)answer;
	bool put = t->method != NULL;
	const char *header = o->headers[0] ? o->headers[0] : "";
	world.calls++;
	world.puts += put;
	world.ms = o->total_ms;
	snprintf(world.header, sizeof world.header, "%s", header);
	snprintf(world.url, sizeof world.url, "%s", t->url);
	assert_null(o->proxy);
	if (world.silent || (put && world.no_put))
		return fail(err, 504, REASON_TIMEOUT, "", "silent");
	if (put) {
		assert_string_equal(t->method, "PUT");
		assert_string_equal(header, "X-aws-ec2-metadata-token-ttl-seconds: 21600");
		return answer_with(body, "TOKEN", err);
	}
	if (world.base) {
		if (strncmp(t->url, world.base, strlen(world.base)) != 0)
			return fail(err, 502, REASON_ORIGIN, "", "refused");
		assert_string_equal(header, world.no_put ? "" : "X-aws-ec2-metadata-token: TOKEN");
		if (world.no_role)
			return fail(err, 404, REASON_NOT_FOUND, "", "404");
		if (str_ends(str_of(t->url), STR("/")))
			return answer_with(body, "my-role\n", err);
		assert_true(str_ends(str_of(t->url), STR("/latest/meta-data/iam/security-credentials/my-role")));
	}
	return answer_with(body, keys_text(), err);
}

static const struct s3_world fake = {fake_get, fake_now_s};

static const char *const variables[] = {
	"AWS_ACCESS_KEY_ID",
	"AWS_SECRET_ACCESS_KEY",
	"AWS_SESSION_TOKEN",
	"AWS_SHARED_CREDENTIALS_FILE",
	"AWS_PROFILE",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	"AWS_CONTAINER_CREDENTIALS_FULL_URI",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT",
	"AWS_EC2_METADATA_DISABLED",
	"HOME",
};

static char folder[] = "/tmp/unit_s3.XXXXXX";

static int begin(void **state)
{
	(void)state;
	arena = arena_open();
	memset(&world, 0, sizeof world);
	world.now_s = DAY_S;
	world.silent = true;
	world.lifetime_s = 3600;
	for (size_t i = 0; i < COUNT(variables); i++)
		unsetenv(variables[i]);
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_close(arena);
	return 0;
}

static const char *write_file(const char *name, const char *text)
{
	const char *path = arena_printf(arena, "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return path;
}

/* The access key, or the status of the failure. */
static const char *look(struct s3_credentials *c)
{
	struct s3_keys keys;
	struct error err;
	if (s3_credentials_get(c, &keys, &err)) {
		assert_true(*keys.secret_key);
		return keys.access_key;
	}
	assert_int_equal(err.reason, err.status == 403 ? REASON_DENIED : REASON_ORIGIN);
	assert_null(strstr(err.why, "hush"));
	return err.status == 403 ? "403" : "502";
}

static struct s3_credentials *open_with(const struct s3_options *o)
{
	static const struct s3_options nothing;
	return s3_credentials_open(arena, o ? o : &nothing, &fake);
}

static void the_first_source_wins(void **state)
{
	(void)state;
	const struct s3_options options = {.access_key = "GIVEN", .secret_key = "hush", .session_token = "t"};
	const struct s3_options named = {.profile = "work"}, other = {.profile = "other"};
	const struct s3_options half = {.access_key = "GIVEN"};
	struct s3_options hidden = {.access_key = "GIVEN", .secret_file = write_file("secret", "hush\r\n")};
	world.silent = false;

	world.base = "http://169.254.169.254/";
	assert_string_equal(look(open_with(NULL)), "ROLE1");
	world.base = NULL;
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x", 1);
	assert_string_equal(look(open_with(NULL)), "ROLE2");
	assert_string_equal(world.url, "http://169.254.170.2/v2/x");
	setenv("AWS_SHARED_CREDENTIALS_FILE",
	       write_file("shared", "[default]\naws_access_key_id=FILE\naws_secret_access_key=hush\n"
				    "[work]\naws_access_key_id=WORK\naws_secret_access_key=hush\n"), 1);
	assert_string_equal(look(open_with(NULL)), "FILE");
	setenv("AWS_PROFILE", "work", 1);
	assert_string_equal(look(open_with(NULL)), "WORK");
	setenv("AWS_PROFILE", "none", 1);
	assert_string_equal(look(open_with(NULL)), "403");
	setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
	assert_string_equal(look(open_with(NULL)), "403");
	setenv("AWS_SECRET_ACCESS_KEY", "hush", 1);
	assert_string_equal(look(open_with(NULL)), "ENV");
	assert_string_equal(look(open_with(&named)), "WORK");
	assert_string_equal(look(open_with(&other)), "403");
	assert_string_equal(look(open_with(&options)), "GIVEN");
	assert_string_equal(look(open_with(&hidden)), "GIVEN");
	assert_string_equal(look(open_with(&half)), "403");
	hidden.secret_file = "/nonexistent";
	assert_string_equal(look(open_with(&hidden)), "502");
	hidden.secret_file = write_file("secret", "hush\nhush\n");
	assert_string_equal(look(open_with(&hidden)), "502");
}

static void the_home_has_the_shared_file(void **state)
{
	(void)state;
	setenv("HOME", folder, 1);
	assert_int_equal(system(arena_printf(arena, "mkdir -p %s/.aws", folder)), 0);
	write_file(".aws/credentials", "[default]\naws_access_key_id=HOME\naws_secret_access_key=hush\n");
	assert_string_equal(look(open_with(NULL)), "HOME");
}

static void keys_do_not_forge_headers(void **state)
{
	(void)state;
	const struct s3_options key = {.access_key = "A\nb: c", .secret_key = "hush"};
	const struct s3_options token = {.access_key = "A", .secret_key = "hush", .session_token = "t\r\nx: y"};
	assert_string_equal(look(open_with(&key)), "403");
	assert_string_equal(look(open_with(&token)), "403");
}

static void changed_files_are_read_again(void **state)
{
	(void)state;
	const char *path = write_file("shared", "[default]\naws_access_key_id=ONE\naws_secret_access_key=hush\n");
	setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
	struct s3_credentials *c = open_with(NULL);
	assert_string_equal(look(c), "ONE");
	write_file("shared", "[default]\naws_access_key_id=SECOND\naws_secret_access_key=hush\n");
	assert_string_equal(look(c), "SECOND");
	write_file("shared", "[default]\naws_access");
	assert_string_equal(look(c), "SECOND");
	unlink(path);
	assert_string_equal(look(c), "SECOND");
	write_file("shared", "[default]\naws_access_key_id=THE THIRD\naws_secret_access_key=hush\n");
	assert_string_equal(look(c), "SECOND");
	write_file("shared", "[default]\naws_access_key_id=FOURTH\naws_secret_access_key=hush\n");
	assert_string_equal(look(c), "FOURTH");

	struct s3_keys keys;
	struct error err;
	const struct s3_options o = {.access_key = "A", .secret_file = write_file("secret", "first")};
	c = open_with(&o);
	assert_true(s3_credentials_get(c, &keys, &err));
	assert_string_equal(keys.secret_key, "first");
	write_file("secret", "");
	assert_true(s3_credentials_get(c, &keys, &err));
	assert_string_equal(keys.secret_key, "first");
	write_file("secret", " the-next\n");
	assert_true(s3_credentials_get(c, &keys, &err));
	assert_string_equal(keys.secret_key, "the-next");
	assert_int_equal(world.calls, 0);
}

static void files_of_other_kinds_and_sizes_do_not_count(void **state)
{
	(void)state;
	static char large[(1 << 20) + 2];
	static const char end_of_it[] = "\n[default]\naws_access_key_id=A\naws_secret_access_key=hush\n";
	memset(large, '#', sizeof large - 1);
	memcpy(large + sizeof large - sizeof end_of_it, end_of_it, sizeof end_of_it);
	setenv("AWS_SHARED_CREDENTIALS_FILE", write_file("large", large), 1);
	assert_string_equal(look(open_with(NULL)), "403");
	setenv("AWS_SHARED_CREDENTIALS_FILE", write_file("large", large + 1), 1);
	assert_string_equal(look(open_with(NULL)), "A");
	setenv("AWS_SHARED_CREDENTIALS_FILE", folder, 1);
	assert_string_equal(look(open_with(NULL)), "403");
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/zero", 1);
	assert_string_equal(look(open_with(NULL)), "403");
}

static void the_machine_gives_keys(void **state)
{
	(void)state;
	world.silent = false;
	world.base = "http://127.0.0.1:1/";
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1/", 1);
	struct s3_credentials *c = open_with(NULL);
	assert_string_equal(look(c), "ROLE1");
	assert_string_equal(look(c), "ROLE1");
	assert_int_equal(world.calls, 3);
	assert_int_equal(world.ms, 2000);

	world.no_role = true;
	assert_string_equal(look(open_with(NULL)), "403");
	setenv("AWS_EC2_METADATA_DISABLED", "TRUE", 1);
	world.no_role = false;
	assert_string_equal(look(open_with(NULL)), "403");
}

static void version_1_where_the_put_is_silent(void **state)
{
	(void)state;
	world.silent = false;
	world.no_put = true;
	world.base = "http://169.254.169.254/";
	struct s3_credentials *c = open_with(NULL);
	assert_string_equal(look(c), "ROLE1");
	assert_int_equal(world.puts, 1);
	world.now_s += 3400;
	assert_string_equal(look(c), "ROLE2");
	assert_int_equal(world.puts, 1);
}

static void silence_is_no_source_unless_one_was_there(void **state)
{
	(void)state;
	struct s3_credentials *c = open_with(NULL);
	assert_string_equal(look(c), "403");
	assert_int_equal(world.calls, 2);
	assert_string_equal(look(c), "403");
	assert_int_equal(world.calls, 2);
	world.now_s += 5;
	world.silent = false;
	world.base = "http://169.254.169.254/";
	assert_string_equal(look(c), "ROLE1");
	world.silent = true;
	world.now_s += 3600;
	assert_string_equal(look(c), "502");

	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", 1);
	c = open_with(NULL);
	assert_string_equal(look(c), "502");
	unsetenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	world.silent = false;
	assert_string_equal(look(c), "502");
	world.now_s -= 1000;    /* the clock was set right */
	assert_string_equal(look(c), "ROLE2");
}

static void keys_are_renewed_before_they_expire(void **state)
{
	(void)state;
	world.silent = false;
	world.base = "http://169.254.169.254/";
	struct s3_credentials *c = open_with(NULL);
	assert_string_equal(look(c), "ROLE1");
	world.now_s += 3299;
	assert_string_equal(look(c), "ROLE1");
	world.now_s += 1;
	world.silent = true;
	world.calls = 0;
	assert_string_equal(look(c), "ROLE1");
	assert_int_equal(world.calls, 1);
	assert_int_equal(world.ms, 500);
	world.now_s += 4;
	assert_string_equal(look(c), "ROLE1");
	assert_int_equal(world.calls, 1);
	world.now_s += 1;
	assert_string_equal(look(c), "ROLE1");
	assert_int_equal(world.calls, 2);
	world.now_s += 294;
	assert_string_equal(look(c), "ROLE1");
	world.now_s += 1;
	assert_string_equal(look(c), "502");
	world.silent = false;
	assert_string_equal(look(c), "502");
	world.now_s += 5;
	assert_string_equal(look(c), "ROLE2");
}

static void keys_that_live_shortly_are_replaced(void **state)
{
	(void)state;
	world.silent = false;
	world.lifetime_s = 2;
	world.base = "http://169.254.169.254/";
	struct s3_credentials *c = open_with(NULL);
	assert_string_equal(look(c), "ROLE1");
	world.now_s += 1;
	assert_string_equal(look(c), "ROLE1");
	world.now_s += 1;
	assert_string_equal(look(c), "ROLE2");
}

static void the_container_gives_keys(void **state)
{
	(void)state;
	world.silent = false;
	world.lifetime_s = -1;
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/keys?x=y", 1);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "word", 1);
	struct s3_credentials *c = open_with(NULL);
	assert_string_equal(look(c), "ROLE1");
	assert_string_equal(world.url, "http://127.0.0.1:1/keys?x=y");
	assert_string_equal(world.header, "Authorization: word");
	world.now_s += 1000000;
	assert_string_equal(look(c), "ROLE1");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", write_file("token", "from file\n"), 1);
	assert_string_equal(look(open_with(NULL)), "ROLE2");
	assert_string_equal(world.header, "Authorization: from file");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nonexistent", 1);
	assert_string_equal(look(open_with(NULL)), "502");
	unsetenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nb: c", 1);
	assert_string_equal(look(open_with(NULL)), "502");
	unsetenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	world.silent = true;
	assert_string_equal(look(open_with(NULL)), "502");
}

static void strange_answers_are_failures(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", "{", "[]", "null", "{}", "<html>hush</html>", "{\"AccessKeyId\":\"A\"}",
		"{\"AccessKeyId\":1,\"SecretAccessKey\":2}",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"hush\",\"Expiration\":\"soon\"}",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"hush\",\"Expiration\":\"2013-05-24T00:00:00Z\"}",
		"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"hush\",\"Code\":\"Failed\"}",
	};
	world.silent = false;
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x", 1);
	for (size_t i = 0; i < COUNT(bad); i++) {
		world.bad = bad[i];
		assert_string_equal(look(open_with(NULL)), "502");
	}
	world.bad = "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"hush\",\"Expiration\":\"2013-05-24T00:00:01.5Z\"}";
	assert_string_equal(look(open_with(NULL)), "A");
	char *endless = arena_alloc(arena, (64 << 10) + 2);
	memset(endless, ' ', (64 << 10) + 1);
	world.bad = endless;
	assert_string_equal(look(open_with(NULL)), "502");
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	char command[64];
	snprintf(command, sizeof command, "rm -r %s", folder);
	return system(command);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(the_first_source_wins),
		TEST(the_home_has_the_shared_file),
		TEST(keys_do_not_forge_headers),
		TEST(changed_files_are_read_again),
		TEST(files_of_other_kinds_and_sizes_do_not_count),
		TEST(the_machine_gives_keys),
		TEST(version_1_where_the_put_is_silent),
		TEST(silence_is_no_source_unless_one_was_there),
		TEST(keys_are_renewed_before_they_expire),
		TEST(keys_that_live_shortly_are_replaced),
		TEST(the_container_gives_keys),
		TEST(strange_answers_are_failures),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
