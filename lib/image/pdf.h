/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_PDF_H
#define IMAGE_PDF_H

#include "encoder.h"

/* One page of the picture's size at 72 pixels an inch, filled by our JPEG (DCTDecode). */
extern const struct encoder pdf_encoder;

#endif
