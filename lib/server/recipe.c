/* SPDX-License-Identifier: BSD-2-Clause */
#include "recipe.h"

#include <stdlib.h>

#include "../base/clock.h"
#include "../base/deadline.h"
#include "../base/metrics.h"
#include "../image/alpha.h"
#include "../image/bitonal.h"
#include "../image/colour.h"
#include "../image/passthrough.h"
#include "../image/turn.h"

const char *stage_name(enum stage stage)
{
	static const char *const names[STAGES] = {
		[STAGE_RESOLVE] = "resolve", [STAGE_FETCH] = "fetch", [STAGE_OPEN] = "open", [STAGE_READ] = "read",
		[STAGE_COLOUR] = "colour", [STAGE_TRANSFORM] = "transform", [STAGE_ENCODE] = "encode",
	};
	return names[stage];
}

struct stopwatch stopwatch_start(void)
{
	return (struct stopwatch){.at_us = clock_us()};
}

void stopwatch_lap(struct stopwatch *watch, enum stage stage)
{
	int64_t now = clock_us();
	watch->stage_us[stage] += now - watch->at_us;
	watch->at_us = now;
}

static struct encode_options encode_options(const struct config *c, bool bitonal)
{
	return (struct encode_options){
		.jpeg_quality = (int)c->jpeg_quality,
		.png_compression = (int)c->png_compression,
		.webp_quality = (int)c->webp_quality,
		.webp_method = (int)c->webp_method,
		.tif_jpeg = c->tif_compression == TIF_JPEG,
		.jp2_quality = (int)c->jp2_quality,
		.avif_quality = (int)c->avif_quality,
		.bitonal = bitonal,
	};
}

/* The options that decide what a picture looks like, as part of its ETag. */
void recipe_write_options(const struct recipe *r, struct buf *b)
{
	const struct config *c = r->config;
	const uint64_t all[] = {c->jpeg_quality, (uint64_t)c->jpeg_sampling, c->png_compression, c->webp_quality,
				c->webp_method, (uint64_t)c->tif_compression, c->jp2_quality, c->avif_quality,
				(uint64_t)c->bitonal, (uint64_t)c->filter, (uint64_t)r->rule->colour,
				(uint64_t)r->rule->metadata, r->rule->recover, c->pass_through, r->rule->linear_light};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		buf_printf(b, "|%llu", (unsigned long long)all[i]);
	buf_printf(b, "|%s", c->background);
}

static uint8_t at_most_two(uint8_t sub)
{
	return sub > 2 ? 2 : sub;
}

/* Turned freely, a picture has opacity. */
static bool passes_ycc(const struct recipe *r)
{
	struct encode_options options = encode_options(r->config, r->plan.quality == QUALITY_BITONAL);
	return r->encoder->takes_ycc && !r->picture->facts.alpha && !transform_leaves_turning(&r->plan) &&
	       r->encoder->takes_ycc(&options);
}

static struct layout make_layout(const struct recipe *r)
{
	const struct facts *f = &r->picture->facts;
	struct layout l = {r->encoder->model, 1, 1};
	if (passes_ycc(r))
		return (struct layout){MODEL_YCC, 2, 2};
	if (r->encoder->model != MODEL_YCC)
		return l;
	switch (r->config->jpeg_sampling) {
	case SAMPLING_420:
		l.sub_x = l.sub_y = 2;
		break;
	case SAMPLING_SOURCE:
		/* Coarser chroma may not fit into the blocks of one MCU. */
		l.sub_x = at_most_two(facts_swapped(f) ? f->chroma_y : f->chroma_x);
		l.sub_y = at_most_two(facts_swapped(f) ? f->chroma_x : f->chroma_y);
		break;
	}
	return l;
}

/* Everything that will be held at once must fit, or the request is refused before any decoding. */
static bool check_memory(const struct recipe *r, struct error *err)
{
	const struct config *c = r->config;
	const struct picture *p = r->picture;
	const struct plan *plan = &r->plan;
	uint64_t pixels = (uint64_t)p->stored_w * p->stored_h;
	uint64_t decoded = p->decoder->memory(p, &r->wants);
	uint64_t need = decoded + colour_memory(p->icc_bytes > 0 || r->rule->linear_light, decoded / 2) +
			transform_memory(plan, r->work, p->facts.alpha) +
			r->encoder->memory(plan->out_w, plan->out_h) + encoder_body_bytes(plan->out_w, plan->out_h);
	if (transform_leaves_turning(plan))
		need += turn_memory(plan->w, plan->h, plan->out_w, plan->out_h, plan->gray);
	if (pixels > c->max_source_pixels || need > c->max_request_memory) {
		metrics_add(METRIC_REFUSED_BY_ESTIMATE, 1);
		return fail(err, 413, REASON_TOO_LARGE, "This request needs more memory than the server allows.",
			    "%llu bytes of %llu, %llu source pixels of %llu", (unsigned long long)need,
			    (unsigned long long)c->max_request_memory, (unsigned long long)pixels,
			    (unsigned long long)c->max_source_pixels);
	}
	return true;
}

