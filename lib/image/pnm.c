/* SPDX-License-Identifier: BSD-2-Clause */
#include "pnm.h"

struct pnm {
	uint64_t samples;              /* where they start in the file */
	uint32_t most, channels;
	bool plain, bits;              /* numbers in text; PBM, where 1 is black */
};

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

static bool pnm_knows(const uint8_t *head, size_t n)
{
	if (n < 3 || head[0] != 'P' || head[1] < '1' || head[1] > '7')
		return false;
	if (head[1] == '7')
		return head[2] == '\n';
	return is_blank(head[2]) || head[2] == '#';
}

static uint8_t beyond_blanks(struct cursor *c)
{
	uint8_t v = cursor_byte(c);
	while (!c->failed && (is_blank(v) || v == '#')) {
		while (v == '#' && !c->failed && cursor_byte(c) != '\n')
			;
		v = cursor_byte(c);
	}
	return v;
}

/* False where there is no number; saturates. The blank behind it is taken too; the file may end there. */
static bool take_number(struct cursor *c, uint32_t *out)
{
	uint64_t v = 0;
	uint8_t d = beyond_blanks(c);
	if (c->failed || d < '0' || d > '9')
		return false;
	for (; d >= '0' && d <= '9'; d = c->at < c->source->validator.length ? cursor_byte(c) : '\n')
		v = v > UINT32_MAX / 10 ? UINT32_MAX : v * 10 + d - '0';
	*out = v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
	if (d == '#')
		c->at--;
	return !c->failed && (is_blank(d) || d == '#');
}

static void next_word(struct cursor *c, char *word, size_t room)
{
	size_t n = 0;
	for (uint8_t v = beyond_blanks(c); !is_blank(v) && !c->failed; v = cursor_byte(c))
		if (n + 1 < room)
			word[n++] = (char)v;
	word[n] = '\0';
}

/* What a PAM's samples mean: by its word, or without one by their number. */
static bool pam_kind(const char *kind, struct pnm *m, struct raster *r, struct error *err)
{
	static const struct {
		const char *word;
		uint32_t channels;
		bool gray, alpha;
	} kinds[] = {{"GRAYSCALE", 1, true, false},	    {"BLACKANDWHITE", 1, true, false},
		     {"GRAYSCALE_ALPHA", 2, true, true}, {"BLACKANDWHITE_ALPHA", 2, true, true},
		     {"RGB", 3, false, false},		    {"RGB_ALPHA", 4, false, true}};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if ((!*kind || strcmp(kind, kinds[i].word) == 0) && kinds[i].channels == m->channels) {
			r->model = kinds[i].gray ? MODEL_GRAY : MODEL_RGB;
			r->alpha = kinds[i].alpha;
			return true;
		}
	return raster_unsupported(err, "a PAM of another tuple type, depth", m->channels);
}

static bool pam_header(struct cursor *c, struct pnm *m, struct raster *r)
{
	char word[24], kind[24] = "";
	bool ok = true;
	while (ok) {
		next_word(c, word, sizeof word);
		if (c->failed)
			return false;
		if (strcmp(word, "ENDHDR") == 0)
			return pam_kind(kind, m, r, c->err);
		if (strcmp(word, "WIDTH") == 0)
			ok = take_number(c, &r->w);
		else if (strcmp(word, "HEIGHT") == 0)
			ok = take_number(c, &r->h);
		else if (strcmp(word, "DEPTH") == 0)
			ok = take_number(c, &m->channels);
		else if (strcmp(word, "MAXVAL") == 0)
			ok = take_number(c, &m->most);
		else if (strcmp(word, "TUPLTYPE") == 0)
			next_word(c, kind, sizeof kind);
		else
			return raster_damaged(c->err, "a PAM header of unknown words");
	}
	return !c->failed && raster_damaged(c->err, "a PAM header without numbers");
}

static bool pnm_header(struct cursor *c, struct pnm *m, struct raster *r)
{
	bool ok = take_number(c, &r->w) && take_number(c, &r->h) && (m->bits || take_number(c, &m->most));
	return ok || (!c->failed && raster_damaged(c->err, "a header without numbers"));
}

