/* SPDX-License-Identifier: BSD-2-Clause */
#include "rows.h"

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

/* No sum leaves 0 to 255: chroma is rounded so that 127.5 stays below. */
static void rgb_to_ycc(uint8_t *restrict p, uint8_t *restrict q, uint8_t *restrict s, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
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

static void halve(const uint8_t *a, const uint8_t *b, uint32_t n, int up, uint8_t *to)
{
	/* Through a buffer, so that nothing overlaps. */
	uint8_t means[256];
	for (uint32_t x = 0; x < n; x += sizeof means) {
		uint32_t m = n - x < sizeof means ? n - x : (uint32_t)sizeof means;
		const uint8_t *above = a + 2 * (size_t)x, *below = b + 2 * (size_t)x;
		for (uint32_t i = 0; i < m; i++)
			means[i] = (uint8_t)((above[2 * i] + above[2 * i + 1] + below[2 * i] + below[2 * i + 1] + up) >> 2);
		for (uint32_t i = 0; i < m; i++)
			to[x + i] = means[i];
	}
}

static void subtract(const uint8_t *restrict from, size_t n, size_t before, uint8_t *restrict to)
{
	size_t first = before < n ? before : n;
	for (size_t i = 0; i < first; i++)
		to[i] = from[i];
	for (size_t i = first; i < n; i++)
		to[i] = (uint8_t)(from[i] - from[i - before]);
}

const struct rows ROWS = {split, join, subtract, to_luma, rgb_to_ycc, ycc_to_rgb, halve};
