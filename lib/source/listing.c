/* SPDX-License-Identifier: BSD-2-Clause */
#include "listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/clock.h"

#define MAX_DEPTH 8
#define MAX_FOLDERS 2000
#define MAX_KEPT 10000

struct folder {
	const struct folder *parent;
	struct folder *next;           /* in the order of the walk: all of a level before the next */
	const char *path;              /* below the root, "" for itself */
	int depth, fd;
	dev_t device;
	ino_t inode;
};

struct file {
	const char *path;
	const char *bare;              /* without the rule's suffix, where that is enough; else NULL */
	size_t rule;
};

struct walk {
	struct arena *a;
	const struct listing_options *o;
	struct listing *out;
	const struct resolver_rule *rule;
	struct file *file;
	size_t n_files, n_folders;
	struct folder *last;
	int64_t end_us;
};

static bool is_late(struct walk *w)
{
	bool late = clock_us() >= w->end_us;
	w->out->more |= late;
	return late;
}

static bool has_suffix(const struct walk *w, const char *name)
{
	const char *dot = strrchr(name, '.');
	for (const char *const *s = w->o->suffixes; dot && *s; s++)
		if (str_equal_nocase(str_of(dot + 1), str_of(*s)))
			return true;
	for (const char *const *s = w->rule->suffixes; s && *s; s++)
		if (**s && str_ends(str_of(name), str_of(*s)))
			return true;
	return false;
}

