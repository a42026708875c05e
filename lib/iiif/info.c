/* SPDX-License-Identifier: BSD-2-Clause */
#include "info.h"

#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#define PROTOCOL "http://iiif.io/api/image"
#define MAX_FACTORS 32

/* cJSON prints numbers as doubles: exact to 2^53, far above any side or area. */

static void drop_json(void *what)
{
	cJSON_Delete(what);
}

static bool is_blank(struct str s)
{
	while (s.n && strchr(" \t\r\n", s.at[0]) && s.at[0]) {
		s.at++;
		s.n--;
	}
	return s.n == 0;
}

static bool parse_object(struct arena *a, struct str text, cJSON **out, struct error *err)
{
	*out = NULL;
	if (!text.n)
		return true;
	/* cJSON itself takes any bytes in strings, and anything behind the value. */
	const char *end = text.at;
	*out = cJSON_ParseWithLengthOpts(text.at, text.n, &end, false);
	arena_defer(a, drop_json, *out);
	struct str rest = {end, text.n - (size_t)(end - text.at)};
	if (!cJSON_IsObject(*out) || !is_blank(rest) || !str_is_utf8(text))
		return fail(err, 500, REASON_CONFIG, "The description of this image cannot be used.",
			    "info text or sidecar is no JSON object");
	return true;
}

static bool take_limit(const cJSON *o, const char *key, uint64_t *limit, struct error *err)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
	if (!item)
		return true;
	double v = cJSON_GetNumberValue(item);
	if (!(v >= 0 && v <= 9e15) || v != (double)(uint64_t)v)
		return fail(err, 500, REASON_CONFIG, "The description of this image cannot be used.",
			    "%s in an info text or sidecar is no whole number", key);
	*limit = (uint64_t)v;
	return true;
}

bool info_limits(struct str json, struct limits *limits, struct error *err)
{
	struct arena *a = arena_open();
	cJSON *o;
	bool ok = parse_object(a, json, &o, err) &&
		  (!o || (take_limit(o, "max_width", &limits->max_w, err) &&
			  take_limit(o, "max_height", &limits->max_h, err) &&
			  take_limit(o, "max_area", &limits->max_area, err)));
	arena_close(a);
	return ok;
}

static void add_words(cJSON *to, const char *key, const char *const *words, int n)
{
	if (n)
		cJSON_AddItemToObject(to, key, cJSON_CreateStringArray(words, n));
}

static void add_limits(cJSON *to, const struct limits *l)
{
	if (l->max_w)
		cJSON_AddNumberToObject(to, "maxWidth", (double)l->max_w);
	if (l->max_h && l->max_h != l->max_w)
		cJSON_AddNumberToObject(to, "maxHeight", (double)l->max_h);
	if (l->max_area)
		cJSON_AddNumberToObject(to, "maxArea", (double)l->max_area);
}

struct tiling {
	uint32_t w, h;
	int factors;                   /* 1, 2, 4 ... */
};

static uint32_t ceil_shift(uint32_t side, int k)
{
	return (uint32_t)(((uint64_t)side + (UINT64_C(1) << k) - 1) >> k);
}

static struct tiling make_tiling(const struct info *in)
{
	const struct facts *f = in->facts;
	struct tiling t = {f->tile_w, f->tile_h, 1};
	if (!t.w || !t.h)
		t.w = t.h = in->tile_size;
	while ((t.w < in->min_tile_size || t.h < in->min_tile_size) && t.w < (1 << 15) && t.h < (1 << 15)) {
		t.w *= 2;
		t.h *= 2;
	}
	while (t.factors < MAX_FACTORS - 1 && (ceil_shift(f->w, t.factors - 1) > t.w ||
					       ceil_shift(f->h, t.factors - 1) > t.h))
		t.factors++;
	return t;
}

static void add_sizes(cJSON *to, const struct info *in, const struct tiling *t)
{
	cJSON *sizes = cJSON_CreateArray();
	for (int k = t->factors - 1; k > 0; k--) {
		uint32_t w = ceil_shift(in->facts->w, k), h = ceil_shift(in->facts->h, k);
		if (!limits_allow(&in->limits, w, h))
			continue;
		cJSON *size = cJSON_CreateObject();
		cJSON_AddNumberToObject(size, "width", w);
		cJSON_AddNumberToObject(size, "height", h);
		cJSON_AddItemToArray(sizes, size);
	}
	if (cJSON_GetArraySize(sizes))
		cJSON_AddItemToObject(to, "sizes", sizes);
	else
		cJSON_Delete(sizes);
}

