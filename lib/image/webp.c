/* SPDX-License-Identifier: BSD-2-Clause */
#include "webp.h"

#include <stdlib.h>

#include <webp/decode.h>
#include <webp/demux.h>
#include <webp/encode.h>
#include <webp/mux.h>

#include "../base/deadline.h"
#include "boxes.h"
#include "metadata.h"

#define LOSSLESS 101            /* as a quality */
#define LOSSY 1                 /* as libwebp says it of a picture */
#define CROP_MARGIN 2
#define STEP_BYTES 32768
#define FILE_MAX_BYTES (UINT64_C(1) << 30)

/* The codec's own facts. */
struct webp_file {
	bool lossy;                    /* the first frame */
};

/* The file's bytes, in a block of a. */
static bool read_file(struct arena *a, struct source *s, struct str *out, struct error *err)
{
	uint64_t n = s->validator.length;
	if (n > FILE_MAX_BYTES)
		return fail(err, 413, REASON_TOO_LARGE, "This request needs more memory than the server allows.",
			    "a WebP file of %llu bytes", (unsigned long long)n);
	char *at = arena_block(a, (size_t)n, err);
	*out = (struct str){at, (size_t)n};
	return at && source_read(s, at, (size_t)n, 0, err);
}

static void delete_demuxer(void *what)
{
	WebPDemuxDelete(what);
}

static bool damaged(struct error *err, const char *why)
{
	return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "WebP: %s", why);
}

/* Of a file that is cut off, as much as is there; *whole says whether it is. */
static bool demux(struct arena *a, struct str file, WebPDemuxer **out, bool *whole, struct error *err)
{
	WebPData data = {(const uint8_t *)file.at, file.n};
	WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
	*out = WebPDemuxPartial(&data, &state);
	if (!*out)
		return damaged(err, "its chunks are broken");
	arena_defer(a, delete_demuxer, *out);
	*whole = state == WEBP_DEMUX_DONE;
	return state >= WEBP_DEMUX_PARSED_HEADER || damaged(err, "its header is cut short");
}

static struct str chunk(struct arena *a, WebPDemuxer *d, const char *name)
{
	WebPChunkIterator c;
	struct str s = {0};
	if (WebPDemuxGetChunk(d, name, 1, &c))
		s = (struct str){arena_strndup(a, (const char *)c.chunk.bytes, c.chunk.size), c.chunk.size};
	WebPDemuxReleaseChunkIterator(&c);
	return s;
}

static bool webp_knows(const uint8_t *h, size_t n)
{
	return n >= 12 && memcmp(h, "RIFF", 4) == 0 && memcmp(h + 8, "WEBP", 4) == 0;
}

/* The first frame may have opacity, or leave some of the canvas free, without a word of that in the header. */
static void read_first_frame(WebPDemuxer *d, struct picture *p, struct webp_file *file)
{
	WebPIterator f;
	WebPBitstreamFeatures features;
	bool alpha = WebPDemuxGetI(d, WEBP_FF_FORMAT_FLAGS) & ALPHA_FLAG;
	if (WebPDemuxGetFrame(d, 1, &f)) {
		alpha = alpha || f.has_alpha || f.x_offset || f.y_offset || (uint32_t)f.width < p->stored_w ||
			(uint32_t)f.height < p->stored_h;
		file->lossy = WebPGetFeatures(f.fragment.bytes, f.fragment.size, &features) == VP8_STATUS_OK &&
			      features.format == LOSSY;
	}
	WebPDemuxReleaseIterator(&f);
	p->facts.alpha = alpha;
}

static bool read_facts(struct arena *a, struct arena *scratch, struct picture *p, struct error *err)
{
	struct str file;
	WebPDemuxer *d;
	bool whole;
	if (!read_file(scratch, p->source, &file, err) || !demux(scratch, file, &d, &whole, err))
		return false;
	p->stored_w = WebPDemuxGetI(d, WEBP_FF_CANVAS_WIDTH);
	p->stored_h = WebPDemuxGetI(d, WEBP_FF_CANVAS_HEIGHT);
	p->codec = arena_new(a, struct webp_file);
	read_first_frame(d, p, p->codec);
	struct metadata *m = &p->metadata;
	struct str icc = chunk(a, d, "ICCP");
	m->exif = chunk(a, d, "EXIF");
	m->xmp = chunk(a, d, "XMP ");
	/* Some writers put JPEG's mark before the EXIF block. */
	take_word(&m->exif, STR("Exif\0\0"));
	p->facts.orientation = exif_orientation(m->exif);
	metadata_take_resolution(m);
	p->icc = (const uint8_t *)icc.at;
	p->icc_bytes = icc.n;
	return p->stored_w && p->stored_h ? true : damaged(err, "it has no size");
}

