/* SPDX-License-Identifier: BSD-2-Clause */
#include "png.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>

#include <libdeflate.h>
#include <png.h>

#include "boxes.h"
#include "metadata.h"
#include "png_colour.h"
#include "rows.h"

#define CHUNK_MAX_BYTES (16 << 20)
#define BLOCK_MAX_BYTES (64 << 20)
#define MOST_QUICK_LEVEL 5
#define MOST_AT_ONCE (UINT64_C(16) << 20)
#define XMP_KEY "XML:com.adobe.xmp"

struct reader {
	struct source *source;
	struct error *err;
	uint64_t offset;
	png_structp png;
	png_infop info;
	uint8_t *passes;               /* all rows of an interlaced picture */
	struct boxes boxes;
};

/* The codec's own facts. */
struct png_file {
	bool interlaced, deep;
	int channels;                  /* of a decoded row */
};

static void on_warning(png_structp png, png_const_charp text)
{
	(void)png;
	(void)text;
}

static void on_read_error(png_structp png, png_const_charp text)
{
	struct reader *r = png_get_error_ptr(png);
	fail(r->err, 500, REASON_DAMAGED, "The image is damaged.", "libpng: %s", text);
	png_longjmp(png, 1);
}

static void on_read(png_structp png, png_bytep at, size_t n)
{
	struct reader *r = png_get_io_ptr(png);
	if (!source_read(r->source, at, n, r->offset, r->err))
		png_longjmp(png, 1);
	r->offset += n;
}

static void destroy_reader(void *what)
{
	struct reader *r = what;
	png_destroy_read_struct(&r->png, &r->info, NULL);
}

/* libpng takes too long a chunk for a slight fault and asks for memory all the same. */
static png_voidp limited_malloc(png_structp png, png_alloc_size_t n)
{
	(void)png;
	return n <= BLOCK_MAX_BYTES ? malloc(n) : NULL;
}

static void limited_free(png_structp png, png_voidp at)
{
	(void)png;
	free(at);
}

static struct reader *reader_open(struct arena *a, struct source *source, struct error *err)
{
	struct reader *r = arena_new(a, struct reader);
	*r = (struct reader){.source = source, .err = err};
	r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, on_read_error, on_warning, NULL, limited_malloc,
					  limited_free);
	r->info = r->png ? png_create_info_struct(r->png) : NULL;
	arena_defer(a, destroy_reader, r);
	if (!r->info) {
		fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.", "libpng could not start");
		return NULL;
	}
	png_set_read_fn(r->png, r, on_read);
	png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
	png_set_chunk_cache_max(r->png, 1000);
	png_set_chunk_malloc_max(r->png, CHUNK_MAX_BYTES);
	/* png_colour.h looks at them; libpng lets one of these chunks spoil the others. */
	png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, (png_const_bytep) "gAMA\0cHRM\0sRGB", 3);
	return r;
}

/* Rows come as gray or RGB of 8 or 16 bits, with alpha where the file has any kind of it. */
static void set_conversions(struct reader *r)
{
	png_set_expand(r->png);
	if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		png_set_swap(r->png);
}

static bool png_knows(const uint8_t *head, size_t n)
{
	return n >= 8 && png_sig_cmp(head, 0, 8) == 0;
}

static void read_chunks(struct arena *a, struct reader *r, struct picture *p)
{
	png_charp name;
	png_bytep at;
	png_uint_32 n;
	png_textp text;
	png_uint_32 x, y;
	int method, unit;
	if (png_get_iCCP(r->png, r->info, &name, &method, &at, &n) && n) {
		p->icc = (const uint8_t *)arena_strndup(a, (const char *)at, n);
		p->icc_bytes = n;
	}
	struct metadata *m = &p->metadata;
	if (png_get_eXIf_1(r->png, r->info, &n, &at))
		m->exif = (struct str){arena_strndup(a, (const char *)at, n), n};
	p->facts.orientation = exif_orientation(m->exif);
	if (png_get_pHYs(r->png, r->info, &x, &y, &unit) && unit == PNG_RESOLUTION_METER) {
		m->per_cm_x = x / 100.0;
		m->per_cm_y = y / 100.0;
	}
	metadata_take_resolution(m);
	int texts = png_get_text(r->png, r->info, &text, NULL);
	for (int i = 0; i < texts; i++)
		if (strcmp(text[i].key, XMP_KEY) == 0) {
			size_t length = text[i].itxt_length ? text[i].itxt_length : text[i].text_length;
			m->xmp = (struct str){arena_strndup(a, text[i].text, length), length};
		}
}

