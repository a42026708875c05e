/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TIFF_PAGES_H
#define IMAGE_TIFF_PAGES_H

#include "../source/source.h"

/*
 * Where the pages of a TIFF are. libtiff parses all directories on the way to a late one, and compares each with
 * all before it; here only their links are followed.
 *
 * Sets the offset of the page-th directory (from 1) that is no reduced image or mask; in a file of such only, the
 * first one is its page. 404 no such page, 500 damaged.
 */
bool tiff_page_find(struct source *source, uint32_t page, uint64_t *directory, struct error *err);

#endif
