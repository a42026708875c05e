/* SPDX-License-Identifier: BSD-2-Clause */
#include "tiff_messages.h"

#include <stdio.h>

static int on_error(TIFF *tif, void *user, const char *module, const char *format, va_list args)
{
	const struct tiff_messages *m = user;
	char text[300];
	(void)tif;
	if ((*m->err)->status)
		return 1;
	vsnprintf(text, sizeof text, format, args);
	fail(*m->err, 500, m->reason, m->say, "libtiff: %s: %s", module ? module : "", text);
	return 1;
}

static int on_warning(TIFF *tif, void *user, const char *module, const char *format, va_list args)
{
	(void)tif;
	(void)user;
	(void)module;
	(void)format;
	(void)args;
	return 1;
}

TIFFOpenOptions *tiff_messages_options(struct tiff_messages *m)
{
	TIFFOpenOptions *o = TIFFOpenOptionsAlloc();
	if (!o)
		return NULL;
	TIFFOpenOptionsSetErrorHandlerExtR(o, on_error, m);
	TIFFOpenOptionsSetWarningHandlerExtR(o, on_warning, NULL);
	return o;
}
