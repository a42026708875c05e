/* SPDX-License-Identifier: BSD-2-Clause */
/* The request grammar of both versions (lib/iiif/request.h; digest 1 to 4 and 14). */
#include <stdio.h>

#include "check.h"

#include "iiif/request.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

static const char *const prefixes_2[] = {"/iiif/2", "/iiif/3/two", NULL};
static const char *const prefixes_3[] = {"/iiif/3", "/pre/fix/v3", NULL};
static const char *const none[] = {NULL};
static const char *const root[] = {"", NULL};

static const struct request_options plain = {prefixes_2, prefixes_3, false, "", ";"};
static const struct request_options slashes = {prefixes_2, prefixes_3, true, "", ";"};
static const struct request_options substitute = {prefixes_2, prefixes_3, false, "~~", ";"};
static const struct request_options bare = {prefixes_2, prefixes_3, false, "", ""};
static const struct request_options word = {prefixes_2, prefixes_3, false, "", "-page-"};
static const struct request_options root_3 = {NULL, root, false, "", ";"};
static const struct request_options root_2 = {root, prefixes_3, false, "", ";"};
static const struct request_options nothing = {none, NULL, false, "", ";"};

struct route {
	const struct request_options *options;
	struct str path;
	int status;                    /* 0: it is a request */
	int version;
	enum request_kind kind;
	const char *base, *raw, *identifier;
	uint32_t page;
};

#define TAIL "/full/max/0/default.jpg"
#define IMAGE(o, base, v, raw, id, page) {&o, STR(base TAIL), 0, v, REQUEST_IMAGE, base, raw, id, page}
#define INFO(o, base, v, raw, id, page) {&o, STR(base "/info.json"), 0, v, REQUEST_INFO, base, raw, id, page}
#define BASE(o, path, v, base, raw, id) {&o, STR(path), 0, v, REQUEST_BASE, base, raw, id, 1}
#define BAD(o, path, status, v, kind) {&o, STR(path), status, v, kind, NULL, NULL, NULL, 0}

