/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TIFF_MESSAGES_H
#define IMAGE_TIFF_MESSAGES_H

#include <tiffio.h>

#include "../base/error.h"

/* What libtiff says becomes an error: its first message, which is the cause; what follows is its echo. Warnings are
 * not heard. */
struct tiff_messages {
	struct error **err;            /* of the call in hand; filled where it has no status yet */
	enum reason reason;            /* with status 500 */
	const char *say;
};

/* Options with these handlers, which live as long as the TIFF; NULL without memory. To be freed after the open. */
TIFFOpenOptions *tiff_messages_options(struct tiff_messages *m);

#endif
