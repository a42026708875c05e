/* SPDX-License-Identifier: BSD-2-Clause */
/* What of EXIF, XMP and IPTC goes into an answer (lib/image/metadata.h, xmp.h). */
#include "check.h"

#include "image/metadata.h"
#include "image/xmp.h"

#define HEAD "<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>" \
	     "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>" \
	     "<rdf:Description rdf:about='' xmlns:dc='http://purl.org/dc/elements/1.1/'" \
	     " xmlns:tiff='http://ns.adobe.com/tiff/1.0/' xmlns:xmp='http://ns.adobe.com/xap/1.0/'" \
	     " xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/'"
#define TAIL "</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
#define RIGHTS "<dc:rights><rdf:Alt><rdf:li xml:lang='x-default'>\xc2\xa9 A &amp; B</rdf:li></rdf:Alt></dc:rights>"
#define TITLE "<dc:title><rdf:Alt><rdf:li>T</rdf:li></rdf:Alt></dc:title>"
#define TURNED "<tiff:Orientation>6</tiff:Orientation>"
#define THUMB "<xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType='Resource'/></rdf:Alt></xmp:Thumbnails>"

static struct arena *a;

static int set_up(void **state)
{
	(void)state;
	a = arena_open();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_close(a);
	return 0;
}

static bool has(struct str s, const char *text)
{
	return s.n && memmem(s.at, s.n, text, strlen(text));
}

static void xmp_properties(void **state)
{
	static const struct {
		const char *packet;
		bool rights_only;
		const char *with[3], *without[3];
	} table[] = {
		{HEAD ">" RIGHTS TITLE TURNED THUMB TAIL, true, {RIGHTS}, {"dc:title>", "<tiff:", "Thumbnails"}},
		{HEAD ">" RIGHTS TITLE TURNED THUMB TAIL, false, {RIGHTS, TITLE}, {"<tiff:", "Thumbnails"}},
		{HEAD " photoshop:Credit='C' tiff:Orientation=\"6\" xmp:CreatorTool = 'x > y'>" TAIL, true,
		 {" photoshop:Credit='C'"}, {"tiff:Orientation", "CreatorTool"}},
		{HEAD " photoshop:Credit='C' tiff:Orientation=\"6\" xmp:CreatorTool = 'x > y'>" TAIL, false,
		 {" photoshop:Credit='C'", "xmp:CreatorTool = 'x > y'"}, {"tiff:Orientation"}},
		/* A namespace goes by its name, not by its prefix. */
		{HEAD "><q:rights xmlns:q='http://purl.org/dc/elements/1.1/'>R</q:rights><tiff:rights>no</tiff:rights>" TAIL,
		 true, {">R</q:rights>"}, {"no"}},
		/* A structure inside a kept property may have descriptions of its own. */
		{HEAD "><dc:creator><rdf:Description tiff:Orientation='6'/></dc:creator>" TAIL, true,
		 {"<rdf:Description tiff:Orientation='6'/>"}, {NULL}},
	};
	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct str got = xmp_keep(a, str_of(table[i].packet), table[i].rights_only);
		for (int k = 0; k < 3; k++) {
			if (table[i].with[k] && !has(got, table[i].with[k]))
				fail_msg("%zu: no %s in %.*s", i, table[i].with[k], (int)got.n, got.at);
			if (table[i].without[k] && has(got, table[i].without[k]))
				fail_msg("%zu: %s in %.*s", i, table[i].without[k], (int)got.n, got.at);
		}
		/* It is a packet still: nothing more to leave out. */
		struct str again = xmp_keep(a, got, table[i].rights_only);
		assert_true(str_equal(got, again));
	}
}

