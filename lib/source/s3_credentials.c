/* SPDX-License-Identifier: BSD-2-Clause */
#include "s3_credentials.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "../base/file.h"
#include "s3_profile.h"

#define SAY_NOW "The image's store lets nobody in now: its credentials are not available."
#define SAY_NONE "The image's store asks for credentials, and there are none."
#define MACHINE "http://169.254.169.254"
#define CONTAINER "http://169.254.170.2"
#define ROLES "/latest/meta-data/iam/security-credentials/"
#define NEVER INT64_MAX
#define FILE_BYTES (1 << 20)
#define BODY_BYTES (64 << 10)
#define EARLY_S 300
#define PAUSE_S 5
/* Patience with a metadata service: with valid keys in hand a request shall hardly notice that it hangs. */
#define TOKEN_MS 1000
#define WAIT_MS 2000
#define SHORT_MS 500

/* What a file is known by: changed content has another one. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec modified, changed;
};

/* What one walk through the sources found; everything in it lives in its own arena. */
struct found {
	struct arena *arena;
	struct s3_keys keys;
	int64_t expires_s;
	size_t source;
	const char *file;               /* that the keys were read from, NULL if none */
	struct stamp stamp;
};

struct s3_credentials {
	const struct s3_options *options;
	const struct s3_world *world;
	struct found now;               /* without an arena: nothing yet */
	bool failing;
	int64_t tried_s;
	struct error last;              /* why it is failing */
	/* Of the machine's service: has it ever answered, and by which version of its protocol (0: not known). */
	bool machine_answers;
	int machine_version;
};

enum outcome { ELSEWHERE, FOUND, FAILED };

static const char *env(const char *name)
{
	const char *value = getenv(name);
	return value ? value : "";
}

static bool given(const char *text)
{
	return text && *text;
}

static enum outcome failed(struct error *err, const char *what, const char *why)
{
	fail(err, 502, REASON_ORIGIN, SAY_NOW, "S3 credentials, %s: %s", what, why);
	return FAILED;
}

static struct stamp stamp_of(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return (struct stamp){0};
	return (struct stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim};
}

static bool is_same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && is_same_time(a->modified, b->modified) &&
	       is_same_time(a->changed, b->changed);
}

static bool read_text(struct arena *a, const char *path, struct str *text)
{
	char *at = arena_alloc(a, FILE_BYTES + 1);
	ssize_t n = file_read(AT_FDCWD, path, O_NONBLOCK, at, FILE_BYTES + 1);
	*text = (struct str){at, n > 0 ? (size_t)n : 0};
	return n >= 0 && n <= FILE_BYTES;
}

static const char *read_line(struct arena *a, const char *path, const char **why)
{
	const char *line = file_read_line(a, path, why);
	return line ? str_dup(a, str_trim(str_of(line))) : NULL;
}

static enum outcome from_options(struct s3_credentials *c, struct found *f, struct error *err)
{
	const struct s3_options *o = c->options;
	if (!given(o->access_key))
		return ELSEWHERE;
	f->keys = (struct s3_keys){o->access_key, o->secret_key, o->session_token};
	if (given(o->secret_key))
		return FOUND;
	if (!given(o->secret_file)) {
		fail(err, 403, REASON_DENIED, SAY_NONE, "S3 credentials: an access key without a secret");
		return FAILED;
	}
	f->file = o->secret_file;
	f->stamp = stamp_of(f->file);
	const char *why;
	f->keys.secret_key = read_line(f->arena, f->file, &why);
	return f->keys.secret_key ? FOUND : failed(err, f->file, why);
}

static enum outcome from_environment(struct s3_credentials *c, struct found *f, struct error *err)
{
	(void)err;
	const char *access = env("AWS_ACCESS_KEY_ID"), *secret = env("AWS_SECRET_ACCESS_KEY");
	if (!*access || !*secret || given(c->options->profile))
		return ELSEWHERE;
	f->keys = (struct s3_keys){access, secret, env("AWS_SESSION_TOKEN")};
	return FOUND;
}

static const char *shared_file(struct arena *a)
{
	const char *file = env("AWS_SHARED_CREDENTIALS_FILE");
	return *file || !*env("HOME") ? file : arena_printf(a, "%s/.aws/credentials", env("HOME"));
}

void s3_credentials_files(struct arena *a, const char *files[S3_FILES])
{
	files[0] = shared_file(a);
	files[1] = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
}

/* A profile that was asked for by name is not replaced by another source. */
static enum outcome from_shared_file(struct s3_credentials *c, struct found *f, struct error *err)
{
	const char *named = given(c->options->profile) ? c->options->profile : env("AWS_PROFILE");
	const char *profile = *named ? named : "default", *file = shared_file(f->arena);
	if (!*file)
		return ELSEWHERE;
	f->file = file;
	f->stamp = stamp_of(f->file);
	struct str text;
	if (read_text(f->arena, f->file, &text) && s3_profile_find(f->arena, text, str_of(profile), &f->keys))
		return FOUND;
	if (*named) {
		fail(err, 403, REASON_DENIED, SAY_NONE, "S3 credentials: no profile %s in %s", profile, f->file);
		return FAILED;
	}
	return ELSEWHERE;
}

