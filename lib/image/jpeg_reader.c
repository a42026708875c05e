/* SPDX-License-Identifier: BSD-2-Clause */
#include "jpeg_reader.h"

#include <jerror.h>

#include "../base/deadline.h"
#include "../base/log.h"
#include "rows.h"

/* Each scan of a progressive file may cost a walk over all its blocks, for a few bytes of file. */
#define MAX_SCANS 100

/* Frames of hierarchical JPEG and of JPEG-LS, where libjpeg sees no marker at all. */
#define MARKER_DHP 0xde
#define MARKER_EXP 0xdf
#define MARKER_SOF55 0xf7

static bool is_unsupported(const struct jpeg_error_mgr *e)
{
	int code = e->msg_code, marker = e->msg_parm.i[0];
	if (code == JERR_UNKNOWN_MARKER)
		return marker == MARKER_DHP || marker == MARKER_EXP || marker == MARKER_SOF55;
	return code == JERR_SOF_UNSUPPORTED || code == JERR_BAD_PRECISION ||
	       code == JERR_ARITH_NOTIMPL || code == JERR_EMPTY_IMAGE || code == JERR_IMAGE_TOO_BIG ||
	       code == JERR_FRACT_SAMPLE_NOTIMPL || code == JERR_COMPONENT_COUNT ||
	       code == JERR_CONVERSION_NOTIMPL;
}

static void on_error(j_common_ptr j)
{
	struct jpeg_reader *r = j->client_data;
	char text[JMSG_LENGTH_MAX];
	j->err->format_message(j, text);
	if (j->err->msg_code == JERR_OUT_OF_MEMORY)
		fail(r->err, 503, REASON_MEMORY, "The server is short of memory; please try again.",
		     "libjpeg: %s", text);
	else if (is_unsupported(j->err))
		fail(r->err, 501, REASON_UNSUPPORTED, "This kind of JPEG is not supported.", "libjpeg: %s",
		     text);
	else
		fail(r->err, 500, REASON_DAMAGED, "The image is damaged.", "libjpeg: %s", text);
	longjmp(r->jump, 1);
}

/* Warnings after which the pixels are still those of the file. */
static bool is_harmless(int code)
{
	return code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR ||
	       code == JWRN_TOO_MUCH_DATA || code == JWRN_NOT_SEQUENTIAL || code == JWRN_BOGUS_ICC ||
	       code == JWRN_JPEG_EOF;
}

static void on_message(j_common_ptr j, int level)
{
	struct jpeg_reader *r = j->client_data;
	if (level < 0 && j->err->msg_code == JWRN_BOGUS_ICC)
		log_event("warn", "an ICC profile is ignored: its pieces do not fit together");
	if (level < 0 && !is_harmless(j->err->msg_code) && !r->recover)
		on_error(j);
}

static void no_text(j_common_ptr j)
{
	(void)j;
}

static void on_progress(j_common_ptr j)
{
	struct jpeg_reader *r = j->client_data;
	if (!deadline_check(r->err))
		longjmp(r->jump, 1);
	for (int i = 0; i < r->j.comps_in_scan; i++)
		r->seen |= 1u << r->j.cur_comp_info[i]->component_index;
	if (r->j.input_scan_number <= MAX_SCANS)
		return;
	fail(r->err, 501, REASON_UNSUPPORTED, "This kind of JPEG is not supported.", "more than %d scans",
	     MAX_SCANS);
	longjmp(r->jump, 1);
}

static void start_source(j_decompress_ptr j)
{
	(void)j;
}

/* Where the bytes run out an end of image is made up: a file that lacks only that is whole, and one
 * that lacks more makes the decoder warn, which is an error here. */
