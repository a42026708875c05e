/* SPDX-License-Identifier: BSD-2-Clause */
#include "request.h"

#define PIXELS_MAX UINT32_MAX

static const struct {
	const char *name, *media_type;
} formats[FORMATS] = {
	[FORMAT_JPG] = {"jpg", "image/jpeg"},
	[FORMAT_PNG] = {"png", "image/png"},
	[FORMAT_TIF] = {"tif", "image/tiff"},
	[FORMAT_GIF] = {"gif", "image/gif"},
	[FORMAT_JP2] = {"jp2", "image/jp2"},
	[FORMAT_PDF] = {"pdf", "application/pdf"},
	[FORMAT_WEBP] = {"webp", "image/webp"},
	[FORMAT_AVIF] = {"avif", "image/avif"},
};

static const char *const qualities[] = {
	[QUALITY_DEFAULT] = "default",
	[QUALITY_COLOR] = "color",
	[QUALITY_GRAY] = "gray",
	[QUALITY_BITONAL] = "bitonal",
};
#define QUALITIES (sizeof qualities / sizeof *qualities)

const char *format_name(enum format format)
{
	return formats[format].name;
}

const char *format_media_type(enum format format)
{
	return formats[format].media_type;
}

const char *quality_name(enum quality quality)
{
	return qualities[quality];
}

static bool bad(struct error *err, const char *say)
{
	return fail(err, 400, REASON_SYNTAX, say, "%s", "");
}

static bool is(struct str s, const char *word)
{
	return str_equal(s, str_of(word));
}

static bool take_pixels(struct str *s, uint64_t *v)
{
	return take_uint(s, PIXELS_MAX, v);
}

/* Four values and nothing behind them, as both region forms with numbers have. */
static bool take_four(struct str s, bool (*take)(struct str *, uint64_t *), struct region *r)
{
	return take(&s, &r->x) && take_char(&s, ',') && take(&s, &r->y) && take_char(&s, ',') &&
	       take(&s, &r->w) && take_char(&s, ',') && take(&s, &r->h) && s.n == 0;
}

static bool parse_region(struct str s, struct region *r, struct error *err)
{
	*r = (struct region){.kind = REGION_FULL};
	if (is(s, "full"))
		return true;
	if (is(s, "square")) {
		r->kind = REGION_SQUARE;
		return true;
	}
	bool percent = take_word(&s, STR("pct:"));
	r->kind = percent ? REGION_PERCENT : REGION_PIXELS;
	if (!take_four(s, percent ? take_decimal : take_pixels, r))
		return bad(err, "The region must be full, square, x,y,w,h or pct:x,y,w,h.");
	return true;
}

/* w,h | w, | ,h and nothing behind. Absent sides leave kind to say so. */
static bool take_sides(struct str s, struct size *size)
{
	bool has_w = take_pixels(&s, &size->w);
	if (!take_char(&s, ','))
		return false;
	bool has_h = take_pixels(&s, &size->h);
	if (s.n || (!has_w && !has_h))
		return false;
	size->kind = !has_h ? SIZE_BY_W : !has_w ? SIZE_BY_H : SIZE_BY_WH;
	return true;
}

static bool parse_size(struct str s, int version, struct size *size, struct error *err)
{
	*size = (struct size){.kind = SIZE_MAXIMUM};
	if (version == 3)
		size->upscale = take_char(&s, '^');
	if (is(s, "max"))
		return true;
	if (version == 2 && is(s, "full")) {
		size->kind = SIZE_FULL;
		return true;
	}
	if (take_word(&s, STR("pct:"))) {
		size->kind = SIZE_BY_PCT;
		if (take_decimal(&s, &size->w) && s.n == 0)
			return true;
	} else if (take_char(&s, '!')) {
		if (take_sides(s, size) && size->kind == SIZE_BY_WH) {
			size->kind = SIZE_CONFINED;
			return true;
		}
	} else if (take_sides(s, size)) {
		return true;
	}
	return bad(err, version == 2 ? "The size must be full, max, w, or ,h or w,h or !w,h or pct:n."
				     : "The size must be max, w, or ,h or w,h or !w,h or pct:n, "
				       "with ^ before it to enlarge.");
}

static bool parse_rotation(struct str s, struct rotation *r, struct error *err)
{
	r->mirror = take_char(&s, '!');
	if (!take_decimal(&s, &r->degrees) || s.n || r->degrees > 360 * DECIMAL_ONE)
		return bad(err, "The rotation must be a number from 0 to 360, with ! before it to mirror.");
	r->degrees %= 360 * DECIMAL_ONE;
	return true;
}

static bool parse_output(struct str s, struct request *r, struct error *err)
{
	const char *dot = s.n ? memrchr(s.at, '.', s.n) : NULL;
	if (!dot)
		return bad(err, "The last part must be quality.format.");
	struct str quality = {s.at, (size_t)(dot - s.at)};
	struct str format = {dot + 1, s.n - quality.n - 1};

	size_t q = 0, f = 0;
	while (q < QUALITIES && !is(quality, qualities[q]))
		q++;
	if (q == QUALITIES)
		return bad(err, "The quality must be default, color, gray or bitonal.");
	while (f < FORMATS && !is(format, formats[f].name))
		f++;
	if (f == FORMATS)
		return bad(err, "This format is not known here.");
	r->quality = (enum quality)q;
	r->format = (enum format)f;
	return true;
}

/* The longest prefix that the path starts with, over both versions; the rest is what follows its
 * slash. */
