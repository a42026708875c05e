/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_KNOWN_H
#define SERVER_KNOWN_H

#include "../image/decoder.h"

/* What the cache's index keeps of a picture's first page, so that info.json needs no file: bytes that only this very
 * program's layout reads. */
struct known_picture {
	struct facts facts;            /* its format points into the bytes */
	double per_cm_x, per_cm_y;     /* resolution, 0 unknown */
};

struct str known_write(struct arena *a, const struct picture *p);
/* False if the bytes are none, or of another layout. The bytes outlive k. */
bool known_read(struct str bytes, struct known_picture *k);

#endif
