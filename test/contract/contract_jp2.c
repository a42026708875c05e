/* SPDX-License-Identifier: BSD-2-Clause */
/* JPEG 2000 beyond what every codec promises, on the images of test/data/jp2_images.py. */
#include <malloc.h>
#include <math.h>

#include "board.h"

#include "image/jp2_read.h"
#include "image/jp2_write.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OWN_ALLOCATOR
#endif
#endif

/* Every byte of the heap is counted here, for the estimates to be compared with. A sanitizer has an allocator of its own. */
static size_t heap, heap_peak;

#ifndef OWN_ALLOCATOR
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t m, size_t n);
void *__libc_realloc(void *at, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *at);

static void *counted(void *at)
{
	heap += at ? malloc_usable_size(at) : 0;
	heap_peak = heap > heap_peak ? heap : heap_peak;
	return at;
}

void *malloc(size_t n)
{
	return counted(__libc_malloc(n));
}

void *calloc(size_t m, size_t n)
{
	return counted(__libc_calloc(m, n));
}

void *realloc(void *at, size_t n)
{
	size_t before = at ? malloc_usable_size(at) : 0;
	void *moved = __libc_realloc(at, n);
	heap -= moved ? before : 0;
	return counted(moved);
}

int posix_memalign(void **at, size_t alignment, size_t n)
{
	*at = counted(__libc_memalign(alignment, n));
	return *at ? 0 : 12;
}

void *aligned_alloc(size_t alignment, size_t n)
{
	return counted(__libc_memalign(alignment, n));
}

void free(void *at)
{
	heap -= at ? malloc_usable_size(at) : 0;
	__libc_free(at);
}
#endif

enum opacity { OPAQUE, CLEAR };    /* whether there is a channel of opacity */

struct sample {
	const char *file;
	enum model model;
	enum opacity opacity;
	int tolerance;                 /* of the colours at known points */
	uint32_t tile_w, tile_h;
	int levels;
	uint8_t chroma;
};

static const struct sample samples[] = {
	{"lossless.jp2", MODEL_RGB, OPAQUE, 0, 0, 0, 6, 1},
	{"lossy.jp2", MODEL_RGB, OPAQUE, 8, 0, 0, 6, 1},
	{"tiled.jp2", MODEL_RGB, OPAQUE, 0, 256, 256, 6, 1},
	{"tiled-lossy.jp2", MODEL_RGB, OPAQUE, 8, 200, 133, 4, 1},
	{"layers.jp2", MODEL_RGB, OPAQUE, 8, 0, 0, 6, 1},
	{"offset.jp2", MODEL_RGB, OPAQUE, 0, 0, 0, 5, 1},
	{"gray.jp2", MODEL_GRAY, OPAQUE, 1, 0, 0, 6, 1},
	{"raw.j2k", MODEL_RGB, OPAQUE, 0, 0, 0, 6, 1},
	{"markers.jp2", MODEL_RGB, OPAQUE, 0, 300, 300, 6, 1},
	{"parts.jp2", MODEL_RGB, OPAQUE, 12, 400, 400, 6, 1},
	{"ycc420.j2k", MODEL_YCC, OPAQUE, 4, 0, 0, 6, 2},
	{"bits4.j2k", MODEL_GRAY, OPAQUE, 18, 0, 0, 1, 1},
	{"signed.j2k", MODEL_GRAY, OPAQUE, 1, 0, 0, 6, 1},
	{"deep.jp2", MODEL_GRAY, OPAQUE, 1, 0, 0, 6, 1},
	{"alpha.jp2", MODEL_RGB, CLEAR, 0, 0, 0, 6, 1},
	{"unnamed.jp2", MODEL_RGB, OPAQUE, 0, 0, 0, 6, 1},
	{"swapped.jp2", MODEL_RGB, OPAQUE, 0, 0, 0, 6, 1},
	{"premultiplied.jp2", MODEL_RGB, CLEAR, 3, 0, 0, 6, 1},
	{"gray-alpha.jp2", MODEL_GRAY, CLEAR, 1, 0, 0, 6, 1},
	{"ycc.jp2", MODEL_YCC, OPAQUE, 4, 0, 0, 6, 1},
	{"palette.jp2", MODEL_RGB, OPAQUE, 0, 0, 0, 1, 1},
	{"wide.jp2", MODEL_RGB, OPAQUE, 0, 0, 0, 6, 1},
};
#define SAMPLES (sizeof samples / sizeof *samples)

