/* SPDX-License-Identifier: BSD-2-Clause */
/* Indexes packed by a plain coder come back: all widths, full tables kept or cleared, sub-blocks and reads of any size. */
#include <stdlib.h>
#include <string.h>

#include "check.h"

#include "image/lzw.h"

#define MOST 60000

static uint32_t random_state = 11;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)random_state * n) >> 32);
}

struct coder {
	uint8_t out[2 * MOST];
	size_t n;
	uint64_t bits;
	int n_bits, width, words;
	int16_t next[LZW_WORDS][256];
	uint8_t block[255];
	uint8_t n_block, most_block;
};

static void end_block(struct coder *c)
{
	if (!c->n_block)
		return;
	c->out[c->n++] = c->n_block;
	memcpy(c->out + c->n, c->block, c->n_block);
	c->n += c->n_block;
	c->n_block = 0;
}

static void put_bits(struct coder *c, uint32_t value, int n)
{
	c->bits |= (uint64_t)value << c->n_bits;
	for (c->n_bits += n; c->n_bits >= 8; c->n_bits -= 8, c->bits >>= 8) {
		c->block[c->n_block++] = (uint8_t)c->bits;
		if (c->n_block == c->most_block)
			end_block(c);
	}
}

static void start_over(struct coder *c, int bits)
{
	memset(c->next, 0xff, sizeof c->next);
	c->words = (1 << bits) + 2;
	c->width = bits + 1;
}

/* The longest known word each time; a full table is kept, or cleared at some time. */
static void encode(struct coder *c, const uint8_t *at, size_t n, int bits, bool keeps)
{
	int clear = 1 << bits;
	c->out[c->n++] = (uint8_t)bits;
	start_over(c, bits);
	put_bits(c, (uint32_t)clear, c->width);
	int word = at[0];
	for (size_t i = 1; i < n; i++) {
		if (c->next[word][at[i]] >= 0) {
			word = c->next[word][at[i]];
			continue;
		}
		put_bits(c, (uint32_t)word, c->width);
		if (c->words < LZW_WORDS) {
			c->next[word][at[i]] = (int16_t)c->words;
			/* The reader knows each word one code later. */
			if (c->words++ == 1 << c->width)
				c->width++;
		} else if (!keeps) {
			put_bits(c, (uint32_t)clear, c->width);
			start_over(c, bits);
		}
		word = at[i];
	}
	put_bits(c, (uint32_t)word, c->width);
	if (c->words < LZW_WORDS && c->words == 1 << c->width)
		c->width++;
	put_bits(c, (uint32_t)clear + 1, c->width);
	put_bits(c, 0, 7);
	end_block(c);
	c->out[c->n++] = 0;
}

static void fill(uint8_t *at, size_t n, int bits)
{
	uint32_t kinds = 1u << bits, run = 1 + random_below(40);
	for (size_t i = 0; i < n; i++)
		at[i] = (uint8_t)(random_below(run) == 0 || i == 0 ? random_below(kinds) : at[i - 1]);
	/* One colour: words that are used as they come about. */
	if (random_below(5) == 0)
		memset(at, 0, n);
}

static void indexes_come_back(void **state)
{
	struct coder *c = malloc(sizeof *c);
	struct lzw *z = malloc(sizeof *z);
	uint8_t *at = malloc(MOST), *back = malloc(MOST);
	(void)state;
	for (int i = 0; i < 160; i++) {
		struct arena *a = arena_open();
		struct error err = {0};
		int bits = 1 + i % 8;
		size_t n = 1 + random_below(random_below(3) ? MOST : 300), done = 0;
		fill(at, n, bits);
		*c = (struct coder){.most_block = (uint8_t)(1 + random_below(255))};
		encode(c, at, n, bits, random_below(2));
		struct source *s = memory_source_open(a, (struct str){(const char *)c->out, c->n});
		assert_true(lzw_open(z, s, 0, &err));
		while (done < n) {
			size_t part = 1 + random_below(5000);
			part = part < n - done ? part : n - done;
			if (!lzw_read(z, back + done, part, &err))
				fail_msg("%zu of %zu: %s", done, n, err.why);
			done += part;
		}
		assert_memory_equal(at, back, n);
		/* There are no more, however often one asks. */
		assert_false(lzw_read(z, back, 1, &err));
		assert_int_equal(err.status, 500);
		arena_close(a);
	}
	free(c);
	free(z);
	free(at);
	free(back);
}

static void damage_is_refused(void **state)
{
	static const struct str files[] = {
		STR(""), STR("\0\2\0\0\0"), STR("\11\2\0\0\0"), STR("\2"), STR("\2\0"), STR("\2\3\x44"),
		/* No index first; a code that is not known yet; the end at once. */
		STR("\2\2\x34\0\0"), STR("\2\2\x84\1\0"), STR("\2\1\x2c\0"),
	};
	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct arena *a = arena_open();
		struct lzw *z = arena_new(a, struct lzw);
		struct error err = {0};
		uint8_t to[100];
		bool ok = lzw_open(z, memory_source_open(a, files[i]), 0, &err) && lzw_read(z, to, sizeof to, &err);
		if (ok || err.status != 500 || err.reason != REASON_DAMAGED)
			fail_msg("file %zu: %d %s", i, err.status, err.why);
		arena_close(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(indexes_come_back),
		cmocka_unit_test(damage_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
