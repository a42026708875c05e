/* SPDX-License-Identifier: BSD-2-Clause */
#include "start_page.h"

#include "../base/hash.h"
#include "../image/codecs.h"
#include "../source/listing.h"

#define PAGE_MAX_BYTES (16 << 20)
#define IDENTIFIER_MAX_BYTES 1500
#define WALK_US 120000

/* start_page.html as it is. */
__asm__(".section .rodata\n"
	".balign 16\n"
	"start_page_text:\n"
	".incbin \"" START_PAGE_HTML "\"\n"
	"start_page_text_end:\n"
	".previous\n");
extern const char start_page_text[], start_page_text_end[];

static struct str template(void)
{
	return (struct str){start_page_text, (size_t)(start_page_text_end - start_page_text)};
}

/* Takes all up to the mark, and passes over it. */
static struct str take_to(struct str *s, struct str mark)
{
	const char *at = memmem(s->at, s->n, mark.at, mark.n);
	size_t n = at ? (size_t)(at - s->at) : s->n, step = at ? n + mark.n : n;
	struct str piece = {s->at, n};
	s->at += step;
	s->n -= step;
	return piece;
}

/* The length of the character at the front, 0 if that is no UTF-8 or a control. */
static size_t character_bytes(struct str s)
{
	unsigned char c = (unsigned char)*s.at;
	return c < 0x20 || c == 0x7f ? 0 : utf8_length(s);
}

/* As text or an attribute's value; what is no UTF-8 or no text is shown as U+FFFD. */
static void buf_html(struct buf *b, struct str s)
{
	while (s.n) {
		size_t n = character_bytes(s);
		switch (*s.at) {
		case '&':
			buf_text(b, "&amp;");
			break;
		case '<':
			buf_text(b, "&lt;");
			break;
		case '>':
			buf_text(b, "&gt;");
			break;
		case '"':
			buf_text(b, "&quot;");
			break;
		case '\'':
			buf_text(b, "&#39;");
			break;
		default:
			buf_write(b, n ? s.at : "\xef\xbf\xbd", n ? n : 3);
		}
		s.at += n ? n : 1;
		s.n -= n ? n : 1;
	}
}

/* Where a version is served, as the client sees it; false where it is not. */
static bool service_path(struct arena *a, const struct start_page *page, int version, struct str *path)
{
	const char *const *list = version == 3 ? page->grammar->prefixes_3 : page->grammar->prefixes_2;
	if (!list || !*list)
		return false;
	struct buf *b = buf_open(a, 65536);
	buf_uri_text(b, page->prefix);
	buf_uri_text(b, str_of(*list));
	*path = buf_view(b);
	return true;
}

/* Whether the grammar leads back from the address to this identifier: "a;2" would be a page of "a". */
static bool is_usable(struct arena *a, const void *with, struct str identifier)
{
	const struct start_page *page = with;
	const struct start_page plain = {.grammar = page->grammar};
	struct buf *b = buf_open(a, 8 * IDENTIFIER_MAX_BYTES);
	struct str path = {0};
	struct request r;
	struct error err;
	if (identifier.n > IDENTIFIER_MAX_BYTES ||
	    (!service_path(a, &plain, 3, &path) && !service_path(a, &plain, 2, &path)))
		return false;
	buf_str(b, path);
	buf_text(b, "/");
	buf_uri_segment(b, identifier);
	buf_text(b, "/info.json");
	return request_parse(a, page->grammar, buf_view(b), &r, &err) && r.kind == REQUEST_INFO && r.page == 1 &&
	       str_equal(r.identifier, identifier);
}

static void write_services(struct arena *a, const struct start_page *page, struct buf *out)
{
	struct str path;
	for (int version = 2; version <= 3; version++)
		if (service_path(a, page, version, &path)) {
			buf_printf(out, " data-iiif%d=\"", version);
			buf_html(out, path);
			buf_text(out, "\"");
		}
	struct buf *viewer = buf_open(a, 65536);
	buf_uri_text(viewer, page->prefix);
	buf_text(out, " data-viewer=\"");
	buf_html(out, buf_view(viewer));
	buf_text(out, "/.viewer/openseadragon/openseadragon.min.js\"");
}

