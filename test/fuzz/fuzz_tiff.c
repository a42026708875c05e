/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz_picture.h"

#include "image/tiff_read.h"

#define PAGES 3

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	for (uint32_t page = 1; page <= PAGES; page++)
		fuzz_picture(&tiff_decoder, at, n, page);
	return 0;
}