static const struct rect whole = {0, 0, W, H};

static struct picture open_sample(struct arena *a, const char *name)
{
	struct error err = {0};
	struct picture p = {0};
	if (!picture_open(a, decoders, sample_source(a, name), 1, &p, &err))
		fail_msg("%s: %s %s", name, err.say, err.why);
	assert_ptr_equal(p.decoder, &jp2_decoder);
	return p;
}

static struct image read_as(struct arena *a, const struct picture *p, const struct wants *w)
{
	struct arena *own = arena_open();
	struct error err = {0};
	struct image image;
	uint64_t estimate = p->decoder->memory(p, w);
	size_t before = heap;
	heap_peak = heap;
	if (!p->decoder->read(own, p, w, &image, &err))
		fail_msg("%s %s", err.say, err.why);
	/* The arena's blocks are on the heap, too, where that is counted. */
	if (heap_peak - before > estimate || arena_peak_bytes(own) > estimate)
		fail_msg("%zu bytes of heap, %zu of arena, estimated %llu", heap_peak - before, arena_peak_bytes(own),
			 (unsigned long long)estimate);
	arena_defer(a, (void (*)(void *))arena_close, own);
	return image;
}

static struct image read_part(struct arena *a, const struct picture *p, struct rect region, double step)
{
	return read_as(a, p, &(struct wants){.region = region, .step_x = step, .step_y = step, .chroma_x = 1, .chroma_y = 1});
}

static void check_colours(const struct image *image, const struct sample *s)
{
	for (int row = 0; row < BOARD; row++)
		for (int column = 0; column < BOARD; column++) {
			int want[3], got[3], opacity = (int)((column + 0.5) * 510 / BOARD);
			double x = (column + 0.5) * W / BOARD, y = (row + 0.5) * H / BOARD;
			board_colour(column, row, s->model == MODEL_GRAY, want);
			if (image->alpha && abs(plane_at(&image->plane[image->n], x, y) - (opacity < 255 ? opacity : 255)) > 9)
				fail_msg("%s square %d,%d: opacity %d for %d", s->file, column, row,
					 plane_at(&image->plane[image->n], x, y), opacity);
			colour_at(image, x, y, got);
			/* 6 is the ripple over the squares; colours that were multiplied by little have lost some. */
			int more = image->alpha && opacity < 100 ? 9 : 0;
			for (int c = 0; c < 3; c++)
				if (abs(got[c] - want[c]) > 6 + s->tolerance + more)
					fail_msg("%s square %d,%d: %d for %d", s->file, column, row, got[c], want[c]);
		}
}

static void facts(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		const struct sample *s = &samples[i];
		struct arena *a = arena_open();
		struct picture p = open_sample(a, s->file);
		const struct facts *f = &p.facts;
		print_message("%s\n", s->file);
		assert_int_equal(f->w, W);
		assert_int_equal(f->h, H);
		assert_int_equal(f->gray, s->model == MODEL_GRAY);
		assert_int_equal(f->alpha, s->opacity == CLEAR);
		assert_int_equal(f->tile_w, s->tile_w);
		assert_int_equal(f->tile_h, s->tile_h);
		assert_int_equal(f->chroma_x, s->chroma);
		assert_int_equal(f->chroma_y, s->chroma);
		assert_int_equal(f->n_levels, s->levels);
		for (int r = 0; r < f->n_levels; r++) {
			assert_int_equal(f->level[r].w, (W + (1 << r) - 1) >> r);
			assert_int_equal(f->level[r].h, (H + (1 << r) - 1) >> r);
		}
		assert_int_equal(p.icc_bytes > 0, strcmp(s->file, "wide.jp2") == 0);
		arena_close(a);
	}
}

