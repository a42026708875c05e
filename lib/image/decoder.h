/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_DECODER_H
#define IMAGE_DECODER_H

#include "../iiif/facts.h"
#include "../source/source.h"
#include "metadata.h"
#include "pixels.h"

/*
 * The slots behind which every source format sits.
 *
 * Calling sequence: picture_open finds the decoder by the first bytes and has it read the header into
 * the picture's facts; then, any number of times, memory (an estimate, before deciding to decode) and read.
 * Codecs see a struct source only, never a path.
 */
struct decoder;

struct picture {
	const struct decoder *decoder;
	struct source *source;
	struct facts facts;
	uint32_t stored_w, stored_h;   /* the full level, before orientation */
	const uint8_t *icc;            /* embedded profile, NULL if none */
	size_t icc_bytes;
	char icc_hash[33];             /* hash_hex of it; "" without */
	struct metadata metadata;      /* as found; the blocks live as long as the picture */
	void *codec;                   /* the codec's own facts */
};

/*
 * What a read is for. The output grid has the given steps (full-image pixels per output pixel) and
 * starts at the region's corner. Chroma sampling is the encoder's: 1 or 2 per axis.
 */
struct wants {
	struct rect region;            /* of the full image, in stored coordinates, not empty */
	double step_x, step_y;         /* > 0; below 1 when enlarging */
	bool gray;                     /* chroma is not needed */
	bool upsamples;                /* coarser chroma will get luma's grid, so that it is never just copied */
	bool in_light;                 /* what is scaled will be RGB, and scaled in linear light: not before, by the DCT */
	bool converts;                 /* colours will be converted by the profile */
	bool recover;                  /* of a damaged file what can be read, the rest white or gray, instead of an error */
	uint8_t chroma_x, chroma_y;
};

/* Tiles as a file has them: whole JPEG streams, row by row, which side by side are what was wanted. */
struct stored_tiles {
	enum model model;              /* of the components */
	int components;
	uint8_t chroma_x, chroma_y;    /* luma samples per chroma sample, in all of them */
	uint32_t across, down;
	uint32_t tile_w, tile_h;       /* of each one */
	struct str tables;             /* that all share, empty for none */
	const struct str *stream;      /* across x down */
};

struct decoder {
	const char *name;
	/* Whether a file that starts with these bytes is of this format. */
	bool (*knows)(const uint8_t *head, size_t n);
	/* Fills the stored sides, facts (tiles and levels as stored; picture_open orients them and sets
	 * w and h), profile and codec. page counts from 1. 404 no such page, 500 damaged, 501 a kind that is not decoded. */
	bool (*open)(struct arena *a, uint32_t page, struct picture *p, struct error *err);
	/* Bytes that read will need at its peak, its result included. */
	uint64_t (*memory)(const struct picture *p, const struct wants *w);
	/*
	 * Planes whose luma step is at most the wanted one, or full resolution, covering the region
	 * plus the filter's margin, clipped to the image. In a gray source, or with wants.gray from
	 * YCbCr, one plane. Planes belong to a. A truncated or corrupt file is an error, never gray,
	 * unless wants.recover is set.
	 */
	bool (*read)(struct arena *a, const struct picture *p, const struct wants *w,
		     struct image *out, struct error *err);
	/* The stored tiles that are just the wanted region at just the wanted steps, of `most` bytes together. NULL; else why
	 * there are none, or "" with err filled. NULL: the format has no such tiles. */
	const char *(*stored)(struct arena *a, const struct picture *p, const struct wants *w, uint64_t most,
			      struct stored_tiles *out, struct error *err);
	/* Bytes that an opened picture holds beside its arena, UINT64_MAX if that is not known; NULL: none. */
	uint64_t (*held)(const struct picture *p);
};

#define DECODER_HEAD_BYTES 64

/*
 * Opens the source's picture with the decoder of the list that knows it, and fills all of p.
 * 501 when none does; the list is NULL-terminated.
 */
bool picture_open(struct arena *a, const struct decoder *const *list, struct source *source,
		  uint32_t page, struct picture *p, struct error *err);

/*
 * The part of the full image that a read must cover: the region plus what the resampler's filter
 * reaches beyond it, given the steps of the planes to be delivered (dx, dy of luma; chroma is
 * sub_x, sub_y times coarser, 0 without chroma planes). No margin along an axis where every plane will be copied,
 * that is where all steps are those of the output and the region starts on a sample.
 */
struct rect decoder_cover(const struct picture *p, const struct wants *w, double dx, double dy,
			  int sub_x, int sub_y);

/* The same for samples whose phase is not the output's: always with the margin. */
struct rect decoder_cover_off_grid(const struct picture *p, const struct wants *w, double dx, double dy,
				   int sub_x, int sub_y);

/* The smallest n of 1, 2, 4, 8 eighths at which a DCT-scaled decode of a level (of the given step)
 * still has 1.5 times the samples wanted; 8 if none has, or in linear light. Exactly as many is the worst choice. */
int dct_eighths(const struct wants *w, double level_step_x, double level_step_y);

/*
 * Luma samples per chroma sample in a decode at n eighths, in place. Below full scale libjpeg lets chroma keep
 * resolution, by doubling its DCT size as long as that suits both axes; where that was done once, and no more is wanted
 * than chroma's share of luma's resolution, it is halved as it comes: true.
 */
bool dct_chroma(const struct wants *w, int eighths, uint8_t *chroma_x, uint8_t *chroma_y);

#endif