static bool begin_body(void *with, const struct http_answer *answer, struct error *err)
{
	(void)answer;
	(void)err;
	((struct buf *)with)->n = 0;
	return true;
}

static bool add_to_body(void *with, const void *bytes, size_t n, struct error *err)
{
	struct buf *b = with;
	buf_write(b, bytes, n);
	return !b->failed || fail(err, 413, REASON_TOO_LARGE, SAY_NOW, "a metadata service's answer is too long");
}

static bool has_valid_keys(const struct s3_credentials *c)
{
	return c->now.arena && c->world->now_s() < c->now.expires_s;
}

/* method NULL is GET; header may be NULL. */
static bool ask(struct s3_credentials *c, struct arena *a, const char *method, const char *url, const char *header,
		struct str *answer, struct error *err)
{
	int64_t ms = has_valid_keys(c) ? SHORT_MS : method ? TOKEN_MS : WAIT_MS;
	const char *const headers[] = {header, NULL};
	const struct http_options options = {
		.connect_ms = ms,
		.stall_ms = ms,
		.total_ms = ms,
		.max_bytes = BODY_BYTES,
		.headers = headers,
	};
	const struct http_target target = {.url = url, .method = method};
	struct buf *text = buf_open(a, BODY_BYTES);
	const struct http_body body = {begin_body, add_to_body, text};
	struct http_answer head;
	bool got = c->world->get(a, &options, &target, &body, NULL, &head, err);
	*answer = buf_view(text);
	return got;
}

/* Tokens and names that go into a header or URL as they are. */
static bool is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] <= ' ' || s.at[i] > '~')
			return false;
	return s.n;
}

