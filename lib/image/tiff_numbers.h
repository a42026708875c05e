/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_TIFF_NUMBERS_H
#define IMAGE_TIFF_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Samples out of a decoded row, in the machine's byte order: of every width and format, as codes (unsigned, up to 16
 * bits) or as numbers (signed, long, or floating).
 *
 * Both take n samples, the first being sample `at` of the row, each `step` further. Codes that are no whole bytes may
 * look two bytes beyond the row.
 */
typedef void tiff_codes_fn(const uint8_t *row, size_t at, size_t step, uint32_t n, unsigned bits, uint16_t *out);
typedef void tiff_numbers_fn(const uint8_t *row, size_t at, size_t step, uint32_t n, double *out);

/* For 1 to 16 bits. */
tiff_codes_fn *tiff_codes_find(unsigned bits);

/* By TIFF's word for the format; NULL if there are no such numbers. */
tiff_numbers_fn *tiff_numbers_find(unsigned bits, unsigned format);

#endif
