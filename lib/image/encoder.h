/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_ENCODER_H
#define IMAGE_ENCODER_H

#include "../iiif/request.h"
#include "metadata.h"
#include "pixels.h"

/* How bodies are written; what is not of the image itself is part of every ETag. */
struct encode_options {
	int jpeg_quality;              /* 1 to 100 */
	int png_compression;           /* 0 to 9 */
	int webp_quality;              /* 0 to 100; 101: lossless */
	int webp_method;               /* 0 (quick) to 6 (small) */
	bool tif_jpeg;                 /* JPEG in tif, else deflate */
	int jp2_quality;               /* 1 to 100; 101: lossless */
	int avif_quality;              /* 0 to 100 */
	bool bitonal;                  /* the picture is gray of 0 and 255 only */
	struct metadata metadata;      /* what goes into the file, along the picture's axes */
};

/*
 * The slots behind which every output format sits. An encoder states the model it takes; a gray
 * image is always taken as gray. write gets an image of that model whose plane 0 is the picture,
 * with straight alpha only if the encoder keeps it, may scribble into the planes, and appends the
 * whole body to out.
 */
struct encoder {
	enum format format;
	enum model model;              /* MODEL_YCC: with chroma subsampled as told; MODEL_RGB */
	bool alpha;                    /* whether it keeps opacity */
	bool profile;                  /* whether it writes the image's profile */
	bool by_wand;                  /* MagickWand writes it */
	/* Beside MODEL_RGB, without opacity: whether with these options it takes MODEL_YCC whose chroma is halved both ways,
	 * from decoders that have no RGB. NULL: never. */
	bool (*takes_ycc)(const struct encode_options *options);
	bool (*available)(void);       /* NULL: always; else what the system's libraries can do */
	/* Bytes needed beyond image and body, at the most. */
	uint64_t (*memory)(uint32_t w, uint32_t h);
	bool (*write)(struct image *image, const struct encode_options *options, struct buf *out,
		      struct error *err);
};

/* What a full body buffer means: 413, known only now. */
bool body_too_large(struct error *err);

/* The body's estimated size in bytes for the memory limit: never less than encoders need here. */
uint64_t encoder_body_bytes(uint32_t w, uint32_t h);

#endif
