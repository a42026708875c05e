/* SPDX-License-Identifier: BSD-2-Clause */
#include "codecs.h"

#include "jpeg_read.h"
#include "jpeg_write.h"
#include "png.h"
#include "tiff_read.h"

const struct decoder *const decoders[] = {&jpeg_decoder, &tiff_decoder, NULL};

const char *const image_suffixes[] = {"jpg", "jpeg", "tif", "tiff", NULL};

static const struct encoder *const encoders[] = {&jpeg_encoder, &png_encoder};

const struct encoder *encoder_for(enum format format)
{
	for (size_t i = 0; i < sizeof encoders / sizeof *encoders; i++)
		if (encoders[i]->format == format && (!encoders[i]->available || encoders[i]->available()))
			return encoders[i];
	return NULL;
}
