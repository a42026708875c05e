/* SPDX-License-Identifier: BSD-2-Clause */
#include "metadata.h"

#include <math.h>

#include "xmp.h"

#define BLOCK_MAX_BYTES 65000      /* what a JPEG marker holds */
#define ENTRY_BYTES 12

enum tag {
	TAG_ORIENTATION = 0x0112,
	TAG_X_RESOLUTION = 0x011a,
	TAG_Y_RESOLUTION = 0x011b,
	TAG_RESOLUTION_UNIT = 0x0128,
	TAG_THUMBNAIL = 0x0201,
	TAG_THUMBNAIL_BYTES = 0x0202,
};

enum { TYPE_ASCII = 2, TYPE_SHORT = 3, TYPE_LONG = 4, TYPE_RATIONAL = 5 };
enum { UNIT_INCH = 2, UNIT_CM = 3 };

struct exif {
	struct str bytes;
	bool big_endian;
};

static uint32_t number(const struct exif *e, size_t at, size_t n)
{
	uint32_t v = 0;
	if (at > e->bytes.n || n > e->bytes.n - at)
		return 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t byte = (unsigned char)e->bytes.at[at + i];
		v = e->big_endian ? v << 8 | byte : v | byte << (8 * i);
	}
	return v;
}

static bool read_header(struct str bytes, struct exif *e)
{
	*e = (struct exif){bytes, str_starts(bytes, STR("MM"))};
	return (e->big_endian || str_starts(bytes, STR("II"))) && number(e, 2, 2) == 42;
}

/* Where the entry of that tag stands in the directory, 0 if it has none. */
static size_t find_entry(const struct exif *e, size_t directory, uint32_t tag)
{
	uint32_t entries = number(e, directory, 2);
	for (uint32_t i = 0; i < entries; i++) {
		size_t at = directory + 2 + (size_t)i * ENTRY_BYTES;
		if (at + ENTRY_BYTES > e->bytes.n)
			return 0;
		if (number(e, at, 2) == tag)
			return at;
	}
	return 0;
}

/* Bytes of the number of that entry, 0 if it is none. Some writers have LONG where SHORT is due. */
static size_t number_bytes(const struct exif *e, size_t at)
{
	uint32_t type = at ? number(e, at + 2, 2) : 0;
	return type == TYPE_SHORT ? 2 : type == TYPE_LONG ? 4 : 0;
}

int exif_orientation(struct str exif)
{
	struct exif e;
	if (!read_header(exif, &e))
		return 1;
	size_t at = find_entry(&e, number(&e, 4, 4), TAG_ORIENTATION);
	uint32_t v = number(&e, at + 8, number_bytes(&e, at));
	return v >= 1 && v <= 8 ? (int)v : 1;
}

struct str exif_text(struct str exif, enum exif_text tag)
{
	struct exif e;
	if (!read_header(exif, &e))
		return (struct str){0};
	size_t at = find_entry(&e, number(&e, 4, 4), tag);
	uint32_t n = number(&e, at + 4, 4);
	size_t place = n > 4 ? number(&e, at + 8, 4) : at + 8;
	if (!at || number(&e, at + 2, 2) != TYPE_ASCII || place > exif.n || n > exif.n - place)
		return (struct str){0};
	struct str s = {exif.at + place, n};
	while (s.n && (s.at[s.n - 1] == '\0' || s.at[s.n - 1] == ' '))
		s.n--;
	return s;
}

/* The place of a rational's eight bytes, 0 without one. */
static size_t rational_at(const struct exif *e, size_t directory, enum tag tag)
{
	size_t at = find_entry(e, directory, tag);
	size_t place = number(e, at + 8, 4);
	bool sound = at && number(e, at + 2, 2) == TYPE_RATIONAL && place && place + 8 <= e->bytes.n;
	return sound ? place : 0;
}

static double rational(const struct exif *e, size_t directory, enum tag tag)
{
	size_t at = rational_at(e, directory, tag);
	uint32_t over = number(e, at + 4, 4);
	return at && over ? (double)number(e, at, 4) / over : 0;
}

