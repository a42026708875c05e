/* SPDX-License-Identifier: BSD-2-Clause */
#include "tiff_levels.h"

#include <math.h>
#include <stdlib.h>

#include <tiffio.h>

#include "tiff_messages.h"
#include "tiff_pages.h"

#define TAG_GDAL_NODATA 42113
#define MAX_BESIDE 64                           /* directories that are looked at for levels */
#define MAX_TILE_SAMPLES (UINT64_C(1) << 40)
#define LIBTIFF_MAX_BYTES (UINT64_C(1) << 30)   /* of one allocation */
#define STREAM_HEAD_BYTES 65536                 /* headers, tables and profiles in JPEG streams */
#define MOST_KEPT_STREAMS 65536                 /* of a level, whose places libtiff keeps */
#define HANDLE_BYTES 16384                      /* of a TIFF with a directory */

static tmsize_t on_read(thandle_t handle, void *at, tmsize_t n)
{
	struct tiff_file *f = (struct tiff_file *)handle;
	int64_t got = source_read_up_to(f->source, at, (size_t)n, f->offset, f->err);
	/* Never -1: libtiff 4.5 counts it as a size, and clears memory before its buffer. */
	if (got < 0)
		return 0;
	f->offset += (uint64_t)got;
	return (tmsize_t)got;
}

static tmsize_t on_write(thandle_t handle, void *at, tmsize_t n)
{
	(void)handle;
	(void)at;
	(void)n;
	return -1;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence)
{
	struct tiff_file *f = (struct tiff_file *)handle;
	uint64_t base = whence == SEEK_CUR   ? f->offset
			: whence == SEEK_END ? f->source->validator.length
					     : 0;
	f->offset = base + offset;
	return f->offset;
}

static int on_close(thandle_t handle)
{
	(void)handle;
	return 0;
}

static toff_t on_size(thandle_t handle)
{
	return ((struct tiff_file *)handle)->source->validator.length;
}

static void close_tiff(void *what)
{
	struct tiff_file *f = what;
	if (f->tif)
		TIFFClose(f->tif);
	for (int i = 0; i < f->n_levels; i++)
		if (f->level[i].tif)
			TIFFClose(f->level[i].tif);
}

void tiff_begin(struct tiff_file *f, struct error *err)
{
	*err = (struct error){0};
	f->err = err;
}

bool tiff_damaged(struct error *err, const char *what)
{
	if (err->status)
		return false;
	return fail(err, 500, REASON_DAMAGED, "The image is damaged.", "libtiff: %s", what);
}

bool tiff_forgives(struct tiff_file *f, struct error *err)
{
	if (!f->recover || f->source->has_failed || err->reason != REASON_DAMAGED)
		return false;
	*err = (struct error){0};
	return true;
}

static uint16_t tag16(TIFF *tif, uint32_t tag, uint16_t otherwise)
{
	uint16_t v = otherwise;
	if (!TIFFGetFieldDefaulted(tif, tag, &v))
		v = otherwise;
	return v;
}

static uint32_t tag32(TIFF *tif, uint32_t tag, uint32_t otherwise)
{
	uint32_t v = otherwise;
	if (!TIFFGetFieldDefaulted(tif, tag, &v))
		v = otherwise;
	return v;
}

static bool read_level(struct tiff_file *f, struct tiff_level *l)
{
	TIFF *tif = f->tif;
	*l = (struct tiff_level){.directory = TIFFCurrentDirOffset(tif),
				 .w = tag32(tif, TIFFTAG_IMAGEWIDTH, 0),
				 .h = tag32(tif, TIFFTAG_IMAGELENGTH, 0),
				 .tiled = TIFFIsTiled(tif) != 0};
	if (l->tiled) {
		l->tile_w = tag32(tif, TIFFTAG_TILEWIDTH, 0);
		l->tile_h = tag32(tif, TIFFTAG_TILELENGTH, 0);
	} else {
		l->tile_w = l->w;
		l->tile_h = tag32(tif, TIFFTAG_ROWSPERSTRIP, l->h);
		if (l->tile_h > l->h)
			l->tile_h = l->h;
	}
	return l->w && l->h && l->tile_w && l->tile_h && l->w <= FACTS_MAX_SIDE && l->h <= FACTS_MAX_SIDE &&
	       (uint64_t)l->tile_w * l->tile_h <= MAX_TILE_SAMPLES;
}

