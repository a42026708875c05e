/* SPDX-License-Identifier: BSD-2-Clause */
#include "deadline.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

/* log.h has SIGALRM. */
#define SIGNAL SIGVTALRM

static struct {
	uint64_t ms;                   /* 0: none */
	int64_t until_us;
	const char *what;
	pid_t owner;                   /* of the timer: a child has none */
	timer_t timer;
} now;

/* Nothing is left to spoil: whatever was interrupted does not go on. */
static void give_up(int signal)
{
	(void)signal;
	if (!now.ms)
		return;
	log_event("error", "a decoding took twice the %llu ms of max_decode_ms, its process ends: %s",
		  (unsigned long long)now.ms, now.what);
	raise(SIGABRT);
}

static bool make_timer(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGNAL};
	struct sigaction action = {.sa_handler = give_up};
	if (now.owner == getpid())
		return true;
	if (sigaction(SIGNAL, &action, NULL) < 0 || timer_create(CLOCK_MONOTONIC, &event, &now.timer) < 0)
		return false;
	now.owner = getpid();
	return true;
}

static void set_timer(uint64_t ms)
{
	struct itimerspec when = {.it_value = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000}};
	if (make_timer())
		timer_settime(now.timer, 0, &when, NULL);
}

void deadline_start(uint64_t ms, const char *what)
{
	now.ms = ms;
	now.what = what;
	now.until_us = clock_us() + (int64_t)ms * 1000;
	set_timer(ms * 2);
}

bool deadline_check(struct error *err)
{
	return !now.ms || clock_us() < now.until_us ||
	       fail(err, 503, REASON_SLOW, "The image takes longer to read than the server allows.",
		    "more than the %llu ms of max_decode_ms", (unsigned long long)now.ms);
}

void deadline_end(void)
{
	if (now.ms)
		set_timer(0);
	now.ms = 0;
}