static void colours_at_every_step(void **state)
{
	static const double steps[] = {1, 1.4, 2, 3, 7.9, 13, 40};
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++)
		for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
			struct arena *a = arena_open();
			struct picture p = open_sample(a, samples[i].file);
			struct image image = read_part(a, &p, whole, steps[k]);
			int r = 0;
			while (r + 1 < samples[i].levels && 2 << r <= steps[k])
				r++;
			assert_int_equal(image.model, samples[i].model);
			assert_int_equal(image.alpha, samples[i].opacity == CLEAR);
			assert_true(image.plane[0].dx == 1 << r && image.plane[0].dy == 1 << r);
			struct error err;
			assert_true(!image.deep || colour_to_srgb(a, &image, false, &err));
			/* The wavelet's low-pass overshoots at the squares' edges; at 16 these are everywhere. */
			struct sample s = samples[i];
			s.tolerance += r ? 8 : 0;
			if (r < (image.plane[image.n - 1].dx > image.plane[0].dx ? 3 : 4))
				check_colours(&image, &s);
			arena_close(a);
		}
}

/* A sample's place, by the reference grid: for images with an offset too. */
static void samples_lie_on_the_reference_grid(void **state)
{
	static const struct {
		const char *file;
		uint32_t x0, y0;
	} rows[] = {{"lossless.jp2", 0, 0}, {"offset.jp2", 37, 21}, {"ycc420.j2k", 0, 0}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (int r = 0; r < 5; r++) {
			struct arena *a = arena_open();
			struct picture p = open_sample(a, rows[i].file);
			struct image image = read_part(a, &p, (struct rect){300, 200, 400, 300}, 1 << r);
			for (int c = 0; c < image.n; c++) {
				const struct plane *q = &image.plane[c];
				double x = (rows[i].x0 - 0.5 + q->x + q->dx / 2) / q->dx, y = (rows[i].y0 - 0.5 + q->y + q->dy / 2) / q->dy;
				assert_true(q->dx == (c && image.model == MODEL_YCC ? 2 : 1) << r);
				assert_true(x == floor(x) && y == floor(y));
			}
			arena_close(a);
		}
}

static int furthest(const uint8_t *a, const uint8_t *b, size_t n)
{
	int most = 0;
	for (size_t i = 0; i < n; i++)
		most = abs(a[i] - b[i]) > most ? abs(a[i] - b[i]) : most;
	return most;
}

/*
 * Each sample of a region's planes is the very sample that the full image has at that place; or its neighbour, where the
 * transform is one of floats, which OpenJPEG adds in another order.
 */
static void region_is_crop_of_full(void **state)
{
	static const struct rect regions[] = {{0, 0, 1, 1}, {1002, 700, 1, 1}, {255, 127, 300, 200},
					      {511, 3, 17, 600}, {100, 333, 903, 5}, {640, 640, 363, 61}};
	static const double steps[] = {1, 2.5, 4, 12, 40};
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++)
		for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
			struct arena *a = arena_open();
			struct picture p = open_sample(a, samples[i].file);
			struct image full = read_part(a, &p, whole, steps[k]);
			for (size_t r = 0; r < sizeof regions / sizeof *regions; r++) {
				struct image part = read_part(a, &p, regions[r], steps[k]);
				assert_int_equal(part.n, full.n);
				for (int c = 0; c < part.n + part.alpha; c++) {
					const struct plane *q = &part.plane[c], *f = &full.plane[c];
					size_t bytes = full.deep ? 2 : 1;
					double left = (q->x - f->x) / f->dx, top = (q->y - f->y) / f->dy;
					assert_true(q->dx == f->dx && left == floor(left) && top == floor(top));
					/* The region is covered, or the image ends there. */
					assert_true(q->x <= regions[r].x || left == 0);
					assert_true(q->y <= regions[r].y || top == 0);
					assert_true(q->x + q->w * q->dx >= regions[r].x + regions[r].w || left + q->w == f->w);
					assert_true(q->y + q->h * q->dy >= regions[r].y + regions[r].h || top + q->h == f->h);
					for (uint32_t y = 0; y < q->h; y++)
						if (furthest(q->at + y * q->stride,
							     f->at + (y + (size_t)top) * f->stride + (size_t)left * bytes,
							     q->w * bytes) > (samples[i].tolerance == 8))
							fail_msg("%s: region %zu at step %g differs in row %u of plane %d", samples[i].file,
								 r, steps[k], y, c);
				}
			}
			arena_close(a);
		}
}