static bool is_half(uint32_t side, uint32_t full, unsigned k)
{
	return k < 32 && (side == full >> k || side == (full >> k) + ((full & ((1u << k) - 1)) != 0));
}

static double level_step(uint32_t side, uint32_t full)
{
	for (unsigned k = 0; k < 31; k++)
		if (is_half(side, full, k))
			return (double)(1u << k);
	return (double)full / side;
}

uint64_t tiff_tile_bytes(const struct tiff_file *f, const struct tiff_level *l)
{
	return tiff_samples_bytes(&f->kind, l->tile_w, l->tile_h);
}

uint64_t tiff_stream_limit(const struct tiff_file *f, const struct tiff_level *l)
{
	/* A black and a white dot of two bits have a code of 12 in CCITT's worst case. */
	uint64_t times = f->kind.bits == 1 ? 8 : 2, tile = tiff_tile_bytes(f, l);
	uint64_t limit = tile < UINT64_MAX / 16 ? times * tile + STREAM_HEAD_BYTES : UINT64_MAX;
	return limit < f->source->validator.length ? limit : f->source->validator.length;
}

/* libtiff itself goes on with offset 0 where its table could not be read, and makes a picture of the
 * file's first bytes. */
static bool find_stream(struct tiff_file *f, TIFF *tif, const struct tiff_level *l, uint32_t index, uint64_t *offset,
			uint64_t *n, struct error *err)
{
	int no_offset = 0, no_size = 0;
	*offset = TIFFGetStrileOffsetWithErr(tif, index, &no_offset);
	*n = TIFFGetStrileByteCountWithErr(tif, index, &no_size);
	if (no_offset || no_size || !*offset || !*n)
		return tiff_damaged(err, "a tile or strip is nowhere");
	/* What is stored plainly is read by its own size. */
	return f->kind.compression == COMPRESSION_NONE || *n <= tiff_stream_limit(f, l) ||
	       tiff_damaged(err, "a tile or strip has more bytes than it can need");
}

bool tiff_find_stream(struct tiff_file *f, const struct tiff_level *l, uint32_t index, uint64_t *offset,
		      uint64_t *n, struct error *err)
{
	return find_stream(f, l->tif, l, index, offset, n, err);
}

struct str tiff_jpeg_tables(TIFF *tif)
{
	uint32_t n = 0;
	const void *tables = NULL;
	return TIFFGetField(tif, TIFFTAG_JPEGTABLES, &n, &tables) ? (struct str){tables, n} : (struct str){0};
}

/* Whether the JPEG tiles of a level, laid side by side, have a common grid of chroma samples. */
static bool suits_chroma(const struct tiff_level *l)
{
	return (l->tile_w % l->jpeg.chroma_x == 0 || l->tile_w >= l->w) &&
	       (l->tile_h % l->jpeg.chroma_y == 0 || l->tile_h >= l->h);
}

/* Sampling and kind of the page's JPEG streams, from the first one's head: tags may lie about them. */
static bool probe_jpeg(struct tiff_file *f, struct tiff_level *l, struct error *err)
{
	struct arena *scratch = arena_open();
	struct jpeg_tiles *tiles;
	uint64_t offset, n;
	char *head = arena_alloc(scratch, STREAM_HEAD_BYTES);
	int64_t got = -1;
	if (find_stream(f, f->tif, l, 0, &offset, &n, err))
		got = source_read_up_to(f->source, head, n < STREAM_HEAD_BYTES ? n : STREAM_HEAD_BYTES, offset, err);
	bool ok = got >= 0 && jpeg_tiles_open(scratch, tiff_jpeg_tables(f->tif), false, &tiles, err) &&
		  jpeg_tiles_probe(tiles, (struct str){head, (size_t)got}, &l->jpeg, err);
	arena_close(scratch);
	if (!ok)
		return false;
	if (l->jpeg.components != tiff_samples_together(&f->kind) || l->jpeg.w > l->tile_w || l->jpeg.h > l->tile_h)
		return tiff_damaged(err, "the JPEG streams differ from the directory");
	if (f->kind.model != MODEL_YCC && (l->jpeg.chroma_x > 1 || l->jpeg.chroma_y > 1))
		return tiff_unsupported(err, "colours with subsampled components in JPEG, columns", l->jpeg.chroma_x);
	if (!suits_chroma(l))
		return tiff_unsupported(err, "JPEG with subsampled chroma in strips of height", l->tile_h);
	return true;
}

/* What the level in the current directory has in common with the full one, and its own sampling: libtiff
 * has read that from the streams already, and says it by the tag. */