static const struct route routes[] = {
	IMAGE(plain, "/iiif/3/a", 3, "a", "a", 1),
	IMAGE(plain, "/iiif/2/a", 2, "a", "a", 1),
	INFO(plain, "/iiif/3/a", 3, "a", "a", 1),
	INFO(plain, "/iiif/2/a", 2, "a", "a", 1),
	BASE(plain, "/iiif/3/a", 3, "/iiif/3/a", "a", "a"),
	BASE(plain, "/iiif/3/a/", 3, "/iiif/3/a", "a", "a"),
	BASE(plain, "/iiif/2/a", 2, "/iiif/2/a", "a", "a"),
	/* The identifier may look like anything. */
	INFO(plain, "/iiif/3/info.json", 3, "info.json", "info.json", 1),
	BASE(plain, "/iiif/3/info.json", 3, "/iiif/3/info.json", "info.json", "info.json"),
	INFO(plain, "/iiif/3/full", 3, "full", "full", 1),
	INFO(plain, "/iiif/3/..", 3, "..", "..", 1),
	INFO(plain, "/iiif/3/..%2F..%2Fetc%2Fpasswd", 3, "..%2F..%2Fetc%2Fpasswd", "../../etc/passwd", 1),
	/* Decoded once, and each segment for itself. */
	IMAGE(plain, "/iiif/3/%61", 3, "%61", "a", 1),
	IMAGE(plain, "/iiif/3/a%2Fb", 3, "a%2Fb", "a/b", 1),
	IMAGE(plain, "/iiif/3/a%2fb", 3, "a%2fb", "a/b", 1),
	INFO(plain, "/iiif/3/a%253Cb", 3, "a%253Cb", "a%3Cb", 1),
	INFO(plain, "/iiif/3/a%252Fb", 3, "a%252Fb", "a%2Fb", 1),
	INFO(plain, "/iiif/3/ark:%2F12025%2F654xz321", 3, "ark:%2F12025%2F654xz321", "ark:/12025/654xz321", 1),
	INFO(plain, "/iiif/3/urn:foo:a123,456", 3, "urn:foo:a123,456", "urn:foo:a123,456", 1),
	INFO(plain, "/iiif/3/http:%2F%2Fexample.com%2F%3F54%23a", 3, "http:%2F%2Fexample.com%2F%3F54%23a",
	     "http://example.com/?54#a", 1),
	INFO(plain, "/iiif/3/%C3%A9%20+\\[]", 3, "%C3%A9%20+\\[]", "\xc3\xa9 +\\[]", 1),
	INFO(plain, "/iiif/3/\xff", 3, "\xff", "\xff", 1),
	{&plain, STR("/iiif/3/a/%69nfo%2Ejson"), 0, 3, REQUEST_INFO, "/iiif/3/a", "a", "a", 1},
	{&plain, STR("/iiif/3/a/%66ull/m%61x/%30/default%2Ejpg"), 0, 3, REQUEST_IMAGE, "/iiif/3/a", "a", "a", 1},

	BAD(plain, "/iiif/3/%/info.json", 400, 3, REQUEST_INFO),
	BAD(plain, "/iiif/3/a%2/info.json", 400, 3, REQUEST_INFO),
	BAD(plain, "/iiif/3/a%g0/info.json", 400, 3, REQUEST_INFO),
	BAD(plain, "/iiif/3/%0g" TAIL, 400, 3, REQUEST_IMAGE),
	BAD(plain, "/iiif/3/%%33" TAIL, 400, 3, REQUEST_IMAGE),
	BAD(plain, "/iiif/3/a%00b/info.json", 400, 3, REQUEST_INFO),
	BAD(plain, "/iiif/3/a\0b/info.json", 400, 3, REQUEST_INFO),
	BAD(plain, "/iiif/3/a%0D%0ASet-Cookie:x" TAIL, 400, 3, REQUEST_IMAGE),
	BAD(plain, "/iiif/3/a\x1f/info.json", 400, 3, REQUEST_INFO),
	BAD(plain, "/iiif/3/a%7F", 400, 3, REQUEST_BASE),
	BAD(plain, "/iiif/3/a/full/max/0/default%2ejp%", 400, 3, REQUEST_IMAGE),
	BAD(plain, "/iiif/3/a/full%00/max/0/default.jpg", 400, 3, REQUEST_IMAGE),
	BAD(plain, "/iiif/3/a/full/max\0/0/default.jpg", 400, 3, REQUEST_IMAGE),
	BAD(plain, "/iiif/3/a/fu%6/max/0/default.jpg", 400, 3, REQUEST_IMAGE),

	/* Too many, too few, empty segments. */
	BAD(plain, "", 404, 0, REQUEST_BASE),
	BAD(plain, "/", 404, 0, REQUEST_BASE),
	BAD(plain, "/iiif/3", 404, 0, REQUEST_BASE),
	BAD(plain, "/iiif/3/", 404, 3, REQUEST_BASE),
	BAD(plain, "/iiif/3//info.json", 404, 3, REQUEST_INFO),
	BAD(plain, "/iiif/3/" TAIL, 404, 3, REQUEST_IMAGE),
	BAD(plain, "/iiif/30/a/info.json", 404, 0, REQUEST_BASE),
	BAD(plain, "/iiif/4/a/info.json", 404, 0, REQUEST_BASE),
	BAD(plain, "iiif/3/a/info.json", 404, 0, REQUEST_BASE),
	BAD(plain, "//iiif/3/a/info.json", 404, 0, REQUEST_BASE),
	BAD(plain, "/IIIF/3/a/info.json", 404, 0, REQUEST_BASE),
	BAD(plain, "/%69iif/3/a/info.json", 404, 0, REQUEST_BASE),
	BAD(plain, "/iiif/3/a/full", 404, 3, REQUEST_BASE),
	BAD(plain, "/iiif/3/a/full/max", 404, 3, REQUEST_BASE),
	BAD(plain, "/iiif/3/a/full/max/0", 404, 3, REQUEST_BASE),
	BAD(plain, "/iiif/3/a/b" TAIL, 404, 3, REQUEST_BASE),
	BAD(plain, "/iiif/3/a/b/info.json", 404, 3, REQUEST_BASE),
	BAD(plain, "/iiif/3/a//", 404, 3, REQUEST_BASE),
	BAD(plain, "/iiif/3/a" TAIL "/", 404, 3, REQUEST_BASE),
	BAD(plain, "/iiif/3/a/info.json/", 404, 3, REQUEST_BASE),
	BAD(plain, "/iiif/3/a/INFO.JSON", 404, 3, REQUEST_BASE),
	BAD(plain, "/iiif/3/a/full/max/0/default", 400, 3, REQUEST_IMAGE),
	BAD(plain, "/iiif/2/a/full/full/0/native", 400, 2, REQUEST_IMAGE),
	BAD(plain, "/iiif/3/a/full/max/0/", 400, 3, REQUEST_IMAGE),
	BAD(plain, "/iiif/3/a////", 400, 3, REQUEST_IMAGE),
	BAD(plain, "/iiif/3/a/////////////////////////////////////////////////////////////////////x.y", 404, 3,
	    REQUEST_BASE),

	/* Prefixes: the longest wins, "" is the root. */
	IMAGE(plain, "/pre/fix/v3/a", 3, "a", "a", 1),
	IMAGE(plain, "/iiif/3/two/a", 2, "a", "a", 1),
	BAD(plain, "/pre/fix/a/info.json", 404, 0, REQUEST_BASE),
	INFO(root_3, "/a", 3, "a", "a", 1),
	IMAGE(root_3, "/a", 3, "a", "a", 1),
	BASE(root_3, "/a", 3, "/a", "a", "a"),
	BAD(root_3, "/", 404, 3, REQUEST_BASE),
	BAD(root_3, "a/info.json", 404, 0, REQUEST_BASE),
	INFO(root_2, "/a", 2, "a", "a", 1),
	INFO(root_2, "/iiif/3/a", 3, "a", "a", 1),
	BAD(nothing, "/a/info.json", 404, 0, REQUEST_BASE),

	/* Unescaped slashes: the parameters are the last segments. */
	IMAGE(slashes, "/iiif/3/a", 3, "a", "a", 1),
	IMAGE(slashes, "/iiif/3/a/b", 3, "a/b", "a/b", 1),
	IMAGE(slashes, "/iiif/3/a/b%2Fc/d;2", 3, "a/b%2Fc/d;2", "a/b/c/d", 2),
	INFO(slashes, "/iiif/3/a/b/c", 3, "a/b/c", "a/b/c", 1),
	INFO(slashes, "/iiif/3/1/2/3/4/5", 3, "1/2/3/4/5", "1/2/3/4/5", 1),
	INFO(slashes, "/iiif/3/a/../b", 3, "a/../b", "a/../b", 1),
	BASE(slashes, "/iiif/3/a/b", 3, "/iiif/3/a/b", "a/b", "a/b"),
	BASE(slashes, "/iiif/3/a/b/", 3, "/iiif/3/a/b", "a/b", "a/b"),
	BASE(slashes, "/iiif/3/a/b/c/d/e", 3, "/iiif/3/a/b/c/d/e", "a/b/c/d/e", "a/b/c/d/e"),
	BASE(slashes, "/iiif/3/a/b/c/d.e", 3, "/iiif/3/a/b/c/d.e", "a/b/c/d.e", "a/b/c/d.e"),
	BAD(slashes, "/iiif/3/a/b/full/max/0/default.xyz", 400, 3, REQUEST_IMAGE),
	BAD(slashes, "/iiif/3/a/b/c/full/max/0.jpg", 400, 3, REQUEST_IMAGE),
	BAD(slashes, "/iiif/3/a/b%00/info.json", 400, 3, REQUEST_INFO),

	/* A substitute for the slash. */
	INFO(substitute, "/iiif/3/a~~b~~~c~", 3, "a~~b~~~c~", "a/b/~c~", 1),
	INFO(substitute, "/iiif/3/a%7E~b;3", 3, "a%7E~b;3", "a/b", 3),
	INFO(substitute, "/iiif/3/~~~~", 3, "~~~~", "//", 1),
	INFO(plain, "/iiif/3/a~~b", 3, "a~~b", "a~~b", 1),

	/* Pages. */
	INFO(plain, "/iiif/3/a;2", 3, "a;2", "a", 2),
	INFO(plain, "/iiif/3/a%3B2", 3, "a%3B2", "a", 2),
	INFO(plain, "/iiif/3/a;1", 3, "a;1", "a", 1),
	INFO(plain, "/iiif/3/a;007", 3, "a;007", "a", 7),
	INFO(plain, "/iiif/3/a;2;3", 3, "a;2;3", "a;2", 3),
	INFO(plain, "/iiif/3/a;99999999999999999999", 3, "a;99999999999999999999", "a", UINT32_MAX),
	INFO(plain, "/iiif/3/a;0", 3, "a;0", "a;0", 1),
	INFO(plain, "/iiif/3/a;", 3, "a;", "a;", 1),
	INFO(plain, "/iiif/3/;2", 3, ";2", ";2", 1),
	INFO(plain, "/iiif/3/a;2b", 3, "a;2b", "a;2b", 1),
	INFO(plain, "/iiif/3/a;-2", 3, "a;-2", "a;-2", 1),
	INFO(plain, "/iiif/3/12", 3, "12", "12", 1),
	INFO(bare, "/iiif/3/a;2", 3, "a;2", "a;2", 1),
	INFO(bare, "/iiif/3/a2", 3, "a2", "a2", 1),
	INFO(word, "/iiif/3/a-page-12", 3, "a-page-12", "a", 12),
	INFO(word, "/iiif/3/a;2", 3, "a;2", "a;2", 1),
};

