/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gif_lib.h>
#include <openjpeg.h>
#include <png.h>
#include <webp/decode.h>

#include "floor.h"

static struct plane *rgb(struct source *s, unsigned w, unsigned h)
{
	s->samples.form = FORM_RGB;
	s->samples.n = 1;
	s->samples.sub_x = s->samples.sub_y = 1;
	plane_size(&s->samples.plane[0], w, h, 3);
	return &s->samples.plane[0];
}

static uint8_t to_byte(OPJ_INT32 v)
{
	return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
}

static void take_components(struct source *s, const opj_image_t *image)
{
	const opj_image_comp_t *c = image->comps;
	struct plane *p = rgb(s, c[0].w, c[0].h);
	for (unsigned y = 0; y < p->h; y++) {
		uint8_t *to = p->at + y * p->stride;
		for (unsigned x = 0; x < p->w; x++)
			for (unsigned i = 0; i < 3; i++)
				to[3 * x + i] = to_byte(c[i].data[(size_t)y * p->w + x]);
	}
}

void read_jp2(struct source *s, const struct ask *a)
{
	opj_dparameters_t parameters;
	opj_image_t *image = NULL;
	opj_set_default_decoder_parameters(&parameters);
	parameters.cp_reduce = a->level;
	opj_codec_t *codec = opj_create_decompress(OPJ_CODEC_JP2);
	opj_stream_t *stream = opj_stream_create_default_file_stream(s->path, OPJ_TRUE);
	if (!stream || !opj_setup_decoder(codec, &parameters) || !opj_read_header(stream, codec, &image) ||
	    !opj_set_decode_area(codec, image, (OPJ_INT32)a->x, (OPJ_INT32)a->y, (OPJ_INT32)(a->x + a->w),
				 (OPJ_INT32)(a->y + a->h)) ||
	    !opj_decode(codec, stream, image) || image->numcomps < 3)
		die("OpenJPEG cannot read %s", s->path);
	if (!s->decode_only)
		take_components(s, image);
	opj_image_destroy(image);
	opj_stream_destroy(stream);
	opj_destroy_codec(codec);
}

/* The middle of a row of the picture, if the row is in the middle. */
struct cut {
	struct plane *to;
	unsigned left, top;
};

static struct cut middle_cut(struct source *s, const struct ask *a)
{
	return (struct cut){rgb(s, a->out_w, a->out_h), (a->w - a->out_w) / 2, (a->h - a->out_h) / 2};
}

static uint8_t *row_of(const struct cut *c, unsigned y)
{
	return y >= c->top && y - c->top < c->to->h ? c->to->at + (y - c->top) * c->to->stride : NULL;
}

void read_png(struct source *s, const struct ask *a)
{
	static uint8_t *row;
	FILE *f = fopen(s->path, "rb");
	png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png_create_info_struct(png);
	struct cut c = middle_cut(s, a);
	if (!f)
		die("%s cannot be opened", s->path);
	png_init_io(png, f);
	png_read_info(png, info);
	if (png_get_color_type(png, info) != PNG_COLOR_TYPE_RGB || png_get_rowbytes(png, info) != (size_t)a->w * 3)
		die("%s: 8-bit RGB only", s->path);
	if (!row)
		row = malloc((size_t)a->w * 3);
	for (unsigned y = 0; y < a->h; y++) {
		png_read_row(png, row, NULL);
		uint8_t *to = row_of(&c, y);
		if (to)
			memcpy(to, row + (size_t)c.left * 3, (size_t)c.to->w * 3);
	}
	png_destroy_read_struct(&png, &info, NULL);
	fclose(f);
}

/* libwebp scales the YUV it has decoded, for less than the conversion of all of it would take. */
void read_webp(struct source *s, const struct ask *a)
{
	static uint8_t *bytes;
	static size_t n;
	WebPDecoderConfig c;
	if (!bytes) {
		FILE *f = fopen(s->path, "rb");
		if (!f || fseek(f, 0, SEEK_END))
			die("%s cannot be opened", s->path);
		n = (size_t)ftell(f);
		rewind(f);
		bytes = malloc(n);
		if (!bytes || fread(bytes, 1, n, f) != n)
			die("%s cannot be read", s->path);
		fclose(f);
	}
	struct plane *p = rgb(s, a->out_w, a->out_h);
	WebPInitDecoderConfig(&c);
	c.options.use_scaling = 1;
	c.options.scaled_width = (int)a->out_w;
	c.options.scaled_height = (int)a->out_h;
	c.output.colorspace = MODE_RGB;
	c.output.is_external_memory = 1;
	c.output.u.RGBA.rgba = p->at;
	c.output.u.RGBA.stride = (int)p->stride;
	c.output.u.RGBA.size = p->room;
	if (WebPDecode(bytes, n, &c) != VP8_STATUS_OK)
		die("libwebp cannot read %s", s->path);
}

void read_gif(struct source *s, const struct ask *a)
{
	static GifPixelType *row;
	GifRecordType kind;
	int error;
	GifFileType *g = DGifOpenFileName(s->path, &error);
	struct cut c = middle_cut(s, a);
	if (!g)
		die("%s cannot be opened", s->path);
	while (DGifGetRecordType(g, &kind) == GIF_OK && kind == EXTENSION_RECORD_TYPE) {
		GifByteType *block;
		int code;
		if (DGifGetExtension(g, &code, &block) != GIF_OK)
			die("giflib cannot read %s", s->path);
		while (block && DGifGetExtensionNext(g, &block) == GIF_OK)
			continue;
	}
	if (DGifGetImageDesc(g) != GIF_OK || g->Image.Interlace || (unsigned)g->Image.Width != a->w)
		die("giflib cannot read %s", s->path);
	const ColorMapObject *map = g->Image.ColorMap ? g->Image.ColorMap : g->SColorMap;
	if (!row)
		row = malloc(a->w);
	for (unsigned y = 0; y < a->h; y++) {
		if (DGifGetLine(g, row, (int)a->w) != GIF_OK)
			die("giflib cannot read %s", s->path);
		uint8_t *to = row_of(&c, y);
		for (unsigned x = 0; to && x < c.to->w; x++)
			memcpy(to + 3 * x, &map->Colors[row[c.left + x]], 3);
	}
	DGifCloseFile(g, &error);
}
