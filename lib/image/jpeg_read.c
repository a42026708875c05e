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
 *
 * Four inks are read in the same two ways, and then brought to one grid, where YCCK becomes CMYK: no
 * later step knows inks of unequal size. Where the components by which the others are measured are not
 * in full resolution themselves, libjpeg's interleaved lines are taken as they are.
 */
#include "jpeg_read.h"

#include <stdlib.h>

#include <jerror.h>

#include "colour.h"
#include "jpeg_reader.h"
#include "metadata.h"
#include "resample.h"

/* A multiple of every number of luma lines that a chroma line can stand for. */
#define LINES_ALIGN 12

struct jpeg_file {
	enum model model;              /* of the planes */
	bool progressive;
	bool whole_ratios;
	bool equal_chroma;             /* both chroma components have the same resolution */
	bool interleaved;              /* all components come in full resolution */
	bool inverted;                 /* four inks as Adobe writes them: 255 is none */
	bool ycck;                     /* the first three of them are YCbCr of what C, M and Y leave of the light */
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
	case JCS_CMYK:
	case JCS_YCCK:
		file->model = MODEL_CMYK;
		file->inverted = j->saw_Adobe_marker;
		file->ycck = j->jpeg_color_space == JCS_YCCK;
		break;
	default:
		return unsupported(err, "colour space", j->jpeg_color_space);
	}
	file->progressive = jpeg_has_multiple_scans(j);
	file->whole_ratios = jpeg_has_whole_ratios(j);
	const jpeg_component_info *c = j->comp_info;
	file->equal_chroma = file->model == MODEL_YCC && file->whole_ratios && c[1].h_samp_factor == c[2].h_samp_factor &&
			     c[1].v_samp_factor == c[2].v_samp_factor;
	/* Luma or cyan, and R, G and B, are what everything else is measured by. */
	bool measures = true;
	for (int i = 0; i < (file->model == MODEL_RGB ? j->num_components : 1); i++)
		measures &= jpeg_is_full_size(j, i);
	file->interleaved = !measures;
	if (file->interleaved && !file->whole_ratios)
		return unsupported(err, "sampling by fractions, components", j->num_components);
	if (file->interleaved && file->model == MODEL_YCC)
		file->model = MODEL_RGB;
	return true;
}

static bool jpeg_knows(const uint8_t *head, size_t n)
{
	return n >= 3 && head[0] == 0xff && head[1] == 0xd8 && head[2] == 0xff;
}

/* A copy of the first block of that marker that starts with that mark, without it. */
static struct str block(struct arena *a, const struct jpeg_decompress_struct *j, int marker, struct str mark)
{
	for (jpeg_saved_marker_ptr m = j->marker_list; m; m = m->next) {
		struct str s = {(const char *)m->data, m->data_length};
		if (m->marker == marker && take_word(&s, mark))
			return (struct str){arena_strndup(a, s.at, s.n), s.n};
	}
	return (struct str){0};
}

static void take_metadata(struct arena *a, const struct jpeg_decompress_struct *j, struct picture *p)
{
	struct metadata *m = &p->metadata;
	m->exif = block(a, j, JPEG_APP0 + 1, STR("Exif\0\0"));
	m->xmp = block(a, j, JPEG_APP0 + 1, STR("http://ns.adobe.com/xap/1.0/\0"));
	m->iptc = photoshop_iptc(block(a, j, JPEG_APP0 + 13, STR("Photoshop 3.0\0")));
	p->facts.orientation = exif_orientation(m->exif);
	double per = j->density_unit == 1 ? 2.54 : 1;
	if (j->saw_JFIF_marker && j->density_unit && j->density_unit <= 2) {
		m->per_cm_x = j->X_density / per;
		m->per_cm_y = j->Y_density / per;
	}
	metadata_take_resolution(m);
}

