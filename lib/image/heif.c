/* SPDX-License-Identifier: BSD-2-Clause */
#include "heif.h"

#include <libheif/heif.h>

#include "alpha.h"
#include "coded_colour.h"
#include "heif_boxes.h"

/* What is held at once, measured: the decoder's frames, the samples as coded, and as RGBA; twice as
 * much with more than 8 bits. */
#define DECODE_PIXEL_BYTES 24
#define ENCODE_PIXEL_BYTES 40
#define FIXED_BYTES (UINT64_C(16) << 20)

static struct heif_options configured = {.memory_bytes = UINT64_C(1) << 30};

void heif_configure(const struct heif_options *options)
{
	configured = *options;
}

bool heif_knows_format(const char *name)
{
	return strcmp(name, "heic") == 0 || strcmp(name, "avif") == 0;
}

struct heif_file {
	struct heif_context *context;
	struct heif_image_handle *handle;
	bool deep;
};

static bool blame(struct heif_error e, struct error *err)
{
	switch (e.code) {
	case heif_error_Ok:
		return true;
	case heif_error_Unsupported_filetype:
	case heif_error_Unsupported_feature:
		return fail(err, 501, REASON_UNSUPPORTED, "This kind of image is not supported.", "libheif: %s", e.message);
	case heif_error_Memory_allocation_error:
		return fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.", "libheif: %s",
			    e.message);
	default:
		return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "libheif: %s", e.message);
	}
}

/* Reading */

static void close_file(void *file)
{
	struct heif_file *f = file;
	if (f->handle)
		heif_image_handle_release(f->handle);
	heif_context_free(f->context);
}

static bool is_allowed(const char *format)
{
	for (const char *const *name = configured.formats; name && *name; name++)
		if (strcmp(*name, format) == 0)
			return true;
	return !configured.formats;
}

/* By its brands: the major one, or for the general "mif1" one of the compatible ones (ISO/IEC 23008-12). */
static const char *format_of(const uint8_t *head, size_t n)
{
	static const struct {
		const char *brand, *format;
	} brands[] = {{"heic", "heic"}, {"heix", "heic"}, {"heim", "heic"}, {"heis", "heic"}, {"avif", "avif"}};
	if (n < 16 || memcmp(head + 4, "ftyp", 4) != 0)
		return NULL;
	size_t box = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	size_t end = memcmp(head + 8, "mif1", 4) != 0 ? 12 : box < n ? box : n;
	for (size_t at = 8; at + 4 <= end; at += at == 8 ? 8 : 4)
		for (size_t i = 0; i < sizeof brands / sizeof *brands; i++)
			if (memcmp(head + at, brands[i].brand, 4) == 0)
				return brands[i].format;
	return NULL;
}

static bool heif_knows(const uint8_t *head, size_t n)
{
	const char *format = format_of(head, n);
	return format && is_allowed(format) &&
	       heif_have_decoder_for_format(*format == 'a' ? heif_compression_AV1 : heif_compression_HEVC);
}

/* Brightness beyond what a screen shows needs tone mapping. Without a code for the colours they are sRGB. */
static bool read_code(struct arena *a, const struct heif_file *f, struct picture *p, struct error *err)
{
	struct heif_color_profile_nclx *nclx = NULL;
	struct heif_error e = heif_image_handle_get_nclx_color_profile(f->handle, &nclx);
	int primaries = e.code == heif_error_Ok ? (int)nclx->color_primaries : 0;
	int transfer = e.code == heif_error_Ok ? (int)nclx->transfer_characteristics : 0;
	struct encoding encoding;
	struct str icc = {0};
	heif_nclx_color_profile_free(nclx);
	if (transfer == TRANSFER_PQ || transfer == TRANSFER_HLG)
		return fail(err, 501, REASON_UNSUPPORTED, "This kind of image is not supported.", "transfer characteristics %d",
			    transfer);
	if (coded_colour(primaries, transfer, &encoding) && !encoding_profile(a, MODEL_RGB, &encoding, &icc, err))
		return false;
	p->icc = (const uint8_t *)icc.at;
	p->icc_bytes = icc.n;
	return true;
}

/* It counts more than the code. */
static bool read_profile(struct arena *a, const struct heif_file *f, struct picture *p, struct error *err)
{
	size_t n = heif_image_handle_get_raw_color_profile_size(f->handle);
	if (!n || n > 16 << 20)
		return true;
	uint8_t *icc = arena_block(a, n, err);
	if (!icc || !blame(heif_image_handle_get_raw_color_profile(f->handle, icc), err))
		return false;
	p->icc = icc;
	p->icc_bytes = n;
	p->facts.gray = n > 20 && memcmp(icc + 16, "GRAY", 4) == 0;
	return true;
}