void metadata_take_resolution(struct metadata *m)
{
	struct exif e;
	if (m->per_cm_x > 0 || !read_header(m->exif, &e))
		return;
	size_t directory = number(&e, 4, 4), unit_at = find_entry(&e, directory, TAG_RESOLUTION_UNIT);
	uint32_t unit = unit_at ? number(&e, unit_at + 8, 2) : UNIT_INCH;
	double per = unit == UNIT_INCH ? 2.54 : unit == UNIT_CM ? 1 : 0;
	if (per > 0) {
		m->per_cm_x = rational(&e, directory, TAG_X_RESOLUTION) / per;
		m->per_cm_y = rational(&e, directory, TAG_Y_RESOLUTION) / per;
	}
}

static void put(struct buf *b, uint32_t v, int n)
{
	for (int i = 0; i < n; i++)
		buf_write(b, &(char){(char)(v >> (8 * i))}, 1);
}

static struct str write_exif(struct arena *a, const struct str texts[], const enum exif_text tags[], int n)
{
	int entries = 0;
	for (int i = 0; i < n; i++)
		entries += texts[i].n > 0;
	if (!entries)
		return (struct str){0};
	struct buf *b = buf_open(a, BLOCK_MAX_BYTES);
	uint32_t place = 8 + 2 + (uint32_t)entries * ENTRY_BYTES + 4;
	buf_write(b, "II*\0\x08\0\0\0", 8);
	put(b, (uint32_t)entries, 2);
	for (int i = 0; i < n; i++) {
		uint32_t bytes = (uint32_t)texts[i].n + 1;
		if (!texts[i].n)
			continue;
		put(b, tags[i], 2);
		put(b, TYPE_ASCII, 2);
		put(b, bytes, 4);
		if (bytes > 4) {
			put(b, place, 4);
			place += bytes + bytes % 2;
		} else {
			buf_str(b, texts[i]);
			put(b, 0, 4 - (int)texts[i].n);
		}
	}
	put(b, 0, 4);
	for (int i = 0; i < n; i++)
		if (texts[i].n >= 4) {
			buf_str(b, texts[i]);
			put(b, 0, 1 + (texts[i].n + 1) % 2);
		}
	return b->failed ? (struct str){0} : buf_view(b);
}

/* In the order of tags, as TIFF wants entries. */
static const enum exif_text texts_kept[] = {EXIF_DESCRIPTION, EXIF_ARTIST, EXIF_COPYRIGHT};

struct str exif_make(struct arena *a, const char *description, const char *artist, const char *copyright)
{
	const struct str texts[] = {str_of(description), str_of(artist), str_of(copyright)};
	return write_exif(a, texts, texts_kept, 3);
}

static struct str exif_rights(struct arena *a, struct str exif)
{
	const struct str texts[] = {exif_text(exif, EXIF_ARTIST), exif_text(exif, EXIF_COPYRIGHT)};
	return write_exif(a, texts, texts_kept + 1, 2);
}

static void poke(const struct exif *e, size_t at, size_t n, uint32_t v)
{
	char *to = (char *)e->bytes.at + at;
	for (size_t i = 0; i < n; i++)
		to[e->big_endian ? n - 1 - i : i] = (char)(v >> (8 * i));
}

static void scale_rational(const struct exif *e, size_t directory, enum tag tag, double scale)
{
	size_t at = rational_at(e, directory, tag);
	double v = rational(e, directory, tag) * scale * 1000;
	if (at && v < UINT32_MAX) {
		poke(e, at, 4, (uint32_t)lround(v));
		poke(e, at + 4, 4, 1000);
	}
}

/* The second directory holds the thumbnail; its bytes go too. */
static void drop_thumbnail(const struct exif *e, size_t link)
{
	size_t second = number(e, link, 4);
	if (!second || link + 4 > e->bytes.n)
		return;
	size_t at = find_entry(e, second, TAG_THUMBNAIL), bytes = find_entry(e, second, TAG_THUMBNAIL_BYTES);
	size_t from = number(e, at + 8, 4), n = number(e, bytes + 8, 4);
	if (at && bytes && from <= e->bytes.n && n <= e->bytes.n - from)
		memset((char *)e->bytes.at + from, 0, n);
	poke(e, link, 4, 0);
}

