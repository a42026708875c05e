/* SPDX-License-Identifier: BSD-2-Clause */
/* Orientation, mirror and rotation against the definitions, one pixel at a time. */
#include <stdlib.h>
#include <string.h>

#include "check.h"

#include "image/colour.h"
#include "image/transform.h"

/* One plane of small numbers, of the naive world. */
struct grid {
	int w, h;
	uint8_t at[4096];
};

/* EXIF 2.3, orientation: which stored sample is seen at (x, y) of the oriented picture. */
static struct grid oriented(const struct grid *s, int orientation)
{
	bool swapped = orientation >= 5;
	struct grid o = {.w = swapped ? s->h : s->w, .h = swapped ? s->w : s->h};
	int right = s->w - 1, bottom = s->h - 1;
	for (int y = 0; y < o.h; y++)
		for (int x = 0; x < o.w; x++) {
			int sx = x, sy = y;
			switch (orientation) {
			case 2: sx = right - x; break;
			case 3: sx = right - x; sy = bottom - y; break;
			case 4: sy = bottom - y; break;
			case 5: sx = y; sy = x; break;
			case 6: sx = y; sy = bottom - x; break;
			case 7: sx = right - y; sy = bottom - x; break;
			case 8: sx = right - y; sy = x; break;
			default: break;
			}
			o.at[y * o.w + x] = s->at[sy * s->w + sx];
		}
	return o;
}

static struct grid cropped(const struct grid *s, struct rect r)
{
	struct grid o = {.w = (int)r.w, .h = (int)r.h};
	for (int y = 0; y < o.h; y++)
		for (int x = 0; x < o.w; x++)
			o.at[y * o.w + x] = s->at[(y + (int)r.y) * s->w + x + (int)r.x];
	return o;
}

/* Mirrored first, then turned clockwise (Image API 3.0, 4.3). */
static struct grid turned(struct grid s, bool mirror, int quarters)
{
	if (mirror)
		s = oriented(&s, 2);
	for (; quarters > 0; quarters--)
		s = oriented(&s, 6);
	return s;
}

static struct grid made_grid(int w, int h, int seed)
{
	struct grid g = {.w = w, .h = h};
	for (int i = 0; i < w * h; i++)
		g.at[i] = (uint8_t)(seed + i * 37 + i / w * 11);
	return g;
}

/* Slow enough that filters of different origin agree, different in each corner. */
static struct grid smooth_grid(int w, int h, int seed)
{
	struct grid g = {.w = w, .h = h};
	for (int y = 0; y < h; y++)
		for (int x = 0; x < w; x++)
			g.at[y * w + x] = (uint8_t)(30 + seed + x * (90 - seed) / w + y * (20 + seed) / h + (x * y) % 5);
	return g;
}

static struct plane to_plane(struct arena *a, const struct grid *g)
{
	struct plane p = {.dx = 1, .dy = 1};
	struct error err;
	assert_true(plane_alloc(a, &p, (uint32_t)g->w, (uint32_t)g->h, &err));
	for (int y = 0; y < g->h; y++)
		memcpy(p.at + (size_t)y * p.stride, g->at + y * g->w, (size_t)g->w);
	return p;
}

static struct image to_image(struct arena *a, enum model model, const struct grid *planes)
{
	struct image image = {.model = model, .n = model_planes(model)};
	for (int i = 0; i < image.n; i++)
		image.plane[i] = to_plane(a, &planes[i]);
	return image;
}

static struct picture made_picture(int stored_w, int stored_h, int orientation)
{
	struct picture p = {.stored_w = (uint32_t)stored_w, .stored_h = (uint32_t)stored_h};
	p.facts.orientation = orientation;
	p.facts.w = (uint32_t)(orientation >= 5 ? stored_h : stored_w);
	p.facts.h = (uint32_t)(orientation >= 5 ? stored_w : stored_h);
	return p;
}

static struct plan made_plan(struct rect region, uint32_t w, uint32_t h, bool mirror, int quarters)
{
	return (struct plan){
		.x = region.x, .y = region.y, .region_w = region.w, .region_h = region.h, .w = w, .h = h,
		.step_x = (double)region.w / w, .step_y = (double)region.h / h,
		.mirror = mirror, .degrees = (uint64_t)quarters * 90 * DECIMAL_ONE,
		.out_w = quarters % 2 ? h : w, .out_h = quarters % 2 ? w : h,
	};
}

