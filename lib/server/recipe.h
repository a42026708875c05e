/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVER_RECIPE_H
#define SERVER_RECIPE_H

#include "../iiif/geometry.h"
#include "../image/decoder.h"
#include "../image/encoder.h"
#include "../image/transform.h"
#include "config.h"

/* Where the time of an answer goes, for the log and Server-Timing. */
enum stage { STAGE_RESOLVE, STAGE_FETCH, STAGE_OPEN, STAGE_READ, STAGE_COLOUR, STAGE_TRANSFORM, STAGE_ENCODE, STAGES };

const char *stage_name(enum stage stage);

struct stopwatch {
	int64_t at_us, stage_us[STAGES];
};

struct stopwatch stopwatch_start(void);

/* Books the time since the last lap on a stage. */
void stopwatch_lap(struct stopwatch *watch, enum stage stage);

/*
 * How a picture becomes an answer: all that is known before anything is decoded.
 *
 * Calling sequence: recipe_make, then what needs the plan (canonical URI, ETag, 304), then recipe_run.
 */
struct recipe {
	const struct config *config;
	const struct config_rule *rule;
	const struct picture *picture;
	const struct encoder *encoder;
	struct plan plan;
	struct layout layout, work;    /* the encoder's, and that of the transform */
	struct wants wants;
};

/* Errors of plan_make; 413 if the estimates are above max_request_memory or max_source_pixels. All that is named
 * outlives the recipe. */
bool recipe_make(const struct config *config, const struct config_rule *rule, const struct picture *picture,
		 const struct encoder *encoder, const struct request *request, const struct limits *limits,
		 struct recipe *r, struct error *err);

/* The options that decide what the body is, as text for its ETag. */
void recipe_write_options(const struct recipe *r, struct buf *b);

/* How an answer was made: of stored tiles as they are, one or several; of planes; or with MagickWand's help. */
enum path { PATH_NONE, PATH_PASS, PATH_STITCH, PATH_PLANES, PATH_WAND };

const char *path_name(enum path path);

struct answer {
	struct str body;               /* lives as long as the arena */
	enum path path;
	const char *why_not_passed;    /* "" if it was */
};

/* Passes stored tiles on; else decodes, converts, transforms and encodes. */
bool recipe_run(struct arena *a, const struct recipe *r, struct stopwatch *watch, struct answer *answer,
		struct error *err);

#endif
