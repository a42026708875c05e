/* SPDX-License-Identifier: BSD-2-Clause */
/* Feeds every file of a folder to a fuzz target: the corpora as plain tests, in TAP. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

#define INPUT_MAX_BYTES (16 << 20)

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* The bytes lie in a block of their own size, so that a read past their end shows. */
static bool replay(const char *folder, const char *name, uint8_t *scratch)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(scratch, 1, INPUT_MAX_BYTES, f) : 0;
	bool ok = f && !ferror(f) && n < INPUT_MAX_BYTES;
	if (f)
		fclose(f);
	if (!ok)
		return false;
	uint8_t *bytes = malloc(n ? n : 1);
	if (!bytes)
		return false;
	memcpy(bytes, scratch, n);
	LLVMFuzzerTestOneInput(bytes, n);
	free(bytes);
	return true;
}

int main(int argc, char *argv[])
{
	struct dirent **entries;
	int n = argc == 2 ? scandir(argv[1], &entries, is_visible, alphasort) : -1;
	uint8_t *scratch = malloc(INPUT_MAX_BYTES);
	bool all = n > 0 && scratch;
	if (!all) {
		fprintf(stderr, "usage: %s FOLDER, with inputs in it\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		bool ok = replay(argv[1], entries[i]->d_name, scratch);
		printf("%s %d - %s\n", ok ? "ok" : "not ok", i + 1, entries[i]->d_name);
		all = all && ok;
		free(entries[i]);
	}
	free(entries);
	free(scratch);
	return all ? 0 : 1;
}
