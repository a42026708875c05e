/* SPDX-License-Identifier: BSD-2-Clause */
#include "sandbox.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/hash.h"
#include "../base/landlock.h"
#include "../base/log.h"
#include "../base/seccomp.h"
#include "../image/magick.h"
#include "../source/s3_credentials.h"

#define FIXED_PLACES 32
#define PLACES_OF_RULE 5

struct sandbox {
	struct places *places;          /* NULL: not held to them */
};

struct list {
	struct place *at;
	size_t n;
};

/* Whether this process is to ask origins, and there are any. */
static bool asks_origins(const struct config *c)
{
	for (size_t i = 0; i < c->n_rules; i++)
		if (c->rules[i].type != SOURCE_FILE)
			return config_role_fetches(c);
	return false;
}

static void add(struct list *l, const char *path, enum place_use use)
{
	if (!path || *path != '/')
		return;
	for (size_t i = 0; i < l->n; i++)
		if (l->at[i].use == use && strcmp(l->at[i].path, path) == 0)
			return;
	l->at[l->n++] = (struct place){path, use, true};
}

/*
 * What libraries open when they first need it: modules, tables, the number of processors. Nothing in it is secret; of
 * /proc, Landlock keeps what belongs to other processes (memory, environment, descriptors) by itself.
 */
static void add_system(struct list *l)
{
	static const char *const read[] = {
		"/usr/lib", "/lib", "/lib64", "/usr/share", "/usr/local/lib", "/usr/local/share", "/etc/ld.so.cache",
		"/etc/localtime", "/dev/urandom", "/proc", "/sys/devices/system/cpu",
	};
	for (size_t i = 0; i < sizeof read / sizeof *read; i++)
		l->at[l->n++] = (struct place){read[i], PLACE_READ, false};
	l->at[l->n++] = (struct place){"/dev/null", PLACE_WRITE, false};
}

/* Names of hosts, which are looked up anew when these files change, and authorities. */
static void add_network(struct list *l)
{
	static const char *const read[] = {
		"/etc/ssl", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
	};
	for (size_t i = 0; i < sizeof read / sizeof *read; i++)
		add(l, read[i], PLACE_READ);
}

/* Who only tells how the pool is has no originals: a volume of theirs that is dead must not keep it. */
static void add_folders(struct list *l, const struct config *c)
{
	for (size_t i = 0; c->role != ROLE_HEALTH && i < c->n_rules; i++) {
		const struct config_rule *r = &c->rules[i];
		if (r->type != SOURCE_FILE)
			continue;
		add(l, r->root, PLACE_READ);
		for (const char **p = r->symlinks == SYMLINKS_FOLLOW ? r->allowed_roots : NULL; p && *p; p++)
			add(l, *p, PLACE_READ);
	}
	add(l, c->cache_folder, PLACE_WRITE);
	add(l, c->temporary, PLACE_WRITE);
}

static void add_credentials(struct arena *a, struct list *l, const struct config *c)
{
	for (size_t i = 0; i < c->n_rules; i++) {
		const struct config_rule *r = &c->rules[i];
		const char *const files[] = {r->secret_file, r->client_certificate, r->client_key, r->ca_file};
		for (size_t k = 0; r->type != SOURCE_FILE && k < sizeof files / sizeof *files; k++)
			add(l, files[k], PLACE_READ);
		if (r->type != SOURCE_S3 || r->anonymous)
			continue;
		const char *of_environment[S3_FILES];
		s3_credentials_files(a, of_environment);
		for (size_t k = 0; k < S3_FILES; k++)
			add(l, of_environment[k], PLACE_READ);
	}
}

static size_t most_places(const struct config *c)
{
	size_t n = FIXED_PLACES;
	for (size_t i = 0; i < c->n_rules; i++) {
		n += PLACES_OF_RULE + S3_FILES;
		for (const char **p = c->rules[i].allowed_roots; *p; p++)
			n++;
	}
	return n;
}

static struct places *enter_places(struct arena *a, const struct config *c, struct error *err)
{
	struct list l = {.at = arena_array(a, struct place, most_places(c))};
	add_system(&l);
	add_folders(&l, c);
	if (asks_origins(c)) {
		add_network(&l);
		add_credentials(a, &l, c);
	}
	return landlock_enter(a, l.at, l.n, err);
}

/* What would be read or made when it is needed first, and cannot be then. */
static void prepare(const struct config *c)
{
	struct error ignored;
	char hash[33];
	if (*c->temporary)
		mkdir(c->temporary, 0700);
	/* libcrypto reads its configuration. */
	hash_hex(STR(""), hash);
	if (c->role == ROLE_ALL || c->role == ROLE_WORKER)
		magick_start(&ignored);
	/* It would hold what others sent, and secrets. */
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

static bool lacks(const struct config *c, const struct error *why, struct error *err)
{
	if (c->sandbox == SANDBOX_REQUIRE)
		return !fail(err, 500, REASON_CONFIG, "The server is not configured.", "server.sandbox: %.400s", why->why);
	log_event("warn", "not all is given up that is not needed: %s", why->why);
	return false;
}

bool sandbox_check(const struct config *c, struct error *err)
{
	return c->sandbox != SANDBOX_REQUIRE || (!SANITIZED && landlock_version() && seccomp_is_there()) ||
	       fail(err, 500, REASON_CONFIG, "The server is not configured.",
		    "server.sandbox: required, and not all there as this kernel has it");
}

const char *sandbox_support(struct arena *a)
{
	int version = landlock_version();
	const char *files = version ? arena_printf(a, "Landlock, version %d", version) : "no Landlock (Linux 5.19)";
	return SANITIZED ? "none in a build with sanitizers"
			 : arena_printf(a, "%s; %s", files, seccomp_is_there() ? "seccomp" : "no seccomp");
}

struct sandbox *sandbox_enter(struct arena *a, const struct config *c, struct error *err)
{
	struct sandbox *s = arena_new(a, struct sandbox);
	struct error why;
	if (c->sandbox == SANDBOX_OFF)
		return s;
	if (SANITIZED) {
		fail(&why, 500, REASON_CONFIG, "", "sanitizers need it");
		return lacks(c, &why, err) ? NULL : s;
	}
	prepare(c);
	s->places = enter_places(a, c, &why);
	if (!s->places && lacks(c, &why, err))
		return NULL;
	if (!asks_origins(c))
		secrets_forget(c->secrets, environ);
	bool limited = seccomp_enter(asks_origins(c), &why);
	if (!limited && lacks(c, &why, err))
		return NULL;
	log_event("info", "sandbox: files %s, system calls %s, %s", s->places ? "held to the configured ones" : "not limited",
		  limited ? "limited" : "not limited",
		  asks_origins(c) ? "connections allowed" : "no connections, no secrets");
	return s;
}

bool sandbox_is_current(const struct sandbox *s)
{
	const char *path = s->places ? places_changed(s->places) : NULL;
	if (path)
		log_event("info", "%s is another now, or has come or gone: a new process takes over", path);
	return !path;
}