static bool exists(int folder, const char *name)
{
	return faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* How many bytes of the name are enough: the resolver tries the bare name and the suffixes in order. */
static size_t enough(const struct walk *w, int folder, const char *name)
{
	size_t n = strlen(name);
	const char *const *s = w->rule->suffixes;
	while (s && *s && !(**s && strlen(*s) < n && str_ends(str_of(name), str_of(*s))))
		s++;
	if (!s || !*s)
		return n;
	int bare = (int)(n - strlen(*s));
	if (exists(folder, arena_printf(w->a, "%.*s", bare, name)))
		return n;
	for (const char *const *earlier = w->rule->suffixes; earlier < s; earlier++)
		if (exists(folder, arena_printf(w->a, "%.*s%s", bare, name, *earlier)))
			return n;
	return (size_t)bare;
}

static void add_file(struct walk *w, const struct folder *f, const char *name)
{
	w->out->found++;
	if (w->n_files == MAX_KEPT) {
		w->out->more = true;
		return;
	}
	const char *path = arena_printf(w->a, "%s%s%s", f->path, *f->path ? "/" : "", name);
	size_t left_out = strlen(name) - enough(w, f->fd, name);
	w->file[w->n_files++] = (struct file){
		.path = path,
		.bare = left_out ? arena_strndup(w->a, path, strlen(path) - left_out) : NULL,
		.rule = (size_t)(w->rule - w->o->rules),
	};
}

static void add_folder(struct walk *w, const struct folder *f, const char *name)
{
	if (f->depth == MAX_DEPTH || w->n_folders == MAX_FOLDERS) {
		w->out->more = true;
		return;
	}
	struct folder *below = arena_new(w->a, struct folder);
	*below = (struct folder){
		.parent = f,
		.path = arena_printf(w->a, "%s%s%s", f->path, *f->path ? "/" : "", name),
		.depth = f->depth + 1,
	};
	w->last = w->last->next = below;
	w->n_folders++;
}

static mode_t type_behind_link(const struct walk *w, const struct folder *f, const char *name)
{
	struct stat st = {0};
	if (w->rule->file.symlinks == FILE_SYMLINKS_NO)
		return 0;
	int fd = file_open_below(&w->rule->file, arena_printf(w->a, "%s%s%s", f->path, *f->path ? "/" : "", name));
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		st.st_mode = 0;
	close(fd);
	return st.st_mode & S_IFMT;
}

static mode_t type_of(const struct walk *w, const struct folder *f, const struct dirent *e)
{
	struct stat st;
	mode_t type = DTTOIF(e->d_type);
	if (e->d_type == DT_UNKNOWN)
		type = fstatat(f->fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_mode & S_IFMT;
	return type == S_IFLNK ? type_behind_link(w, f, e->d_name) : type;
}

static void visit(struct walk *w, const struct folder *f, const struct dirent *e)
{
	/* No path with a backslash is opened (source_file.c). */
	if (*e->d_name == '.' || strchr(e->d_name, '\\'))
		return;
	bool image = has_suffix(w, e->d_name);
	if (e->d_type == DT_REG && !image)
		return;
	mode_t type = type_of(w, f, e);
	if (type == S_IFDIR)
		add_folder(w, f, e->d_name);
	else if (type == S_IFREG && image)
		add_file(w, f, e->d_name);
}

static bool is_inside_itself(const struct folder *f)
{
	for (const struct folder *up = f->parent; up; up = up->parent)
		if (up->device == f->device && up->inode == f->inode)
			return true;
	return false;
}

static void walk_folder(struct walk *w, struct folder *f)
{
	struct stat st;
	f->fd = file_open_below(&w->rule->file, f->path);
	DIR *d = f->fd < 0 ? NULL : fdopendir(f->fd);
	if (!d) {
		if (f->fd >= 0)
			close(f->fd);
		w->out->unreachable += !f->parent;
		return;
	}
	if (fstat(f->fd, &st) == 0) {
		f->device = st.st_dev;
		f->inode = st.st_ino;
	}
	if (!is_inside_itself(f))
		for (struct dirent *e; (e = readdir(d)) && !is_late(w);)
			visit(w, f, e);
	closedir(d);
}

static void walk_root(struct walk *w)
{
	struct folder *first = arena_new(w->a, struct folder);
	first->path = "";
	w->last = first;
	for (struct folder *f = first; f && !is_late(w); f = f->next)
		walk_folder(w, f);
}

static int by_name(const void *a, const void *b)
{
	const struct file *x = a, *y = b;
	if (x->rule != y->rule)
		return x->rule < y->rule ? -1 : 1;
	return strverscmp(x->path, y->path);
}

/* The rule's prefix and the path, if a request for that comes to this rule. */
static bool is_listed(const struct walk *w, size_t rule, const char *path, struct str *identifier)
{
	const struct resolver_rule *rules = w->o->rules;
	*identifier = str_of(arena_printf(w->a, "%s%s", rules[rule].prefix, path));
	for (size_t i = 0; i < rule; i++)
		if (rule_fits(&rules[i], *identifier))
			return false;
	return !w->o->usable || w->o->usable(w->a, w->o->with, *identifier);
}

void listing_make(struct arena *a, const struct listing_options *o, struct listing *out)
{
	struct walk w = {.a = a, .o = o, .out = out, .file = arena_array(a, struct file, MAX_KEPT)};
	int64_t start = clock_us();
	*out = (struct listing){.identifier = arena_array(a, struct str, o->max + 1)};

	/* Time that a rule does not need is left for the next ones. */
	for (size_t i = 0; i < o->n_rules; i++) {
		w.rule = &o->rules[i];
		/* Only where the identifier is the path can it be told from the path. */
		if (w.rule->type != RULE_FILE || w.rule->template)
			continue;
		w.end_us = start + o->budget_us * (int64_t)(i + 1) / (int64_t)o->n_rules;
		walk_root(&w);
	}
	qsort(w.file, w.n_files, sizeof *w.file, by_name);
	for (size_t i = 0; i < w.n_files && out->n < o->max; i++) {
		const struct file *f = &w.file[i];
		struct str *identifier = &out->identifier[out->n];
		out->n += (f->bare && is_listed(&w, f->rule, f->bare, identifier)) ||
			  is_listed(&w, f->rule, f->path, identifier);
	}
}
