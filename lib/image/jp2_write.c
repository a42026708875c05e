/* SPDX-License-Identifier: BSD-2-Clause */
#include "jp2_write.h"

#include <openjpeg.h>

#define LOSSLESS 101
#define MOST_RESOLUTIONS 6
#define LOWEST_SIDE 16             /* of the lowest resolution, at least */
#define BOX_HEAD 8
#define FEW_PIXELS 4096            /* for which OpenJPEG misses the quality by far, and few bytes are at stake */

struct sink {
	struct buf *out;
	size_t start, at;              /* where the file begins in out, and the stream's place in the file */
};

/* OpenJPEG goes back to fill in the length of its last box. */
static OPJ_SIZE_T on_write(void *from, OPJ_SIZE_T n, void *user)
{
	struct sink *s = user;
	size_t place = s->start + s->at, known = s->out->n > place ? s->out->n - place : 0;
	size_t again = known < n ? known : n;
	if (again)
		memcpy(s->out->at + place, from, again);
	buf_write(s->out, (const char *)from + again, n - again);
	s->at += n;
	return s->out->failed ? (OPJ_SIZE_T)-1 : n;
}

static OPJ_BOOL on_seek(OPJ_OFF_T to, void *user)
{
	struct sink *s = user;
	if (to < 0 || (size_t)to > s->out->n - s->start)
		return OPJ_FALSE;
	s->at = (size_t)to;
	return OPJ_TRUE;
}

/* Leaves room, for the head of that box. */
static OPJ_OFF_T on_skip(OPJ_OFF_T n, void *user)
{
	static const char nothing[64];
	if (n < 0 || n > (OPJ_OFF_T)sizeof nothing)
		return -1;
	return on_write((void *)nothing, (OPJ_SIZE_T)n, user) == (OPJ_SIZE_T)n ? n : -1;
}

static void on_error(const char *text, void *user)
{
	struct error *err = user;
	if (!err->status)
		fail(err, 500, REASON_INTERNAL, "The picture could not be written.", "OpenJPEG: %.*s",
		     (int)strcspn(text, "\n"), text);
}

static void on_message(const char *text, void *user)
{
	(void)text;
	(void)user;
}

static opj_image_t *make_image(const struct image *image)
{
	opj_image_cmptparm_t parameters[4] = {0};
	uint32_t w = image->plane[0].w, h = image->plane[0].h;
	int n = image_planes(image);
	for (int i = 0; i < n; i++)
		parameters[i] = (opj_image_cmptparm_t){.dx = 1, .dy = 1, .w = w, .h = h, .prec = 8};
	opj_image_t *made = opj_image_create((OPJ_UINT32)n, parameters, image->n == 1 ? OPJ_CLRSPC_GRAY : OPJ_CLRSPC_SRGB);
	if (!made)
		return NULL;
	made->x1 = w;
	made->y1 = h;
	for (int i = 0; i < n; i++) {
		const struct plane *p = &image->plane[i];
		OPJ_INT32 *to = made->comps[i].data;
		made->comps[i].alpha = i == image->n;
		for (uint32_t y = 0; y < h; y++)
			for (uint32_t x = 0; x < w; x++)
				*to++ = p->at[y * p->stride + x];
	}
	return made;
}

static void set_parameters(opj_cparameters_t *p, const struct image *image, int quality)
{
	uint32_t w = image->plane[0].w, h = image->plane[0].h, side = w < h ? w : h;
	opj_set_default_encoder_parameters(p);
	p->prog_order = OPJ_RPCL;
	p->tcp_numlayers = 1;
	p->tcp_mct = image->n == 3;
	p->numresolution = 1;
	while (p->numresolution < MOST_RESOLUTIONS && side >> p->numresolution >= LOWEST_SIDE)
		p->numresolution++;
	if (quality >= LOSSLESS || (uint64_t)w * h <= FEW_PIXELS) {
		p->cp_disto_alloc = 1;
		p->tcp_rates[0] = 0;
	} else {
		p->irreversible = 1;
		p->cp_fixed_quality = 1;
		/* From 25 to 50 dB. */
		p->tcp_distoratio[0] = 25 + (float)quality / 4;
	}
}

