/* SPDX-License-Identifier: BSD-2-Clause */
#include "plain.h"

#include "../base/deadline.h"
#include "bmp.h"
#include "boxes.h"
#include "gif.h"
#include "pnm.h"
#include "psd.h"

#define ICC_MAX_BYTES (16 << 20)
#define FIXED_BYTES (64 << 10)

static const struct raster_format *const formats[] = {&gif_format, &bmp_format, &pnm_format, &psd_format};
static const char *const *allowed;

/* The codec's own facts. */
struct plain_file {
	const struct raster_format *format;
	struct raster raster;
};

void plain_configure(const char *const *names)
{
	allowed = names;
}

bool plain_knows_format(const char *name)
{
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (strcmp(formats[i]->name, name) == 0)
			return true;
	return false;
}

static bool is_allowed(const struct raster_format *f)
{
	for (const char *const *name = allowed; name && *name; name++)
		if (strcmp(*name, f->name) == 0)
			return true;
	return !allowed;
}

static const struct raster_format *find_format(const uint8_t *head, size_t n)
{
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (formats[i]->knows(head, n))
			return formats[i];
	return NULL;
}

static bool plain_knows(const uint8_t *head, size_t n)
{
	const struct raster_format *f = find_format(head, n);
	return f && is_allowed(f);
}

static bool read_profile(struct arena *a, struct picture *p, const struct raster *r, struct error *err)
{
	if (!r->icc_bytes || r->icc_bytes > ICC_MAX_BYTES)
		return true;
	uint8_t *icc = arena_block(a, r->icc_bytes, err);
	p->icc = icc;
	p->icc_bytes = r->icc_bytes;
	return icc && source_read(p->source, icc, r->icc_bytes, r->icc_offset, err);
}

static bool plain_open(struct arena *a, uint32_t page, struct picture *p, struct error *err)
{
	struct plain_file *f = arena_new(a, struct plain_file);
	uint8_t head[DECODER_HEAD_BYTES];
	int64_t n = source_read_up_to(p->source, head, sizeof head, 0, err);
	if (n < 0)
		return false;
	f->format = find_format(head, (size_t)n);
	if (page != 1)
		return fail(err, 404, REASON_NOT_FOUND, "There is no such page.", "page %u", page);
	if (!f->format)
		return raster_damaged(err, "the file changed while it was read");
	struct raster *r = &f->raster;
	if (!f->format->parse(a, p->source, r, err) || !raster_sane_sides(r->w, r->h, err) || !read_profile(a, p, r, err))
		return false;
	p->codec = f;
	p->stored_w = r->w;
	p->stored_h = r->h;
	p->facts.format = f->format->name;
	p->facts.gray = r->model == MODEL_GRAY;
	p->facts.alpha = r->alpha;
	return true;
}

static size_t pixel_bytes(const struct raster *r)
{
	return (size_t)(model_planes(r->model) + r->alpha) * (r->deep ? 2 : 1);
}

static uint64_t plain_memory(const struct picture *p, const struct wants *w)
{
	const struct plain_file *f = p->codec;
	const struct raster *r = &f->raster;
	struct rect part = boxes_cover(p, w, boxes_side(w, r->alpha));
	uint64_t planes = boxes_memory(r->model, r->alpha, r->deep, part, boxes_side(w, r->alpha));
	return planes + part.w * pixel_bytes(r) + f->format->memory(r, part) + FIXED_BYTES;
}

static bool read_rows(struct arena *a, struct arena *scratch, const struct picture *p, const struct wants *w,
		      struct image *out, struct error *err)
{
	const struct plain_file *f = p->codec;
	const struct raster *r = &f->raster;
	struct boxes b = {.out = out, .side = boxes_side(w, r->alpha), .channels = model_planes(r->model) + r->alpha};
	b.part = boxes_cover(p, w, b.side);
	struct raster_reader reader = {.source = p->source, .raster = r, .part = b.part, .recover = w->recover};
	if (!boxes_open(a, scratch, &b, r->model, r->alpha, r->deep, err))
		return false;
	if (w->recover)
		image_whiten(out);
	void *samples = arena_block(scratch, b.part.w * pixel_bytes(r), err);
	if (!samples || !f->format->start(scratch, &reader, err))
		return false;
	for (uint32_t y = 0; y < b.part.h; y++) {
		if (!deadline_check(err))
			return false;
		bool there = f->format->row(&reader, b.part.y + y, samples, err);
		if (!there && (!w->recover || err->reason != REASON_DAMAGED || p->source->has_failed))
			return false;
		boxes_row(&b, there ? samples : NULL);
	}
	return true;
}

static bool plain_read(struct arena *a, const struct picture *p, const struct wants *w, struct image *out,
		       struct error *err)
{
	*out = (struct image){.icc = p->icc, .icc_bytes = p->icc_bytes,
				.icc_hash = p->icc_hash};
	struct arena *scratch = arena_open();
	bool ok = read_rows(a, scratch, p, w, out, err);
	arena_close(scratch);
	return ok || source_blame(p->source, err);
}

const struct decoder plain_decoder = {
	.name = "plain",
	.knows = plain_knows,
	.open = plain_open,
	.memory = plain_memory,
	.read = plain_read,
};
