/* SPDX-License-Identifier: BSD-2-Clause */
#include "palette.h"

#include <string.h>

#define OPAQUE 128
#define BITS 5
#define BINS (1 << 3 * BITS)
#define UNKNOWN 0xffff
#define SEEN 2048   /* slots for at most 256 colours */

struct rgb {
	uint8_t at[3];
};

/* Colours that fall together in the five highest bits of each channel. */
struct bin {
	uint64_t n, sum[3];
	uint16_t key;
};

struct box {
	size_t from, end;              /* bins */
	double spread;                 /* along its widest axis, times pixels */
	int axis;
	double mean[3];
};

struct work {
	const struct image *image;
	struct palette *out;
	uint8_t *index;
	uint32_t w, h;
	struct bin *bins;
	size_t n_bins;
	uint16_t nearest[BINS];        /* the palette's entry for the middle of a bin */
	int16_t channel[3][256];       /* of the palette */
};

static struct rgb pixel(const struct work *k, uint32_t x, uint32_t y)
{
	struct rgb v;
	for (int c = 0; c < 3; c++)
		v.at[c] = k->image->plane[c].at[y * k->image->plane[c].stride + x];
	return v;
}

static bool is_clear(const struct work *k, uint32_t x, uint32_t y)
{
	const struct plane *o = &k->image->plane[k->image->n];
	return k->image->alpha && o->at[y * o->stride + x] < OPAQUE;
}

static uint16_t key_of(struct rgb v)
{
	return (uint16_t)(v.at[0] >> 3 << 10 | v.at[1] >> 3 << 5 | v.at[2] >> 3);
}

static void gray(struct work *k, bool bitonal)
{
	const struct plane *p = &k->image->plane[0];
	int levels = bitonal ? 2 : 256;
	for (int i = 0; i < levels; i++)
		memset(k->out->rgb[i], bitonal ? i * 255 : i, 3);
	k->out->n = levels;
	if (k->image->alpha) {
		k->out->clear = bitonal ? 2 : 1;
		k->out->n = bitonal ? 3 : 256;
	}
	for (uint32_t y = 0; y < k->h; y++)
		for (uint32_t x = 0; x < k->w; x++) {
			uint8_t v = p->at[y * p->stride + x];
			int i = bitonal ? v >= 128 : v;
			if (is_clear(k, x, y))
				i = k->out->clear;
			else if (i == k->out->clear)
				i = 0;
			k->index[(size_t)y * k->w + x] = (uint8_t)i;
		}
}

/* The colours as they are, if there are at most so many. */
static bool exact(struct work *k, int most)
{
	int16_t seen[SEEN];
	struct palette *out = k->out;
	memset(seen, 0xff, sizeof seen);
	for (uint32_t y = 0; y < k->h; y++)
		for (uint32_t x = 0; x < k->w; x++) {
			if (is_clear(k, x, y))
				continue;
			struct rgb v = pixel(k, x, y);
			uint32_t slot = (v.at[0] * 2654435761u + v.at[1] * 40503u * 65537u + v.at[2] * 97u) >> 7;
			for (slot %= SEEN; seen[slot] >= 0 && memcmp(out->rgb[seen[slot]], v.at, 3) != 0;)
				slot = (slot + 1) % SEEN;
			if (seen[slot] < 0) {
				if (out->n == most) {
					out->n = 0;
					return false;
				}
				memcpy(out->rgb[out->n], v.at, 3);
				seen[slot] = (int16_t)out->n++;
			}
			k->index[(size_t)y * k->w + x] = (uint8_t)seen[slot];
		}
	return true;
}

static void count(struct work *k)
{
	for (uint32_t y = 0; y < k->h; y++)
		for (uint32_t x = 0; x < k->w; x++) {
			if (is_clear(k, x, y))
				continue;
			struct rgb v = pixel(k, x, y);
			struct bin *b = &k->bins[key_of(v)];
			b->n++;
			for (int c = 0; c < 3; c++)
				b->sum[c] += v.at[c];
		}
	for (size_t i = 0; i < BINS; i++)
		if (k->bins[i].n) {
			k->bins[k->n_bins] = k->bins[i];
			k->bins[k->n_bins++].key = (uint16_t)i;
		}
}

static void measure(const struct work *k, struct box *b)
{
	double n = 0, sum[3] = {0}, squares[3] = {0};
	for (size_t i = b->from; i < b->end; i++) {
		const struct bin *bin = &k->bins[i];
		n += (double)bin->n;
		for (int c = 0; c < 3; c++) {
			double v = (double)bin->sum[c];
			sum[c] += v;
			squares[c] += v * v / (double)bin->n;
		}
	}
	b->spread = 0;
	for (int c = 0; c < 3; c++) {
		double spread = squares[c] - sum[c] * sum[c] / n;
		b->mean[c] = sum[c] / n;
		if (spread > b->spread) {
			b->spread = spread;
			b->axis = c;
		}
	}
	if (b->end - b->from == 1)
		b->spread = 0;
}

/* Bins below the mean of the widest axis go to the front; their end is where the box splits. */
static size_t part(struct work *k, const struct box *b)
{
	size_t split = b->from;
	for (size_t i = b->from; i < b->end; i++) {
		struct bin bin = k->bins[i];
		if ((double)bin.sum[b->axis] >= b->mean[b->axis] * (double)bin.n)
			continue;
		k->bins[i] = k->bins[split];
		k->bins[split++] = bin;
	}
	return split;
}

