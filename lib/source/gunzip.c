/* SPDX-License-Identifier: BSD-2-Clause */
#include "gunzip.h"

#include <zlib.h>

#define EITHER_FORMAT (32 + MAX_WBITS)
#define PIECE 16384

struct gunzip {
	z_stream z;
	bool whole;
	uint8_t piece[PIECE];
};

static void end(void *g)
{
	inflateEnd(&((struct gunzip *)g)->z);
}

struct gunzip *gunzip_open(struct arena *a)
{
	struct gunzip *g = arena_new(a, struct gunzip);
	if (inflateInit2(&g->z, EITHER_FORMAT) != Z_OK)
		return NULL;
	arena_defer(a, end, g);
	return g;
}

bool gunzip_write(struct gunzip *g, const void *bytes, size_t n,
		  bool (*write)(void *with, const void *bytes, size_t n), void *with)
{
	g->z.next_in = (z_const Bytef *)bytes;
	g->z.avail_in = (uInt)n;
	do {
		/* A file may be several packed ones in a row. */
		if (g->whole && (!g->z.avail_in || inflateReset(&g->z) != Z_OK))
			break;
		g->z.next_out = g->piece;
		g->z.avail_out = PIECE;
		int did = inflate(&g->z, Z_NO_FLUSH);
		if (did != Z_OK && did != Z_STREAM_END && did != Z_BUF_ERROR)
			return false;
		g->whole = did == Z_STREAM_END;
		size_t got = PIECE - g->z.avail_out;
		if (got && !write(with, g->piece, got))
			return false;
	} while (g->z.avail_in || !g->z.avail_out);
	return true;
}

bool gunzip_is_whole(const struct gunzip *g)
{
	return g->whole;
}
