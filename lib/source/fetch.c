/* SPDX-License-Identifier: BSD-2-Clause */
#include "fetch.h"

#include <time.h>

#include "../base/hash.h"
#include "../base/log.h"
#include "../base/metrics.h"
#include "cache_write.h"

#define FAILED_S 2
#define REFUSED_S 3600
#define VERIFY_WAIT_US 60000000
#define CROWD_TRIES 3
#define CROWD_PAUSE_NS 10000000
#define SAY "The image cannot be fetched now."
#define LATER_SAY "The image is not here yet, please try again."
#define BUSY_SAY "Too many requests wait for this image's origin, please try again."

/* What one candidate came to. */
enum outcome { HAVE, NEXT, STOP };

/* One candidate, and its transfer. */
struct work {
	struct arena *a;
	const struct fetch_job *job;
	const struct resolver_rule *rule;
	const struct candidate *candidate;
	struct cache *cache;
	bool is_first, has_fallback;
	bool is_known;                 /* `known` is filled */
	bool is_servable;              /* a stored copy may serve for as long as it takes */
	struct source *file;           /* of a rule for files */
	struct original known;
	/* of the transfer */
	struct original coming;
	struct cache_writer *writer;
	bool is_unchanged;             /* what comes is what is there: the body is not wanted */
	bool is_encoded;
};

/* --- the transfer --- */

/* The state that the origin announces, by what the rule believes. */
static struct validator announced(const struct work *w, const struct http_answer *answer)
{
	struct validator v = {.length = answer->length > 0 ? (uint64_t)answer->length : 0,
			      .generation = w->known.validator.generation};
	struct str etag = str_of(answer->etag);
	take_word(&etag, STR("W/"));
	if (w->rule->validator == RULE_BY_ETAG && etag.n)
		hash_hex(etag, v.tag);
	if (w->rule->validator == RULE_BY_SIZE)
		memcpy(v.tag, "size", 5);
	v.modified_s = answer->modified_s;
	return v;
}

static void drop_writer(struct work *w, bool keep)
{
	if (w->writer)
		cache_write_drop(w->writer, keep);
	w->writer = NULL;
}

static bool begin(void *with, const struct http_answer *answer, struct error *err)
{
	struct work *w = with;
	drop_writer(w, false);
	w->is_encoded = answer->encoded;
	w->coming = (struct original){
		.url = w->candidate->name, .identifier = str_dup(w->a, w->job->identifier), .etag = answer->etag,
		.last_modified = answer->last_modified, .validator = announced(w, answer),
	};
	memcpy(w->coming.key, w->candidate->key, sizeof w->coming.key);
	uint64_t resume = 0;
	if (answer->status == 206) {
		const char *etag;
		resume = cache_part(w->cache, w->a, w->candidate->key, &etag);
	}
	w->is_unchanged = w->is_known && w->known.bytes && answer->length >= 0 && !answer->encoded &&
			  validator_equal(&w->coming.validator, &w->known.validator);
	if (w->is_unchanged)
		return fail(err, 304, REASON_NONE, "", "unchanged");
	uint64_t expected = answer->length > 0 ? (uint64_t)answer->length + resume : 0;
	return cache_write_open(w->cache, &w->coming, resume, expected, &w->writer, err);
}

static bool receive(void *with, const void *bytes, size_t n, struct error *err)
{
	return cache_write(((struct work *)with)->writer, bytes, n, err);
}

/* A sum over the body as it was stored, to be closed. */
static struct hasher *hash_body(const struct work *w, enum hash_kind kind)
{
	uint64_t start;
	int fd = cache_writer_fd(w->writer, &start);
	struct hasher *h = hasher_open(kind);
	hasher_add_file(h, fd, start, cache_written(w->writer));
	return h;
}

static bool sum_is(const struct work *w, enum hash_kind kind, struct str base64)
{
	char sum[HASH_BASE64_MAX];
	hasher_close_base64(hash_body(w, kind), sum);
	return str_equal(base64, str_of(sum));
}

/* The ETag as an MD5, where the rule says that it is one: not so for objects uploaded in parts. */
static bool etag_is_sum(struct work *w, const char *etag)
{
	struct str s = str_of(etag);
	char hex[65];
	take_char(&s, '"');
	if (s.n && s.at[s.n - 1] == '"')
		s.n--;
	if (s.n != 32 || memchr(s.at, '-', s.n))
		return true;
	hasher_close_hex(hash_body(w, HASH_MD5), hex);
	return str_equal_nocase(s, str_of(hex));
}