#define assert_text(view, text) \
	do { \
		struct str v_ = (view); \
		if (!str_equal(v_, str_of(text))) \
			fail_msg("%.*s: got %.*s for %s", (int)c->path.n, c->path.at, (int)v_.n, v_.at, text); \
	} while (0)

static void check_route(struct arena *a, const struct route *c)
{
	struct request r;
	struct error err = {0};
	bool ok = request_parse(a, c->options, c->path, &r, &err);
	if (ok ? c->status != 0 : err.status != c->status)
		fail_msg("%.*s: status %d for %d", (int)c->path.n, c->path.at, err.status, c->status);
	if (r.version != c->version || r.kind != c->kind)
		fail_msg("%.*s: version %d kind %d", (int)c->path.n, c->path.at, r.version, (int)r.kind);
	if (!ok) {
		assert_int_equal(err.reason, c->status == 404 ? REASON_NOT_FOUND : REASON_SYNTAX);
		assert_non_null(err.say);
		return;
	}
	assert_text(r.base, c->base);
	assert_text(r.identifier_raw, c->raw);
	assert_text(r.identifier, c->identifier);
	assert_int_equal(r.page, c->page);
}

static void routing(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(routes); i++) {
		struct arena *a = arena_open();
		check_route(a, &routes[i]);
		arena_close(a);
	}
}

