/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a region of a JPEG 2000 image becomes planes.
 *
 * Sample n of a component that is subsampled by s, at a resolution reduced by r, lies at point n s 2^r of the reference
 * grid, which is the centre of a pixel. So reduced samples do not sit on the grid of a picture reduced by the same factor,
 * and every reduced read needs the filter's margin.
 *
 * Each touched tile is decoded by a codec of its own, and its samples go into 8-bit planes before the next one's turn.
 */
#include "jp2_read.h"

#include <math.h>

#include <openjpeg.h>

#include "alpha.h"
#include "colour.h"
#include "jp2_channels.h"
#include "jp2_tile.h"
#include "resample.h"

#define STREAM_BUFFER 16384

/* The codec's own facts. */
struct jp2_file {
	struct jp2_head head;
	struct jp2_channels channels;
};

static const struct jp2_component *component_of(const struct jp2_file *file, int channel)
{
	return &file->head.component[file->channels.channel[channel].component];
}

/* How many times fewer samples chroma has than luma; 1 without chroma. */
static int chroma_x(const struct jp2_file *file, enum model model)
{
	return model == MODEL_YCC ? component_of(file, 1)->dx / component_of(file, 0)->dx : 1;
}

static int chroma_y(const struct jp2_file *file, enum model model)
{
	return model == MODEL_YCC ? component_of(file, 1)->dy / component_of(file, 0)->dy : 1;
}

static bool jp2_open(struct arena *a, uint32_t page, struct picture *p, struct error *err)
{
	struct jp2_file *file = arena_new(a, struct jp2_file);
	struct jp2_head *h = &file->head;
	struct jp2_channels *c = &file->channels;
	struct jp2_boxes boxes;
	if (page != 1)
		return fail(err, 404, REASON_NOT_FOUND, "The image has no such page.", "a JPEG 2000 image has one page");
	if (!jp2_boxes_read(a, p->source, &boxes, err) ||
	    !jp2_head_read(a, p->source, boxes.at, boxes.end, h, err) || !jp2_channels_read(a, &boxes, h, c, err))
		return false;

	struct facts *f = &p->facts;
	p->codec = file;
	p->icc = c->icc;
	p->icc_bytes = c->icc_bytes;
	p->stored_w = h->x1 - h->x0;
	p->stored_h = h->y1 - h->y0;
	f->gray = c->model == MODEL_GRAY;
	f->alpha = c->alpha;
	if (h->across * h->down > 1 && h->tile_x0 == h->x0 && h->tile_y0 == h->y0) {
		f->tile_w = h->tile_w < p->stored_w ? h->tile_w : p->stored_w;
		f->tile_h = h->tile_h < p->stored_h ? h->tile_h : p->stored_h;
	}
	f->chroma_x = (uint8_t)chroma_x(file, c->model);
	f->chroma_y = (uint8_t)chroma_y(file, c->model);
	int deepest = c->palette || c->coarse ? 0 : h->coding.levels;
	for (int r = 0; r <= deepest && f->n_levels < FACTS_MAX_LEVELS; r++) {
		uint32_t w = (uint32_t)(((uint64_t)p->stored_w + (1ull << r) - 1) >> r);
		uint32_t v = (uint32_t)(((uint64_t)p->stored_h + (1ull << r) - 1) >> r);
		if (r && w == f->level[r - 1].w && v == f->level[r - 1].h)
			break;
		f->level[r].w = w;
		f->level[r].h = v;
		f->n_levels = r + 1;
	}
	return true;
}

/* What a read comes to. */
struct task {
	const struct jp2_file *file;
	const struct jp2_head *h;
	enum model model;
	int n;                         /* channels, opacity included */
	bool alpha;
	bool bare;                     /* components as stored, without the inverse component transform */
	int reduce[JP2_MAX_CHANNELS];                 /* of each channel */
	struct rect cover;             /* on the reference grid */
	uint32_t first_x, first_y, end_x, end_y;   /* tiles */
};

static uint32_t reduced(uint32_t grid, uint32_t sub, int reduce)
{
	uint64_t sample = ((uint64_t)grid + sub - 1) / sub;
	return (uint32_t)((sample + (1ull << reduce) - 1) >> reduce);
}

