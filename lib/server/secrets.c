/* SPDX-License-Identifier: BSD-2-Clause */
#include "secrets.h"

#include <malloc.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/str.h"

#define STACK_BYTES (1 << 20)
#define DEPTH_BYTES 65536

void secret_note(struct arena *a, struct secret **list, char *text)
{
	struct secret *s = arena_new(a, struct secret);
	*s = (struct secret){text, *list};
	*list = s;
}

struct job {
	void (*work)(void *);
	void *with;
};

static void *run(void *job)
{
	const struct job *j = job;
	j->work(j->with);
	return NULL;
}

static bool run_on(void *stack, struct job *job)
{
	pthread_attr_t attributes;
	pthread_t thread;
	if (stack == MAP_FAILED || pthread_attr_init(&attributes) != 0)
		return false;
	bool begun = pthread_attr_setstack(&attributes, stack, STACK_BYTES) == 0 &&
		     pthread_create(&thread, &attributes, run, job) == 0;
	if (begun)
		pthread_join(thread, NULL);
	pthread_attr_destroy(&attributes);
	return begun;
}

/*
 * With M_PERTURB what is freed is overwritten, but for the small blocks that a thread keeps for itself; these are freed
 * when it ends, and until then nobody else gets them and writes over half of one. Its stack goes too.
 */
void secrets_careful(void (*work)(void *), void *with)
{
	struct job job = {work, with};
	void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	mallopt(M_PERTURB, 0xff);
	if (!run_on(stack, &job))
		work(with);
	mallopt(M_PERTURB, 0);
	if (stack != MAP_FAILED)
		munmap(stack, STACK_BYTES);
}

/* What calls that have returned left there, registers too. */
static __attribute__((noinline)) void wipe_stack(void)
{
	char depth[DEPTH_BYTES];
	explicit_bzero(depth, sizeof depth);
}

void secrets_forget(const struct secret *list, char *const *env)
{
	for (; list; list = list->next)
		explicit_bzero(list->text, strlen(list->text));
	for (; *env; env++) {
		struct str value = str_of(*env), name;
		take_until(&value, '=', &name);
		if (value.at && (str_starts(name, STR("AWS_")) || str_starts(name, STR("LORIKEET_"))))
			explicit_bzero((char *)value.at, value.n);
	}
	wipe_stack();
}