static struct image run(struct arena *a, const struct image *in, const struct plan *plan, const struct picture *p,
			struct layout layout)
{
	struct image out;
	struct error err;
	struct arena *own = arena_open();
	assert_true(transform(own, in, plan, p, (struct resampling){FILTER_LANCZOS3, false}, layout, &out, &err));
	if (arena_peak_bytes(own) > transform_memory(plan, layout, false))
		fail_msg("%u x %u to %u x %u: %zu bytes of %llu", plan->region_w, plan->region_h, plan->out_w, plan->out_h,
			 arena_peak_bytes(own), (unsigned long long)transform_memory(plan, layout, false));
	layout_apply(&out, layout);
	arena_defer(a, (void (*)(void *))arena_close, own);
	return out;
}

static void check_plane(const struct plane *p, const struct grid *want, int tolerance, const char *what)
{
	assert_int_equal(p->w, want->w);
	assert_int_equal(p->h, want->h);
	for (int y = 0; y < want->h; y++)
		for (int x = 0; x < want->w; x++) {
			int got = p->at[(size_t)y * p->stride + (size_t)x], v = want->at[y * want->w + x];
			if (abs(got - v) > tolerance)
				fail_msg("%s (%d, %d): %d for %d", what, x, y, got, v);
		}
}

static const struct rect regions[] = {{0, 0, 7, 5}, {0, 0, 5, 7}, {1, 2, 3, 3}, {4, 0, 1, 5}, {2, 3, 3, 1}};

/* At full size nothing is resampled, so the answer is the naive one, sample by sample. */
static void every_turn_at_full_size(void **state)
{
	(void)state;
	struct grid stored[3] = {made_grid(7, 5, 0), made_grid(7, 5, 71), made_grid(7, 5, 140)};
	for (int orientation = 1; orientation <= 8; orientation++)
		for (int turn = 0; turn < 8; turn++)
			for (size_t r = 0; r < sizeof regions / sizeof *regions; r++)
				for (int model = MODEL_GRAY; model <= MODEL_RGB; model++) {
					struct picture p = made_picture(7, 5, orientation);
					struct rect region = regions[r];
					if (region.x + region.w > p.facts.w || region.y + region.h > p.facts.h)
						continue;
					struct arena *a = arena_open();
					bool mirror = turn >= 4;
					struct plan plan = made_plan(region, region.w, region.h, mirror, turn % 4);
					struct image in = to_image(a, (enum model)model, stored);
					struct layout layout = {model == MODEL_GRAY ? MODEL_RGB : (enum model)model, 1, 1};
					struct image out = run(a, &in, &plan, &p, layout);
					assert_int_equal(out.n, in.n);
					assert_int_equal(out.model, model);
					for (int c = 0; c < out.n; c++) {
						struct grid o = oriented(&stored[c], orientation), cut = cropped(&o, region);
						struct grid want = turned(cut, mirror, turn % 4);
						check_plane(&out.plane[c], &want, 0,
							    arena_printf(a, "orientation %d turn %d", orientation, turn));
					}
					arena_close(a);
				}
}

/* Chroma of a 4:2:0 source goes to a 4:2:0 answer without resampling where the sides are even. */
static void chroma_is_turned_as_it_is(void **state)
{
	(void)state;
	struct grid stored[3] = {made_grid(12, 8, 0), made_grid(6, 4, 71), made_grid(6, 4, 140)};
	for (int orientation = 1; orientation <= 8; orientation++)
		for (int turn = 0; turn < 8; turn++) {
			struct arena *a = arena_open();
			struct picture p = made_picture(12, 8, orientation);
			struct rect region = {2, 4, 6, 4}, halved = {1, 2, 3, 2};
			struct plan plan = made_plan(region, 6, 4, turn >= 4, turn % 4);
			struct image in = to_image(a, MODEL_YCC, stored);
			for (int c = 1; c < 3; c++)
				in.plane[c].dx = in.plane[c].dy = 2;
			struct image out = run(a, &in, &plan, &p, (struct layout){MODEL_YCC, 2, 2});
			for (int c = 0; c < 3; c++) {
				struct grid o = oriented(&stored[c], orientation), cut = cropped(&o, c ? halved : region);
				struct grid want = turned(cut, turn >= 4, turn % 4);
				check_plane(&out.plane[c], &want, 0, "chroma");
				assert_true(out.plane[c].dx == (c ? 2 : 1));
			}
			arena_close(a);
		}
}

