/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * expat tells where in the packet each property stands, and properties are then left out by copying around them.
 * A property is a child element of an rdf:Description, or one of its attributes (ISO 16684-1, 7.9).
 */
#include "xmp.h"

#include <stdlib.h>

#include <expat.h>

#define RDF "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
#define DESCRIPTION RDF " Description"
#define MAX_BYTES (1 << 20)
#define MAX_DEPTH 100

struct cut {
	size_t from, to;
};

struct walk {
	struct arena *a;
	XML_Parser parser;
	struct str packet;
	bool rights_only;
	int depth, property_depth;     /* of elements; of the property being left out, 0 for none */
	bool in_description[MAX_DEPTH];
	struct cut *cuts;
	size_t n, room;
	size_t kept;                   /* properties */
};

/* Names as expat gives them: namespace, blank, local name. A trailing blank stands for the whole namespace. */
static bool is_named(const char *name, const char *const *list)
{
	for (; *list; list++) {
		size_t n = strlen(*list);
		if ((*list)[n - 1] == ' ' ? strncmp(name, *list, n) == 0 : strcmp(name, *list) == 0)
			return true;
	}
	return false;
}

static bool is_kept(const struct walk *w, const char *name)
{
	static const char *const rights[] = {
		"http://purl.org/dc/elements/1.1/ rights",
		"http://purl.org/dc/elements/1.1/ creator",
		"http://ns.adobe.com/xap/1.0/rights/ ",
		"http://ns.useplus.org/ldf/xmp/1.0/ ",
		"http://creativecommons.org/ns# ",
		"http://ns.adobe.com/photoshop/1.0/ Credit",
		"http://ns.adobe.com/photoshop/1.0/ Source",
		"http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/ CreatorContactInfo",
		NULL,
	};
	static const char *const untrue[] = {
		"http://ns.adobe.com/tiff/1.0/ Orientation",
		"http://ns.adobe.com/tiff/1.0/ ImageWidth",
		"http://ns.adobe.com/tiff/1.0/ ImageLength",
		"http://ns.adobe.com/tiff/1.0/ XResolution",
		"http://ns.adobe.com/tiff/1.0/ YResolution",
		"http://ns.adobe.com/exif/1.0/ PixelXDimension",
		"http://ns.adobe.com/exif/1.0/ PixelYDimension",
		"http://ns.adobe.com/xap/1.0/ Thumbnails",
		NULL,
	};
	return w->rights_only ? is_named(name, rights) : !is_named(name, untrue);
}

static void cut(struct walk *w, size_t from, size_t to)
{
	if (w->n == w->room) {
		size_t room = w->room ? w->room * 2 : 32;
		struct cut *more = arena_array(w->a, struct cut, room);
		if (w->n)
			memcpy(more, w->cuts, w->n * sizeof *more);
		w->cuts = more;
		w->room = room;
	}
	w->cuts[w->n++] = (struct cut){from, to};
}

static size_t here(const struct walk *w)
{
	return (size_t)XML_GetCurrentByteIndex(w->parser);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The attributes of the tag at hand, in the order in which expat has named them: namespace declarations are not named. */
static void cut_attributes(struct walk *w, const char **attributes)
{
	size_t at = here(w), end = at + (size_t)XML_GetCurrentByteCount(w->parser);
	const char *s = w->packet.at;
	while (at < end && !is_blank(s[at]))
		at++;
	while (at < end && *attributes) {
		size_t from = at;
		while (at < end && is_blank(s[at]))
			at++;
		size_t name = at;
		while (at < end && s[at] != '=' && !is_blank(s[at]))
			at++;
		bool declaration = at - name >= 5 && strncmp(s + name, "xmlns", 5) == 0 &&
				   (at - name == 5 || s[name + 5] == ':');
		while (at < end && s[at] != '"' && s[at] != '\'')
			at++;
		const char *close = at + 1 < end ? memchr(s + at + 1, s[at], end - at - 1) : NULL;
		if (!close)
			return;
		at = (size_t)(close - s) + 1;
		if (declaration)
			continue;
		if (strncmp(*attributes, RDF " ", sizeof RDF) != 0) {
			if (is_kept(w, *attributes))
				w->kept++;
			else
				cut(w, from, at);
		}
		attributes += 2;
	}
}

static void on_start(void *user, const char *name, const char **attributes)
{
	struct walk *w = user;
	if (++w->depth >= MAX_DEPTH) {
		XML_StopParser(w->parser, XML_FALSE);
		return;
	}
	bool property = w->in_description[w->depth - 1], description = strcmp(name, DESCRIPTION) == 0;
	w->in_description[w->depth] = false;
	if (w->property_depth)
		return;
	if (property) {
		/* What is inside a property that stays, stays with it. */
		w->property_depth = w->depth;
		if (is_kept(w, name))
			w->kept++;
		else
			cut(w, here(w), 0);
		return;
	}
	w->in_description[w->depth] = description;
	if (description)
		cut_attributes(w, attributes);
}

static void on_end(void *user, const char *name)
{
	struct walk *w = user;
	(void)name;
	if (w->depth == w->property_depth) {
		w->property_depth = 0;
		if (w->n && w->cuts[w->n - 1].to == 0)
			w->cuts[w->n - 1].to = here(w) + (size_t)XML_GetCurrentByteCount(w->parser);
	}
	w->depth--;
}

static void on_doctype(void *user, const char *name, const char *system, const char *public, int has_subset)
{
	struct walk *w = user;
	(void)name, (void)system, (void)public, (void)has_subset;
	XML_StopParser(w->parser, XML_FALSE);
}

static struct str copy_around(const struct walk *w)
{
	struct buf *b = buf_open(w->a, w->packet.n);
	size_t at = 0;
	for (size_t i = 0; i < w->n; i++) {
		buf_write(b, w->packet.at + at, w->cuts[i].from - at);
		at = w->cuts[i].to;
	}
	buf_write(b, w->packet.at + at, w->packet.n - at);
	return buf_view(b);
}

/* Writers pad packets with kilobytes of blanks, for edits in place. */
static struct str without_padding(struct str packet)
{
	static const char mark[] = "<?xpacket end";
	const char *end = packet.n ? memmem(packet.at, packet.n, mark, sizeof mark - 1) : NULL;
	size_t n = end ? (size_t)(end - packet.at) : packet.n;
	while (n && (is_blank(packet.at[n - 1]) || packet.at[n - 1] == '\0'))
		n--;
	return (struct str){packet.at, n};
}

struct str xmp_keep(struct arena *a, struct str packet, bool rights_only)
{
	struct walk w = {.a = a, .packet = without_padding(packet), .rights_only = rights_only};
	if (!w.packet.n || w.packet.n > MAX_BYTES)
		return (struct str){0};
	w.parser = XML_ParserCreateNS("UTF-8", ' ');
	if (!w.parser)
		return (struct str){0};
	XML_SetUserData(w.parser, &w);
	XML_SetElementHandler(w.parser, on_start, on_end);
	XML_SetStartDoctypeDeclHandler(w.parser, on_doctype);
	bool parsed = XML_Parse(w.parser, w.packet.at, (int)w.packet.n, XML_TRUE) == XML_STATUS_OK;
	XML_ParserFree(w.parser);
	return parsed && w.kept ? copy_around(&w) : (struct str){0};
}
