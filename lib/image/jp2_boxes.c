/* SPDX-License-Identifier: BSD-2-Clause */
#include "jp2_boxes.h"

#include "jp2_words.h"

#define MAX_BOXES 4096
#define MAX_HEADER_BOX (16u << 20)
#define BOX(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static const uint8_t signature[12] = {0, 0, 0, 12, 'j', 'P', ' ', ' ', '\r', '\n', 0x87, '\n'};

static bool is_codestream(const uint8_t *head, size_t n)
{
	return n >= 4 && be32(head) == 0xff4fff51;
}

bool jp2_knows(const uint8_t *head, size_t n)
{
	return is_codestream(head, n) || (n >= sizeof signature && memcmp(head, signature, sizeof signature) == 0);
}

/* The length of a box with these first bytes, of which 8 or more are there, and of its header; 0 if it does not fit. */
static uint64_t box_length(const void *head, uint64_t there, uint64_t left, uint64_t *skip)
{
	uint64_t n = be32(head);
	*skip = 8;
	if (n == 1 && there >= 16) {
		n = (uint64_t)be32((const char *)head + 8) << 32 | be32((const char *)head + 12);
		*skip = 16;
	}
	n = n ? n : left;
	return n >= *skip && n <= left ? n : 0;
}

/* Takes the next box of a superbox. */
static bool take_box(struct str *s, uint32_t *type, struct str *content)
{
	uint64_t skip, n = s->n >= 8 ? box_length(s->at, s->n, s->n, &skip) : 0;
	if (!n)
		return false;
	*type = be32(s->at + 4);
	*content = (struct str){s->at + skip, (size_t)(n - skip)};
	s->at += n;
	s->n -= (size_t)n;
	return true;
}

/* A group of colours holds no further one. */
static void read_header(struct str s, bool group, struct jp2_boxes *b)
{
	struct str content;
	uint32_t type;
	bool first = true;
	while (take_box(&s, &type, &content))
		switch (type) {
		case BOX('c', 'o', 'l', 'r'):
			b->colours = first ? 0 : b->colours;
			first = false;
			if (b->colours < JP2_MAX_COLOURS)
				b->colour[b->colours++] = content;
			break;
		case BOX('c', 'g', 'r', 'p'):
			if (!group)
				read_header(content, true, b);
			break;
		case BOX('p', 'c', 'l', 'r'):
			b->palette = content;
			break;
		case BOX('c', 'm', 'a', 'p'):
			b->mapping = content;
			break;
		case BOX('c', 'd', 'e', 'f'):
			b->channels = content;
			break;
		}
}

struct walk {
	struct arena *a;
	struct source *source;
	struct jp2_boxes *b;
	bool header, codestream_header, layer_header;   /* the first of each was seen */
	bool in_pieces;
};

static bool is_first(bool *seen)
{
	bool first = !*seen;
	*seen = true;
	return first;
}

/* A box of the file itself, its content at..end. */
static bool read_box(struct walk *w, uint32_t type, uint64_t at, uint64_t end, struct error *err)
{
	switch (type) {
	case BOX('j', 'p', '2', 'c'):
		if (!w->b->end) {
			w->b->at = at;
			w->b->end = end;
		}
		return true;
	case BOX('f', 't', 'b', 'l'):
		w->in_pieces = true;
		return true;
	case BOX('j', 'p', '2', 'h'):
		if (!is_first(&w->header))
			return true;
		break;
	case BOX('j', 'p', 'c', 'h'):
		if (!is_first(&w->codestream_header))
			return true;
		break;
	case BOX('j', 'p', 'l', 'h'):
		if (!is_first(&w->layer_header))
			return true;
		break;
	default:
		return true;
	}
	size_t n = (size_t)(end - at);
	if (end - at > MAX_HEADER_BOX)
		return jp2_unsupported(err, "a header box of bytes", (unsigned)(end - at));
	char *bytes = arena_block(w->a, n + 1, err);
	if (!bytes || !source_read(w->source, bytes, n, at, err))
		return false;
	read_header((struct str){bytes, n}, false, w->b);
	return true;
}

/* Up to the codestream; and past it, as far as there are boxes, where colours were not spoken of before it. */
static bool walk_boxes(struct walk *w, struct error *err)
{
	uint64_t at = 0, length = w->source->validator.length, n, skip;
	uint8_t head[16];
	for (int i = 0; i < MAX_BOXES && !(w->b->end && w->b->colours); i++, at += n) {
		int64_t got = source_read_up_to(w->source, head, sizeof head, at, err);
		if (got < 0)
			return false;
		n = got >= 8 ? box_length(head, (uint64_t)got, length - at, &skip) : 0;
		if (!n && w->b->end)
			return true;
		if (!n)
			return w->in_pieces ? jp2_unsupported(err, "pieces of a codestream, boxes", (unsigned)i)
					    : jp2_damaged(err, got ? "a box larger than the file" : "no codestream");
		if (!read_box(w, be32(head + 4), at + skip, at + n, err))
			return false;
	}
	return w->b->end || jp2_damaged(err, "no codestream");
}

bool jp2_boxes_read(struct arena *a, struct source *source, struct jp2_boxes *b, struct error *err)
{
	uint8_t head[4];
	*b = (struct jp2_boxes){.end = source->validator.length};
	if (!source_read(source, head, sizeof head, 0, err))
		return false;
	if (is_codestream(head, sizeof head))
		return true;
	b->end = 0;
	return walk_boxes(&(struct walk){.a = a, .source = source, .b = b}, err);
}
