/* SPDX-License-Identifier: BSD-2-Clause */
#include "pdf.h"

#include <stdio.h>

#include "jpeg_write.h"

#define OBJECTS 7
/* ISO 32000-1, C.2: no page may be larger than this many units; a unit is then made larger. */
#define MOST_UNITS 14400

/* The cross-reference table wants each object's offset. */
static void open_object(struct buf *out, size_t base, size_t offset[OBJECTS], int number)
{
	offset[number] = out->n - base;
	buf_printf(out, "%d 0 obj\n", number);
}

static void write_page(struct buf *out, size_t base, size_t offset[OBJECTS], uint32_t w, uint32_t h)
{
	uint32_t longest = w > h ? w : h, unit = (longest + MOST_UNITS - 1) / MOST_UNITS;
	double page_w = (double)w / unit, page_h = (double)h / unit;
	open_object(out, base, offset, 1);
	buf_text(out, "<< /Type /Catalog /Pages 2 0 R >>\nendobj\n");
	open_object(out, base, offset, 2);
	buf_text(out, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>\nendobj\n");
	open_object(out, base, offset, 3);
	buf_printf(out, "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %.4f %.4f] /UserUnit %u ", page_w, page_h, unit);
	buf_text(out, "/Resources << /XObject << /I 5 0 R >> >> /Contents 4 0 R >>\nendobj\n");
	char draw[100];
	int n = snprintf(draw, sizeof draw, "%.4f 0 0 %.4f 0 0 cm /I Do\n", page_w, page_h);
	open_object(out, base, offset, 4);
	buf_printf(out, "<< /Length %d >>\nstream\n%sendstream\nendobj\n", n, draw);
}

static void write_profile(struct buf *out, size_t base, size_t offset[OBJECTS], const struct image *image)
{
	open_object(out, base, offset, 6);
	buf_printf(out, "<< /N %d /Length %zu >>\nstream\n", image->n == 1 ? 1 : 3, image->icc_bytes);
	buf_write(out, image->icc, image->icc_bytes);
	buf_text(out, "\nendstream\nendobj\n");
}

static void write_table(struct buf *out, size_t base, const size_t offset[OBJECTS], int objects)
{
	size_t at = out->n - base;
	buf_printf(out, "xref\n0 %d\n0000000000 65535 f \n", objects);
	for (int i = 1; i < objects; i++)
		buf_printf(out, "%010zu 00000 n \n", offset[i]);
	buf_printf(out, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%zu\n%%%%EOF\n", objects, at);
}

static bool pdf_write(struct image *image, const struct encode_options *options, struct buf *out, struct error *err)
{
	size_t offset[OBJECTS] = {0}, base = out->n;
	uint32_t w = image->plane[0].w, h = image->plane[0].h;
	struct arena *scratch = arena_open();
	struct buf *jpeg = buf_open(scratch, out->limit);
	bool ok = jpeg_encoder.write(image, options, jpeg, err);
	if (ok) {
		buf_text(out, "%PDF-1.6\n%\xe2\xe3\xcf\xd3\n");
		write_page(out, base, offset, w, h);
		open_object(out, base, offset, 5);
		buf_printf(out, "<< /Type /XObject /Subtype /Image /Width %u /Height %u /ColorSpace %s ", w, h,
			   image->icc_bytes ? "[/ICCBased 6 0 R]" : image->n == 1 ? "/DeviceGray" : "/DeviceRGB");
		buf_printf(out, "/BitsPerComponent 8 /Filter /DCTDecode /Length %zu >>\nstream\n", jpeg->n);
		buf_str(out, buf_view(jpeg));
		buf_text(out, "\nendstream\nendobj\n");
		if (image->icc_bytes)
			write_profile(out, base, offset, image);
		write_table(out, base, offset, image->icc_bytes ? OBJECTS : OBJECTS - 1);
		ok = !out->failed || body_too_large(err);
	}
	arena_close(scratch);
	return ok;
}

static uint64_t pdf_memory(uint32_t w, uint32_t h)
{
	return jpeg_encoder.memory(w, h) + encoder_body_bytes(w, h);
}

const struct encoder pdf_encoder = {
	.format = FORMAT_PDF,
	.model = MODEL_YCC,
	.profile = true,
	.memory = pdf_memory,
	.write = pdf_write,
};
