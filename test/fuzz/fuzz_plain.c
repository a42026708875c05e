/* SPDX-License-Identifier: BSD-2-Clause */
/* Few bytes may say that they are a large picture. */
#define FUZZ_MEMORY (UINT64_C(1) << 20)

#include "fuzz_picture.h"

#include "image/plain.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	fuzz_picture(&plain_decoder, at, n, 1);
	return 0;
}
