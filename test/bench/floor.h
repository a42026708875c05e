/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "loop.h"

/*
 * The least work: what the codecs' libraries need to get the samples and to encode as many as the answer has. Nothing is
 * resampled: where a decode is larger than the answer, the answer is cut out of its middle.
 *
 * Memory, handles and headers are kept from one job to the next. Errors end the process.
 */
enum { SPARE = 64 };                   /* columns and rows beyond a plane's sides that may be written and read */

struct plane {
	uint8_t *at;
	unsigned left, top, w, h;      /* what counts of it */
	size_t stride, room;
};

enum form {
	FORM_PLANES,                   /* Y, Cb and Cr, chroma sub_x by sub_y times coarser; or Y alone */
	FORM_YCC,                      /* three bytes a pixel, all in plane[0] */
	FORM_RGB,
};

struct samples {
	enum form form;
	int n;                         /* planes */
	unsigned sub_x, sub_y;
	struct plane plane[3];
};

/* A part of one of the picture's stored levels (JP2: of the full picture), and the answer's sides. */
struct ask {
	unsigned level, x, y, w, h, out_w, out_h;
};

enum coding { CODE_NONE, CODE_JPG, CODE_GRAY, CODE_WEBP, CODE_PNG };

struct source {
	const char *path;
	bool gray;                     /* chroma is not needed */
	bool decode_only;
	struct samples samples;        /* kept from one read to the next */
	void *codec;
};

/* w x h samples with spare ones beyond, grown when needed. */
void plane_size(struct plane *p, unsigned w, unsigned h, unsigned bytes);

/* Each fills s->samples with the part that was asked for, at the smallest scale that has the answer's sides. */
void read_jpeg(struct source *s, const struct ask *ask);
void read_raw_tiles(struct source *s, const struct ask *ask);
void read_tiff(struct source *s, const struct ask *ask);
void read_jp2(struct source *s, const struct ask *ask);
void read_png(struct source *s, const struct ask *ask);
void read_webp(struct source *s, const struct ask *ask);
void read_gif(struct source *s, const struct ask *ask);

/* The middle w x h of the samples. The result is kept until the next call. */
struct result encode(const struct samples *from, unsigned w, unsigned h, enum coding coding);

#endif