/* RFC 9530: a list of name=:base64: */
static bool repr_digest_holds(struct work *w, const char *field)
{
	static const struct {
		const char *name;
		enum hash_kind kind;
	} kinds[] = {{"sha-256", HASH_SHA256}, {"sha-512", HASH_SHA512}, {"sha", HASH_SHA1}, {"md5", HASH_MD5}};
	struct str rest = str_of(field), item, name;
	while (*field && take_until(&rest, ',', &item)) {
		item = str_trim(item);
		take_until(&item, '=', &name);
		if (!item.at || item.n < 2 || *item.at != ':' || item.at[item.n - 1] != ':')
			continue;
		for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
			if (str_equal_nocase(name, str_of(kinds[i].name)) &&
			    !sum_is(w, kinds[i].kind, (struct str){item.at + 1, item.n - 2}))
				return false;
	}
	return true;
}

/* A part whose sum of sums ends in -N cannot be compared with the whole. */
static bool amz_holds(struct work *w, enum hash_kind kind, const char *sum)
{
	return !*sum || strchr(sum, '-') || sum_is(w, kind, str_of(sum));
}

static bool is_sound(struct work *w, const struct http_answer *answer)
{
	return w->is_encoded ||
	       ((!*answer->content_md5 || answer->status == 206 || sum_is(w, HASH_MD5, str_of(answer->content_md5))) &&
		repr_digest_holds(w, answer->repr_digest) && amz_holds(w, HASH_SHA256, answer->checksum_sha256) &&
		amz_holds(w, HASH_SHA1, answer->checksum_sha1) && amz_holds(w, HASH_CRC32, answer->checksum_crc32) &&
		amz_holds(w, HASH_CRC32C, answer->checksum_crc32c) &&
		(!w->rule->etag_is_md5 || etag_is_sum(w, answer->etag)));
}

static bool is_strong(const char *etag)
{
	return *etag == '"';
}

static struct http_target make_target(struct work *w, bool may_resume)
{
	struct http_target t = {.url = w->candidate->name};
	const char *etag = "";
	if (w->is_known && w->known.bytes) {
		if (w->rule->validator == RULE_BY_ETAG && *w->known.etag)
			t.if_none_match = w->known.etag;
		else if (w->rule->validator != RULE_BY_SIZE && *w->known.last_modified)
			t.if_modified_since = w->known.last_modified;
		return t;
	}
	uint64_t part = may_resume ? cache_part(w->cache, w->a, w->candidate->key, &etag) : 0;
	if (part && is_strong(etag)) {
		t.from = part;
		t.if_range = etag;
	}
	return t;
}

/* One GET, its body stored. `again` is set where another try may help: a wrong sum, a folder that filled up. */
static bool transfer(struct work *w, bool may_resume, bool *again, struct error *err)
{
	struct http_options options = w->rule->http;
	struct http_target target = make_target(w, may_resume);
	struct http_body body = {begin, receive, w};
	struct http_answer answer;
	if (!options.max_bytes)
		options.max_bytes = w->job->max_bytes;
	*again = false;
	if (w->is_known && w->known.bytes)
		metrics_add(METRIC_REVALIDATIONS, 1);
	bool ok = http_get(w->a, &options, &target, &body, w->job->patience, &answer, err);
	if (w->is_unchanged || (ok && answer.status == 304)) {
		drop_writer(w, false);
		cache_checked(w->cache, w->candidate->key);
		metrics_add(METRIC_REVALIDATED, 1);
		return true;
	}
	if (!ok) {
		bool broken = err->reason == REASON_ORIGIN || err->reason == REASON_TIMEOUT;
		*again = err->reason == REASON_IO || err->reason == REASON_BUSY;
		drop_writer(w, broken && !w->is_encoded && w->writer && is_strong(w->coming.etag));
		return false;
	}
	if (!is_sound(w, &answer)) {
		metrics_add(METRIC_ORIGIN_DAMAGED, 1);
		drop_writer(w, false);
		*again = true;
		return fail(err, 502, REASON_ORIGIN, SAY, "the body is not what its digest says");
	}
	w->coming.validator.length = cache_written(w->writer);
	ok = cache_write_close(w->writer, &w->coming, err);
	w->writer = NULL;
	*again = !ok;
	return ok;
}

/* --- one candidate --- */

static void judge(struct work *w, enum verdict verdict, int status, int64_t for_s)
{
	struct original o = {.url = w->candidate->name, .identifier = str_dup(w->a, w->job->identifier),
			     .verdict = verdict, .status = status, .until_s = time(NULL) + for_s};
	memcpy(o.key, w->candidate->key, sizeof o.key);
	cache_judge(w->cache, &o);
}