/* What the identity makes of planes that were turned naively beforehand, every other turn makes of the stored ones. */
static void turning_and_resampling_commute(void **state)
{
	static const struct layout layouts[] = {{MODEL_YCC, 1, 1}, {MODEL_YCC, 2, 2}, {MODEL_YCC, 2, 1}, {MODEL_YCC, 4, 1},
						{MODEL_RGB, 1, 1}};
	static const uint32_t sizes[][2] = {{11, 7}, {31, 40}, {1, 1}, {9, 3}};
	(void)state;
	for (int orientation = 1; orientation <= 8; orientation++)
		for (int turn = 0; turn < 8; turn++)
			for (size_t k = 0; k < 4 * 2 * sizeof layouts / sizeof *layouts; k++) {
				struct arena *a = arena_open();
				struct layout layout = layouts[k / 8];
				enum model model = k / 4 % 2 ? MODEL_RGB : MODEL_YCC;
				struct picture p = made_picture(29, 23, orientation), plain;
				struct rect region = {3, 1, 19, 21};
				uint32_t w = sizes[k % 4][0], h = sizes[k % 4][1];
				struct plan plan = made_plan(region, w, h, turn >= 4, turn % 4), straight;
				struct grid stored[3], before[3];
				for (int c = 0; c < 3; c++) {
					stored[c] = smooth_grid(29, 23, 20 * c);
					struct grid o = oriented(&stored[c], orientation), cut = cropped(&o, region);
					before[c] = turned(cut, turn >= 4, turn % 4);
				}
				/* Only the region's samples, on both sides, so that edges repeat alike. */
				struct wants wants = transform_wants(&plan, &p, layout);
				struct image in = to_image(a, model, stored);
				for (int c = 0; c < 3; c++) {
					struct grid part = cropped(&stored[c], wants.region);
					in.plane[c] = to_plane(a, &part);
					in.plane[c].x = wants.region.x;
					in.plane[c].y = wants.region.y;
				}
				plain = made_picture(before[0].w, before[0].h, 1);
				straight = made_plan((struct rect){0, 0, plain.stored_w, plain.stored_h}, plan.out_w, plan.out_h,
						     false, 0);
				struct image in_before = to_image(a, model, before);
				struct image got = run(a, &in, &plan, &p, layout);
				struct image want = run(a, &in_before, &straight, &plain, layout);
				assert_int_equal(got.model, layout.model);
				for (int c = 0; c < 3; c++) {
					const struct plane *q = &want.plane[c];
					bool chroma = c > 0 && layout.model == MODEL_YCC;
					uint32_t sub_x = chroma ? layout.sub_x : 1, sub_y = chroma ? layout.sub_y : 1;
					struct grid expected = {.w = (int)q->w, .h = (int)q->h};
					assert_int_equal(q->w, (plan.out_w + sub_x - 1) / sub_x);
					assert_int_equal(q->h, (plan.out_h + sub_y - 1) / sub_y);
					for (int y = 0; y < expected.h; y++)
						memcpy(expected.at + y * expected.w, q->at + (size_t)y * q->stride, q->w);
					/* Both axes in one order of passes or the other, and conversions behind that. */
					check_plane(&got.plane[c], &expected, model == layout.model ? 1 : 3, "commuting");
				}
				arena_close(a);
			}
}