static void read_header(struct arena *a, struct reader *r, struct picture *p)
{
	struct png_file *file = arena_new(a, struct png_file);
	png_read_info(r->png, r->info);
	int kind = png_get_color_type(r->png, r->info), bits = png_get_bit_depth(r->png, r->info);
	p->facts.gray = !(kind & PNG_COLOR_MASK_COLOR);
	p->facts.alpha = (kind & PNG_COLOR_MASK_ALPHA) || png_get_valid(r->png, r->info, PNG_INFO_tRNS);
	p->stored_w = png_get_image_width(r->png, r->info);
	p->stored_h = png_get_image_height(r->png, r->info);
	file->interlaced = png_get_interlace_type(r->png, r->info) != PNG_INTERLACE_NONE;
	file->deep = bits == 16;
	file->channels = (p->facts.gray ? 1 : 3) + p->facts.alpha;
	read_chunks(a, r, p);
	p->codec = file;
}

static bool png_open(struct arena *a, uint32_t page, struct picture *p, struct error *err)
{
	if (page != 1)
		return fail(err, 404, REASON_NOT_FOUND, "The image has no such page.", "PNG has one page");
	struct arena *scratch = arena_open();
	struct reader *r = reader_open(scratch, p->source, err);
	bool ok = false;
	if (r && setjmp(png_jmpbuf(r->png)) == 0) {
		read_header(a, r, p);
		ok = true;
	}
	arena_close(scratch);
	return ok && png_colour_find(a, p, err);
}

static struct rect png_cover(const struct picture *p, const struct wants *w)
{
	return boxes_cover(p, w, boxes_side(w, p->facts.alpha));
}

static enum model model_of(const struct picture *p)
{
	return p->facts.gray ? MODEL_GRAY : MODEL_RGB;
}

static uint64_t png_read_memory(const struct picture *p, const struct wants *w)
{
	const struct png_file *file = p->codec;
	uint64_t row = (uint64_t)p->stored_w * 4, bytes = file->deep ? 2 : 1;
	uint64_t planes = boxes_memory(model_of(p), p->facts.alpha, file->deep, png_cover(p, w), boxes_side(w, p->facts.alpha));
	return planes + row * (file->interlaced ? (uint64_t)p->stored_h : 4) * bytes + (1 << 20);
}

static size_t pixel_bytes(const struct png_file *file)
{
	return (size_t)file->channels * (file->deep ? 2 : 1);
}

/* Until the passes are complete, in each row what libpng has in their coarse squares. */
static void read_passes(struct reader *r, const struct picture *p, int passes, bool recover)
{
	size_t row_bytes = p->stored_w * pixel_bytes(p->codec);
	if (recover)
		memset(r->passes, 255, row_bytes * p->stored_h);
	while (passes--)
		for (uint32_t y = 0; y < p->stored_h; y++)
			png_read_row(r->png, recover ? NULL : r->passes + y * row_bytes,
				     recover ? r->passes + y * row_bytes : NULL);
}

static void put_passes(struct reader *r, const struct picture *p)
{
	struct boxes *b = &r->boxes;
	for (uint32_t y = 0; y < b->part.h; y++)
		boxes_row(b, r->passes + ((size_t)(y + b->part.y) * p->stored_w + b->part.x) * pixel_bytes(p->codec));
}

static void read_rows(struct reader *r, const struct picture *p, uint8_t *row)
{
	struct boxes *b = &r->boxes;
	for (uint32_t y = 0; y < b->part.y + b->part.h; y++) {
		png_read_row(r->png, row, NULL);
		if (y >= b->part.y)
			boxes_row(b, row + b->part.x * pixel_bytes(p->codec));
	}
}

static bool read_pixels(struct arena *scratch, struct reader *r, const struct picture *p, bool recover,
			struct error *err)
{
	const struct png_file *file = p->codec;
	int passes = png_set_interlace_handling(r->png);
	png_read_update_info(r->png, r->info);
	size_t row_bytes = png_get_rowbytes(r->png, r->info);
	if (row_bytes != p->stored_w * pixel_bytes(file) || (passes > 1) != file->interlaced)
		return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "the file changed while it was read");

	uint8_t *rows = arena_block(scratch, row_bytes * (file->interlaced ? p->stored_h : 1), err);
	if (!rows)
		return false;
	if (file->interlaced) {
		r->passes = rows;
		read_passes(r, p, passes, recover);
		put_passes(r, p);
	} else {
		read_rows(r, p, rows);
	}
	return true;
}