static void xmp_of_no_use(void **state)
{
	static const char *const packets[] = {
		"", "text", "<", HEAD ">" TITLE TAIL, HEAD ">" RIGHTS, "\xff\xfe<\0x\0",
		"<!DOCTYPE x [<!ENTITY e 'x'>]>" HEAD ">" RIGHTS TAIL, HEAD ">" RIGHTS "&e;" TAIL, HEAD ">\xff" RIGHTS TAIL,
	};
	(void)state;
	for (size_t i = 0; i < sizeof packets / sizeof *packets; i++)
		assert_int_equal(xmp_keep(a, str_of(packets[i]), true).n, 0);

	/* Deep nesting ends the walk, not the process. */
	struct buf *deep = buf_open(a, 1 << 20);
	for (int i = 0; i < 5000; i++)
		buf_text(deep, "<a>");
	assert_int_equal(xmp_keep(a, buf_view(deep), false).n, 0);
}

/* Orientation 6, artist, copyright, 300 dots an inch, and a thumbnail of 4 bytes, in either order of bytes. */
static struct str make_exif(bool big)
{
	struct buf *b = buf_open(a, 4096);
	const uint32_t entries[][4] = {
		{0x0112, 3, 1, 6}, {0x011a, 5, 1, 150}, {0x011b, 5, 1, 174}, {0x0128, 3, 1, 2},
		{0x013b, 2, 3, 0}, {0x8298, 2, 6, 158},
	};
#define PUT(v, n) for (int k = 0; k < (n); k++) \
		buf_write(b, &(char){(char)((uint32_t)(v) >> (big ? 8 * ((n)-1 - k) : 8 * k))}, 1)
	buf_text(b, big ? "MM" : "II");
	PUT(42, 2);
	PUT(8, 4);
	PUT(6, 2);
	for (int i = 0; i < 6; i++) {
		PUT(entries[i][0], 2);
		PUT(entries[i][1], 2);
		PUT(entries[i][2], 4);
		if (entries[i][0] == 0x013b)
			buf_write(b, "Me\0\0", 4);
		else if (entries[i][1] == 3) {
			PUT(entries[i][3], 2);
			PUT(0, 2);
		} else
			PUT(entries[i][3], 4);
	}
	PUT(100, 4);
	while (b->n < 100)
		PUT(0, 1);
	PUT(2, 2);
	PUT(0x0201, 2);
	PUT(4, 2);
	PUT(1, 4);
	PUT(170, 4);
	PUT(0x0202, 2);
	PUT(4, 2);
	PUT(1, 4);
	PUT(4, 4);
	PUT(0, 4);
	while (b->n < 150)
		PUT(0, 1);
	PUT(300, 4);
	PUT(1, 4);
	buf_write(b, "Right\0", 6);
	while (b->n < 170)
		PUT(0, 1);
	buf_text(b, "THMB");
	PUT(300, 4);
	PUT(1, 4);
#undef PUT
	return buf_view(b);
}

static void exif_blocks(void **state)
{
	(void)state;
	for (int big = 0; big < 2; big++) {
		struct metadata in = {.exif = make_exif(big)}, out;
		assert_int_equal(exif_orientation(in.exif), 6);
		metadata_take_resolution(&in);
		assert_true(in.per_cm_x > 118.1 && in.per_cm_x < 118.12);

		out = metadata_keep(a, &in, METADATA_COPYRIGHT, 0.5, 0.5);
		assert_true(has(out.exif, "Right") && has(out.exif, "Me"));
		assert_false(has(out.exif, "THMB"));
		assert_int_equal(exif_orientation(out.exif), 1);
		assert_true(out.per_cm_x > 59.05 && out.per_cm_x < 59.06);

		out = metadata_keep(a, &in, METADATA_ALL, 0.5, 0.25);
		assert_int_equal(out.exif.n, in.exif.n);
		assert_true(has(out.exif, "Right"));
		assert_false(has(out.exif, "THMB"));
		assert_int_equal(exif_orientation(out.exif), 1);
		struct metadata again = {.exif = out.exif};
		metadata_take_resolution(&again);
		assert_true(again.per_cm_x > 59.05 && again.per_cm_x < 59.06);
		assert_true(again.per_cm_y > 29.52 && again.per_cm_y < 29.54);
		assert_int_equal(exif_orientation(in.exif), 6);

		out = metadata_keep(a, &in, METADATA_NONE, 1, 1);
		assert_true(out.exif.n == 0 && out.per_cm_x == 0);
	}
	struct str made = exif_make(a, NULL, "An artist", "(c)");
	struct metadata m = {.exif = made};
	assert_true(str_equal(made, metadata_keep(a, &m, METADATA_COPYRIGHT, 1, 1).exif));
	assert_int_equal(exif_make(a, "", NULL, "").n, 0);
}

