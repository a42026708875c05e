/* SPDX-License-Identifier: BSD-2-Clause */
/* ImageMagick, libheif and the simple formats: what reaches them, what comes out, and what they must not do. */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board.h"

#include <libheif/heif.h>
#if __has_include(<MagickWand/MagickWand.h>)
#include <MagickWand/MagickWand.h>
#else
#include <wand/MagickWand.h>
#endif

#include "image/heif.h"
#include "image/magick.h"
#include "image/plain.h"

static const char *image_path(const char *name)
{
	static char path[2048];
	snprintf(path, sizeof path, "%s/%s", images_folder(), name);
	return path;
}

/* The whole picture; false if opening or reading failed. */
static bool decode(struct arena *a, struct str bytes, struct picture *p, struct image *image, struct error *err)
{
	*err = (struct error){0};
	if (!picture_open(a, decoders, memory_source_open(a, bytes), 1, p, err))
		return false;
	struct wants w = {.region = {0, 0, p->stored_w, p->stored_h}, .step_x = 1, .step_y = 1, .chroma_x = 1, .chroma_y = 1};
	return p->decoder->read(a, p, &w, image, err);
}

static struct image decode_sample(struct arena *a, const char *name, struct picture *p)
{
	struct image image;
	struct error err;
	if (!decode(a, load(a, name), p, &image, &err))
		fail_msg("%s: %s %s", name, err.say, err.why);
	return image;
}

static int at(const struct image *image, int plane, uint32_t x, uint32_t y)
{
	const struct plane *p = &image->plane[plane];
	assert_true(x < p->w && y < p->h);
	return p->at[(size_t)y * p->stride + x];
}

static void check_pixel(const struct image *image, uint32_t x, uint32_t y, int r, int g, int b, int tolerance)
{
	const int want[3] = {r, g, b};
	for (int c = 0; c < 3; c++)
		if (abs(at(image, c, x, y) - want[c]) > tolerance)
			fail_msg("channel %d of %u,%u is %d, not %d", c, x, y, at(image, c, x, y), want[c]);
}

static void check_status(const char *bytes, size_t n, int status)
{
	struct arena *a = arena_open();
	struct picture p;
	struct image image;
	struct error err;
	if (decode(a, (struct str){bytes, n}, &p, &image, &err))
		fail_msg("\"%.20s\" was decoded as %s", bytes, p.facts.format);
	if (err.status != status)
		fail_msg("\"%.20s\": %d %s", bytes, err.status, err.why);
	arena_close(a);
}

static struct image new_image(struct arena *a, enum model model, bool alpha, uint32_t w, uint32_t h)
{
	struct image image = {0};
	struct error err;
	assert_true(image_alloc(a, &image, model, alpha, (struct rect){0, 0, w, h}, &err));
	return image;
}

static void put(struct image *image, int plane, uint32_t x, uint32_t y, int v)
{
	image->plane[plane].at[(size_t)y * image->plane[plane].stride + x] = (uint8_t)v;
}

static bool write_gif(struct arena *a, struct image *image, bool bitonal, struct buf **out, struct error *err)
{
	struct encode_options options = {.bitonal = bitonal};
	*out = buf_open(a, 1 << 20);
	return encoder_for(FORMAT_GIF)->write(image, &options, *out, err);
}

/* ImageMagick is started by what it is first needed for. */
static void start_library(void)
{
	struct arena *a = arena_open();
	struct image image = new_image(a, MODEL_RGB, false, 3, 3);
	struct buf *out;
	struct error err;
	assert_true(write_gif(a, &image, false, &out, &err));
	arena_close(a);
}

