/* SPDX-License-Identifier: BSD-2-Clause */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

const char *reason_name(enum reason reason)
{
	static const char *const names[] = {
		[REASON_NONE] = "none",
		[REASON_SYNTAX] = "syntax",
		[REASON_NOT_FOUND] = "not-found",
		[REASON_FORBIDDEN] = "forbidden",
		[REASON_UNSUPPORTED] = "unsupported",
		[REASON_DAMAGED] = "damaged",
		[REASON_TOO_LARGE] = "too-large",
		[REASON_MEMORY] = "memory",
		[REASON_IO] = "io",
		[REASON_ORIGIN] = "origin",
		[REASON_TIMEOUT] = "timeout",
		[REASON_THROTTLED] = "throttled",
		[REASON_DENIED] = "denied",
		[REASON_BUSY] = "busy",
		[REASON_SLOW] = "slow",
		[REASON_CONFIG] = "config",
		[REASON_INTERNAL] = "internal",
	};
	return names[reason];
}

bool fail(struct error *err, int status, enum reason reason, const char *say, const char *why, ...)
{
	err->status = status;
	err->reason = reason;
	err->say = say;
	err->retry_after_s = 0;

	va_list args;
	va_start(args, why);
	vsnprintf(err->why, sizeof err->why, why, args);
	va_end(args);
	return false;
}
