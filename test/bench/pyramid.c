/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pyramid IN.jpg OUT.tif jpeg|deflate
 *
 * A tiled pyramid as other programs write it, through libtiff: 256 tiles, each level a directory with half the sides of the
 * one before, JPEG at quality 90 (4:2:0, no restart markers) or deflate.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <tiffio.h>

#include "floor_jpeg.h"

enum { TILE = 256, QUALITY = 90 };

struct picture {
	unsigned w, h;
	uint8_t *at;                   /* RGB, without gaps */
};

static uint8_t *room(size_t n)
{
	uint8_t *at = malloc(n);
	if (!at)
		die("no memory");
	return at;
}

static struct picture read_picture(const char *path)
{
	struct jpeg_decompress_struct j;
	struct jpeg_error_mgr errors;
	FILE *f = fopen(path, "rb");
	if (!f)
		die("%s cannot be opened", path);
	j.err = strict_errors(&errors);
	jpeg_create_decompress(&j);
	jpeg_stdio_src(&j, f);
	jpeg_read_header(&j, TRUE);
	j.out_color_space = JCS_RGB;
	jpeg_start_decompress(&j);
	struct picture p = {j.output_width, j.output_height, room((size_t)j.output_width * j.output_height * 3)};
	while (j.output_scanline < j.output_height) {
		JSAMPROW row = p.at + (size_t)j.output_scanline * p.w * 3;
		jpeg_read_scanlines(&j, &row, 1);
	}
	jpeg_destroy_decompress(&j);
	fclose(f);
	return p;
}

static unsigned min(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Each pixel the mean of four, at odd edges of two. */
static struct picture halve(struct picture p)
{
	struct picture half = {(p.w + 1) / 2, (p.h + 1) / 2, NULL};
	half.at = room((size_t)half.w * half.h * 3);
	for (unsigned y = 0; y < half.h; y++) {
		const uint8_t *a = p.at + (size_t)2 * y * p.w * 3, *b = p.at + (size_t)min(2 * y + 1, p.h - 1) * p.w * 3;
		uint8_t *to = half.at + (size_t)y * half.w * 3;
		for (unsigned x = 0; x < half.w; x++) {
			size_t left = (size_t)2 * x * 3, right = (size_t)min(2 * x + 1, p.w - 1) * 3;
			for (unsigned i = 0; i < 3; i++)
				*to++ = (uint8_t)((a[left + i] + a[right + i] + b[left + i] + b[right + i] + 2) / 4);
		}
	}
	free(p.at);
	return half;
}

static void cut_tile(const struct picture *p, unsigned left, unsigned top, uint8_t *to)
{
	unsigned w = min(TILE, p->w - left);
	for (unsigned y = 0; y < TILE; y++, to += TILE * 3) {
		const uint8_t *row = p->at + ((size_t)min(top + y, p->h - 1) * p->w + left) * 3;
		memcpy(to, row, (size_t)w * 3);
		for (unsigned x = w; x < TILE; x++)
			memcpy(to + (size_t)x * 3, row + (size_t)(w - 1) * 3, 3);
	}
}

static void write_level(TIFF *t, const struct picture *p, bool jpeg, bool reduced)
{
	static uint8_t tile[TILE * TILE * 3];
	TIFFSetField(t, TIFFTAG_IMAGEWIDTH, p->w);
	TIFFSetField(t, TIFFTAG_IMAGELENGTH, p->h);
	TIFFSetField(t, TIFFTAG_TILEWIDTH, TILE);
	TIFFSetField(t, TIFFTAG_TILELENGTH, TILE);
	TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, 8);
	TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, 3);
	TIFFSetField(t, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
	TIFFSetField(t, TIFFTAG_SUBFILETYPE, reduced ? FILETYPE_REDUCEDIMAGE : 0);
	TIFFSetField(t, TIFFTAG_COMPRESSION, jpeg ? COMPRESSION_JPEG : COMPRESSION_ADOBE_DEFLATE);
	TIFFSetField(t, TIFFTAG_PHOTOMETRIC, jpeg ? PHOTOMETRIC_YCBCR : PHOTOMETRIC_RGB);
	if (jpeg) {
		TIFFSetField(t, TIFFTAG_JPEGQUALITY, QUALITY);
		TIFFSetField(t, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
	} else {
		TIFFSetField(t, TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL);
	}
	uint32_t index = 0;
	for (unsigned y = 0; y < p->h; y += TILE)
		for (unsigned x = 0; x < p->w; x += TILE) {
			cut_tile(p, x, y, tile);
			if (TIFFWriteEncodedTile(t, index++, tile, sizeof tile) < 0)
				die("a tile cannot be written");
		}
	if (!TIFFWriteDirectory(t))
		die("a directory cannot be written");
}

int main(int argc, char **argv)
{
	if (argc != 4)
		die("usage: pyramid IN.jpg OUT.tif jpeg|deflate");
	struct picture p = read_picture(argv[1]);
	TIFF *t = TIFFOpen(argv[2], "w");
	if (!t)
		die("%s cannot be written", argv[2]);
	for (bool reduced = false;; reduced = true) {
		write_level(t, &p, strcmp(argv[3], "jpeg") == 0, reduced);
		if (p.w <= TILE && p.h <= TILE)
			break;
		p = halve(p);
	}
	free(p.at);
	TIFFClose(t);
	return 0;
}