/* Parameters are compared as text: what was understood, written plainly; NULL for status 400. */
struct form {
	const char *text, *in_2, *in_3;
};

static void write_decimal(struct buf *b, uint64_t v)
{
	char text[32];
	int n = snprintf(text, sizeof text, "%llu.%010llu", (unsigned long long)(v / DECIMAL_ONE),
			 (unsigned long long)(v % DECIMAL_ONE));
	while (text[n - 1] == '0')
		n--;
	buf_write(b, text, (size_t)(text[n - 1] == '.' ? n - 1 : n));
}

static void write_region(struct buf *b, const struct request *r)
{
	const uint64_t v[] = {r->region.x, r->region.y, r->region.w, r->region.h};
	static const char *const words[] = {"full", "square", "", "pct:"};
	buf_text(b, words[r->region.kind]);
	for (int i = 0; i < 4 && r->region.kind >= REGION_PIXELS; i++) {
		buf_text(b, i ? "," : "");
		if (r->region.kind == REGION_PERCENT)
			write_decimal(b, v[i]);
		else
			buf_printf(b, "%llu", (unsigned long long)v[i]);
	}
}

static void write_size(struct buf *b, const struct request *r)
{
	static const char *const words[] = {"full", "max", "w ", "h ", "wh ", "!wh ", "pct "};
	const struct size *s = &r->size;
	buf_text(b, s->upscale ? "^" : "");
	buf_text(b, words[s->kind]);
	if (s->kind == SIZE_BY_PCT)
		write_decimal(b, s->w);
	else if (s->kind > SIZE_MAXIMUM)
		buf_printf(b, "%llu,%llu", (unsigned long long)s->w, (unsigned long long)s->h);
}

