/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Orientation, mirroring and turning by quarters are one of the eight ways to lay a rectangle onto
 * itself: perhaps swap the axes, then perhaps reverse either. `struct turn` says for a picture T
 * made of a picture S how T's coordinates lead to S's: along S's x axis runs T's y if swapped, else
 * T's x, backwards if flip_x. The EXIF orientation leads from the oriented to the stored image, the
 * request's mirror and rotation lead from the answer to the oriented one; composed they lead from
 * the answer to the stored samples.
 *
 * Resampling is done along the stored axes. A reversed axis costs nothing there: its grid has a
 * negative step. Swapped axes are one transpose of the (small) result.
 */
#include "transform.h"

#include <math.h>

#include "colour.h"
#include "rows.h"

#define QUARTER (90 * DECIMAL_ONE)

struct turn {
	bool swap, flip_x, flip_y;
};

static struct turn oriented_to_stored(int orientation)
{
	static const struct turn turns[9] = {
		[1] = {0, 0, 0}, [2] = {0, 1, 0}, [3] = {0, 1, 1}, [4] = {0, 0, 1},
		[5] = {1, 0, 0}, [6] = {1, 0, 1}, [7] = {1, 1, 1}, [8] = {1, 1, 0},
	};
	return turns[orientation];
}

static struct turn answer_to_oriented(const struct plan *plan)
{
	static const struct turn quarters[4] = {{0, 0, 0}, {1, 0, 1}, {0, 1, 1}, {1, 1, 0}};
	struct turn t = quarters[transform_leaves_turning(plan) ? 0 : plan->degrees / QUARTER];
	t.flip_x ^= plan->mirror;
	return t;
}

/* One axis of the oriented output grid, laid onto the stored axis it runs along. */
static struct axis stored_axis(double start, double step, uint32_t n, double side, bool flipped,
			       bool reversed)
{
	struct axis axis = {flipped ? side - start : start, flipped ? -step : step, n};
	if (reversed) {
		axis.start += axis.step * n;
		axis.step = -axis.step;
	}
	return axis;
}

struct grid {
	struct axis across, down;      /* along the stored axes */
	bool swap;                     /* transpose the result */
};

static struct grid make_grid(const struct plan *plan, const struct picture *p)
{
	struct turn o = oriented_to_stored(p->facts.orientation), r = answer_to_oriented(plan);
	bool rx = o.swap ? r.flip_y : r.flip_x, ry = o.swap ? r.flip_x : r.flip_y;
	struct grid g = {.swap = o.swap != r.swap};

	g.across = o.swap ? stored_axis(plan->y, plan->step_y, plan->h, p->stored_w, o.flip_x, rx)
			  : stored_axis(plan->x, plan->step_x, plan->w, p->stored_w, o.flip_x, rx);
	g.down = o.swap ? stored_axis(plan->x, plan->step_x, plan->w, p->stored_h, o.flip_y, ry)
			: stored_axis(plan->y, plan->step_y, plan->h, p->stored_h, o.flip_y, ry);
	return g;
}

bool transform_swaps(const struct plan *plan, const struct picture *p)
{
	return make_grid(plan, p).swap;
}

struct wants transform_wants(const struct plan *plan, const struct picture *p, struct layout layout)
{
	struct turn o = oriented_to_stored(p->facts.orientation);
	struct grid g = make_grid(plan, p);
	struct wants w = {.gray = plan->gray, .step_x = plan->step_x, .step_y = plan->step_y,
			  .region = {plan->x, plan->y, plan->region_w, plan->region_h}};
	if (o.swap) {
		w.region = (struct rect){plan->y, plan->x, plan->region_h, plan->region_w};
		w.step_x = plan->step_y;
		w.step_y = plan->step_x;
	}
	if (o.flip_x)
		w.region.x = p->stored_w - w.region.x - w.region.w;
	if (o.flip_y)
		w.region.y = p->stored_h - w.region.y - w.region.h;
	w.chroma_x = g.swap ? layout.sub_y : layout.sub_x;
	w.chroma_y = g.swap ? layout.sub_x : layout.sub_y;
	return w;
}

