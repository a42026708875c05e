/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_TEXT_PAGES_H
#define BASE_TEXT_PAGES_H

/*
 * Gives back the pages of the program's and its libraries' files which are resident only because the start needed them:
 * relocation and first calls touch a few bytes in most pages of eighty libraries. What is needed again comes from the page
 * cache by a minor fault. To be called once, when all that starts has started. Pages that were written to are kept.
 */
void text_pages_give_back(void);

#endif
