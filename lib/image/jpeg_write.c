/* SPDX-License-Identifier: BSD-2-Clause */
#include "jpeg_write.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>
#include <jerror.h>

#include "jpeg_blocks.h"

#define ROOM_BYTES 65536
#define COMPONENTS 3
#define MAX_SAMPLING 4

struct writer {
	struct jpeg_compress_struct j;
	struct jpeg_error_mgr errors;
	struct jpeg_destination_mgr bytes;
	jmp_buf jump;
	struct error *err;
	struct buf *out;
	size_t room_bytes;             /* behind what is in out */
};

static void on_error(j_common_ptr j)
{
	struct writer *w = j->client_data;
	char text[JMSG_LENGTH_MAX];
	j->err->format_message(j, text);
	if (j->err->msg_code == JERR_OUT_OF_MEMORY)
		fail(w->err, 503, REASON_MEMORY, "The server is short of memory; please try again.", "libjpeg: %s",
		     text);
	else if (j->err->msg_code == JERR_IMAGE_TOO_BIG)
		fail(w->err, 413, REASON_TOO_LARGE, "The picture is larger than this format can hold.",
		     "libjpeg: %s", text);
	else
		fail(w->err, 500, REASON_INTERNAL, "The picture could not be written.", "libjpeg: %s", text);
	longjmp(w->jump, 1);
}

static void no_text(j_common_ptr j)
{
	(void)j;
}

/* As much as there is up to the limit: the buffer is full when there is none. */
static void need_room(struct writer *w)
{
	size_t left = w->out->limit - w->out->n;
	w->room_bytes = left < ROOM_BYTES ? left : ROOM_BYTES;
	char *room = w->room_bytes ? buf_room(w->out, w->room_bytes) : NULL;
	if (!room) {
		body_too_large(w->err);
		longjmp(w->jump, 1);
	}
	w->bytes.next_output_byte = (JOCTET *)room;
	w->bytes.free_in_buffer = w->room_bytes;
}

static void take_bytes(struct writer *w)
{
	w->out->n += w->room_bytes - w->bytes.free_in_buffer;
}

static void start_bytes(j_compress_ptr j)
{
	need_room(j->client_data);
}

/* libjpeg calls this only with the room used up to the last byte, and may not have counted that. */
static boolean more_bytes(j_compress_ptr j)
{
	struct writer *w = j->client_data;
	w->out->n += w->room_bytes;
	need_room(w);
	return TRUE;
}

static void end_bytes(j_compress_ptr j)
{
	take_bytes(j->client_data);
}

static void set_sampling(struct writer *w, const struct image *image)
{
	struct jpeg_compress_struct *j = &w->j;
	for (int i = 0; i < j->num_components; i++)
		j->comp_info[i].h_samp_factor = j->comp_info[i].v_samp_factor = 1;
	if (image->n < 3)
		return;
	const struct plane *luma = &image->plane[0], *chroma = &image->plane[1];
	j->comp_info[0].h_samp_factor = (int)(chroma->dx / luma->dx + 0.5);
	j->comp_info[0].v_samp_factor = (int)(chroma->dy / luma->dy + 0.5);
}

static void set_up(struct writer *w, const struct image *image, enum model model, int quality)
{
	struct jpeg_compress_struct *j = &w->j;
	j->dest = &w->bytes;
	j->in_color_space = model == MODEL_GRAY ? JCS_GRAYSCALE : JCS_YCbCr;
	j->input_components = model == MODEL_GRAY ? 1 : 3;
	jpeg_set_defaults(j);
	jpeg_set_quality(j, quality, TRUE);
	j->dct_method = JDCT_ISLOW;
	if (!image)
		return;
	j->image_width = image->plane[0].w;
	j->image_height = image->plane[0].h;
	j->raw_data_in = TRUE;
	set_sampling(w, image);
}

/* Repeats each row's last sample to the end of its block: the codec reads whole blocks. */
static void pad_rows(struct plane *p)
{
	uint32_t padded = (p->w + DCTSIZE - 1) & ~(uint32_t)(DCTSIZE - 1);
	if (padded == p->w)
		return;
	for (uint32_t y = 0; y < p->h; y++) {
		uint8_t *row = p->at + y * p->stride;
		memset(row + p->w, row[p->w - 1], padded - p->w);
	}
}