static boolean fill_buffer(j_decompress_ptr j)
{
	struct jpeg_reader *r = j->client_data;
	int64_t n = 0;
	if (r->source) {
		n = source_read_up_to(r->source, r->buffer, sizeof r->buffer, r->offset, r->err);
		if (n < 0)
			longjmp(r->jump, 1);
		r->offset += (uint64_t)n;
	}
	if (n == 0) {
		r->ended = true;
		r->buffer[0] = 0xff;
		r->buffer[1] = JPEG_EOI;
		n = 2;
	}
	r->bytes.next_input_byte = r->buffer;
	r->bytes.bytes_in_buffer = (size_t)n;
	return TRUE;
}

static void skip_bytes(j_decompress_ptr j, long n)
{
	struct jpeg_reader *r = j->client_data;
	if (n <= 0)
		return;
	size_t in_buffer = r->bytes.bytes_in_buffer;
	if ((size_t)n <= in_buffer) {
		r->bytes.next_input_byte += n;
		r->bytes.bytes_in_buffer -= (size_t)n;
		return;
	}
	r->offset += (uint64_t)n - in_buffer;
	r->bytes.bytes_in_buffer = 0;
	if (!r->source)
		r->ended = true;
}

static void stop_source(j_decompress_ptr j)
{
	(void)j;
}

static void destroy(void *what)
{
	jpeg_destroy_decompress(&((struct jpeg_reader *)what)->j);
}

struct jpeg_reader *jpeg_reader_open(struct arena *a, struct error *err)
{
	struct jpeg_reader *r = arena_new(a, struct jpeg_reader);
	r->err = err;
	r->a = a;
	r->j.err = jpeg_std_error(&r->errors);
	r->errors.error_exit = on_error;
	r->errors.emit_message = on_message;
	r->errors.output_message = no_text;
	r->j.client_data = r;
	if (setjmp(r->jump))
		return NULL;
	jpeg_create_decompress(&r->j);
	arena_defer(a, destroy, r);
	r->progress.progress_monitor = on_progress;
	r->j.progress = &r->progress;
	r->bytes = (struct jpeg_source_mgr){
		.init_source = start_source,
		.fill_input_buffer = fill_buffer,
		.skip_input_data = skip_bytes,
		.resync_to_restart = jpeg_resync_to_restart,
		.term_source = stop_source,
	};
	r->j.src = &r->bytes;
	return r;
}

bool jpeg_has_whole_ratios(const struct jpeg_decompress_struct *j)
{
	for (int i = 0; i < j->num_components; i++) {
		const jpeg_component_info *c = &j->comp_info[i];
		if (j->max_h_samp_factor % c->h_samp_factor || j->max_v_samp_factor % c->v_samp_factor)
			return false;
	}
	return true;
}

bool jpeg_is_full_size(const struct jpeg_decompress_struct *j, int i)
{
	const jpeg_component_info *c = &j->comp_info[i];
	return c->h_samp_factor == j->max_h_samp_factor && c->v_samp_factor == j->max_v_samp_factor;
}

void jpeg_sampling(const struct jpeg_decompress_struct *j, uint8_t *x, uint8_t *y)
{
	*x = *y = 1;
	for (int i = 1; i < j->num_components; i++) {
		const jpeg_component_info *c = &j->comp_info[i];
		int across = (j->max_h_samp_factor + c->h_samp_factor - 1) / c->h_samp_factor;
		int down = (j->max_v_samp_factor + c->v_samp_factor - 1) / c->v_samp_factor;
		*x = across > *x ? (uint8_t)across : *x;
		*y = down > *y ? (uint8_t)down : *y;
	}
}

#define MOST_ROWS (4 * DCTSIZE)   /* of a block row */

void jpeg_halve(uint8_t *above, uint8_t *below, uint32_t w, uint32_t y, uint8_t *to)
{
	if (w % 2) {
		above[w] = above[w - 1];
		below[w] = below[w - 1];
	}
	rows_fastest()->halve(above, below, (w + 1) / 2, 1 + (int)(y % 2), to);
}