static void write_count(const struct listing *l, struct buf *out)
{
	if (l->unreachable)
		buf_printf(out, "%zu folder%s of images cannot be read now. ", l->unreachable,
			   l->unreachable == 1 ? "" : "s");
	if (l->n < l->found)
		buf_printf(out, "%zu of %s%llu images", l->n, l->more ? "more than " : "",
			   (unsigned long long)l->found);
	else
		buf_printf(out, "%zu image%s%s", l->n, l->n == 1 ? "" : "s", l->more ? ", and there may be more" : "");
}

/* "scans/a/b.jpg" is shown as its folder and its name. */
static void write_name(struct str identifier, struct buf *out)
{
	const char *slash = memrchr(identifier.at, '/', identifier.n);
	size_t folder = slash ? (size_t)(slash - identifier.at) + 1 : 0;
	buf_text(out, "<bdi class=\"name\">");
	buf_html(out, (struct str){identifier.at + folder, identifier.n - folder});
	buf_text(out, "</bdi>");
	if (folder) {
		buf_text(out, " <bdi class=\"folder\">");
		buf_html(out, (struct str){identifier.at, folder - 1});
		buf_text(out, "</bdi>");
	}
}

static void write_preview(struct str image, int side, struct buf *out)
{
	buf_html(out, image);
	buf_printf(out, "/full/!%d,%d/0/default.jpg", side, side);
}

static void write_image(struct arena *a, struct str service, struct str identifier, struct buf *out)
{
	struct buf *id = buf_open(a, 3 * IDENTIFIER_MAX_BYTES), *image = buf_open(a, 1 << 18);
	buf_uri_segment(id, identifier);
	buf_str(image, service);
	buf_text(image, "/");
	buf_str(image, buf_view(id));

	buf_text(out, "<li><a href=\"#id=");
	buf_str(out, buf_view(id));
	buf_text(out, "\"><span class=\"picture\"><img loading=\"lazy\" alt=\"\" sizes=\"(min-width: 2400px) 20rem, 12rem\" src=\"");
	write_preview(buf_view(image), 200, out);
	buf_text(out, "\" srcset=\"");
	write_preview(buf_view(image), 200, out);
	buf_text(out, " 200w, ");
	write_preview(buf_view(image), 400, out);
	buf_text(out, " 400w\"></span>");
	write_name(identifier, out);
	buf_text(out, "</a></li>\n");
}

struct str start_page_write(struct arena *a, const struct start_page *page)
{
	struct listing_options options = {
		.rules = page->rules,
		.n_rules = page->n_rules,
		.suffixes = image_suffixes,
		.max = START_PAGE_MAX_IMAGES,
		.budget_us = WALK_US,
		.usable = is_usable,
		.with = page,
	};
	struct listing found;
	struct str rest = template(), service = {0};
	struct buf *out = buf_open(a, PAGE_MAX_BYTES);

	listing_make(a, &options, &found);
	if (!service_path(a, page, 3, &service))
		service_path(a, page, 2, &service);
	buf_str(out, take_to(&rest, STR(" data-services")));
	write_services(a, page, out);
	buf_str(out, take_to(&rest, STR("<!--count-->")));
	write_count(&found, out);
	buf_str(out, take_to(&rest, STR("<!--images-->")));
	for (size_t i = 0; i < found.n; i++)
		write_image(a, service, found.identifier[i], out);
	buf_str(out, rest);
	return buf_view(out);
}

static void hash_of_element(struct str open, struct str close, char hash[45])
{
	struct str rest = template();
	take_to(&rest, open);
	hash_base64(take_to(&rest, close), hash);
}

/* 'strict-dynamic': the script may load the viewer, but nothing else here may be used as a script.
 * blob: is what the form has fetched. */
const char *start_page_policy(struct arena *a)
{
	char script[45], style[45];
	hash_of_element(STR("<script>"), STR("</script>"), script);
	hash_of_element(STR("<style data-openseadragon-mobile-css>"), STR("</style>"), style);
	return arena_printf(a,
			    "default-src 'none'; script-src 'sha256-%s' 'strict-dynamic'; style-src 'sha256-%s'; "
			    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
			    "frame-ancestors 'none'",
			    script, style);
}
