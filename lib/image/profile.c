/* SPDX-License-Identifier: BSD-2-Clause */
#include "profile.h"

#include <math.h>
#include <stdlib.h>

#include <lcms2.h>

#include "../base/hash.h"
#include "../base/log.h"

#define GRID 9
#define SRGB_TOLERANCE 2
#define KEPT_CONVERSIONS 16
#define FLAGS (cmsFLAGS_BLACKPOINTCOMPENSATION | cmsFLAGS_NOCACHE)

/*
 * 16-bit RGB by three curves and a matrix. lcms2 goes that way with 8 bits only, and lays a grid over deeper samples, which is
 * off by up to 17 where colours are cut at sRGB's edge.
 */
struct matrix {
	float light[3][65536];         /* of samples */
	float to_srgb[3][3];
	uint8_t encoded[65536];        /* of light in sRGB */
};

struct conversion {
	char hash[33];
	bool used, deep;
	enum model model;              /* of the samples */
	cmsHTRANSFORM transform;       /* colours; NULL: the samples are right as they are */
	uint8_t *curve;                /* gray, by sample; NULL likewise */
	struct matrix *matrix;         /* stands for transform where it is not NULL */
};

static const struct space {
	cmsColorSpaceSignature profile;
	cmsUInt32Number pixel;         /* lcms2's word for its samples, but for their bytes; gray goes by a table */
} spaces[] = {
	[MODEL_GRAY] = {cmsSigGrayData, 0},
	[MODEL_RGB] = {cmsSigRgbData, COLORSPACE_SH(PT_RGB) | CHANNELS_SH(3)},
	[MODEL_CMYK] = {cmsSigCmykData, COLORSPACE_SH(PT_CMYK) | CHANNELS_SH(4)},
	[MODEL_LAB] = {cmsSigLabData, COLORSPACE_SH(PT_Lab) | CHANNELS_SH(3)},
};

