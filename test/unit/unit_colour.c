/* SPDX-License-Identifier: BSD-2-Clause */
/* Every model and depth to 8-bit sRGB, against the definitions and against lcms2 at its most exact. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#include <lcms2.h>

#include "image/colour.h"

struct fixture {
	struct arena *a;
	struct error err;
	struct image image;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	f->a = arena_open();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	arena_close(f->a);
	free(f);
	return 0;
}

static void make(struct fixture *f, enum model model, bool alpha, bool deep, uint32_t w, uint32_t h)
{
	f->image = (struct image){0};
	assert_true((deep ? image_alloc_deep : image_alloc)(f->a, &f->image, model, alpha, (struct rect){0, 0, w, h}, &f->err));
}

static void put(struct image *image, int plane, uint32_t x, uint32_t y, unsigned value)
{
	uint8_t *row = image->plane[plane].at + y * image->plane[plane].stride;
	if (image->deep)
		((uint16_t *)row)[x] = (uint16_t)value;
	else
		row[x] = (uint8_t)value;
}

static int got(const struct image *image, int plane, uint32_t x, uint32_t y)
{
	return image->plane[plane].at[y * image->plane[plane].stride + x];
}

static void give_profile(struct fixture *f, cmsHPROFILE profile)
{
	cmsUInt32Number n = 0;
	assert_non_null(profile);
	assert_true(cmsSaveProfileToMem(profile, NULL, &n));
	uint8_t *at = arena_alloc(f->a, n);
	assert_true(cmsSaveProfileToMem(profile, at, &n));
	cmsCloseProfile(profile);
	f->image.icc = at;
	f->image.icc_bytes = n;
}

static cmsHPROFILE rgb_profile(double gamma)
{
	cmsCIExyY white;
	cmsWhitePointFromTemp(&white, 6504);
	cmsCIExyYTRIPLE adobe = {{0.64, 0.33, 1}, {0.21, 0.71, 1}, {0.15, 0.06, 1}};
	cmsToneCurve *curve = cmsBuildGamma(NULL, gamma), *curves[] = {curve, curve, curve};
	cmsHPROFILE p = cmsCreateRGBProfile(&white, &adobe, curves);
	cmsFreeToneCurve(curve);
	return p;
}

/* Cyan, magenta, yellow and black of a machine that makes gray and pale colours. */
static cmsInt32Number plain_inks(const cmsUInt16Number in[], cmsUInt16Number out[], void *unused)
{
	(void)unused;
	double light = (1 - in[3] / 65535.0) * (1 - (in[0] + in[1] + in[2]) / 3.0 / 65535.0);
	cmsCIELab lab = {.L = 100 * light, .a = (in[1] - (double)in[0]) / 65535 * 40 * light,
			 .b = (in[2] - (double)in[0]) / 65535 * 40 * light};
	cmsFloat2LabEncodedV2(out, &lab);
	return TRUE;
}

static cmsHPROFILE cmyk_profile(void)
{
	cmsHPROFILE p = cmsCreateProfilePlaceholder(NULL);
	cmsPipeline *lut = cmsPipelineAlloc(NULL, 4, 3);
	cmsStage *grid = cmsStageAllocCLut16bit(NULL, 9, 4, 3, NULL);
	cmsSetProfileVersion(p, 2.4);
	cmsSetDeviceClass(p, cmsSigOutputClass);
	cmsSetColorSpace(p, cmsSigCmykData);
	cmsSetPCS(p, cmsSigLabData);
	assert_true(cmsStageSampleCLut16bit(grid, plain_inks, NULL, 0));
	assert_true(cmsPipelineInsertStage(lut, cmsAT_BEGIN, grid));
	assert_true(cmsWriteTag(p, cmsSigAToB0Tag, lut) && cmsWriteTag(p, cmsSigAToB1Tag, lut));
	cmsPipelineFree(lut);
	return p;
}

