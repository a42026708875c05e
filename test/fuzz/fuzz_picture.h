/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_FUZZ_PICTURE_H
#define TEST_FUZZ_PICTURE_H

#include <stdlib.h>

#include "image/colour.h"
#include "image/decoder.h"
#include "image/passthrough.h"

/* What a decoder's fuzz target does with one input: open, then reads of several kinds, each held to
 * the decoder's contract. */

#ifndef FUZZ_MEMORY
#define FUZZ_MEMORY (UINT64_C(64) << 20)
#endif

static inline void fuzz_must(bool holds)
{
	if (!holds)
		abort();
}

static inline void fuzz_check_planes(const struct picture *p, const struct wants *w, const struct image *image)
{
	unsigned sum = 0;
	size_t bytes = image->deep ? 2 : 1;
	fuzz_must(image->n == model_planes(image->model));
	for (int i = 0; i < image_planes(image); i++) {
		const struct plane *q = &image->plane[i];
		fuzz_must(q->w > 0 && q->h > 0 && q->stride >= q->w * bytes && q->dx > 0 && q->dy > 0);
		fuzz_must(q->x <= w->region.x + 1e-6 && q->y <= w->region.y + 1e-6);
		fuzz_must(q->x < p->stored_w && q->y < p->stored_h);
		/* The far corners, for the address sanitizer. */
		sum += q->at[q->w * bytes - 1] + q->at[(size_t)(q->h - 1) * q->stride + q->w * bytes - 1];
	}
	fuzz_must(sum <= 2 * IMAGE_MAX_PLANES * 255);
}

static inline void fuzz_read(const struct picture *p, struct rect region, double step, bool gray, bool recover)
{
	struct wants w = {.region = region, .step_x = step, .step_y = step, .gray = gray, .recover = recover,
			  .chroma_x = 2, .chroma_y = 2};
	uint64_t estimate = p->decoder->memory(p, &w);
	struct arena *a = arena_open();
	struct error err = {0};
	struct image image;

	if (estimate <= FUZZ_MEMORY) {
		if (p->decoder->read(a, p, &w, &image, &err)) {
			fuzz_check_planes(p, &w, &image);
			fuzz_must(arena_peak_bytes(a) <= estimate);
			/* Profiles are another parser's input; what is tried here is that planes fit together. */
			image.icc_bytes = 0;
			fuzz_must(colour_to_srgb(a, &image, gray, &err));
		} else {
			fuzz_must(err.status >= 400 && err.say);
		}
	}
	arena_close(a);
}

/* What stored tiles are made to must be a picture of that size, whatever is in its scan. */
static inline void fuzz_pass(const struct picture *p)
{
	uint32_t steps[] = {1, 2, 4};
	for (size_t i = 0; p->decoder->stored && i < sizeof steps / sizeof *steps; i++) {
		uint32_t tile_w = p->facts.tile_w, tile_h = p->facts.tile_h, n = steps[i];
		struct wants w = {.region = {0, 0, tile_w * n * (i + 1), tile_h * n * 2}, .step_x = n, .step_y = n};
		struct arena *a = arena_open();
		struct stored_tiles tiles;
		struct error err = {0};
		struct metadata none = {0};
		struct buf *out = buf_open(a, 1 << 20);
		if (tile_w && !p->decoder->stored(a, p, &w, 1 << 20, &tiles, &err) && !passthrough_write(a, &tiles, &none, (struct str){0}, out))
			fuzz_must(out->failed || (out->n > 20 && memcmp(out->at, "\xff\xd8\xff", 3) == 0));
		arena_close(a);
	}
}

static inline void fuzz_picture(const struct decoder *decoder, const uint8_t *at, size_t n, uint32_t page)
{
	const struct decoder *const list[] = {decoder, NULL};
	struct arena *a = arena_open();
	struct source *s = memory_source_open(a, (struct str){(const char *)at, n});
	struct picture p;
	struct error err = {0};

	if (picture_open(a, list, s, page, &p, &err)) {
		uint32_t w = p.stored_w, h = p.stored_h;
		fuzz_must(w > 0 && h > 0 && p.facts.orientation >= 1 && p.facts.orientation <= 8);
		fuzz_pass(&p);
		fuzz_read(&p, (struct rect){0, 0, w, h}, 1, false, false);
		fuzz_read(&p, (struct rect){0, 0, w, h}, 1, false, true);
		fuzz_read(&p, (struct rect){0, 0, w, h}, 2, true, false);
		fuzz_read(&p, (struct rect){0, 0, w, h}, 13, false, false);
		fuzz_read(&p, (struct rect){w / 2, h / 2, (w + 3) / 4, (h + 3) / 4}, 1, false, true);
		fuzz_read(&p, (struct rect){w - 1, h - 1, 1, 1}, 0.3, false, false);
		fuzz_read(&p, (struct rect){w / 3, h / 3, (w + 2) / 3, (h + 2) / 3}, 4, true, false);
		fuzz_read(&p, (struct rect){w / 3, 0, (w + 2) / 3, (h + 2) / 3}, 3.1, false, false);
	} else {
		fuzz_must(err.status >= 400 && err.say);
	}
	arena_close(a);
}

#endif