/* Where planes are deep, or chroma gets luma's grid. */
static void estimates_hold(void **state)
{
	static const char *const files[] = {"deep.jp2", "cmyk.jp2", "ycc420-alpha.jp2"};
	static const struct rect regions[] = {{0, 0, W, H}, {255, 127, 300, 200}, {511, 3, 17, 600}, {1002, 700, 1, 1}};
	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		for (size_t k = 0; k < sizeof regions / sizeof *regions; k++)
			for (double step = 1; step < 20; step *= 1.7) {
				struct arena *a = arena_open();
				struct picture p = open_sample(a, files[i]);
				struct image image = read_part(a, &p, regions[k], step);
				assert_true(image.deep == (i < 2) && image.alpha == (i == 2));
				arena_close(a);
			}
}

/* Y, Cb and Cr as they are stored are the very picture, within 2 levels. */
static void ycc_inside_is_the_same_picture(void **state)
{
	static const char *const files[] = {"lossy.jp2", "tiled-lossy.jp2", "layers.jp2"};
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct arena *a = arena_open();
		struct error err;
		struct picture p = open_sample(a, files[i]);
		struct wants w = {.region = whole, .step_x = 2, .step_y = 2, .chroma_x = 2, .chroma_y = 2};
		struct image rgb = read_part(a, &p, whole, 2), ycc = read_as(a, &p, &w);
		w.gray = true;
		struct image gray = read_as(a, &p, &w);
		assert_int_equal(rgb.model, MODEL_RGB);
		assert_int_equal(ycc.model, MODEL_YCC);
		assert_int_equal(gray.model, MODEL_GRAY);
		assert_true(ycc.plane[0].dx == 2 && ycc.plane[1].dx == 4 && ycc.plane[2].dy == 4 && gray.plane[0].dx == 2);
		check_colours(&ycc, &(struct sample){.file = files[i], .model = MODEL_RGB, .tolerance = 16});
		assert_true(colour_to_srgb(a, &rgb, true, &err));
		for (uint32_t y = 0; y < rgb.plane[0].h; y++)
			for (uint32_t x = 0; x < rgb.plane[0].w; x++) {
				size_t k = y * rgb.plane[0].stride + x;
				assert_true(abs(rgb.plane[0].at[k] - ycc.plane[0].at[k]) <= 2);
				assert_int_equal(ycc.plane[0].at[k], gray.plane[0].at[k]);
			}
		arena_close(a);
	}
}

static bool decodes(struct str bytes, struct error *err)
{
	struct arena *a = arena_open();
	struct picture p;
	struct image image;
	*err = (struct error){0};
	bool ok = picture_open(a, decoders, memory_source_open(a, bytes), 1, &p, err);
	struct wants w = {.region = {0, 0, p.stored_w, p.stored_h}, .step_x = 1, .step_y = 1, .chroma_x = 1, .chroma_y = 1};
	ok = ok && p.decoder->read(a, &p, &w, &image, err);
	arena_close(a);
	return ok;
}