/* The same by lcms2, one pixel at a time. */
static void reference(const struct fixture *f, cmsUInt32Number type, const void *in, uint8_t *out, bool gray)
{
	cmsHPROFILE from = cmsOpenProfileFromMem(f->image.icc, (cmsUInt32Number)f->image.icc_bytes), to = cmsCreate_sRGBProfile();
	if (gray) {
		cmsHPROFILE one = cmsCreateGrayProfile(cmsD50_xyY(), cmsReadTag(to, cmsSigRedTRCTag));
		cmsCloseProfile(to);
		to = one;
	}
	cmsHTRANSFORM t = cmsCreateTransform(from, type, to, gray ? TYPE_GRAY_8 : TYPE_RGB_8, INTENT_RELATIVE_COLORIMETRIC,
					     cmsFLAGS_NOOPTIMIZE | cmsFLAGS_NOCACHE | cmsFLAGS_BLACKPOINTCOMPENSATION);
	assert_non_null(t);
	cmsDoTransform(t, in, out, 1);
	cmsDeleteTransform(t);
	cmsCloseProfile(from);
	cmsCloseProfile(to);
}

static void assert_near(int value, int want, int tolerance)
{
	if (abs(value - want) > tolerance)
		fail_msg("%d, not %d", value, want);
}

static void sixteen_bits_are_rounded(void **state)
{
	struct fixture *f = *state;
	make(f, MODEL_GRAY, true, true, 4096, 16);
	for (unsigned v = 0; v < 65536; v++) {
		put(&f->image, 0, v % 4096, v / 4096, v);
		put(&f->image, 1, v % 4096, v / 4096, 65535 - v);
	}
	assert_true(colour_to_srgb(f->a, &f->image, false, &f->err));
	assert_false(f->image.deep);
	for (unsigned v = 0; v < 65536; v++) {
		assert_int_equal(got(&f->image, 0, v % 4096, v / 4096), (v * 2 + 257) / 514);
		assert_int_equal(got(&f->image, 1, v % 4096, v / 4096), ((65535 - v) * 2 + 257) / 514);
	}
}

static void deep_rgb_by_its_profile(void **state)
{
	struct fixture *f = *state;
	uint16_t pixel[64][3];
	uint8_t want[3];
	make(f, MODEL_RGB, true, true, 64, 1);
	give_profile(f, rgb_profile(2.2));
	for (unsigned x = 0; x < 64; x++)
		for (int c = 0; c < 4; c++) {
			unsigned v = x * 12289u * (unsigned)(c + 1) % 65536;
			if (c < 3)
				pixel[x][c] = (uint16_t)v;
			put(&f->image, c, x, 0, v);
		}
	struct fixture as_read = *f;
	assert_true(colour_to_srgb(f->a, &f->image, false, &f->err));
	assert_int_equal(f->image.icc_bytes, 0);
	for (uint32_t x = 0; x < 64; x++) {
		reference(&as_read, TYPE_RGB_16, pixel[x], want, false);
		for (int c = 0; c < 3; c++)
			assert_near(got(&f->image, c, x, 0), want[c], 1);
		assert_int_equal(got(&f->image, 3, x, 0), (x * 12289u * 4 % 65536 * 2 + 257) / 514);
	}
}

/* Linear light has most of its dark tones below 1/255: by way of 8 bits they would be lost. */
static void deep_shadows_have_no_bands(void **state)
{
	struct fixture *f = *state;
	bool seen[256] = {0};
	make(f, MODEL_RGB, false, true, 8192, 8);
	give_profile(f, rgb_profile(1.0));
	for (unsigned v = 0; v < 65536; v++)
		for (int c = 0; c < 3; c++)
			put(&f->image, c, v % 8192, v / 8192, v);
	assert_true(colour_to_srgb(f->a, &f->image, false, &f->err));
	for (unsigned v = 0; v < 65536; v++)
		seen[got(&f->image, 1, v % 8192, v / 8192)] = true;
	for (int v = 0; v < 256; v++)
		assert_true(seen[v]);
}

static void gray_by_its_profile(void **state)
{
	struct fixture *f = *state;
	for (int deep = 0; deep < 2; deep++) {
		uint8_t want;
		make(f, MODEL_GRAY, false, deep, 256, 1);
		cmsToneCurve *curve = cmsBuildGamma(NULL, 1.0);
		give_profile(f, cmsCreateGrayProfile(cmsD50_xyY(), curve));
		cmsFreeToneCurve(curve);
		for (uint32_t x = 0; x < 256; x++)
			put(&f->image, 0, x, 0, deep ? x * 257 : x);
		struct fixture as_read = *f;
		assert_true(colour_to_srgb(f->a, &f->image, false, &f->err));
		assert_int_equal(f->image.model, MODEL_GRAY);
		for (uint32_t x = 0; x < 256; x++) {
			uint16_t sample = (uint16_t)(x * 257);
			reference(&as_read, TYPE_GRAY_16, &sample, &want, true);
			assert_near(got(&f->image, 0, x, 0), want, 1);
		}
	}
}