/* The samples of a channel in a rectangle of the grid. */
static struct rect samples_of(const struct task *t, int channel, struct rect r)
{
	uint32_t dx = component_of(t->file, channel)->dx, dy = component_of(t->file, channel)->dy;
	struct rect s = {reduced(r.x, dx, t->reduce[channel]), reduced(r.y, dy, t->reduce[channel]),
			 reduced(r.x + r.w, dx, t->reduce[channel]), reduced(r.y + r.h, dy, t->reduce[channel])};
	s.w -= s.x;
	s.h -= s.y;
	return s;
}

static struct rect intersect(struct rect a, struct rect b)
{
	uint32_t right = a.x + a.w < b.x + b.w ? a.x + a.w : b.x + b.w;
	uint32_t bottom = a.y + a.h < b.y + b.h ? a.y + a.h : b.y + b.h;
	struct rect r = {a.x > b.x ? a.x : b.x, a.y > b.y ? a.y : b.y, 0, 0};
	r.w = right > r.x ? right - r.x : 0;
	r.h = bottom > r.y ? bottom - r.y : 0;
	return r;
}

static struct rect cover_at(const struct task *t, const struct picture *p, const struct wants *w)
{
	const struct jp2_head *h = t->h;
	const struct jp2_component *first = component_of(t->file, 0);
	double dx = ldexp(first->dx, t->reduce[0]), dy = ldexp(first->dy, t->reduce[0]);
	bool chroma = t->model == MODEL_YCC;
	int sub_x = chroma ? chroma_x(t->file, t->model) << (t->reduce[1] - t->reduce[0]) : 0;
	int sub_y = chroma ? chroma_y(t->file, t->model) << (t->reduce[1] - t->reduce[0]) : 0;
	bool on_grid = dx == 1 && dy == 1 && sub_x <= 1 && sub_y <= 1;
	struct rect r = (on_grid ? decoder_cover : decoder_cover_off_grid)(p, w, dx, dy, sub_x, sub_y);
	r.x += h->x0;
	r.y += h->y0;
	return r;
}

static bool has_samples(const struct task *t)
{
	for (int i = 0; i < t->n; i++) {
		struct rect s = samples_of(t, i, t->cover);
		if (!s.w || !s.h)
			return false;
	}
	return true;
}

/*
 * Whether the components are JFIF's Y, Cb and Cr before the inverse component transform: the irreversible one is the very
 * same matrix.
 */
static bool is_ycc_inside(const struct jp2_file *file)
{
	const struct jp2_coding *coding = &file->head.coding;
	const struct jp2_channels *c = &file->channels;
	bool straight = c->model == MODEL_RGB && !c->alpha && !c->palette;
	for (int i = 0; straight && i < 3; i++)
		straight = c->channel[i].component == i && file->head.component[i].bits == 8 &&
			   !file->head.component[i].is_signed;
	return straight && coding->mct && !coding->reversible && coding->uniform;
}

/* At full scale halved chroma would need a margin that nothing else needs, and with it more tiles. */
static bool gains_by_ycc(const struct wants *w)
{
	return w->gray || (w->chroma_x == 2 && w->chroma_y == 2 && w->step_x > 1 && w->step_y > 1);
}

static struct task make_task(const struct picture *p, const struct wants *w)
{
	const struct jp2_file *file = p->codec;
	const struct jp2_head *h = &file->head;
	struct task t = {.file = file, .h = h, .model = file->channels.model, .alpha = file->channels.alpha};
	int r = 0, deepest = p->facts.n_levels - 1;
	double dx = component_of(file, 0)->dx, dy = component_of(file, 0)->dy;

	t.bare = gains_by_ycc(w) && is_ycc_inside(file);
	if (t.bare)
		t.model = MODEL_YCC;
	if (w->gray && t.model == MODEL_YCC && !t.alpha)
		t.model = MODEL_GRAY;
	t.n = model_planes(t.model) + t.alpha;
	while (r < deepest && ldexp(dx, r + 1) <= w->step_x * (1 + 1e-9) && ldexp(dy, r + 1) <= w->step_y * (1 + 1e-9))
		r++;
	do {
		/* Chroma that will be halved is read at the next resolution; a profile or light wants all there is. */
		bool next = t.bare && !p->icc_bytes && !w->in_light && r < deepest;
		for (int i = 0; i < t.n; i++)
			t.reduce[i] = r + (i > 0 && next);
		t.cover = cover_at(&t, p, w);
	} while (!has_samples(&t) && r-- > 0);

