/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TIFF_SAMPLES_H
#define IMAGE_TIFF_SAMPLES_H

#include "pixels.h"

/*
 * What the samples of a TIFF mean, and how they become planes once libtiff has undone their compression.
 *
 * Unsigned samples of up to 16 bits are codes, and a table for each plane says what they stand for: black to white
 * over the whole range of their bits, white to black, an entry of the palette, a coordinate of CIE L*a*b*. Planes have
 * 8 bits, or 16 where samples have more.
 *
 * Signed integers, those of more than 16 bits and floats are quantities, of which black and white are no
 * part. They are spread over 16 bits from `low` to `high`: the header's range (SMinSampleValue to
 * SMaxSampleValue), else for floats that all lie within 0 and 1 just that, else the range of the page's own samples
 * (tiff_range.h), so the same for every tile. What lies beyond a header's range gets its nearest end; what is no
 * number, or stands for none, is as low.
 *
 * YCbCr (but for new-style JPEG, whose planes stay as they are) becomes RGB, by its own coefficients and reference
 * black and white; each chroma sample counts for all of its block's pixels, so that tiles need no neighbours.
 */
struct tiff_samples {
	uint16_t photometric, bits, format;
	uint16_t n;                    /* a pixel, extra ones included */
	bool separate;                 /* each component has tiles of its own */
	uint16_t compression;
	uint8_t block_w, block_h;      /* pixels of a chroma sample in blocks of YCbCr, else 1 */
	float luma[3], reference[6];   /* of YCbCr */
	const uint16_t *palette[3];    /* 2^bits entries each */
	uint16_t palette_most;         /* its white */
	double low, high;              /* of quantities, once known */
	double nothing;                /* the quantity that stands for none (GDAL's no-data value); NAN where there is none */

	enum model model;              /* of the planes */
	bool quantities, deep;
	bool alpha, multiplied;        /* sample alpha_at is opacity; colours are multiplied by it */
	uint16_t alpha_at;
};

/* Fills model, quantities and deep from what is above them; 501 for kinds that are not read. */
bool tiff_samples_choose(struct tiff_samples *s, struct error *err);

bool tiff_unsupported(struct error *err, const char *what, unsigned value);

/* Samples a pixel in one row that libtiff decodes. */
static inline uint16_t tiff_samples_together(const struct tiff_samples *s)
{
	return s->separate ? 1 : s->n;
}

/* Bytes that libtiff decodes so many pixels to. Saturates. */
uint64_t tiff_samples_bytes(const struct tiff_samples *s, uint64_t w, uint64_t rows);

/* The stored sample that plane i is made of. */
int tiff_samples_source(const struct tiff_samples *s, int i);

/* Bytes behind a decoded tile that unpacking may look at. */
#define TIFF_SAMPLES_SPARE 4

/* Turns decoded rows into planes; ends with a. low and high must be known. */
struct tiff_unpacker;
bool tiff_unpacker_open(struct arena *a, const struct tiff_samples *s, struct tiff_unpacker **out, struct error *err);

/*
 * n pixels from column x of row y of a decoded tile, tile_w pixels wide, to column to_x of row to_y of the
 * image's planes: all, or with `separate` the one whose samples these are.
 */
struct tiff_run {
	const uint8_t *tile;
	uint32_t tile_w, x, y, n;
	uint32_t to_x, to_y;
	int plane;                     /* of separate ones */
};
void tiff_unpack(const struct tiff_unpacker *u, const struct tiff_run *run, struct image *out);

/* The numbers of a run's pixels (opacity not counted) within *low and *high, which it widens. */
void tiff_samples_widen(const struct tiff_samples *s, const struct tiff_run *run, double *low, double *high);

#endif