static void truncated_files_are_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		struct arena *a = arena_open();
		struct str bytes = load(a, samples[i].file);
		for (size_t part = 1; part < 12; part++) {
			struct error err;
			struct str cut = {bytes.at, part < 10 ? bytes.n * part / 10 : bytes.n - 40 * (12 - part)};
			if (decodes(cut, &err))
				fail_msg("%s cut to %zu of %zu bytes was decoded", samples[i].file, cut.n, bytes.n);
			assert_true(err.status == 500);
		}
		arena_close(a);
	}
}

static size_t find(struct str bytes, const char *what, size_t n, size_t from)
{
	const char *found = memmem(bytes.at + from, bytes.n - from, what, n);
	assert_non_null(found);
	return (size_t)(found - bytes.at);
}

#define SOT_SEGMENT "\xff\x90\x00\x0a"

/* A file that ends between two tiles lacks only whole tiles; one that says it is shorter lacks packets. */
static void what_is_missing_is_missed(void **state)
{
	struct arena *a = arena_open();
	struct error err;
	(void)state;
	struct str bytes = load(a, "tiled.jp2");
	size_t box = find(bytes, "jp2c", 4, 0) - 4, tile = 0;
	for (int i = 0; i < 7; i++)
		tile = find(bytes, SOT_SEGMENT, 4, tile + 1);
	memset((char *)bytes.at + box, 0, 4);
	assert_true(decodes(bytes, &err));
	assert_false(decodes((struct str){bytes.at, tile}, &err));
	assert_int_equal(err.status, 500);
	/* Without its end marker nothing is missing. */
	assert_true(decodes((struct str){bytes.at, bytes.n - 2}, &err));

	/* Nor is a file served in part: the sound tiles of one that was cut between the parts of its last tile. */
	bytes = load(a, "parts.jp2");
	box = find(bytes, "jp2c", 4, 0) - 4;
	memset((char *)bytes.at + box, 0, 4);
	const char *last = bytes.at + bytes.n - 12;
	while (memcmp(last, SOT_SEGMENT, 4) != 0)
		last--;
	struct picture p;
	struct source *cut_source = memory_source_open(a, (struct str){bytes.at, (size_t)(last - bytes.at)});
	assert_false(picture_open(a, decoders, cut_source, 1, &p, &err));
	assert_int_equal(err.status, 500);

	bytes = load(a, "raw.j2k");
	size_t part = find(bytes, SOT_SEGMENT, 4, 0);
	for (size_t less = 1; less < 4000; less *= 3) {
		char *cut = arena_alloc(a, bytes.n);
		uint32_t n = (uint32_t)(bytes.n - 2 - part - less);
		memcpy(cut, bytes.at, bytes.n);
		for (int i = 0; i < 4; i++)
			cut[part + 6 + (size_t)i] = (char)(n >> (24 - 8 * i));
		memcpy(cut + part + n, "\xff\xd9", 2);
		if (decodes((struct str){cut, part + n + 2}, &err))
			fail_msg("a tile part without its last %zu bytes was decoded", less);
		assert_int_equal(err.status, 500);
	}
	/* The length left open: then the end marker is needed. */
	memset((char *)bytes.at + part + 6, 0, 4);
	assert_true(decodes(bytes, &err));
	assert_false(decodes((struct str){bytes.at, bytes.n - 2}, &err));
	assert_false(decodes((struct str){bytes.at, bytes.n / 2}, &err));
	arena_close(a);
}