/* Whether a transform of 8-bit RGB changes no colour by more than the tolerance. */
static bool is_identity(cmsHTRANSFORM t)
{
	uint8_t in[3], out[3];
	for (int i = 0; i < GRID * GRID * GRID; i++) {
		in[0] = (uint8_t)(i % GRID * 255 / (GRID - 1));
		in[1] = (uint8_t)(i / GRID % GRID * 255 / (GRID - 1));
		in[2] = (uint8_t)(i / GRID / GRID * 255 / (GRID - 1));
		cmsDoTransform(t, in, out, 1);
		for (int c = 0; c < 3; c++)
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

static cmsHTRANSFORM make_transform(cmsHPROFILE from, enum model model, bool deep)
{
	cmsHPROFILE to = cmsCreate_sRGBProfile();
	/* A grid over Lab would be coarse where sRGB has many colours. */
	cmsUInt32Number exactness = model == MODEL_LAB ? cmsFLAGS_NOOPTIMIZE : cmsFLAGS_HIGHRESPRECALC;
	cmsHTRANSFORM t = cmsCreateTransform(from, spaces[model].pixel | BYTES_SH(deep ? 2 : 1), to, TYPE_RGB_8,
					     INTENT_RELATIVE_COLORIMETRIC, FLAGS | exactness);
	cmsCloseProfile(to);
	return t;
}

/* A table: lcms2's own of so few points is wrong in the shadows. */
static uint8_t *make_curve(cmsHPROFILE from, bool deep)
{
	size_t n = deep ? 65536 : 256;
	cmsHPROFILE to = gray_srgb();
	cmsHTRANSFORM t = cmsCreateTransform(from, TYPE_GRAY_16, to, TYPE_GRAY_8, INTENT_RELATIVE_COLORIMETRIC,
					     FLAGS | cmsFLAGS_NOOPTIMIZE);
	uint8_t *curve = t ? malloc(n) : NULL;
	cmsCloseProfile(to);
	for (size_t i = 0; curve && i < n; i++) {
		uint16_t sample = (uint16_t)(deep ? i : i * 257);
		cmsDoTransform(t, &sample, &curve[i], 1);
	}
	if (t)
		cmsDeleteTransform(t);
	return curve;
}

static bool is_straight(const uint8_t *curve, bool deep)
{
	for (int i = 0; i < 256; i++)
		if (abs(curve[deep ? i * 257 : i] - i) > SRGB_TOLERANCE)
			return false;
	return true;
}

static void note(const char *what, const struct conversion *c, size_t bytes)
{
	log_event("warn", "a profile %s is ignored: %zu bytes, SHA-256 %.16s...", what, bytes, c->hash);
}

static void open_gray(struct conversion *c, cmsHPROFILE from, size_t bytes)
{
	c->curve = make_curve(from, c->deep);
	if (!c->curve) {
		note("that is broken", c, bytes);
	} else if (is_straight(c->curve, c->deep)) {
		free(c->curve);
		c->curve = NULL;
	}
}

/* The three colorants, as columns. */
static bool read_colorants(cmsHPROFILE p, double m[3][3])
{
	static const cmsTagSignature tags[] = {cmsSigRedColorantTag, cmsSigGreenColorantTag, cmsSigBlueColorantTag};
	for (int i = 0; i < 3; i++) {
		const cmsCIEXYZ *xyz = cmsReadTag(p, tags[i]);
		if (!xyz)
			return false;
		m[0][i] = xyz->X;
		m[1][i] = xyz->Y;
		m[2][i] = xyz->Z;
	}
	return true;
}

static double cofactor(const double m[3][3], int i, int j)
{
	int a = (i + 1) % 3, b = (i + 2) % 3, c = (j + 1) % 3, d = (j + 2) % 3;
	return m[a][c] * m[b][d] - m[a][d] * m[b][c];
}

/* The inverse of one times the other. */
static void divide(const double by[3][3], const double m[3][3], float out[3][3])
{
	double determinant = 0;
	for (int j = 0; j < 3; j++)
		determinant += by[0][j] * cofactor(by, 0, j);
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++) {
			double sum = 0;
			for (int k = 0; k < 3; k++)
				sum += cofactor(by, k, i) * m[k][j];
			out[i][j] = (float)(sum / determinant);
		}
}

static bool read_curves(cmsHPROFILE p, struct matrix *m)
{
	static const cmsTagSignature tags[] = {cmsSigRedTRCTag, cmsSigGreenTRCTag, cmsSigBlueTRCTag};
	for (int c = 0; c < 3; c++) {
		const cmsToneCurve *curve = cmsReadTag(p, tags[c]);
		for (int i = 0; curve && i < 65536; i++)
			m->light[c][i] = cmsEvalToneCurveFloat(curve, (float)i / 65535);
		if (!curve)
			return false;
	}
	return true;
}

/* NULL where the profile is not so simple. */
static struct matrix *make_matrix(cmsHPROFILE from)
{
	double colorants[3][3], own[3][3];
	struct matrix *m = malloc(sizeof *m);
	cmsHPROFILE srgb = cmsCreate_sRGBProfile();
	bool ok = m && cmsIsMatrixShaper(from) && !cmsIsCLUT(from, INTENT_RELATIVE_COLORIMETRIC, LCMS_USED_AS_INPUT) &&
		  read_colorants(from, colorants) && read_colorants(srgb, own) && read_curves(from, m);
	cmsCloseProfile(srgb);
	if (!ok) {
		free(m);
		return NULL;
	}
	divide(own, colorants, m->to_srgb);
	for (int i = 0; i < 65536; i++) {
		double light = i / 65535.0;
		double value = light <= 0.0031308 ? light * 12.92 : 1.055 * pow(light, 1 / 2.4) - 0.055;
		m->encoded[i] = (uint8_t)(value * 255 + 0.5);
	}
	return m;
}

static void convert_by_matrix(const struct matrix *m, const uint16_t *in, uint8_t *out, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++, in += 3, out += 3) {
		float r = m->light[0][in[0]], g = m->light[1][in[1]], b = m->light[2][in[2]];
		for (int c = 0; c < 3; c++) {
			float v = m->to_srgb[c][0] * r + m->to_srgb[c][1] * g + m->to_srgb[c][2] * b;
			/* In this order what is no number is black. */
			out[c] = m->encoded[v > 0 ? v < 1 ? (int)(v * 65535 + 0.5f) : 65535 : 0];
		}
	}
}

static void open_colour(struct conversion *c, cmsHPROFILE from, size_t bytes)
{
	cmsHTRANSFORM t = make_transform(from, c->model, false);
	if (!t) {
		note("that is broken", c, bytes);
	} else if (c->model == MODEL_RGB && is_identity(t)) {
		cmsDeleteTransform(t);
	} else if (c->deep) {
		cmsDeleteTransform(t);
		c->matrix = c->model == MODEL_RGB ? make_matrix(from) : NULL;
		c->transform = c->matrix ? NULL : make_transform(from, c->model, true);
	} else {
		c->transform = t;
	}
}

