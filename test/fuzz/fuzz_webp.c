/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz_picture.h"

#include "image/webp.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	fuzz_picture(&webp_decoder, at, n, 1);
	return 0;
}
