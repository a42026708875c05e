/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_METADATA_H
#define IMAGE_METADATA_H

#include "../base/str.h"

/* Larger blocks are not looked at. */
#define METADATA_MAX_BYTES (1 << 20)

/*
 * What an image file says beside its pixels: blocks as decoders find them and encoders write them, each empty where
 * there is none.
 */
struct metadata {
	struct str exif;             /* a TIFF header and its directories, without JPEG's "Exif\0\0" */
	struct str xmp;              /* the packet, UTF-8 */
	struct str iptc;             /* IIM datasets, without Photoshop's resource around them */
	double per_cm_x, per_cm_y;   /* pixels per centimetre along the stored axes, 0 where not known */
};

/* The orientation (1 to 8) of an EXIF block. 1 where it is absent or makes no sense. */
int exif_orientation(struct str exif);

/* The text of that tag of the first directory, empty without. */
enum exif_text { EXIF_DESCRIPTION = 0x010e, EXIF_ARTIST = 0x013b, EXIF_COPYRIGHT = 0x8298 };
struct str exif_text(struct str exif, enum exif_text tag);

/* Takes the resolution of an EXIF block for its own, where that is not known yet and the block has one. */
void metadata_take_resolution(struct metadata *m);

enum metadata_policy { METADATA_NONE, METADATA_COPYRIGHT, METADATA_ALL };

/*
 * What of an original's blocks goes into an answer: nothing; rights and credit; all but orientation, thumbnails and
 * sizes, which are no longer true. scale_x, scale_y: pixels of the answer per pixel of the original, along the stored
 * axes; the resolution is scaled by them.
 */
struct metadata metadata_keep(struct arena *a, const struct metadata *in, enum metadata_policy policy, double scale_x,
			      double scale_y);

/* The IIM datasets within Photoshop's image resources ("8BIM" blocks); empty without. */
struct str photoshop_iptc(struct str resources);

/* An EXIF block of these texts (NULL or "" for none) for originals that keep them in tags of their own. */
struct str exif_make(struct arena *a, const char *description, const char *artist, const char *copyright);

#endif