static void open_profile(struct conversion *c, const struct image *image)
{
	cmsHPROFILE from = cmsOpenProfileFromMem(image->icc, (cmsUInt32Number)image->icc_bytes);
	if (!from)
		note("that cannot be read", c, image->icc_bytes);
	else if (cmsGetColorSpace(from) != spaces[c->model].profile)
		note("for another kind of image", c, image->icc_bytes);
	else
		(c->model == MODEL_GRAY ? open_gray : open_colour)(c, from, image->icc_bytes);
	if (from)
		cmsCloseProfile(from);
}

static void open_lab(struct conversion *c)
{
	cmsHPROFILE lab = cmsCreateLab4Profile(NULL);
	c->transform = make_transform(lab, MODEL_LAB, c->deep);
	cmsCloseProfile(lab);
}

static bool is_for(const struct conversion *c, const struct conversion *wanted)
{
	return c->used && c->model == wanted->model && c->deep == wanted->deep &&
	       memcmp(c->hash, wanted->hash, sizeof c->hash) == 0;
}

static bool does_something(const struct conversion *c)
{
	return c->transform || c->curve || c->matrix;
}

static void forget(struct conversion *c)
{
	if (c->transform)
		cmsDeleteTransform(c->transform);
	free(c->curve);
	free(c->matrix);
}

const struct conversion *profile_find(const struct image *image)
{
	static struct conversion kept[KEPT_CONVERSIONS];
	static unsigned next;
	struct conversion wanted = {.used = true, .deep = image->deep,
				    .model = image->model == MODEL_YCC ? MODEL_RGB : image->model};
	bool lab = wanted.model == MODEL_LAB;

	if (!image->icc_bytes && !lab)
		return NULL;
	if (!lab && image->icc_hash)
		memcpy(wanted.hash, image->icc_hash, sizeof wanted.hash);
	else if (!lab)
		hash_hex((struct str){(const char *)image->icc, image->icc_bytes}, wanted.hash);
	for (unsigned i = 0; i < KEPT_CONVERSIONS; i++)
		if (is_for(&kept[i], &wanted))
			return does_something(&kept[i]) ? &kept[i] : NULL;

	struct conversion *c = &kept[next++ % KEPT_CONVERSIONS];
	forget(c);
	if (lab)
		open_lab(&wanted);
	else
		open_profile(&wanted, image);
	*c = wanted;
	return does_something(c) ? c : NULL;
}

void profile_convert(const struct conversion *c, const void *in, uint8_t *out, uint32_t n)
{
	if (c->transform)
		cmsDoTransform(c->transform, in, out, n);
	else if (c->matrix)
		convert_by_matrix(c->matrix, in, out, n);
	else
		for (uint32_t i = 0; i < n; i++)
			out[i] = c->curve[c->deep ? ((const uint16_t *)in)[i] : ((const uint8_t *)in)[i]];
}

static bool is_sane(const struct encoding *e)
{
	for (int i = 0; i < 8; i++)
		if (!(e->xy[i / 2][i % 2] >= 0 && e->xy[i / 2][i % 2] <= 1))
			return false;
	return e->xy[3][1] > 0 && e->curve[0] > .05 && e->curve[0] < 20;
}

static cmsHPROFILE build(enum model model, const struct encoding *e)
{
	cmsToneCurve *curve = cmsBuildParametricToneCurve(NULL, 4, e->curve), *all[] = {curve, curve, curve};
	cmsCIExyY white = {e->xy[3][0], e->xy[3][1], 1};
	cmsCIExyYTRIPLE colours = {{e->xy[0][0], e->xy[0][1], 1}, {e->xy[1][0], e->xy[1][1], 1},
				   {e->xy[2][0], e->xy[2][1], 1}};
	cmsHPROFILE made = model == MODEL_GRAY ? cmsCreateGrayProfile(cmsD50_xyY(), curve)
					       : cmsCreateRGBProfile(&white, &colours, all);
	cmsFreeToneCurve(curve);
	return made;
}

bool profile_make(struct arena *a, enum model model, const struct encoding *e, struct str *icc, struct error *err)
{
	static const uint8_t date[12] = {2000 >> 8, 2000 & 255, 0, 1, 0, 1};
	cmsHPROFILE made = is_sane(e) ? build(model, e) : NULL;
	cmsUInt32Number n = 0;
	uint8_t *at = NULL;
	*icc = (struct str){0};
	if (!made || !cmsSaveProfileToMem(made, NULL, &n))
		log_event("warn", "primaries that make no sense are ignored");
	else if ((at = arena_block(a, n, err)) && cmsSaveProfileToMem(made, at, &n)) {
		/* When it was made is no part of what it says. */
		memcpy(at + 24, date, sizeof date);
		*icc = (struct str){(char *)at, n};
	}
	if (made)
		cmsCloseProfile(made);
	return at || !n;
}
