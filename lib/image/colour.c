/* SPDX-License-Identifier: BSD-2-Clause */
#include "colour.h"

#include <stdlib.h>

#include <lcms2.h>

#include "../base/hash.h"
#include "resample.h"

#define GRID 9
#define SRGB_TOLERANCE 2
#define KEPT_TRANSFORMS 16
#define ROW_PIXELS 4096

static uint8_t clamp(int v)
{
	return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
}

/* The JFIF matrices with 16 fraction bits. */
#define FIX(x) ((int)((x) * 65536 + ((x) < 0 ? -0.5 : 0.5)))
#define HALF 32768

void colour_ycc_to_rgb(struct image *image)
{
	struct plane *p = image->plane;
	for (uint32_t y = 0; y < p[0].h; y++) {
		uint8_t *a = p[0].at + y * p[0].stride, *b = p[1].at + y * p[1].stride,
			*c = p[2].at + y * p[2].stride;
		for (uint32_t x = 0; x < p[0].w; x++) {
			int l = (a[x] << 16) + HALF, cb = b[x] - 128, cr = c[x] - 128;
			a[x] = clamp((l + FIX(1.402) * cr) >> 16);
			b[x] = clamp((l - FIX(0.344136286) * cb - FIX(0.714136286) * cr) >> 16);
			c[x] = clamp((l + FIX(1.772) * cb) >> 16);
		}
	}
	image->model = MODEL_RGB;
}

uint8_t colour_luma(uint8_t r, uint8_t g, uint8_t b)
{
	return (uint8_t)((FIX(0.299) * r + FIX(0.587) * g + FIX(0.114) * b + HALF) >> 16);
}

void colour_rgb_to_ycc(struct image *image)
{
	struct plane *p = image->plane;
	for (uint32_t y = 0; y < p[0].h; y++) {
		uint8_t *a = p[0].at + y * p[0].stride, *b = p[1].at + y * p[1].stride,
			*c = p[2].at + y * p[2].stride;
		for (uint32_t x = 0; x < p[0].w; x++) {
			uint8_t r = a[x], g = b[x], l = c[x];
			a[x] = colour_luma(r, g, l);
			b[x] = clamp(((FIX(-0.168735892) * r + FIX(-0.331264108) * g + FIX(0.5) * l + HALF - 1) >> 16) + 128);
			c[x] = clamp(((FIX(0.5) * r + FIX(-0.418687589) * g + FIX(-0.081312411) * l + HALF - 1) >> 16) + 128);
		}
	}
	image->model = MODEL_YCC;
}

static void keep_luma(struct image *image)
{
	struct plane *p = image->plane;
	for (uint32_t y = 0; y < p[0].h; y++) {
		uint8_t *a = p[0].at + y * p[0].stride, *b = p[1].at + y * p[1].stride,
			*c = p[2].at + y * p[2].stride;
		for (uint32_t x = 0; x < p[0].w; x++)
			a[x] = colour_luma(a[x], b[x], c[x]);
	}
	image->model = MODEL_GRAY;
	image->n = 1;
	p[1] = p[3];
}

/* Chroma on luma's own grid, then RGB. */
static bool to_rgb(struct arena *a, struct image *image, struct error *err)
{
	const struct plane *l = &image->plane[0];
	struct axis across = {l->x, l->dx, l->w}, down = {l->y, l->dy, l->h};
	for (int i = 1; i < 3; i++) {
		struct plane *p = &image->plane[i], up = *l;
		if (p->w == l->w && p->h == l->h && p->dx == l->dx && p->dy == l->dy)
			continue;
		if (!plane_alloc(a, &up, l->w, l->h, err) ||
		    !resample(a, p, across, down, FILTER_TRIANGLE, &up, err))
			return false;
		arena_drop_block(a, p->at);
		*p = up;
	}
	colour_ycc_to_rgb(image);
	return true;
}

struct conversion {
	char hash[33];
	bool used;
	bool gray;                     /* the profile's model */
	cmsHTRANSFORM transform;       /* NULL: the samples are sRGB as they are */
};