static bool take_prefix(const struct request_options *o, struct str *path, struct request *r)
{
	size_t best = 0;
	for (int version = 2; version <= 3; version++) {
		const char *const *list = version == 2 ? o->prefixes_2 : o->prefixes_3;
		for (; list && *list; list++) {
			struct str prefix = str_of(*list);
			if (!str_starts(*path, prefix) || path->n <= prefix.n || path->at[prefix.n] != '/')
				continue;
			if (prefix.n + 1 > best) {
				best = prefix.n + 1;
				r->version = version;
			}
		}
	}
	path->at += best;
	path->n -= best;
	return best > 0;
}

static bool decode_identifier(struct arena *a, const struct request_options *o, struct request *r,
			      struct error *err)
{
	struct str id;
	if (!percent_decode(a, r->identifier_raw, &id))
		return bad(err, "The identifier has a malformed percent escape.");
	for (size_t i = 0; i < id.n; i++)
		if ((unsigned char)id.at[i] < 32 || id.at[i] == 127)
			return bad(err, "The identifier has a control character.");

	r->page = 1;
	struct str delimiter = str_of(o->page_delimiter);
	size_t digits = 0;
	while (digits < id.n && id.at[id.n - digits - 1] >= '0' && id.at[id.n - digits - 1] <= '9')
		digits++;
	struct str head = {id.at, id.n - digits}, number = {id.at + id.n - digits, digits};
	uint64_t page;
	if (delimiter.n && head.n > delimiter.n && str_ends(head, delimiter) &&
	    take_uint(&number, UINT32_MAX, &page) && page > 0) {
		r->page = (uint32_t)page;
		id = (struct str){id.at, head.n - delimiter.n};
	}

	struct str substitute = str_of(o->slash_substitute);
	if (substitute.n) {
		struct buf *b = buf_open(a, id.n);
		for (size_t i = 0; i < id.n;) {
			struct str rest = {id.at + i, id.n - i};
			bool slash = str_starts(rest, substitute);
			buf_write(b, slash ? "/" : rest.at, 1);
			i += slash ? substitute.n : 1;
		}
		id = buf_view(b);
	}
	r->identifier = id;
	return true;
}

#define MAX_SEGMENTS 64

/* Cuts the rest of the path into segments; 0 if there are more than we ever serve. */
static size_t split(struct str rest, struct str segment[MAX_SEGMENTS])
{
	size_t n = 0;
	struct str piece;
	while (take_until(&rest, '/', &piece)) {
		if (n == MAX_SEGMENTS)
			return 0;
		segment[n++] = piece;
	}
	return n;
}

static bool decode_tail(struct arena *a, const struct str *segment, size_t n, struct str *decoded,
			struct error *err)
{
	for (size_t i = 0; i < n; i++)
		if (!percent_decode(a, segment[i], &decoded[i]))
			return bad(err, "A parameter has a malformed percent escape.");
	return true;
}

/* Which of the three kinds the segments are, and how many of them the identifier has (digest 1.1). */
static bool route(struct arena *a, bool raw_slashes, const struct str *segment, size_t n,
		  struct request *r, size_t *id_segments)
{
	struct str last;
	if (n == 0)
		return false;
	if (!percent_decode(a, segment[n - 1], &last))
		last = segment[n - 1];
	bool info = n >= 2 && is(last, "info.json");
	bool dot = last.n && memchr(last.at, '.', last.n);

	if (info && (n == 2 || raw_slashes)) {
		r->kind = REQUEST_INFO;
		*id_segments = n - 1;
	} else if (n == 5 ? dot || !raw_slashes : n > 5 && raw_slashes && dot) {
		r->kind = REQUEST_IMAGE;
		*id_segments = n - 4;
	} else if (n == 1 || (n == 2 && last.n == 0) || raw_slashes) {
		r->kind = REQUEST_BASE;
		*id_segments = last.n == 0 ? n - 1 : n;
	} else {
		return false;
	}
	return *id_segments > 0;
}

bool request_parse(struct arena *a, const struct request_options *o, struct str path,
		   struct request *r, struct error *err)
{
	*r = (struct request){.page = 1};
	struct str rest = path, segment[MAX_SEGMENTS], tail[4];
	size_t id_segments = 0;

	if (!take_prefix(o, &rest, r))
		return fail(err, 404, REASON_NOT_FOUND, "There is no image service at this address.", "%s", "");
	size_t n = split(rest, segment);
	if (!route(a, o->raw_slashes, segment, n, r, &id_segments))
		return fail(err, 404, REASON_NOT_FOUND, "This is not an IIIF Image API address.", "%s", "");

	const struct str *last = &segment[id_segments - 1];
	r->identifier_raw = (struct str){rest.at, (size_t)(last->at + last->n - rest.at)};
	r->base = (struct str){path.at, (size_t)(last->at + last->n - path.at)};
	if (r->identifier_raw.n == 0)
		return fail(err, 404, REASON_NOT_FOUND, "There is no image with this identifier.", "%s", "");
	if (!decode_identifier(a, o, r, err))
		return false;
	if (r->kind != REQUEST_IMAGE)
		return true;

	return decode_tail(a, segment + id_segments, 4, tail, err) &&
	       parse_region(tail[0], &r->region, err) &&
	       parse_size(tail[1], r->version, &r->size, err) &&
	       parse_rotation(tail[2], &r->rotation, err) && parse_output(tail[3], r, err);
}
