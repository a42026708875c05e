/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache_check.h"

#include <errno.h>
#include <sys/vfs.h>
#include <unistd.h>

struct verification {
	struct store *store;
	struct cache_verified *v;
	void (*found)(void *with, const char *key, const char *what);
	void *with;
};

static void verify_file(void *with, const char *key, int fd, const struct cache_header *h)
{
	struct verification *job = with;
	struct store *s = job->store;
	struct error err;
	job->v->files++;
	if (!h || !cache_file_verify(fd, h, &err)) {
		job->v->damaged++;
		job->found(job->with, key, !h ? "has no header that fits its length"
					      : err.reason == REASON_DAMAGED ? "is not what was fetched" : err.why);
		store_unlink_file_of(s, key, fd);
		store_forget(s, key, true);
		return;
	}
	struct arena *a = arena_open();
	struct original o = store_original_of(h), row;
	bool known = s->index && store_check(s, cache_index_find(s->index, a, key, &row)) && row.bytes;
	enum index_result r = store_take_up(s, fd, &o);
	if (r == INDEX_NONE) {
		job->v->damaged++;
		job->found(job->with, key, "was purged");
	} else if (!known && r == INDEX_OK) {
		job->v->adopted++;
		job->found(job->with, key, "was not in the index");
	}
	job->v->bytes += r == INDEX_NONE ? 0 : h->header_bytes + h->length;
	arena_close(a);
}

static bool forget_gone(void *with, const struct original *o)
{
	struct verification *job = with;
	int fd = o->bytes ? store_open_file(job->store, o->key) : -1;
	if (fd >= 0)
		close(fd);
	if (!o->bytes || fd >= 0 || errno != ENOENT)
		return true;
	job->v->gone++;
	job->found(job->with, o->key, "is in the index, but has no file");
	store_forget(job->store, o->key, true);
	return job->store->index;
}

bool store_verify(struct store *s, struct cache_verified *v,
		  void (*found)(void *with, const char *key, const char *what), void *with)
{
	struct verification job = {s, v, found, with};
	*v = (struct cache_verified){0};
	if (s->lock_fd < 0)
		return false;
	for (int i = 0; i < CACHE_SLICES; i++)
		store_walk_slice(s, i, verify_file, &job);
	store_drop_old_parts(s, STORE_PART_AGE_S);
	return s->index && store_check(s, cache_index_walk(s->index, forget_gone, &job)) && s->index;
}

const char *cache_folder_fault(const char *folder)
{
	static const struct {
		unsigned long magic;
		const char *fault;
	} kinds[] = {
		{0x6969, "is on NFS"}, {0xff534d42, "is on CIFS"}, {0xfe534d42, "is on SMB"}, {0x517b, "is on SMB"},
		{0x65735546, "is on FUSE"}, {0x01021997, "is on 9p"}, {0x5346414f, "is on AFS"}, {0x00c36400, "is on Ceph"},
		{0x0bd00bd0, "is on Lustre"}, {0x7461636f, "is on OCFS2"}, {0x01161970, "is on GFS2"}, {0x47504653, "is on GPFS"}};
	struct statfs st;
	if (statfs(folder, &st) < 0)
		return NULL;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (((unsigned long)st.f_type & 0xffffffff) == kinds[i].magic)
			return kinds[i].fault;
	return NULL;
}
