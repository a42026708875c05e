/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A strip of columns at a time, so narrow that all of this stays in the cache; in it sixteen output rows at a time.
 *
 * Samples are weighed by twos, as processors multiply two pairs of 16-bit numbers and add the products in one operation.
 * Down: the input rows that the sixteen need are laid in pairs, some at a time: beside each sample of an even row the one
 * below it. Each output row is the sum over its pairs of rows, in 16 bits, six of them behind the point. Then the sixteen
 * are laid on their side, neighbours in a row still beside each other, so that the same operation serves across: the sum
 * of an output column is one over pairs of columns, of sixteen rows at once. It is rounded, and laid on its side again.
 *
 * Sums of integers are exact: every processor and every width of vectors gives the same bytes. Strong ETags may be
 * compared between servers. Nothing overflows: weights of no filter come to more than 1.6 without their signs, so that
 * the sums stay below 255 * 1.6 * 2^14, what is kept of them below 408 * 2^6 and the last sums below 653 * 2^20.
 */
#include "weigh.h"

#include <string.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "../base/deadline.h"

#ifndef WEIGH
#define WEIGH weigh_plain
#endif

#ifndef LANES
#ifdef __AVX512VNNI__
#define LANES 16
#elif defined __AVX2__
#define LANES 8
#else
#define LANES 4
#endif
#endif

#define ROWS WEIGH_ROWS
/* As many sums as there are registers for, and weigh_columns leaves room for. */
#define UNROLL (LANES == 8 ? 8 : 4)
#define STEP (UNROLL * LANES)
#define MIDDLE_BITS 6
#define DOWN_BITS (WEIGHT_BITS - MIDDLE_BITS)
#define ACROSS_BITS (WEIGHT_BITS + MIDDLE_BITS)

/* A pair of samples or weights in each lane: two 16-bit numbers. */
typedef int32_t lanes __attribute__((vector_size(LANES * sizeof(int32_t)), aligned(4)));
typedef int32_t quad __attribute__((vector_size(16), aligned(4)));
typedef uint8_t bytes __attribute__((vector_size(ROWS), aligned(1)));

