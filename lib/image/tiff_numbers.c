/* SPDX-License-Identifier: BSD-2-Clause */
#include "tiff_numbers.h"

#include <math.h>
#include <string.h>

#include <tiffio.h>

static void codes8(const uint8_t *row, size_t at, size_t step, uint32_t n, unsigned bits, uint16_t *out)
{
	(void)bits;
	for (uint32_t i = 0; i < n; i++)
		out[i] = row[at + i * step];
}

static void codes16(const uint8_t *row, size_t at, size_t step, uint32_t n, unsigned bits, uint16_t *out)
{
	(void)bits;
	for (uint32_t i = 0; i < n; i++)
		memcpy(&out[i], row + 2 * (at + i * step), 2);
}

/* The first sample in a byte's highest bits. */
static void codes_below8(const uint8_t *row, size_t at, size_t step, uint32_t n, unsigned bits, uint16_t *out)
{
	unsigned mask = (1u << bits) - 1;
	for (uint32_t i = 0; i < n; i++) {
		size_t bit = (at + i * step) * bits;
		out[i] = (uint16_t)(row[bit >> 3] >> (8 - bits - (bit & 7)) & mask);
	}
}

static void codes_across(const uint8_t *row, size_t at, size_t step, uint32_t n, unsigned bits, uint16_t *out)
{
	unsigned mask = (1u << bits) - 1;
	for (uint32_t i = 0; i < n; i++) {
		size_t bit = (at + i * step) * bits;
		const uint8_t *b = row + (bit >> 3);
		out[i] = (uint16_t)((unsigned)(b[0] << 16 | b[1] << 8 | b[2]) >> (24 - bits - (bit & 7)) & mask);
	}
}

tiff_codes_fn *tiff_codes_find(unsigned bits)
{
	if (bits == 8)
		return codes8;
	if (bits == 16)
		return codes16;
	return bits == 1 || bits == 2 || bits == 4 ? codes_below8 : codes_across;
}

static uint32_t three_bytes(const uint8_t *b)
{
	uint32_t v = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	memcpy(&v, b, 3);
#else
	memcpy((uint8_t *)&v + 1, b, 3);
#endif
	return v;
}

static double unsigned24(const uint8_t *b)
{
	return three_bytes(b);
}

static double signed24(const uint8_t *b)
{
	return (int32_t)(three_bytes(b) << 8) / 256;
}

/* Sign, exponent, and so many bits of fraction. */
static double small_float(uint32_t v, int exponent_bits, int fraction_bits)
{
	int exponent = (int)(v >> fraction_bits) & ((1 << exponent_bits) - 1), bias = (1 << (exponent_bits - 1)) - 1;
	double fraction = v & ((1u << fraction_bits) - 1);
	double size;
	if (exponent == (1 << exponent_bits) - 1)
		size = fraction > 0 ? NAN : INFINITY;
	else if (exponent == 0)
		size = ldexp(fraction, 1 - bias - fraction_bits);
	else
		size = ldexp(fraction + (1u << fraction_bits), exponent - bias - fraction_bits);
	return v >> (exponent_bits + fraction_bits) ? -size : size;
}

static double float16(const uint8_t *b)
{
	uint16_t v;
	memcpy(&v, b, 2);
	return small_float(v, 5, 10);
}

static double float24(const uint8_t *b)
{
	return small_float(three_bytes(b), 7, 16);
}

#define WHOLE(name, type) \
	static double name(const uint8_t *b) \
	{ \
		type v; \
		memcpy(&v, b, sizeof v); \
		return (double)v; \
	}
WHOLE(signed8, int8_t)
WHOLE(signed16, int16_t)
WHOLE(signed32, int32_t)
WHOLE(signed64, int64_t)
WHOLE(unsigned32, uint32_t)
WHOLE(unsigned64, uint64_t)
WHOLE(float32, float)
WHOLE(float64, double)

/* A loop for each, so that the compiler sees its body. */
#define LOOP(name, bytes) \
	static void name##_all(const uint8_t *row, size_t at, size_t step, uint32_t n, double *out) \
	{ \
		for (uint32_t i = 0; i < n; i++) \
			out[i] = name(row + (at + i * step) * (bytes)); \
	}
LOOP(signed8, 1)
LOOP(signed16, 2)
LOOP(float16, 2)
LOOP(unsigned24, 3)
LOOP(signed24, 3)
LOOP(float24, 3)
LOOP(unsigned32, 4)
LOOP(signed32, 4)
LOOP(float32, 4)
LOOP(unsigned64, 8)
LOOP(signed64, 8)
LOOP(float64, 8)

static const struct {
	unsigned bits, format;
	tiff_numbers_fn *numbers;
} kinds[] = {
	{8, SAMPLEFORMAT_INT, signed8_all},	{16, SAMPLEFORMAT_INT, signed16_all},
	{24, SAMPLEFORMAT_INT, signed24_all},	{32, SAMPLEFORMAT_INT, signed32_all},
	{64, SAMPLEFORMAT_INT, signed64_all},	{24, SAMPLEFORMAT_UINT, unsigned24_all},
	{32, SAMPLEFORMAT_UINT, unsigned32_all}, {64, SAMPLEFORMAT_UINT, unsigned64_all},
	{16, SAMPLEFORMAT_IEEEFP, float16_all},	{24, SAMPLEFORMAT_IEEEFP, float24_all},
	{32, SAMPLEFORMAT_IEEEFP, float32_all},	{64, SAMPLEFORMAT_IEEEFP, float64_all},
};

tiff_numbers_fn *tiff_numbers_find(unsigned bits, unsigned format)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i].bits == bits && kinds[i].format == format)
			return kinds[i].numbers;
	return NULL;
}
