/* SPDX-License-Identifier: BSD-2-Clause */
#include "tiff_samples.h"

#include <math.h>
#include <string.h>

#include <tiffio.h>

#include "tiff_numbers.h"

#define CHUNK 1024             /* pixels at once */

struct tiff_unpacker {
	const struct tiff_samples *s;
	tiff_codes_fn *codes;
	tiff_numbers_fn *numbers;
	uint16_t *meaning[IMAGE_MAX_PLANES];   /* of a plane's codes; NULL: they are right as they are */
	bool as_they_are;              /* all samples, of 8 bits, plane by plane */
};

bool tiff_unsupported(struct error *err, const char *what, unsigned value)
{
	return fail(err, 501, REASON_UNSUPPORTED, "This kind of TIFF is not supported.", "%s %u", what, value);
}

static bool is_lab(uint16_t photometric)
{
	return photometric == PHOTOMETRIC_CIELAB || photometric == PHOTOMETRIC_ICCLAB;
}

static bool is_gray_palette(const struct tiff_samples *s)
{
	size_t bytes = sizeof(uint16_t) << s->bits;
	return memcmp(s->palette[0], s->palette[1], bytes) == 0 && memcmp(s->palette[0], s->palette[2], bytes) == 0;
}

static bool choose_model(struct tiff_samples *s, struct error *err)
{
	switch (s->photometric) {
	case PHOTOMETRIC_MINISBLACK:
	case PHOTOMETRIC_MINISWHITE:
	case PHOTOMETRIC_LOGL:
		s->model = MODEL_GRAY;
		return true;
	case PHOTOMETRIC_PALETTE:
		s->model = s->palette[0] && is_gray_palette(s) ? MODEL_GRAY : MODEL_RGB;
		return s->palette[0] || tiff_unsupported(err, "palette without colours, bits", s->bits);
	case PHOTOMETRIC_RGB:
	case PHOTOMETRIC_LOGLUV:
		s->model = MODEL_RGB;
		return true;
	case PHOTOMETRIC_YCBCR:
		s->model = s->compression == COMPRESSION_JPEG ? MODEL_YCC : MODEL_RGB;
		return true;
	case PHOTOMETRIC_SEPARATED:
		s->model = MODEL_CMYK;
		return true;
	case PHOTOMETRIC_CIELAB:
	case PHOTOMETRIC_ICCLAB:
		s->model = MODEL_LAB;
		return true;
	default:
		return tiff_unsupported(err, "photometric interpretation", s->photometric);
	}
}

static bool is_block_side(uint8_t side)
{
	return side == 1 || side == 2 || side == 4;
}

/* YCbCr comes in blocks that only bytes are known in. */
static bool check_ycbcr(const struct tiff_samples *s, struct error *err)
{
	if (s->bits != 8 || s->format != SAMPLEFORMAT_UINT)
		return tiff_unsupported(err, "YCbCr of bits", s->bits);
	if (!is_block_side(s->block_w) || !is_block_side(s->block_h))
		return tiff_unsupported(err, "YCbCr with subsampling", s->block_w);
	if (s->n != 3)
		return tiff_unsupported(err, "YCbCr with samples per pixel", s->n);
	if (s->separate)
		return tiff_unsupported(err, "YCbCr in separate planes, columns", s->block_w);
	return true;
}

/* Some writers have colours of 8 bits in their palettes of 16. */
static uint16_t palette_most(const struct tiff_samples *s)
{
	for (int i = 0; i < 3; i++)
		for (size_t k = 0; k < (size_t)1 << s->bits; k++)
			if (s->palette[i][k] > 255)
				return 65535;
	return 255;
}

bool tiff_samples_choose(struct tiff_samples *s, struct error *err)
{
	if (s->format == SAMPLEFORMAT_VOID)
		s->format = SAMPLEFORMAT_UINT;
	if (!choose_model(s, err))
		return false;
	bool palette = s->photometric == PHOTOMETRIC_PALETTE;
	if (palette)
		s->palette_most = palette_most(s);
	bool codes = s->format == SAMPLEFORMAT_UINT && s->bits >= 1 && s->bits <= 16;
	s->quantities = !codes;
	s->deep = s->bits > 8 && !palette;
	if (s->quantities && (palette || is_lab(s->photometric) || !tiff_numbers_find(s->bits, s->format)))
		return tiff_unsupported(err, "a sample format of bits", s->bits);
	if (s->quantities)
		s->deep = true;
	if (is_lab(s->photometric) && s->bits != 8 && s->bits != 16)
		return tiff_unsupported(err, "Lab of bits", s->bits);
	if (s->n < (palette ? 1 : model_planes(s->model)))
		return tiff_unsupported(err, "samples per pixel", s->n);
	return s->photometric != PHOTOMETRIC_YCBCR || check_ycbcr(s, err);
}

static bool has_blocks(const struct tiff_samples *s)
{
	return s->photometric == PHOTOMETRIC_YCBCR && s->compression != COMPRESSION_JPEG;
}

