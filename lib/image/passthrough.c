/* SPDX-License-Identifier: BSD-2-Clause */
#include "passthrough.h"

#include "jpeg_blocks.h"
#include "jpeg_words.h"

#define MOST_COMPONENTS 3
#define MOST_TABLES 16
#define MOST_BLOCKS 10   /* of an MCU */

/* A stream, taken apart; views into it. */
struct stream {
	struct str frame, scan;        /* contents of SOF0 and of SOS */
	struct str table[MOST_TABLES]; /* DQT and DHT as they stand there, with marker and length */
	int n_tables;
	uint32_t interval;             /* MCUs between restart markers, 0 without */
	struct str codes;              /* what is between the head of the scan and the end of the image */
	struct str *part;              /* the codes, cut at the restart markers */
	uint32_t n_parts;
};

/* The tile's frame: all that is asked of it. */
struct shape {
	uint32_t mcus_across, mcus_down;
};

static unsigned get16(const char *at)
{
	const uint8_t *b = (const uint8_t *)at;
	return (unsigned)b[0] << 8 | b[1];
}

/* The next marker segment; content is empty for SOI and EOI. */
static bool take_segment(struct str *rest, uint8_t *marker, struct str *content, struct str *whole)
{
	struct str s = *rest;
	if (s.n < 2 || (uint8_t)s.at[0] != 0xff)
		return false;
	*marker = (uint8_t)s.at[1];
	size_t n = 2;
	if (*marker != JPEG_WORD_SOI && *marker != JPEG_WORD_EOI) {
		if (s.n < 4 || get16(s.at + 2) < 2 || get16(s.at + 2) > s.n - 2)
			return false;
		n += get16(s.at + 2);
	}
	*content = (struct str){s.at + (n > 2 ? 4 : 2), n > 2 ? n - 4 : 0};
	*whole = (struct str){s.at, n};
	*rest = (struct str){s.at + n, s.n - n};
	return true;
}

/* Tables, up to the head of a scan, or to the end of a stream of tables alone. */
static const char *read_head(struct str bytes, struct stream *s, bool tables_only)
{
	struct str content, whole;
	uint8_t marker;
	while (take_segment(&bytes, &marker, &content, &whole)) {
		bool is_app = marker >= JPEG_WORD_APP0 && marker <= JPEG_WORD_APP15;
		if (marker == JPEG_WORD_DQT || marker == JPEG_WORD_DHT) {
			if (s->n_tables == MOST_TABLES)
				return "too many tables";
			s->table[s->n_tables++] = whole;
		} else if (marker == JPEG_WORD_SOF0 && !tables_only && !s->frame.n) {
			s->frame = content;
		} else if (marker == JPEG_WORD_DRI && content.n == 2) {
			s->interval = get16(content.at);
		} else if (marker == JPEG_WORD_SOS && !tables_only && s->frame.n) {
			s->scan = content;
			s->codes = bytes;
			return NULL;
		} else if (marker == JPEG_WORD_EOI && tables_only) {
			return NULL;
		} else if (marker != JPEG_WORD_SOI && marker != JPEG_WORD_COM && !is_app) {
			return "it is not baseline";
		}
	}
	return tables_only && !bytes.n ? NULL : "its head is damaged";
}

static bool has_tables(const struct stream *shared, const struct stream *s, uint8_t marker, uint8_t id)
{
	const struct stream *both[] = {shared, s};
	for (int k = 0; k < 2; k++)
		for (int i = 0; i < both[k]->n_tables; i++) {
			struct str t = both[k]->table[i];
			/* Each of the tables in a segment: DQT has 64 values after its number, DHT as many as its counts say. */
			for (size_t at = 4; (uint8_t)t.at[1] == marker && at < t.n;) {
				uint8_t number = (uint8_t)t.at[at++];
				size_t n = marker == JPEG_WORD_DQT ? (number >> 4 ? 128 : 64) : 16;
				for (int c = 0; marker == JPEG_WORD_DHT && c < 16 && at + (size_t)c < t.n; c++)
					n += (uint8_t)t.at[at + (size_t)c];
				if (number == id && at + n <= t.n)
					return true;
				at += n;
			}
		}
	return false;
}

