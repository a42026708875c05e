/* SPDX-License-Identifier: BSD-2-Clause */
#include "rows.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

#ifndef ROWS
#define ROWS rows_plain

const struct rows *rows_fastest(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return &rows_avx2;
#endif
	return &rows_plain;
}
#endif

#define FIX ROWS_FIX
#define HALF ROWS_HALF

static void split3(const uint8_t *restrict from, uint32_t n, uint8_t *restrict a, uint8_t *restrict b, uint8_t *restrict c)
{
	for (uint32_t i = 0; i < n; i++) {
		a[i] = from[3 * (size_t)i];
		b[i] = from[3 * (size_t)i + 1];
		c[i] = from[3 * (size_t)i + 2];
	}
}

static void split4(const uint8_t *restrict from, uint32_t n, uint8_t *restrict a, uint8_t *restrict b, uint8_t *restrict c,
		   uint8_t *restrict d)
{
	for (uint32_t i = 0; i < n; i++) {
		a[i] = from[4 * (size_t)i];
		b[i] = from[4 * (size_t)i + 1];
		c[i] = from[4 * (size_t)i + 2];
		d[i] = from[4 * (size_t)i + 3];
	}
}

static void split(const uint8_t *restrict from, uint32_t n, int channels, uint8_t *const to[])
{
	if (channels == 3)
		split3(from, n, to[0], to[1], to[2]);
	else
		split4(from, n, to[0], to[1], to[2], to[3]);
}

static void join3(const uint8_t *restrict a, const uint8_t *restrict b, const uint8_t *restrict c, uint32_t n,
		  uint8_t *restrict to)
{
	for (uint32_t i = 0; i < n; i++) {
		to[3 * (size_t)i] = a[i];
		to[3 * (size_t)i + 1] = b[i];
		to[3 * (size_t)i + 2] = c[i];
	}
}

static void join4(const uint8_t *restrict a, const uint8_t *restrict b, const uint8_t *restrict c, const uint8_t *restrict d,
		  uint32_t n, uint8_t *restrict to)
{
	for (uint32_t i = 0; i < n; i++) {
		to[4 * (size_t)i] = a[i];
		to[4 * (size_t)i + 1] = b[i];
		to[4 * (size_t)i + 2] = c[i];
		to[4 * (size_t)i + 3] = d[i];
	}
}

static void join(const uint8_t *const from[], uint32_t n, int channels, uint8_t *restrict to)
{
	if (channels == 3)
		join3(from[0], from[1], from[2], n, to);
	else
		join4(from[0], from[1], from[2], from[3], n, to);
}

static void to_luma(uint8_t *restrict r, uint8_t *restrict g, uint8_t *restrict b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		r[i] = (uint8_t)ROWS_LUMA(r[i], g[i], b[i]);
}

#ifdef __AVX2__
/* Sixteen sums of 16-bit numbers, by pairs that are laid beside each other: r with g, and b with one. */
struct pairs {
	__m256i rg[2], b1[2];
};

static __m256i weigh(const struct pairs *p, int r, int g, int b, int one)
{
	const __m256i k_rg = _mm256_set1_epi32((int)((uint32_t)g << 16 | (uint16_t)r));
	const __m256i k_b1 = _mm256_set1_epi32((int)((uint32_t)one << 16 | (uint16_t)b));
	__m256i sum[2];
	for (int i = 0; i < 2; i++)
		sum[i] = _mm256_srai_epi32(_mm256_add_epi32(_mm256_madd_epi16(p->rg[i], k_rg), _mm256_madd_epi16(p->b1[i], k_b1)), 16);
	return _mm256_packs_epi32(sum[0], sum[1]);
}

static void store_bytes(__m256i shorts, uint8_t *to)
{
	__m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(shorts, shorts), 0x08);
	_mm_storeu_si128((__m128i *)to, _mm256_castsi256_si128(bytes));
}

/* As below, the same numbers: a factor that is too large for 16 bits is less by one here, and that added behind. */
static uint32_t rgb_to_ycc_vectors(uint8_t *p, uint8_t *q, uint8_t *s, uint32_t n)
{
	enum { WHOLE = 65536 };
	const __m256i one = _mm256_set1_epi16(1), middle = _mm256_set1_epi16(128);
	uint32_t i = 0;
	for (; i + 16 <= n; i += 16) {
		__m256i r = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(p + i)));
		__m256i g = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(q + i)));
		__m256i b = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(s + i)));
		const struct pairs pairs = {{_mm256_unpacklo_epi16(r, g), _mm256_unpackhi_epi16(r, g)},
					    {_mm256_unpacklo_epi16(b, one), _mm256_unpackhi_epi16(b, one)}};
		__m256i y = weigh(&pairs, FIX(0.299), FIX(0.587) - WHOLE, FIX(0.114), HALF - WHOLE);
		__m256i cb = weigh(&pairs, FIX(-0.168735892), FIX(-0.331264108), FIX(0.5) - WHOLE, HALF - 1);
		__m256i cr = weigh(&pairs, FIX(0.5) - WHOLE, FIX(-0.418687589), FIX(-0.081312411), HALF - 1);
		store_bytes(_mm256_add_epi16(y, _mm256_add_epi16(g, one)), p + i);
		store_bytes(_mm256_add_epi16(cb, _mm256_add_epi16(b, middle)), q + i);
		store_bytes(_mm256_add_epi16(cr, _mm256_add_epi16(r, middle)), s + i);
	}
	return i;
}
#endif