static bool webp_open(struct arena *a, uint32_t page, struct picture *p, struct error *err)
{
	if (page != 1)
		return fail(err, 404, REASON_NOT_FOUND, "The image has no such page.", "WebP has one page");
	struct arena *scratch = arena_open();
	bool ok = read_facts(a, scratch, p, err);
	arena_close(scratch);
	return ok;
}

/* How a picture is read. */
struct task {
	bool ycc;                      /* the samples of a lossy picture as they are stored, chroma halved; else RGB */
	uint32_t side[2];              /* of the boxes that become one sample: of luma or RGB, of chroma */
	struct rect part[2];           /* in their samples, whole boxes */
	struct rect crop;              /* what libwebp decodes, in pixels */
	size_t step;                   /* bytes of the file from one look at the rows to the next */
};

/* Chroma is interpolated by libwebp where an answer would show how. */
static bool gains_by_ycc(const struct picture *p, const struct wants *w)
{
	const struct webp_file *file = p->codec;
	bool halved = w->chroma_x == 2 && w->chroma_y == 2, scaled = w->step_x >= 2 && w->step_y >= 2;
	return file->lossy && !p->facts.alpha && !w->in_light && !w->recover && (w->gray || halved || scaled);
}

/* libwebp crops at even places only, and its chroma differs in the outermost samples of a crop. */
static struct rect crop_of(struct rect r, uint32_t w, uint32_t h)
{
	uint32_t x = (r.x > CROP_MARGIN ? r.x - CROP_MARGIN : 0) & ~UINT32_C(1);
	uint32_t y = (r.y > CROP_MARGIN ? r.y - CROP_MARGIN : 0) & ~UINT32_C(1);
	return (struct rect){x, y, at_most(r.x + r.w + CROP_MARGIN, w) - x, at_most(r.y + r.h + CROP_MARGIN, h) - y};
}

static struct rect halved(struct rect r)
{
	uint32_t right = (r.x + r.w + 1) / 2, bottom = (r.y + r.h + 1) / 2;
	return (struct rect){r.x / 2, r.y / 2, right - r.x / 2, bottom - r.y / 2};
}

static struct rect joined(struct rect a, struct rect b)
{
	uint32_t x = a.x < b.x ? a.x : b.x, y = a.y < b.y ? a.y : b.y;
	uint32_t right = a.x + a.w > b.x + b.w ? a.x + a.w : b.x + b.w;
	uint32_t bottom = a.y + a.h > b.y + b.h ? a.y + a.h : b.y + b.h;
	return (struct rect){x, y, right - x, bottom - y};
}

static struct task make_task(const struct picture *p, const struct wants *w)
{
	const struct webp_file *file = p->codec;
	struct task t = {.ycc = gains_by_ycc(p, w), .side = {boxes_side(w, p->facts.alpha), 1}};
	/* libwebp holds all pixels of a lossless picture, and looks back for long. */
	t.step = file->lossy ? STEP_BYTES : SIZE_MAX;
	struct wants chroma = *w;
	chroma.step_x *= w->chroma_x / 2.0;
	chroma.step_y *= w->chroma_y / 2.0;
	if (t.ycc)
		t.side[1] = boxes_side(&chroma, false);
	int sub = t.ycc ? 2 : 0;
	struct rect r = decoder_cover(p, w, t.side[0], t.side[0], sub, sub);
	t.part[0] = boxes_widen(r, t.side[0], p->stored_w, p->stored_h);
	t.crop = t.part[0];
	if (t.ycc) {
		t.part[1] = boxes_widen(halved(r), t.side[1], (p->stored_w + 1) / 2, (p->stored_h + 1) / 2);
		struct rect c = t.part[1];
		t.crop = joined(t.crop, (struct rect){c.x * 2, c.y * 2, c.w * 2, c.h * 2});
	}
	t.crop = crop_of(t.crop, p->stored_w, p->stored_h);
	return t;
}

