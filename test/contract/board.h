/* SPDX-License-Identifier: BSD-2-Clause */
/* The picture that nearly every image of test/data is: a board of BOARD x BOARD squares, W x H, and how to look at one
 * that was read. */
#ifndef TEST_BOARD_H
#define TEST_BOARD_H

#include <stdio.h>
#include <stdlib.h>

#include "check.h"

#include "image/codecs.h"
#include "image/colour.h"
#include "source/source_file.h"

#define BOARD 10
#define W 1003
#define H 701

static inline const char *images_folder(void)
{
	const char *folder = getenv("LORIKEET_TEST_IMAGES");
	return folder ? folder : "build/test-images";
}

static inline struct source *sample_source(struct arena *a, const char *name)
{
	struct error err = {0};
	struct source *source;
	if (!file_source_open_path(a, arena_printf(a, "%s/%s", images_folder(), name), &source, &err))
		fail_msg("%s: %s %s", name, err.say, err.why);
	return source;
}

/* The bytes of a sample. */
static inline struct str load(struct arena *a, const char *name)
{
	struct source *s = sample_source(a, name);
	struct error err;
	char *bytes = arena_alloc(a, s->validator.length);
	assert_true(source_read(s, bytes, s->validator.length, 0, &err));
	return (struct str){bytes, s->validator.length};
}

/* All of a picture, by our own decoders, for which every warning is an error. */
static inline struct image read_picture(struct arena *a, struct str body)
{
	struct picture p;
	struct image image;
	struct error err = {0};
	if (!picture_open(a, decoders, memory_source_open(a, body), 1, &p, &err))
		fail_msg("%s", err.why);
	struct wants w = {.region = {0, 0, p.stored_w, p.stored_h}, .step_x = 1, .step_y = 1, .chroma_x = 1, .chroma_y = 1};
	if (!p.decoder->read(a, &p, &w, &image, &err))
		fail_msg("%s", err.why);
	return image;
}

/* The sample of a plane at a full-image point, which lies in it. */
static inline int plane_at(const struct plane *p, double x, double y)
{
	double i = (x - p->x) / p->dx, j = (y - p->y) / p->dy;
	assert_true(i >= 0 && j >= 0 && i < p->w && j < p->h);
	return p->at[(size_t)j * p->stride + (size_t)i];
}

static inline void colour_at(const struct image *image, double x, double y, int rgb[3])
{
	uint8_t v[3];
	struct image one = {.model = image->model, .n = image->n};
	for (int i = 0; i < image->n; i++) {
		v[i] = (uint8_t)plane_at(&image->plane[i], x, y);
		one.plane[i] = (struct plane){.at = &v[i], .w = 1, .h = 1, .stride = 1, .dx = 1, .dy = 1};
	}
	if (one.model == MODEL_YCC)
		colour_ycc_to_rgb(&one);
	for (int i = 0; i < 3; i++)
		rgb[i] = v[image->n == 3 ? i : 0];
}

/* The colour of a square (make_images.py, square()), or its luma. */
static inline void board_colour(int column, int row, bool gray, int rgb[3])
{
	rgb[0] = 40 + (column * 67 + row * 31) % 176;
	rgb[1] = 40 + (column * 29 + row * 97) % 176;
	rgb[2] = 40 + (column * 113 + row * 59) % 176;
	if (gray)
		rgb[0] = rgb[1] = rgb[2] = (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000;
}

#endif
