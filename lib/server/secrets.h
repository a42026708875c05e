/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_SECRETS_H
#define SERVER_SECRETS_H

#include "../base/arena.h"

/* What must not stay in the memory of a process that has no use for it. */
struct secret {
	char *text;
	struct secret *next;
};

/* Remembers a text; list and text live in a. */
void secret_note(struct arena *a, struct secret **list, char *text);

/* Calls work(with) so that nothing is left in memory of what it frees. What it keeps lies in arenas. */
void secrets_careful(void (*work)(void *), void *with);

/* Overwrites the texts, and the values of all variables of Lorikeet's and of AWS's in the environment. */
void secrets_forget(const struct secret *list, char *const *env);

#endif