static bool derive_jpeg(struct tiff_file *f, struct tiff_level *l)
{
	uint16_t x = 1, y = 1;
	l->jpeg = f->level[0].jpeg;
	if (f->kind.model == MODEL_YCC && !TIFFGetFieldDefaulted(f->tif, TIFFTAG_YCBCRSUBSAMPLING, &x, &y))
		return false;
	l->jpeg.chroma_x = (uint8_t)x;
	l->jpeg.chroma_y = (uint8_t)y;
	return x >= 1 && x <= 4 && y >= 1 && y <= 4 && suits_chroma(l);
}

static bool is_known(uint16_t compression)
{
	static const uint16_t known[] = {
		COMPRESSION_NONE, COMPRESSION_CCITTRLE, COMPRESSION_CCITTFAX3, COMPRESSION_CCITTFAX4,
		COMPRESSION_CCITTRLEW, COMPRESSION_LZW, COMPRESSION_OJPEG, COMPRESSION_JPEG,
		COMPRESSION_ADOBE_DEFLATE, COMPRESSION_DEFLATE, COMPRESSION_PACKBITS, COMPRESSION_SGILOG,
		COMPRESSION_SGILOG24, COMPRESSION_LZMA, COMPRESSION_ZSTD, COMPRESSION_WEBP, COMPRESSION_LERC,
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i] == compression)
			return TIFFIsCODECConfigured(compression);
	return false;
}

static bool is_light(uint16_t compression)
{
	return compression == COMPRESSION_SGILOG || compression == COMPRESSION_SGILOG24;
}

/* SGILog would come as it is stored, in units of its own; libtiff is to make gray or RGB of it. */
static void set_modes(TIFF *tif)
{
	if (is_light(tag16(tif, TIFFTAG_COMPRESSION, COMPRESSION_NONE)))
		TIFFSetField(tif, TIFFTAG_SGILOGDATAFMT, SGILOGDATAFMT_8BIT);
}

static void read_ycbcr(TIFF *tif, struct tiff_samples *s)
{
	uint16_t x = 1, y = 1;
	const float *values;
	/* Streams of JPEG say their sampling themselves. */
	if (s->compression != COMPRESSION_JPEG && TIFFGetFieldDefaulted(tif, TIFFTAG_YCBCRSUBSAMPLING, &x, &y)) {
		s->block_w = (uint8_t)x;
		s->block_h = (uint8_t)y;
	}
	if (TIFFGetFieldDefaulted(tif, TIFFTAG_YCBCRCOEFFICIENTS, &values))
		memcpy(s->luma, values, sizeof s->luma);
	if (TIFFGetFieldDefaulted(tif, TIFFTAG_REFERENCEBLACKWHITE, &values))
		memcpy(s->reference, values, sizeof s->reference);
}

/* In GDAL's private tag, as text; as near as the samples come to it. */
static double read_nothing(TIFF *tif, const struct tiff_samples *s)
{
	uint32_t n = 0;
	const char *text = NULL;
	char copy[64];
	if (!TIFFGetField(tif, TAG_GDAL_NODATA, &n, &text) || !text || !n || n >= sizeof copy)
		return NAN;
	memcpy(copy, text, n);
	copy[n] = '\0';
	char *end;
	double value = strtod(copy, &end);
	if (end == copy)
		return NAN;
	return s->format == SAMPLEFORMAT_IEEEFP && s->bits == 32 ? (double)(float)value : value;
}