/* make_images.py, slope() */
static void opacity_is_kept_and_colours_are_straight(void **state)
{
	static const struct {
		const char *file;
		int colour, opacity;   /* tolerances; colours under little opacity are not stored exactly in a PSD */
	} samples[] = {{"alpha.bmp", 0, 0}, {"alpha.pam", 0, 0}, {"alpha.psd", 2, 0}, {"clear.heic", 12, 3}, {"clear.avif", 12, 3}};
	(void)state;
	for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
		struct arena *a = arena_open();
		struct picture p, q;
		struct image image = decode_sample(a, samples[i].file, &p), plain = decode_sample(a, "rgb.bmp", &q);
		assert_true(p.facts.alpha && image.alpha);
		for (uint32_t x = 50; x < W; x += 100) {
			int want = (int)(x * 255 / (W - 1));
			if (abs(at(&image, 3, x, 35) - want) > samples[i].opacity)
				fail_msg("%s: opacity at %u is %d, not %d", samples[i].file, x, at(&image, 3, x, 35), want);
			if (want > 128 || samples[i].colour == 0)
				check_pixel(&image, x, 35, at(&plain, 0, x, 35), at(&plain, 1, x, 35), at(&plain, 2, x, 35),
					    samples[i].colour);
		}
		arena_close(a);
	}
}

static void a_saved_selection_is_no_opacity(void **state)
{
	struct arena *a = arena_open();
	struct picture p;
	struct image image = decode_sample(a, "selection.psd", &p);
	(void)state;
	assert_false(p.facts.alpha || image.alpha);
	arena_close(a);
}

/* make_images.py, frames(): the canvas is the screen, only the first frame is on it. */
static void the_first_frame_lies_on_its_canvas(void **state)
{
	static const struct {
		uint32_t x, y;
		int opacity, r, g, b;
	} points[] = {{50, 50, 0, 0, 0, 0},	   {102, 300, 0, 0, 0, 0},	{120, 300, 0, 0, 0, 0},
		      {153, 101, 255, 200, 30, 40}, {452, 500, 255, 200, 30, 40}, {453, 101, 255, 20, 60, 220},
		      {802, 500, 255, 20, 60, 220}, {803, 300, 0, 0, 0, 0},	{500, 501, 0, 0, 0, 0},
		      {1002, 700, 0, 0, 0, 0}};
	struct arena *a = arena_open();
	struct picture p;
	struct image image = decode_sample(a, "frames.gif", &p);
	(void)state;
	assert_int_equal(p.facts.w, W);
	assert_int_equal(p.facts.h, H);
	assert_true(image.alpha);
	for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
		assert_int_equal(at(&image, 3, points[i].x, points[i].y), points[i].opacity);
		if (points[i].opacity)
			check_pixel(&image, points[i].x, points[i].y, points[i].r, points[i].g, points[i].b, 0);
	}
	arena_close(a);
}

/* A region's planes are cut out of the frame at the right place. */
static void regions_beside_and_across_the_frame(void **state)
{
	static const struct rect regions[] = {{0, 0, 20, 20}, {90, 90, 100, 100}, {790, 490, 100, 100}, {300, 200, 10, 300}};
	struct arena *a = arena_open();
	struct picture p;
	struct error err;
	struct image whole = decode_sample(a, "frames.gif", &p), part;
	(void)state;
	for (size_t i = 0; i < sizeof regions / sizeof *regions; i++) {
		struct wants w = {.region = regions[i], .step_x = 1, .step_y = 1, .chroma_x = 1, .chroma_y = 1};
		assert_true(p.decoder->read(a, &p, &w, &part, &err));
		for (int c = 0; c < 4; c++)
			for (uint32_t y = 0; y < part.plane[c].h; y++)
				for (uint32_t x = 0; x < part.plane[c].w; x++)
					assert_int_equal(at(&part, c, x, y), at(&whole, c, (uint32_t)part.plane[c].x + x,
										(uint32_t)part.plane[c].y + y));
	}
	arena_close(a);
}

static void profiles_are_handed_on(void **state)
{
	static const char *const names[] = {"packed.psd", "exif6.heic"};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct arena *a = arena_open();
		struct picture p;
		struct image image = decode_sample(a, names[i], &p);
		assert_true(p.icc_bytes == image.icc_bytes && image.icc_bytes > 400);
		assert_memory_equal(image.icc + 36, "acsp", 4);
		arena_close(a);
	}
}