/* Whether the components are sampled as in all tiles of the level, and fit into an MCU (T.81, B.2.3). */
static bool is_sampled_alike(const uint8_t *components, unsigned n, const struct stored_tiles *t)
{
	unsigned blocks = 0;
	for (unsigned i = 0; i < n; i++) {
		unsigned h = components[3 * i + 1] >> 4, v = components[3 * i + 1] & 15;
		unsigned first_h = components[1] >> 4, first_v = components[1] & 15;
		bool chroma = i > 0;
		if (!h || !v || h > 4 || v > 4 || first_h != h * (chroma ? t->chroma_x : 1) || first_v != v * (chroma ? t->chroma_y : 1))
			return false;
		blocks += h * v;
	}
	return n == 1 || blocks <= MOST_BLOCKS;
}

/* One interleaved scan of the frame's components, in whole MCUs of a whole tile (T.81, B.2.2 and B.2.3). */
static const char *check_frame(const struct stream *shared, const struct stream *s, const struct stored_tiles *t,
			       struct shape *shape)
{
	const uint8_t *f = (const uint8_t *)s->frame.at, *scan = (const uint8_t *)s->scan.at;
	unsigned n = s->frame.n >= 6 ? f[5] : 0;
	if (n != (unsigned)t->components || n > MOST_COMPONENTS || s->frame.n != 6 + 3 * n)
		return "a tile is of another kind";
	if (s->scan.n != 4 + 2 * n || scan[0] != n)
		return "it has more than one scan";
	if (f[0] != 8 || memcmp(scan + 1 + 2 * n, "\0\x3f\0", 3) != 0)
		return "it is not baseline";
	if (get16(s->frame.at + 1) != t->tile_h || get16(s->frame.at + 3) != t->tile_w)
		return "a tile is smaller than its place";
	if (!is_sampled_alike(f + 6, n, t))
		return "a tile is of another kind";
	for (unsigned i = 0; i < n; i++) {
		uint8_t quant = f[8 + 3 * i], dc = scan[2 + 2 * i] >> 4, ac = scan[2 + 2 * i] & 15;
		if (scan[1 + 2 * i] != f[6 + 3 * i])
			return "its frame is damaged";
		if (quant > 3 || dc > 1 || ac > 1 || !has_tables(shared, s, JPEG_WORD_DQT, quant) ||
		    !has_tables(shared, s, JPEG_WORD_DHT, dc) || !has_tables(shared, s, JPEG_WORD_DHT, ac | 16))
			return "a table is missing";
	}
	/* A single component has MCUs of one block, whatever its factors (T.81, A.2.2). */
	unsigned mcu_w = n == 1 ? 8 : 8u * (f[7] >> 4), mcu_h = n == 1 ? 8 : 8u * (f[7] & 15);
	if (t->tile_w % mcu_w || t->tile_h % mcu_h)
		return "tiles are no whole MCUs";
	*shape = (struct shape){t->tile_w / mcu_w, t->tile_h / mcu_h};
	return NULL;
}

/* Cuts the codes at restart markers, which must be all there and in order, up to the end of the image. */
static const char *cut_codes(struct arena *a, struct stream *s, const struct shape *shape)
{
	uint32_t mcus = shape->mcus_across * shape->mcus_down;
	uint32_t most = s->interval ? (mcus + s->interval - 1) / s->interval : 1;
	const char *at = s->codes.at, *end = at + s->codes.n, *from = at;
	s->part = arena_array(a, struct str, most);
	while (at < end && (at = memchr(at, 0xff, (size_t)(end - at))) && at + 1 < end) {
		uint8_t next = (uint8_t)at[1];
		if (next == 0) {
			at += 2;
			continue;
		}
		bool is_end = next == JPEG_WORD_EOI;
		if ((!is_end && next != JPEG_WORD_RST0 + s->n_parts % 8) || s->n_parts == most || at == from)
			break;
		s->part[s->n_parts++] = (struct str){from, (size_t)(at - from)};
		at += 2;
		from = at;
		if (!is_end)
			continue;
		s->codes.n = (size_t)(at - 2 - s->codes.at);
		return s->n_parts == most ? NULL : "a stream is cut off";
	}
	return "a stream is damaged";
}