static uint64_t webp_memory(const struct picture *p, const struct wants *w)
{
	struct task t = make_task(p, w);
	uint64_t crop = ((uint64_t)t.crop.w + 8) * (t.crop.h + 8), whole = (uint64_t)p->stored_w * p->stored_h;
	const struct webp_file *file = p->codec;
	/* Lossless pictures, and opacity, keep four bytes for each pixel of the whole beside what is delivered. Rows that were
	 * taken are given back, but they may come all at once. */
	uint64_t held = !file->lossy || p->facts.alpha ? (whole + crop) * 4 : t.ycc ? crop * 3 / 2 : crop * 3;
	return p->source->validator.length + held +
	       boxes_memory(MODEL_RGB, p->facts.alpha, false, t.part[0], t.side[0]) + (2 << 20);
}

static bool init_config(WebPDecoderConfig *c, struct rect crop, struct error *err)
{
	if (!WebPInitDecoderConfig(c))
		return fail(err, 500, REASON_INTERNAL, "The image could not be read.", "another version of libwebp");
	c->options.use_cropping = 1;
	c->options.crop_left = (int)crop.x;
	c->options.crop_top = (int)crop.y;
	c->options.crop_width = (int)crop.w;
	c->options.crop_height = (int)crop.h;
	c->output.is_external_memory = 1;
	return true;
}

/* A plane as libwebp delivers it, or its interleaved pixels, on the way to boxes. */
struct delivery {
	uint8_t *at;
	size_t stride;
	struct rect crop;              /* where it lies, in samples of the plane */
	struct boxes boxes;
};

/* n rows are there. Behind those that were taken memory is given back: of a large picture that is wanted small, little
 * more than the file is held at any time. */
static void take_rows(struct arena *scratch, struct delivery *v, uint32_t n)
{
	struct boxes *b = &v->boxes;
	uint32_t above = b->part.y - v->crop.y, beside = b->part.x - v->crop.x;
	while (b->y < b->part.h && b->y + above < n)
		boxes_row(b, v->at + (size_t)(b->y + above) * v->stride + (size_t)beside * (size_t)b->channels);
	arena_spend(scratch, v->at, n * v->stride);
}

/* Of each delivery as much as belongs to that many rows of the crop. Halved chroma comes with an even number of rows, but
 * for the last. */
static void take_all(struct arena *scratch, struct delivery *v, int n, uint32_t rows)
{
	for (int i = 0; i < n; i++)
		take_rows(scratch, &v[i], i ? (rows + 1) / 2 : rows);
}

static bool check_status(VP8StatusCode status, struct error *err)
{
	if (status == VP8_STATUS_OUT_OF_MEMORY)
		return fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.", "libwebp");
	return status == VP8_STATUS_OK ||
	       damaged(err, status == VP8_STATUS_SUSPENDED ? "it is cut short" : "its pixels cannot be decoded");
}

/* Feeds the frame to libwebp, a step of its bytes at a time, and takes the rows that this brings. With recover a damaged
 * one is what could be decoded, and else what the buffers were before. */
static bool decode(struct arena *scratch, const WebPIterator *frame, size_t step, WebPDecoderConfig *c, bool recover,
		   struct delivery *v, int n, struct error *err)
{
	VP8StatusCode status = VP8_STATUS_SUSPENDED;
	WebPIDecoder *d = WebPIDecode(NULL, 0, c);
	if (!d)
		return check_status(VP8_STATUS_OUT_OF_MEMORY, err);
	bool in_time = true;
	for (size_t fed = 0, all = frame->fragment.size; fed < all && status == VP8_STATUS_SUSPENDED && in_time;) {
		int rows = 0;
		fed = all - fed > step ? fed + step : all;
		status = WebPIUpdate(d, frame->fragment.bytes, fed);
		WebPIDecodedArea(d, NULL, NULL, NULL, &rows);
		take_all(scratch, v, n, (uint32_t)rows);
		in_time = deadline_check(err);
	}
	WebPIDelete(d);
	if (!in_time || ((!recover || status == VP8_STATUS_OUT_OF_MEMORY) && !check_status(status, err)))
		return false;
	take_all(scratch, v, n, (uint32_t)c->options.crop_height);
	return true;
}

/* Room for RGB, or with opacity RGBA, of that crop of a frame. */
static uint8_t *open_rgb(struct arena *scratch, WebPDecoderConfig *c, struct rect crop, bool alpha, bool recover,
			 struct error *err)
{
	size_t stride = (size_t)crop.w * (alpha ? 4 : 3);
	uint8_t *pixels = arena_room(scratch, stride * crop.h, err);
	if (!pixels || !init_config(c, crop, err))
		return NULL;
	c->output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
	c->output.u.RGBA.rgba = pixels;
	c->output.u.RGBA.stride = (int)stride;
	c->output.u.RGBA.size = stride * crop.h;
	/* What cannot be decoded is white. */
	if (recover)
		memset(pixels, 255, stride * crop.h);
	return pixels;
}