/* Of a row of pixels, or of blocks. */
static uint64_t row_bytes(const struct tiff_samples *s, uint64_t w)
{
	if (has_blocks(s))
		return (w + s->block_w - 1) / s->block_w * (2u + s->block_w * s->block_h);
	return (w * tiff_samples_together(s) * s->bits + 7) / 8;
}

uint64_t tiff_samples_bytes(const struct tiff_samples *s, uint64_t w, uint64_t rows)
{
	uint64_t bytes, lines = has_blocks(s) ? (rows + s->block_h - 1) / s->block_h : rows;
	return __builtin_mul_overflow(row_bytes(s, w), lines, &bytes) ? UINT64_MAX : bytes;
}

int tiff_samples_source(const struct tiff_samples *s, int i)
{
	if (i == model_planes(s->model))
		return s->alpha_at;
	return s->photometric == PHOTOMETRIC_PALETTE ? 0 : i;
}

/* v of `most` as a part of `full`. */
static uint16_t part(uint32_t v, uint32_t most, uint32_t full)
{
	return (uint16_t)((v * full + most / 2) / most);
}

/* Lab of 16 bits has its 255 at 0xff00 and counts in 1/256; planes count in 1/257. */
static uint16_t lab16(uint32_t v)
{
	v = (v * 257 + 128) / 256;
	return v > 65535 ? 65535 : (uint16_t)v;
}

/* What a code in plane i stands for. */
static uint16_t meaning_of(const struct tiff_samples *s, int i, uint32_t code)
{
	uint32_t most = (1u << s->bits) - 1, full = s->deep ? 65535 : 255;
	if (i == model_planes(s->model))
		return part(code, most, full);
	switch (s->photometric) {
	case PHOTOMETRIC_PALETTE:
		return part(s->palette[i][code], s->palette_most, 255);
	case PHOTOMETRIC_MINISWHITE:
		return part(most - code, most, full);
	case PHOTOMETRIC_CIELAB:
		if (s->bits == 8)
			return (uint16_t)(i ? code ^ 0x80 : code);
		return i ? lab16(code ^ 0x8000) : (uint16_t)code;
	case PHOTOMETRIC_ICCLAB:
		return s->bits == 8 ? (uint16_t)code : lab16(code);
	default:
		return part(code, most, full);
	}
}

static bool is_plain(const struct tiff_samples *s, int i)
{
	bool colour = i < model_planes(s->model);
	return (s->bits == 8 || s->bits == 16) && s->deep == (s->bits == 16) &&
	       !(colour && (s->photometric == PHOTOMETRIC_MINISWHITE || s->photometric == PHOTOMETRIC_PALETTE ||
			    is_lab(s->photometric)));
}

bool tiff_unpacker_open(struct arena *a, const struct tiff_samples *s, struct tiff_unpacker **out, struct error *err)
{
	struct tiff_unpacker *u = *out = arena_new(a, struct tiff_unpacker);
	u->s = s;
	if (s->quantities) {
		u->numbers = tiff_numbers_find(s->bits, s->format);
		return true;
	}
	u->codes = tiff_codes_find(s->bits);
	u->as_they_are = s->bits == 8 && !s->separate && (!s->alpha || s->alpha_at == model_planes(s->model));
	for (int i = 0; i < model_planes(s->model) + s->alpha; i++) {
		if (is_plain(s, i))
			continue;
		u->as_they_are = false;
		uint16_t *table = u->meaning[i] = arena_block(a, sizeof *table << s->bits, err);
		if (!table)
			return false;
		for (uint32_t code = 0; code < 1u << s->bits; code++)
			table[code] = meaning_of(s, i, code);
	}
	return true;
}

static void *row_of(const struct image *out, int i, uint32_t x, uint32_t y)
{
	const struct plane *p = &out->plane[i];
	return p->at + y * p->stride + (size_t)x * (out->deep ? 2 : 1);
}

static void put_codes(const uint16_t *codes, const uint16_t *meaning, uint32_t n, bool deep, void *to)
{
	uint8_t *bytes = to;
	uint16_t *words = to;
	for (uint32_t i = 0; i < n; i++) {
		uint16_t v = meaning ? meaning[codes[i]] : codes[i];
		if (deep)
			words[i] = v;
		else
			bytes[i] = (uint8_t)v;
	}
}

/* Opacity has a range of its own: none to all. */
static double opaque(const struct tiff_samples *s)
{
	return s->format == SAMPLEFORMAT_IEEEFP ? 1 : ldexp(1, s->bits - (s->format == SAMPLEFORMAT_INT)) - 1;
}

static void put_numbers(const struct tiff_samples *s, int i, const double *numbers, uint32_t n, uint16_t *to)
{
	bool colour = i < model_planes(s->model);
	double low = colour ? s->low : 0, range = colour ? s->high - low : opaque(s);
	bool invert = colour && s->photometric == PHOTOMETRIC_MINISWHITE;
	for (uint32_t k = 0; k < n; k++) {
		double v = range > 0 ? (numbers[k] - low) / range : 0;
		/* In this order what is no number becomes 0. */
		v = v > 0 ? fmin(v, 1) : 0;
		to[k] = (uint16_t)((invert ? 1 - v : v) * 65535 + .5);
	}
}