/* Headers that promise too much are refused before OpenJPEG sees them, or by their estimate. */
static void bombs(void **state)
{
	static const struct {
		const char *what;
		int at;                    /* after the codestream's first byte */
		const char *bytes;
		size_t n;
		int status;                /* 0: opens, but is estimated beyond every limit */
	} rows[] = {
		{"a million pixels a side", 8, "\0\x0f\x42\x40\0\x0f\x42\x40\0\0\0\0\0\0\0\0\0\x0f\x42\x40\0\x0f\x42\x40", 24, 0},
		{"a grid of 2^32", 8, "\xff\xff\xff\xff", 4, 501},
		{"no width", 8, "\0\0\0\0", 4, 500},
		{"offset beyond the end", 16, "\x00\x01\x00\x00", 4, 500},
		{"tiles of one pixel", 24, "\0\0\0\1\0\0\0\1", 8, 500},
		{"tiles of no pixel", 24, "\0\0\0\0", 4, 500},
		{"a tile origin beyond the image", 32, "\0\0\1\0", 4, 500},
		{"no components", 40, "\0\0", 2, 500},
		{"16384 components", 40, "\x40\0", 2, 500},
		{"25 bits", 42, "\x18", 1, 501},
		{"38 signed bits", 42, "\xa5", 1, 501},
		{"sampling of 0", 43, "\0", 1, 500},
		{"sampling of 255", 43, "\xff", 1, 501},
		{"33 levels", 60, "\x21", 1, 500},
		{"65535 layers", 57, "\xff\xff", 2, 0},
		{"code blocks of 2^20", 61, "\x08\x08", 2, 500},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena *a = arena_open();
		struct error err = {0};
		struct picture p;
		struct str bytes = load(a, "raw.j2k");
		memcpy((char *)bytes.at + rows[i].at, rows[i].bytes, rows[i].n);
		bool opened = picture_open(a, decoders, memory_source_open(a, bytes), 1, &p, &err);
		if (opened) {
			struct wants w = {.region = {0, 0, p.stored_w, p.stored_h}, .step_x = 1, .step_y = 1};
			if (p.decoder->memory(&p, &w) < UINT64_C(100) << 20)
				fail_msg("%s: estimated %llu", rows[i].what, (unsigned long long)p.decoder->memory(&p, &w));
		}
		if (opened != (rows[i].status == 0) || err.status != rows[i].status)
			fail_msg("%s: opened %d, status %d %s", rows[i].what, opened, err.status, err.why);
		arena_close(a);
	}
}

static void other_kinds_are_unsupported(void **state)
{
	struct arena *a = arena_open();
	struct error err;
	(void)state;
	assert_false(decodes(load(a, "romm.jp2"), &err));
	assert_int_equal(err.status, 501);
	assert_int_equal(err.reason, REASON_UNSUPPORTED);
	arena_close(a);
}

static bool broken_read(struct source *s, void *to, size_t n, uint64_t offset, struct error *err)
{
	if (offset + n > s->validator.length / 3)
		return fail(err, 504, REASON_IO, "The origin is late.", "test");
	memcpy(to, (const char *)s->bytes + offset, n);
	return true;
}

static void io_failures_are_no_damage(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		struct arena *a = arena_open();
		struct error err = {0};
		struct picture p;
		struct image image;
		struct source *s = memory_source_open(a, load(a, samples[i].file));
		s->read = broken_read;
		if (picture_open(a, decoders, s, 1, &p, &err)) {
			struct wants w = {.region = whole, .step_x = 1, .step_y = 1, .chroma_x = 2, .chroma_y = 2};
			assert_false(p.decoder->read(a, &p, &w, &image, &err));
		}
		if (err.status != 504)
			fail_msg("%s: %d %s", samples[i].file, err.status, err.why);
		arena_close(a);
	}
}

/* --- writing ------------------------------------------------------------------------------------- */

static void draw(struct arena *a, struct image *image, enum model model, bool alpha, uint32_t w, uint32_t h)
{
	struct error err;
	*image = (struct image){0};
	assert_true(image_alloc(a, image, model, alpha, (struct rect){0, 0, w, h}, &err));
	for (int i = 0; i < image_planes(image); i++)
		for (uint32_t y = 0; y < h; y++)
			for (uint32_t x = 0; x < w; x++)
				image->plane[i].at[y * image->plane[i].stride + x] =
					(uint8_t)(128 + 60 * sin(x / 9.0 + i) + 60 * cos(y / 7.0 + x / 50.0));
}