/* What is known already settles it: fresh, or missing, refused or failed a moment ago. */
static bool is_settled(struct work *w, enum outcome *outcome, struct error *err)
{
	int64_t now = time(NULL);
	const struct original *o = &w->known;
	w->is_known = cache_find(w->cache, w->a, w->candidate->key, &w->known);
	if (!w->is_known)
		w->known = (struct original){.etag = "", .last_modified = ""};
	int64_t age = now - o->checked_s;
	w->is_servable = o->bytes && age < w->rule->stale_if_error_s;
	*outcome = HAVE;
	if (o->bytes && rule_is_fresh(w->rule, o))
		return true;
	if (o->bytes || !w->is_known || now >= o->until_s)
		return false;
	if (o->verdict != VERDICT_MISSING && o->verdict != VERDICT_TOO_LARGE && o->verdict != VERDICT_FAILED)
		return false;
	*outcome = o->verdict == VERDICT_FAILED ? STOP : NEXT;
	verdict_fail(o->verdict, o->status, err);
	return true;
}

/* Too many wait for this origin: the mark of this process counts as well. */
static bool is_crowded(const struct work *w)
{
	uint64_t host = hash_64(http_host(str_of(w->candidate->name)));
	size_t most = w->job->max_waiting < 2 ? 1 : w->job->max_waiting / 2;
	for (int i = 0; i < CROWD_TRIES; i++) {
		metrics_mark(MARK_FETCH, hash_64(str_of(w->candidate->key)), host);
		if (metrics_marked(MARK_FETCH, host) <= most)
			return false;
		metrics_mark(MARK_NONE, 0, 0);
		nanosleep(&(struct timespec){.tv_nsec = CROWD_PAUSE_NS}, NULL);
	}
	metrics_add(METRIC_WAITS_REFUSED, 1);
	return true;
}

static enum outcome busy(const struct work *w, struct error *err)
{
	size_t most = w->job->max_waiting;
	fail(err, 503, REASON_BUSY, BUSY_SAY, "%zu of %zu wait for it", most / 2, most);
	return STOP;
}

/* What an origin's refusal means. */
static enum outcome refused(struct work *w, struct error *err)
{
	if (err->status == 403 && w->rule->forbidden_is_missing)
		fail(err, 404, REASON_NOT_FOUND, "There is no image with this identifier.", "the origin's 403");
	switch (err->reason) {
	case REASON_NOT_FOUND:
		cache_drop(w->cache, w->candidate->key);
		judge(w, VERDICT_MISSING, 404, w->has_fallback ? REFUSED_S : w->rule->negative_ttl_s);
		return NEXT;
	case REASON_TOO_LARGE:
		judge(w, VERDICT_TOO_LARGE, err->status, REFUSED_S);
		return NEXT;
	case REASON_ORIGIN:
	case REASON_TIMEOUT:
	case REASON_THROTTLED:
		log_event("warn", "origin: %s: %s", reason_name(err->reason), err->why);
		if (w->is_servable)
			return HAVE;
		if (err->reason != REASON_THROTTLED && !w->known.bytes)
			judge(w, VERDICT_FAILED, err->status, FAILED_S);
		return STOP;
	default:
		log_event("warn", "origin: %s: %s", reason_name(err->reason), err->why);
		return w->is_servable && err->reason != REASON_DENIED ? HAVE : STOP;
	}
}

static enum outcome ask_origin(struct work *w, struct error *err)
{
	bool again = false;
	bool ok = transfer(w, true, &again, err) || (again && transfer(w, false, &again, err));
	return ok ? HAVE : refused(w, err);
}

/* Under the original's lock: another process may have brought it meanwhile. */
static enum outcome fetch_locked(struct work *w, struct error *err)
{
	enum outcome outcome;
	return is_settled(w, &outcome, err) ? outcome : ask_origin(w, err);
}

static enum outcome fetch_original(struct work *w, struct error *err)
{
	enum outcome outcome;
	const struct fetch_job *job = w->job;
	if (is_settled(w, &outcome, err))
		return outcome;
	if (w->is_servable && job->servable)
		job->servable(job->with);
	if (is_crowded(w))
		return w->is_servable ? HAVE : busy(w, err);
	/* Whoever can be served does not wait for another's answer. */
	int64_t until = w->is_servable ? clock_us() : clock_us() + w->rule->http.total_ms * 1000;
	if (cache_lock(w->cache, w->candidate->key, job->patience, until)) {
		outcome = fetch_locked(w, err);
		cache_unlock(w->cache);
	} else {
		outcome = w->is_servable ? HAVE : STOP;
		fail(err, 503, REASON_BUSY, LATER_SAY, "waited for another's download");
	}
	metrics_mark(MARK_NONE, 0, 0);
	return outcome;
}

/* --- verification --- */

static bool open_for_verification(struct work *w, struct resolved *r, struct error *err)
{
	*r = (struct resolved){.candidate = *w->candidate};
	bool known = cache_find(w->cache, w->a, w->candidate->key, &r->known);
	if (!known)
		r->known = (struct original){0};
	if (w->file) {
		r->source = w->file;
		r->source->validator.generation = r->known.validator.generation;
	} else if (!known || !r->known.bytes || !cache_open_file(w->cache, w->a, &r->known, &r->source)) {
		return fail(err, 503, REASON_IO, SAY, "it is gone already");
	}
	r->validator = r->source->validator;
	return true;
}