/* To turn freely a picture must be gray or RGB, in full resolution. */
static struct layout working_layout(const struct plan *plan, struct layout layout)
{
	return transform_leaves_turning(plan) ? (struct layout){MODEL_RGB, 1, 1} : layout;
}

/* What is left after the transform: any angle, transparency, black and white, the encoder's model. */
static bool finish_picture(struct arena *a, const struct recipe *r, struct image *picture, struct error *err)
{
	const struct config *c = r->config;
	const struct plan *plan = &r->plan;
	if (transform_leaves_turning(plan)) {
		struct image turned;
		layout_apply(picture, r->work);
		if (!turn_freely(a, picture, (double)plan->degrees / DECIMAL_ONE, plan->out_w, plan->out_h, &turned,
				 err))
			return false;
		*picture = turned;
	}
	if (r->encoder->alpha)
		alpha_divide(picture);
	else
		alpha_flatten(picture, (uint32_t)strtoul(c->background, NULL, 16));
	if (plan->quality == QUALITY_BITONAL)
		bitonal(picture, c->bitonal == BITONAL_DITHER);
	if (picture->model != r->encoder->model)
		layout_apply(picture, r->layout);
	return true;
}

/* Whether a profile's colours become sRGB: also where the answer could not say what they are. */
static bool converts(const struct recipe *r)
{
	bool loses_colour = r->plan.gray && !r->picture->facts.gray;
	switch (r->rule->colour) {
	case COLOUR_KEEP:
		return !r->encoder->profile || loses_colour;
	case COLOUR_STRIP:
		return false;
	}
	return true;
}

/* sRGB or gray on one grid, of the size that is asked for. In linear light colours are multiplied by their opacity only
 * behind the resampling, which weighs by it; and what is just copied is not touched. */
static bool scale_picture(struct arena *a, const struct recipe *r, struct image *decoded, struct image *picture,
			  struct error *err)
{
	bool in_light = r->rule->linear_light && !transform_copies(decoded, &r->plan, r->picture);
	struct resampling how = {(enum filter)r->config->filter, in_light};
	if (in_light && decoded->model == MODEL_YCC && !colour_to_rgb(a, decoded, err))
		return false;
	if (!in_light)
		alpha_multiply(decoded);
	if (!transform(a, decoded, &r->plan, r->picture, how, r->work, picture, err))
		return false;
	if (in_light)
		alpha_multiply(picture);
	return true;
}

static struct metadata answer_metadata(struct arena *a, const struct recipe *r)
{
	const struct plan *plan = &r->plan;
	bool stored_swapped = facts_swapped(&r->picture->facts);
	double x = 1 / (stored_swapped ? plan->step_y : plan->step_x), y = 1 / (stored_swapped ? plan->step_x : plan->step_y);
	struct metadata m = metadata_keep(a, &r->picture->metadata, (enum metadata_policy)r->rule->metadata, x, y);
	if (transform_swaps(plan, r->picture)) {
		double across = m.per_cm_x;
		m.per_cm_x = m.per_cm_y;
		m.per_cm_y = across;
	}
	/* Between the axes there is no one resolution. */
	if (transform_leaves_turning(plan) && m.per_cm_x != m.per_cm_y)
		m.per_cm_x = m.per_cm_y = 0;
	return m;
}

const char *path_name(enum path path)
{
	static const char *const names[] = {[PATH_NONE] = "", [PATH_PASS] = "pass", [PATH_STITCH] = "stitch",
					    [PATH_PLANES] = "planes", [PATH_WAND] = "wand"};
	return names[path];
}

/* Whether stored samples are the answer's: NULL, else why not. */
static const char *why_not_as_stored(const struct recipe *r)
{
	const struct plan *plan = &r->plan;
	const struct picture *p = r->picture;
	if (!r->config->pass_through)
		return "pass_through is off";
	if (plan->format != FORMAT_JPG)
		return "the answer is no JPEG";
	if (!p->decoder->stored)
		return "the source has no stored tiles";
	if (plan->mirror || plan->degrees || p->facts.orientation != 1)
		return "it is turned or mirrored";
	if (plan->quality == QUALITY_BITONAL || (plan->gray && !p->facts.gray))
		return "it loses its colours";
	return NULL;
}

/* What is written in front of the pixels comes on top of them: twice, where the one goes into boxes of the other. */
static uint64_t body_limit(const struct recipe *r, const struct encode_options *o)
{
	const struct metadata *m = &o->metadata;
	uint64_t front = m->exif.n + m->xmp.n + m->iptc.n + (r->rule->colour == COLOUR_KEEP ? r->picture->icc_bytes : 0);
	return encoder_body_bytes(r->plan.out_w, r->plan.out_h) + 2 * front;
}