static void load_numbers(const struct tiff_samples *s, tiff_numbers_fn *numbers, const uint8_t *row, size_t first, size_t step,
			 uint32_t n, double *out)
{
	numbers(row, first, step, n, out);
	for (uint32_t k = 0; !isnan(s->nothing) && k < n; k++)
		if (out[k] == s->nothing)
			out[k] = NAN;
}

/* Samples of plane i, the first being sample `at` of the row. */
static void put_plane(const struct tiff_unpacker *u, int i, const uint8_t *row, size_t at, uint32_t n, uint8_t *to)
{
	size_t step = tiff_samples_together(u->s), wide = u->s->deep ? 2 : 1;
	uint16_t codes[CHUNK];
	double numbers[CHUNK];
	for (uint32_t done = 0; done < n; done += CHUNK) {
		uint32_t m = n - done < CHUNK ? n - done : CHUNK;
		if (u->numbers) {
			load_numbers(u->s, u->numbers, row, at + done * step, step, m, numbers);
			put_numbers(u->s, i, numbers, m, (uint16_t *)(to + done * wide));
		} else {
			u->codes(row, at + done * step, step, m, u->s->bits, codes);
			put_codes(codes, u->meaning[i], m, u->s->deep, to + done * wide);
		}
	}
}

static const uint8_t *row_at(const struct tiff_samples *s, const struct tiff_run *run)
{
	return run->tile + row_bytes(s, run->tile_w) * (has_blocks(s) ? run->y / s->block_h : run->y);
}

/* A code of YCbCr, of the range that the references span, as 0 to 255 or around 0. */
static float spread(const struct tiff_samples *s, int i, uint8_t code)
{
	float black = s->reference[2 * i], white = s->reference[2 * i + 1];
	return white == black ? 0 : ((float)code - black) * (i ? 127.f : 255.f) / (white - black);
}

static uint8_t to_byte(float v)
{
	return v > 0 ? (uint8_t)(fminf(v, 255) + .5f) : 0;
}

static void put_blocks(const struct tiff_unpacker *u, const struct tiff_run *run, struct image *out)
{
	const struct tiff_samples *s = u->s;
	const uint8_t *row = row_at(s, run);
	size_t in_block = (size_t)s->block_w * s->block_h;
	uint8_t *to[3];
	for (int i = 0; i < 3; i++)
		to[i] = row_of(out, i, run->to_x, run->to_y);
	for (uint32_t k = 0; k < run->n; k++) {
		uint32_t x = run->x + k;
		const uint8_t *block = row + x / s->block_w * (in_block + 2);
		float l = spread(s, 0, block[run->y % s->block_h * s->block_w + x % s->block_w]);
		float r = l + spread(s, 2, block[in_block + 1]) * (2 - 2 * s->luma[0]);
		float b = l + spread(s, 1, block[in_block]) * (2 - 2 * s->luma[2]);
		to[0][k] = to_byte(r);
		to[1][k] = to_byte((l - s->luma[0] * r - s->luma[2] * b) / s->luma[1]);
		to[2][k] = to_byte(b);
	}
}

void tiff_unpack(const struct tiff_unpacker *u, const struct tiff_run *run, struct image *out)
{
	const struct tiff_samples *s = u->s;
	if (has_blocks(s)) {
		put_blocks(u, run, out);
		return;
	}
	size_t first = (size_t)run->x * tiff_samples_together(s);
	if (u->as_they_are) {
		image_put_part(out, run->to_x, run->to_y, row_at(s, run) + first, run->n, s->n);
		return;
	}
	for (int i = 0; i < image_planes(out); i++) {
		if (s->separate && i != run->plane)
			continue;
		size_t at = first + (s->separate ? 0 : (size_t)tiff_samples_source(s, i));
		put_plane(u, i, row_at(s, run), at, run->n, row_of(out, i, run->to_x, run->to_y));
	}
}

void tiff_samples_widen(const struct tiff_samples *s, const struct tiff_run *run, double *low, double *high)
{
	tiff_numbers_fn *numbers = tiff_numbers_find(s->bits, s->format);
	size_t step = tiff_samples_together(s), first = (size_t)run->x * step;
	double chunk[CHUNK];
	for (int i = 0; i < (s->separate ? 1 : model_planes(s->model)); i++)
		for (uint32_t done = 0; done < run->n; done += CHUNK) {
			uint32_t m = run->n - done < CHUNK ? run->n - done : CHUNK;
			load_numbers(s, numbers, row_at(s, run), first + (size_t)i + done * step, step, m, chunk);
			for (uint32_t k = 0; k < m; k++) {
				if (!isfinite(chunk[k]))
					continue;
				*low = fmin(*low, chunk[k]);
				*high = fmax(*high, chunk[k]);
			}
		}
}
