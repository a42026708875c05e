/* SPDX-License-Identifier: BSD-2-Clause */
#include "metadata.h"

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT 3
#define ENTRY_BYTES 12

struct exif {
	struct str bytes;
	bool big_endian;
};

static uint32_t number(const struct exif *e, size_t at, size_t n)
{
	uint32_t v = 0;
	if (at > e->bytes.n || n > e->bytes.n - at)
		return 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t byte = (unsigned char)e->bytes.at[at + i];
		v = e->big_endian ? v << 8 | byte : v | byte << (8 * i);
	}
	return v;
}

int exif_orientation(struct str exif)
{
	struct exif e = {.bytes = exif, .big_endian = str_starts(exif, STR("MM"))};
	if ((!e.big_endian && !str_starts(exif, STR("II"))) || number(&e, 2, 2) != 42)
		return 1;
	size_t directory = number(&e, 4, 4);
	uint32_t entries = number(&e, directory, 2);
	for (uint32_t i = 0; i < entries; i++) {
		size_t at = directory + 2 + (size_t)i * ENTRY_BYTES;
		if (number(&e, at, 2) != TAG_ORIENTATION)
			continue;
		uint32_t v = number(&e, at + 8, 2);
		bool sane = number(&e, at + 2, 2) == TYPE_SHORT && v >= 1 && v <= 8;
		return sane ? (int)v : 1;
	}
	return 1;
}
