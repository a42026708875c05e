/* SPDX-License-Identifier: BSD-2-Clause */
#include "codecs.h"

#include "heif.h"
#include "jp2_read.h"
#include "jp2_write.h"
#include "jpeg_read.h"
#include "jpeg_write.h"
#include "jxl.h"
#include "magick.h"
#include "pdf.h"
#include "plain.h"
#include "png.h"
#include "tif.h"
#include "tiff_read.h"
#include "webp.h"

const struct decoder *const decoders[] = {&jpeg_decoder, &tiff_decoder, &jp2_decoder,  &png_decoder,
					   &webp_decoder, &heif_decoder, &plain_decoder,
					   &jxl_decoder,  NULL};

const char *const image_suffixes[] = {"jpg", "jpeg", "tif", "tiff", "jp2", "j2k", "png", "webp", "gif", "bmp", "psd", "psb",
				      "pnm", "pbm", "pgm", "ppm", "pam", "heic", "avif", "jxl", NULL};

static const struct encoder *const encoders[] = {&jpeg_encoder, &png_encoder, &webp_encoder, &tif_encoder,
						 &jp2_encoder,  &pdf_encoder, &gif_encoder,  &avif_encoder};

const struct encoder *encoder_for(enum format format)
{
	for (size_t i = 0; i < sizeof encoders / sizeof *encoders; i++)
		if (encoders[i]->format == format && (!encoders[i]->available || encoders[i]->available()))
			return encoders[i];
	return NULL;
}