/* A block row, w by h samples of it and of all rows. */
static void halve_rows(const jpeg_component_info *c, JSAMPROW rows[], uint32_t block_row, uint32_t w, uint32_t h,
		       const struct plane *to)
{
	uint32_t height = (uint32_t)(c->v_samp_factor * c->DCT_scaled_size);
	for (uint32_t k = 0; k < height; k += 2) {
		uint32_t row = block_row * height + k;
		if (row / 2 >= to->h || row >= h)
			return;
		jpeg_halve(rows[k], rows[row + 1 < h ? k + 1 : k], w, row / 2, to->at + row / 2 * to->stride);
	}
}

/* Samples of a component that so many luma samples have. */
static uint32_t scaled(uint32_t luma, int factor, int most, int size)
{
	uint64_t part = (uint64_t)luma * (unsigned)factor * (unsigned)size, whole = 8 * (uint64_t)most;
	return (uint32_t)((part + whole - 1) / whole);
}

static uint32_t width_of(const jpeg_component_info *c)
{
	return (uint32_t)c->width_in_blocks * (uint32_t)c->DCT_scaled_size;
}

void jpeg_read_raw(struct jpeg_reader *r, int n, const struct plane to[], bool halves, uint32_t w, uint32_t h,
		   uint32_t lines)
{
	struct jpeg_decompress_struct *j = &r->j;
	JSAMPROW rows[JPEG_COMPONENTS][MOST_ROWS];
	JSAMPARRAY arrays[JPEG_COMPONENTS] = {rows[0], rows[1], rows[2], rows[3]};
	JDIMENSION per_call = (JDIMENSION)(j->max_v_samp_factor * j->min_DCT_scaled_size);
	uint32_t widest = 0;
	for (int i = 0; i < n; i++)
		widest = width_of(&j->comp_info[i]) > widest ? width_of(&j->comp_info[i]) : widest;
	size_t stride = (size_t)widest + 64, bytes = halves ? stride * MOST_ROWS * 2 : stride;
	if (r->spill_bytes < bytes) {
		if (r->spill)
			arena_drop_block(r->a, r->spill);
		r->spill_bytes = 0;
		r->spill = arena_room(r->a, bytes, r->err);
		if (!r->spill)
			longjmp(r->jump, 1);
		r->spill_bytes = bytes;
	}

	for (uint32_t block_row = 0; j->output_scanline < lines; block_row++) {
		for (int i = 0; i < n; i++) {
			const jpeg_component_info *c = &j->comp_info[i];
			uint32_t height = (uint32_t)(c->v_samp_factor * c->DCT_scaled_size);
			for (uint32_t k = 0; k < height; k++) {
				uint32_t row = block_row * height + k;
				bool has_room = to[i].at && row < to[i].h;
				if (halves && i > 0)
					rows[i][k] = r->spill + ((size_t)(i % 2) * MOST_ROWS + k) * stride;
				else
					rows[i][k] = has_room ? to[i].at + row * to[i].stride : r->spill;
			}
		}
		if (jpeg_read_raw_data(j, arrays, per_call) == 0)
			ERREXIT(j, JERR_INPUT_EOF);
		for (int i = 1; halves && i < n; i++) {
			const jpeg_component_info *c = &j->comp_info[i];
			if (to[i].at)
				halve_rows(c, rows[i], block_row, scaled(w, c->h_samp_factor, j->max_h_samp_factor, c->DCT_scaled_size),
					   scaled(h, c->v_samp_factor, j->max_v_samp_factor, c->DCT_scaled_size), &to[i]);
		}
	}
}

void jpeg_check_whole(struct jpeg_reader *r)
{
	bool many = jpeg_has_multiple_scans(&r->j);
	bool lacks_component = many && r->seen != (1u << r->j.num_components) - 1;
	/* Huffman codes that run out make libjpeg warn; arithmetic ones go on as zeros. */
	bool cut = r->ended && (many || r->j.arith_code);
	if (r->recover || (!lacks_component && !cut))
		return;
	fail(r->err, 500, REASON_DAMAGED, "The image is damaged.", "JPEG scans are missing");
	longjmp(r->jump, 1);
}
