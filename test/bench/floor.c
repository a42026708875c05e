/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * floor READER CODING FILE "LEVEL X Y W H OUT_W OUT_H"
 * floor READER CODING FILE @LIST                         such numbers, a line each; a job is all of them
 *
 * Does jobs as loop.h says. Readers: jpeg, raw (the JPEG tiles of a TIFF), tiff (tiles by libtiff), jp2 (LEVEL is the
 * reduction), png, webp, gif. Codings: jpg, gray, webp, png; none leaves the samples where the decoder has put them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "floor.h"

static const struct {
	const char *name;
	void (*read)(struct source *s, const struct ask *a);
} readers[] = {
	{"jpeg", read_jpeg}, {"raw", read_raw_tiles}, {"tiff", read_tiff}, {"jp2", read_jp2},
	{"png", read_png},   {"webp", read_webp},     {"gif", read_gif},
};

static const char *const codings[] = {
	[CODE_NONE] = "none", [CODE_JPG] = "jpg", [CODE_GRAY] = "gray", [CODE_WEBP] = "webp", [CODE_PNG] = "png",
};

struct task {
	void (*read)(struct source *s, const struct ask *a);
	enum coding coding;
	struct source source;
	struct ask *ask;
	size_t n;
};

static void do_all(void *user, struct result *out)
{
	struct task *t = user;
	for (size_t i = 0; i < t->n; i++) {
		t->read(&t->source, &t->ask[i]);
		*out = encode(&t->source.samples, t->ask[i].out_w, t->ask[i].out_h, t->coding);
	}
}

static void add(struct task *t, const char *text)
{
	struct ask a;
	if (sscanf(text, "%u %u %u %u %u %u %u", &a.level, &a.x, &a.y, &a.w, &a.h, &a.out_w, &a.out_h) != 7)
		die("not seven numbers: %s", text);
	t->ask = realloc(t->ask, (t->n + 1) * sizeof a);
	if (!t->ask)
		die("no memory");
	t->ask[t->n++] = a;
}

static void add_list(struct task *t, const char *path)
{
	char line[200];
	FILE *f = fopen(path, "r");
	if (!f)
		die("%s cannot be opened", path);
	while (fgets(line, sizeof line, f))
		add(t, line);
	fclose(f);
}

int main(int argc, char **argv)
{
	struct task t = {0};
	if (argc != 5)
		die("usage: floor READER CODING FILE 'LEVEL X Y W H OUT_W OUT_H' | @LIST");
	for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
		if (strcmp(argv[1], readers[i].name) == 0)
			t.read = readers[i].read;
	int coding = 0, known = sizeof codings / sizeof *codings;
	while (coding < known && strcmp(argv[2], codings[coding]) != 0)
		coding++;
	if (!t.read || coding == known)
		die("no such reader or coding: %s %s", argv[1], argv[2]);
	t.coding = (enum coding)coding;
	t.source = (struct source){.path = argv[3], .gray = t.coding == CODE_GRAY, .decode_only = t.coding == CODE_NONE};
	if (argv[4][0] == '@')
		add_list(&t, argv[4] + 1);
	else
		add(&t, argv[4]);
	loop(do_all, &t);
	return 0;
}
