/* SPDX-License-Identifier: BSD-2-Clause */
#include "webp.h"

#include <stdlib.h>

#include <webp/decode.h>
#include <webp/demux.h>
#include <webp/encode.h>
#include <webp/mux.h>

#include "metadata.h"

#define LOSSLESS 101
#define CROP_MARGIN 2
#define FILE_MAX_BYTES (UINT64_C(1) << 30)

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
static bool has_alpha(WebPDemuxer *d, const struct picture *p)
{
	WebPIterator f;
	bool alpha = WebPDemuxGetI(d, WEBP_FF_FORMAT_FLAGS) & ALPHA_FLAG;
	if (WebPDemuxGetFrame(d, 1, &f))
		alpha = alpha || f.has_alpha || f.x_offset || f.y_offset || (uint32_t)f.width < p->stored_w ||
			(uint32_t)f.height < p->stored_h;
	WebPDemuxReleaseIterator(&f);
	return alpha;
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
	p->facts.alpha = has_alpha(d, p);
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

static struct rect cover(const struct picture *p, const struct wants *w)
{
	return decoder_cover(p, w, 1, 1, 0, 0);
}

static uint64_t webp_memory(const struct picture *p, const struct wants *w)
{
	struct rect r = cover(p, w);
	/* Lossless keeps four bytes for each pixel of the whole picture beside what is delivered. */
	uint64_t whole = (uint64_t)p->stored_w * p->stored_h * 4;
	return p->source->validator.length + whole + ((uint64_t)r.w + 8) * (r.h + 8) * 4 + image_bytes(MODEL_RGB, true, r) +
	       (2 << 20);
}

static uint32_t at_most(uint32_t n, uint32_t most)
{
	return n < most ? n : most;
}

/* What can be decoded of these bytes, the rest white. */
static VP8StatusCode decode_some(const WebPIterator *frame, uint8_t *pixels, WebPDecoderConfig *c)
{
	memset(pixels, 255, c->output.u.RGBA.size);
	WebPIDecoder *d = WebPIDecode(NULL, 0, c);
	if (!d)
		return VP8_STATUS_OUT_OF_MEMORY;
	VP8StatusCode status = WebPIUpdate(d, frame->fragment.bytes, frame->fragment.size);
	WebPIDelete(d);
	return status == VP8_STATUS_OUT_OF_MEMORY ? status : VP8_STATUS_OK;
}

/* Decodes the part r of the frame, placed at left, top of the planes, whose rest stays transparent. */
static bool decode_part(struct arena *scratch, const WebPIterator *frame, struct rect r, struct image *out,
			uint32_t left, uint32_t top, bool recover, struct error *err)
{
	WebPDecoderConfig c;
	if (!WebPInitDecoderConfig(&c))
		return fail(err, 500, REASON_INTERNAL, "The image could not be read.", "another version of libwebp");
	/* libwebp crops at even places only, and its chroma differs in the outermost samples of a crop. */
	uint32_t x = (r.x > CROP_MARGIN ? r.x - CROP_MARGIN : 0) & ~UINT32_C(1);
	uint32_t y = (r.y > CROP_MARGIN ? r.y - CROP_MARGIN : 0) & ~UINT32_C(1);
	uint32_t w = at_most(r.x + r.w + CROP_MARGIN, (uint32_t)frame->width) - x;
	uint32_t h = at_most(r.y + r.h + CROP_MARGIN, (uint32_t)frame->height) - y;
	uint8_t *pixels = arena_block(scratch, (size_t)w * h * 4, err);
	if (!pixels)
		return false;
	c.options.use_cropping = 1;
	c.options.crop_left = (int)x;
	c.options.crop_top = (int)y;
	c.options.crop_width = (int)w;
	c.options.crop_height = (int)h;
	c.output.colorspace = MODE_RGBA;
	c.output.is_external_memory = 1;
	c.output.u.RGBA.rgba = pixels;
	c.output.u.RGBA.stride = (int)w * 4;
	c.output.u.RGBA.size = (size_t)w * h * 4;
	VP8StatusCode status = recover ? decode_some(frame, pixels, &c)
				       : WebPDecode(frame->fragment.bytes, frame->fragment.size, &c);
	WebPFreeDecBuffer(&c.output);
	if (status == VP8_STATUS_OUT_OF_MEMORY)
		return fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.", "libwebp");
	if (status != VP8_STATUS_OK)
		return damaged(err, status == VP8_STATUS_NOT_ENOUGH_DATA ? "it is cut short" : "its pixels cannot be decoded");
	for (uint32_t k = 0; k < r.h; k++)
		image_put_part(out, left, top + k, pixels + ((size_t)(k + r.y - y) * w + (r.x - x)) * 4, r.w, 4);
	arena_drop_block(scratch, pixels);
	return true;
}

/* The first frame may be smaller than its canvas. */
static bool read_frame(struct arena *scratch, const WebPIterator *frame, struct rect r, struct image *out,
		       bool recover, struct error *err)
{
	struct rect whole = {(uint32_t)frame->x_offset, (uint32_t)frame->y_offset, (uint32_t)frame->width,
			     (uint32_t)frame->height}, both;
	if (!rect_meet(r, whole, &both))
		return true;
	struct rect part = {both.x - whole.x, both.y - whole.y, both.w, both.h};
	return decode_part(scratch, frame, part, out, both.x - r.x, both.y - r.y, recover, err);
}

static bool read_region(struct arena *a, struct arena *scratch, const struct picture *p, const struct wants *w,
			struct image *out, struct error *err)
{
	struct rect r = cover(p, w);
	struct str file;
	WebPDemuxer *d;
	WebPIterator frame;
	bool whole;
	if (!read_file(scratch, p->source, &file, err) || !demux(scratch, file, &d, &whole, err) ||
	    !image_alloc(a, out, MODEL_RGB, p->facts.alpha, r, err))
		return false;
	if (!whole && !w->recover)
		return damaged(err, "it is cut short");
	if (!WebPDemuxGetFrame(d, 1, &frame))
		return damaged(err, "it has no frame");
	bool ok = frame.complete || w->recover ? read_frame(scratch, &frame, r, out, w->recover, err)
					       : damaged(err, "its frame is cut short");
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

static bool webp_code(struct image *image, const struct encode_options *options, struct buf *out, struct error *err)
{
	WebPConfig config;
	WebPPicture picture;
	if (!WebPConfigInit(&config) || !WebPPictureInit(&picture))
		return fail(err, 500, REASON_INTERNAL, "The picture could not be written.", "another version of libwebp");
	config.method = options->webp_method;
	config.lossless = options->webp_quality == LOSSLESS || options->bitonal;
	config.quality = config.lossless ? 50 : (float)options->webp_quality;
	picture.use_argb = 1;
	picture.width = (int)image->plane[0].w;
	picture.height = (int)image->plane[0].h;
	picture.writer = on_bytes;
	picture.custom_ptr = out;
	bool ok = import(&picture, image) && WebPEncode(&config, &picture);
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
	.memory = webp_write_memory,
	.write = webp_write,
};
