/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IIIF_INFO_H
#define IIIF_INFO_H

#include "facts.h"
#include "geometry.h"

/*
 * The information document, info.json, of both versions (digest 6). Pure: what the image is, what
 * the server offers, and texts of the operator in; JSON out. Always valid JSON, whatever id says:
 * bytes of it that are no UTF-8 cannot occur in a URI and are the caller's fault.
 */
struct info {
	int version;                           /* 2 or 3 */
	const char *id;                        /* base URI of the image, as the client sees it */
	const struct facts *facts;
	struct limits limits;                  /* effective, see limits_effective */
	double pixels_per_cm;                  /* 0 where not known: then there is no physical scale (digest 6.2) */
	uint32_t tile_size, min_tile_size;     /* for images without tiles; least announced tile side */
	const enum format *formats;            /* that the server writes */
	size_t n_formats;
	bool bitonal, any_rotation;            /* that it does these */
	const char *rights;                    /* URI, "" for none */
	const char *const *preferred_formats;  /* NULL-terminated, may be NULL; others than formats are ignored */
	struct str rule_json;                  /* operator's further keys for a rule: a JSON object, or empty */
	struct str sidecar_json;               /* the same for one image; wins over rule_json and rights */
};

/*
 * tiles: the source's own tile size (made a multiple, by doubling, until no side is below
 * min_tile_size), else tile_size; factors 1, 2, 4... until the image fits into one tile; sizes as
 * in digest 6.3. Nothing above the limits is listed.
 *
 * Keys of rule_json and sidecar_json: attribution, logo, license go to 2.1; rights, partOf, seeAlso
 * to 3.0; service to both; rights and license stand in for each other; max_width, max_height,
 * max_area are not copied (see info_limits); keys that the document itself has are ignored; any
 * other key is copied to both. 500 REASON_CONFIG if a text is no JSON object.
 */
bool info_write(struct arena *a, const struct info *info, struct buf *out, struct error *err);

/* Lets max_width, max_height, max_area of a JSON text (rule or sidecar) override limits. 500
 * REASON_CONFIG if the text is no JSON object or a limit no whole number: a limit that cannot be
 * read must not fall away. An empty text changes nothing. */
bool info_limits(struct str json, struct limits *limits, struct error *err);

#endif