/* RGB becomes YCbCr at full size; chroma is the mean of what its sample stands for. */
static void converted_chroma_is_the_mean(void **state)
{
	(void)state;
	for (uint8_t sub = 1; sub <= 4; sub++) {
		struct arena *a = arena_open();
		struct grid planes[3] = {made_grid(13, 9, 3), smooth_grid(13, 9, 60), made_grid(13, 9, 30)};
		struct picture p = made_picture(13, 9, 1);
		struct plan plan = made_plan((struct rect){0, 0, 13, 9}, 13, 9, false, 0);
		struct image in = to_image(a, MODEL_RGB, planes), full = to_image(a, MODEL_RGB, planes);
		struct image out = run(a, &in, &plan, &p, (struct layout){MODEL_YCC, sub, 2});
		colour_rgb_to_ycc(&full);
		for (int c = 1; c < 3; c++) {
			struct grid want = {.w = (13 + sub - 1) / sub, .h = 5};
			for (int y = 0; y < want.h; y++)
				for (int x = 0; x < want.w; x++) {
					int sum = 0, n = 0;
					for (int j = 2 * y; j < 2 * y + 2 && j < 9; j++)
						for (int i = sub * x; i < sub * x + sub && i < 13; i++, n++)
							sum += full.plane[c].at[(size_t)j * full.plane[c].stride + (size_t)i];
					want.at[y * want.w + x] = (uint8_t)((2 * sum + n) / (2 * n));
				}
			check_plane(&out.plane[c], &want, 0, "mean");
		}
		arena_close(a);
	}
}

/* The wanted region is where the region's pixels are stored, no more. */
static void wants_are_in_stored_coordinates(void **state)
{
	(void)state;
	for (int orientation = 1; orientation <= 8; orientation++)
		for (int turn = 0; turn < 8; turn++)
			for (size_t r = 0; r < sizeof regions / sizeof *regions; r++) {
				struct picture p = made_picture(7, 5, orientation);
				struct rect region = regions[r];
				if (region.x + region.w > p.facts.w || region.y + region.h > p.facts.h)
					continue;
				struct plan plan = made_plan(region, region.w * 2, region.h * 3, turn >= 4, turn % 4);
				struct wants w = transform_wants(&plan, &p, (struct layout){MODEL_YCC, 2, 1});
				struct grid numbers = {.w = 7, .h = 5}, o, cut;
				for (int i = 0; i < 35; i++)
					numbers.at[i] = (uint8_t)i;
				o = oriented(&numbers, orientation);
				cut = cropped(&o, region);
				assert_int_equal(w.region.w * w.region.h, region.w * region.h);
				for (int i = 0; i < cut.w * cut.h; i++) {
					assert_in_range(cut.at[i] % 7, w.region.x, w.region.x + w.region.w - 1);
					assert_in_range(cut.at[i] / 7, w.region.y, w.region.y + w.region.h - 1);
				}
				bool swapped = orientation >= 5;
				assert_true(w.step_x == (swapped ? plan.step_y : plan.step_x));
				assert_true(w.step_y == (swapped ? plan.step_x : plan.step_y));
				bool across = swapped == (turn % 2 == 1);
				assert_int_equal(w.chroma_x, across ? 2 : 1);
				assert_int_equal(w.chroma_y, across ? 1 : 2);
			}
}

/* Thin and long pictures, great reductions and enlargements: run holds the estimate against the arena. */
static void estimates_hold(void **state)
{
	static const uint32_t shapes[][4] = {{4000, 1, 4000, 1}, {1, 4000, 1, 4000}, {4000, 1, 1, 1}, {1, 4000, 1, 1},
					     {60, 60, 500, 400}, {4000, 1, 40, 900}, {60, 60, 60, 60}, {2, 2, 3000, 1}};
	(void)state;
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		for (int turn = 0; turn < 2; turn++)
			for (int model = MODEL_GRAY; model <= MODEL_RGB; model++) {
				struct arena *a = arena_open();
				uint32_t w = shapes[i][0], h = shapes[i][1];
				struct grid planes[3] = {made_grid((int)w, (int)h, 0), made_grid((int)w, (int)h, 1),
							 made_grid((int)w, (int)h, 2)};
				struct picture p = made_picture((int)w, (int)h, 1);
				struct plan plan = made_plan((struct rect){0, 0, w, h}, shapes[i][2], shapes[i][3], false, turn);
				struct image in = to_image(a, (enum model)model, planes);
				plan.gray = model == MODEL_GRAY;
				run(a, &in, &plan, &p, (struct layout){MODEL_YCC, 2, 2});
				run(a, &in, &plan, &p, (struct layout){MODEL_RGB, 1, 1});
				arena_close(a);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_turn_at_full_size),
		cmocka_unit_test(chroma_is_turned_as_it_is),
		cmocka_unit_test(turning_and_resampling_commute),
		cmocka_unit_test(converted_chroma_is_the_mean),
		cmocka_unit_test(wants_are_in_stored_coordinates),
		cmocka_unit_test(estimates_hold),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
