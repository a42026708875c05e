/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wand CODING FILE "LEVEL W H X Y REGION_W REGION_H OUT_W OUT_H QUARTERS"
 *
 * The answer as a server would make it that has nothing but MagickWand, and uses it well: the right page of a pyramid, a
 * size hint for JPEG; crop, Lanczos, turn by quarters, gray. (Of a JP2 that it shall reduce, ImageMagick 6 shows only a
 * part: they are read whole.) W, H and the region are of the full picture, LEVEL is the page. Does jobs as loop.h says.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#if __has_include(<MagickWand/MagickWand.h>)
#include <MagickWand/MagickWand.h>
#else
#include <wand/MagickWand.h>
#endif

#include "loop.h"

struct job {
	const char *coding, *path;
	unsigned level, w, h, x, y, region_w, region_h, out_w, out_h, quarters;
	MagickWand *wand;
	unsigned char *blob;
};

#if MagickLibVersion >= 0x700
#define RESIZE(wand, w, h) MagickResizeImage(wand, w, h, LanczosFilter)
#else
#define RESIZE(wand, w, h) MagickResizeImage(wand, w, h, LanczosFilter, 1)
#endif

static void need(MagickBooleanType done, MagickWand *wand)
{
	ExceptionType kind;
	if (!done)
		die("MagickWand: %s", MagickGetException(wand, &kind));
}

static void read_file(struct job *j)
{
	char text[4200];
	const char *dot = strrchr(j->path, '.');
	bool tiff = dot && strcmp(dot, ".tif") == 0;
	snprintf(text, sizeof text, "%ux%u", (unsigned)((double)j->w * j->out_w / j->region_w + 0.5),
		 (unsigned)((double)j->h * j->out_h / j->region_h + 0.5));
	MagickSetOption(j->wand, "jpeg:size", text);
	snprintf(text, sizeof text, tiff ? "%s[%u]" : "%s", j->path, j->level);
	need(MagickReadImage(j->wand, text), j->wand);
}

static void crop(struct job *j)
{
	double across = (double)MagickGetImageWidth(j->wand) / j->w, down = (double)MagickGetImageHeight(j->wand) / j->h;
	if (j->region_w == j->w && j->region_h == j->h)
		return;
	need(MagickCropImage(j->wand, (size_t)(j->region_w * across + 0.5), (size_t)(j->region_h * down + 0.5),
			     (ssize_t)(j->x * across + 0.5), (ssize_t)(j->y * down + 0.5)),
	     j->wand);
}

static void answer(void *user, struct result *out)
{
	struct job *j = user;
	bool gray = strcmp(j->coding, "gray") == 0;
	MagickRelinquishMemory(j->blob);
	j->wand = NewMagickWand();
	read_file(j);
	crop(j);
	if (MagickGetImageWidth(j->wand) != j->out_w || MagickGetImageHeight(j->wand) != j->out_h)
		need(RESIZE(j->wand, j->out_w, j->out_h), j->wand);
	if (j->quarters) {
		PixelWand *background = NewPixelWand();
		need(MagickRotateImage(j->wand, background, 90 * j->quarters), j->wand);
		DestroyPixelWand(background);
	}
	if (gray)
		need(MagickTransformImageColorspace(j->wand, GRAYColorspace), j->wand);
	bool webp = strcmp(j->coding, "webp") == 0;
	double sampling[] = {2, 1, 1};
	MagickSetSamplingFactors(j->wand, 3, sampling);
	MagickSetImageCompressionQuality(j->wand, webp ? 80 : strcmp(j->coding, "png") == 0 ? 31 : 85);
	if (webp)
		MagickSetOption(j->wand, "webp:method", "3");
	need(MagickSetImageFormat(j->wand, gray ? "jpg" : j->coding), j->wand);
	j->blob = MagickGetImageBlob(j->wand, &out->n);
	need(j->blob != NULL, j->wand);
	out->at = j->blob;
	DestroyMagickWand(j->wand);
}

int main(int argc, char **argv)
{
	struct job j = {0};
	if (argc != 4 || sscanf(argv[3], "%u %u %u %u %u %u %u %u %u %u", &j.level, &j.w, &j.h, &j.x, &j.y, &j.region_w,
				&j.region_h, &j.out_w, &j.out_h, &j.quarters) != 10)
		die("usage: wand CODING FILE 'LEVEL W H X Y REGION_W REGION_H OUT_W OUT_H QUARTERS'");
	j.coding = argv[1];
	j.path = argv[2];
	MagickWandGenesis();
	loop(answer, &j);
	MagickRelinquishMemory(j.blob);
	MagickWandTerminus();
	return 0;
}
