/* SPDX-License-Identifier: BSD-2-Clause */
#include "lzw.h"

#include <endian.h>
#include <string.h>

#include "raster.h"

#define NONE LZW_WORDS
#define MAX_WIDTH 12

/* -1: there are no more, or err is filled. */
static int next_byte(struct lzw *z, struct error *err)
{
	if (z->next == z->n) {
		int64_t n = source_read_up_to(z->source, z->held, sizeof z->held, z->at, err);
		if (n == 0)
			raster_damaged(err, "the file is cut off");
		if (n <= 0)
			return -1;
		z->at += (uint64_t)n;
		z->n = (size_t)n;
		z->next = 0;
	}
	return z->held[z->next++];
}

/* Four bytes at once of a sub-block that has them. */
static bool add_word(struct lzw *z)
{
	uint32_t word;
	if (z->block < sizeof word || z->n - z->next < sizeof word)
		return false;
	memcpy(&word, z->held + z->next, sizeof word);
	z->bits |= (uint64_t)le32toh(word) << z->n_bits;
	z->n_bits += 32;
	z->next += sizeof word;
	z->block = (uint8_t)(z->block - sizeof word);
	return true;
}

/* Of the data in its sub-blocks. */
static bool add_byte(struct lzw *z, struct error *err)
{
	int byte = 0;
	if (!z->block) {
		byte = next_byte(z, err);
		if (byte == 0)
			raster_damaged(err, "the frame is cut short");
		if (byte <= 0)
			return false;
		z->block = (uint8_t)byte;
	}
	byte = next_byte(z, err);
	if (byte < 0)
		return false;
	z->block--;
	z->bits |= (uint64_t)byte << z->n_bits;
	z->n_bits += 8;
	return true;
}

static void start_over(struct lzw *z)
{
	z->words = z->clear + 2;
	z->width = __builtin_ctz(z->clear) + 1;
	z->previous = NONE;
}

bool lzw_open(struct lzw *z, struct source *source, uint64_t at, struct error *err)
{
	z->source = source;
	z->at = at;
	z->next = z->n = z->rest_n = 0;
	z->block = 0;
	z->bits = 0;
	z->n_bits = 0;
	int bits = next_byte(z, err);
	if (bits < 0)
		return false;
	if (bits < 1 || bits > 8)
		return raster_damaged(err, "indexes of no such width");
	z->clear = (uint16_t)(1 << bits);
	for (int i = 0; i < z->clear; i++)
		z->word[i] = (struct lzw_word){NONE, 1, (uint8_t)i, (uint8_t)i};
	start_over(z);
	return true;
}

/* The word that a code stands for; it has become one if it was the next to be made. */
static bool find_word(struct lzw *z, uint16_t code, struct error *err)
{
	const struct lzw_word *previous = &z->word[z->previous];
	if (z->previous == NONE) {
		if (code >= z->clear)
			return raster_damaged(err, "the first code is no index");
	} else if (z->words < LZW_WORDS) {
		if (code > z->words)
			return raster_damaged(err, "a code without meaning");
		uint8_t first = code == z->words ? previous->first : z->word[code].first;
		z->word[z->words++] =
			(struct lzw_word){z->previous, (uint16_t)(previous->length + 1), first, previous->first};
	}
	if (z->words == 1 << z->width && z->width < MAX_WIDTH)
		z->width++;
	z->previous = code;
	return true;
}

/* false: the data ends here, or err is filled. */
static bool next_word(struct lzw *z, struct error *err)
{
	for (;;) {
		while (z->n_bits < z->width)
			if (!add_word(z) && !add_byte(z, err))
				return false;
		uint16_t code = (uint16_t)(z->bits & ((1u << z->width) - 1));
		z->bits >>= z->width;
		z->n_bits -= z->width;
		if (code == z->clear)
			start_over(z);
		else if (code == z->clear + 1)
			return raster_damaged(err, "the frame is cut short");
		else
			return find_word(z, code, err);
	}
}

static void spell(const struct lzw *z, uint16_t code, uint8_t *to)
{
	for (size_t i = z->word[code].length; i-- > 0; code = z->word[code].before)
		to[i] = z->word[code].last;
}

static size_t take_rest(struct lzw *z, uint8_t *to, size_t n)
{
	n = n < z->rest_n ? n : z->rest_n;
	memcpy(to, z->rest + z->rest_at, n);
	z->rest_at += n;
	z->rest_n -= n;
	return n;
}

bool lzw_read(struct lzw *z, uint8_t *to, size_t n, struct error *err)
{
	size_t done = take_rest(z, to, n);
	while (done < n) {
		if (!next_word(z, err))
			return false;
		size_t length = z->word[z->previous].length;
		if (length <= n - done) {
			spell(z, z->previous, to + done);
			done += length;
		} else {
			spell(z, z->previous, z->rest);
			z->rest_at = 0;
			z->rest_n = length;
			done += take_rest(z, to + done, n - done);
		}
	}
	return true;
}
