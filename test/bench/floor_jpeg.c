/* SPDX-License-Identifier: BSD-2-Clause */
#include "floor_jpeg.h"

#include <stdlib.h>

static void on_error(j_common_ptr j)
{
	char text[JMSG_LENGTH_MAX];
	j->err->format_message(j, text);
	die("libjpeg: %s", text);
}

struct jpeg_error_mgr *strict_errors(struct jpeg_error_mgr *errors)
{
	jpeg_std_error(errors);
	errors->error_exit = on_error;
	return errors;
}

void plane_size(struct plane *p, unsigned w, unsigned h, unsigned bytes)
{
	size_t stride = ((size_t)w + SPARE) * bytes, room = stride * (h + SPARE);
	if (room > p->room) {
		free(p->at);
		p->at = calloc(1, room);
		p->room = room;
	}
	if (!p->at)
		die("no memory");
	p->left = p->top = 0;
	p->w = w;
	p->h = h;
	p->stride = stride;
}

void drop_chroma(struct jpeg_decompress_struct *j)
{
	for (int i = 1; i < j->num_components; i++)
		j->comp_info[i].component_needed = FALSE;
}

void read_blocks(struct jpeg_decompress_struct *j, int n, uint8_t *const at[3], const size_t stride[3])
{
	JSAMPROW rows[3][4 * DCTSIZE];
	JSAMPARRAY arrays[3] = {rows[0], rows[1], rows[2]};
	JDIMENSION lines = (JDIMENSION)(j->max_v_samp_factor * j->min_DCT_scaled_size);
	for (size_t block = 0; j->output_scanline < j->output_height; block++) {
		for (int i = 0; i < j->num_components; i++) {
			const jpeg_component_info *c = &j->comp_info[i];
			size_t height = (size_t)(c->v_samp_factor * c->DCT_scaled_size);
			for (size_t k = 0; k < height; k++)
				rows[i][k] = at[i < n ? i : 0] + (block * height + k) * stride[i < n ? i : 0];
		}
		jpeg_read_raw_data(j, arrays, lines);
	}
}

struct flat {
	FILE *file;
	struct jpeg_decompress_struct j;
	struct jpeg_error_mgr errors;
};

static struct flat *open_flat(struct source *s)
{
	struct flat *f = calloc(1, sizeof *f);
	if (!f || !(f->file = fopen(s->path, "rb")))
		die("%s cannot be opened", s->path);
	setvbuf(f->file, NULL, _IOFBF, 1 << 16);
	f->j.err = strict_errors(&f->errors);
	jpeg_create_decompress(&f->j);
	s->codec = f;
	return f;
}

static unsigned eighths_for(const struct ask *a)
{
	for (unsigned n = 1; n < 8; n *= 2)
		if ((uint64_t)a->w * n >= (uint64_t)a->out_w * 8 && (uint64_t)a->h * n >= (uint64_t)a->out_h * 8)
			return n;
	return 8;
}

static void read_whole(struct jpeg_decompress_struct *j, bool gray, struct samples *out)
{
	uint8_t *at[3] = {0};
	size_t stride[3] = {0};
	j->raw_data_out = TRUE;
	out->form = FORM_PLANES;
	out->n = gray ? 1 : j->num_components;
	if (gray)
		drop_chroma(j);
	jpeg_start_decompress(j);
	for (int i = 0; i < out->n; i++) {
		plane_size(&out->plane[i], j->comp_info[i].downsampled_width, j->comp_info[i].downsampled_height, 1);
		at[i] = out->plane[i].at;
		stride[i] = out->plane[i].stride;
	}
	out->sub_x = out->n == 3 && out->plane[1].w < out->plane[0].w ? 2 : 1;
	out->sub_y = out->n == 3 && out->plane[1].h < out->plane[0].h ? 2 : 1;
	read_blocks(j, out->n, at, stride);
	jpeg_finish_decompress(j);
}

static void read_part(struct jpeg_decompress_struct *j, bool gray, const struct ask *a, unsigned n, struct samples *out)
{
	unsigned bytes = gray ? 1 : 3;
	j->out_color_space = gray ? JCS_GRAYSCALE : JCS_YCbCr;
	out->form = gray ? FORM_PLANES : FORM_YCC;
	out->n = 1;
	jpeg_start_decompress(j);
	JDIMENSION x = a->x * n / 8, w = a->w * n / 8, y = a->y * n / 8, h = a->h * n / 8;
	jpeg_crop_scanline(j, &x, &w);
	plane_size(&out->plane[0], w, h, bytes);
	jpeg_skip_scanlines(j, y);
	for (unsigned i = 0; i < h; i++) {
		JSAMPROW row = out->plane[0].at + i * out->plane[0].stride;
		jpeg_read_scanlines(j, &row, 1);
	}
	jpeg_abort_decompress(j);
}

void read_jpeg(struct source *s, const struct ask *a)
{
	struct flat *f = s->codec ? s->codec : open_flat(s);
	unsigned n = eighths_for(a);
	rewind(f->file);
	jpeg_stdio_src(&f->j, f->file);
	jpeg_read_header(&f->j, TRUE);
	f->j.scale_num = n;
	f->j.scale_denom = 8;
	f->j.do_fancy_upsampling = FALSE;
	if (a->w == f->j.image_width && a->h == f->j.image_height)
		read_whole(&f->j, s->gray, &s->samples);
	else
		read_part(&f->j, s->gray, a, n, &s->samples);
}
