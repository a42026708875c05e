/* SPDX-License-Identifier: BSD-2-Clause */
#include "jxl.h"

#include <jxl/decode.h>
#include <jxl/version.h>

#include "../base/deadline.h"
#include "raster.h"

/* Newer than Debian 12's: without an argument that never did anything. */
#if JPEGXL_NUMERIC_VERSION >= JPEGXL_COMPUTE_NUMERIC_VERSION(0, 8, 0)
#define UNUSED_FORMAT
#else
#define UNUSED_FORMAT NULL,
#endif

#define FILE_MAX_BYTES (UINT64_C(1) << 30)
#define FIRST_BYTES (UINT64_C(64) << 10)
#define HEADER_MAX_BYTES (UINT64_C(16) << 20)
#define ICC_MAX_BYTES (16 << 20)
/* Measured: what the library holds of each pixel and channel, at the most. */
#define SAMPLE_BYTES 16
#define FIXED_BYTES (UINT64_C(16) << 20)

static bool is_forbidden;

void jxl_configure(bool allowed)
{
	is_forbidden = !allowed;
}

struct jxl_file {
	bool deep;
	uint32_t channels;             /* that are decoded, whatever they are for */
};

static bool jxl_knows(const uint8_t *head, size_t n)
{
	static const uint8_t container[] = {0, 0, 0, 12, 'J', 'X', 'L', ' ', 13, 10, 0x87, 10};
	bool is = (n >= 2 && head[0] == 0xff && head[1] == 10) || (n >= 12 && memcmp(head, container, 12) == 0);
	return is && !is_forbidden;
}

static void destroy_decoder(void *decoder)
{
	JxlDecoderDestroy(decoder);
}

/* A decoder of the source's first n bytes, which are held in a. */
static JxlDecoder *start(struct arena *a, struct source *s, uint64_t n, int events, struct error *err)
{
	uint8_t *bytes = arena_block(a, n, err);
	if (!bytes || !source_read(s, bytes, n, 0, err))
		return NULL;
	JxlDecoder *d = JxlDecoderCreate(NULL);
	if (!d) {
		fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.", "libjxl could not start");
		return NULL;
	}
	arena_defer(a, destroy_decoder, d);
	JxlDecoderSubscribeEvents(d, events);
	JxlDecoderSetUnpremultiplyAlpha(d, JXL_TRUE);
	JxlDecoderSetInput(d, bytes, n);
	if (n == s->validator.length)
		JxlDecoderCloseInput(d);
	return d;
}

static bool check_channels(JxlDecoder *d, const JxlBasicInfo *info, struct error *err)
{
	JxlExtraChannelInfo extra;
	for (uint32_t i = 0; i < info->num_extra_channels; i++)
		if (JxlDecoderGetExtraChannelInfo(d, i, &extra) == JXL_DEC_SUCCESS && extra.type == JXL_CHANNEL_BLACK)
			return raster_unsupported(err, "JPEG XL in inks, channels", info->num_extra_channels);
	return true;
}

static bool read_profile(struct arena *a, JxlDecoder *d, struct picture *p, struct error *err)
{
	JxlColorEncoding colours;
	size_t n;
	if (JxlDecoderGetColorAsEncodedProfile(d, UNUSED_FORMAT JXL_COLOR_PROFILE_TARGET_ORIGINAL, &colours) == JXL_DEC_SUCCESS &&
	    (colours.transfer_function == JXL_TRANSFER_FUNCTION_PQ || colours.transfer_function == JXL_TRANSFER_FUNCTION_HLG))
		return raster_unsupported(err, "transfer characteristics", (uint64_t)colours.transfer_function);
	if (JxlDecoderGetICCProfileSize(d, UNUSED_FORMAT JXL_COLOR_PROFILE_TARGET_DATA, &n) != JXL_DEC_SUCCESS ||
	    !n || n > ICC_MAX_BYTES)
		return true;
	uint8_t *icc = arena_block(a, n, err);
	if (!icc)
		return false;
	if (JxlDecoderGetColorAsICCProfile(d, UNUSED_FORMAT JXL_COLOR_PROFILE_TARGET_DATA, icc, n) == JXL_DEC_SUCCESS) {
		p->icc = icc;
		p->icc_bytes = n;
	}
	return true;
}

enum progress { WANTS_MORE, FOUND, FAILED };

/* Facts, as far as so many bytes have them. */
static enum progress read_facts(struct arena *a, JxlDecoder *d, struct picture *p, struct error *err)
{
	struct jxl_file *f = p->codec;
	JxlBasicInfo info;
	for (;;) {
		switch (JxlDecoderProcessInput(d)) {
		case JXL_DEC_BASIC_INFO:
			if (JxlDecoderGetBasicInfo(d, &info) != JXL_DEC_SUCCESS || !check_channels(d, &info, err) ||
			    !raster_sane_sides(info.xsize, info.ysize, err))
				return FAILED;
			p->stored_w = info.xsize;
			p->stored_h = info.ysize;
			f->deep = info.bits_per_sample > 8;
			/* Gray is decoded as colours are. */
			f->channels = 3 + info.num_extra_channels;
			p->facts.gray = info.num_color_channels == 1;
			p->facts.alpha = info.alpha_bits > 0;
			break;
		case JXL_DEC_COLOR_ENCODING:
			return read_profile(a, d, p, err) ? FOUND : FAILED;
		case JXL_DEC_NEED_MORE_INPUT:
			return WANTS_MORE;
		default:
			raster_damaged(err, "libjxl finds no header");
			return FAILED;
		}
	}
}

