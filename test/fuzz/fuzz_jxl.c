/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz.h"
#include "fuzz_picture.h"
#include "image/jxl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_picture(&jxl_decoder, data, size, 1);
	return 0;
}
