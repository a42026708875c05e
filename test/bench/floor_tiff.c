/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include <tiffio.h>

#include "floor_jpeg.h"

enum { LEVELS = 16 };

/* Each level by a handle of its own, which then stays at its directory. */
struct level {
	TIFF *tif;
	unsigned w, h, tile_w, tile_h, across;
	bool has_decoder;
	struct jpeg_decompress_struct j;
};

struct pyramid {
	struct level level[LEVELS];
	struct jpeg_error_mgr errors;
	uint8_t *tile;
	size_t tile_room;
};

static void *tile_room(struct pyramid *p, size_t n)
{
	if (n > p->tile_room) {
		free(p->tile);
		p->tile = malloc(n);
		p->tile_room = n;
	}
	if (!p->tile)
		die("no memory");
	return p->tile;
}

static struct level *open_level(struct source *s, unsigned number)
{
	struct pyramid *p = s->codec ? s->codec : calloc(1, sizeof *p);
	s->codec = p;
	if (!p || number >= LEVELS)
		die("no such level");
	struct level *l = &p->level[number];
	if (l->tif)
		return l;
	l->tif = TIFFOpen(s->path, "rm");
	if (!l->tif || !TIFFSetDirectory(l->tif, (tdir_t)number) || !TIFFIsTiled(l->tif))
		die("%s: no tiled level %u", s->path, number);
	TIFFGetField(l->tif, TIFFTAG_IMAGEWIDTH, &l->w);
	TIFFGetField(l->tif, TIFFTAG_IMAGELENGTH, &l->h);
	TIFFGetField(l->tif, TIFFTAG_TILEWIDTH, &l->tile_w);
	TIFFGetField(l->tif, TIFFTAG_TILELENGTH, &l->tile_h);
	l->across = (l->w + l->tile_w - 1) / l->tile_w;
	return l;
}

/* The tiles that are touched, and the asked part's place among them. */
struct touched {
	unsigned first_x, first_y, end_x, end_y, left, top;
};

static struct touched touch(const struct level *l, const struct ask *a)
{
	struct touched t = {a->x / l->tile_w, a->y / l->tile_h, (a->x + a->w + l->tile_w - 1) / l->tile_w,
			    (a->y + a->h + l->tile_h - 1) / l->tile_h, a->x % l->tile_w, a->y % l->tile_h};
	return t;
}

static void open_decoder(struct pyramid *p, struct level *l)
{
	uint32_t n;
	void *tables;
	l->j.err = strict_errors(&p->errors);
	jpeg_create_decompress(&l->j);
	l->has_decoder = true;
	if (!TIFFGetField(l->tif, TIFFTAG_JPEGTABLES, &n, &tables))
		return;
	jpeg_mem_src(&l->j, tables, n);
	jpeg_read_header(&l->j, FALSE);
	jpeg_abort_decompress(&l->j);
}

static void decode_raw(struct pyramid *p, struct level *l, unsigned x, unsigned y, const struct touched *t, bool gray,
		       struct samples *out)
{
	struct jpeg_decompress_struct *j = &l->j;
	uint32_t index = y * l->across + x;
	uint64_t n = TIFFGetStrileByteCount(l->tif, index);
	uint8_t *bytes = tile_room(p, n), *at[3] = {0};
	size_t stride[3] = {0};
	if (TIFFReadRawTile(l->tif, index, bytes, (tmsize_t)n) != (tmsize_t)n)
		die("a tile cannot be read");
	jpeg_mem_src(j, bytes, n);
	jpeg_read_header(j, TRUE);
	j->jpeg_color_space = j->out_color_space = JCS_UNKNOWN;
	j->raw_data_out = TRUE;
	if (gray)
		drop_chroma(j);
	jpeg_start_decompress(j);
	out->n = gray ? 1 : j->num_components;
	out->sub_x = (unsigned)j->max_h_samp_factor;
	out->sub_y = (unsigned)j->max_v_samp_factor;
	for (int i = 0; i < out->n; i++) {
		unsigned sub_x = i ? out->sub_x : 1, sub_y = i ? out->sub_y : 1;
		plane_size(&out->plane[i], (t->end_x - t->first_x) * l->tile_w / sub_x,
			   (t->end_y - t->first_y) * l->tile_h / sub_y, 1);
		stride[i] = out->plane[i].stride;
		at[i] = out->plane[i].at + (size_t)((y - t->first_y) * l->tile_h / sub_y) * stride[i] +
			(x - t->first_x) * l->tile_w / sub_x;
	}
	read_blocks(j, out->n, at, stride);
	jpeg_finish_decompress(j);
}

/* Leaves what was asked for. */
static void crop(struct samples *s, const struct touched *t, const struct ask *a)
{
	for (int i = 0; i < s->n; i++) {
		struct plane *p = &s->plane[i];
		unsigned sub_x = i ? s->sub_x : 1, sub_y = i ? s->sub_y : 1;
		p->left = t->left / s->sub_x * s->sub_x / sub_x;
		p->top = t->top / s->sub_y * s->sub_y / sub_y;
		p->w = (a->w + sub_x - 1) / sub_x;
		p->h = (a->h + sub_y - 1) / sub_y;
	}
}

void read_raw_tiles(struct source *s, const struct ask *a)
{
	struct level *l = open_level(s, a->level);
	struct touched t = touch(l, a);
	s->samples.form = FORM_PLANES;
	if (!l->has_decoder)
		open_decoder(s->codec, l);
	for (unsigned y = t.first_y; y < t.end_y; y++)
		for (unsigned x = t.first_x; x < t.end_x; x++)
			decode_raw(s->codec, l, x, y, &t, s->gray, &s->samples);
	crop(&s->samples, &t, a);
}

void read_tiff(struct source *s, const struct ask *a)
{
	struct level *l = open_level(s, a->level);
	struct touched t = touch(l, a);
	struct plane *p = &s->samples.plane[0];
	uint16_t compression = COMPRESSION_NONE;
	TIFFGetField(l->tif, TIFFTAG_COMPRESSION, &compression);
	if (compression == COMPRESSION_JPEG)
		TIFFSetField(l->tif, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
	tmsize_t n = TIFFTileSize(l->tif);
	uint8_t *tile = tile_room(s->codec, (size_t)n);
	size_t row = (size_t)l->tile_w * 3;
	plane_size(p, (t.end_x - t.first_x) * l->tile_w, (t.end_y - t.first_y) * l->tile_h, 3);
	for (unsigned y = t.first_y; y < t.end_y; y++)
		for (unsigned x = t.first_x; x < t.end_x; x++) {
			if (TIFFReadEncodedTile(l->tif, y * l->across + x, tile, n) != n)
				die("a tile cannot be read");
			uint8_t *to = p->at + (size_t)(y - t.first_y) * l->tile_h * p->stride + (x - t.first_x) * row;
			for (unsigned k = 0; k < l->tile_h; k++)
				memcpy(to + k * p->stride, tile + k * row, row);
		}
	s->samples.form = FORM_RGB;
	s->samples.n = 1;
	s->samples.sub_x = s->samples.sub_y = 1;
	crop(&s->samples, &t, a);
}
