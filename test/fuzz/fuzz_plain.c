/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz_picture.h"

#include "image/plain.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	fuzz_picture(&plain_decoder, at, n, 1);
	return 0;
}