static bool read_region(struct arena *a, struct arena *scratch, struct reader *r, const struct picture *p,
			const struct wants *w, struct image *out, struct error *err)
{
	const struct png_file *file = p->codec;
	png_read_info(r->png, r->info);
	if (png_get_image_width(r->png, r->info) != p->stored_w || png_get_image_height(r->png, r->info) != p->stored_h)
		return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "the file changed while it was read");
	set_conversions(r);
	r->boxes = (struct boxes){.out = out, .part = png_cover(p, w), .side = boxes_side(w, p->facts.alpha),
				  .channels = file->channels};
	if (!boxes_open(a, scratch, &r->boxes, model_of(p), p->facts.alpha, file->deep, err))
		return false;
	if (w->recover) {
		png_set_crc_action(r->png, PNG_CRC_QUIET_USE, PNG_CRC_DEFAULT);
		/* What is read at once is lost where the file ends within. */
		png_set_compression_buffer_size(r->png, 64);
		image_whiten(out);
	}
	return read_pixels(scratch, r, p, w->recover, err);
}

/* After an error of libpng or of the source. */
static bool recover(struct reader *r, const struct picture *p, const struct wants *w, struct image *out,
		    const struct error *err)
{
	if (!w->recover || !out->n || p->source->has_failed || err->reason != REASON_DAMAGED)
		return false;
	if (r->passes)
		put_passes(r, p);
	while (r->boxes.y < r->boxes.part.h)
		boxes_row(&r->boxes, NULL);
	return true;
}

static bool png_read(struct arena *a, const struct picture *p, const struct wants *w, struct image *out,
		     struct error *err)
{
	*out = (struct image){.icc = p->icc, .icc_bytes = p->icc_bytes,
				.icc_hash = p->icc_hash};
	struct arena *scratch = arena_open();
	struct reader *r = reader_open(scratch, p->source, err);
	bool ok = false;
	if (r && setjmp(png_jmpbuf(r->png)) == 0)
		ok = read_region(a, scratch, r, p, w, out, err);
	else if (r)
		ok = recover(r, p, w, out, err);
	arena_close(scratch);
	return ok || source_blame(p->source, err);
}

const struct decoder png_decoder = {
	.name = "png",
	.knows = png_knows,
	.open = png_open,
	.memory = png_read_memory,
	.read = png_read,
};


struct writer {
	struct buf *out;
	struct error *err;
	struct arena *scratch;
	png_structp png;
	png_infop info;
	bool out_of_room;
	uint8_t *packed;               /* all rows, as one zlib stream; NULL: libpng packs them one by one */
	size_t n_packed;
};

