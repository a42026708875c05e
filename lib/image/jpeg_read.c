/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a region of a JPEG becomes planes.
 *
 * libjpeg has two ways out. Raw data gives each component in its own resolution, but no columns can
 * be left out and no rows skipped. Scanlines can be cropped and skipped, but come interleaved, with
 * chroma brought up to luma's resolution. With fancy upsampling off that is plain repetition, so
 * taking every second sample gives back exactly the stored chroma: both ways deliver the same
 * planes, and a tile is made of the very samples that the full image is made of.
 *
 * So: raw where the read begins at the top and spans all columns, else crop and skip. Sampling
 * ratios that are no whole numbers exist for raw only. A DCT scale of n/8 below 8 lets libjpeg
 * enlarge chroma inside the IDCT; each component is therefore taken with its own DCT size.
 */
#include "jpeg_read.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <jerror.h>

#include "metadata.h"

#define BUFFER_BYTES 65536
#define COMPONENTS 3
/* Each scan of a progressive file may cost a walk over all its blocks, for a few bytes of file. */
#define MAX_SCANS 100
/* A multiple of every number of luma lines that a chroma line can stand for. */
#define LINES_ALIGN 12

struct reader {
	struct jpeg_decompress_struct j;
	struct jpeg_error_mgr errors;
	struct jpeg_progress_mgr progress;
	struct jpeg_source_mgr bytes;
	jmp_buf jump;
	struct error *err;
	struct source *source;       /* NULL: the bytes are all in memory */
	uint64_t offset;
	bool ended;                  /* an end of image was made up where the bytes ran out */
	unsigned char buffer[BUFFER_BYTES];
};

static bool is_unsupported(int code)
{
	return code == JERR_SOF_UNSUPPORTED || code == JERR_BAD_PRECISION ||
	       code == JERR_ARITH_NOTIMPL || code == JERR_EMPTY_IMAGE || code == JERR_IMAGE_TOO_BIG ||
	       code == JERR_FRACT_SAMPLE_NOTIMPL || code == JERR_COMPONENT_COUNT ||
	       code == JERR_CONVERSION_NOTIMPL;
}

static void on_error(j_common_ptr j)
{
	struct reader *r = j->client_data;
	char text[JMSG_LENGTH_MAX];
	j->err->format_message(j, text);
	if (j->err->msg_code == JERR_OUT_OF_MEMORY)
		fail(r->err, 503, REASON_MEMORY, "The server is short of memory; please try again.",
		     "libjpeg: %s", text);
	else if (is_unsupported(j->err->msg_code))
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
	if (level < 0 && !is_harmless(j->err->msg_code))
		on_error(j);
}

static void no_text(j_common_ptr j)
{
	(void)j;
}

static void on_progress(j_common_ptr j)
{
	struct reader *r = j->client_data;
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
	struct reader *r = j->client_data;
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
	struct reader *r = j->client_data;
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
	jpeg_destroy_decompress(&((struct reader *)what)->j);
}