static struct axis coarser(struct axis axis, uint32_t sub)
{
	return (struct axis){axis.start, axis.step * sub, (axis.n + sub - 1) / sub};
}

#define BLOCK 16
typedef uint8_t bytes __attribute__((vector_size(BLOCK), aligned(1)));

/* Four perfect shuffles of a whole block's rows. */
static void transpose_block(const uint8_t *from, size_t stride, uint8_t *to, size_t to_stride)
{
	bytes rows[BLOCK], mixed[BLOCK];
	for (int i = 0; i < BLOCK; i++)
		rows[i] = *(const bytes *)(from + i * stride);
	for (int pass = 0; pass < 4; pass++) {
		for (int i = 0; i < BLOCK / 2; i++) {
			const bytes u = rows[i], v = rows[i + BLOCK / 2];
			mixed[2 * i] = __builtin_shufflevector(u, v, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
			mixed[2 * i + 1] =
				__builtin_shufflevector(u, v, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
		}
		memcpy(rows, mixed, sizeof rows);
	}
	for (int i = 0; i < BLOCK; i++)
		*(bytes *)(to + i * to_stride) = rows[i];
}

static void transpose(const struct plane *in, struct plane *out)
{
	for (uint32_t y = 0; y < in->h; y += BLOCK)
		for (uint32_t x = 0; x < in->w; x += BLOCK) {
			const uint8_t *from = in->at + y * in->stride + x;
			uint8_t *to = out->at + x * out->stride + y;
			uint32_t w = in->w - x, h = in->h - y;
			if (w >= BLOCK && h >= BLOCK) {
				transpose_block(from, in->stride, to, out->stride);
				continue;
			}
			for (uint32_t i = 0; i < w && i < BLOCK; i++)
				for (uint32_t k = 0; k < h && k < BLOCK; k++)
					to[i * out->stride + k] = from[k * in->stride + i];
		}
}

/* Where output samples are input samples, row by row: these where they are, with the room behind each row to pad it to a
 * whole block. */
static bool view(const struct plane *in, struct axis across, struct axis down, struct plane *out)
{
	double x = (across.start - in->x) / in->dx, y = (down.start - in->y) / in->dy;
	bool same = fabs(across.step - in->dx) < 1e-9 * in->dx && fabs(down.step - in->dy) < 1e-9 * in->dy &&
		    fabs(x - round(x)) < 1e-6 && fabs(y - round(y)) < 1e-6;
	uint64_t left = (uint64_t)fmax(0, round(x)), top = (uint64_t)fmax(0, round(y));
	if (!same || round(x) < 0 || round(y) < 0 || left + across.n > in->w || top + down.n > in->h ||
	    left + ((uint64_t)across.n + 7) / 8 * 8 > in->stride)
		return false;
	*out = (struct plane){.at = in->at + top * in->stride + left, .w = across.n, .h = down.n, .stride = in->stride};
	return true;
}

/* Plane i of out, along the stored axes. In light, colours want the opacity of out already there. */
static bool make_plane(struct arena *a, const struct image *in, int i, const struct grid *g, uint32_t sub_x,
		       uint32_t sub_y, struct resampling how, struct image *out, struct error *err)
{
	struct axis across = coarser(g->across, sub_x), down = coarser(g->down, sub_y);
	struct plane *to = &out->plane[i];
	bool veiled = in->alpha && i < in->n;
	if (!how.in_light && !g->swap && view(&in->plane[i], across, down, to))
		return true;
	if (!plane_room(a, to, across.n, down.n, err))
		return false;
	if (!how.in_light || i == in->n)
		return resample(a, &in->plane[i], across, down, how.filter, to, err);
	return resample_light(a, &in->plane[i], veiled ? &in->plane[in->n] : NULL, across, down, how.filter, to,
			      veiled ? &out->plane[in->n] : NULL, err);
}

static bool stand_up(struct arena *a, struct plane *p, struct error *err)
{
	struct plane lying = *p;
	if (!plane_room(a, p, lying.h, lying.w, err))
		return false;
	transpose(&lying, p);
	arena_drop_block(a, lying.at);
	return true;
}

/* The mean of each sub_x by sub_y samples: chroma that was converted at full resolution. */
static void average(struct plane *p, uint32_t sub_x, uint32_t sub_y)
{
	uint32_t w = (p->w + sub_x - 1) / sub_x, h = (p->h + sub_y - 1) / sub_y;
	for (uint32_t y = 0; y < h; y++) {
		uint32_t done = 0;
		if (sub_x == 2 && sub_y == 2 && y < p->h / 2) {
			const uint8_t *above = p->at + 2 * y * p->stride;
			done = p->w / 2;
			rows_fastest()->halve(above, above + p->stride, done, 2, p->at + y * p->stride);
		}
		for (uint32_t x = done; x < w; x++) {
			uint32_t sum = 0, n = 0;
			for (uint32_t j = y * sub_y; j < (y + 1) * sub_y && j < p->h; j++)
				for (uint32_t i = x * sub_x; i < (x + 1) * sub_x && i < p->w; i++, n++)
					sum += p->at[j * p->stride + i];
			p->at[y * p->stride + x] = (uint8_t)((sum + n / 2) / n);
		}
	}
	p->w = w;
	p->h = h;
}

bool transform_leaves_turning(const struct plan *plan)
{
	return plan->degrees % QUARTER != 0;
}

bool transform_copies(const struct image *in, const struct plan *plan, const struct picture *p)
{
	struct grid g = make_grid(plan, p);
	return resample_copies(&in->plane[0], g.across, g.down);
}

bool transform(struct arena *a, const struct image *in, const struct plan *plan,
	       const struct picture *p, struct resampling how, struct layout layout, struct image *out,
	       struct error *err)
{
	struct grid g = make_grid(plan, p);

	*out = (struct image){.model = in->model, .n = in->n, .alpha = in->alpha};
	for (int i = image_planes(in) - 1; i >= 0; i--) {
		bool chroma = i > 0 && in->model == MODEL_YCC && layout.model == MODEL_YCC;
		uint32_t sub_x = chroma ? layout.sub_x : 1, sub_y = chroma ? layout.sub_y : 1;
		if (!make_plane(a, in, i, &g, g.swap ? sub_y : sub_x, g.swap ? sub_x : sub_y, how, out, err))
			return false;
		out->plane[i].x = out->plane[i].y = 0;
		out->plane[i].dx = sub_x;
		out->plane[i].dy = sub_y;
	}
	for (int i = 0; i < image_planes(in); i++) {
		const struct plane *used = &in->plane[i];
		const uint8_t *at = out->plane[i].at;
		bool viewed = at >= used->at && at < used->at + used->h * used->stride;
		if (!viewed)
			arena_drop_block(a, used->at);
		if (g.swap && !stand_up(a, &out->plane[i], err))
			return false;
	}
	return true;
}

void layout_apply(struct image *image, struct layout layout)
{
	if (image->model == MODEL_YCC && layout.model == MODEL_RGB)
		colour_ycc_to_rgb(image);
	if (image->model != MODEL_RGB || layout.model != MODEL_YCC)
		return;
	colour_rgb_to_ycc(image);
	for (int i = 1; i < image->n; i++) {
		average(&image->plane[i], layout.sub_x, layout.sub_y);
		image->plane[i].dx = layout.sub_x;
		image->plane[i].dy = layout.sub_y;
	}
}

uint64_t transform_memory(const struct plan *plan, struct layout layout, bool alpha)
{
	uint64_t w = plan->w, h = plan->h;
	uint64_t lying = (w + 63) * h, standing = (h + 63) * w, plane = lying > standing ? lying : standing;
	/* The last chroma sample may reach beyond the region. */
	uint64_t sub = layout.sub_x > layout.sub_y ? layout.sub_x : layout.sub_y;
	uint64_t across = plan->region_w + (uint64_t)(plan->step_x * (double)sub) + 1;
	uint64_t down = plan->region_h + (uint64_t)(plan->step_y * (double)sub) + 1;
	/* One plane lies until it is transposed. */
	return plane * ((plan->gray ? 2 : 4) + (alpha ? 1 : 0)) + resample_memory(across, plan->w) + resample_memory(down, plan->h);
}