/* The library reads all of a file to know its header, and asserts that no read fails: it gets the bytes. */
static bool read_header(struct arena *a, struct heif_file *f, struct picture *p, struct error *err)
{
	uint64_t n = p->source->validator.length;
	if (n > configured.memory_bytes)
		return fail(err, 413, REASON_TOO_LARGE, "This request needs more memory than the server allows.",
			    "a file of %llu bytes", (unsigned long long)n);
	uint8_t *bytes = arena_block(a, n, err);
	if (!bytes || !source_read(p->source, bytes, n, 0, err))
		return false;
	p->facts.format = format_of(bytes, n);
	if (!heif_references_end((struct str){(char *)bytes, n}))
		return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "pictures that are made of themselves");
	return blame(heif_context_read_from_memory_without_copy(f->context, bytes, n, NULL), err) &&
	       blame(heif_context_get_primary_image_handle(f->context, &f->handle), err) && read_code(a, f, p, err) &&
	       read_profile(a, f, p, err);
}

static bool heif_open(struct arena *a, uint32_t page, struct picture *p, struct error *err)
{
	struct heif_file *f = arena_new(a, struct heif_file);
	if (page != 1)
		return fail(err, 404, REASON_NOT_FOUND, "There is no such page.", "page %u", page);
	f->context = heif_context_alloc();
	arena_defer(a, close_file, f);
	/* Parallelism is more processes. */
	heif_context_set_max_decoding_threads(f->context, 0);
	if (!read_header(a, f, p, err))
		return false;
	int w = heif_image_handle_get_width(f->handle), h = heif_image_handle_get_height(f->handle);
	if (w <= 0 || h <= 0)
		return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "sides that make no image");
	p->codec = f;
	/* The library has turned and cropped it already; an EXIF orientation beside that does not count. */
	p->stored_w = (uint32_t)w;
	p->stored_h = (uint32_t)h;
	p->facts.alpha = heif_image_handle_has_alpha_channel(f->handle);
	f->deep = heif_image_handle_get_luma_bits_per_pixel(f->handle) > 8;
	return true;
}

static enum model model_of(const struct picture *p)
{
	return p->facts.gray ? MODEL_GRAY : MODEL_RGB;
}

static uint64_t heif_memory(const struct picture *p, const struct wants *w)
{
	const struct heif_file *f = p->codec;
	struct rect part = decoder_cover(p, w, 1, 1, 0, 0);
	uint64_t coded = (uint64_t)p->stored_w * p->stored_h * DECODE_PIXEL_BYTES;
	return (coded + image_bytes(model_of(p), p->facts.alpha, part)) * (f->deep ? 2 : 1) + p->source->validator.length +
	       FIXED_BYTES;
}

static const uint8_t *get_pixels(const struct picture *p, const struct heif_image *decoded, int *stride,
				 struct error *err)
{
	const uint8_t *at = heif_image_get_plane_readonly(decoded, heif_channel_interleaved, stride);
	if (!at || heif_image_get_width(decoded, heif_channel_interleaved) != (int)p->stored_w ||
	    heif_image_get_height(decoded, heif_channel_interleaved) != (int)p->stored_h) {
		fail(err, 500, REASON_DAMAGED, "The image is damaged.", "libheif's picture is not what the header says");
		return NULL;
	}
	return at;
}

/* Samples of that many bits in the whole range of 16. */
static void stretch(const uint16_t *from, uint16_t *to, size_t n, int bits)
{
	uint32_t most = (1u << bits) - 1;
	for (size_t i = 0; i < n; i++)
		to[i] = (uint16_t)(((from[i] < most ? from[i] : most) * 65535u + most / 2) / most);
}

/* Gray comes as three equal colours. */
static void gather(const uint8_t *from, uint8_t *to, uint32_t n, int channels, size_t bytes)
{
	for (uint32_t x = 0; x < n; x++, from += (size_t)channels * bytes) {
		memcpy(to, from, bytes);
		to += bytes;
		if (channels == 4)
			memcpy(to, from + 3 * bytes, bytes);
		to += channels == 4 ? bytes : 0;
	}
}