static bool pnm_parse(struct arena *a, struct source *s, struct raster *r, struct error *err)
{
	struct cursor c = {.source = s, .err = err, .at = 1};
	struct pnm *m = arena_new(a, struct pnm);
	uint8_t kind = cursor_byte(&c);
	bool colours = kind == '3' || kind == '6';
	*m = (struct pnm){.most = 1, .channels = colours ? 3 : 1, .plain = kind <= '3', .bits = kind == '1' || kind == '4'};
	r->model = colours ? MODEL_RGB : MODEL_GRAY;
	r->own = m;
	if (!(kind == '7' ? pam_header : pnm_header)(&c, m, r))
		return false;
	if (!m->most || m->most > 65535)
		return raster_damaged(err, "a greatest sample that makes no sense");
	r->deep = m->most > 255;
	m->samples = c.at;
	return true;
}

/* Rows */

struct pnm_rows {
	struct cursor text;            /* plain files */
	uint32_t next;                 /* row */
	uint8_t *room;                 /* raw: a row's bytes */
};

static uint64_t pnm_memory(const struct raster *r, struct rect part)
{
	const struct pnm *m = r->own;
	return m->plain ? 0 : (uint64_t)part.w * m->channels * (r->deep ? 2 : 1);
}

static bool pnm_start(struct arena *a, struct raster_reader *reader, struct error *err)
{
	const struct pnm *m = reader->raster->own;
	struct pnm_rows *rows = reader->own = arena_new(a, struct pnm_rows);
	rows->text = (struct cursor){.source = reader->source, .err = err, .at = m->samples};
	rows->room = m->plain ? NULL : arena_block(a, pnm_memory(reader->raster, reader->part), err);
	return m->plain || rows->room;
}

/* The i-th sample of a row in the whole range of its bits. */
static void put_sample(const struct raster *r, uint32_t value, void *samples, size_t i)
{
	const struct pnm *m = r->own;
	uint32_t whole = r->deep ? 65535 : 255, v = value < m->most ? value : m->most;
	v = (v * whole + m->most / 2) / m->most;
	if (r->deep)
		((uint16_t *)samples)[i] = (uint16_t)v;
	else
		((uint8_t *)samples)[i] = (uint8_t)v;
}

static bool take_sample(struct cursor *c, const struct pnm *m, uint32_t *value)
{
	if (m->bits) {
		uint8_t d = beyond_blanks(c);
		*value = d == '0';
		return !c->failed && (d == '0' || d == '1' || raster_damaged(c->err, "samples that are no digits"));
	}
	return take_number(c, value) || (!c->failed && raster_damaged(c->err, "samples that are no numbers"));
}

static bool plain_row(const struct raster_reader *reader, uint32_t y, void *samples)
{
	const struct raster *r = reader->raster;
	const struct pnm *m = r->own;
	struct pnm_rows *rows = reader->own;
	size_t from = (size_t)reader->part.x * m->channels, n = (size_t)reader->part.w * m->channels;
	size_t all = (size_t)r->w * m->channels;
	for (; rows->next <= y; rows->next++)
		for (size_t i = 0; i < all; i++) {
			uint32_t value;
			if (!take_sample(&rows->text, m, &value)) {
				rows->text.failed = true;
				return false;
			}
			if (rows->next == y && i >= from && i < from + n)
				put_sample(r, value, samples, i - from);
		}
	return true;
}

static bool pnm_row(struct raster_reader *reader, uint32_t y, void *samples, struct error *err)
{
	const struct raster *r = reader->raster;
	const struct pnm *m = r->own;
	const struct rect *part = &reader->part;
	uint8_t *room = ((struct pnm_rows *)reader->own)->room;
	if (m->plain)
		return plain_row(reader, y, samples);
	uint64_t bits = m->bits ? 1 : m->channels * (r->deep ? 16u : 8u), row = (r->w * bits + 7) / 8;
	uint64_t from = part->x * bits / 8, end = (((uint64_t)part->x + part->w) * bits + 7) / 8;
	if (!source_read(reader->source, room, end - from, m->samples + y * row + from, err))
		return false;
	for (size_t i = 0; i < (size_t)part->w * m->channels; i++) {
		size_t bit = part->x % 8 + i;
		uint32_t value = m->bits ? !(room[bit / 8] >> (7 - bit % 8) & 1)
				 : r->deep ? (uint32_t)room[2 * i] << 8 | room[2 * i + 1] : room[i];
		put_sample(r, value, samples, i);
	}
	return true;
}

const struct raster_format pnm_format = {"pnm", pnm_knows, pnm_parse, pnm_memory, pnm_start, pnm_row};
