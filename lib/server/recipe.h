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

/* Decodes, converts, transforms and encodes; the body lives as long as a. */
bool recipe_run(struct arena *a, const struct recipe *r, struct stopwatch *watch, struct str *body, struct error *err);

#endif