static void a_psd_without_its_merged_picture_is_unsupported(void **state)
{
	struct arena *a = arena_open();
	struct str s = load(a, "layers.psd");
	(void)state;
	check_status(s.at, s.n, 501);
	arena_close(a);
}

static void only_its_own_property_turns_a_heic(void **state)
{
	struct arena *a = arena_open();
	struct picture p;
	(void)state;
	decode_sample(a, "exif6.heic", &p);
	assert_int_equal(p.facts.w, W);
	assert_int_equal(p.facts.h, H);
	assert_int_equal(p.facts.orientation, 1);
	arena_close(a);
}

static struct heif_error keep(struct heif_context *context, const void *at, size_t n, void *out)
{
	(void)context;
	buf_write(out, at, n);
	return (struct heif_error){heif_error_Ok, heif_suberror_Unspecified, ""};
}

/* An AVIF of 128 x 64, white at its left, that says of itself to be turned clockwise. */
static struct str turned_avif(struct arena *a)
{
	struct heif_writer writer = {.writer_api_version = 1, .write = keep};
	struct heif_context *context = heif_context_alloc();
	struct heif_encoding_options *options = heif_encoding_options_alloc();
	struct heif_encoder *encoder;
	struct heif_image *image;
	struct buf *out = buf_open(a, 1 << 20);
	int stride;
	heif_image_create(128, 64, heif_colorspace_monochrome, heif_chroma_monochrome, &image);
	heif_image_add_plane(image, heif_channel_Y, 128, 64, 8);
	uint8_t *to = heif_image_get_plane(image, heif_channel_Y, &stride);
	for (int y = 0; y < 64; y++)
		for (int x = 0; x < 128; x++)
			to[y * stride + x] = x < 64 ? 255 : 0;
	options->image_orientation = heif_orientation_rotate_90_cw;
	assert_int_equal(heif_context_get_encoder_for_format(context, heif_compression_AV1, &encoder).code, 0);
	assert_int_equal(heif_context_encode_image(context, image, encoder, options, NULL).code, 0);
	assert_int_equal(heif_context_write(context, &writer, out).code, 0);
	heif_image_release(image);
	heif_encoder_release(encoder);
	heif_encoding_options_free(options);
	heif_context_free(context);
	return buf_view(out);
}

static void a_turned_avif_stands_upright(void **state)
{
	struct arena *a = arena_open();
	struct picture p;
	struct image image;
	struct error err;
	(void)state;
	assert_true(decode(a, turned_avif(a), &p, &image, &err));
	assert_int_equal(p.facts.w, 64);
	assert_int_equal(p.facts.h, 128);
	assert_int_equal(p.facts.orientation, 1);
	check_pixel(&image, 32, 20, 255, 255, 255, 10);
	check_pixel(&image, 32, 108, 0, 0, 0, 10);
	arena_close(a);
}