/* Some writers have four bytes where two are due. */
static void orientations_as_long(void **state)
{
	static const char big[] = "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x06\0\0\0";
	static const char little[] = "II*\0\x08\0\0\0\x01\0\x12\x01\x04\0\x01\0\0\0\x06\0\0\0\0\0\0";
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct metadata in = {.exif = {i ? big : little, sizeof big}};
		assert_int_equal(exif_orientation(in.exif), 6);
		assert_int_equal(exif_orientation(metadata_keep(a, &in, METADATA_ALL, 1, 1).exif), 1);
	}
}

/* Every cut and every flipped byte: no crash, and what comes out is readable again. */
static void broken_exif(void **state)
{
	(void)state;
	struct str good = make_exif(false);
	for (size_t n = 0; n <= good.n; n++)
		for (int flip = 0; flip < 3; flip++) {
			char *text = arena_strndup(a, good.at, good.n);
			if (n < good.n && flip)
				text[n] = (char)(flip == 1 ? 0xff : text[n] ^ 0x10);
			struct metadata m = {.exif = {text, flip ? good.n : n}};
			metadata_take_resolution(&m);
			metadata_keep(a, &m, METADATA_ALL, 2, 2);
			metadata_keep(a, &m, METADATA_COPYRIGHT, 2, 2);
			int o = exif_orientation(m.exif);
			assert_true(o >= 1 && o <= 8);
		}
}

static void iptc_datasets(void **state)
{
	static const char iim[] = "\x1c\x01\x5a\0\x03\x1b%G" "\x1c\x02\0\0\x02\0\x04" "\x1c\x02\x05\0\x05Title"
				  "\x1c\x02\x74\0\x03(c)" "\x1c\x02\x50\0\x02Me";
	static const char resources[] = "8BIM\x04\x25\0\0\0\0\0\x03sum\0" "8BIM\x04\x04\x03nam\0\0\0\x07\x1c\x02\x74\0\x02Me\0";
	struct metadata in = {.iptc = {iim, sizeof iim - 1}};
	(void)state;
	struct str got = metadata_keep(a, &in, METADATA_COPYRIGHT, 1, 1).iptc;
	assert_true(has(got, "(c)") && has(got, "Me") && has(got, "%G") && !has(got, "Title"));
	assert_true(str_equal(metadata_keep(a, &in, METADATA_ALL, 1, 1).iptc, in.iptc));
	in.iptc.n = sizeof "\x1c\x01\x5a\0\x03\x1b%G" "\x1c\x02\0\0\x02\0\x04" "\x1c\x02\x05\0\x05Title" - 1;
	assert_int_equal(metadata_keep(a, &in, METADATA_COPYRIGHT, 1, 1).iptc.n, 0);

	got = photoshop_iptc((struct str){resources, sizeof resources - 1});
	assert_int_equal(got.n, 7);
	assert_true(has(got, "Me"));
	for (size_t n = 0; n < sizeof resources - 2; n++)
		assert_int_equal(photoshop_iptc((struct str){resources, n < 32 ? n : 32}).n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(xmp_properties, set_up, tear_down),
		cmocka_unit_test_setup_teardown(xmp_of_no_use, set_up, tear_down),
		cmocka_unit_test_setup_teardown(exif_blocks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(orientations_as_long, set_up, tear_down),
		cmocka_unit_test_setup_teardown(broken_exif, set_up, tear_down),
		cmocka_unit_test_setup_teardown(iptc_datasets, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
