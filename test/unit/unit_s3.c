/* SPDX-License-Identifier: BSD-2-Clause */
/* Signatures, addresses and shared files of S3 (lib/source/s3*.h); its credentials are unit_s3_credentials.c's. */
#include "check.h"

#include <string.h>

#include "source/s3.h"
#include "source/s3_profile.h"

#define DAY_S 1369353600        /* 2013-05-24, of the examples */
#define BUCKET "https://examplebucket.s3.amazonaws.com"
#define COUNT(table) (sizeof(table) / sizeof *(table))

static struct arena *arena;

static const struct s3_keys example = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};

static const char *signature_of(const struct s3_keys *keys, const char *url, const char *const *extra)
{
	const char *headers[S3_HEADERS + 1];
	s3_authorization(arena, keys, "us-east-1", url, extra, DAY_S, headers);
	const char *at = strstr(headers[0], "Signature=");
	assert_non_null(at);
	return at + strlen("Signature=");
}

/* "Signature Calculations for the Authorization Header", API reference of Amazon S3. */
static void signs_as_amazon_documents(void **state)
{
	(void)state;
	static const char *const range[] = {"range:bytes=0-9", NULL};
	static const struct {
		const char *url;
		const char *const *extra;
		const char *signature;
	} cases[] = {
		{BUCKET "/test.txt", range, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		{BUCKET "/?lifecycle", NULL, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		{BUCKET "/?max-keys=2&prefix=J", NULL,
		 "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_string_equal(signature_of(&example, cases[i].url, cases[i].extra), cases[i].signature);
}

static void writes_all_headers(void **state)
{
	(void)state;
	static const char *const extra[] = {"range:  bytes=0-9 ", NULL};
	const struct s3_keys keys = {"AK", "SK", "session/token=="};
	const char *h[S3_HEADERS + 1];
	s3_authorization(arena, &keys, "eu-west-1", BUCKET "/a", extra, DAY_S + 3661, h);
	static const char before[] =
		"Authorization: AWS4-HMAC-SHA256 Credential=AK/20130524/eu-west-1/s3/aws4_request,"
		"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date;x-amz-security-token,Signature=";
	assert_memory_equal(h[0], before, strlen(before));
	assert_string_equal(h[1], "x-amz-content-sha256: "
				  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_string_equal(h[2], "x-amz-date: 20130524T010101Z");
	assert_string_equal(h[3], "x-amz-security-token: session/token==");
	assert_null(h[4]);
	s3_authorization(arena, &example, "eu-west-1", BUCKET "/a", NULL, DAY_S, h);
	assert_null(h[3]);
}

static void same_requests_have_one_signature(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{"https://h/", "https://h", true},
		{"https://h/a", "https://h:443/a", true},
		{"http://h/a", "http://h:80/a", true},
		{"http://h/a", "http://h:443/a", false},
		{"http://h/a", "http://h:8080/a", false},
		{"http://h/a", "http://user:word@h/a", true},
		{"http://h/a", "https://h/a", true},
		{"http://h/a//b", "http://h/a/b", false},
		{"http://h/a%20b", "http://h/a%2520b", false},
		{"http://h/%C3%A9", "http://h/e", false},
		{"http://h/~", "http://h/%7E", false},
		{"http://h/?a=1&b=2", "http://h/?b=2&a=1", true},
		{"http://h/?a=1&a=2", "http://h/?a=2&a=1", true},
		{"http://h/?a&b", "http://h/?b=&a=", true},
		{"http://h/?a=&", "http://h/?&a", true},
		{"http://h/?a=1&a-b=2", "http://h/?a-b=2&a=1", true},
		{"http://h/?a=x+y", "http://h/?a=x%20y", true},
		{"http://h/?a=x+y", "http://h/?a=x%2By", false},
		{"http://h/?a=%c3%a9", "http://h/?a=%C3%A9", true},
		{"http://h/?a=x/y:z", "http://h/?a=x%2Fy%3Az", true},
		{"http://h/?a=~", "http://h/?a=%7E", true},
		{"http://h/?a=1=2", "http://h/?a=1%3D2", true},
		{"http://h/?a=5%", "http://h/?a=5%25", true},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *a = signature_of(&example, cases[i].a, NULL), *b = signature_of(&example, cases[i].b, NULL);
		if ((strcmp(a, b) == 0) != cases[i].same)
			fail_msg("%s and %s", cases[i].a, cases[i].b);
	}
}

static void writes_addresses(void **state)
{
	(void)state;
	static const struct {
		const char *endpoint, *region, *bucket;
		bool path_style;
		const char *key, *url;
	} cases[] = {
		{"", "eu-west-1", "pics", false, "a/b.jpg", "https://pics.s3.eu-west-1.amazonaws.com/a/b.jpg"},
		{"", "eu-west-1", "pics", true, "a/b.jpg", "https://s3.eu-west-1.amazonaws.com/pics/a/b.jpg"},
		{"", "", "pics", false, "a", "https://pics.s3.us-east-1.amazonaws.com/a"},
		{"", "cn-north-1", "pics", false, "a", "https://pics.s3.cn-north-1.amazonaws.com.cn/a"},
		{"", "eu-west-1", "my.pics", false, "a", "https://s3.eu-west-1.amazonaws.com/my.pics/a"},
		{"", "eu-west-1", "My_pics", false, "a", "https://s3.eu-west-1.amazonaws.com/My_pics/a"},
		{"http://127.0.0.1:9000", "", "pics", true, "a", "http://127.0.0.1:9000/pics/a"},
		{"http://127.0.0.1:9000/", "", "pics", false, "a", "http://127.0.0.1:9000/pics/a"},
		{"http://[::1]:9000", "", "pics", false, "a", "http://[::1]:9000/pics/a"},
		{"http://localhost:9000", "", "pics", false, "a", "http://pics.localhost:9000/a"},
		{"http://localhost:9000", "", "my.pics", false, "a", "http://my.pics.localhost:9000/a"},
		{"http://localhost:9000", "", "my.pics.", false, "a", "http://localhost:9000/my.pics./a"},
		{"https://store.example/s3/", "", "pics", true, "a", "https://store.example/s3/pics/a"},
		{"https://store.example/s3", "", "pics", false, "a", "https://pics.store.example/s3/a"},
		{"http://h", "", "b", true, "a b+c(d)'e:f@g,h~i-j_k.l",
		 "http://h/b/a%20b%2Bc%28d%29%27e%3Af%40g%2Ch~i-j_k.l"},
		{"http://h", "", "b", true, "\xc3\xa9//x/", "http://h/b/%C3%A9//x/"},
		{"http://h", "", "b", true, "/x%2F?y#z", "http://h/b//x%252F%3Fy%23z"},
		{"http://h", "", "b", true, "", "http://h/b/"},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct str key = str_of(cases[i].key);
		const char *url = s3_url(arena, cases[i].endpoint, cases[i].region, cases[i].bucket,
					 cases[i].path_style, key);
		assert_string_equal(url, cases[i].url);
	}
}

static void reads_shared_files(void **state)
{
	(void)state;
	static const char text[] = "\xef\xbb\xbf# ours\r\n"
				   "aws_access_key_id = outside\n"
				   "[default]\r\n"
				   "aws_access_key_id=AK1\r\n"
				   "  aws_secret_access_key =  S/K+1=  \r\n"
				   "\n"
				   "[ profile work ] ; at work\n"
				   "; aws_access_key_id = no\n"
				   "AWS_ACCESS_KEY_ID = AK2 # ours\n"
				   "aws_secret_access_key = S#K;2\n"
				   "aws_session_token\t=\ttoken\n"
				   "region = eu-west-1\n"
				   "[half]\n"
				   "aws_access_key_id = AK3\n"
				   "[empty]\n"
				   "aws_access_key_id =\n"
				   "aws_secret_access_key = SK4\n"
				   "[work]\n"
				   "aws_access_key_id = AK5";
	static const struct {
		const char *profile;
		bool found;
		struct s3_keys keys;
	} cases[] = {
		{"default", true, {"AK1", "S/K+1=", ""}}, {"work", true, {"AK5", "S#K;2", "token"}},
		{"half", false, {"AK3", "", ""}},         {"empty", false, {"", "SK4", ""}},
		{"none", false, {"", "", ""}},            {"", false, {"", "", ""}},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct s3_keys keys;
		assert_int_equal(s3_profile_find(arena, STR(text), str_of(cases[i].profile), &keys), cases[i].found);
		assert_string_equal(keys.access_key, cases[i].keys.access_key);
		assert_string_equal(keys.secret_key, cases[i].keys.secret_key);
		assert_string_equal(keys.token, cases[i].keys.token);
	}
}

static int begin(void **state)
{
	(void)state;
	arena = arena_open();
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_close(arena);
	return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(signs_as_amazon_documents),
		TEST(writes_all_headers),
		TEST(same_requests_have_one_signature),
		TEST(writes_addresses),
		TEST(reads_shared_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