static bool is_alike(const struct stream *a, const struct stream *b)
{
	bool alike = str_equal(a->frame, b->frame) && str_equal(a->scan, b->scan) && a->interval == b->interval &&
		     a->n_tables == b->n_tables;
	for (int i = 0; alike && i < a->n_tables; i++)
		alike = str_equal(a->table[i], b->table[i]);
	return alike;
}

static const char *read_streams(struct arena *a, const struct stored_tiles *t, struct stream *shared,
				struct stream *streams, struct shape *shape)
{
	uint32_t n = t->across * t->down;
	const char *why = t->tables.n ? read_head(t->tables, shared, true) : NULL;
	for (uint32_t i = 0; i < n && !why; i++) {
		struct stream *s = &streams[i];
		why = read_head(t->stream[i], s, false);
		/* The others will be like the first one. */
		if (!why && i == 0)
			why = check_frame(shared, s, t, shape);
		if (!why && n > 1 && s->interval != shape->mcus_across)
			why = "tiles have no restart marker after each row of MCUs";
		if (!why && !is_alike(&streams[0], s))
			why = "tiles differ in their tables";
		if (!why)
			why = cut_codes(a, s, shape);
	}
	return why;
}

static void write_segment(uint8_t marker, struct str content, struct buf *out)
{
	unsigned n = (unsigned)content.n + 2;
	buf_write(out, (const uint8_t[]){0xff, marker, (uint8_t)(n >> 8), (uint8_t)n}, 4);
	buf_str(out, content);
}

static void write_tables(const struct stream *s, struct buf *out)
{
	for (int i = 0; i < s->n_tables; i++)
		buf_str(out, s->table[i]);
}

static void write_frame(struct arena *a, const struct stream *s, uint32_t w, uint32_t h, struct buf *out)
{
	char *frame = arena_strndup(a, s->frame.at, s->frame.n);
	frame[1] = (char)(h >> 8);
	frame[2] = (char)h;
	frame[3] = (char)(w >> 8);
	frame[4] = (char)w;
	write_segment(JPEG_WORD_SOF0, (struct str){frame, s->frame.n}, out);
	if (s->interval)
		write_segment(JPEG_WORD_DRI, (struct str){(char[]){(char)(s->interval >> 8), (char)s->interval}, 2}, out);
}

/* Row of MCUs by row of MCUs, through the tiles that it crosses. */
static void write_woven(const struct stored_tiles *t, const struct stream *streams, struct buf *out)
{
	unsigned written = 0;
	for (uint32_t y = 0; y < t->down; y++)
		for (uint32_t row = 0; row < streams[0].n_parts; row++)
			for (uint32_t x = 0; x < t->across; x++) {
				if (written)
					buf_write(out, (const uint8_t[]){0xff, (uint8_t)(JPEG_WORD_RST0 + (written - 1) % 8)}, 2);
				buf_str(out, streams[y * t->across + x].part[row]);
				written++;
			}
}

const char *passthrough_write(struct arena *a, const struct stored_tiles *t, const struct metadata *metadata,
			      struct str icc, struct buf *out)
{
	struct stream shared = {0}, *streams = arena_array(a, struct stream, (size_t)t->across * t->down);
	struct shape shape = {0};
	const char *why = read_streams(a, t, &shared, streams, &shape);
	if (why)
		return why;

	buf_write(out, (const uint8_t[]){0xff, JPEG_WORD_SOI}, 2);
	if (t->model == MODEL_RGB)
		jpeg_write_adobe_rgb(out);
	else
		jpeg_write_jfif(metadata, out);
	jpeg_write_blocks(metadata, icc, out);
	write_tables(&shared, out);
	write_tables(&streams[0], out);
	write_frame(a, &streams[0], t->across * t->tile_w, t->down * t->tile_h, out);
	write_segment(JPEG_WORD_SOS, streams[0].scan, out);
	if (t->across * t->down == 1)
		buf_str(out, streams[0].codes);
	else
		write_woven(t, streams, out);
	buf_write(out, (const uint8_t[]){0xff, JPEG_WORD_EOI}, 2);
	return NULL;
}