static void cmyk_by_its_profile(void **state)
{
	struct fixture *f = *state;
	for (int deep = 0; deep < 2; deep++) {
		uint16_t pixel[256][4];
		uint8_t want[3];
		make(f, MODEL_CMYK, true, deep, 256, 1);
		give_profile(f, cmyk_profile());
		for (uint32_t x = 0; x < 256; x++)
			for (unsigned c = 0; c < 5; c++) {
				unsigned v = x * (37 + 50 * c) % 256;
				if (c < 4)
					pixel[x][c] = (uint16_t)(v * 257);
				put(&f->image, (int)c, x, 0, deep ? v * 257 : v);
			}
		struct fixture as_read = *f;
		assert_true(colour_to_srgb(f->a, &f->image, false, &f->err));
		assert_int_equal(f->image.model, MODEL_RGB);
		assert_int_equal(f->image.n, 3);
		for (uint32_t x = 0; x < 256; x++) {
			reference(&as_read, TYPE_CMYK_16, pixel[x], want, false);
			for (int c = 0; c < 3; c++)
				assert_near(got(&f->image, c, x, 0), want[c], 3);   /* lcms2 lays a grid over four inks */
			assert_int_equal(got(&f->image, 3, x, 0), x * (37 + 50 * 4) % 256);
		}
	}
}

static void cmyk_without_a_profile(void **state)
{
	static const struct {
		unsigned inks[4];
		int rgb[3], tolerance;
	} rows[] = {
		{{0, 0, 0, 0}, {255, 255, 255}, 0},
		{{255, 255, 255, 255}, {0, 0, 0}, 0},
		/* What a measured SWOP profile (ghostscript's default) says. */
		{{0, 0, 0, 255}, {35, 31, 32}, 1},
		{{255, 0, 0, 0}, {0, 174, 239}, 1},
		{{0, 255, 0, 0}, {236, 0, 140}, 36},
		{{0, 0, 255, 0}, {255, 242, 0}, 36},
		{{0, 255, 255, 0}, {237, 28, 36}, 1},
		{{255, 0, 255, 0}, {0, 166, 80}, 1},
		{{255, 255, 0, 0}, {46, 48, 146}, 1},
		{{0, 0, 0, 128}, {147, 149, 152}, 6},
		{{128, 0, 0, 0}, {109, 207, 246}, 8},
		{{0, 128, 0, 0}, {244, 154, 193}, 6},
		{{0, 0, 128, 0}, {255, 247, 153}, 1},
		{{0, 128, 128, 0}, {246, 150, 121}, 2},
		{{128, 0, 128, 0}, {129, 201, 156}, 9},
		{{128, 128, 0, 0}, {135, 129, 189}, 7},
		{{64, 64, 64, 0}, {192, 182, 179}, 6},
	};
	struct fixture *f = *state;
	for (int deep = 0; deep < 2; deep++)
		for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
			make(f, MODEL_CMYK, false, deep, 1, 1);
			for (int c = 0; c < 4; c++)
				put(&f->image, c, 0, 0, rows[i].inks[c] * (deep ? 257 : 1));
			assert_true(colour_as_it_is(f->a, &f->image, false, &f->err));
			assert_int_equal(f->image.model, MODEL_RGB);
			for (int c = 0; c < 3; c++)
				assert_near(got(&f->image, c, 0, 0), rows[i].rgb[c], rows[i].tolerance);
		}
	/* More ink is never brighter. */
	make(f, MODEL_CMYK, false, false, 256, 1);
	for (uint32_t x = 0; x < 256; x++)
		for (int c = 0; c < 4; c++)
			put(&f->image, c, x, 0, x);
	assert_true(colour_to_srgb(f->a, &f->image, true, &f->err));
	assert_int_equal(f->image.model, MODEL_GRAY);
	for (uint32_t x = 1; x < 256; x++)
		assert_true(got(&f->image, 0, x, 0) <= got(&f->image, 0, x - 1, 0));
}