/* No sum leaves 0 to 255: chroma is rounded so that 127.5 stays below. */
static void rgb_to_ycc(uint8_t *restrict p, uint8_t *restrict q, uint8_t *restrict s, uint32_t n)
{
	uint32_t i = 0;
#ifdef __AVX2__
	i = rgb_to_ycc_vectors(p, q, s, n);
#endif
	for (; i < n; i++) {
		int r = p[i], g = q[i], b = s[i];
		p[i] = (uint8_t)ROWS_LUMA(r, g, b);
		q[i] = (uint8_t)(((FIX(-0.168735892) * r + FIX(-0.331264108) * g + FIX(0.5) * b + HALF - 1) >> 16) + 128);
		s[i] = (uint8_t)(((FIX(0.5) * r + FIX(-0.418687589) * g + FIX(-0.081312411) * b + HALF - 1) >> 16) + 128);
	}
}

static inline uint8_t clamp(int v)
{
	v = v < 0 ? 0 : v;
	return (uint8_t)(v > 255 ? 255 : v);
}

static void ycc_to_rgb(uint8_t *restrict p, uint8_t *restrict q, uint8_t *restrict s, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		int l = (p[i] << 16) + HALF, cb = q[i] - 128, cr = s[i] - 128;
		p[i] = clamp((l + FIX(1.402) * cr) >> 16);
		q[i] = clamp((l - FIX(0.344136286) * cb - FIX(0.714136286) * cr) >> 16);
		s[i] = clamp((l + FIX(1.772) * cb) >> 16);
	}
}

/* In steps, so that `to` may be a: what is read of a lies at or behind what is written. */
static void halve(const uint8_t *a, const uint8_t *b, uint32_t n, int up, uint8_t *to)
{
	uint32_t i = 0;
#ifdef __AVX2__
	const __m256i one = _mm256_set1_epi8(1), more = _mm256_set1_epi16((short)up);
	for (; i + 16 <= n; i += 16) {
		__m256i above = _mm256_loadu_si256((const __m256i *)(a + 2 * (size_t)i));
		__m256i below = _mm256_loadu_si256((const __m256i *)(b + 2 * (size_t)i));
		__m256i sum = _mm256_add_epi16(_mm256_maddubs_epi16(above, one), _mm256_maddubs_epi16(below, one));
		store_bytes(_mm256_srli_epi16(_mm256_add_epi16(sum, more), 2), to + i);
	}
#endif
	for (; i < n; i++)
		to[i] = (uint8_t)((a[2 * i] + a[2 * i + 1] + b[2 * i] + b[2 * i + 1] + up) >> 2);
}

static void subtract(const uint8_t *restrict from, size_t n, size_t before, uint8_t *restrict to)
{
	size_t first = before < n ? before : n;
	for (size_t i = 0; i < first; i++)
		to[i] = from[i];
	for (size_t i = first; i < n; i++)
		to[i] = (uint8_t)(from[i] - from[i - before]);
}

#ifdef __AVX2__
/* For shuffles of both halves: byte i from `by` bytes before it, or zero. */
static __m256i moved_by(int by)
{
	char from[16];
	for (int i = 0; i < 16; i++)
		from[i] = (char)(i < by ? -1 : i - by);
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)from));
}

static __m256i load_halves(const uint8_t *at, size_t apart)
{
	return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)at)),
				       _mm_loadu_si128((const __m128i *)(at + apart)), 1);
}

/*
 * Twice as many whole pixels as 16 bytes have at a time: within each half sums double their reach in each of four steps,
 * then the second gets what the first has come to, and both what all before have.
 */
static size_t add_whole(uint8_t *at, size_t n, int before)
{
	const size_t half = 16 / (size_t)before * (size_t)before;
	const __m256i once = moved_by(before), twice = moved_by(2 * before);
	const __m256i by_four = moved_by(4 * before), by_eight = moved_by(8 * before);
	char last[16];
	for (int i = 0; i < 16; i++)
		last[i] = (char)((int)half - before + i % before);
	const __m256i of_last = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)last));
	__m256i so_far = _mm256_setzero_si256();
	size_t i = 0;
	if (n < 64)
		return 0;
	/* Bytes behind the pixels are read before they are overwritten. */
	__m256i next = load_halves(at, half);
	for (; i + 64 <= n; i += 2 * half) {
		__m256i v = next;
		next = load_halves(at + i + 2 * half, half);
		v = _mm256_add_epi8(v, _mm256_shuffle_epi8(v, once));
		v = _mm256_add_epi8(v, _mm256_shuffle_epi8(v, twice));
		v = _mm256_add_epi8(v, _mm256_shuffle_epi8(v, by_four));
		v = _mm256_add_epi8(v, _mm256_shuffle_epi8(v, by_eight));
		__m256i first = _mm256_shuffle_epi8(v, of_last);
		v = _mm256_add_epi8(v, _mm256_permute2x128_si256(first, first, 0x08));
		__m256i all = _mm256_shuffle_epi8(v, of_last);
		v = _mm256_add_epi8(v, so_far);
		so_far = _mm256_add_epi8(so_far, _mm256_permute2x128_si256(all, all, 0x11));
		_mm_storeu_si128((__m128i *)(at + i), _mm256_castsi256_si128(v));
		_mm_storeu_si128((__m128i *)(at + i + half), _mm256_extracti128_si256(v, 1));
	}
	_mm_storeu_si128((__m128i *)(at + i), _mm256_castsi256_si128(next));
	return i;
}
#endif

static void add(uint8_t *at, size_t n, size_t before)
{
	size_t done = 0;
#ifdef __AVX2__
	done = add_whole(at, n, (int)before);
#endif
	for (size_t c = 0; c < before; c++) {
		uint8_t sum = done ? at[done - before + c] : 0;
		for (size_t i = done + c; i < n; i += before)
			at[i] = sum = (uint8_t)(sum + at[i]);
	}
}

const struct rows ROWS = {split, join, subtract, add, to_luma, rgb_to_ycc, ycc_to_rgb, halve};
