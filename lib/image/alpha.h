/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_ALPHA_H
#define IMAGE_ALPHA_H

#include "pixels.h"

/*
 * Opacity. Decoders give colours as they are ("straight"); after colour_to_srgb they are multiplied by alpha,
 * so that resampling and turning do not mix in the colours of what cannot be seen; at the end they are divided again
 * or laid on a background. All work in place, on planes of equal geometry and 8 bits (alpha_divide: or 16); without alpha they do
 * nothing.
 */
void alpha_multiply(struct image *image);
void alpha_divide(struct image *image);

/* The picture on a colour of sRGB, 0xrrggbb; alpha is gone. */
void alpha_flatten(struct image *image, uint32_t background);

#endif