static bool put_pixels(struct arena *a, struct arena *scratch, const struct picture *p, const struct wants *w,
		       const struct heif_image *decoded, struct image *out, struct error *err)
{
	const struct heif_file *f = p->codec;
	struct rect part = decoder_cover(p, w, 1, 1, 0, 0);
	int stride, channels = p->facts.alpha ? 4 : 3;
	size_t bytes = f->deep ? 2 : 1, samples = (size_t)part.w * (size_t)channels;
	const uint8_t *at = get_pixels(p, decoded, &stride, err);
	if (!at || !(f->deep ? image_alloc_deep : image_alloc)(a, out, model_of(p), p->facts.alpha, part, err))
		return false;
	int bits = heif_image_get_bits_per_pixel_range(decoded, heif_channel_interleaved);
	uint8_t *row = arena_alloc(scratch, samples * bytes), *gray = arena_alloc(scratch, samples * bytes);
	for (uint32_t y = 0; y < part.h; y++) {
		const uint8_t *from = at + ((size_t)part.y + y) * (size_t)stride + (size_t)part.x * (size_t)channels * bytes;
		if (f->deep) {
			stretch((const uint16_t *)from, (uint16_t *)row, samples, bits);
			from = row;
		}
		if (p->facts.gray)
			gather(from, gray, part.w, channels, bytes);
		image_put_part(out, 0, y, p->facts.gray ? gray : from, part.w, p->facts.gray ? image_planes(out) : channels);
	}
	return true;
}

static enum heif_chroma chroma_of(const struct picture *p)
{
	const struct heif_file *f = p->codec;
	if (!f->deep)
		return p->facts.alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB;
	if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		return p->facts.alpha ? heif_chroma_interleaved_RRGGBBAA_LE : heif_chroma_interleaved_RRGGBB_LE;
	return p->facts.alpha ? heif_chroma_interleaved_RRGGBBAA_BE : heif_chroma_interleaved_RRGGBB_BE;
}

/* dav1d, as quick, makes pictures of damaged frames, leaks, and prints. Newer versions fail at names that are not there. */
static const char *av1_decoder(void)
{
	const struct heif_decoder_descriptor *all[16];
	int n = heif_get_decoder_descriptors(heif_compression_AV1, all, sizeof all / sizeof *all);
	for (int i = 0; i < n; i++) {
		const char *name = heif_decoder_descriptor_get_id_name(all[i]);
		if (name && strcmp(name, "aom") == 0)
			return name;
	}
	return NULL;
}

static bool heif_read(struct arena *a, const struct picture *p, const struct wants *w, struct image *out,
		      struct error *err)
{
	struct heif_file *f = p->codec;
	struct heif_decoding_options *options = heif_decoding_options_alloc();
	struct heif_image *decoded = NULL;
	*out = (struct image){.icc = p->icc, .icc_bytes = p->icc_bytes,
				.icc_hash = p->icc_hash};
	options->strict_decoding = 1;
	options->decoder_id = *p->facts.format == 'a' ? av1_decoder() : NULL;
	struct heif_error e = heif_decode_image(f->handle, &decoded, heif_colorspace_RGB, chroma_of(p), options);
	heif_decoding_options_free(options);
	struct arena *scratch = arena_open();
	bool ok = blame(e, err) && put_pixels(a, scratch, p, w, decoded, out, err);
	arena_close(scratch);
	if (ok && heif_image_is_premultiplied_alpha(decoded))
		alpha_divide(out);
	if (decoded)
		heif_image_release(decoded);
	return ok;
}

static uint64_t heif_held(const struct picture *p)
{
	(void)p;
	return UINT64_MAX;
}

const struct decoder heif_decoder = {
	.name = "heif",
	.knows = heif_knows,
	.open = heif_open,
	.memory = heif_memory,
	.read = heif_read,
	.held = heif_held,
};

/* Writing */

#define SPEED 7   /* 0 to 9 */

static struct heif_error on_bytes(struct heif_context *context, const void *at, size_t n, void *out)
{
	(void)context;
	buf_write(out, at, n);
	return (struct heif_error){heif_error_Ok, heif_suberror_Unspecified, "ok"};
}

static bool fill(struct heif_image *to, const struct image *from, struct error *err)
{
	uint32_t w = from->plane[0].w, h = from->plane[0].h;
	if (!blame(heif_image_add_plane(to, heif_channel_interleaved, (int)w, (int)h, 8), err))
		return false;
	int stride;
	uint8_t *at = heif_image_get_plane(to, heif_channel_interleaved, &stride);
	for (uint32_t y = 0; y < h; y++)
		image_get_row(from, y, at + (size_t)y * (size_t)stride);
	return true;
}

