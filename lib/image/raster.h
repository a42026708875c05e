/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_RASTER_H
#define IMAGE_RASTER_H

#include "../source/source.h"
#include "pixels.h"

/*
 * What the simple formats share: a header that is read byte by byte, then rows of samples.
 */

/* A forward reader of small things. What it reads beyond the file's end, or after an error, is 0. */
struct cursor {
	struct source *source;
	struct error *err;
	uint64_t at;                         /* may be moved */
	bool failed;                         /* err is filled */
	uint64_t from;                       /* of the bytes held */
	size_t n;
	uint8_t held[4096];
};

uint8_t cursor_byte(struct cursor *c);
uint32_t cursor_le(struct cursor *c, int bytes);
uint32_t cursor_be(struct cursor *c, int bytes);

/* False, with 500 or 501. */
bool raster_damaged(struct error *err, const char *what);
bool raster_unsupported(struct error *err, const char *what, uint64_t value);

bool raster_sane_sides(uint32_t w, uint32_t h, struct error *err);

/* What a header says. */
struct raster {
	uint32_t w, h;
	enum model model;
	bool alpha, deep;
	uint64_t icc_offset, icc_bytes;      /* 0 bytes: none */
	void *own;                           /* the format's */
};

/* A read of a part. */
struct raster_reader {
	struct source *source;
	const struct raster *raster;
	struct rect part;
	bool recover;                        /* what is damaged is left as it is, without an error */
	void *own;                           /* start's */
};

struct raster_format {
	const char *name;                    /* as in the option and the log */
	bool (*knows)(const uint8_t *head, size_t n);
	/* *r is zeroed. 500 damaged, 501 a kind that is not decoded. A file that is cut off is no matter of the header. */
	bool (*parse)(struct arena *a, struct source *s, struct raster *r, struct error *err);
	/* Bytes that start takes. */
	uint64_t (*memory)(const struct raster *r, struct rect part);
	bool (*start)(struct arena *a, struct raster_reader *reader, struct error *err);
	/* The part's columns of that row of the picture, interleaved. Rows are asked for from the top downwards, and after an
	 * error too. */
	bool (*row)(struct raster_reader *reader, uint32_t y, void *samples, struct error *err);
};

#endif