/* All of the block, mended in place in a copy: offsets inside maker notes stay right. */
static struct str exif_all(struct arena *a, struct str exif, double scale_x, double scale_y)
{
	struct exif e;
	if (exif.n > BLOCK_MAX_BYTES || !read_header((struct str){str_dup(a, exif), exif.n}, &e))
		return (struct str){0};
	size_t directory = number(&e, 4, 4), at = find_entry(&e, directory, TAG_ORIENTATION);
	poke(&e, at + 8, number_bytes(&e, at), 1);
	scale_rational(&e, directory, TAG_X_RESOLUTION, scale_x);
	scale_rational(&e, directory, TAG_Y_RESOLUTION, scale_y);
	drop_thumbnail(&e, directory + 2 + (size_t)number(&e, directory, 2) * ENTRY_BYTES);
	return e.bytes;
}

/* A dataset from the front (IIM 4.2, 1.5): its record and number, and all its bytes. Extended lengths are not used. */
static bool take_dataset(struct str *s, unsigned *record, unsigned *set, struct str *whole)
{
	const unsigned char *at = (const unsigned char *)s->at;
	if (s->n < 5 || at[0] != 0x1c || at[3] & 0x80)
		return false;
	size_t n = 5 + ((size_t)at[3] << 8 | at[4]);
	if (n > s->n)
		return false;
	*record = at[1];
	*set = at[2];
	*whole = (struct str){s->at, n};
	s->at += n;
	s->n -= n;
	return true;
}

static struct str iptc_rights(struct arena *a, struct str iptc)
{
	/* By-line, its title, credit, source, copyright notice. */
	static const unsigned char kept[] = {80, 85, 110, 115, 116};
	struct buf *b = buf_open(a, BLOCK_MAX_BYTES);
	unsigned record, set;
	size_t found = 0;
	struct str one;
	while (take_dataset(&iptc, &record, &set, &one)) {
		bool right = record == 2 && set && memchr(kept, (int)set, sizeof kept);
		bool frame = (record == 1 && set == 90) || (record == 2 && set == 0);   /* character set, version */
		if (right || frame)
			buf_str(b, one);
		found += right;
	}
	return found && !b->failed ? buf_view(b) : (struct str){0};
}

struct str photoshop_iptc(struct str s)
{
	const unsigned char *at;
	while (s.n >= 12 && str_starts(s, STR("8BIM"))) {
		at = (const unsigned char *)s.at;
		size_t name = (size_t)at[6] + 1, head = 6 + name + name % 2;
		if (head + 4 > s.n)
			break;
		size_t n = (size_t)at[head] << 24 | (size_t)at[head + 1] << 16 | (size_t)at[head + 2] << 8 | at[head + 3];
		head += 4;
		if (n > s.n - head)
			break;
		if (at[4] == 0x04 && at[5] == 0x04)
			return (struct str){s.at + head, n};
		n += n % 2;
		if (n > s.n - head)
			break;
		s.at += head + n;
		s.n -= head + n;
	}
	return (struct str){0};
}

struct metadata metadata_keep(struct arena *a, const struct metadata *in, enum metadata_policy policy, double scale_x,
			      double scale_y)
{
	struct metadata out = {0};
	if (policy == METADATA_NONE)
		return out;
	bool rights = policy == METADATA_COPYRIGHT;
	out.exif = rights ? exif_rights(a, in->exif) : exif_all(a, in->exif, scale_x, scale_y);
	out.xmp = xmp_keep(a, in->xmp, rights);
	out.iptc = rights ? iptc_rights(a, in->iptc) : in->iptc.n <= BLOCK_MAX_BYTES ? in->iptc : (struct str){0};
	out.per_cm_x = in->per_cm_x * scale_x;
	out.per_cm_y = in->per_cm_y * scale_y;
	return out;
}
