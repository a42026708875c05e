/* SPDX-License-Identifier: BSD-2-Clause */
#include "resample.h"

#include <string.h>

#include "../base/deadline.h"

#define ROWS_UNASKED 16

static void copy_row(const uint8_t *row, const struct windows *w, uint8_t *out)
{
	/* Without clamping at either end, and not backwards, the samples are a run of neighbours. */
	if (w->first[w->n - 1] - w->first[0] == w->n - 1) {
		memcpy(out, row + w->first[0], w->n);
		return;
	}
	for (uint32_t i = 0; i < w->n; i++)
		out[i] = row[w->first[i]];
}

static bool copy_rows(const struct weighing *w, struct error *err)
{
	for (uint32_t y = 0; y < w->down.n; y++) {
		if (y % ROWS_UNASKED == 0 && !deadline_check(err))
			return false;
		copy_row(w->in->at + w->down.first[y] * w->in->stride, &w->across, w->out->at + y * w->out->stride);
	}
	return true;
}

weigh_function *resample_fastest(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
		return weigh_vnni;
	if (__builtin_cpu_supports("avx2"))
		return weigh_avx2;
#endif
	return weigh_plain;
}

weigh_function *resample_light_fastest(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return weigh_light_avx2;
#endif
	return weigh_light_plain;
}

static bool weigh_rows(weigh_function *weigh, struct arena *a, struct weighing *w, struct error *err)
{
	w->scratch = arena_block(a, weigh_scratch(w->across.room, w->in->w), err);
	if (!w->scratch)
		return false;
	bool ok = weigh(w, err);
	arena_drop_block(a, w->scratch);
	return ok;
}

bool resample_by(weigh_function *weigh, struct arena *a, struct weighing *w, struct axis across, struct axis down,
		 enum filter filter, struct error *err)
{
	const struct plane *in = w->in;
	bool ok = windows_make(a, across, in->x, in->dx, in->w, filter, &w->across, err) &&
		  windows_make(a, down, in->y, in->dy, in->h, filter, &w->down, err);
	if (ok)
		ok = w->across.copy && w->down.copy ? copy_rows(w, err) : weigh_rows(weigh, a, w, err);
	windows_drop(a, &w->down);
	windows_drop(a, &w->across);
	return ok;
}

bool resample(struct arena *a, const struct plane *in, struct axis across, struct axis down, enum filter filter,
	      struct plane *out, struct error *err)
{
	struct weighing w = {.in = in, .out = out};
	return resample_by(resample_fastest(), a, &w, across, down, filter, err);
}

bool resample_light(struct arena *a, const struct plane *in, const struct plane *opacity, struct axis across,
		    struct axis down, enum filter filter, struct plane *out, const struct plane *out_opacity,
		    struct error *err)
{
	struct weighing w = {
		.in = in, .out = out, .light = light_table(), .opacity = opacity, .out_opacity = out_opacity};
	return resample_by(resample_light_fastest(), a, &w, across, down, filter, err);
}

bool resample_copies(const struct plane *in, struct axis across, struct axis down)
{
	return windows_copy(across, in->x, in->dx) && windows_copy(down, in->y, in->dy);
}

uint64_t resample_memory(uint64_t samples, uint32_t n)
{
	uint64_t room = windows_room(samples, n);
	return windows_memory(samples, n) + weigh_scratch(room, samples + room);
}