static struct reader *reader_open(struct arena *a, struct error *err)
{
	struct reader *r = arena_new(a, struct reader);
	r->err = err;
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

static bool has_whole_ratios(const struct jpeg_decompress_struct *j)
{
	for (int i = 0; i < j->num_components; i++) {
		const jpeg_component_info *c = &j->comp_info[i];
		if (j->max_h_samp_factor % c->h_samp_factor || j->max_v_samp_factor % c->v_samp_factor)
			return false;
	}
	return true;
}

static bool is_full_size(const struct jpeg_decompress_struct *j, int i)
{
	const jpeg_component_info *c = &j->comp_info[i];
	return c->h_samp_factor == j->max_h_samp_factor && c->v_samp_factor == j->max_v_samp_factor;
}

/* The coarser one's where the chroma components differ; ratios that are no whole numbers rounded up. */
static void read_sampling(const struct jpeg_decompress_struct *j, uint8_t *x, uint8_t *y)
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

void jpeg_chroma_at(int eighths, uint8_t *chroma_x, uint8_t *chroma_y)
{
	int size = eighths;
	while (size < DCTSIZE && *chroma_x * eighths % (size * 2) == 0 && *chroma_y * eighths % (size * 2) == 0)
		size *= 2;
	*chroma_x = (uint8_t)(*chroma_x * eighths / size);
	*chroma_y = (uint8_t)(*chroma_y * eighths / size);
}

struct jpeg_file {
	enum model model;
	bool progressive;
	bool whole_ratios;
};

static bool unsupported(struct error *err, const char *what, int value)
{
	return fail(err, 501, REASON_UNSUPPORTED, "This kind of JPEG is not supported.", "%s %d", what, value);
}

/* From a header just read. */
static bool read_kind(struct jpeg_decompress_struct *j, struct jpeg_file *file, struct error *err)
{
	switch (j->jpeg_color_space) {
	case JCS_GRAYSCALE:
		file->model = MODEL_GRAY;
		break;
	case JCS_YCbCr:
		file->model = MODEL_YCC;
		break;
	case JCS_RGB:
		file->model = MODEL_RGB;
		break;
	default:
		return unsupported(err, "colour space", j->jpeg_color_space);
	}
	/* Luma, and R, G and B, are what everything else is measured by. */
	for (int i = 0; i < (file->model == MODEL_RGB ? COMPONENTS : 1); i++)
		if (!is_full_size(j, i))
			return unsupported(err, "a subsampled component", i);
	file->progressive = jpeg_has_multiple_scans(j);
	file->whole_ratios = has_whole_ratios(j);
	return true;
}

static bool jpeg_knows(const uint8_t *head, size_t n)
{
	return n >= 3 && head[0] == 0xff && head[1] == 0xd8 && head[2] == 0xff;
}

static void take_exif(const struct jpeg_decompress_struct *j, struct picture *p)
{
	static const char mark[] = "Exif\0";
	for (jpeg_saved_marker_ptr m = j->marker_list; m; m = m->next) {
		if (m->marker != JPEG_APP0 + 1 || m->data_length < 6 || memcmp(m->data, mark, 6) != 0)
			continue;
		p->facts.orientation =
			exif_orientation((struct str){(const char *)m->data + 6, m->data_length - 6});
		return;
	}
}

static void take_profile(struct arena *a, struct reader *r, struct picture *p)
{
	JOCTET *icc = NULL;
	unsigned n = 0;
	if (!jpeg_read_icc_profile(&r->j, &icc, &n))
		return;
	p->icc = (const uint8_t *)arena_strndup(a, (const char *)icc, n);
	p->icc_bytes = n;
	free(icc);
}

static bool read_facts(struct arena *a, struct reader *r, struct picture *p, struct error *err)
{
	struct jpeg_file *file = arena_new(a, struct jpeg_file);
	r->source = p->source;
	jpeg_save_markers(&r->j, JPEG_APP0 + 1, 0xffff);
	jpeg_save_markers(&r->j, JPEG_APP0 + 2, 0xffff);
	jpeg_read_header(&r->j, TRUE);
	if (!read_kind(&r->j, file, err))
		return false;
	take_exif(&r->j, p);
	take_profile(a, r, p);
	read_sampling(&r->j, &p->facts.chroma_x, &p->facts.chroma_y);
	p->stored_w = r->j.image_width;
	p->stored_h = r->j.image_height;
	p->facts.gray = file->model == MODEL_GRAY;
	p->codec = file;
	return true;
}

static bool jpeg_open(struct arena *a, uint32_t page, struct picture *p, struct error *err)
{
	if (page != 1)
		return fail(err, 404, REASON_NOT_FOUND, "The image has no such page.", "JPEG has one page");
	/* The reader serves the header only; the facts live as long as the picture. */
	struct arena *scratch = arena_open();
	struct reader *r = reader_open(scratch, err);
	bool ok = false;
	if (r && setjmp(r->jump) == 0)
		ok = read_facts(a, r, p, err);
	arena_close(scratch);
	return ok;
}

/* The read at n eighths, in samples of the scaled luma: what must be covered. */
static struct rect scaled_cover(const struct picture *p, const struct wants *w, int n)
{
	bool planar = ((struct jpeg_file *)p->codec)->model == MODEL_YCC;
	double d = 8.0 / n;
	uint8_t sub_x = p->facts.chroma_x, sub_y = p->facts.chroma_y;
	jpeg_chroma_at(n, &sub_x, &sub_y);
	struct rect full = decoder_cover(p, w, d, d, planar ? sub_x : 0, planar ? sub_y : 0);
	uint32_t right = full.x + full.w, bottom = full.y + full.h;
	uint32_t num = (uint32_t)n;
	struct rect s = {.x = (uint32_t)((uint64_t)full.x * num / 8),
			 .y = (uint32_t)((uint64_t)full.y * num / 8)};
	s.w = (uint32_t)(((uint64_t)right * num + 7) / 8) - s.x;
	s.h = (uint32_t)(((uint64_t)bottom * num + 7) / 8) - s.y;
	return s;
}

/* Whether a read takes raw rows: all columns, from the top. */
static bool is_raw(const struct picture *p, const struct rect *s, int n)
{
	bool from_top = s->x == 0 && s->y == 0 && (uint64_t)s->w * 8 >= (uint64_t)p->stored_w * (unsigned)n;
	return from_top || !((struct jpeg_file *)p->codec)->whole_ratios;
}

static uint64_t jpeg_memory(const struct picture *p, const struct wants *w)
{
	const struct jpeg_file *file = p->codec;
	int n = dct_eighths(w, 1, 1);
	struct rect s = scaled_cover(p, w, n);
	if (is_raw(p, &s, n)) {
		s.w = (uint32_t)((uint64_t)p->stored_w * (unsigned)n / 8);
		s.h += s.y;
	}
	/* Block rows of 64 lines at the most; planes as if 4:4:4. */
	uint64_t samples = (uint64_t)(s.w + 128) * (s.h + 64);
	uint64_t components = (uint64_t)model_planes(file->model);
	uint64_t bytes = samples * components + (uint64_t)p->stored_w * 64 * components;
	if (file->progressive)
		bytes += ((uint64_t)p->stored_w + 32) * ((uint64_t)p->stored_h + 32) * 2 * components;
	return bytes + (1 << 20);
}

/* Components that are not wanted are not transformed. */
static void drop_chroma(struct jpeg_decompress_struct *j)
{
	for (int i = 1; i < j->num_components; i++)
		j->comp_info[i].component_needed = FALSE;
}

static void check_whole(struct reader *r)
{
	if (r->ended && jpeg_has_multiple_scans(&r->j)) {
		fail(r->err, 500, REASON_DAMAGED, "The image is damaged.", "JPEG scans are missing");
		longjmp(r->jump, 1);
	}
}

/* Where the planes of component i lie: one sample spans d_x by d_y full-image pixels. */
static void map_plane(struct plane *p, const struct jpeg_decompress_struct *j, int i, double scale)
{
	const jpeg_component_info *c = &j->comp_info[i];
	p->dx = scale * j->max_h_samp_factor * j->min_DCT_scaled_size /
		((double)c->h_samp_factor * c->DCT_scaled_size);
	p->dy = scale * j->max_v_samp_factor * j->min_DCT_scaled_size /
		((double)c->v_samp_factor * c->DCT_scaled_size);
}

/* Reads raw block rows to their place, until so many luma lines are there. */
static void read_raw(struct reader *r, int n, const struct jpeg_place *place, uint8_t *spill, uint32_t lines)
{
	struct jpeg_decompress_struct *j = &r->j;
	/* A block row is at most 4 x 8 lines high. */
	JSAMPROW rows[COMPONENTS][4 * DCTSIZE];
	JSAMPARRAY arrays[COMPONENTS] = {rows[0], rows[1], rows[2]};
	JDIMENSION per_call = (JDIMENSION)(j->max_v_samp_factor * j->min_DCT_scaled_size);

	for (uint32_t block_row = 0; j->output_scanline < lines; block_row++) {
		for (int i = 0; i < n; i++) {
			const jpeg_component_info *c = &j->comp_info[i];
			uint32_t height = (uint32_t)(c->v_samp_factor * c->DCT_scaled_size);
			for (uint32_t k = 0; k < height; k++) {
				uint32_t row = block_row * height + k;
				bool has_room = place->at[i] && row < place->rows_room[i];
				rows[i][k] = has_room ? place->at[i] + row * place->stride[i] : spill;
			}
		}
		if (jpeg_read_raw_data(j, arrays, per_call) == 0)
			ERREXIT(j, JERR_INPUT_EOF);
	}
}

static bool alloc_raw_planes(struct arena *a, struct jpeg_decompress_struct *j, struct image *out,
			     uint32_t lines, double scale, uint8_t **spill, struct error *err)
{
	uint32_t widest = 0;
	uint32_t per_call = (uint32_t)(j->max_v_samp_factor * j->min_DCT_scaled_size);
	uint32_t calls = (lines + per_call - 1) / per_call;
	for (int i = 0; i < j->num_components; i++) {
		const jpeg_component_info *c = &j->comp_info[i];
		uint32_t w = (uint32_t)c->width_in_blocks * (uint32_t)c->DCT_scaled_size;
		widest = w > widest ? w : widest;
		if (i >= out->n)
			continue;
		struct plane *p = &out->plane[i];
		uint32_t h = calls * (uint32_t)(c->v_samp_factor * c->DCT_scaled_size);
		if (!plane_alloc(a, p, w, h, err))
			return false;
		map_plane(p, j, i, scale);
		p->w = c->downsampled_width;
		if (h > c->downsampled_height)
			p->h = c->downsampled_height;
	}
	*spill = arena_alloc(a, (size_t)widest + 64);
	return true;
}

/* From the top, all columns. */
static bool read_planes_raw(struct arena *a, struct reader *r, struct image *out, uint32_t lines,
			    double scale, struct error *err)
{
	struct jpeg_decompress_struct *j = &r->j;
	struct jpeg_place place = {0};
	uint8_t *spill;

	j->raw_data_out = TRUE;
	if (out->n == 1)
		drop_chroma(j);
	jpeg_start_decompress(j);
	check_whole(r);
	if (lines > j->output_height)
		lines = j->output_height;
	if (!alloc_raw_planes(a, j, out, lines, scale, &spill, err))
		return false;
	for (int i = 0; i < out->n; i++) {
		place.at[i] = out->plane[i].at;
		place.stride[i] = out->plane[i].stride;
		place.rows_room[i] = UINT32_MAX;
	}
	read_raw(r, j->num_components, &place, spill, lines);
	return true;
}

/* One interleaved line into the planes, taking every sub-th sample of each component. */
static void split_line(const uint8_t *line, int n, const int sub[COMPONENTS],
		       struct image *out, const uint32_t row[COMPONENTS])
{
	for (int i = 0; i < n; i++) {
		const struct plane *p = &out->plane[i];
		uint8_t *to = p->at + row[i] * p->stride;
		size_t step = (size_t)n * (size_t)sub[i];
		const uint8_t *from = line + i;
		for (uint32_t x = 0; x < p->w; x++, from += step)
			to[x] = *from;
	}
}

/* The part s of the scaled image, by crop and skip. */
static bool read_planes_cropped(struct arena *a, struct reader *r, struct image *out,
				struct rect s, double scale, struct error *err)
{
	struct jpeg_decompress_struct *j = &r->j;
	int sub_x[COMPONENTS], sub_y[COMPONENTS];