/* Nothing of this may reach a coder: languages, documents, references, ImageMagick's own and other formats. */
static void other_formats_are_unsupported(void **state)
{
	static const char *const texts[] = {
		"<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"/>",
		"<svg width=\"9\" height=\"9\"><image href=\"/etc/passwd\"/></svg>",
		"push graphic-context\nviewbox 0 0 640 480\nimage over 0,0 0,0 'label:@/etc/passwd'\npop graphic-context",
		"<?xml version=\"1.0\"?><image><read filename=\"caption:hello\"/><write filename=\"/tmp/x\"/></image>",
		"%!PS-Adobe-3.0\n(%pipe%id) (r) file", "%!PS-Adobe-3.0 EPSF-3.0\n", "%PDF-1.7\n1 0 obj\n",
		"label:hello", "caption:@/etc/passwd", "text:/etc/passwd", "@/etc/passwd", "ephemeral:/tmp/x",
		"https://example.org/x.png", "inline:data:image/png;base64,AAAA", "msl:/tmp/x.msl", "xc:red", "|id",
		"id=ImageMagick  version=1.0\nclass=DirectClass\ncolumns=1  rows=1\n\f\n:\x1a", "/* XPM */\nstatic char *x[] = {",
		"#define x_width 1\n#define x_height 1\n", "#FIG 3.2\n", "gimp xcf v001", "SIMPLE  =                    T", "SDPX    V1.0",
		"Pf\n1 1\n-1\n", "P8 1 1 255\n", "P6x", "GIF88a", "BMW is no bitmap, whatever its first letters are",
		"\x0a\x05\x01\x08 PCX", "\x01\xda SGI", "v/1\x01 EXR", "8BIM", "8BPS",
	};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		char padded[400];
		memset(padded, ' ', sizeof padded);
		memcpy(padded, texts[i], strlen(texts[i]));
		check_status(padded, sizeof padded, 501);
	}
	/* With NULs inside. */
	static const struct str blobs[] = {
		STR("8BPS\0\3\0\0\0\0\0\0\0\3\0\0\0\1\0\0\0\1\0\10\0\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
		STR("\0\0\0\x18" "ftypqt  \0\0\0\0qt  heic and more bytes than the brands have"),
		STR("\0\0\0\x14" "ftypmif1\0\0\0\0xxxxheic and more bytes than the brands have"),
		STR("\0\0\1\0\1\0\1\1\0\0\1\0\30\0 an icon"),
	};
	for (size_t i = 0; i < sizeof blobs / sizeof *blobs; i++)
		check_status(blobs[i].at, blobs[i].n, 501);
}

/* Zeros where the frame was: not every codec notices, this one must. */
static void an_overwritten_avif_is_damage(void **state)
{
	struct arena *a = arena_open();
	struct str s = load(a, "s.avif");
	(void)state;
	memset((char *)s.at + s.n / 4, 0, s.n / 2);
	check_status(s.at, s.n, 500);
	arena_close(a);
}

/* A grid whose only tile it is itself: the library would follow it until the stack ends. */
static void a_picture_made_of_itself_is_damage(void **state)
{
	struct arena *a = arena_open();
	struct str s = load(a, "grid.heic");
	struct picture p;
	(void)state;
	decode_sample(a, "grid.heic", &p);
	char *reference = memmem(s.at, s.n, "dimg", 4);
	assert_non_null(reference);
	/* from, count, to */
	memcpy(reference + 8, reference + 4, 2);
	check_status(s.at, s.n, 500);
	arena_close(a);
}

/* A right beginning and another language behind it: the coder is the one of the beginning, and finds damage. */
static void misleading_magic_is_damage(void **state)
{
	static const struct str files[] = {
		STR("GIF89a<svg width=\"9\" height=\"9\"><image href=\"/etc/passwd\"/></svg>"),
		STR("GIF89a\2\0\2\0\x80\0\0\0\0\0\xff\xff\xffpush graphic-context image over 0,0 0,0 '@/etc/passwd'"),
		STR("GIF89a\2\0\2\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\2\0\2\0\0\2%!PS-Adobe-3.0 (%pipe%id)"),
		STR("BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0<svg width=\"9\" height=\"9\"><image href=\"/etc/passwd\"/></svg>"),
		STR("P6 9999 9999 255\n<svg width=\"9\" height=\"9\"/>"),
		STR("P7\nWIDTH 2\nHEIGHT 2\nlabel:@/etc/passwd\nENDHDR\n"),
		STR("8BPS\0\1\0\0\0\0\0\0\0\3\0\0\0\1\0\0\0\1\0\10\0\3%!PS-Adobe-3.0 (%pipe%id) (r) file %%EOF"),
	};
	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		check_status(files[i].at, files[i].n, 500);
	/* Three bytes are a pixel whatever they spell. */
	struct arena *a = arena_open();
	struct picture p;
	struct image image;
	struct error err;
	assert_true(decode(a, STR("P6 1 1 255\n<svg width=\"9\" height=\"9\"/>"), &p, &image, &err));
	check_pixel(&image, 0, 0, '<', 's', 'v', 0);
	arena_close(a);
}

