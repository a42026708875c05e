/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_SAMPLES_H
#define TEST_SAMPLES_H

#include "board.h"

/* The images of test/data/make_images.py that are the board of BOARD x BOARD squares, W x H: every
 * kind that a decoder reads. */
struct sample {
	const char *file;
	bool gray;
	int tolerance;       /* of the colours at known points */
};

static const struct sample samples[] = {
	{"s420.jpg", false, 8},		{"s422.jpg", false, 8},	      {"s444.jpg", false, 8},
	{"s440.jpg", false, 3},		{"s411.jpg", false, 3},	      {"s441.jpg", false, 3},
	{"s31.jpg", false, 3},		{"s13.jpg", false, 3},	      {"restart.jpg", false, 3},
	{"scans.jpg", false, 3},	{"rgb.jpg", false, 3},	      {"unequal.jpg", false, 3},
	{"fractional.jpg", false, 3},	{"progressive.jpg", false, 8}, {"gray.jpg", true, 8},
	{"none.tif", false, 0},		{"lzw.tif", false, 0},	      {"deflate.tif", false, 0},
	{"packbits.tif", false, 0},	{"gray.tif", true, 1},	      {"tiled-none.tif", false, 0},
	{"tiled-deflate.tif", false, 0}, {"tiled-jpeg.tif", false, 8}, {"striped-jpeg.tif", false, 8},
	{"white.tif", true, 1},		{"white-jpeg.tif", true, 3},  {"gray-jpeg.tif", true, 3},
	{"thin-strips.tif", false, 0},	{"one-strip.tif", false, 0},  {"big.tif", false, 0},
	{"big-endian.tif", false, 0},	{"rgb-jpeg.tif", false, 3},   {"lying-tag.tif", false, 3},
	{"no-tag.tif", false, 3},	{"one-jpeg-strip.tif", false, 3}, {"restart-tiles.tif", false, 3},
	{"scan-tiles.tif", false, 3},	{"small-blocks.tif", false, 3}, {"even-strips.tif", false, 3},
	{"subs-jpeg.tif", false, 3},	{"pages-jpeg.tif", false, 3}, {"subs-deflate.tif", false, 0},
	{"pages-deflate.tif", false, 0}, {"unpadded.tif", false, 3},   {"mixed-jpeg.tif", false, 3},
	{"rgb.png", false, 0},		{"gray.png", true, 1},	      {"palette.png", false, 2},
	{"interlaced.png", false, 0},	{"lossless.webp", false, 0},  {"lossy.webp", false, 12},
	{"clear.png", false, 0},	{"clear-gray.png", true, 1},  {"clear.webp", false, 0},
	{"colours.gif", false, 20},	{"interlaced.gif", false, 20}, {"gray.gif", true, 1},
	{"rgb.bmp", false, 0},		{"gray.bmp", true, 1},	      {"rgb.ppm", false, 0},
	{"gray.pgm", true, 1},		{"deep.ppm", false, 0},	      {"plain.psd", false, 0},
	{"packed.psd", false, 0},	{"deep.psd", false, 0},	      {"gray.psd", true, 1},
	{"s.heic", false, 8},		{"s.avif", false, 8},
	{"rgb16.tif", false, 1},	{"one-strip16.tif", false, 1}, {"separate.tif", false, 0},
	{"float.tif", false, 1},	{"clear.tif", false, 0},	{"multiplied.tif", false, 3}, {"spots.tif", false, 0},
};
#define SAMPLES (sizeof samples / sizeof *samples)

#endif
