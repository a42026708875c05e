/* SPDX-License-Identifier: BSD-2-Clause */
#include "encoder.h"

bool body_too_large(struct error *err)
{
	return fail(err, 413, REASON_TOO_LARGE, "The picture is larger than this server delivers.",
		    "the body does not fit into its buffer");
}

uint64_t encoder_body_bytes(uint32_t w, uint32_t h)
{
	/* Three bytes a pixel and the growth of the buffer; incompressible PNG stays below. */
	return (uint64_t)w * h * 4 + 65536;
}
