/* SPDX-License-Identifier: BSD-2-Clause */
#include "verify.h"

#include "../base/deadline.h"
#include "../image/codecs.h"

#define BAND 2048

bool verify_pixels(const struct config *config, const struct picture *p, struct error *err)
{
	uint64_t pixels = (uint64_t)p->stored_w * p->stored_h;
	return pixels <= config->max_source_pixels ||
	       fail(err, 413, REASON_TOO_LARGE, "The image is larger than the server allows.",
		    "%llu source pixels of %llu", (unsigned long long)pixels,
		    (unsigned long long)config->max_source_pixels);
}

static bool read_part(const struct config *config, const struct picture *p, const struct wants *w, struct error *err)
{
	uint64_t need = p->decoder->memory(p, w);
	if (need > config->max_request_memory)
		return fail(err, 413, REASON_TOO_LARGE, "The image is larger than the server allows.",
			    "%llu bytes to decode it, of %llu", (unsigned long long)need,
			    (unsigned long long)config->max_request_memory);
	struct arena *a = arena_open();
	struct image pixels;
	deadline_start(config->max_decode_ms, "a fetcher's verification");
	bool ok = p->decoder->read(a, p, w, &pixels, err);
	deadline_end();
	arena_close(a);
	return ok;
}

/* At once where that takes no more than half of the memory, else in bands: a format that must be read from its start
 * each time would take the square of its time. */
static bool read_level(const struct config *config, const struct picture *p, double step_x, double step_y,
		       struct error *err)
{
	struct wants w = {.region = {0, 0, p->stored_w, p->stored_h}, .step_x = step_x, .step_y = step_y,
			  .chroma_x = 1, .chroma_y = 1};
	if (p->decoder->memory(p, &w) <= config->max_request_memory / 2)
		return read_part(config, p, &w, err);
	uint32_t band = (uint32_t)(BAND * step_y);
	for (uint32_t y = 0; y < p->stored_h; y += band) {
		w.region.y = y;
		w.region.h = p->stored_h - y < band ? p->stored_h - y : band;
		if (!read_part(config, p, &w, err))
			return false;
	}
	return true;
}

bool verify_picture(const struct config *config, struct source *source, const char **format, struct error *err)
{
	struct arena *a = arena_open();
	struct picture p;
	bool ok = picture_open(a, decoders, source, 1, &p, err) && verify_pixels(config, &p, err) &&
		  read_level(config, &p, 1, 1, err);
	bool swapped = ok && facts_swapped(&p.facts);
	for (int i = 1; ok && i < p.facts.n_levels; i++) {
		double w = swapped ? p.facts.level[i].h : p.facts.level[i].w,
		       h = swapped ? p.facts.level[i].w : p.facts.level[i].h;
		ok = read_level(config, &p, p.stored_w / w, p.stored_h / h, err);
	}
	*format = p.facts.format;
	arena_close(a);
	return ok;
}