/* A frame with opacity, which may be smaller than its canvas, that part of which is wanted. */
static bool read_clear(struct arena *a, struct arena *scratch, const WebPIterator *frame, struct rect r, bool recover,
		       struct image *out, struct error *err)
{
	uint32_t w = (uint32_t)frame->width, h = (uint32_t)frame->height;
	struct rect whole = {(uint32_t)frame->x_offset, (uint32_t)frame->y_offset, w, h}, both;
	if (!image_alloc(a, out, MODEL_RGB, true, r, err))
		return false;
	if (!rect_meet(r, whole, &both))
		return true;
	struct rect part = {both.x - whole.x, both.y - whole.y, both.w, both.h}, crop = crop_of(part, w, h);
	WebPDecoderConfig c;
	const uint8_t *pixels = open_rgb(scratch, &c, crop, true, recover, err);
	if (!pixels || !decode(scratch, frame, SIZE_MAX, &c, recover, NULL, 0, err))
		return false;
	for (uint32_t k = 0; k < part.h; k++)
		image_put_part(out, both.x - r.x, both.y - r.y + k,
			       pixels + ((size_t)(k + part.y - crop.y) * crop.w + (part.x - crop.x)) * 4, part.w, 4);
	return true;
}

static bool read_rgb(struct arena *a, struct arena *scratch, const WebPIterator *frame, const struct task *t, bool recover,
		     struct image *out, struct error *err)
{
	WebPDecoderConfig c;
	struct delivery v = {.stride = (size_t)t->crop.w * 3, .crop = t->crop,
			     .boxes = {.out = out, .part = t->part[0], .side = t->side[0], .channels = 3}};
	v.at = open_rgb(scratch, &c, t->crop, false, recover, err);
	return v.at && boxes_open(a, scratch, &v.boxes, MODEL_RGB, false, false, err) &&
	       decode(scratch, frame, t->step, &c, recover, &v, 1, err);
}

/* Studio range to full: 219 steps of luma from 16 on, 224 of chroma around 128. */
static void stretch(struct plane *p, bool chroma)
{
	uint8_t to[256];
	for (int v = 0; v < 256; v++) {
		double full = chroma ? 128 + (v - 128) * 255 / 224.0 : (v - 16) * 255 / 219.0;
		to[v] = full < 0 ? 0 : full > 254.5 ? 255 : (uint8_t)(full + 0.5);
	}
	for (uint32_t y = 0; y < p->h; y++) {
		uint8_t *row = p->at + y * p->stride;
		for (uint32_t x = 0; x < p->w; x++)
			row[x] = to[row[x]];
	}
}

/* All three are decoded; n of them go on to boxes. */
static bool open_ycc(struct arena *a, struct arena *scratch, const struct task *t, struct delivery *v, struct image *one,
		     int n, struct error *err)
{
	for (int i = 0; i < 3; i++) {
		struct plane p;
		struct rect crop = i ? halved(t->crop) : t->crop;
		if (!plane_room(scratch, &p, crop.w, crop.h, err))
			return false;
		v[i] = (struct delivery){p.at, p.stride, crop, {.out = &one[i], .part = t->part[i > 0],
								 .side = t->side[i > 0], .channels = 1}};
		if (i < n && !boxes_open(a, scratch, &v[i].boxes, MODEL_GRAY, false, false, err))
			return false;
	}
	return true;
}

static void put_plane(struct image *out, const struct image *one, int i)
{
	struct plane *p = &out->plane[i];
	*p = one->plane[0];
	p->x *= i ? 2 : 1;
	p->y *= i ? 2 : 1;
	p->dx *= i ? 2 : 1;
	p->dy *= i ? 2 : 1;
	stretch(p, i > 0);
}

