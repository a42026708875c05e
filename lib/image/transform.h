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

/* What must be decoded for a plan: the region in stored coordinates and the steps along them. */
struct wants transform_wants(const struct plan *plan, const struct picture *p,
			     struct layout layout);

/* in is sRGB or gray (colour.h). out gets planes of its own, of plan->out_w x plan->out_h. */
bool transform(struct arena *a, const struct image *in, const struct plan *plan,
	       const struct picture *p, enum filter filter, struct layout layout,
	       struct image *out, struct error *err);

/* Bytes that transform allocates. */
uint64_t transform_memory(const struct plan *plan, struct layout layout);

#endif
