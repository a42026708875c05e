/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_RESOLVER_H
#define SOURCE_RESOLVER_H

#include "source_file.h"

/* One rule: identifiers that start with prefix lie, by the rest of their name, below a root. */
struct resolver_rule {
	const char *prefix;                  /* decoded; "" matches all */
	struct file_options file;
	const char *const *suffixes;         /* tried in order where the bare name is no file; may be NULL */
	bool sidecars;                       /* look for FILE.json beside the file, else IDENTIFIER.json */
};

struct resolved {
	struct source *source;
	size_t rule;                         /* the one that matched, also when opening failed */
	const char *name;                    /* below the root, for the log */
	struct str sidecar;                  /* text of the sidecar, empty without one */
	struct validator sidecar_validator;  /* zero without one */
};

/*
 * Opens the original of an identifier: first rule that matches wins. *resolved is filled as far as
 * it got also on failure. 404 no rule or no file; others as file_source_open. A sidecar above
 * SIDECAR_MAX_BYTES, empty or unreadable is 500: its limits must not fall away.
 */
#define SIDECAR_MAX_BYTES 65536
bool resolver_open(struct arena *a, const struct resolver_rule *rules, size_t n, struct str identifier,
		   struct resolved *resolved, struct error *err);

#endif
