/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_OPENED_H
#define IMAGE_OPENED_H

#include "decoder.h"

/*
 * The pictures that this process opened last: the next request for one finds its facts, directories, tables and profile
 * as they are.
 *
 * A picture is found by what tells one state of a file from all others (device, inode, length, times of content and of
 * the file itself, the origin's validator) and its page. No descriptor stays open: a picture reads from the
 * source it was asked for with. What has failed to be read, or was being written to, is opened anew.
 */

/* How many are kept; 0: none. Those that hold much are kept for fewer. */
void opened_configure(uint32_t most);

/* As picture_open. *p and all it leads to are valid until the next call, and as long as a and the source. */
bool opened_picture(struct arena *a, const struct decoder *const *list, struct source *source, uint32_t page,
		    struct picture *p, struct error *err);

#endif