static void take_profile(struct arena *a, struct jpeg_reader *r, struct picture *p)
{
	JOCTET *icc = NULL;
	unsigned n = 0;
	if (!jpeg_read_icc_profile(&r->j, &icc, &n))
		return;
	p->icc = (const uint8_t *)arena_strndup(a, (const char *)icc, n);
	p->icc_bytes = n;
	free(icc);
}

static bool read_facts(struct arena *a, struct jpeg_reader *r, struct picture *p, struct error *err)
{
	struct jpeg_file *file = arena_new(a, struct jpeg_file);
	r->source = p->source;
	jpeg_save_markers(&r->j, JPEG_APP0 + 1, 0xffff);
	jpeg_save_markers(&r->j, JPEG_APP0 + 2, 0xffff);
	jpeg_save_markers(&r->j, JPEG_APP0 + 13, 0xffff);
	jpeg_read_header(&r->j, TRUE);
	if (!read_kind(&r->j, file, err))
		return false;
	take_metadata(a, &r->j, p);
	take_profile(a, r, p);
	jpeg_sampling(&r->j, &p->facts.chroma_x, &p->facts.chroma_y);
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
	struct jpeg_reader *r = jpeg_reader_open(scratch, err);
	bool ok = false;
	if (r && setjmp(r->jump) == 0)
		ok = read_facts(a, r, p, err);
	arena_close(scratch);
	return ok;
}

static bool is_planar(const struct picture *p)
{
	const struct jpeg_file *file = p->codec;
	return !file->interleaved && (file->model == MODEL_YCC || file->model == MODEL_CMYK);
}

static bool halves_chroma(const struct picture *p, const struct wants *w, int n)
{
	const struct jpeg_file *file = p->codec;
	uint8_t x = p->facts.chroma_x, y = p->facts.chroma_y;
	return is_planar(p) && file->equal_chroma && dct_chroma(w, n, &x, &y);
}

