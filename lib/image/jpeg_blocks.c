/* SPDX-License-Identifier: BSD-2-Clause */
#include "jpeg_blocks.h"

#include "jpeg_words.h"

#define BLOCK_MAX_BYTES 65533   /* behind the two of the length */
#define ICC_MARK "ICC_PROFILE\0"
#define ICC_MARK_BYTES 12
#define ICC_MAX_PIECES 255

static void put16(struct buf *out, unsigned v)
{
	buf_write(out, (const uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

static void start_block(struct buf *out, uint8_t marker, size_t n_bytes)
{
	buf_write(out, (const uint8_t[]){0xff, marker}, 2);
	put16(out, (unsigned)n_bytes + 2);
}

static void write_block(struct buf *out, uint8_t marker, struct str mark, struct str bytes)
{
	if (!bytes.n || mark.n + bytes.n > BLOCK_MAX_BYTES)
		return;
	start_block(out, marker, mark.n + bytes.n);
	buf_str(out, mark);
	buf_str(out, bytes);
}

void jpeg_write_jfif(const struct metadata *m, struct buf *out)
{
	double x = m->per_cm_x * 2.54 + 0.5, y = m->per_cm_y * 2.54 + 0.5;
	bool known = x >= 1 && y >= 1 && x <= UINT16_MAX && y <= UINT16_MAX;
	start_block(out, JPEG_WORD_APP0, 14);
	buf_write(out, "JFIF\0\1\1", 7);
	buf_write(out, known ? "\1" : "\0", 1);
	put16(out, known ? (unsigned)x : 1);
	put16(out, known ? (unsigned)y : 1);
	put16(out, 0);
}

void jpeg_write_adobe_rgb(struct buf *out)
{
	start_block(out, JPEG_WORD_APP0 + 14, 12);
	buf_write(out, "Adobe\0\x64\0\0\0\0\0", 12);
}

static void write_profile(struct str icc, struct buf *out)
{
	size_t most = BLOCK_MAX_BYTES - ICC_MARK_BYTES - 2, pieces = (icc.n + most - 1) / most;
	for (size_t i = 0; pieces <= ICC_MAX_PIECES && i < pieces; i++) {
		struct str piece = {icc.at + i * most, i + 1 < pieces ? most : icc.n - i * most};
		start_block(out, JPEG_WORD_APP0 + 2, ICC_MARK_BYTES + 2 + piece.n);
		buf_write(out, ICC_MARK, ICC_MARK_BYTES);
		buf_write(out, (const uint8_t[]){(uint8_t)(i + 1), (uint8_t)pieces}, 2);
		buf_str(out, piece);
	}
}

void jpeg_write_blocks(const struct metadata *m, struct str icc, struct buf *out)
{
	/* Photoshop's resource 0x0404 without a name; its length is that of the datasets. */
	unsigned n = (unsigned)m->iptc.n;
	char resource[] = "Photoshop 3.0\0" "8BIM\x04\x04\0\0....";
	for (int i = 0; i < 4; i++)
		resource[sizeof resource - 2 - i] = (char)(n >> (8 * i));
	write_block(out, JPEG_WORD_APP0 + 1, STR("Exif\0\0"), m->exif);
	write_block(out, JPEG_WORD_APP0 + 1, STR("http://ns.adobe.com/xap/1.0/\0"), m->xmp);
	write_block(out, JPEG_WORD_APP0 + 13, (struct str){resource, sizeof resource - 1}, m->iptc);
	write_profile(icc, out);
}