/* The answer made of stored tiles, if that can be: NULL; else why not, or "" with an error. */
static const char *pass_tiles(struct arena *a, struct arena *scratch, const struct recipe *r,
			      const struct encode_options *options, struct answer *answer, struct error *err)
{
	const struct picture *p = r->picture;
	struct stored_tiles tiles;
	uint64_t most = body_limit(r, options);
	const char *why = why_not_as_stored(r);
	if (!why)
		why = p->decoder->stored(scratch, p, &r->wants, most, &tiles, err);
	if (why)
		return why;
	struct str icc = {0};
	if (r->rule->colour == COLOUR_KEEP)
		icc = (struct str){(const char *)p->icc, p->icc_bytes};
	struct buf *out = buf_open(a, most);
	why = passthrough_write(scratch, &tiles, &options->metadata, icc, out);
	if (why)
		return why;
	if (out->failed)
		return "the stored tiles are too large";
	answer->path = tiles.across * tiles.down > 1 ? PATH_STITCH : PATH_PASS;
	answer->body = buf_view(out);
	return NULL;
}

/* Whether that is done; else perhaps there is an error. */
static bool pass_on(struct arena *a, const struct recipe *r, const struct encode_options *options, struct answer *answer,
		    struct error *err)
{
	struct arena *scratch = arena_open();
	const char *why = pass_tiles(a, scratch, r, options, answer, err);
	arena_close(scratch);
	answer->why_not_passed = why ? why : "";
	return !why;
}

/* Decodes, converts and transforms. */
static bool make_picture(struct arena *a, const struct recipe *r, struct stopwatch *watch, struct image *picture,
			 struct error *err)
{
	const struct picture *p = r->picture;
	const struct plan *plan = &r->plan;
	struct image decoded;

	bool ok = p->decoder->read(a, p, &r->wants, &decoded, err);
	stopwatch_lap(watch, STAGE_READ);
	ok = ok && (converts(r) ? colour_to_srgb : colour_as_it_is)(a, &decoded, plan->gray, err);
	stopwatch_lap(watch, STAGE_COLOUR);
	ok = ok && scale_picture(a, r, &decoded, picture, err);
	ok = ok && finish_picture(a, r, picture, err);
	if (ok && r->rule->colour == COLOUR_KEEP) {
		picture->icc = decoded.icc;
		picture->icc_bytes = decoded.icc_bytes;
	}
	stopwatch_lap(watch, STAGE_TRANSFORM);
	return ok;
}

bool recipe_run(struct arena *a, const struct recipe *r, struct stopwatch *watch, struct answer *answer,
		struct error *err)
{
	const struct config *c = r->config;
	const struct plan *plan = &r->plan;
	struct encode_options options = encode_options(c, plan->quality == QUALITY_BITONAL);
	struct image picture;

	*answer = (struct answer){.path = PATH_NONE};
	*err = (struct error){0};
	options.metadata = answer_metadata(a, r);
	if (pass_on(a, r, &options, answer, err)) {
		stopwatch_lap(watch, STAGE_READ);
		return true;
	}
	answer->path = r->encoder->by_wand ? PATH_WAND : PATH_PLANES;
	if (err->status || !make_picture(a, r, watch, &picture, err))
		return false;

	/* What goes wrong from here on is not the original's fault. */
	metrics_mark(MARK_NONE, 0, 0);
	deadline_start(c->max_decode_ms, "encoding");
	struct buf *out = buf_open(a, body_limit(r, &options));
	bool ok = r->encoder->write(&picture, &options, out, err);
	deadline_end();
	stopwatch_lap(watch, STAGE_ENCODE);
	answer->body = buf_view(out);
	return ok;
}

bool recipe_make(const struct config *config, const struct config_rule *rule, const struct picture *picture,
		 const struct encoder *encoder, const struct request *request, const struct limits *limits,
		 struct recipe *r, struct error *err)
{
	*r = (struct recipe){.config = config, .rule = rule, .picture = picture, .encoder = encoder};
	if (!plan_make(request, &picture->facts, limits, &r->plan, err))
		return false;
	r->layout = make_layout(r);
	r->work = working_layout(&r->plan, r->layout);
	r->wants = transform_wants(&r->plan, picture, r->work);
	r->wants.recover = rule->recover;
	r->wants.converts = converts(r);
	r->wants.in_light = rule->linear_light;
	if (!picture->facts.gray && converts(r) && !colour_luma_suffices(picture)) {
		/* Gray is the luma of the colours that are shown, not of those that are stored. */
		r->wants.gray = false;
		r->wants.upsamples = true;
	}
	return check_memory(r, err);
}