static void lab(void **state)
{
	static const struct {
		double l, a, b;
		int rgb[3];
	} rows[] = {
		{100, 0, 0, {255, 255, 255}},      {0, 0, 0, {0, 0, 0}},           {53.585, 0, 0, {128, 128, 128}},
		{54.29, 80.80, 69.89, {255, 0, 0}}, {87.82, -79.27, 80.99, {0, 255, 0}}, {29.57, 68.30, -112.03, {0, 0, 255}},
	};
	struct fixture *f = *state;
	for (int deep = 0; deep < 2; deep++)
		for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
			double scale = deep ? 257 : 1;
			make(f, MODEL_LAB, false, deep, 1, 1);
			put(&f->image, 0, 0, 0, (unsigned)(rows[i].l * 2.55 * scale + 0.5));
			put(&f->image, 1, 0, 0, (unsigned)((rows[i].a + 128) * scale + 0.5));
			put(&f->image, 2, 0, 0, (unsigned)((rows[i].b + 128) * scale + 0.5));
			assert_true(colour_as_it_is(f->a, &f->image, false, &f->err));
			assert_int_equal(f->image.model, MODEL_RGB);
			for (int c = 0; c < 3; c++)
				assert_near(got(&f->image, c, 0, 0), rows[i].rgb[c], deep ? 1 : 10);   /* a step of 8 bits */
		}
}

/* What cannot be used is as if it was not there. */
static void profiles_that_are_ignored(void **state)
{
	struct fixture *f = *state;
	for (int kind = 0; kind < 4; kind++) {
		make(f, kind == 3 ? MODEL_CMYK : MODEL_RGB, false, false, 1, 1);
		for (int c = 0; c < f->image.n; c++)
			put(&f->image, c, 0, 0, c == 1 ? 255 : 0);
		if (kind == 0) {
			f->image.icc = (const uint8_t *)"no profile at all";
			f->image.icc_bytes = 17;
		} else {
			give_profile(f, kind == 1 ? cmyk_profile() : rgb_profile(2.2));
			f->image.icc_bytes = kind == 2 ? 200 : f->image.icc_bytes;
		}
		assert_true(colour_to_srgb(f->a, &f->image, false, &f->err));
		assert_int_equal(got(&f->image, 0, 0, 0), kind == 3 ? 236 : 0);
		assert_int_equal(got(&f->image, 1, 0, 0), kind == 3 ? 35 : 255);
	}
}

/* More profiles than are kept: what is forgotten is given back (a sanitizer with leak detection says so, or this). */
static void forgotten_profiles_leave_no_memory(void **state)
{
	struct fixture *f = *state;
	struct mallinfo2 before = {0};
	for (int i = 0; i < 80; i++) {
		make(f, MODEL_RGB, false, true, 1, 1);
		give_profile(f, rgb_profile(1.1 + i / 100.0));
		assert_true(colour_to_srgb(f->a, &f->image, false, &f->err));
		if (i == 19)
			before = mallinfo2();
	}
	struct mallinfo2 after = mallinfo2();
	assert_true(after.hblkhd + after.uordblks < before.hblkhd + before.uordblks + (8u << 20));
}

static void values_and_profile_are_kept(void **state)
{
	struct fixture *f = *state;
	make(f, MODEL_RGB, false, true, 1, 1);
	give_profile(f, rgb_profile(2.2));
	for (int c = 0; c < 3; c++)
		put(&f->image, c, 0, 0, (unsigned)c * 100 * 257);
	assert_true(colour_as_it_is(f->a, &f->image, false, &f->err));
	assert_true(f->image.icc_bytes > 0);
	for (int c = 0; c < 3; c++)
		assert_int_equal(got(&f->image, c, 0, 0), c * 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(sixteen_bits_are_rounded), TEST(deep_rgb_by_its_profile), TEST(deep_shadows_have_no_bands),
		TEST(gray_by_its_profile), TEST(cmyk_by_its_profile), TEST(cmyk_without_a_profile), TEST(lab),
		TEST(profiles_that_are_ignored), TEST(values_and_profile_are_kept),
		TEST(forgotten_profiles_leave_no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