static bool read_ycc(struct arena *a, struct arena *scratch, const WebPIterator *frame, const struct task *t, bool gray,
		     struct image *out, struct error *err)
{
	WebPDecoderConfig c;
	struct delivery v[3];
	struct image one[3] = {0};
	out->model = gray ? MODEL_GRAY : MODEL_YCC;
	out->n = model_planes(out->model);
	if (!open_ycc(a, scratch, t, v, one, out->n, err) || !init_config(&c, t->crop, err))
		return false;
	c.output.colorspace = MODE_YUV;
	WebPYUVABuffer *to = &c.output.u.YUVA;
	to->y = v[0].at;
	to->u = v[1].at;
	to->v = v[2].at;
	to->y_stride = (int)v[0].stride;
	to->u_stride = to->v_stride = (int)v[1].stride;
	to->y_size = v[0].stride * v[0].crop.h;
	to->u_size = to->v_size = v[1].stride * v[1].crop.h;
	if (!decode(scratch, frame, t->step, &c, false, v, out->n, err))
		return false;
	for (int i = 0; i < out->n; i++)
		put_plane(out, &one[i], i);
	return true;
}

static bool read_frame(struct arena *a, struct arena *scratch, const struct picture *p, const struct wants *w,
		       const WebPIterator *frame, struct image *out, struct error *err)
{
	struct task t = make_task(p, w);
	if (!frame->complete && !w->recover)
		return damaged(err, "its frame is cut short");
	if (p->facts.alpha)
		return read_clear(a, scratch, frame, t.part[0], w->recover, out, err);
	if ((uint32_t)frame->width != p->stored_w || (uint32_t)frame->height != p->stored_h)
		return damaged(err, "the file changed while it was read");
	return t.ycc ? read_ycc(a, scratch, frame, &t, w->gray, out, err)
		     : read_rgb(a, scratch, frame, &t, w->recover, out, err);
}

static bool read_region(struct arena *a, struct arena *scratch, const struct picture *p, const struct wants *w,
			struct image *out, struct error *err)
{
	struct str file;
	WebPDemuxer *d;
	WebPIterator frame;
	bool whole;
	if (!read_file(scratch, p->source, &file, err) || !demux(scratch, file, &d, &whole, err))
		return false;
	if (!whole && !w->recover)
		return damaged(err, "it is cut short");
	if (!WebPDemuxGetFrame(d, 1, &frame))
		return damaged(err, "it has no frame");
	bool ok = read_frame(a, scratch, p, w, &frame, out, err);
	WebPDemuxReleaseIterator(&frame);
	return ok;
}

static bool webp_read(struct arena *a, const struct picture *p, const struct wants *w, struct image *out,
		      struct error *err)
{
	*out = (struct image){.icc = p->icc, .icc_bytes = p->icc_bytes,
				.icc_hash = p->icc_hash};
	struct arena *scratch = arena_open();
	bool ok = read_region(a, scratch, p, w, out, err);
	arena_close(scratch);
	return ok;
}

const struct decoder webp_decoder = {
	.name = "webp",
	.knows = webp_knows,
	.open = webp_open,
	.memory = webp_memory,
	.read = webp_read,
};


static int on_bytes(const uint8_t *at, size_t n, const WebPPicture *picture)
{
	struct buf *out = picture->custom_ptr;
	buf_write(out, at, n);
	return !out->failed;
}

/* libwebp's own ARGB, so that it converts to its limited-range YUV itself. */
static bool import(WebPPicture *to, const struct image *image)
{
	if (!WebPPictureAlloc(to))
		return false;
	for (uint32_t y = 0; y < image->plane[0].h; y++) {
		uint32_t *row = to->argb + (size_t)y * (size_t)to->argb_stride;
		const uint8_t *c[4];
		for (int i = 0; i < 3; i++) {
			const struct plane *p = &image->plane[image->n == 1 ? 0 : i];
			c[i] = p->at + y * p->stride;
		}
		const struct plane *o = &image->plane[image->n];
		c[3] = image->alpha ? o->at + y * o->stride : NULL;
		for (uint32_t x = 0; x < image->plane[0].w; x++)
			row[x] = (c[3] ? (uint32_t)c[3][x] << 24 : 0xff000000) | (uint32_t)c[0][x] << 16 |
				 (uint32_t)c[1][x] << 8 | c[2][x];
	}
	return true;
}

/* Full range to studio's. */
static void squeeze(const struct plane *p, bool chroma, uint8_t *to, int stride)
{
	uint8_t of[256];
	for (int v = 0; v < 256; v++)
		of[v] = (uint8_t)(chroma ? 128.5 + (v - 128) * 224 / 255.0 : 16.5 + v * 219 / 255.0);
	for (uint32_t y = 0; y < p->h; y++)
		for (uint32_t x = 0; x < p->w; x++)
			to[(size_t)y * (size_t)stride + x] = of[p->at[y * p->stride + x]];
}