/* Asked directly, the library reads nothing. */
static void the_policy_holds(void **state)
{
	static const char *const coders[] = {"MVG", "MSL", "SVG", "PS", "PDF", "EPS", "TXT", "TEXT", "LABEL", "CAPTION", "URL",
					     "HTTP", "HTTPS", "FTP", "FILE", "EPHEMERAL", "INLINE", "XC", "CANVAS", "MIFF", "MPC",
					     "MPR", "DNG", "PANGO", "SCREENSHOT", "X", "JPEG", "PNG", "TIFF", "HEIC", "PSB", "TGA", "PSD",
					     "BMP", "PNM", "GIF"};
	static const char blob[] = "P6 1 1 255\nabc and some more bytes for everybody";
	(void)state;
	start_library();
	for (size_t i = 0; i < sizeof coders / sizeof *coders; i++) {
		ExceptionInfo *e = AcquireExceptionInfo();
		ImageInfo *info = AcquireImageInfo();
		snprintf(info->magick, sizeof info->magick, "%s", coders[i]);
		Image *image = BlobToImage(info, blob, sizeof blob, e);
		if (image || e->severity == UndefinedException)
			fail_msg("%s is open", coders[i]);
		snprintf(info->filename, sizeof info->filename, "%s:%s", coders[i], image_path("rgb.ppm"));
		*info->magick = '\0';
		assert_null(ReadImage(info, e));
		DestroyImageInfo(info);
		DestroyExceptionInfo(e);
	}
	ExceptionInfo *e = AcquireExceptionInfo();
	ImageInfo *info = AcquireImageInfo();
	snprintf(info->filename, sizeof info->filename, "GIF:%s", image_path("frames.gif"));
	assert_null(ReadImage(info, e));
	assert_int_equal(e->severity, PolicyError);
	DestroyImageInfo(info);
	DestroyExceptionInfo(e);
	assert_int_equal(GetMagickResourceLimit(ThreadResource), 1);
	assert_int_equal(GetMagickResourceLimit(DiskResource), 0);
	assert_int_equal(GetMagickResourceLimit(MapResource), 0);
	assert_int_equal(GetMagickResourceLimit(MemoryResource), UINT64_C(1) << 30);
	assert_true(GetMagickResourceLimit(WidthResource) > 1000000);
}

static void what_is_not_allowed_is_unsupported(void **state)
{
	static const char *const bmp[] = {"bmp", NULL}, *const heic[] = {"heic", NULL};
	struct arena *a = arena_open();
	struct str gif = load(a, "frames.gif"), ppm = load(a, "rgb.ppm"), avif = load(a, "s.avif");
	struct picture p;
	(void)state;
	plain_configure(bmp);
	heif_configure(&(struct heif_options){heic, 1 << 20});
	check_status(gif.at, gif.n, 501);
	check_status(ppm.at, ppm.n, 501);
	check_status(avif.at, avif.n, 501);
	decode_sample(a, "rgb.bmp", &p);
	decode_sample(a, "s.heic", &p);
	plain_configure(NULL);
	heif_configure(&(struct heif_options){NULL, UINT64_C(1) << 30});
	arena_close(a);
}

/* Too little memory is an answer, not a file on disk. */
static void the_memory_limit_holds(void **state)
{
	struct arena *a = arena_open();
	struct str avif = load(a, "s.avif");
	struct image image = new_image(a, MODEL_RGB, false, 600, 600);
	struct buf *out;
	struct error err;
	(void)state;
	magick_configure(1 << 20);
	assert_false(write_gif(a, &image, false, &out, &err));
	assert_int_equal(err.status, 503);
	magick_configure(UINT64_C(1) << 30);
	heif_configure(&(struct heif_options){NULL, 1000});
	check_status(avif.at, avif.n, 413);
	heif_configure(&(struct heif_options){NULL, UINT64_C(1) << 30});
	arena_close(a);
}