	j->out_color_space = out->n == 1 ? JCS_GRAYSCALE : j->jpeg_color_space;
	jpeg_start_decompress(j);
	check_whole(r);

	JDIMENSION x = s.x, w = s.w;
	if (x + w > j->output_width)
		w = j->output_width - x;
	jpeg_crop_scanline(j, &x, &w);
	uint32_t y = s.y - s.y % LINES_ALIGN, bottom = s.y + s.h;
	if (bottom > j->output_height)
		bottom = j->output_height;

	for (int i = 0; i < out->n; i++) {
		struct plane *p = &out->plane[i];
		map_plane(p, j, i, scale);
		sub_x[i] = (int)(p->dx / scale + 0.5);
		sub_y[i] = (int)(p->dy / scale + 0.5);
		if (!plane_alloc(a, p, (w + (uint32_t)sub_x[i] - 1) / (uint32_t)sub_x[i],
				 (bottom - y + (uint32_t)sub_y[i] - 1) / (uint32_t)sub_y[i], err))
			return false;
		p->x = x * scale;
		p->y = y * scale;
	}

	uint8_t *line = arena_alloc(a, (size_t)w * (size_t)out->n + 64);
	if (y && jpeg_skip_scanlines(j, y) != y)
		ERREXIT(j, JERR_INPUT_EOF);
	for (uint32_t k = y; k < bottom; k++) {
		uint32_t row[COMPONENTS];
		int wanted = 0;
		JSAMPROW rows[1] = {line};
		if (jpeg_read_scanlines(j, rows, 1) != 1)
			ERREXIT(j, JERR_INPUT_EOF);
		for (int i = 0; i < out->n; i++) {
			row[i] = (k - y) / (uint32_t)sub_y[i];
			wanted += (k - y) % (uint32_t)sub_y[i] == 0;
		}
		if (wanted)
			split_line(line, out->n, sub_x, out, row);
	}
	return true;
}

/* Luma at full resolution, and both chroma components at the same. */
static bool has_equal_chroma(const struct jpeg_decompress_struct *j)
{
	const jpeg_component_info *c = j->comp_info;
	return j->num_components < 3 || (is_full_size(j, 0) && c[1].h_samp_factor == c[2].h_samp_factor &&
					 c[1].v_samp_factor == c[2].v_samp_factor);
}

static bool read_file(struct arena *a, struct reader *r, const struct picture *p,
		      const struct wants *w, struct image *out, struct error *err)
{
	struct jpeg_decompress_struct *j = &r->j;
	const struct jpeg_file *file = p->codec;
	struct jpeg_file now;
	int eighths = dct_eighths(w, 1, 1);
	double scale = 8.0 / eighths;
	struct rect s = scaled_cover(p, w, eighths);

	r->source = p->source;
	jpeg_read_header(j, TRUE);
	if (!read_kind(j, &now, err))
		return false;
	if (j->image_width != p->stored_w || j->image_height != p->stored_h || now.model != file->model ||
	    now.progressive != file->progressive || now.whole_ratios != file->whole_ratios)
		return fail(err, 500, REASON_DAMAGED, "The image is damaged.",
			    "the file changed while it was read");
	j->scale_num = (unsigned)eighths;
	j->scale_denom = 8;
	j->do_fancy_upsampling = FALSE;
	/* What it makes of a region depends on where the region begins. */
	j->do_block_smoothing = FALSE;
	j->dct_method = JDCT_ISLOW;

	out->model = file->model == MODEL_YCC && w->gray ? MODEL_GRAY : file->model;
	out->n = model_planes(out->model);
	out->icc = p->icc;
	out->icc_bytes = p->icc_bytes;

	return is_raw(p, &s, eighths)
		       ? read_planes_raw(a, r, out, s.y + s.h, scale, err)
		       : read_planes_cropped(a, r, out, s, scale, err);
}

static bool jpeg_read(struct arena *a, const struct picture *p, const struct wants *w,
		      struct image *out, struct error *err)
{
	*out = (struct image){0};
	struct arena *scratch = arena_open();
	struct reader *r = reader_open(scratch, err);
	bool ok = false;
	if (r && setjmp(r->jump) == 0)
		ok = read_file(a, r, p, w, out, err);
	arena_close(scratch);
	return ok || source_blame(p->source, err);
}

const struct decoder jpeg_decoder = {
	.name = "jpeg",
	.knows = jpeg_knows,
	.open = jpeg_open,
	.memory = jpeg_memory,
	.read = jpeg_read,
};

struct jpeg_tiles {
	struct reader *r;
	uint8_t *spill;
	size_t spill_bytes;
	struct arena *a;
};

static void feed(struct reader *r, struct str bytes)
{
	r->bytes.next_input_byte = (const JOCTET *)bytes.at;
	r->bytes.bytes_in_buffer = bytes.n;
	r->ended = false;
}

bool jpeg_tiles_open(struct arena *a, struct str tables, struct jpeg_tiles **out,
		     struct error *err)
{
	struct jpeg_tiles *t = arena_new(a, struct jpeg_tiles);
	t->a = a;
	t->r = reader_open(a, err);
	if (!t->r)
		return false;
	if (setjmp(t->r->jump))
		return false;
	if (tables.n) {
		feed(t->r, tables);
		jpeg_read_header(&t->r->j, FALSE);
		jpeg_abort_decompress(&t->r->j);
	}
	*out = t;
	return true;
}

static void read_stream_header(struct jpeg_tiles *t, struct str stream, struct jpeg_stream *facts)
{
	struct jpeg_decompress_struct *j = &t->r->j;
	jpeg_abort_decompress(j);
	feed(t->r, stream);
	jpeg_read_header(j, TRUE);
	*facts = (struct jpeg_stream){j->image_width, j->image_height, j->num_components, 1, 1,
				      jpeg_has_multiple_scans(j)};
	if (j->num_components != 1 && j->num_components != 3)
		ERREXIT2(j, JERR_COMPONENT_COUNT, j->num_components, 3);
	if (!has_whole_ratios(j) || !has_equal_chroma(j))
		ERREXIT(j, JERR_FRACT_SAMPLE_NOTIMPL);
	read_sampling(j, &facts->chroma_x, &facts->chroma_y);
}

bool jpeg_tiles_probe(struct jpeg_tiles *t, struct str stream, struct jpeg_stream *facts,
		      struct error *err)
{
	t->r->err = err;
	if (setjmp(t->r->jump))
		return false;
	read_stream_header(t, stream, facts);
	return true;
}

bool jpeg_tiles_read(struct jpeg_tiles *t, struct str stream, const struct jpeg_stream *like,
		     int eighths, const struct jpeg_place *place, struct error *err)
{
	struct jpeg_decompress_struct *j = &t->r->j;
	struct jpeg_stream facts;
	t->r->err = err;
	if (setjmp(t->r->jump))
		return false;
	read_stream_header(t, stream, &facts);
	if (facts.components != like->components || facts.chroma_x != like->chroma_x ||
	    facts.chroma_y != like->chroma_y || facts.progressive != like->progressive)
		return fail(err, 500, REASON_DAMAGED, "The image is damaged.",
			    "a JPEG tile differs in kind from the first one");
	if (facts.w > like->w || facts.h > like->h || facts.w < place->w || facts.h < place->h)
		return fail(err, 500, REASON_DAMAGED, "The image is damaged.",
			    "a JPEG tile has %u x %u samples, of %u x %u its image needs %u x %u", facts.w, facts.h,
			    like->w, like->h, place->w, place->h);

	j->jpeg_color_space = j->out_color_space = JCS_UNKNOWN;
	j->scale_num = (unsigned)eighths;
	j->scale_denom = 8;
	j->raw_data_out = TRUE;
	j->do_fancy_upsampling = FALSE;
	j->do_block_smoothing = FALSE;
	j->dct_method = JDCT_ISLOW;
	for (int i = 0; i < j->num_components; i++)
		j->comp_info[i].component_needed = place->at[i] != NULL;
	jpeg_start_decompress(j);
	check_whole(t->r);

	size_t widest = (size_t)like->w + 64;
	if (t->spill_bytes < widest) {
		t->spill = arena_alloc(t->a, widest);
		t->spill_bytes = widest;
	}
	read_raw(t->r, j->num_components, place, t->spill, j->output_height);
	return true;
}
