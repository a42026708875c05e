/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IIIF_REQUEST_H
#define IIIF_REQUEST_H

#include "../base/str.h"

/*
 * A request URI in IIIF's own words. Pure: no image is known yet. request_parse checks the grammar
 * of both versions of the Image API (digest 1 to 4); values against the image are geometry's.
 */
enum request_kind { REQUEST_BASE, REQUEST_INFO, REQUEST_IMAGE };

enum region_kind { REGION_FULL, REGION_SQUARE, REGION_PIXELS, REGION_PERCENT };
struct region {
	enum region_kind kind;
	uint64_t x, y, w, h;         /* pixels, saturated at UINT32_MAX; or percent in DECIMAL_ONE units */
};

enum size_kind { SIZE_FULL, SIZE_MAXIMUM, SIZE_BY_W, SIZE_BY_H, SIZE_BY_WH, SIZE_CONFINED, SIZE_BY_PCT };
struct size {
	enum size_kind kind;
	bool upscale;                /* 3.0: the form had a ^ */
	uint64_t w, h;               /* pixels, saturated at UINT32_MAX; SIZE_BY_PCT: w in DECIMAL_ONE units */
};

struct rotation {
	bool mirror;                 /* left-right, before turning */
	uint64_t degrees;            /* clockwise, DECIMAL_ONE units, below 360 */
};

enum quality { QUALITY_DEFAULT, QUALITY_COLOR, QUALITY_GRAY, QUALITY_BITONAL };

enum format {
	FORMAT_JPG, FORMAT_PNG, FORMAT_TIF, FORMAT_GIF, FORMAT_JP2, FORMAT_PDF, FORMAT_WEBP,
	FORMAT_AVIF, FORMATS,
};

struct request {
	enum request_kind kind;
	int version;                 /* 2 or 3 */
	struct str base;             /* the raw path up to the end of the identifier, as it was sent */
	struct str identifier_raw;   /* as sent, still encoded */
	struct str identifier;       /* decoded, without a page number */
	uint32_t page;               /* from 1; 1 if none was named */
	struct region region;
	struct size size;
	struct rotation rotation;
	enum quality quality;
	enum format format;
};

struct request_options {
	const char *const *prefixes_2, *const *prefixes_3;   /* "/iiif/2" or "", NULL-terminated */
	bool raw_slashes;                                    /* identifiers may have unescaped slashes */
	const char *slash_substitute;                        /* stands for / in identifiers, "" for none */
	const char *page_delimiter;                          /* before a page number, "" for none */
};

/*
 * path is the raw request path: undecoded, slashes not merged, without the query. Each segment is
 * decoded once. The views in the result point into path or into a. Status 400 for a broken
 * parameter, 404 for any path that is no IIIF URI. On failure version and kind are set as far as
 * they were known (version 0: no prefix matched), so that the error can be shaped like the answer.
 */
bool request_parse(struct arena *a, const struct request_options *options, struct str path,
		   struct request *r, struct error *err);

const char *format_name(enum format format);         /* "jpg" */
const char *format_media_type(enum format format);   /* "image/jpeg" */
const char *quality_name(enum quality quality);

#endif
