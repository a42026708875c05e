/* SPDX-License-Identifier: BSD-2-Clause */
#include "pixels.h"

int model_planes(enum model model)
{
	return model == MODEL_GRAY ? 1 : 3;
}

bool plane_alloc(struct arena *a, struct plane *p, uint32_t w, uint32_t h, struct error *err)
{
	size_t stride = ((size_t)w + 63) & ~(size_t)63;
	p->w = w;
	p->h = h;
	p->stride = stride;
	p->at = arena_block(a, stride * h, err);
	return p->at != NULL;
}