/* What the current directory says. */
static struct tiff_samples read_kind(struct tiff_file *f)
{
	TIFF *tif = f->tif;
	set_modes(tif);
	struct tiff_samples s = {.compression = tag16(tif, TIFFTAG_COMPRESSION, COMPRESSION_NONE),
				 .bits = tag16(tif, TIFFTAG_BITSPERSAMPLE, 1),
				 .format = tag16(tif, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT),
				 .n = tag16(tif, TIFFTAG_SAMPLESPERPIXEL, 1),
				 .block_w = 1, .block_h = 1};
	s.separate = s.n > 1 && tag16(tif, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == PLANARCONFIG_SEPARATE;
	if (!TIFFGetField(tif, TIFFTAG_PHOTOMETRIC, &s.photometric))
		s.photometric = s.n >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
	s.nothing = read_nothing(tif, &s);
	if (s.photometric == PHOTOMETRIC_YCBCR)
		read_ycbcr(tif, &s);
	/* Of SGILog the bits are those asked for, and the palette has as many colours as the file says. */
	if (s.photometric == PHOTOMETRIC_PALETTE && !is_light(s.compression) && s.bits >= 1 && s.bits <= 16)
		TIFFGetField(tif, TIFFTAG_COLORMAP, &s.palette[0], &s.palette[1], &s.palette[2]);
	return s;
}

static bool has_same_palette(const struct tiff_samples *a, const struct tiff_samples *b)
{
	bool same = !a->palette[0] == !b->palette[0];
	for (int i = 0; same && a->palette[0] && i < 3; i++)
		same = memcmp(a->palette[i], b->palette[i], sizeof(uint16_t) << a->bits) == 0;
	return same;
}

static bool is_same_kind(const struct tiff_samples *a, const struct tiff_samples *b)
{
	return a->compression == b->compression && a->photometric == b->photometric && a->bits == b->bits &&
	       a->format == b->format && a->n == b->n && a->separate == b->separate && a->block_w == b->block_w &&
	       a->block_h == b->block_h && memcmp(a->luma, b->luma, sizeof a->luma) == 0 &&
	       memcmp(a->reference, b->reference, sizeof a->reference) == 0 && has_same_palette(a, b);
}

/* libtiff's is the current directory's. */
static void keep_palette(struct tiff_samples *s, struct arena *a)
{
	for (int i = 0; s->palette[0] && i < 3; i++) {
		uint16_t *kept = arena_array(a, uint16_t, (size_t)1 << s->bits);
		memcpy(kept, s->palette[i], sizeof *kept << s->bits);
		s->palette[i] = kept;
	}
}

/* The first extra sample that says it is opacity; others, as spot colours, are not shown. */
static void find_opacity(struct tiff_file *f)
{
	struct tiff_samples *s = &f->kind;
	uint16_t n = 0, *kinds = NULL;
	int colours = s->photometric == PHOTOMETRIC_PALETTE ? 1 : model_planes(s->model);
	if (!TIFFGetField(f->tif, TIFFTAG_EXTRASAMPLES, &n, &kinds))
		return;
	for (int i = n - 1; i >= 0; i--) {
		if ((kinds[i] != EXTRASAMPLE_ASSOCALPHA && kinds[i] != EXTRASAMPLE_UNASSALPHA) || colours + i >= s->n)
			continue;
		s->alpha = true;
		s->multiplied = kinds[i] == EXTRASAMPLE_ASSOCALPHA;
		s->alpha_at = (uint16_t)(colours + i);
	}
}

/* What comes from our own decoder of JPEG. */
static bool check_jpeg(const struct tiff_samples *s, struct error *err)
{
	bool known = s->photometric == PHOTOMETRIC_MINISBLACK || s->photometric == PHOTOMETRIC_MINISWHITE ||
		     s->photometric == PHOTOMETRIC_RGB || s->photometric == PHOTOMETRIC_YCBCR ||
		     s->photometric == PHOTOMETRIC_SEPARATED;
	if (!known)
		return tiff_unsupported(err, "JPEG with photometric interpretation", s->photometric);
	if (s->bits != 8 || s->format != SAMPLEFORMAT_UINT)
		return tiff_unsupported(err, "JPEG with bits per sample", s->bits);
	if (!s->separate && s->n > JPEG_TILES_COMPONENTS)
		return tiff_unsupported(err, "JPEG with samples per pixel", s->n);
	return true;
}

/* What of the many kinds of TIFF is decoded here. */
static bool check_kind(struct tiff_file *f, struct arena *a, struct error *err)
{
	struct tiff_samples *s = &f->kind;
	*s = read_kind(f);
	if (!is_known(s->compression))
		return tiff_unsupported(err, "compression", s->compression);
	keep_palette(s, a);
	if (!tiff_samples_choose(s, err))
		return false;
	find_opacity(f);
	return s->compression != COMPRESSION_JPEG || check_jpeg(s, err);
}

static bool go_to_page(struct tiff_file *f, uint32_t page, struct error *err)
{
	uint64_t directory;
	return tiff_page_find(f->source, page, &directory, err) &&
	       (directory == TIFFCurrentDirOffset(f->tif) || TIFFSetSubDirectory(f->tif, directory) ||
		tiff_damaged(err, "a page cannot be read"));
}

/* The current directory as a further level, if it is one of the page's. */
static bool add_level(struct tiff_file *f, bool marked)
{
	struct tiff_level l;
	const struct tiff_level *full = &f->level[0], *last = &f->level[f->n_levels - 1];
	if (f->n_levels == FACTS_MAX_LEVELS || !read_level(f, &l) || l.w > last->w || l.h > last->h ||
	    (l.w == last->w && l.h == last->h))
		return false;
	struct tiff_samples kind = read_kind(f);
	if (!is_same_kind(&f->kind, &kind))
		return false;
	l.dx = level_step(l.w, full->w);
	l.dy = level_step(l.h, full->h);
	bool halves = false;
	for (unsigned k = 1; k < 31; k++)
		halves |= is_half(l.w, full->w, k) && is_half(l.h, full->h, k);
	bool same_shape = fabs(l.dx - l.dy) < 0.02 * l.dx + 2.0 / (l.w < l.h ? l.w : l.h);
	if (!(halves && l.tiled && full->tiled) && !(marked && same_shape))
		return false;
	if (f->kind.compression == COMPRESSION_JPEG && !derive_jpeg(f, &l))
		return false;
	f->level[f->n_levels++] = l;
	return true;
}

static bool is_reduced(struct tiff_file *f)
{
	return tag32(f->tif, TIFFTAG_SUBFILETYPE, 0) & FILETYPE_REDUCEDIMAGE;
}

static bool is_mask(struct tiff_file *f)
{
	return tag32(f->tif, TIFFTAG_SUBFILETYPE, 0) & FILETYPE_MASK;
}

/* The directories behind the page's. Masks, and thumbnails of another kind, may stand among the levels (GDAL has a mask
 * behind each); anything else is the next page. */
static void add_next_levels(struct tiff_file *f)
{
	for (int i = 0; i < MAX_BESIDE && f->n_levels < FACTS_MAX_LEVELS && TIFFReadDirectory(f->tif); i++)
		if (!is_mask(f) && !add_level(f, is_reduced(f)) && !is_reduced(f))
			return;
}

static void add_sub_levels(struct tiff_file *f, struct arena *a)
{
	uint16_t n = 0;
	toff_t *offsets;
	if (!TIFFGetField(f->tif, TIFFTAG_SUBIFD, &n, &offsets) || !n)
		return;
	uint64_t *kept = arena_array(a, uint64_t, n);
	memcpy(kept, offsets, n * sizeof *kept);
	for (int i = 0; i < n && i < FACTS_MAX_LEVELS; i++)
		if (TIFFSetSubDirectory(f->tif, kept[i]))
			add_level(f, true);
}

static void copy_profile(struct tiff_file *f, struct arena *a, struct picture *p)
{
	uint32_t n = 0;
	const void *icc = NULL;
	if (!TIFFGetField(f->tif, TIFFTAG_ICCPROFILE, &n, &icc) || !n)
		return;
	p->icc = (const uint8_t *)arena_strndup(a, icc, n);
	p->icc_bytes = n;
}

static struct str copy_block(struct tiff_file *f, struct arena *a, uint32_t tag)
{
	uint32_t n = 0;
	const void *at = NULL;
	if (!TIFFGetField(f->tif, tag, &n, &at) || !n || n > METADATA_MAX_BYTES)
		return (struct str){0};
	return (struct str){arena_strndup(a, at, n), n};
}

static const char *text_tag(struct tiff_file *f, uint32_t tag)
{
	const char *text = NULL;
	return TIFFGetField(f->tif, tag, &text) ? text : NULL;
}

static void copy_metadata(struct tiff_file *f, struct arena *a, struct metadata *m)
{
	float x = 0, y = 0;
	uint16_t unit = tag16(f->tif, TIFFTAG_RESOLUTIONUNIT, RESUNIT_INCH);
	m->exif = exif_make(a, text_tag(f, TIFFTAG_IMAGEDESCRIPTION), text_tag(f, TIFFTAG_ARTIST),
			    text_tag(f, TIFFTAG_COPYRIGHT));
	m->xmp = copy_block(f, a, TIFFTAG_XMLPACKET);
	m->iptc = copy_block(f, a, TIFFTAG_RICHTIFFIPTC);
	if (unit != RESUNIT_NONE && TIFFGetField(f->tif, TIFFTAG_XRESOLUTION, &x) &&
	    TIFFGetField(f->tif, TIFFTAG_YRESOLUTION, &y) && x > 0 && y > 0) {
		m->per_cm_x = x / (unit == RESUNIT_INCH ? 2.54 : 1);
		m->per_cm_y = y / (unit == RESUNIT_INCH ? 2.54 : 1);
	}
}

/* Why the first directory could not be read. That components differ in kind is no damage. */
static bool explain(struct error *err)
{
	if (err->status && strstr(err->why, "different values per sample")) {
		*err = (struct error){0};
		return tiff_unsupported(err, "components of unequal kinds, of", 1);
	}
	return tiff_damaged(err, "it cannot be opened");
}

/* libtiff's mode: h: no directory yet; m: no mapping; D: the places of tiles when they are asked for; O: one by one. */
static TIFF *open_handle(struct tiff_file *f, const char *mode, struct error *err)
{
	TIFFOpenOptions *o = tiff_messages_options(f->messages);
	if (!o) {
		fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.", "no memory for libtiff");
		return NULL;
	}
	TIFFOpenOptionsSetMaxSingleMemAlloc(o, (tmsize_t)LIBTIFF_MAX_BYTES);
	f->offset = 0;
	TIFF *tif = TIFFClientOpenExt("source", mode, (thandle_t)f, on_read, on_write, on_seek, on_close, on_size, NULL,
				      NULL, o);
	TIFFOpenOptionsFree(o);
	return tif;
}

static bool open_file(struct tiff_file *f, struct source *source, struct arena *a, struct error *err)
{
	f->messages = arena_new(a, struct tiff_messages);
	*f->messages = (struct tiff_messages){&f->err, REASON_DAMAGED, "The image is damaged."};
	f->source = source;
	f->tif = open_handle(f, "rmDO", err);
	arena_defer(a, close_tiff, f);
	return f->tif != NULL || explain(err);
}

static uint64_t count_streams(const struct tiff_file *f, const struct tiff_level *l)
{
	uint64_t across = (l->w - 1) / l->tile_w + 1, down = (l->h - 1) / l->tile_h + 1;
	return across * down * (f->kind.separate ? f->kind.n : 1);
}

bool tiff_go(struct tiff_file *f, const struct tiff_level *l, struct error *err)
{
	struct tiff_level *own = &f->level[l - f->level];
	if (own->tif)
		return true;
	TIFF *tif = open_handle(f, count_streams(f, l) <= MOST_KEPT_STREAMS ? "rhmD" : "rhmDO", err);
	if (!tif || !TIFFSetSubDirectory(tif, l->directory)) {
		if (tif)
			TIFFClose(tif);
		return tiff_damaged(err, "a level is gone");
	}
	own->tif = tif;
	set_modes(tif);
	/* What libtiff said of a directory that it could read after all. */
	*err = (struct error){0};
	return true;
}

uint64_t tiff_file_bytes(const struct tiff_file *f)
{
	uint64_t bytes = 0;
	for (int i = 0; i < f->n_levels; i++) {
		const struct tiff_level *l = &f->level[i];
		/* Also where places are read one by one: their tables grow up to the last one. */
		if (l->tif)
			bytes += HANDLE_BYTES + f->profile_bytes + count_streams(f, l) * 16;
	}
	return bytes;
}

bool tiff_file_open(struct arena *a, uint32_t page, struct picture *p, struct tiff_file **out,
		    struct error *err)
{
	struct tiff_file *f = arena_new(a, struct tiff_file);
	struct tiff_level *full = &f->level[0];
	tiff_begin(f, err);
	if (!open_file(f, p->source, a, err) || !go_to_page(f, page, err) || !check_kind(f, a, err))
		return false;
	if (!read_level(f, full))
		return tiff_damaged(err, "sides that make no image");
	full->dx = full->dy = 1;
	f->n_levels = 1;

	uint16_t orientation = tag16(f->tif, TIFFTAG_ORIENTATION, 1);
	p->facts.orientation = orientation >= 1 && orientation <= 8 ? orientation : 1;
	copy_profile(f, a, p);
	f->profile_bytes = p->icc_bytes;
	copy_metadata(f, a, &p->metadata);
	if (f->kind.compression == COMPRESSION_JPEG && !probe_jpeg(f, full, err))
		return false;

	add_sub_levels(f, a);
	if (TIFFSetSubDirectory(f->tif, full->directory))
		add_next_levels(f);
	TIFFClose(f->tif);
	f->tif = NULL;
	/* Damage behind the pages that are used does not matter; what could not be read might be a level. */
	if (p->source->has_failed)
		return source_blame(p->source, err);
	*err = (struct error){0};
	*out = f;
	return true;
}