static void write_rotation(struct buf *b, const struct request *r)
{
	buf_text(b, r->rotation.mirror ? "!" : "");
	write_decimal(b, r->rotation.degrees);
}

static void write_output(struct buf *b, const struct request *r)
{
	buf_printf(b, "%s %s", quality_name(r->quality), format_media_type(r->format));
}

static void check_forms(const struct form *forms, size_t n, const char *path,
			void (*write)(struct buf *, const struct request *))
{
	for (size_t i = 0; i < n; i++)
		for (int version = 2; version <= 3; version++) {
			struct arena *a = arena_open();
			struct buf *text = buf_open(a, 1024), *got = buf_open(a, 1024);
			struct request r;
			struct error err = {0};
			const char *want = version == 2 ? forms[i].in_2 : forms[i].in_3;
			buf_printf(text, "/iiif/%d/a/", version);
			buf_printf(text, path, forms[i].text);
			if (request_parse(a, &plain, buf_view(text), &r, &err))
				write(got, &r);
			else
				buf_printf(got, "%d", err.status);
			if (!str_equal(buf_view(got), str_of(want ? want : "400")))
				fail_msg("%.*s: got %.*s for %s", (int)text->n, text->at, (int)got->n, got->at, want);
			arena_close(a);
		}
}

#define BOTH(text, result) {text, result, result}
#define NEVER(text) {text, NULL, NULL}