/* The read at n eighths, in samples of the scaled luma: what must be covered. */
static struct rect scaled_cover(const struct picture *p, const struct wants *w, int n)
{
	const struct jpeg_file *file = p->codec;
	bool planar = is_planar(p);
	struct wants wants = *w;
	double d = 8.0 / n;
	uint8_t sub_x = p->facts.chroma_x, sub_y = p->facts.chroma_y;
	if (file->model == MODEL_CMYK) {
		wants.upsamples = true;
		wants.gray = false;
	}
	dct_chroma(&wants, n, &sub_x, &sub_y);
	struct rect full = decoder_cover(p, &wants, d, d, planar ? sub_x : 0, planar ? sub_y : 0);
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
	const struct jpeg_file *file = p->codec;
	return !file->interleaved && (from_top || !file->whole_ratios);
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
	if (file->model == MODEL_CMYK && p->facts.chroma_x * p->facts.chroma_y > 1)
		bytes += samples * 2 + resample_memory(s.w + 128, s.w + 128) + resample_memory(s.h + 64, s.h + 64);
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

/* Where the planes of component i lie: one sample spans d_x by d_y full-image pixels. */
static void map_plane(struct plane *p, const struct jpeg_decompress_struct *j, int i, double scale)
{
	const jpeg_component_info *c = &j->comp_info[i];
	p->dx = scale * j->max_h_samp_factor * j->min_DCT_scaled_size /
		((double)c->h_samp_factor * c->DCT_scaled_size);
	p->dy = scale * j->max_v_samp_factor * j->min_DCT_scaled_size /
		((double)c->v_samp_factor * c->DCT_scaled_size);
}

static bool alloc_raw_planes(struct arena *a, struct jpeg_decompress_struct *j, struct image *out,
			     uint32_t lines, double scale, bool halves, struct error *err)
{
	uint32_t per_call = (uint32_t)(j->max_v_samp_factor * j->min_DCT_scaled_size);
	uint32_t calls = (lines + per_call - 1) / per_call;
	for (int i = 0; i < out->n; i++) {
		const jpeg_component_info *c = &j->comp_info[i];
		struct plane *p = &out->plane[i];
		uint32_t part = halves && i ? 2 : 1;
		uint32_t w = (uint32_t)c->width_in_blocks * (uint32_t)c->DCT_scaled_size;
		uint32_t h = calls * (uint32_t)(c->v_samp_factor * c->DCT_scaled_size);
		uint32_t most = (c->downsampled_height + part - 1) / part;
		if (!plane_room(a, p, (w + part - 1) / part, (h + part - 1) / part, err))
			return false;
		map_plane(p, j, i, scale);
		p->dx *= part;
		p->dy *= part;
		p->w = (c->downsampled_width + part - 1) / part;
		if (p->h > most)
			p->h = most;
	}
	return true;
}

/* From the top, all columns. */
static bool read_planes_raw(struct arena *a, struct jpeg_reader *r, struct image *out, uint32_t lines,
			    double scale, bool halves, struct error *err)
{
	struct jpeg_decompress_struct *j = &r->j;
	struct plane to[JPEG_COMPONENTS] = {0};

	j->raw_data_out = TRUE;
	if (out->n == 1)
		drop_chroma(j);
	jpeg_start_decompress(j);
	jpeg_check_whole(r);
	if (lines > j->output_height)
		lines = j->output_height;
	if (!alloc_raw_planes(a, j, out, lines, scale, halves, err))
		return false;
	for (int i = 0; i < out->n; i++) {
		to[i] = out->plane[i];
		/* Block rows end behind the last row, in what is allocated; halved ones do not. */
		if (!halves || !i)
			to[i].h = UINT32_MAX;
	}
	jpeg_read_raw(r, j->num_components, to, halves, j->image_width, j->image_height, lines);
	return true;
}

/* One interleaved line into the planes, taking every sub-th sample of each component. */
static void split_line(const uint8_t *line, int n, const int sub[JPEG_COMPONENTS],
		       struct image *out, const uint32_t row[JPEG_COMPONENTS])
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

/* What libjpeg is to make of the components: nothing, but where it must. */
static J_COLOR_SPACE lines_space(const struct jpeg_file *file, const struct jpeg_decompress_struct *j, int n)
{
	if (n == 1)
		return JCS_GRAYSCALE;
	if (!file->interleaved)
		return j->jpeg_color_space;
	return file->model == MODEL_CMYK ? JCS_CMYK : JCS_RGB;
}

/* Planes for that part of the scaled image. sub_x, sub_y: how many samples of its lines stand for one of a plane. */
static bool alloc_cropped_planes(struct arena *a, const struct jpeg_decompress_struct *j, bool interleaved,
				 struct rect part, double scale, struct image *out, int sub_x[JPEG_COMPONENTS],
				 int sub_y[JPEG_COMPONENTS], struct error *err)
{
	for (int i = 0; i < out->n; i++) {
		struct plane *p = &out->plane[i];
		if (interleaved)
			p->dx = p->dy = scale;
		else
			map_plane(p, j, i, scale);
		sub_x[i] = (int)(p->dx / scale + 0.5);
		sub_y[i] = (int)(p->dy / scale + 0.5);
		if (!plane_room(a, p, (part.w + (uint32_t)sub_x[i] - 1) / (uint32_t)sub_x[i],
				 (part.h + (uint32_t)sub_y[i] - 1) / (uint32_t)sub_y[i], err))
			return false;
		p->x = part.x * scale;
		p->y = part.y * scale;
	}
	return true;
}

/* In place, as jpeg_read_raw does. */
static void halve_plane(struct plane *p)
{
	uint32_t w = p->w, h = p->h;
	for (uint32_t y = 0; y < h; y += 2) {
		uint8_t *above = p->at + y * p->stride;
		jpeg_halve(above, y + 1 < h ? above + p->stride : above, w, y / 2, p->at + y / 2 * p->stride);
	}
	p->w = (w + 1) / 2;
	p->h = (h + 1) / 2;
	p->dx *= 2;
	p->dy *= 2;
}

/* The part s of the scaled image, by crop and skip. */
static bool read_planes_cropped(struct arena *a, struct jpeg_reader *r, const struct jpeg_file *file,
				struct image *out, struct rect s, double scale, bool halves, struct error *err)
{
	struct jpeg_decompress_struct *j = &r->j;
	int sub_x[JPEG_COMPONENTS], sub_y[JPEG_COMPONENTS];