static void choose(struct work *k, int most)
{
	struct box boxes[256] = {{.from = 0, .end = k->n_bins}};
	int n = 1;
	measure(k, &boxes[0]);
	while (n < most) {
		struct box *widest = &boxes[0];
		for (int i = 1; i < n; i++)
			if (boxes[i].spread > widest->spread)
				widest = &boxes[i];
		size_t split = part(k, widest);
		if (widest->spread <= 0 || split == widest->from || split == widest->end)
			break;
		boxes[n] = (struct box){.from = split, .end = widest->end};
		widest->end = split;
		measure(k, widest);
		measure(k, &boxes[n++]);
	}
	for (int i = 0; i < n; i++)
		for (int c = 0; c < 3; c++)
			k->out->rgb[i][c] = (uint8_t)(boxes[i].mean[c] + 0.5);
	k->out->n = n;
}

/* The first of the nearest to the middle of the colour's bin. All distances first: that loop is vectorised. */
static uint16_t find_nearest(const struct work *k, struct rgb v)
{
	int distance[256] = {0};
	for (int c = 0; c < 3; c++) {
		int16_t middle = (int16_t)((v.at[c] & 0xf8) + 4);
		for (int i = 0; i < 256; i++) {
			int16_t d = (int16_t)(middle - k->channel[c][i]);
			distance[i] += d * d;
		}
	}
	uint16_t least = 0;
	for (int i = 1; i < k->out->n; i++)
		least = distance[i] < distance[least] ? (uint16_t)i : least;
	return least;
}

static int nearest(struct work *k, struct rgb v)
{
	uint16_t *known = &k->nearest[key_of(v)];
	if (*known == UNKNOWN)
		*known = find_nearest(k, v);
	return *known;
}

static uint8_t clamped(int v)
{
	return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
}

/* here, below: what is owed to this row and the next, in sixteenths, with a place beyond either end. */
static void dither_row(struct work *k, uint32_t y, int (*here)[3], int (*below)[3])
{
	int step = y & 1 ? -1 : 1;
	for (uint32_t i = 0; i < k->w; i++) {
		uint32_t x = y & 1 ? k->w - 1 - i : i;
		uint8_t *index = &k->index[(size_t)y * k->w + x];
		if (is_clear(k, x, y)) {
			*index = (uint8_t)k->out->clear;
			continue;
		}
		struct rgb v = pixel(k, x, y), want;
		for (int c = 0; c < 3; c++)
			want.at[c] = clamped(v.at[c] + here[x + 1][c] / 16);
		*index = (uint8_t)nearest(k, want);
		for (int c = 0; c < 3; c++) {
			int error = want.at[c] - k->out->rgb[*index][c];
			here[(int64_t)x + 1 + step][c] += error * 7;
			below[(int64_t)x + 1 - step][c] += error * 3;
			below[x + 1][c] += error * 5;
			below[(int64_t)x + 1 + step][c] += error;
		}
	}
}

static void dither(struct arena *a, struct work *k)
{
	size_t n = (size_t)k->w + 2;
	int(*here)[3] = arena_alloc(a, n * sizeof *here), (*below)[3] = arena_alloc(a, n * sizeof *below);
	memset(k->nearest, 0xff, sizeof k->nearest);
	for (int i = 0; i < k->out->n; i++)
		for (int c = 0; c < 3; c++)
			k->channel[c][i] = k->out->rgb[i][c];
	for (uint32_t y = 0; y < k->h; y++) {
		dither_row(k, y, here, below);
		int(*done)[3] = here;
		here = below;
		below = done;
		memset(below, 0, n * sizeof *below);
	}
}

static void mark_clear(struct work *k)
{
	for (uint32_t y = 0; y < k->h; y++)
		for (uint32_t x = 0; x < k->w; x++)
			if (is_clear(k, x, y))
				k->index[(size_t)y * k->w + x] = (uint8_t)k->out->clear;
}

static void colours(struct arena *a, struct work *k)
{
	int most = k->image->alpha ? 255 : 256;
	bool kept = exact(k, most);
	if (!kept) {
		k->bins = arena_array(a, struct bin, BINS);
		count(k);
		choose(k, most);
	}
	if (k->image->alpha)
		k->out->clear = k->out->n++;
	if (kept)
		mark_clear(k);
	else
		dither(a, k);
}

uint8_t *palette_make(struct arena *a, const struct image *image, bool bitonal, struct palette *out, struct error *err)
{
	struct arena *scratch = arena_open();
	struct work *k = arena_new(scratch, struct work);
	*out = (struct palette){.clear = -1};
	k->image = image;
	k->out = out;
	k->w = image->plane[0].w;
	k->h = image->plane[0].h;
	k->index = arena_block(a, (size_t)k->w * k->h, err);
	if (k->index && image->n == 1)
		gray(k, bitonal);
	else if (k->index)
		colours(scratch, k);
	uint8_t *index = k->index;
	arena_close(scratch);
	return index;
}

uint64_t palette_memory(uint32_t w, uint32_t h)
{
	return (uint64_t)w * h + (uint64_t)w * 32 + BINS * sizeof(struct bin) + (1 << 20);
}