static bool jxl_open(struct arena *a, uint32_t page, struct picture *p, struct error *err)
{
	uint64_t length = p->source->validator.length, n = length < FIRST_BYTES ? length : FIRST_BYTES;
	enum progress progress = WANTS_MORE;
	p->codec = arena_new(a, struct jxl_file);
	if (page != 1)
		return fail(err, 404, REASON_NOT_FOUND, "There is no such page.", "page %u", page);
	if (length > FILE_MAX_BYTES)
		return fail(err, 413, REASON_TOO_LARGE, "This request needs more memory than the server allows.",
			    "a file of %llu bytes", (unsigned long long)length);
	for (;; n = n * 4 < length ? n * 4 : length) {
		struct arena *scratch = arena_open();
		JxlDecoder *d = start(scratch, p->source, n, JXL_DEC_BASIC_INFO | JXL_DEC_COLOR_ENCODING, err);
		progress = d ? read_facts(a, d, p, err) : FAILED;
		arena_close(scratch);
		if (progress != WANTS_MORE)
			return progress == FOUND;
		if (n == length)
			return raster_damaged(err, "the file is cut off");
		if (n >= HEADER_MAX_BYTES)
			return raster_unsupported(err, "JPEG XL whose codestream begins beyond bytes", n);
	}
}

static enum model model_of(const struct picture *p)
{
	return p->facts.gray ? MODEL_GRAY : MODEL_RGB;
}

static uint64_t jxl_memory(const struct picture *p, const struct wants *w)
{
	const struct jxl_file *f = p->codec;
	struct rect part = decoder_cover(p, w, 1, 1, 0, 0);
	return (uint64_t)p->stored_w * p->stored_h * f->channels * SAMPLE_BYTES + p->source->validator.length +
	       image_bytes(model_of(p), p->facts.alpha, part) * (f->deep ? 2 : 1) + FIXED_BYTES;
}

struct target {
	struct rect part;
	struct image *out;
};

/* Pixels of a row, as the library has them ready. */
static void on_pixels(void *opaque, size_t x, size_t y, size_t n, const void *pixels)
{
	struct target *t = opaque;
	struct rect run = {(uint32_t)x, (uint32_t)y, (uint32_t)n, 1}, both;
	size_t bytes = (size_t)image_planes(t->out) * (t->out->deep ? 2 : 1);
	if (rect_meet(run, t->part, &both))
		image_put_part(t->out, both.x - t->part.x, both.y - t->part.y, (const uint8_t *)pixels + (both.x - run.x) * bytes,
			       both.w, image_planes(t->out));
}

static bool decode(JxlDecoder *d, struct target *t, struct error *err)
{
	JxlPixelFormat format = {.num_channels = (uint32_t)image_planes(t->out), .endianness = JXL_NATIVE_ENDIAN,
				 .data_type = t->out->deep ? JXL_TYPE_UINT16 : JXL_TYPE_UINT8};
	for (;;) {
		if (!deadline_check(err))
			return false;
		switch (JxlDecoderProcessInput(d)) {
		case JXL_DEC_NEED_IMAGE_OUT_BUFFER:
			if (JxlDecoderSetImageOutCallback(d, &format, on_pixels, t) != JXL_DEC_SUCCESS)
				return raster_damaged(err, "libjxl does not give such pixels");
			break;
		case JXL_DEC_FULL_IMAGE:
			return true;
		case JXL_DEC_NEED_MORE_INPUT:
			return raster_damaged(err, "the file is cut off");
		default:
			return raster_damaged(err, "libjxl cannot decode it");
		}
	}
}

static bool jxl_read(struct arena *a, const struct picture *p, const struct wants *w, struct image *out, struct error *err)
{
	const struct jxl_file *f = p->codec;
	struct target t = {decoder_cover(p, w, 1, 1, 0, 0), out};
	struct arena *scratch = arena_open();
	*out = (struct image){.icc = p->icc, .icc_bytes = p->icc_bytes,
				.icc_hash = p->icc_hash};
	JxlDecoder *d = start(scratch, p->source, p->source->validator.length, JXL_DEC_FULL_IMAGE, err);
	bool ok = d && (f->deep ? image_alloc_deep : image_alloc)(a, out, model_of(p), p->facts.alpha, t.part, err) &&
		  decode(d, &t, err);
	arena_close(scratch);
	return ok || source_blame(p->source, err);
}

const struct decoder jxl_decoder = {
	.name = "jxl",
	.knows = jxl_knows,
	.open = jxl_open,
	.memory = jxl_memory,
	.read = jxl_read,
};