/* Of one strip; a row has room for `stride` columns. */
struct strip {
	const struct weighing *w;
	uint32_t x, n;                 /* output columns */
	uint32_t from, columns;        /* input columns, the first one even */
	size_t stride;
	int32_t *pairs;                /* WEIGH_PAIRS rows */
	int32_t *sums;                 /* ROWS rows, where not all of their pairs are there at once */
	int16_t *middle;               /* ROWS rows */
	int32_t *columns_of_pairs;     /* stride / 2 columns of ROWS */
};

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* The sums of the products of pairs. */
static lanes times(lanes sums, lanes a, lanes b)
{
#if LANES == 16
	return (lanes)_mm512_dpwssd_epi32((__m512i)sums, (__m512i)a, (__m512i)b);
#elif LANES == 8
	return sums + (lanes)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif LANES == 4 && defined __SSE2__
	return sums + (lanes)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
	return sums + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

/* Two vectors as 16-bit numbers, which they fit in. */
static void store_shorts(lanes a, lanes b, int16_t *to)
{
#if LANES == 16
	_mm256_storeu_si256((__m256i *)to, _mm512_cvtepi32_epi16((__m512i)a));
	_mm256_storeu_si256((__m256i *)to + 1, _mm512_cvtepi32_epi16((__m512i)b));
#elif LANES == 8
	__m256i both = _mm256_packs_epi32((__m256i)a, (__m256i)b);
	_mm256_storeu_si256((__m256i *)to, _mm256_permute4x64_epi64(both, 0xd8));
#elif LANES == 4 && defined __SSE2__
	_mm_storeu_si128((__m128i *)to, _mm_packs_epi32((__m128i)a, (__m128i)b));
#else
	for (int k = 0; k < LANES; k++) {
		to[k] = (int16_t)a[k];
		to[LANES + k] = (int16_t)b[k];
	}
#endif
}

static lanes everywhere(const int16_t *pair)
{
	int32_t both;
	memcpy(&both, pair, sizeof both);
	return both - (lanes){0};
}

/* The strip's part of input rows 2 pair and, if there is one, the next. */
static void read_pair(const struct strip *s, uint32_t pair, int32_t *restrict to)
{
	const struct plane *in = s->w->in;
	const uint8_t *above = in->at + 2 * (size_t)pair * in->stride + s->from;
	const uint8_t *below = 2 * pair + 1 < in->h ? above + in->stride : above;
	uint32_t n = least(s->columns, in->w - s->from);
	for (uint32_t x = 0; x < n; x++)
		to[x] = above[x] | below[x] << 16;
}

/* Adds the products of pairs to the sums, or makes them the sums; or, the last ones, the middle row. Whole steps: behind
 * the last column is room. */
static void add_pairs(const struct strip *s, const int32_t *pairs, const int16_t *weights, uint32_t n, bool first,
		      bool last, int32_t *sums, int16_t *middle)
{
	for (uint32_t x = 0; x < s->columns; x += STEP) {
		lanes sum[UNROLL];
		for (int k = 0; k < UNROLL; k++)
			sum[k] = first ? (1 << (DOWN_BITS - 1)) - (lanes){0} : ((const lanes *)(sums + x))[k];
		for (uint32_t p = 0; p < n; p++) {
			lanes weight = everywhere(weights + 2 * p);
			for (int k = 0; k < UNROLL; k++)
				sum[k] = times(sum[k], ((const lanes *)(pairs + p * s->stride + x))[k], weight);
		}
		for (int k = 0; k < UNROLL; k += 2)
			if (last) {
				store_shorts(sum[k] >> DOWN_BITS, sum[k + 1] >> DOWN_BITS, middle + x + k * LANES);
			} else {
				((lanes *)(sums + x))[k] = sum[k];
				((lanes *)(sums + x))[k + 1] = sum[k + 1];
			}
	}
}

static void sum_down(const struct strip *s, uint32_t y, uint32_t n)
{
	const struct windows *down = &s->w->down;
	const uint32_t *first = down->first + y, *taps = down->taps + y;
	uint32_t top = UINT32_MAX, bottom = 0;
	for (uint32_t k = 0; k < n; k++) {
		top = least(top, first[k] / 2);
		bottom = most(bottom, (first[k] + taps[k] + 1) / 2);
	}
	for (uint32_t group = top; group < bottom; group += WEIGH_PAIRS) {
		uint32_t end = least(group + WEIGH_PAIRS, bottom);
		for (uint32_t p = group; p < end; p++)
			read_pair(s, p, s->pairs + (p - group) * s->stride);
		for (uint32_t k = 0; k < n; k++) {
			uint32_t begin = first[k] / 2, stop = (first[k] + taps[k] + 1) / 2;
			uint32_t here = most(begin, group), there = least(stop, end);
			if (here < there)
				add_pairs(s, s->pairs + (here - group) * s->stride,
					  down->weights + (y + k) * down->room + 2 * (here - begin), there - here,
					  here == begin, there == stop, s->sums + k * s->stride,
					  s->middle + k * s->stride);
		}
	}
}

/* Four by four pairs at a time. */
static void lay_pairs_on_side(const struct strip *s)
{
	const size_t stride = s->stride / 2;
	for (uint32_t x = 0; x < s->columns / 2; x += 4)
		for (uint32_t y = 0; y < ROWS; y += 4) {
			const int32_t *from = (const int32_t *)s->middle + y * stride + x;
			int32_t *to = s->columns_of_pairs + x * ROWS + y;
			const quad a = *(const quad *)from, b = *(const quad *)(from + stride);
			const quad c = *(const quad *)(from + 2 * stride), d = *(const quad *)(from + 3 * stride);
			const quad ac = __builtin_shufflevector(a, c, 0, 4, 1, 5), bd = __builtin_shufflevector(b, d, 0, 4, 1, 5);
			const quad ca = __builtin_shufflevector(a, c, 2, 6, 3, 7), db = __builtin_shufflevector(b, d, 2, 6, 3, 7);
			*(quad *)to = __builtin_shufflevector(ac, bd, 0, 4, 1, 5);
			*(quad *)(to + ROWS) = __builtin_shufflevector(ac, bd, 2, 6, 3, 7);
			*(quad *)(to + 2 * ROWS) = __builtin_shufflevector(ca, db, 0, 4, 1, 5);
			*(quad *)(to + 3 * ROWS) = __builtin_shufflevector(ca, db, 2, 6, 3, 7);
		}
}

/* n columns of the output from x on, at most ROWS. */
static void sum_across(const struct strip *s, uint32_t x, uint32_t n, int32_t *sums)
{
	const struct windows *across = &s->w->across;
	for (uint32_t i = 0; i < n; i++) {
		const int16_t *weights = across->weights + (x + i) * across->room;
		uint32_t begin = across->first[x + i] / 2, stop = (across->first[x + i] + across->taps[x + i] + 1) / 2;
		const lanes *in = (const lanes *)(s->columns_of_pairs + (begin - s->from / 2) * ROWS);
		lanes sum[ROWS / LANES];
		for (int k = 0; k < ROWS / LANES; k++)
			sum[k] = (1 << (ACROSS_BITS - 1)) - (lanes){0};
		for (uint32_t p = 0; p < stop - begin; p++, in += ROWS / LANES) {
			lanes weight = everywhere(weights + 2 * p);
			for (int k = 0; k < ROWS / LANES; k++)
				sum[k] = times(sum[k], in[k], weight);
		}
		for (int k = 0; k < ROWS / LANES; k++)
			((lanes *)(sums + i * ROWS))[k] = sum[k];
	}
}

static void round_samples(const int32_t *in, uint32_t n, uint8_t *restrict out)
{
	for (uint32_t i = 0; i < n; i++) {
		int v = in[i] >> ACROSS_BITS;
		v = v > 0 ? v : 0;
		out[i] = (uint8_t)(v < 255 ? v : 255);
	}
}

/* Sixteen columns of the output, sixteen samples each. Four perfect shuffles turn them into rows. */
static void lay_bytes_on_side(const uint8_t *columns, bytes rows[ROWS])
{
	bytes a[ROWS];
	memcpy(rows, columns, ROWS * sizeof *rows);
	for (int pass = 0; pass < 4; pass++) {
		for (int i = 0; i < ROWS / 2; i++) {
			const bytes u = rows[i], v = rows[i + ROWS / 2];
			a[2 * i] = __builtin_shufflevector(u, v, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
			a[2 * i + 1] = __builtin_shufflevector(u, v, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
		}
		memcpy(rows, a, sizeof a);
	}
}

/* The strip's part of the output rows from y on, at most ROWS. */
static void make_rows(const struct strip *s, uint32_t y, uint32_t n)
{
	const struct plane *out = s->w->out;
	int32_t sums[ROWS * ROWS];
	uint8_t columns[ROWS * ROWS] = {0};
	bytes rows[ROWS];
	sum_down(s, y, n);
	lay_pairs_on_side(s);
	for (uint32_t x = s->x; x < s->x + s->n; x += ROWS) {
		uint32_t m = least(ROWS, s->x + s->n - x);
		sum_across(s, x, m, sums);
		round_samples(sums, m * ROWS, columns);
		lay_bytes_on_side(columns, rows);
		for (uint32_t k = 0; k < n; k++)
			memcpy(out->at + (y + k) * out->stride + x, &rows[k], m);
	}
}

bool WEIGH(const struct weighing *w, struct error *err)
{
	size_t stride = weigh_columns(w->across.room, w->in->w);
	struct strip s = {.w = w, .stride = stride, .pairs = w->scratch};
	s.sums = s.pairs + WEIGH_PAIRS * stride;
	s.columns_of_pairs = s.sums + ROWS * stride;
	s.middle = (int16_t *)(s.columns_of_pairs + ROWS * stride / 2);
	for (uint32_t x = 0; x < w->across.n; x += s.n) {
		s.x = x;
		s.n = windows_strip(&w->across, x, stride, &s.from, &s.columns);
		for (uint32_t y = 0; y < w->down.n; y += ROWS) {
			if (!deadline_check(err))
				return false;
			make_rows(&s, y, least(ROWS, w->down.n - y));
		}
	}
	return true;
}
