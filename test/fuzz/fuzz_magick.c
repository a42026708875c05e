/* SPDX-License-Identifier: BSD-2-Clause */
/* Files to the decoder of rarely served formats: nothing but a picture or an error may come of any bytes. */
#include "image/magick.h"

#define MOST_PIXELS 200000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct decoder *const only[] = {&magick_decoder, NULL};
	struct arena *a = arena_open();
	struct picture p;
	struct image image;
	struct error err = {0};
	struct source *source = memory_source_open(a, (struct str){(const char *)data, size});
	magick_configure(&(struct magick_options){NULL, UINT64_C(64) << 20});
	if (picture_open(a, only, source, 1, &p, &err)) {
		struct wants w = {.region = {0, 0, p.stored_w, p.stored_h}, .step_x = 1, .step_y = 1, .chroma_x = 1,
				  .chroma_y = 1};
		if ((uint64_t)p.stored_w * p.stored_h <= MOST_PIXELS && p.decoder->memory(&p, &w) < UINT64_C(64) << 20)
			p.decoder->read(a, &p, &w, &image, &err);
	}
	arena_close(a);
	return 0;
}