/* As services write it: 2012-04-27T22:39:16Z, perhaps with a fraction. */
static bool parse_time(const char *text, int64_t *unix_s)
{
	struct tm utc = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
	if (end && *end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	if (!end || (strcmp(end, "Z") != 0 && strcmp(end, "+00:00") != 0))
		return false;
	*unix_s = timegm(&utc);
	return true;
}

static const char *member(const cJSON *json, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
	return text ? text : "";
}

static void drop_json(void *json)
{
	cJSON_Delete(json);
}

static enum outcome parse_role(struct s3_credentials *c, struct found *f, struct str text, const char *what,
			       struct error *err)
{
	cJSON *json = cJSON_ParseWithLength(text.at, text.n);
	arena_defer(f->arena, drop_json, json);
	const char *code = member(json, "Code"), *until = member(json, "Expiration");
	f->keys = (struct s3_keys){member(json, "AccessKeyId"), member(json, "SecretAccessKey"), member(json, "Token")};
	if (*code && strcmp(code, "Success") != 0)
		return failed(err, what, arena_printf(f->arena, "it says %.60s", code));
	if (!*f->keys.access_key || !*f->keys.secret_key)
		return failed(err, what, "an answer without keys");
	if (*until && !parse_time(until, &f->expires_s))
		return failed(err, what, "an answer with a strange Expiration");
	if (f->expires_s <= c->world->now_s())
		return failed(err, what, "it gives keys that have expired");
	return FOUND;
}

static enum outcome from_container(struct s3_credentials *c, struct found *f, struct error *err)
{
	static const char what[] = "the container's role";
	const char *relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	const char *file = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *token = env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	if (!*relative && !*full)
		return ELSEWHERE;
	/* Read each time: such a token is replaced while the process lives. */
	const char *why;
	if (*file && !(token = read_line(f->arena, file, &why)))
		return failed(err, file, why);
	if (strpbrk(token, "\r\n"))
		return failed(err, what, "an authorization token of several lines");
	const char *url = *relative ? arena_printf(f->arena, "%s%s", CONTAINER, relative) : full;
	const char *header = *token ? arena_printf(f->arena, "Authorization: %s", token) : NULL;
	struct str text;
	struct error cause;
	if (!ask(c, f->arena, NULL, url, header, &text, &cause))
		return failed(err, what, cause.why);
	return parse_role(c, f, text, what, err);
}

/* The header with the token of version 2, NULL for version 1. Where version 2 is known to work silence is an outage,
 * and asking by version 1 would only take longer. */
static bool fetch_token(struct s3_credentials *c, struct arena *a, const char *base, const char **header,
			struct error *err)
{
	static const char lifetime[] = "X-aws-ec2-metadata-token-ttl-seconds: 21600";
	const char *url = arena_printf(a, "%s/latest/api/token", base);
	struct str token;
	*header = NULL;
	if (c->machine_version == 1)
		return true;
	if (!ask(c, a, "PUT", url, lifetime, &token, err))
		return c->machine_version != 2;
	if (!is_plain(token))
		return fail(err, 502, REASON_ORIGIN, SAY_NOW, "a strange token");
	*header = arena_printf(a, "X-aws-ec2-metadata-token: %.*s", (int)token.n, token.at);
	return true;
}

static bool fetch_role(struct s3_credentials *c, struct arena *a, const char *base, struct str *text,
		       struct error *err)
{
	const char *header;
	struct str names, name;
	if (!fetch_token(c, a, base, &header, err) ||
	    !ask(c, a, NULL, arena_printf(a, "%s" ROLES, base), header, &names, err))
		return false;
	take_until(&names, '\n', &name);
	name = str_trim(name);
	if (!is_plain(name))
		return fail(err, 404, REASON_NOT_FOUND, SAY_NOW, "no role");
	c->machine_answers = true;
	c->machine_version = header ? 2 : 1;
	const char *url = arena_printf(a, "%s" ROLES "%.*s", base, (int)name.n, name.at);
	return ask(c, a, NULL, url, header, text, err);
}

static enum outcome from_machine(struct s3_credentials *c, struct found *f, struct error *err)
{
	static const char what[] = "the machine's role";
	if (strcasecmp(env("AWS_EC2_METADATA_DISABLED"), "true") == 0)
		return ELSEWHERE;
	struct str base = str_of(env("AWS_EC2_METADATA_SERVICE_ENDPOINT")), text;
	bool expected = base.n;
	while (str_ends(base, STR("/")))
		base.n--;
	if (!has_valid_keys(c))
		c->machine_version = 0;
	struct error cause;
	if (fetch_role(c, f->arena, base.n ? str_dup(f->arena, base) : MACHINE, &text, &cause))
		return parse_role(c, f, text, what, err);
	/* Version 1 may have been closed since. */
	if (c->machine_version == 1)
		c->machine_version = 0;
	/* A machine without a role says 404; one without such a service is silent, at the usual address. */
	bool is_there = c->machine_answers || (cause.reason != REASON_NOT_FOUND && expected) ||
			cause.reason == REASON_DENIED;
	return is_there ? failed(err, what, cause.why) : ELSEWHERE;
}

static enum outcome (*const sources[])(struct s3_credentials *c, struct found *f, struct error *err) = {
	from_options, from_environment, from_shared_file, from_container, from_machine,
};
#define SOURCES (sizeof sources / sizeof *sources)

static bool look(struct s3_credentials *c, struct found *f, size_t first, size_t end, struct error *err)
{
	for (size_t i = first; i < end; i++) {
		*f = (struct found){.arena = f->arena, .expires_s = NEVER, .source = i};
		enum outcome outcome = sources[i](c, f, err);
		if (outcome == FAILED)
			return false;
		if (outcome == ELSEWHERE)
			continue;
		if (!is_plain(str_of(f->keys.access_key)) || (given(f->keys.token) && !is_plain(str_of(f->keys.token))))
			return fail(err, 403, REASON_DENIED, SAY_NONE, "S3 credentials: a key has illegal characters");
		return true;
	}
	return fail(err, 403, REASON_DENIED, SAY_NONE,
		    "S3 credentials: none in the configuration, the environment, the shared file or a role");
}

static bool replace(struct s3_credentials *c, size_t first, size_t end, struct error *err)
{
	struct found f = {.arena = arena_open()};
	if (!look(c, &f, first, end, err)) {
		arena_close(f.arena);
		return false;
	}
	arena_close(c->now.arena);
	c->now = f;
	return true;
}

/* One try per change: a file that is broken now will change again. */
static void follow_file(struct s3_credentials *c)
{
	if (!c->now.arena || !c->now.file)
		return;
	struct stamp stamp = stamp_of(c->now.file);
	struct error ignored;
	if (!is_same_stamp(&stamp, &c->now.stamp) && !replace(c, c->now.source, c->now.source + 1, &ignored))
		c->now.stamp = stamp;
}

bool s3_credentials_get(struct s3_credentials *c, struct s3_keys *keys, struct error *err)
{
	follow_file(c);
	int64_t now_s = c->world->now_s();
	bool due = !c->now.arena || c->now.expires_s - EARLY_S <= now_s;
	/* A clock that was set back does not make this wait, nor do keys that lived shorter than a pause. */
	bool rested = now_s < c->tried_s || now_s >= c->tried_s + PAUSE_S || (!c->failing && !has_valid_keys(c));
	if (due && rested) {
		c->failing = !replace(c, 0, SOURCES, &c->last);
		/* Anew: a service that hangs takes its time. */
		c->tried_s = c->world->now_s();
	}
	if (!has_valid_keys(c)) {
		*err = c->last;
		return false;
	}
	*keys = c->now.keys;
	return true;
}

static int64_t unix_now_s(void)
{
	return time(NULL);
}

const struct s3_world s3_real_world = {http_get, unix_now_s};

static void drop_found(void *c)
{
	arena_close(((struct s3_credentials *)c)->now.arena);
}

struct s3_credentials *s3_credentials_open(struct arena *a, const struct s3_options *options,
					   const struct s3_world *world)
{
	struct s3_credentials *c = arena_new(a, struct s3_credentials);
	c->options = options;
	c->world = world;
	arena_defer(a, drop_found, c);
	return c;
}