/* Writes and reads again. */
static struct image rewrite(struct arena *a, enum format format, struct image *image, bool bitonal, struct picture *p)
{
	const struct encoder *encoder = encoder_for(format);
	struct encode_options options = {.avif_quality = 80, .bitonal = bitonal};
	struct buf *out = buf_open(a, 1 << 24);
	struct error err;
	struct image back = {0};
	assert_non_null(encoder);
	if (!encoder->write(image, &options, out, &err) || !decode(a, buf_view(out), p, &back, &err))
		fail_msg("%s: %s", format_name(format), err.why);
	assert_int_equal(p->facts.w, image->plane[0].w);
	assert_int_equal(p->facts.h, image->plane[0].h);
	return back;
}

/* A soft picture of thousands of colours. */
static struct image clouds(struct arena *a, uint32_t w, uint32_t h)
{
	struct image image = new_image(a, MODEL_RGB, false, w, h);
	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < w; x++) {
			put(&image, 0, x, y, (int)(x * 255 / w));
			put(&image, 1, x, y, (int)(y * 255 / h));
			put(&image, 2, x, y, (int)((x + y) * 255 / (w + h)));
		}
	return image;
}

static int mean(const struct image *image, int c, uint32_t left, uint32_t top, uint32_t side)
{
	int sum = 0;
	for (uint32_t y = top; y < top + side; y++)
		for (uint32_t x = left; x < left + side; x++)
			sum += at(image, c, x, y);
	return (sum + (int)(side * side / 2)) / (int)(side * side);
}

static void colours_come_back(void **state)
{
	static const enum format formats[] = {FORMAT_GIF, FORMAT_AVIF};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct arena *a = arena_open();
		struct image image = clouds(a, 333, 201), kept = clouds(a, 333, 201);
		struct picture p;
		struct image back = rewrite(a, formats[i], &image, false, &p);
		assert_false(back.alpha);
		for (uint32_t y = 0; y + 20 < 201; y += 10)
			for (uint32_t x = 0; x + 20 < 333; x += 10)
				for (int c = 0; c < 3; c++)
					if (abs(mean(&back, c, x, y, 20) - mean(&kept, c, x, y, 20)) > 2)
						fail_msg("%s %u,%u: %d for %d", format_name(formats[i]), x, y, mean(&back, c, x, y, 20),
							 mean(&kept, c, x, y, 20));
		arena_close(a);
	}
}

static void few_colours_stay_exact(void **state)
{
	struct arena *a = arena_open();
	struct image image = new_image(a, MODEL_RGB, false, 64, 64);
	struct picture p;
	(void)state;
	for (uint32_t i = 0; i < 64 * 64; i++)
		for (int c = 0; c < 3; c++)
			put(&image, c, i % 64, i / 64, (int)(i / 16 * 37 * (unsigned)(c + 1) % 256));
	struct image back = rewrite(a, FORMAT_GIF, &image, false, &p);
	for (uint32_t i = 0; i < 64 * 64; i++)
		for (int c = 0; c < 3; c++)
			assert_int_equal(at(&back, c, i % 64, i / 64), at(&image, c, i % 64, i / 64));
	arena_close(a);
}

static void gray_stays_gray(void **state)
{
	struct arena *a = arena_open();
	struct image image = new_image(a, MODEL_GRAY, false, 256, 9);
	struct picture p;
	(void)state;
	for (uint32_t i = 0; i < 256 * 9; i++)
		put(&image, 0, i % 256, i / 256, (int)(i % 256));
	struct image back = rewrite(a, FORMAT_GIF, &image, false, &p);
	assert_true(p.facts.gray && back.n == 1);
	for (uint32_t x = 0; x < 256; x++)
		assert_int_equal(at(&back, 0, x, 8), x);
	back = rewrite(a, FORMAT_AVIF, &image, false, &p);
	for (uint32_t x = 0; x < 256; x += 5)
		check_pixel(&back, x, 4, (int)x, (int)x, (int)x, 6);
	arena_close(a);
}