	t.first_x = (t.cover.x - h->tile_x0) / h->tile_w;
	t.first_y = (t.cover.y - h->tile_y0) / h->tile_h;
	t.end_x = (t.cover.x + t.cover.w - 1 - h->tile_x0) / h->tile_w + 1;
	t.end_y = (t.cover.y + t.cover.h - 1 - h->tile_y0) / h->tile_h + 1;
	return t;
}

/* --- OpenJPEG ------------------------------------------------------------------------------------ */

struct feed {
	struct source *source;
	struct jp2_piece *piece;
	size_t n;
	uint64_t at, length;
	struct error *err;
};

static OPJ_SIZE_T on_read(void *to, OPJ_SIZE_T n, void *user)
{
	struct feed *f = user;
	uint64_t start = 0;
	for (size_t i = 0; i < f->n; start += f->piece[i++].n) {
		const struct jp2_piece *p = &f->piece[i];
		if (f->at >= start + p->n)
			continue;
		uint64_t into = f->at - start;
		if (n > p->n - into)
			n = (OPJ_SIZE_T)(p->n - into);
		if (p->bytes)
			memcpy(to, p->bytes + into, n);
		else if (!source_read(f->source, to, n, p->at + into, f->err))
			return (OPJ_SIZE_T)-1;
		f->at += n;
		return n;
	}
	return (OPJ_SIZE_T)-1;
}

static OPJ_BOOL on_seek(OPJ_OFF_T to, void *user)
{
	struct feed *f = user;
	if (to < 0 || (uint64_t)to > f->length)
		return OPJ_FALSE;
	f->at = (uint64_t)to;
	return OPJ_TRUE;
}

static OPJ_OFF_T on_skip(OPJ_OFF_T n, void *user)
{
	struct feed *f = user;
	return on_seek((OPJ_OFF_T)f->at + n, user) ? n : -1;
}

/* The first message is the cause. */
static void on_error(const char *text, void *user)
{
	struct error *err = user;
	if (!err->status)
		fail(err, 500, REASON_DAMAGED, "The image is damaged.", "OpenJPEG: %.*s", (int)strcspn(text, "\n"), text);
}

static void on_message(const char *text, void *user)
{
	(void)text;
	(void)user;
}

static bool damaged(struct error *err, const char *what)
{
	if (err->status)
		return false;
	return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "OpenJPEG: %s", what);
}

struct decoding {
	opj_codec_t *codec;
	opj_stream_t *stream;
	opj_image_t *image;
	struct feed feed;
};

static void close_decoding(void *what)
{
	struct decoding *d = what;
	opj_image_destroy(d->image);
	if (d->stream)
		opj_stream_destroy(d->stream);
	if (d->codec)
		opj_destroy_codec(d->codec);
}

static bool open_decoding(struct decoding *d, int reduce, struct error *err)
{
	opj_dparameters_t parameters;
	opj_set_default_decoder_parameters(&parameters);
	parameters.cp_reduce = (OPJ_UINT32)reduce;
	d->feed.err = err;
	for (size_t i = 0; i < d->feed.n; i++)
		d->feed.length += d->feed.piece[i].n;

	d->codec = opj_create_decompress(OPJ_CODEC_J2K);
	d->stream = opj_stream_create(STREAM_BUFFER, OPJ_STREAM_READ);
	if (!d->codec || !d->stream)
		return fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.", "no memory for OpenJPEG");
	opj_set_error_handler(d->codec, on_error, err);
	opj_set_warning_handler(d->codec, on_message, NULL);
	opj_set_info_handler(d->codec, on_message, NULL);
	opj_stream_set_read_function(d->stream, on_read);
	opj_stream_set_seek_function(d->stream, on_seek);
	opj_stream_set_skip_function(d->stream, on_skip);
	opj_stream_set_user_data(d->stream, &d->feed, NULL);
	opj_stream_set_user_data_length(d->stream, d->feed.length);
	return (opj_setup_decoder(d->codec, &parameters) && opj_decoder_set_strict_mode(d->codec, OPJ_TRUE) &&
		opj_codec_set_threads(d->codec, 0) && opj_read_header(d->stream, d->codec, &d->image)) ||
	       damaged(err, "the header cannot be read");
}

