/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache_folder.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool find_owner(const struct config *config, struct stat *st)
{
	const char *const folders[] = {config->cache_folder, config->temporary};
	for (int i = 0; i < 2; i++)
		if (*folders[i] && stat(folders[i], st) == 0)
			return true;
	return false;
}

/* With all the groups of the owner: they may be what lets workers read the originals. */
static bool take_groups(const struct stat *st)
{
	const struct passwd *user = getpwuid(st->st_uid);
	return user ? initgroups(user->pw_name, st->st_gid) == 0 : setgroups(0, NULL) == 0;
}

bool cache_act_as_owner(const struct config *config)
{
	struct stat st;
	if (geteuid() != 0 || !find_owner(config, &st) || st.st_uid == 0)
		return true;
	if (take_groups(&st) && setegid(st.st_gid) == 0 && seteuid(st.st_uid) == 0)
		return true;
	fprintf(stderr, "lorikeet: cannot act as user %u, whose the cache is: %s\n", (unsigned)st.st_uid,
		strerror(errno));
	return false;
}

void cache_act_as_root(void)
{
	if (getuid() == 0 && seteuid(0) == 0 && setegid(0) < 0)
		fprintf(stderr, "lorikeet: group: %s\n", strerror(errno));
}

/* The real path of what is there, and the rest as it was written. */
static const char *real_path(struct arena *a, const char *path)
{
	char real[PATH_MAX];
	size_t n = strlen(path);
	while (n && !realpath(arena_strndup(a, path, n), real))
		while (n && path[--n] != '/')
			;
	return arena_printf(a, "%s%s", n && strcmp(real, "/") != 0 ? real : "", path + n);
}

const char *cache_place_fault(struct arena *a, const char *folder)
{
	char *above = arena_strndup(a, folder, strlen(folder));
	while (access(above, F_OK) < 0 && strrchr(above, '/'))
		*strrchr(above, '/') = '\0';
	return cache_folder_fault(*above ? above : "/");
}

static bool is_within(const char *path, const char *folder)
{
	size_t n = strlen(folder);
	while (n && folder[n - 1] == '/')
		n--;
	return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool is_apart(const char *what, const char *folder, const char *other_what, const char *other)
{
	struct arena *a = arena_open();
	const char *one = real_path(a, folder), *two = real_path(a, other);
	bool apart = !is_within(one, two) && !is_within(two, one);
	if (!apart)
		fprintf(stderr, "lorikeet: %s %s and %s %s must not lie in each other\n", what, folder, other_what,
			other);
	arena_close(a);
	return apart;
}

static bool check_folder(struct arena *a, const struct config *config, const char *what, const char *folder)
{
	if (!*folder)
		return true;
	const char *fault = cache_place_fault(a, folder);
	bool ok = !fault;
	if (fault)
		fprintf(stderr, "lorikeet: %s %s %s: it must be on a local disk\n", what, folder, fault);
	for (size_t i = 0; i < config->n_rules; i++)
		if (config->rules[i].type == SOURCE_FILE)
			ok &= is_apart(what, folder, arena_printf(a, "rules.%zu: root", i), config->rules[i].root);
	return ok;
}

static void warn_of_rules(const struct config *config)
{
	for (size_t i = 0; i < config->n_rules; i++)
		if (config->rules[i].type != SOURCE_FILE)
			fprintf(stderr,
				"lorikeet: warning: rules.%zu: originals come over the network, "
				"but cache.folder is not set\n",
				i);
}

bool cache_check(const struct config *config, const struct service *service)
{
	struct arena *a = arena_open();
	struct cache_state state;
	bool ok = check_folder(a, config, "cache.folder", config->cache_folder);
	ok &= check_folder(a, config, "cache.temporary", config->temporary);
	if (*config->cache_folder && *config->temporary)
		ok &= is_apart("cache.folder", config->cache_folder, "cache.temporary", config->temporary);
	if (!*config->cache_folder) {
		warn_of_rules(config);
	} else if (ok && cache_act_as_owner(config)) {
		cache_stat(service_resolver(service)->cache, a, &state);
		if (!state.usable)
			fprintf(stderr, "lorikeet: warning: cache.folder: %s\n", state.why);
	}
	arena_close(a);
	return ok;
}