static bool fill_gray(struct heif_image *to, const struct image *from, struct error *err)
{
	static const enum heif_channel channels[] = {heif_channel_Y, heif_channel_Alpha};
	for (int i = 0; i < image_planes(from); i++) {
		const struct plane *p = &from->plane[i];
		int stride;
		if (!blame(heif_image_add_plane(to, channels[i], (int)p->w, (int)p->h, 8), err))
			return false;
		uint8_t *at = heif_image_get_plane(to, channels[i], &stride);
		for (uint32_t y = 0; y < p->h; y++)
			memcpy(at + (size_t)y * (size_t)stride, p->at + y * p->stride, p->w);
	}
	return true;
}

/* sRGB, in the matrix of JPEG. */
static struct heif_color_profile_nclx *srgb(void)
{
	struct heif_color_profile_nclx *nclx = heif_nclx_color_profile_alloc();
	nclx->color_primaries = heif_color_primaries_ITU_R_BT_709_5;
	nclx->transfer_characteristics = heif_transfer_characteristic_IEC_61966_2_1;
	nclx->matrix_coefficients = heif_matrix_coefficients_ITU_R_BT_601_6;
	nclx->full_range_flag = 1;
	return nclx;
}

struct avif {
	struct heif_context *context;
	struct heif_encoder *encoder;
	struct heif_image *image;
	struct heif_encoding_options *options;
	struct heif_color_profile_nclx *colours;
};

static bool set_up(struct avif *f, const struct image *picture, int quality, struct error *err)
{
	uint32_t w = picture->plane[0].w, h = picture->plane[0].h;
	bool gray = picture->n == 1;
	enum heif_chroma chroma = gray ? heif_chroma_monochrome
				       : picture->alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB;
	f->context = heif_context_alloc();
	f->options = heif_encoding_options_alloc();
	f->colours = srgb();
	f->options->output_nclx_profile = f->colours;
	return blame(heif_context_get_encoder_for_format(f->context, heif_compression_AV1, &f->encoder), err) &&
	       blame(heif_encoder_set_lossy_quality(f->encoder, quality), err) &&
	       blame(heif_encoder_set_parameter_integer(f->encoder, "threads", 1), err) &&
	       blame(heif_encoder_set_parameter_integer(f->encoder, "speed", SPEED), err) &&
	       blame(heif_image_create((int)w, (int)h, gray ? heif_colorspace_monochrome : heif_colorspace_RGB, chroma,
				       &f->image),
		     err) &&
	       (!picture->icc_bytes ||
		blame(heif_image_set_raw_color_profile(f->image, "prof", picture->icc, picture->icc_bytes), err)) &&
	       (gray ? fill_gray : fill)(f->image, picture, err);
}

static bool avif_write(struct image *picture, const struct encode_options *options, struct buf *out, struct error *err)
{
	static struct heif_writer writer = {.writer_api_version = 1, .write = on_bytes};
	struct avif f = {0};
	struct error why = {0};
	bool ok = set_up(&f, picture, options->avif_quality, &why) &&
		  blame(heif_context_encode_image(f.context, f.image, f.encoder, f.options, NULL), &why) &&
		  blame(heif_context_write(f.context, &writer, out), &why);
	if (f.image)
		heif_image_release(f.image);
	if (f.encoder)
		heif_encoder_release(f.encoder);
	heif_nclx_color_profile_free(f.colours);
	heif_encoding_options_free(f.options);
	heif_context_free(f.context);
	if (!ok)
		return fail(err, why.status == 503 ? 503 : 500, why.status == 503 ? REASON_MEMORY : REASON_INTERNAL,
			    "The picture could not be written.", "%s", why.why);
	return !out->failed || body_too_large(err);
}

static bool avif_available(void)
{
	return heif_have_encoder_for_format(heif_compression_AV1);
}

static uint64_t avif_memory(uint32_t w, uint32_t h)
{
	return (uint64_t)w * h * ENCODE_PIXEL_BYTES + FIXED_BYTES;
}

const struct encoder avif_encoder = {
	.format = FORMAT_AVIF,
	.model = MODEL_RGB,
	.alpha = true,
	.profile = true,
	.available = avif_available,
	.memory = avif_memory,
	.write = avif_write,
};
