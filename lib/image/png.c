/* SPDX-License-Identifier: BSD-2-Clause */
#include "png.h"

#include <setjmp.h>

#include <png.h>

struct writer {
	struct buf *out;
	struct error *err;
	struct arena *scratch;
	png_structp png;
	png_infop info;
	bool out_of_room;
};

static void on_error(png_structp png, png_const_charp text)
{
	struct writer *w = png_get_error_ptr(png);
	if (w->out_of_room)
		body_too_large(w->err);
	else
		fail(w->err, 500, REASON_INTERNAL, "The picture could not be written.", "libpng: %s", text);
	png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
	(void)png;
	(void)text;
}

static void on_bytes(png_structp png, png_bytep at, size_t n)
{
	struct writer *w = png_get_io_ptr(png);
	buf_write(w->out, at, n);
	if (w->out->failed) {
		w->out_of_room = true;
		png_error(png, "no room");
	}
}

static void on_flush(png_structp png)
{
	(void)png;
}

static void write_rows(struct writer *w, const struct image *image)
{
	uint8_t *row = arena_alloc(w->scratch, (size_t)image->plane[0].w * 4);
	for (uint32_t y = 0; y < image->plane[0].h; y++)
		png_write_row(w->png, image_get_row(image, y, row));
}

/* One bit a sample, the first one in the highest. */
static void write_bits(struct writer *w, const struct image *image)
{
	const struct plane *p = &image->plane[0];
	uint8_t *row = arena_alloc(w->scratch, ((size_t)p->w + 7) / 8);
	for (uint32_t y = 0; y < p->h; y++) {
		image_get_bits(image, y, row);
		png_write_row(w->png, row);
	}
}

static void write_all(struct writer *w, const struct image *image, int compression, bool bits)
{
	int kind = (image->n == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB) | (image->alpha ? PNG_COLOR_MASK_ALPHA : 0);
	png_set_write_fn(w->png, w, on_bytes, on_flush);
	png_set_user_limits(w->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
	png_set_compression_level(w->png, compression);
	/* The adaptive choice of filters costs more than it saves at quick levels. */
	png_set_filter(w->png, PNG_FILTER_TYPE_BASE,
		       bits ? PNG_FILTER_NONE : compression > 5 ? PNG_ALL_FILTERS : PNG_FILTER_SUB);
	png_set_IHDR(w->png, w->info, image->plane[0].w, image->plane[0].h, bits ? 1 : 8, kind, PNG_INTERLACE_NONE,
		     PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_set_sRGB(w->png, w->info, PNG_sRGB_INTENT_PERCEPTUAL);
	png_write_info(w->png, w->info);
	(bits ? write_bits : write_rows)(w, image);
	png_write_end(w->png, w->info);
}

static bool png_write_file(struct image *image, const struct encode_options *options,
			   struct buf *out, struct error *err)
{
	struct writer *w;
	struct arena *scratch = arena_open();
	bool ok = false;

	w = arena_new(scratch, struct writer);
	*w = (struct writer){.out = out, .err = err, .scratch = scratch};
	w->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w, on_error, on_warning);
	w->info = w->png ? png_create_info_struct(w->png) : NULL;
	if (!w->info) {
		fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.",
		     "libpng could not start");
	} else if (setjmp(png_jmpbuf(w->png)) == 0) {
		write_all(w, image, options->png_compression, options->bitonal && !image->alpha);
		ok = true;
	}
	png_destroy_write_struct(&w->png, &w->info);
	arena_close(scratch);
	return ok;
}

static uint64_t png_memory(uint32_t w, uint32_t h)
{
	(void)h;
	return (uint64_t)w * 32 + (1 << 20);
}

const struct encoder png_encoder = {
	.format = FORMAT_PNG,
	.model = MODEL_RGB,
	.alpha = true,
	.memory = png_memory,
	.write = png_write_file,
};