/* YCbCr whose chroma is halved, or gray, as libwebp's own YUV. */
static bool import_ycc(WebPPicture *to, const struct image *image)
{
	to->use_argb = 0;
	if (!WebPPictureAlloc(to))
		return false;
	squeeze(&image->plane[0], false, to->y, to->y_stride);
	size_t chroma = (size_t)to->uv_stride * (((size_t)to->height + 1) / 2);
	if (image->n == 1) {
		memset(to->u, 128, chroma);
		memset(to->v, 128, chroma);
	} else {
		squeeze(&image->plane[1], true, to->u, to->uv_stride);
		squeeze(&image->plane[2], true, to->v, to->uv_stride);
	}
	return true;
}

static bool is_lossless(const struct encode_options *options)
{
	return options->webp_quality == LOSSLESS || options->bitonal;
}

static bool webp_takes_ycc(const struct encode_options *options)
{
	return !is_lossless(options);
}

static bool webp_code(struct image *image, const struct encode_options *options, struct buf *out, struct error *err)
{
	WebPConfig config;
	WebPPicture picture;
	if (!WebPConfigInit(&config) || !WebPPictureInit(&picture))
		return fail(err, 500, REASON_INTERNAL, "The picture could not be written.", "another version of libwebp");
	config.method = options->webp_method;
	config.lossless = is_lossless(options);
	config.quality = config.lossless ? 50 : (float)options->webp_quality;
	picture.use_argb = 1;
	picture.width = (int)image->plane[0].w;
	picture.height = (int)image->plane[0].h;
	picture.writer = on_bytes;
	picture.custom_ptr = out;
	bool planes = !config.lossless && !image->alpha && image->model != MODEL_RGB;
	bool ok = (planes ? import_ycc : import)(&picture, image) && WebPEncode(&config, &picture);
	int why = picture.error_code;
	WebPPictureFree(&picture);
	if (ok)
		return true;
	if (out->failed)
		return body_too_large(err);
	bool memory = why == VP8_ENC_ERROR_OUT_OF_MEMORY || why == VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY;
	return fail(err, memory ? 503 : 500, memory ? REASON_MEMORY : REASON_INTERNAL, "The picture could not be written.",
		    "libwebp: error %d", why);
}

static bool set_chunk(WebPMux *mux, const char *name, const void *at, size_t n)
{
	WebPData data = {at, n};
	return n == 0 || WebPMuxSetChunk(mux, name, &data, 0) == WEBP_MUX_OK;
}

/* The coded picture in a file with a profile and metadata beside it. */
static bool wrap(struct str coded, const struct image *image, const struct metadata *m, struct buf *out, struct error *err)
{
	WebPData data = {(const uint8_t *)coded.at, coded.n}, file = {0};
	WebPMux *mux = WebPMuxCreate(&data, 0);
	bool ok = mux && set_chunk(mux, "ICCP", image->icc, image->icc_bytes) &&
		  set_chunk(mux, "EXIF", m->exif.at, m->exif.n) && set_chunk(mux, "XMP ", m->xmp.at, m->xmp.n) &&
		  WebPMuxAssemble(mux, &file) == WEBP_MUX_OK;
	if (ok)
		buf_write(out, file.bytes, file.size);
	WebPDataClear(&file);
	WebPMuxDelete(mux);
	if (!ok)
		return fail(err, 500, REASON_INTERNAL, "The picture could not be written.", "libwebpmux");
	return !out->failed || body_too_large(err);
}

static bool webp_write(struct image *image, const struct encode_options *options, struct buf *out, struct error *err)
{
	const struct metadata *m = &options->metadata;
	if (!image->icc_bytes && !m->exif.n && !m->xmp.n)
		return webp_code(image, options, out, err);
	struct arena *scratch = arena_open();
	struct buf *coded = buf_open(scratch, out->limit);
	bool ok = webp_code(image, options, coded, err) && wrap(buf_view(coded), image, m, out, err);
	arena_close(scratch);
	return ok;
}
static uint64_t webp_write_memory(uint32_t w, uint32_t h)
{
	/* Measured: 4 bytes a pixel as imported, YUV, and the hash chains of a lossless run; and the body, twice to be
	 * wrapped. */
	return (uint64_t)w * h * 40 + 2 * encoder_body_bytes(w, h) + (8 << 20);
}

const struct encoder webp_encoder = {
	.format = FORMAT_WEBP,
	.model = MODEL_RGB,
	.alpha = true,
	.profile = true,
	.takes_ycc = webp_takes_ycc,
	.memory = webp_write_memory,
	.write = webp_write,
};
