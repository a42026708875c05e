/* SPDX-License-Identifier: BSD-2-Clause */
#include "encoder.h"

bool body_too_large(struct error *err)
{
	return fail(err, 413, REASON_TOO_LARGE, "The picture is larger than this server delivers.",
		    "the body does not fit into its buffer");
}

uint64_t encoder_body_bytes(uint32_t w, uint32_t h)
{
	/* Black and white noise as JPEG 4:4:4 of quality 100 has 5.4 bytes a pixel, any PNG less; the
	 * buffer grows by steps. */
	return (uint64_t)w * h * 6 + 65536;
}