/* Tiles too lie within the limits, even where the image is smaller than one. */
static void add_tiles(cJSON *to, const struct info *in, const struct tiling *t)
{
	if (!limits_allow(&in->limits, t->w, t->h))
		return;
	cJSON *tile = cJSON_CreateObject();
	cJSON_AddNumberToObject(tile, "width", t->w);
	if (t->h != t->w)
		cJSON_AddNumberToObject(tile, "height", t->h);
	cJSON *factors = cJSON_AddArrayToObject(tile, "scaleFactors");
	for (int k = 0; k < t->factors; k++)
		cJSON_AddItemToArray(factors, cJSON_CreateNumber((double)(UINT64_C(1) << k)));
	cJSON_AddItemToArray(cJSON_AddArrayToObject(to, "tiles"), tile);
}

/* Formats beyond the level's own, jpg and png. */
static int extra_formats(const struct info *in, const char *names[FORMATS])
{
	int n = 0;
	for (size_t i = 0; i < in->n_formats; i++)
		if (in->formats[i] != FORMAT_JPG && in->formats[i] != FORMAT_PNG)
			names[n++] = format_name(in->formats[i]);
	return n;
}

/* 3.0 wants every quality besides default listed; in 2.1 bitonal is the level's. */
static int qualities(const struct info *in, const char *words[])
{
	int n = 0;
	if (!in->facts->gray)
		words[n++] = "color";
	words[n++] = "gray";
	if (in->bitonal && in->version == 3)
		words[n++] = "bitonal";
	return n;
}

static void add_offer_3(cJSON *to, const struct info *in)
{
	const char *words[16];
	int n = extra_formats(in, words);
	add_words(to, "extraFormats", words, n);

	add_words(to, "extraQualities", words, qualities(in, words));

	n = 0;
	words[n++] = "canonicalLinkHeader";
	words[n++] = "mirroring";
	words[n++] = "profileLinkHeader";
	if (in->any_rotation)
		words[n++] = "rotationArbitrary";
	if (in->limits.upscale)
		words[n++] = "sizeUpscaling";
	add_words(to, "extraFeatures", words, n);
}

static void add_profile_2(cJSON *to, const struct info *in)
{
	const char *words[16];
	cJSON *profile = cJSON_AddArrayToObject(to, "profile"), *offer = cJSON_CreateObject();
	cJSON_AddItemToArray(profile, cJSON_CreateString("http://iiif.io/api/image/2/level2.json"));
	cJSON_AddItemToArray(profile, offer);

	int n = extra_formats(in, words);
	add_words(offer, "formats", words, n);
	add_words(offer, "qualities", words, qualities(in, words));
	add_limits(offer, &in->limits);
	n = 0;
	words[n++] = "canonicalLinkHeader";
	words[n++] = "mirroring";
	words[n++] = "profileLinkHeader";
	words[n++] = "regionSquare";
	if (in->any_rotation)
		words[n++] = "rotationArbitrary";
	if (in->limits.upscale)
		words[n++] = "sizeAboveFull";
	add_words(offer, "supports", words, n);
}

static bool is_word(const char *key, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(key, *words) == 0)
			return true;
	return false;
}

/* Whether an operator's key belongs into this version, and under which name. */
static const char *operator_key(const char *key, int version)
{
	static const char *const own[] = {
		"@context", "id", "@id", "type", "@type", "protocol", "profile", "width", "height",
		"maxWidth", "maxHeight", "maxArea", "sizes", "tiles", "preferredFormats", "extraFormats",
		"extraQualities", "extraFeatures", "max_width", "max_height", "max_area", NULL};
	static const char *const only_2[] = {"attribution", "logo", NULL};
	static const char *const only_3[] = {"partOf", "seeAlso", NULL};

	if (is_word(key, own) || is_word(key, version == 2 ? only_3 : only_2))
		return NULL;
	if (strcmp(key, "license") == 0 || strcmp(key, "rights") == 0)
		return version == 2 ? "license" : "rights";
	return key;
}

/* Keys whose value 3.0 wants as an array. */
static bool is_list_3(const char *key)
{
	static const char *const lists[] = {"service", "partOf", "seeAlso", NULL};
	return is_word(key, lists);
}

/* Whether the version allows the value; empty arrays are never written. */
static bool fits(const char *key, const cJSON *value, int version)
{
	if (version == 3 && strcmp(key, "rights") == 0)
		return cJSON_IsString(value);
	if (cJSON_IsArray(value))
		return cJSON_GetArraySize(value) > 0;
	return version == 2 || !is_list_3(key) || cJSON_IsObject(value);
}

