/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TRANSFORM_H
#define IMAGE_TRANSFORM_H

#include "../iiif/geometry.h"
#include "decoder.h"
#include "resample.h"

/*
 * From decoded planes to the picture that the plan describes: cut, resample, orient, mirror, turn
 * and bring to the encoder's model, in as few passes as that takes.
 *
 * This is the one place that knows how orientation, mirroring and rotation compose.
 */

/* The encoder's geometry: chroma of MODEL_YCC is sub_x by sub_y times coarser than luma. */
struct layout {
	enum model model;
	uint8_t sub_x, sub_y;
};

/* Whether the answer's x axis runs along the stored y axis. */
bool transform_swaps(const struct plan *plan, const struct picture *p);

/* What must be decoded for a plan: the region in stored coordinates and the steps along them. */
struct wants transform_wants(const struct plan *plan, const struct picture *p,
			     struct layout layout);

/* Whether the plan's rotation is no multiple of 90: transform then mirrors only, and turn_freely does the rest. */
bool transform_leaves_turning(const struct plan *plan);

struct resampling {
	enum filter filter;
	bool in_light;       /* of gray and RGB, whose colours are then not multiplied by their opacity, before and after */
};

/* Whether transform will just copy, perhaps but for the chroma. */
bool transform_copies(const struct image *in, const struct plan *plan, const struct picture *p);

/*
 * in is sRGB or gray (colour.h), and used up: its planes are given back, or become out's. out gets planes of
 * plan->out_w x plan->out_h; of plan->w x plan->h where turning is left. Chroma comes as the layout's if both are
 * MODEL_YCC, else at luma's resolution; the model stays.
 */
bool transform(struct arena *a, const struct image *in, const struct plan *plan,
	       const struct picture *p, struct resampling how, struct layout layout,
	       struct image *out, struct error *err);

/* Brings planes of equal geometry to the layout's model and sampling, in place; gray stays gray, and planes that are
 * MODEL_YCC as the layout stay as they are. */
void layout_apply(struct image *image, struct layout layout);

/* Bytes that transform allocates. */
uint64_t transform_memory(const struct plan *plan, struct layout layout, bool alpha);

#endif