static void on_write_error(png_structp png, png_const_charp text)
{
	struct writer *w = png_get_error_ptr(png);
	if (w->out_of_room)
		body_too_large(w->err);
	else
		fail(w->err, 500, REASON_INTERNAL, "The picture could not be written.", "libpng: %s", text);
	png_longjmp(png, 1);
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

static uint64_t raw_bytes(uint64_t w, uint64_t h, int channels)
{
	return (w * (uint64_t)channels + 1) * h;
}

static void free_compressor(void *what)
{
	libdeflate_free_compressor(what);
}

/* The rows as differences between neighbours, behind the filter's number. */
static void filter_rows(struct arena *a, const struct image *image, uint8_t *raw)
{
	int channels = image_planes(image);
	size_t row_bytes = (size_t)image->plane[0].w * (size_t)channels;
	uint8_t *room = arena_alloc(a, row_bytes);
	for (uint32_t y = 0; y < image->plane[0].h; y++, raw += row_bytes + 1) {
		raw[0] = PNG_FILTER_VALUE_SUB;
		rows_fastest()->subtract(image_get_row(image, y, room), row_bytes, (size_t)channels, raw + 1);
	}
}

/* libdeflate packs in half of zlib's time, and closer, but wants all at once. */
static bool pack(struct writer *w, const struct image *image, int level)
{
	size_t n = (size_t)raw_bytes(image->plane[0].w, image->plane[0].h, image_planes(image));
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(level);
	if (!c)
		return fail(w->err, 503, REASON_MEMORY, "The server is short of memory; please try again.", "libdeflate could not start");
	arena_defer(w->scratch, free_compressor, c);
	size_t most = libdeflate_zlib_compress_bound(c, n);
	uint8_t *raw = arena_room(w->scratch, n, w->err);
	w->packed = raw ? arena_room(w->scratch, most, w->err) : NULL;
	if (!w->packed)
		return false;
	filter_rows(w->scratch, image, raw);
	w->n_packed = libdeflate_zlib_compress(c, raw, n, w->packed, most);
	return true;
}

/* What comes behind the header: libpng would miss rows of its own. */
static void write_packed(struct writer *w)
{
	png_write_chunk(w->png, (png_const_bytep)"IDAT", w->packed, w->n_packed);
	png_write_chunk(w->png, (png_const_bytep)"IEND", NULL, 0);
}

/* libpng keeps no copies of all of these: they live as long as the write. */
static void write_chunks(struct writer *w, const struct image *image, const struct metadata *m)
{
	char key[] = XMP_KEY, name[] = "ICC profile", empty[] = "";
	if (image->icc_bytes)
		png_set_iCCP(w->png, w->info, name, PNG_COMPRESSION_TYPE_BASE, image->icc, (png_uint_32)image->icc_bytes);
	else
		png_set_sRGB(w->png, w->info, PNG_sRGB_INTENT_PERCEPTUAL);
	if (m->per_cm_x > 0)
		png_set_pHYs(w->png, w->info, (png_uint_32)lround(m->per_cm_x * 100), (png_uint_32)lround(m->per_cm_y * 100),
			     PNG_RESOLUTION_METER);
	if (m->exif.n)
		png_set_eXIf_1(w->png, w->info, (png_uint_32)m->exif.n, (png_bytep)str_dup(w->scratch, m->exif));
	if (m->xmp.n) {
		png_text text = {.compression = PNG_ITXT_COMPRESSION_NONE, .key = key, .text = str_dup(w->scratch, m->xmp),
				 .itxt_length = m->xmp.n, .lang = empty, .lang_key = empty};
		png_set_text(w->png, w->info, &text, 1);
	}
}

static void write_all(struct writer *w, const struct image *image, int compression, bool bits,
		      const struct metadata *metadata)
{
	int kind = (image->n == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB) | (image->alpha ? PNG_COLOR_MASK_ALPHA : 0);
	png_set_write_fn(w->png, w, on_bytes, on_flush);
	png_set_user_limits(w->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
	png_set_compression_level(w->png, compression);
	/* The adaptive choice of filters costs more than it saves at quick levels. */
	png_set_filter(w->png, PNG_FILTER_TYPE_BASE,
		       bits ? PNG_FILTER_NONE : compression > MOST_QUICK_LEVEL ? PNG_ALL_FILTERS : PNG_FILTER_SUB);
	png_set_IHDR(w->png, w->info, image->plane[0].w, image->plane[0].h, bits ? 1 : 8, kind, PNG_INTERLACE_NONE,
		     PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	write_chunks(w, image, metadata);
	png_write_info(w->png, w->info);
	if (w->packed) {
		write_packed(w);
		return;
	}
	(bits ? write_bits : write_rows)(w, image);
	png_write_end(w->png, w->info);
}

/* Smaller levels, with one filter for all rows. */
static bool packs_at_once(const struct image *image, const struct encode_options *o)
{
	return !(o->bitonal && !image->alpha) && o->png_compression > 0 && o->png_compression <= MOST_QUICK_LEVEL &&
	       raw_bytes(image->plane[0].w, image->plane[0].h, image_planes(image)) <= MOST_AT_ONCE;
}

static bool png_write_file(struct image *image, const struct encode_options *options,
			   struct buf *out, struct error *err)
{
	struct writer *w;
	struct arena *scratch = arena_open();
	bool ok = false;

	w = arena_new(scratch, struct writer);
	*w = (struct writer){.out = out, .err = err, .scratch = scratch};
	w->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w, on_write_error, on_warning);
	w->info = w->png ? png_create_info_struct(w->png) : NULL;
	if (packs_at_once(image, options) && !pack(w, image, options->png_compression)) {
		ok = false;
	} else if (!w->info) {
		fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.",
		     "libpng could not start");
	} else if (setjmp(png_jmpbuf(w->png)) == 0) {
		write_all(w, image, options->png_compression, options->bitonal && !image->alpha,
			  &options->metadata);
		ok = true;
	}
	png_destroy_write_struct(&w->png, &w->info);
	arena_close(scratch);
	return ok;
}

static uint64_t png_write_memory(uint32_t w, uint32_t h)
{
	uint64_t raw = raw_bytes(w, h, 4);
	return (uint64_t)w * 32 + (2 << 20) + 2 * (raw < MOST_AT_ONCE ? raw : MOST_AT_ONCE);
}

const struct encoder png_encoder = {
	.format = FORMAT_PNG,
	.model = MODEL_RGB,
	.alpha = true,
	.profile = true,
	.memory = png_write_memory,
	.write = png_write_file,
};
