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
#define BESIDE (LANES < 8 ? 2 : 4)
#define MIDDLE_BITS 6
#define DOWN_BITS (WEIGHT_BITS - MIDDLE_BITS)
#define ACROSS_BITS (WEIGHT_BITS + MIDDLE_BITS)

/* A pair of samples or weights in each lane: two 16-bit numbers. */
typedef int32_t lanes __attribute__((vector_size(LANES * sizeof(int32_t)), aligned(4)));
/* Whole quads, which are turned and packed each by itself. */
#define WIDTH (LANES < 4 ? 4 : LANES)
typedef int32_t wide __attribute__((vector_size(WIDTH * sizeof(int32_t)), aligned(4)));
typedef uint8_t samples __attribute__((vector_size(WIDTH * sizeof(int32_t))));

/* Of one strip; a row has room for `stride` columns. */
struct strip {
	const struct weighing *w;
	uint32_t x, n;                 /* output columns */
	uint32_t from, columns;        /* input columns, the first one even */
	size_t stride;
	int32_t *pairs;                /* WEIGH_PAIRS rows */
	int32_t *sums;                 /* ROWS rows, where not all of their pairs are there at once */
	int16_t *middle;               /* ROWS rows */
	int32_t *columns_of_pairs;     /* stride / 2 columns of ROWS, and a window's room behind them */
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

/* Neighbours from two vectors: of each quad's first and of its second half. */
static wide first_halves(wide a, wide b)
{
#if WIDTH == 16
	return (wide)_mm512_unpacklo_epi32((__m512i)a, (__m512i)b);
#elif WIDTH == 8
	return (wide)_mm256_unpacklo_epi32((__m256i)a, (__m256i)b);
#else
	return __builtin_shufflevector(a, b, 0, 4, 1, 5);
#endif
}

static wide second_halves(wide a, wide b)
{
#if WIDTH == 16
	return (wide)_mm512_unpackhi_epi32((__m512i)a, (__m512i)b);
#elif WIDTH == 8
	return (wide)_mm256_unpackhi_epi32((__m256i)a, (__m256i)b);
#else
	return __builtin_shufflevector(a, b, 2, 6, 3, 7);
#endif
}

/* Lays four by four numbers on their side, in each quad. */
static void turn(const int32_t *from, size_t stride, wide to[4])
{
	const wide a = *(const wide *)from, b = *(const wide *)(from + stride);
	const wide c = *(const wide *)(from + 2 * stride), d = *(const wide *)(from + 3 * stride);
	const wide ac = first_halves(a, c), bd = first_halves(b, d), ca = second_halves(a, c), db = second_halves(b, d);
	to[0] = first_halves(ac, bd);
	to[1] = second_halves(ac, bd);
	to[2] = first_halves(ca, db);
	to[3] = second_halves(ca, db);
}

static void lay_pairs_on_side(const struct strip *s)
{
	const size_t stride = s->stride / 2;
	for (uint32_t x = 0; x < s->columns / 2; x += WIDTH)
		for (uint32_t y = 0; y < ROWS; y += 4) {
			wide turned[4];
			turn((const int32_t *)s->middle + y * stride + x, stride, turned);
			for (int k = 0; k < WIDTH; k++)
				memcpy(s->columns_of_pairs + (x + k) * ROWS + y, (const int32_t *)&turned[k % 4] + k / 4 * 4,
				       4 * sizeof(int32_t));
		}
}

/*
 * ROWS columns of the output from x on, the last of n again where there are less: BESIDE at a time, so that sums need not
 * wait for each other. Of each as many pairs as there is room for, whose weights may be zero: the number is the same for
 * all.
 */
static void sum_across(const struct strip *s, uint32_t x, uint32_t n, int32_t *sums)
{
	const struct windows *across = &s->w->across;
	const size_t room = across->room;
	for (uint32_t i = 0; i < ROWS; i += BESIDE) {
		const int32_t *in[BESIDE];
		const int16_t *weights[BESIDE];
		lanes sum[BESIDE][ROWS / LANES];
		for (uint32_t c = 0; c < BESIDE; c++) {
			uint32_t column = x + least(i + c, n - 1);
			in[c] = s->columns_of_pairs + (across->first[column] / 2 - s->from / 2) * ROWS;
			weights[c] = across->weights + column * room;
			for (int k = 0; k < ROWS / LANES; k++)
				sum[c][k] = (1 << (ACROSS_BITS - 1)) - (lanes){0};
		}
		for (size_t p = 0; p < room; p += 2)
			for (int c = 0; c < BESIDE; c++) {
				lanes weight = everywhere(weights[c] + p);
				for (int k = 0; k < ROWS / LANES; k++)
					sum[c][k] = times(sum[c][k], ((const lanes *)(in[c] + p * (ROWS / 2)))[k], weight);
			}
		memcpy(sums + i * ROWS, sum, sizeof sum);
	}
}

/* Sums as samples: of each quad those of the four vectors. */
static samples round_sums(wide a, wide b, wide c, wide d)
{
	a >>= ACROSS_BITS;
	b >>= ACROSS_BITS;
	c >>= ACROSS_BITS;
	d >>= ACROSS_BITS;
#if WIDTH == 16
	return (samples)_mm512_packus_epi16(_mm512_packs_epi32((__m512i)a, (__m512i)b),
					    _mm512_packs_epi32((__m512i)c, (__m512i)d));
#elif WIDTH == 8
	return (samples)_mm256_packus_epi16(_mm256_packs_epi32((__m256i)a, (__m256i)b),
					    _mm256_packs_epi32((__m256i)c, (__m256i)d));
#elif defined __SSE2__
	return (samples)_mm_packus_epi16(_mm_packs_epi32((__m128i)a, (__m128i)b), _mm_packs_epi32((__m128i)c, (__m128i)d));
#else
	samples out;
	const wide all[] = {a, b, c, d};
	for (int k = 0; k < 16; k++) {
		int v = all[k / 4][k % 4];
		out[k] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
	}
	return out;
#endif
}

/* Rows of samples from columns of sums. */
static void make_samples(const int32_t *sums, uint8_t rows[ROWS][ROWS])
{
	for (int v = 0; v < ROWS; v += WIDTH) {
		wide turned[4][4];
		for (int g = 0; g < 4; g++)
			turn(sums + 4 * g * ROWS + v, ROWS, turned[g]);
		for (int k = 0; k < 4; k++) {
			samples made = round_sums(turned[0][k], turned[1][k], turned[2][k], turned[3][k]);
			for (int quad = 0; quad < WIDTH / 4; quad++)
				memcpy(rows[v + 4 * quad + k], (const uint8_t *)&made + quad * ROWS, ROWS);
		}
	}
}

/* The strip's part of the output rows from y on, at most ROWS. */
static void make_rows(const struct strip *s, uint32_t y, uint32_t n)
{
	const struct plane *out = s->w->out;
	int32_t sums[ROWS * ROWS];
	uint8_t rows[ROWS][ROWS];
	sum_down(s, y, n);
	lay_pairs_on_side(s);
	for (uint32_t x = s->x; x < s->x + s->n; x += ROWS) {
		uint32_t m = least(ROWS, s->x + s->n - x);
		sum_across(s, x, m, sums);
		make_samples(sums, rows);
		uint8_t *to = out->at + y * out->stride + x;
		for (uint32_t k = 0; k < n; k++, to += out->stride)
			if (m == ROWS)
				memcpy(to, rows[k], ROWS);
			else
				memcpy(to, rows[k], m);
	}
}

bool WEIGH(const struct weighing *w, struct error *err)
{
	size_t stride = weigh_columns(w->across.room, w->in->w);
	struct strip s = {.w = w, .stride = stride, .pairs = w->scratch};
	s.sums = s.pairs + WEIGH_PAIRS * stride;
	s.middle = (int16_t *)(s.sums + ROWS * stride);
	s.columns_of_pairs = s.sums + ROWS * (stride + stride / 2);
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