/* The components of the channels that are decoded together, each once; returns their number. */
static OPJ_UINT32 list_components(const struct task *t, int from, int end, OPJ_UINT32 *list, int *place)
{
	OPJ_UINT32 n = 0;
	for (int c = 0; c < t->h->n; c++) {
		bool used = false;
		for (int i = from; i < end; i++)
			if (t->file->channels.channel[i].component == c) {
				place[i] = (int)n;
				used = true;
			}
		if (used)
			list[n++] = (OPJ_UINT32)c;
	}
	return n;
}

static void look_up(const struct jp2_channel *c, const OPJ_INT32 *from, void *to, uint32_t n, bool deep)
{
	unsigned mask = c->mask;
	if (deep) {
		const uint16_t *table = c->table;
		uint16_t *sample = to;
		for (uint32_t x = 0; x < n; x++)
			sample[x] = table[(unsigned)from[x] & mask];
	} else {
		const uint8_t *table = c->table;
		uint8_t *sample = to;
		for (uint32_t x = 0; x < n; x++)
			sample[x] = table[(unsigned)from[x] & mask];
	}
}

static void scale(const struct jp2_channel *c, const OPJ_INT32 *from, void *to, uint32_t n, bool deep)
{
	float gain = c->scale, offset = c->offset + 0.5f, end = deep ? 65535.5f : 255.5f;
	for (uint32_t x = 0; x < n; x++) {
		float v = (float)from[x] * gain + offset;
		v = v < 0 ? 0 : v > end ? end : v;
		if (deep)
			((uint16_t *)to)[x] = (uint16_t)v;
		else
			((uint8_t *)to)[x] = (uint8_t)v;
	}
}

/* What is decoded of a tile to get a part of it: OpenJPEG 2.5.0 gets parts wrong where blocks are of high throughput. */
static struct rect area_for(const struct task *t, struct rect tile, struct rect part)
{
	return t->h->coding.high_throughput ? tile : part;
}

/* Of what was decoded, the part that is wanted. */
static bool put_samples(const struct task *t, int channel, const opj_image_comp_t *c, struct rect area,
			struct rect part, struct image *out, struct error *err)
{
	struct rect all = samples_of(t, channel, t->cover), s = samples_of(t, channel, part);
	struct rect got = samples_of(t, channel, area);
	const struct plane *p = &out->plane[channel];
	const struct jp2_channel *as = &t->file->channels.channel[channel];
	if (!s.w || !s.h)
		return true;
	if (!c->data || c->w != got.w || c->h != got.h)
		return damaged(err, "a tile came out at another size");
	for (uint32_t y = 0; y < s.h; y++) {
		uint8_t *to = p->at + (size_t)(s.y - all.y + y) * p->stride + (size_t)(s.x - all.x) * (out->deep ? 2 : 1);
		const OPJ_INT32 *from = c->data + (size_t)(s.y - got.y + y) * got.w + (s.x - got.x);
		(as->table ? look_up : scale)(as, from, to, s.w, out->deep);
	}
	return true;
}

/* Channels from..end-1, of equal reduction, of one tile into the planes. */
static bool read_tile(const struct task *t, struct source *source, uint32_t across, uint32_t down, int from, int end,
		      struct image *out, struct error *err)
{
	struct arena *scratch = arena_open();
	struct decoding *d = arena_new(scratch, struct decoding);
	struct rect tile = jp2_tile_rect(t->h, across, down), part = intersect(tile, t->cover);
	struct rect area = area_for(t, tile, part);
	OPJ_UINT32 list[JP2_MAX_COMPONENTS];
	int place[JP2_MAX_CHANNELS] = {0};
	OPJ_UINT32 n = list_components(t, from, end, list, place);
	bool some = t->bare || (!t->h->coding.mct && n < (OPJ_UINT32)t->h->n);