static bool compress(opj_codec_t *codec, opj_stream_t *stream, opj_image_t *image, opj_cparameters_t *parameters,
		     struct sink *sink, struct error *err)
{
	opj_set_error_handler(codec, on_error, err);
	opj_set_warning_handler(codec, on_message, NULL);
	opj_set_info_handler(codec, on_message, NULL);
	opj_stream_set_write_function(stream, on_write);
	opj_stream_set_seek_function(stream, on_seek);
	opj_stream_set_skip_function(stream, on_skip);
	opj_stream_set_user_data(stream, sink, NULL);
	return opj_setup_encoder(codec, parameters, image) && opj_codec_set_threads(codec, 0) &&
	       opj_start_compress(codec, image, stream) && opj_encode(codec, stream) && opj_end_compress(codec, stream);
}

static uint32_t big_endian(const char *at)
{
	const unsigned char *b = (const unsigned char *)at;
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void put_big_endian(char *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (char)(v >> (24 - 8 * i));
}

/* The box of that type among those of at..end, or NULL. */
static char *find_box(char *at, const char *end, const char type[4])
{
	while (at + BOX_HEAD <= end && memcmp(at + 4, type, 4) != 0 && big_endian(at) >= BOX_HEAD)
		at += big_endian(at);
	return at + BOX_HEAD <= end && memcmp(at + 4, type, 4) == 0 ? at : NULL;
}

/* The profile into the place of the colour box, as OpenJPEG 2.5 has none to give (ISO/IEC 15444-1, I.5.3.3, method 2).
 * No box tells the place of another. */
static bool put_profile(struct buf *out, size_t start, const struct image *image)
{
	size_t more = BOX_HEAD + 3 + image->icc_bytes;
	if (!buf_room(out, more))
		return false;
	char *end = out->at + out->n, *header = find_box(out->at + start, end, "jp2h");
	char *colour = header ? find_box(header + BOX_HEAD, header + big_endian(header), "colr") : NULL;
	if (!colour)
		return false;
	size_t old = big_endian(colour);
	memmove(colour + more, colour + old, (size_t)(end - colour) - old);
	out->n = out->n - old + more;
	put_big_endian(header, (uint32_t)(big_endian(header) - old + more));
	put_big_endian(colour, (uint32_t)more);
	memcpy(colour + BOX_HEAD, "\2\0\0", 3);
	memcpy(colour + BOX_HEAD + 3, image->icc, image->icc_bytes);
	return true;
}

static bool jp2_write_file(struct image *image, const struct encode_options *options, struct buf *out,
			   struct error *err)
{
	struct sink sink = {.out = out, .start = out->n};
	opj_cparameters_t parameters;
	opj_codec_t *codec = opj_create_compress(OPJ_CODEC_JP2);
	opj_stream_t *stream = opj_stream_default_create(OPJ_STREAM_WRITE);
	opj_image_t *made = make_image(image);
	bool ok = codec && stream && made;

	*err = (struct error){0};
	set_parameters(&parameters, image, options->jp2_quality);
	if (!ok)
		fail(err, 503, REASON_MEMORY, "The server is short of memory; please try again.", "no memory for OpenJPEG");
	else
		ok = compress(codec, stream, made, &parameters, &sink, err);
	opj_image_destroy(made);
	if (stream)
		opj_stream_destroy(stream);
	if (codec)
		opj_destroy_codec(codec);
	if (ok && image->icc_bytes)
		ok = put_profile(out, sink.start, image);
	if (out->failed)
		return body_too_large(err);
	if (!ok && !err->status)
		fail(err, 500, REASON_INTERNAL, "The picture could not be written.", "OpenJPEG gave no reason");
	return ok;
}

/* As measured, of OpenJPEG 2.5 on x86-64 with four channels: samples, coefficients and coded bytes, and the passes of
 * every code block. */
static uint64_t jp2_memory(uint32_t w, uint32_t h)
{
	return (uint64_t)w * h * 44 + ((uint64_t)w / 64 + 2) * (h / 64 + 2) * 4 * 9000 + (2 << 20);
}

const struct encoder jp2_encoder = {
	.format = FORMAT_JP2,
	.model = MODEL_RGB,
	.alpha = true,
	.profile = true,
	.memory = jp2_memory,
	.write = jp2_write_file,
};