/* Whether a transform changes no colour by more than the tolerance. */
static bool is_identity(cmsHTRANSFORM t, bool gray)
{
	uint8_t in[3], out[3];
	int steps = gray ? 256 : GRID, planes = gray ? 1 : 3, grid = gray ? 1 : GRID;
	for (int i = 0; i < steps; i++)
		for (int j = 0; j < grid; j++)
			for (int k = 0; k < grid; k++) {
				in[0] = (uint8_t)(i * 255 / (steps - 1));
				in[1] = (uint8_t)(j * 255 / (GRID - 1));
				in[2] = (uint8_t)(k * 255 / (GRID - 1));
				cmsDoTransform(t, in, out, 1);
				for (int c = 0; c < planes; c++)
					if (abs(in[c] - out[c]) > SRGB_TOLERANCE)
						return false;
			}
	return true;
}

static cmsHPROFILE gray_srgb(void)
{
	cmsHPROFILE srgb = cmsCreate_sRGBProfile();
	cmsHPROFILE gray = cmsCreateGrayProfile(cmsD50_xyY(), cmsReadTag(srgb, cmsSigRedTRCTag));
	cmsCloseProfile(srgb);
	return gray;
}

/* NULL where there is nothing to convert, also for profiles that make no sense. */
static cmsHTRANSFORM make_transform(const struct image *image, bool gray)
{
	cmsHPROFILE from = cmsOpenProfileFromMem(image->icc, (cmsUInt32Number)image->icc_bytes);
	cmsColorSpaceSignature space = from ? cmsGetColorSpace(from) : 0;
	cmsHTRANSFORM t = NULL;

	if (space == (gray ? cmsSigGrayData : cmsSigRgbData)) {
		cmsHPROFILE to = gray ? gray_srgb() : cmsCreate_sRGBProfile();
		cmsUInt32Number pixel = gray ? TYPE_GRAY_8 : TYPE_RGB_8;
		t = cmsCreateTransform(from, pixel, to, pixel, INTENT_RELATIVE_COLORIMETRIC,
				       cmsFLAGS_BLACKPOINTCOMPENSATION | cmsFLAGS_NOCACHE);
		cmsCloseProfile(to);
	}
	if (from)
		cmsCloseProfile(from);
	if (t && is_identity(t, gray)) {
		cmsDeleteTransform(t);
		t = NULL;
	}
	return t;
}

static const struct conversion *find_conversion(const struct image *image)
{
	static struct conversion kept[KEPT_TRANSFORMS];
	static unsigned next;
	bool gray = image->model == MODEL_GRAY;
	char hash[33];

	hash_hex((struct str){(const char *)image->icc, image->icc_bytes}, hash);
	for (unsigned i = 0; i < KEPT_TRANSFORMS; i++)
		if (kept[i].used && kept[i].gray == gray && memcmp(kept[i].hash, hash, sizeof hash) == 0)
			return &kept[i];

	struct conversion *c = &kept[next++ % KEPT_TRANSFORMS];
	if (c->transform)
		cmsDeleteTransform(c->transform);
	*c = (struct conversion){.used = true, .gray = gray, .transform = make_transform(image, gray)};
	memcpy(c->hash, hash, sizeof hash);
	return c;
}

static void convert_rows(struct image *image, cmsHTRANSFORM t)
{
	uint8_t run[ROW_PIXELS * 3];
	struct plane *p = image->plane;
	size_t n = (size_t)image->n;

	for (uint32_t y = 0; y < p[0].h; y++)
		for (uint32_t x = 0; x < p[0].w; x += ROW_PIXELS) {
			uint32_t m = p[0].w - x < ROW_PIXELS ? p[0].w - x : ROW_PIXELS;
			for (size_t c = 0; c < n; c++)
				for (uint32_t i = 0; i < m; i++)
					run[i * n + c] = p[c].at[y * p[c].stride + x + i];
			cmsDoTransform(t, run, run, m);
			for (size_t c = 0; c < n; c++)
				for (uint32_t i = 0; i < m; i++)
					p[c].at[y * p[c].stride + x + i] = run[i * n + c];
		}
}

bool colour_to_srgb(struct arena *a, struct image *image, bool gray, struct error *err)
{
	if (image->icc_bytes) {
		const struct conversion *c = find_conversion(image);
		if (c->transform) {
			if (image->model == MODEL_YCC && !to_rgb(a, image, err))
				return false;
			convert_rows(image, c->transform);
		}
		image->icc = NULL;
		image->icc_bytes = 0;
	}
	if (gray && image->model == MODEL_RGB)
		keep_luma(image);
	if (gray && image->model == MODEL_YCC) {
		image->model = MODEL_GRAY;
		image->n = 1;
	}
	return true;
}

uint64_t colour_memory(bool has_profile, uint64_t samples)
{
	return has_profile ? samples * 3 : 0;
}
