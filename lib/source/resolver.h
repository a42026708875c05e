/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SOURCE_RESOLVER_H
#define SOURCE_RESOLVER_H

#include "cache.h"
#include "s3.h"
#include "template.h"

/*
 * Which original an identifier means: the first rule that fits gives an ordered list of candidates, the first of
 * which that is there, and known to be of use, is opened.
 *
 * What lies in folders is opened at once. What lies behind a network is opened from the cache; where the cache has
 * nothing, or nothing that may still be served, the answer is "to be fetched" (resolved.wants_fetch), and a fetcher
 * does that (fetch.h). So nobody waits here for an origin.
 */
enum rule_type { RULE_FILE, RULE_HTTP, RULE_S3 };
enum rule_validator { RULE_BY_ETAG, RULE_BY_LAST_MODIFIED, RULE_BY_SIZE };

struct exchange {
	struct str from, to;                 /* endings, as ".tif" and ".jpg" */
};

struct resolver_rule {
	enum rule_type type;
	const char *prefix;                  /* decoded; "" matches all */
	const struct template *template;     /* of name or URL; NULL: what is left after the prefix */
	struct file_options file;
	const char *const *suffixes;         /* tried in order where the bare name is not there; may be NULL */
	const struct exchange *fallbacks;    /* then these, also where what is there is of no use */
	size_t n_fallbacks;
	bool verify;                         /* the first candidate is decoded in full before it is served */
	bool sidecars;                       /* files: look for FILE.json beside the file, else IDENTIFIER.json */
	/* behind a network */
	struct http_options http;
	const char *account;                 /* as whom: part of the cache's keys */
	const char *endpoint, *region, *bucket;
	bool path_style;
	const char *const *allowed_hosts;    /* for identifiers that are URLs */
	enum rule_validator validator;
	bool etag_is_md5, forbidden_is_missing, immutable;
	int64_t revalidate_after_s, negative_ttl_s, stale_if_error_s;
};

struct resolver {
	const struct resolver_rule *rules;
	size_t n_rules;
	struct cache *cache;                 /* NULL: nothing is remembered, nothing fetched */
};

/* One name that an identifier may mean. */
struct candidate {
	const char *name;                    /* path below the root, or URL */
	char key[CACHE_KEY_BYTES];
	bool is_fallback;
};

/* The candidates of an identifier, best first, and its rule. 404 without any. */
struct candidates {
	size_t rule;                         /* n_rules without one */
	const char *bare;                    /* the name without suffix or fallback */
	struct candidate *at;
	size_t n;
};
bool resolver_list(struct arena *a, const struct resolver *resolver, struct str identifier, struct candidates *list,
		   struct error *err);

struct resolver_wish {
	struct str identifier;
	bool facts_suffice;                  /* no file need be opened if its facts are known */
	size_t skip;                         /* candidates not to be tried any more */
	bool was_fetched;                    /* a fetcher has just done what it could: what is there may be served */
};

struct resolved {
	struct source *source;               /* NULL if the facts suffice */
	struct validator validator;
	int64_t modified_s;                  /* for Last-Modified, 0 unknown */
	size_t rule;                         /* the one that matched, also when opening failed */
	const char *name;                    /* below the root, or the URL without its query, for the log */
	struct candidate candidate;
	size_t index;                        /* of it, among the candidates */
	struct original known;               /* what was known of it; key "" if nothing */
	bool is_stale;                       /* past its time: answers may be kept for a moment only */
	bool wants_fetch;                    /* it failed because something is to be fetched first */
	bool has_next;                       /* another candidate may serve if this one is judged bad */
	struct str sidecar;                  /* text of the sidecar, empty without one */
	struct validator sidecar_validator;  /* zero without one */
};

/*
 * Opens the original of an identifier. *resolved is filled as far as it got also on failure. 404 no rule or no file;
 * what a verdict says, where there is nothing better; others as file_source_open. A sidecar above SIDECAR_MAX_BYTES,
 * empty or unreadable is 500: its limits must not fall away.
 */
#define SIDECAR_MAX_BYTES 65536
bool resolver_open(struct arena *a, const struct resolver *resolver, const struct resolver_wish *wish,
		   struct resolved *resolved, struct error *err);

/* Remembers what decoding an original came to. VERDICT_DEADLY lasts an hour, others as long as the original's state. */
void resolver_judge(const struct resolver *resolver, const struct resolved *resolved, struct str identifier,
		    enum verdict verdict, unsigned strikes);

/*
 * Before an original is decoded: one that a process did not survive is not tried again for an hour: at once, if it died
 * of a bug's signal; at the second death in a row otherwise, as a kill -9 may be nobody's fault. True: this process has
 * the mark that tells of its own end, until metrics_mark(MARK_NONE); known.strikes says how many did not survive. False
 * as VERDICT_DEADLY says, which is remembered.
 */
bool resolver_survive(const struct resolver *resolver, struct resolved *resolved, struct str identifier,
		      struct error *err);

/* Whether what is stored need not be asked after yet. */
bool rule_is_fresh(const struct resolver_rule *rule, const struct original *o);

/* Of the errors of several candidates the one to tell: what is there and of no use says more than what is not there. */
void verdict_tell(struct error *told, const struct error *err);

/* Whether a failure says that the original is of no use, and which. */
enum verdict verdict_of(const struct error *err);

/* The error that a verdict stands for. Always false. */
bool verdict_fail(enum verdict verdict, int status, struct error *err);

/* Whether a verdict counts for this state of an original, now. */
bool verdict_counts(const struct original *o, const struct validator *validator);

/* Whether an identifier belongs to a rule. */
bool rule_fits(const struct resolver_rule *rule, struct str identifier);

#endif