	j->out_color_space = lines_space(file, j, out->n);
	jpeg_start_decompress(j);
	jpeg_check_whole(r);

	/* To the end of a pair of samples. */
	JDIMENSION x = s.x, w = s.w + (halves && (s.x + s.w) % 2);
	if (x + w > j->output_width)
		w = j->output_width - x;
	jpeg_crop_scanline(j, &x, &w);
	uint32_t y = s.y - s.y % LINES_ALIGN, bottom = s.y + s.h + (halves && (s.y + s.h) % 2);
	if (bottom > j->output_height)
		bottom = j->output_height;
	if (!alloc_cropped_planes(a, j, file->interleaved, (struct rect){x, y, w, bottom - y}, scale, out, sub_x, sub_y,
				  err))
		return false;

	uint8_t *line = arena_alloc(a, (size_t)w * (size_t)out->n + 64);
	if (y && jpeg_skip_scanlines(j, y) != y)
		ERREXIT(j, JERR_INPUT_EOF);
	for (uint32_t k = y; k < bottom; k++) {
		uint32_t row[JPEG_COMPONENTS];
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
	for (int i = 1; halves && i < out->n; i++)
		halve_plane(&out->plane[i]);
	return true;
}

/* Of the components as they are stored. */
static bool make_cmyk(struct arena *a, const struct jpeg_file *file, struct image *out, struct error *err)
{
	bool is_ycc = file->ycck && !file->interleaved;
	if (!colour_level(a, out, err))
		return false;
	if (is_ycc)
		colour_ycc_to_rgb(out);
	out->model = MODEL_CMYK;
	/* RGB is what is left of the light: the ink of it has been turned over once. */
	for (int i = 0; i < 4; i++)
		if (file->inverted != (is_ycc && i < 3))
			plane_invert(&out->plane[i]);
	return true;
}

static bool read_file(struct arena *a, struct jpeg_reader *r, const struct picture *p,
		      const struct wants *w, struct image *out, struct error *err)
{
	struct jpeg_decompress_struct *j = &r->j;
	const struct jpeg_file *file = p->codec;
	struct jpeg_file now = {0};
	int eighths = dct_eighths(w, 1, 1);
	double scale = 8.0 / eighths;
	struct rect s = scaled_cover(p, w, eighths);
	bool halves = halves_chroma(p, w, eighths);

	r->source = p->source;
	r->recover = w->recover;
	jpeg_read_header(j, TRUE);
	if (!read_kind(j, &now, err))
		return false;
	if (j->image_width != p->stored_w || j->image_height != p->stored_h || now.model != file->model ||
	    now.progressive != file->progressive || now.whole_ratios != file->whole_ratios ||
	    now.interleaved != file->interleaved || now.inverted != file->inverted || now.ycck != file->ycck)
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
	out->icc_hash = p->icc_hash;

	bool ok = is_raw(p, &s, eighths)
		       ? read_planes_raw(a, r, out, s.y + s.h, scale, halves, err)
		       : read_planes_cropped(a, r, file, out, s, scale, halves, err);
	if (ok)
		jpeg_check_whole(r);
	return ok && (file->model != MODEL_CMYK || make_cmyk(a, file, out, err));
}

static bool jpeg_read(struct arena *a, const struct picture *p, const struct wants *w,
		      struct image *out, struct error *err)
{
	*out = (struct image){0};
	struct arena *scratch = arena_open();
	struct jpeg_reader *r = jpeg_reader_open(scratch, err);
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