static const struct form regions[] = {
	BOTH("full", "full"), BOTH("square", "square"), BOTH("%73quare", "square"),
	BOTH("0,0,0,0", "0,0,0,0"), BOTH("1,2,3,4", "1,2,3,4"), BOTH("01,002,3,4", "1,2,3,4"),
	BOTH("1%2C2%2c3,4", "1,2,3,4"),
	BOTH("4294967294,0,4294967295,4294967296", "4294967294,0,4294967295,4294967295"),
	BOTH("0,0,99999999999,18446744073709551617", "0,0,4294967295,4294967295"),
	BOTH("pct:0,0,100,100", "pct:0,0,100,100"), BOTH("pct:.5,0.50,50,250", "pct:0.5,0.5,50,250"),
	BOTH("pct%3A41.6,7.5,40,70", "pct:41.6,7.5,40,70"), BOTH("pct:1%2E5,0,1,1", "pct:1.5,0,1,1"),
	BOTH("pct:0.12345678919,0,1,1", "pct:0.1234567891,0,1,1"),
	BOTH("pct:0,0,99999999999999999999,1", "pct:0,0,1000000000,1"),
	NEVER(""), NEVER("FULL"), NEVER("Square"), NEVER("full "), NEVER("fullx"), NEVER("%2566ull"),
	NEVER("-1,0,10,10"), NEVER("+1,0,10,10"), NEVER("0.5,0,10,10"), NEVER("0,0,10"), NEVER("0,0,10,"),
	NEVER("0,0,10,10,"), NEVER("0,0,10,10,10"), NEVER(",0,10,10"), NEVER("0,,10,10"), NEVER("0, 0,10,10"),
	NEVER("0,0,10,10px"), NEVER("0;0;10;10"), NEVER("a,b,c,d"), NEVER("0x1,0,10,10"), NEVER("1e1,0,10,10"),
	NEVER("pct:"), NEVER("pct:0,0,50"), NEVER("pct:0,0,50,-50"), NEVER("pct:0,0,+50,50"),
	NEVER("pct:0,0,5e1,50"), NEVER("pct:0,0,inf,50"), NEVER("pct:0,0,nan,50"), NEVER("pct:0,0,0x9,50"),
	NEVER("pct:0,0,9.,50"), NEVER("pct:0,0,.,50"), NEVER("pct:0,0,1.2.3,50"), NEVER("pct:0,0,50,50,"),
	NEVER("PCT:0,0,50,50"), NEVER("pct 0,0,50,50"), NEVER("percent:0,0,50,50"), NEVER("pct:full"),
	NEVER("!0,0,1,1"), NEVER("^full"), NEVER("\\"), NEVER("[full]"), NEVER("<full>"), NEVER("@"),
	NEVER("full;"), NEVER("full="), NEVER("\xef\xbc\x90,0,1,1"),
};

static const struct form sizes[] = {
	{"full", "full", NULL}, BOTH("max", "max"), BOTH("m%61x", "max"),
	BOTH("600,", "w 600,0"), BOTH("600%2C", "w 600,0"), BOTH("0600,", "w 600,0"),
	BOTH(",400", "h 0,400"), BOTH("600,400", "wh 600,400"), BOTH("!600,400", "!wh 600,400"),
	BOTH("%21600,400", "!wh 600,400"), BOTH("0,", "w 0,0"), BOTH("!0,100", "!wh 0,100"),
	BOTH("99999999999,", "w 4294967295,0"), BOTH(",18446744073709551616", "h 0,4294967295"),
	BOTH("pct:50", "pct 50"), BOTH("pct%3A50", "pct 50"), BOTH("pct:.5", "pct 0.5"), BOTH("pct:0", "pct 0"),
	BOTH("pct:150.250", "pct 150.25"), BOTH("pct:12.34567890129", "pct 12.3456789012"),
	{"^max", NULL, "^max"}, {"%5Emax", NULL, "^max"}, {"%5emax", NULL, "^max"}, {"^600,", NULL, "^w 600,0"},
	{"^,400", NULL, "^h 0,400"}, {"^600,400", NULL, "^wh 600,400"}, {"^!600,400", NULL, "^!wh 600,400"},
	{"%5E%21600%2C400", NULL, "^!wh 600,400"}, {"^pct:150", NULL, "^pct 150"},
	NEVER(""), NEVER("^full"), NEVER("^"), NEVER("!"), NEVER("^!"), NEVER(","), NEVER("!,"), NEVER("^,"),
	NEVER("MAX"), NEVER("Full"), NEVER("maxx"), NEVER("max,"), NEVER(",^240"), NEVER("!^600,400"),
	NEVER("^^max"), NEVER("!!600,400"), NEVER("!max"), NEVER("!pct:50"), NEVER("!600,"), NEVER("!,400"),
	NEVER("^!600,"), NEVER("100"), NEVER("3000.5,"), NEVER("600,400,"), NEVER("600,400,1"), NEVER("600, 400"),
	NEVER("-600,"), NEVER("+600,"), NEVER("600,-400"), NEVER("6e2,"), NEVER("0x10,"), NEVER("600x400"),
	NEVER("pct:"), NEVER("pct:-50"), NEVER("pct:+50"), NEVER("pct:5e1"), NEVER("pct:50%25"), NEVER("pct:50,"),
	NEVER("pct:50,50"), NEVER("pct:9."), NEVER("pct:."), NEVER("pct:inf"), NEVER("pct:nan"), NEVER("PCT:50"),
	NEVER("square"), NEVER("600,%00"), NEVER("600,%2F"), NEVER("%253600,"),
};