static void add_operator_keys(cJSON *to, const cJSON *from, int version)
{
	const cJSON *item;
	cJSON_ArrayForEach(item, from)
	{
		const char *key = operator_key(item->string, version);
		if (!key || !fits(key, item, version))
			continue;
		/* A key under the version's own name wins over its stand-in. */
		if (strcmp(key, item->string) != 0 && cJSON_GetObjectItemCaseSensitive(from, key))
			continue;
		cJSON *value = cJSON_Duplicate(item, true);
		if (version == 3 && is_list_3(key) && cJSON_IsObject(value)) {
			cJSON *list = cJSON_CreateArray();
			cJSON_AddItemToArray(list, value);
			value = list;
		}
		cJSON_DeleteItemFromObjectCaseSensitive(to, key);
		cJSON_AddItemToObject(to, key, value);
	}
}

static bool is_offered(const struct info *in, const char *format)
{
	for (size_t i = 0; i < in->n_formats; i++)
		if (strcmp(format, format_name(in->formats[i])) == 0)
			return true;
	return false;
}

/* Only what the server writes may be preferred. */
static void add_preferred_formats(cJSON *to, const struct info *in)
{
	const char *words[FORMATS];
	int n = 0;
	for (const char *const *word = in->preferred_formats; word && *word && n < FORMATS; word++)
		if (is_offered(in, *word))
			words[n++] = *word;
	add_words(to, "preferredFormats", words, n);
}

/* The annex's service for physical dimensions; 3.0 wants id and type in each service. */
static void add_scale(cJSON *to, const struct info *in)
{
	cJSON *service = cJSON_CreateObject();
	char scale[32];
	cJSON_AddStringToObject(service, "@context", "http://iiif.io/api/annex/services/physdim/1/context.json");
	if (in->version == 3) {
		cJSON_AddStringToObject(service, "@id", "http://iiif.io/api/annex/services/physdim");
		cJSON_AddStringToObject(service, "@type", "PhysicalDimensions");
	}
	cJSON_AddStringToObject(service, "profile", "http://iiif.io/api/annex/services/physdim");
	/* Six digits: no side is better known. */
	snprintf(scale, sizeof scale, "%.6g", 1 / in->pixels_per_cm);
	cJSON_AddRawToObject(service, "physicalScale", scale);
	cJSON_AddStringToObject(service, "physicalUnits", "cm");
	if (in->version == 3)
		cJSON_AddItemToArray(cJSON_AddArrayToObject(to, "service"), service);
	else
		cJSON_AddItemToObject(to, "service", service);
}

static void add_document(cJSON *doc, const struct info *in)
{
	bool v3 = in->version == 3;
	struct tiling tiling = make_tiling(in);

	cJSON_AddStringToObject(doc, "@context", v3 ? "http://iiif.io/api/image/3/context.json"
						    : "http://iiif.io/api/image/2/context.json");
	cJSON_AddStringToObject(doc, v3 ? "id" : "@id", in->id);
	if (v3)
		cJSON_AddStringToObject(doc, "type", "ImageService3");
	cJSON_AddStringToObject(doc, "protocol", PROTOCOL);
	if (v3)
		cJSON_AddStringToObject(doc, "profile", "level2");
	cJSON_AddNumberToObject(doc, "width", in->facts->w);
	cJSON_AddNumberToObject(doc, "height", in->facts->h);
	if (v3)
		add_limits(doc, &in->limits);
	add_sizes(doc, in, &tiling);
	add_tiles(doc, in, &tiling);
	if (v3) {
		add_preferred_formats(doc, in);
		add_offer_3(doc, in);
	} else {
		add_profile_2(doc, in);
	}
	if (in->pixels_per_cm > 0)
		add_scale(doc, in);
	if (in->rights && *in->rights)
		cJSON_AddStringToObject(doc, v3 ? "rights" : "license", in->rights);
}

bool info_write(struct arena *a, const struct info *in, struct buf *out, struct error *err)
{
	cJSON *rule, *sidecar;
	if (!parse_object(a, in->rule_json, &rule, err) || !parse_object(a, in->sidecar_json, &sidecar, err))
		return false;
	cJSON *doc = cJSON_CreateObject();
	arena_defer(a, drop_json, doc);
	add_document(doc, in);
	add_operator_keys(doc, rule, in->version);
	add_operator_keys(doc, sidecar, in->version);

	char *text = cJSON_PrintUnformatted(doc);
	if (!text)
		return fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.",
			    "no memory for info.json");
	buf_text(out, text);
	buf_text(out, "\n");
	free(text);
	return !out->failed || fail(err, 500, REASON_CONFIG, "The description of this image cannot be used.",
				    "info.json is too large");
}