/* The original was decoded in this state of it, and what came of that still counts. */
static bool is_judged(const struct resolved *r, enum outcome *outcome, struct error *err)
{
	if (!*r->known.key || !validator_equal(&r->known.validator, &r->validator))
		return false;
	*outcome = HAVE;
	if (r->known.verdict == VERDICT_GOOD)
		return true;
	if (!verdict_counts(&r->known, &r->validator))
		return false;
	verdict_fail(r->known.verdict, r->known.status, err);
	*outcome = NEXT;
	return true;
}

static enum outcome decode_in_full(struct work *w, struct resolved *r, struct error *err)
{
	if (!resolver_survive(w->job->resolver, r, w->job->identifier, err))
		return NEXT;
	bool good = w->job->verify(w->job->with, r->source, err);
	metrics_mark(MARK_NONE, 0, 0);
	enum verdict verdict = good ? VERDICT_GOOD : verdict_of(err);
	if (verdict == VERDICT_MISSING)
		verdict = VERDICT_DAMAGED;
	/* Without memory or time now, another may find out. */
	if (verdict != VERDICT_NONE)
		resolver_judge(w->job->resolver, r, w->job->identifier, verdict, 0);
	if (!good)
		log_event("warn", "%s: %s: %s", w->candidate->name, reason_name(err->reason), err->why);
	return good || verdict == VERDICT_NONE ? HAVE : NEXT;
}

/* Decodes the original, unless that was done, also by another process while this one waited for its turn. */
static enum outcome verify(struct work *w, struct error *err)
{
	struct resolved r;
	enum outcome outcome;
	if (!open_for_verification(w, &r, err))
		return err->status == 404 ? NEXT : STOP;
	if (is_judged(&r, &outcome, err))
		return outcome;
	if (is_crowded(w))
		return busy(w, err);
	bool is_mine = cache_take_turn(w->cache, w->job->max_verifying, w->job->patience, clock_us() + VERIFY_WAIT_US);
	metrics_mark(MARK_NONE, 0, 0);
	if (!is_mine) {
		fail(err, 503, REASON_BUSY, LATER_SAY, "waited for others' verification");
		return STOP;
	}
	cache_find(w->cache, w->a, w->candidate->key, &r.known);
	if (!is_judged(&r, &outcome, err))
		outcome = decode_in_full(w, &r, err);
	cache_end_turn(w->cache);
	return outcome;
}

/* As fetched and damaged, or rotten in the cache? The latter is fetched anew, once. */
static enum outcome fetch_verified(struct work *w, struct error *err)
{
	bool is_file = w->rule->type == RULE_FILE;
	bool verifies = w->rule->verify && w->is_first && w->job->verify;
	enum outcome outcome = is_file ? HAVE : fetch_original(w, err);
	if (outcome != HAVE || !verifies)
		return outcome;
	outcome = verify(w, err);
	if (outcome == NEXT && !is_file && err->reason == REASON_DAMAGED) {
		struct original o;
		if (cache_find(w->cache, w->a, w->candidate->key, &o) && o.bytes && cache_verify_file(w->cache, &o)) {
			outcome = fetch_original(w, err);
			outcome = outcome == HAVE ? verify(w, err) : outcome;
		}
	}
	return outcome;
}

static enum outcome look_for_file(struct work *w, struct error *err)
{
	if (file_source_open(w->a, &w->rule->file, str_of(w->candidate->name), &w->file, err))
		return HAVE;
	return err->status == 404 ? NEXT : STOP;
}

bool fetch_run(struct arena *a, const struct fetch_job *job, struct error *err)
{
	struct candidates list;
	struct error first = {0};
	if (!job->resolver->cache)
		return fail(err, 503, REASON_CONFIG, SAY, "there is no cache to fetch into");
	if (!resolver_list(a, job->resolver, job->identifier, &list, err))
		return false;
	const struct resolver_rule *rule = &job->resolver->rules[list.rule];
	for (size_t i = 0; i < list.n; i++) {
		struct work w = {.a = a,
				 .job = job,
				 .rule = rule,
				 .candidate = &list.at[i],
				 .cache = job->resolver->cache,
				 .is_first = i == 0,
				 .has_fallback = rule->n_fallbacks > 0};
		enum outcome outcome = rule->type == RULE_FILE ? look_for_file(&w, err) : HAVE;
		if (outcome == HAVE)
			outcome = fetch_verified(&w, err);
		if (outcome == HAVE)
			return true;
		if (outcome == STOP)
			return false;
		verdict_tell(&first, err);
	}
	*err = first;
	return false;
}