	arena_defer(scratch, close_decoding, d);
	d->feed.source = source;
	d->feed.n = jp2_tile_stream(scratch, t->h, across, down, &d->feed.piece);
	bool ok = open_decoding(d, t->reduce[from], err) &&
		  (!some || opj_set_decoded_components(d->codec, n, list, OPJ_FALSE)) &&
		  opj_set_decode_area(d->codec, d->image, (OPJ_INT32)area.x, (OPJ_INT32)area.y,
				      (OPJ_INT32)(area.x + area.w), (OPJ_INT32)(area.y + area.h)) &&
		  opj_decode(d->codec, d->stream, d->image);
	if (!ok || err->status)
		ok = damaged(err, "a tile cannot be decoded");
	for (int i = from; ok && i < end; i++) {
		int c = some ? place[i] : t->file->channels.channel[i].component;
		ok = (OPJ_UINT32)c < d->image->numcomps ? put_samples(t, i, &d->image->comps[c], area, part, out, err)
							: damaged(err, "a component is missing");
	}
	arena_close(scratch);
	return ok;
}

static bool is_empty(const struct task *t, int from, int end, struct rect part)
{
	for (int i = from; i < end; i++) {
		struct rect s = samples_of(t, i, part);
		if (s.w && s.h)
			return false;
	}
	return true;
}

static bool alloc_planes(struct arena *a, const struct task *t, struct image *out, struct error *err)
{
	for (int i = 0; i < t->n; i++) {
		const struct jp2_component *c = component_of(t->file, i);
		struct plane *p = &out->plane[i];
		struct rect s = samples_of(t, i, t->cover);
		if (!(out->deep ? plane_alloc_deep : plane_alloc)(a, p, s.w, s.h, err))
			return false;
		p->dx = ldexp(c->dx, t->reduce[i]);
		p->dy = ldexp(c->dy, t->reduce[i]);
		p->x = s.x * p->dx - t->h->x0 + 0.5 - p->dx / 2;
		p->y = s.y * p->dy - t->h->y0 + 0.5 - p->dy / 2;
	}
	return true;
}

static bool jp2_read(struct arena *a, const struct picture *p, const struct wants *w, struct image *out,
		     struct error *err)
{
	struct task t = make_task(p, w);
	int split = 1;
	*err = (struct error){0};
	*out = (struct image){.model = t.model, .n = model_planes(t.model), .alpha = t.alpha,
			      .deep = t.file->channels.deep, .icc = p->icc, .icc_bytes = p->icc_bytes,
				.icc_hash = p->icc_hash};
	while (split < t.n && t.reduce[split] == t.reduce[0])
		split++;
	bool ok = alloc_planes(a, &t, out, err);
	for (uint32_t y = t.first_y; ok && y < t.end_y; y++)
		for (uint32_t x = t.first_x; ok && x < t.end_x; x++) {
			struct rect part = intersect(jp2_tile_rect(t.h, x, y), t.cover);
			ok = is_empty(&t, 0, split, part) || read_tile(&t, p->source, x, y, 0, split, out, err);
			if (ok && split < t.n)
				ok = is_empty(&t, split, t.n, part) || read_tile(&t, p->source, x, y, split, t.n, out, err);
		}
	if (!ok)
		return source_blame(p->source, err);
	if (out->alpha && out->model == MODEL_YCC && !colour_to_rgb(a, out, err))
		return false;
	if (t.file->channels.premultiplied)
		alpha_divide(out);
	return true;
}

/* --- memory, as measured: OpenJPEG 2.5 on x86-64 ------------------------------------------------- */

#define BLOCK_BYTES 1500           /* a code block with its tag trees, first segments and chunks */
#define LAYER_BYTES 40             /* what a further layer adds to each */
#define SEGMENTS_BYTES 8000        /* where passes are segments of their own */
#define PRECINCT_BYTES 600
#define WHOLE_BYTES 5              /* a sample, when a tile is decoded whole; else in parts, of blocks partly used */
#define PART_BYTES 16
#define PART_MARGIN 160

/* Of a side at a level up to JP2_MAX_LEVELS, hence its width. */
static uint64_t pieces(uint64_t side, int shift, int log2)
{
	return ((side >> shift) >> log2) + 2;
}