static const struct form rotations[] = {
	BOTH("0", "0"), BOTH("90", "90"), BOTH("180", "180"), BOTH("270", "270"), BOTH("360", "0"),
	BOTH("!0", "!0"), BOTH("!360.00", "!0"), BOTH("%2190", "!90"), BOTH("090.0", "90"), BOTH("22.50", "22.5"),
	BOTH(".5", "0.5"), BOTH("359.9999999999", "359.9999999999"), BOTH("9%30", "90"),
	NEVER(""), NEVER("!"), NEVER("-90"), NEVER("+90"), NEVER("360.1"), NEVER("361"), NEVER("99999999999999999999"),
	NEVER("90."), NEVER("."), NEVER("1.2.3"), NEVER("9e1"), NEVER("0x5a"), NEVER("inf"), NEVER("nan"),
	NEVER("90!"), NEVER("!!90"), NEVER("^90"), NEVER("90 "), NEVER(" 90"), NEVER("90,"), NEVER("left"),
	NEVER("360.0000000001"),
};

static const struct form outputs[] = {
	BOTH("default.jpg", "default image/jpeg"), BOTH("color.png", "color image/png"),
	BOTH("gray.tif", "gray image/tiff"), BOTH("bitonal.gif", "bitonal image/gif"),
	BOTH("default.jp2", "default image/jp2"), BOTH("default.pdf", "default application/pdf"),
	BOTH("default.webp", "default image/webp"), BOTH("default.avif", "default image/avif"),
	BOTH("default%2Ejpg", "default image/jpeg"), BOTH("%64efault.jp%67", "default image/jpeg"),
	NEVER("default"), NEVER("default."), NEVER(".jpg"), NEVER("."), NEVER("default.jpeg"), NEVER("default.JPG"),
	NEVER("Default.jpg"), NEVER("native.jpg"), NEVER("grey.jpg"), NEVER("colour.jpg"), NEVER("default.tiff"),
	NEVER("default.jpg.png"), NEVER("default..jpg"), NEVER("default.jpg "), NEVER("default.jpg."),
	NEVER("default.jpg%00"), NEVER("default.bmp"), NEVER("default,jpg"), NEVER("default.jpg;q=1"),
};

static void region_forms(void **state)
{
	(void)state;
	check_forms(regions, LENGTH(regions), "%s/max/0/default.jpg", write_region);
}

static void size_forms(void **state)
{
	(void)state;
	check_forms(sizes, LENGTH(sizes), "full/%s/0/default.jpg", write_size);
}

static void rotation_forms(void **state)
{
	(void)state;
	check_forms(rotations, LENGTH(rotations), "full/max/%s/default.jpg", write_rotation);
}

static void quality_and_format_forms(void **state)
{
	(void)state;
	check_forms(outputs, LENGTH(outputs), "full/max/0/%s", write_output);
}

static void names_of_all_formats(void **state)
{
	(void)state;
	for (int f = 0; f < FORMATS; f++) {
		assert_non_null(format_name((enum format)f));
		assert_non_null(format_media_type((enum format)f));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routing),
		cmocka_unit_test(region_forms),
		cmocka_unit_test(size_forms),
		cmocka_unit_test(rotation_forms),
		cmocka_unit_test(quality_and_format_forms),
		cmocka_unit_test(names_of_all_formats),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
