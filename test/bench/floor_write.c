/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include <png.h>
#include <webp/encode.h>

#include "floor_jpeg.h"

/* Lorikeet's defaults. */
enum { JPEG_QUALITY = 85, WEBP_QUALITY = 80, WEBP_METHOD = 3, PNG_LEVEL = 3 };

static struct {
	unsigned char *at;
	size_t n, room;
} kept;

static void keep(const void *at, size_t n)
{
	if (kept.n + n > kept.room) {
		kept.room = 2 * (kept.n + n);
		kept.at = realloc(kept.at, kept.room);
	}
	if (!kept.at)
		die("no memory");
	memcpy(kept.at + kept.n, at, n);
	kept.n += n;
}

/* Where the middle w x h of the samples begins, at places that chroma has too. */
static const uint8_t *middle(const struct samples *s, int i, unsigned w, unsigned h)
{
	const struct plane *luma = &s->plane[0], *p = &s->plane[i];
	unsigned bytes = s->form == FORM_PLANES ? 1 : 3, sub_x = i ? s->sub_x : 1, sub_y = i ? s->sub_y : 1;
	if (luma->w < w || luma->h < h)
		die("a decode of %u x %u is too small for %u x %u", luma->w, luma->h, w, h);
	unsigned x = (luma->w - w) / 2 & ~1u, y = (luma->h - h) / 2 & ~1u;
	return p->at + (p->top + y / sub_y) * p->stride + (size_t)(p->left + x / sub_x) * bytes;
}

/* Raw block rows; chroma that is as fine as luma is thinned out. */
static void write_planes(struct jpeg_compress_struct *j, const struct samples *s)
{
	static struct plane thin;
	JSAMPROW rows[3][2 * DCTSIZE];
	JSAMPARRAY arrays[3] = {rows[0], rows[1], rows[2]};
	JDIMENSION lines = (JDIMENSION)(j->max_v_samp_factor * DCTSIZE);
	plane_size(&thin, j->image_width, 2 * DCTSIZE, 1);
	for (unsigned block = 0; j->next_scanline < j->image_height; block++) {
		for (int i = 0; i < s->n; i++) {
			const uint8_t *at = middle(s, i, j->image_width, j->image_height);
			unsigned v = (unsigned)j->comp_info[i].v_samp_factor, height = v * DCTSIZE;
			unsigned every_x = i ? 2 / s->sub_x : 1, every_y = i ? 2 / s->sub_y : 1;
			unsigned last = (j->image_height - 1) / (i ? 2 : 1);
			for (unsigned k = 0; k < height; k++) {
				unsigned y = block * height + k < last ? block * height + k : last;
				const uint8_t *row = at + (size_t)y * every_y * s->plane[i].stride;
				rows[i][k] = (JSAMPROW)row;
				if (every_x == 1)
					continue;
				rows[i][k] = thin.at + (size_t)((unsigned)(i - 1) * DCTSIZE + k) * thin.stride;
				for (unsigned x = 0; x < (j->image_width + 1) / 2; x++)
					rows[i][k][x] = row[2 * x];
			}
		}
		jpeg_write_raw_data(j, arrays, lines);
	}
}

static void write_rows(struct jpeg_compress_struct *j, const struct samples *s)
{
	const uint8_t *at = middle(s, 0, j->image_width, j->image_height);
	while (j->next_scanline < j->image_height) {
		JSAMPROW row = (JSAMPROW)at + j->next_scanline * s->plane[0].stride;
		jpeg_write_scanlines(j, &row, 1);
	}
}

static void encode_jpeg(const struct samples *s, unsigned w, unsigned h, bool gray)
{
	static struct jpeg_compress_struct j;
	static struct jpeg_error_mgr errors;
	if (!j.err) {
		j.err = strict_errors(&errors);
		jpeg_create_compress(&j);
		kept.room = 1 << 20;
		kept.at = malloc(kept.room);
	}
	unsigned char *at = kept.at;
	unsigned long n = kept.room;
	jpeg_mem_dest(&j, &at, &n);
	bool planes = s->form == FORM_PLANES;
	j.image_width = w;
	j.image_height = h;
	j.input_components = planes && s->n == 1 ? 1 : 3;
	j.in_color_space = j.input_components == 1 ? JCS_GRAYSCALE : s->form == FORM_RGB ? JCS_RGB : JCS_YCbCr;
	jpeg_set_defaults(&j);
	if (gray)
		jpeg_set_colorspace(&j, JCS_GRAYSCALE);
	jpeg_set_quality(&j, JPEG_QUALITY, TRUE);
	j.raw_data_in = planes;
	jpeg_start_compress(&j, TRUE);
	(planes ? write_planes : write_rows)(&j, s);
	jpeg_finish_compress(&j);
	if (at != kept.at) {
		free(kept.at);
		kept.at = at;
		kept.room = n;
	}
	kept.n = n;
}

static int on_webp(const uint8_t *at, size_t n, const WebPPicture *picture)
{
	(void)picture;
	keep(at, n);
	return 1;
}

static void encode_webp(const struct samples *s, unsigned w, unsigned h)
{
	WebPConfig config;
	WebPPicture picture;
	if (!WebPConfigInit(&config) || !WebPPictureInit(&picture))
		die("another version of libwebp");
	config.method = WEBP_METHOD;
	config.quality = WEBP_QUALITY;
	picture.width = (int)w;
	picture.height = (int)h;
	picture.writer = on_webp;
	if (!WebPPictureImportRGB(&picture, middle(s, 0, w, h), (int)s->plane[0].stride) || !WebPEncode(&config, &picture))
		die("libwebp: error %d", picture.error_code);
	WebPPictureFree(&picture);
}

static void on_png(png_structp png, png_bytep at, size_t n)
{
	(void)png;
	keep(at, n);
}

static void encode_png(const struct samples *s, unsigned w, unsigned h)
{
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png_create_info_struct(png);
	const uint8_t *at = middle(s, 0, w, h);
	png_set_write_fn(png, NULL, on_png, NULL);
	png_set_compression_level(png, PNG_LEVEL);
	png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_SUB);
	png_set_IHDR(png, info, w, h, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
		     PNG_FILTER_TYPE_DEFAULT);
	png_write_info(png, info);
	for (unsigned y = 0; y < h; y++)
		png_write_row(png, at + y * s->plane[0].stride);
	png_write_end(png, info);
	png_destroy_write_struct(&png, &info);
}

struct result encode(const struct samples *s, unsigned w, unsigned h, enum coding coding)
{
	kept.n = 0;
	if ((coding == CODE_WEBP || coding == CODE_PNG) && s->form != FORM_RGB)
		die("RGB only");
	if (coding == CODE_WEBP)
		encode_webp(s, w, h);
	else if (coding == CODE_PNG)
		encode_png(s, w, h);
	else if (coding != CODE_NONE)
		encode_jpeg(s, w, h, coding == CODE_GRAY);
	return (struct result){kept.at, kept.n};
}