/* What OpenJPEG keeps of the structure of the largest tile, whatever part of it is decoded. */
static uint64_t structure_bytes(const struct picture *p)
{
	const struct jp2_head *h = &((const struct jp2_file *)p->codec)->head;
	uint32_t tile_w = h->tile_w < p->stored_w ? h->tile_w : p->stored_w;
	uint32_t tile_h = h->tile_h < p->stored_h ? h->tile_h : p->stored_h;
	const struct jp2_coding *c = &h->coding;
	uint64_t block = BLOCK_BYTES + (uint64_t)c->layers * LAYER_BYTES + (c->terminated ? SEGMENTS_BYTES : 0);
	uint64_t bytes = 0, most = 0;
	for (int i = 0; i < h->n; i++)
		for (int r = 0; r <= c->levels_most; r++) {
			int shift = c->levels_most - r, band = r > 0, pw = c->precinct_w[r], ph = c->precinct_h[r];
			for (int k = 0; !c->uniform && k <= c->levels_most; k++) {
				pw = c->precinct_w[k] < pw ? c->precinct_w[k] : pw;
				ph = c->precinct_h[k] < ph ? c->precinct_h[k] : ph;
			}
			uint32_t w = tile_w / h->component[i].dx + 1, v = tile_h / h->component[i].dy + 1;
			uint64_t precincts = pieces(w, shift, pw) * pieces(v, shift, ph);
			int bw = pw - band < c->block_w ? pw - band : c->block_w, bh = ph - band < c->block_h ? ph - band : c->block_h;
			uint64_t blocks = pieces(w, shift + band, bw < 0 ? 0 : bw) * pieces(v, shift + band, bh < 0 ? 0 : bh);
			bytes += precincts * PRECINCT_BYTES + blocks * (band ? 3 : 1) * block;
			most = precincts > most ? precincts : most;
		}
	/* Each packet of each layer has its mark. */
	return bytes + 2 * ((uint64_t)c->layers + 1) * (unsigned)(c->levels_most + 1) * (unsigned)h->n * most;
}

/* What is decoded of a tile, and its bytes. */
static uint64_t tile_bytes(const struct task *t, uint32_t across, uint32_t down)
{
	struct rect tile = jp2_tile_rect(t->h, across, down), part = area_for(t, tile, intersect(tile, t->cover));
	const struct jp2_tile *stored = &t->h->tile[down * t->h->across + across];
	bool whole = part.w == tile.w && part.h == tile.h;
	uint64_t samples = 0, margin = whole ? 2 : PART_MARGIN;
	for (int i = 0; i < t->h->n; i++) {
		uint64_t w = (part.w / t->h->component[i].dx >> t->reduce[0]) + margin;
		uint64_t h = (part.h / t->h->component[i].dy >> t->reduce[0]) + margin;
		samples += w * h;
	}
	return samples * (whole ? WHOLE_BYTES : PART_BYTES) + stored->bytes * (stored->n > 1 ? 2 : 1);
}

static uint64_t plane_bytes(const struct task *t)
{
	uint64_t bytes = 0;
	struct rect first = samples_of(t, 0, t->cover);
	for (int i = 0; i < t->n; i++) {
		struct rect s = samples_of(t, i, t->cover);
		bytes += ((uint64_t)s.w * (t->file->channels.deep ? 2 : 1) + 64) * s.h;
	}
	/* Chroma beside opacity becomes as large as luma. */
	if (t->model == MODEL_YCC && t->alpha)
		bytes += 2 * ((uint64_t)first.w + 64) * first.h + resample_memory(first.w, first.w) +
			 resample_memory(first.h, first.h);
	return bytes;
}

static uint64_t jp2_memory(const struct picture *p, const struct wants *w)
{
	struct task t = make_task(p, w);
	uint64_t most = 0;
	for (uint32_t y = t.first_y; y < t.end_y; y++)
		for (uint32_t x = t.first_x; x < t.end_x; x++) {
			uint64_t bytes = tile_bytes(&t, x, y);
			most = bytes > most ? bytes : most;
		}
	return plane_bytes(&t) + most + structure_bytes(p) + (1 << 20);
}

const struct decoder jp2_decoder = {
	.name = "jp2",
	.knows = jp2_knows,
	.open = jp2_open,
	.memory = jp2_memory,
	.read = jp2_read,
};
