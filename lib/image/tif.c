/* SPDX-License-Identifier: BSD-2-Clause */
#include "tif.h"

#include <stdio.h>

#include <tiffio.h>

#include "tiff_messages.h"

#define STRIP_ROWS 64

/* A file in memory: libtiff goes back to write the place of its directory. */
struct file {
	struct buf *out;
	size_t start, at;
	struct error *err;
	struct tiff_messages messages;
};

static tmsize_t on_read(thandle_t handle, void *at, tmsize_t n)
{
	(void)handle;
	(void)at;
	(void)n;
	return -1;
}

static tmsize_t on_write(thandle_t handle, void *from, tmsize_t n)
{
	struct file *f = handle;
	size_t end = f->start + f->at + (size_t)n;
	if (end > f->out->n) {
		size_t more = end - f->out->n;
		char *room = buf_room(f->out, more);
		if (!room)
			return -1;
		memset(room, 0, more);
		f->out->n += more;
	}
	memcpy(f->out->at + f->start + f->at, from, (size_t)n);
	f->at += (size_t)n;
	return n;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence)
{
	struct file *f = handle;
	size_t base = whence == SEEK_CUR ? f->at : whence == SEEK_END ? f->out->n - f->start : 0;
	f->at = base + (size_t)offset;
	return f->at;
}

static int on_close(thandle_t handle)
{
	(void)handle;
	return 0;
}

static toff_t on_size(thandle_t handle)
{
	struct file *f = handle;
	return f->out->n - f->start;
}

static TIFF *open_file(struct file *f)
{
	TIFFOpenOptions *o = tiff_messages_options(&f->messages);
	if (!o)
		return NULL;
	TIFF *tif = TIFFClientOpenExt("answer", "w", (thandle_t)f, on_read, on_write, on_seek, on_close, on_size, NULL, NULL,
				      o);
	TIFFOpenOptionsFree(o);
	return tif;
}

enum packing { PACK_DEFLATE, PACK_JPEG, PACK_BITS };

static bool set_tags(TIFF *t, const struct image *image, enum packing packing, int quality)
{
	static const uint16_t compressions[] = {COMPRESSION_ADOBE_DEFLATE, COMPRESSION_JPEG, COMPRESSION_CCITTFAX4};
	uint16_t straight = EXTRASAMPLE_UNASSALPHA;
	bool colour = image->n == 3, jpeg = packing == PACK_JPEG;
	return TIFFSetField(t, TIFFTAG_IMAGEWIDTH, image->plane[0].w) &&
	       TIFFSetField(t, TIFFTAG_IMAGELENGTH, image->plane[0].h) &&
	       TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, STRIP_ROWS) &&
	       TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, packing == PACK_BITS ? 1 : 8) &&
	       TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, image_planes(image)) &&
	       TIFFSetField(t, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) &&
	       TIFFSetField(t, TIFFTAG_COMPRESSION, compressions[packing]) &&
	       TIFFSetField(t, TIFFTAG_PHOTOMETRIC,
			    !colour ? PHOTOMETRIC_MINISBLACK : jpeg ? PHOTOMETRIC_YCBCR : PHOTOMETRIC_RGB) &&
	       (!image->alpha || TIFFSetField(t, TIFFTAG_EXTRASAMPLES, 1, &straight)) &&
	       (packing != PACK_DEFLATE || TIFFSetField(t, TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL)) &&
	       (!jpeg || TIFFSetField(t, TIFFTAG_JPEGQUALITY, quality)) &&
	       (!jpeg || !colour || TIFFSetField(t, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB));
}

/* libtiff may scribble into the row it is given. */
static void copy_row(const struct image *image, uint32_t y, uint8_t *row, size_t n)
{
	const uint8_t *at = image_get_row(image, y, row);
	if (at != row)
		memcpy(row, at, n);
}

static bool set_text(TIFF *t, struct arena *scratch, uint32_t tag, struct str text)
{
	return !text.n || TIFFSetField(t, tag, str_dup(scratch, text));
}

static bool set_metadata(TIFF *t, const struct image *image, const struct metadata *m)
{
	struct arena *scratch = arena_open();
	bool ok = set_text(t, scratch, TIFFTAG_IMAGEDESCRIPTION, exif_text(m->exif, EXIF_DESCRIPTION)) &&
		  set_text(t, scratch, TIFFTAG_ARTIST, exif_text(m->exif, EXIF_ARTIST)) &&
		  set_text(t, scratch, TIFFTAG_COPYRIGHT, exif_text(m->exif, EXIF_COPYRIGHT)) &&
		  (!m->xmp.n || TIFFSetField(t, TIFFTAG_XMLPACKET, (uint32_t)m->xmp.n, m->xmp.at)) &&
		  (!m->iptc.n || TIFFSetField(t, TIFFTAG_RICHTIFFIPTC, (uint32_t)m->iptc.n, m->iptc.at)) &&
		  (!image->icc_bytes || TIFFSetField(t, TIFFTAG_ICCPROFILE, (uint32_t)image->icc_bytes, image->icc));
	if (ok && m->per_cm_x > 0)
		ok = TIFFSetField(t, TIFFTAG_RESOLUTIONUNIT, RESUNIT_CENTIMETER) &&
		     TIFFSetField(t, TIFFTAG_XRESOLUTION, m->per_cm_x) && TIFFSetField(t, TIFFTAG_YRESOLUTION, m->per_cm_y);
	arena_close(scratch);
	return ok;
}

static bool write_rows(TIFF *t, const struct image *image, enum packing packing)
{
	struct arena *scratch = arena_open();
	size_t room = (size_t)image->plane[0].w * (size_t)image_planes(image);
	uint8_t *row = arena_alloc(scratch, room);
	bool ok = true;
	for (uint32_t y = 0; ok && y < image->plane[0].h; y++) {
		if (packing == PACK_BITS)
			image_get_bits(image, y, row);
		else
			copy_row(image, y, row, room);
		ok = TIFFWriteScanline(t, row, y, 0) == 1;
	}
	arena_close(scratch);
	return ok;
}

static bool tif_write(struct image *image, const struct encode_options *options, struct buf *out, struct error *err)
{
	struct file f = {.out = out, .start = out->n, .err = err};
	f.messages = (struct tiff_messages){&f.err, REASON_INTERNAL, "The picture could not be written."};
	enum packing packing = image->alpha	  ? PACK_DEFLATE
			       : options->bitonal ? PACK_BITS
			       : options->tif_jpeg ? PACK_JPEG
						   : PACK_DEFLATE;
	*err = (struct error){0};
	TIFF *t = open_file(&f);
	bool ok = t && set_tags(t, image, packing, options->jpeg_quality) &&
		  set_metadata(t, image, &options->metadata) && write_rows(t, image, packing) && TIFFFlush(t);
	if (t)
		TIFFClose(t);
	if (out->failed)
		return body_too_large(err);
	if (ok && !err->status)
		return true;
	return err->status ? false
			   : fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.",
				  "libtiff gave no reason");
}

static uint64_t tif_memory(uint32_t w, uint32_t h)
{
	(void)h;
	return (uint64_t)w * 4 * (STRIP_ROWS * 3 + 2) + (2 << 20);
}

const struct encoder tif_encoder = {
	.format = FORMAT_TIF,
	.model = MODEL_RGB,
	.alpha = true,
	.profile = true,
	.memory = tif_memory,
	.write = tif_write,
};
