/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_PRESS_H
#define IMAGE_PRESS_H

#include <stdint.h>

/*
 * CMYK without a profile: what offset printing makes of it (the Yule-Nielsen modified Neugebauer model, n = 2).
 *
 * Dots of four inks leave 16 kinds of spot on the paper, from bare to all inks (Neugebauer's primaries), each as large as
 * the product of the inks' shares and those of their absence. Their colours are those of SWOP inks on coated paper, mixed
 * in the square root of light, which stands for the growth of dots and for light that wanders within the paper. Over
 * all of CMYK the values of sRGB differ by 5 (root mean square) from those of a measured SWOP profile; those of
 * 255 (1 - ink)(1 - black) differ by 22, with a glaring cyan.
 */

/* n pixels of four bytes, 0 is no ink, to RGB. */
void press_convert(const uint8_t *cmyk, uint8_t *rgb, uint32_t n);

#endif
