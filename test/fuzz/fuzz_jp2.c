/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a JPEG 2000 file: a picture or an error, within the estimate. */
#include <stdlib.h>
#include <string.h>

#include "image/jp2_read.h"

#define MEMORY (64 << 20)
#define PIXELS (4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_with(const struct picture *p, struct wants w)
{
	struct arena *a = arena_open();
	struct error err = {0};
	struct image image;
	if (p->decoder->memory(p, &w) <= MEMORY && !p->decoder->read(a, p, &w, &image, &err) && err.status < 500)
		abort();
	arena_close(a);
}

/* OpenJPEG 2.5.0 ends the process by assertions on damaged code blocks of high throughput, which need a CAP marker. */
static bool may_end_openjpeg(const uint8_t *data, size_t size)
{
	return memmem(data, size, "\xff\x50", 2) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct decoder *const list[] = {&jp2_decoder, NULL};
	struct arena *a = arena_open();
	struct error err = {0};
	struct picture p;
	bool opened = picture_open(a, list, memory_source_open(a, (struct str){(const char *)data, size}), 1, &p, &err);
	if (opened && !may_end_openjpeg(data, size)) {
		uint32_t w = p.stored_w, h = p.stored_h, odd = data[size / 2];
		if ((uint64_t)w * h <= PIXELS) {
			read_with(&p, (struct wants){.region = {0, 0, w, h}, .step_x = 1, .step_y = 1, .chroma_x = 1, .chroma_y = 1});
			read_with(&p, (struct wants){.region = {0, 0, w, h}, .step_x = 4, .step_y = 5, .chroma_x = 2, .chroma_y = 2});
		}
		struct rect part = {w / 300 * odd, h / 300 * odd, w / 9 + 1, h / 7 + 1};
		if ((uint64_t)part.w * part.h <= PIXELS)
			read_with(&p, (struct wants){.region = part, .step_x = 1 + odd % 9, .step_y = 1 + odd % 9, .gray = odd & 1,
						     .chroma_x = 1, .chroma_y = 1});
	} else if (!opened && !err.status) {
		abort();
	}
	arena_close(a);
	return 0;
}