static void write_planes(struct jpeg_compress_struct *j, struct image *image)
{
	JSAMPROW rows[COMPONENTS][MAX_SAMPLING * DCTSIZE];
	JSAMPARRAY arrays[COMPONENTS] = {rows[0], rows[1], rows[2]};
	JDIMENSION lines = (JDIMENSION)(j->max_v_samp_factor * DCTSIZE);

	for (int i = 0; i < image->n; i++)
		pad_rows(&image->plane[i]);
	for (uint32_t block_row = 0; j->next_scanline < j->image_height; block_row++) {
		for (int i = 0; i < image->n; i++) {
			const struct plane *p = &image->plane[i];
			uint32_t height = (uint32_t)j->comp_info[i].v_samp_factor * DCTSIZE;
			for (uint32_t k = 0; k < height; k++) {
				uint32_t y = block_row * height + k;
				rows[i][k] = p->at + (y < p->h ? y : p->h - 1) * p->stride;
			}
		}
		jpeg_write_raw_data(j, arrays, lines);
	}
}

/* What stands in front, through libjpeg's room: it has written SOI only. */
static void write_front(struct writer *w, const struct image *image, const struct metadata *m)
{
	take_bytes(w);
	jpeg_write_jfif(m, w->out);
	jpeg_write_blocks(m, (struct str){(const char *)image->icc, image->icc_bytes}, w->out);
	need_room(w);
}

enum stream { STREAM_FILE, STREAM_TABLES, STREAM_TILE };

static void write_stream(struct writer *w, struct image *image, enum model model, int quality,
			 enum stream stream, const struct metadata *metadata)
{
	struct jpeg_compress_struct *j = &w->j;
	set_up(w, image, model, quality);
	if (stream == STREAM_TABLES) {
		jpeg_write_tables(j);
		return;
	}
	j->write_JFIF_header = FALSE;
	if (stream == STREAM_TILE) {
		j->restart_in_rows = 1;
		jpeg_suppress_tables(j, TRUE);
	}
	jpeg_start_compress(j, stream == STREAM_FILE);
	if (metadata)
		write_front(w, image, metadata);
	write_planes(j, image);
	jpeg_finish_compress(j);
}

static bool write_any(struct image *image, enum model model, int quality, enum stream stream,
		      const struct metadata *metadata, struct buf *out, struct error *err)
{
	struct writer w = {.err = err, .out = out};
	w.bytes = (struct jpeg_destination_mgr){
		.init_destination = start_bytes,
		.empty_output_buffer = more_bytes,
		.term_destination = end_bytes,
	};
	w.j.err = jpeg_std_error(&w.errors);
	w.errors.error_exit = on_error;
	w.errors.output_message = no_text;
	w.j.client_data = &w;
	if (setjmp(w.jump)) {
		jpeg_destroy_compress(&w.j);
		return false;
	}
	jpeg_create_compress(&w.j);
	write_stream(&w, image, model, quality, stream, metadata);
	jpeg_destroy_compress(&w.j);
	return true;
}

static bool write_file(struct image *image, const struct encode_options *options, struct buf *out,
		       struct error *err)
{
	return write_any(image, image->model, options->jpeg_quality, STREAM_FILE, &options->metadata, out, err);
}

bool jpeg_tile_tables(enum model model, int quality, struct buf *out, struct error *err)
{
	return write_any(NULL, model, quality, STREAM_TABLES, NULL, out, err);
}

bool jpeg_tile_write(struct image *tile, int quality, struct buf *out, struct error *err)
{
	return write_any(tile, tile->model, quality, STREAM_TILE, NULL, out, err);
}

static uint64_t write_memory(uint32_t w, uint32_t h)
{
	(void)h;
	return (uint64_t)w * COMPONENTS * MAX_SAMPLING * DCTSIZE + (1 << 20);
}

const struct encoder jpeg_encoder = {
	.format = FORMAT_JPG,
	.model = MODEL_YCC,
	.profile = true,
	.memory = write_memory,
	.write = write_file,
};