static void bitonal_is_two_colours(void **state)
{
	struct arena *a = arena_open();
	struct image image = new_image(a, MODEL_GRAY, false, 100, 50);
	struct picture p;
	struct buf *out;
	struct error err;
	(void)state;
	for (uint32_t i = 0; i < 100 * 50; i++)
		put(&image, 0, i % 100, i / 100, i % 3 ? 0 : 255);
	struct image back = rewrite(a, FORMAT_GIF, &image, true, &p);
	for (uint32_t i = 0; i < 100 * 50; i++)
		assert_int_equal(at(&back, 0, i % 100, i / 100), i % 3 ? 0 : 255);
	assert_true(write_gif(a, &image, true, &out, &err));
	/* A colour table of two entries. */
	assert_int_equal(out->at[10] & 7, 0);
	arena_close(a);
}

static void opacity_comes_back(void **state)
{
	(void)state;
	for (int model = 0; model < 2; model++) {
		struct arena *a = arena_open();
		struct image image = new_image(a, model ? MODEL_RGB : MODEL_GRAY, true, 256, 64);
		struct picture p;
		for (uint32_t i = 0; i < 256 * 64; i++) {
			for (int c = 0; c < image.n; c++)
				put(&image, c, i % 256, i / 256, 60 + 40 * c);
			put(&image, image.n, i % 256, i / 256, (int)(i % 256));
		}
		struct image back = rewrite(a, FORMAT_GIF, &image, false, &p);
		assert_true(back.alpha);
		for (uint32_t x = 0; x < 256; x++) {
			assert_int_equal(at(&back, back.n, x, 32), x < 128 ? 0 : 255);
			for (int c = 0; x >= 128 && c < image.n; c++)
				assert_int_equal(at(&back, c, x, 32), 60 + 40 * c);
		}
		back = rewrite(a, FORMAT_AVIF, &image, false, &p);
		assert_true(back.alpha);
		for (uint32_t x = 0; x < 256; x += 15)
			assert_true(abs(at(&back, 3, x, 32) - (int)x) <= 6);
		arena_close(a);
	}
}

static void a_small_buffer_is_too_large_a_body(void **state)
{
	static const enum format formats[] = {FORMAT_GIF, FORMAT_AVIF};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct arena *a = arena_open();
		struct image image = clouds(a, 200, 200);
		struct encode_options options = {.avif_quality = 80};
		struct error err;
		assert_false(encoder_for(formats[i])->write(&image, &options, buf_open(a, 300), &err));
		assert_int_equal(err.status, 413);
		arena_close(a);
	}
}

