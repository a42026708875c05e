/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_LZW_H
#define IMAGE_LZW_H

#include "../source/source.h"

/*
 * The indexes of a GIF's frame (GIF89a, appendix F), unpacked as they are asked for. Each word of the table is another
 * word and one index more.
 */
#define LZW_WORDS 4096

struct lzw_word {
	uint16_t before, length;
	uint8_t last, first;
};

struct lzw {
	struct source *source;
	uint64_t at;                         /* of the bytes behind those held */
	uint8_t held[16384];
	size_t next, n;                      /* of held */
	uint8_t block;                       /* bytes left of the sub-block */
	uint64_t bits;
	int n_bits, width;                   /* of bits; of a code */
	uint16_t clear, words, previous;     /* words there are; of the last code, LZW_WORDS if none */
	struct lzw_word word[LZW_WORDS];
	uint8_t rest[LZW_WORDS];             /* of a word that went beyond what was asked for */
	size_t rest_at, rest_n;
};

/* From the byte on that says how many bits an index has. 500 damaged. */
bool lzw_open(struct lzw *z, struct source *source, uint64_t at, struct error *err);

/* The next n of them. 500 damaged, cut off. */
bool lzw_read(struct lzw *z, uint8_t *to, size_t n, struct error *err);

#endif