/* The mean square of the differences, over all planes. */
static double difference(const struct image *a, const struct image *b)
{
	double sum = 0, n = 0;
	for (int i = 0; i < image_planes(a); i++)
		for (uint32_t y = 0; y < a->plane[i].h; y++)
			for (uint32_t x = 0; x < a->plane[i].w; x++, n++) {
				int d = a->plane[i].at[y * a->plane[i].stride + x] - b->plane[i].at[y * b->plane[i].stride + x];
				sum += d * d;
			}
	return sum / n;
}

static struct str encode(struct arena *a, struct image *image, int quality)
{
	struct error err = {0};
	uint32_t w = image->plane[0].w, h = image->plane[0].h;
	uint64_t estimate = jp2_encoder.memory(w, h) + encoder_body_bytes(w, h);
	size_t before = heap;
	heap_peak = heap;
	struct buf *out = buf_open(a, encoder_body_bytes(w, h));
	if (!jp2_encoder.write(image, &(struct encode_options){.jp2_quality = quality}, out, &err))
		fail_msg("%ux%u: %s", w, h, err.why);
	if (heap_peak - before > estimate)
		fail_msg("%ux%u: %zu bytes, estimated %llu", w, h, heap_peak - before, (unsigned long long)estimate);
	return buf_view(out);
}

static void what_is_written_is_read(void **state)
{
	static const uint32_t sizes[][2] = {{1, 1}, {1, 40}, {40, 1}, {2, 3}, {17, 3}, {63, 65}, {64, 64}, {333, 200}, {5, 1000}};
	static const int qualities[] = {1, 40, 80, 100, 101};
	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int kind = 0; kind < 4; kind++) {
			double last = 1e9;
			for (size_t q = 0; q < 5; q++) {
				struct arena *a = arena_open();
				struct error err = {0};
				struct image image, back;
				struct picture p;
				uint32_t w = sizes[i][0], h = sizes[i][1];
				draw(a, &image, kind & 1 ? MODEL_RGB : MODEL_GRAY, kind & 2, w, h);
				struct source *s = memory_source_open(a, encode(a, &image, qualities[q]));
				struct wants wants = {.region = {0, 0, w, h}, .step_x = 1, .step_y = 1, .chroma_x = 1, .chroma_y = 1};
				assert_true(picture_open(a, decoders, s, 1, &p, &err));
				assert_true(p.facts.w == w && p.facts.h == h && p.facts.gray == !(kind & 1) && p.facts.alpha == !!(kind & 2));
				assert_true(p.decoder->read(a, &p, &wants, &back, &err));
				double d = difference(&image, &back);
				/* 2 dB below what was asked for, and an eighth for rounding. */
				double most = 255 * 255 / pow(10, (25 + qualities[q] / 4.0 - 2) / 10) + 0.125;
				if (qualities[q] == 101 || w * h <= 4096 ? d != 0 : d > most || d > last * 1.1 + 0.125)
					fail_msg("%ux%u kind %d quality %d: %g, at most %g", w, h, kind, qualities[q], d, most);
				last = d;
				arena_close(a);
			}
		}
}

static void a_full_body_is_said(void **state)
{
	struct arena *a = arena_open();
	struct image image;
	(void)state;
	draw(a, &image, MODEL_RGB, false, 300, 200);
	for (size_t limit = 0; limit < 4000; limit = limit * 2 + 50) {
		struct error err = {0};
		struct buf *out = buf_open(a, limit);
		assert_false(jp2_encoder.write(&image, &(struct encode_options){.jp2_quality = 101}, out, &err));
		assert_int_equal(err.status, 413);
	}
	arena_close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts),
		cmocka_unit_test(colours_at_every_step),
		cmocka_unit_test(samples_lie_on_the_reference_grid),
		cmocka_unit_test(region_is_crop_of_full),
		cmocka_unit_test(estimates_hold),
		cmocka_unit_test(ycc_inside_is_the_same_picture),
		cmocka_unit_test(truncated_files_are_errors),
		cmocka_unit_test(what_is_missing_is_missed),
		cmocka_unit_test(bombs),
		cmocka_unit_test(other_kinds_are_unsupported),
		cmocka_unit_test(io_failures_are_no_damage),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_full_body_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