/* Ends the process at the first program run, process made, socket opened or file opened to be written. */
static void forbid(void)
{
#define DENY(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		DENY(SYS_execve), DENY(SYS_execveat), DENY(SYS_socket), DENY(SYS_mkdirat), DENY(SYS_unlinkat), DENY(SYS_memfd_create),
#ifdef SYS_fork
		DENY(SYS_fork), DENY(SYS_vfork), DENY(SYS_mkdir), DENY(SYS_unlink), DENY(SYS_open), DENY(SYS_creat),
#endif
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_WRONLY | O_RDWR | O_CREAT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static int in_child(void (*work)(void))
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		work();
		_exit(0);
	}
	assert_true(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void decode_everything(void)
{
	static const char *const names[] = {"frames.gif", "interlaced.gif", "alpha.bmp", "gray.bmp", "deep.ppm",
					    "alpha.psd",  "s.heic",	    "clear.avif"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct arena *a = arena_open();
		struct picture p;
		struct image image;
		struct error err;
		struct str bytes = load(a, names[i]);
		if (!decode(a, bytes, &p, &image, &err))
			_exit(9);
		bytes.n /= 4;
		if (decode(a, bytes, &p, &image, &err))
			_exit(8);
		arena_close(a);
	}
	struct arena *a = arena_open();
	struct image image = clouds(a, 100, 100);
	struct picture p;
	rewrite(a, FORMAT_GIF, &image, false, &p);
	rewrite(a, FORMAT_AVIF, &image, false, &p);
	arena_close(a);
}

/* The start alone writes a file, its policy. */
static void work_quietly(void)
{
	if (dup2(open("/dev/null", O_WRONLY), 0) != 0)
		_exit(7);
	start_library();
	forbid();
	decode_everything();
}

static void try_to_write(void)
{
	forbid();
	open("/dev/null", O_WRONLY);
}

static void decoding_runs_no_program_and_writes_no_file(void **state)
{
	(void)state;
	assert_int_equal(in_child(try_to_write), 128 + SIGSYS);
	assert_int_equal(in_child(work_quietly), 0);
}

static void work_in_a_bare_place(void)
{
	static char folder[4096];
	char *absolute = realpath(image_path("."), NULL);
	snprintf(folder, sizeof folder, "%s", absolute ? absolute : "");
	free(absolute);
	clearenv();
	setenv("LORIKEET_TEST_IMAGES", folder, 1);
	if (chdir("/proc") < 0)
		_exit(6);
	decode_everything();
}

static void neither_home_nor_a_writable_folder_is_needed(void **state)
{
	(void)state;
	assert_int_equal(in_child(work_in_a_bare_place), 0);
}

static void no_signal_handler_is_installed(void **state)
{
	static const int signals[] = {SIGSEGV, SIGABRT, SIGFPE, SIGILL, SIGBUS, SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGXFSZ};
	struct sigaction before[10], after;
	(void)state;
	/* The first test of all, so that the library is not started yet. */
	for (size_t i = 0; i < 10; i++)
		sigaction(signals[i], NULL, &before[i]);
	start_library();
	for (size_t i = 0; i < 10; i++) {
		sigaction(signals[i], NULL, &after);
		assert_ptr_equal(before[i].sa_sigaction, after.sa_sigaction);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* These three find the library not started. */
		cmocka_unit_test(decoding_runs_no_program_and_writes_no_file),
		cmocka_unit_test(neither_home_nor_a_writable_folder_is_needed),
		cmocka_unit_test(no_signal_handler_is_installed),
		cmocka_unit_test(opacity_is_kept_and_colours_are_straight),
		cmocka_unit_test(a_saved_selection_is_no_opacity),
		cmocka_unit_test(the_first_frame_lies_on_its_canvas),
		cmocka_unit_test(regions_beside_and_across_the_frame),
		cmocka_unit_test(profiles_are_handed_on),
		cmocka_unit_test(a_psd_without_its_merged_picture_is_unsupported),
		cmocka_unit_test(only_its_own_property_turns_a_heic),
		cmocka_unit_test(a_turned_avif_stands_upright),
		cmocka_unit_test(other_formats_are_unsupported),
		cmocka_unit_test(misleading_magic_is_damage),
		cmocka_unit_test(a_picture_made_of_itself_is_damage),
		cmocka_unit_test(an_overwritten_avif_is_damage),
		cmocka_unit_test(the_policy_holds),
		cmocka_unit_test(what_is_not_allowed_is_unsupported),
		cmocka_unit_test(the_memory_limit_holds),
		cmocka_unit_test(colours_come_back),
		cmocka_unit_test(few_colours_stay_exact),
		cmocka_unit_test(gray_stays_gray),
		cmocka_unit_test(bitonal_is_two_colours),
		cmocka_unit_test(opacity_comes_back),
		cmocka_unit_test(a_small_buffer_is_too_large_a_body),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
