/* SPDX-License-Identifier: BSD-2-Clause */
#include "jpeg_tiles.h"

#include <jerror.h>

#include "jpeg_reader.h"

struct jpeg_tiles {
	struct jpeg_reader *r;
};

/* Luma at full resolution, and both chroma components at the same; of other than three, all in full. */
static bool has_equal_chroma(const struct jpeg_decompress_struct *j)
{
	const jpeg_component_info *c = j->comp_info;
	bool full = true;
	for (int i = 0; i < j->num_components; i++)
		full &= jpeg_is_full_size(j, i);
	return full || (j->num_components == 3 && jpeg_is_full_size(j, 0) && c[1].h_samp_factor == c[2].h_samp_factor &&
			c[1].v_samp_factor == c[2].v_samp_factor);
}

static void feed(struct jpeg_reader *r, struct str bytes)
{
	r->bytes.next_input_byte = (const JOCTET *)bytes.at;
	r->bytes.bytes_in_buffer = bytes.n;
	r->ended = false;
	r->seen = 0;
}

bool jpeg_tiles_open(struct arena *a, struct str tables, bool recover, struct jpeg_tiles **out, struct error *err)
{
	struct jpeg_tiles *t = arena_new(a, struct jpeg_tiles);
	t->r = jpeg_reader_open(a, err);
	if (!t->r)
		return false;
	t->r->recover = recover;
	if (setjmp(t->r->jump))
		return false;
	if (tables.n) {
		feed(t->r, tables);
		jpeg_read_header(&t->r->j, FALSE);
		jpeg_abort_decompress(&t->r->j);
	}
	*out = t;
	return true;
}

static void read_stream_header(struct jpeg_tiles *t, struct str stream, struct jpeg_stream *facts)
{
	struct jpeg_decompress_struct *j = &t->r->j;
	jpeg_abort_decompress(j);
	feed(t->r, stream);
	jpeg_read_header(j, TRUE);
	*facts = (struct jpeg_stream){j->image_width, j->image_height, j->num_components, 1, 1,
				      jpeg_has_multiple_scans(j)};
	if (j->num_components > JPEG_TILES_COMPONENTS)
		ERREXIT2(j, JERR_COMPONENT_COUNT, j->num_components, JPEG_TILES_COMPONENTS);
	if (!jpeg_has_whole_ratios(j) || !has_equal_chroma(j))
		ERREXIT(j, JERR_FRACT_SAMPLE_NOTIMPL);
	jpeg_sampling(j, &facts->chroma_x, &facts->chroma_y);
}

bool jpeg_tiles_probe(struct jpeg_tiles *t, struct str stream, struct jpeg_stream *facts,
		      struct error *err)
{
	t->r->err = err;
	if (setjmp(t->r->jump))
		return false;
	read_stream_header(t, stream, facts);
	return true;
}

bool jpeg_tiles_read(struct jpeg_tiles *t, const struct jpeg_tile *tile, const struct jpeg_stream *like,
		     int eighths, struct error *err)
{
	struct jpeg_decompress_struct *j = &t->r->j;
	struct jpeg_stream facts;
	t->r->err = err;
	if (setjmp(t->r->jump))
		return false;
	read_stream_header(t, tile->stream, &facts);
	if (facts.components != like->components || facts.chroma_x != like->chroma_x ||
	    facts.chroma_y != like->chroma_y || facts.progressive != like->progressive)
		return fail(err, 500, REASON_DAMAGED, "The image is damaged.",
			    "a JPEG tile differs in kind from the first one");
	if (facts.w > like->w || facts.h > like->h || facts.w < tile->seen_w || facts.h < tile->seen_h)
		return fail(err, 500, REASON_DAMAGED, "The image is damaged.",
			    "a JPEG tile has %u x %u samples, of %u x %u its image needs %u x %u", facts.w, facts.h,
			    like->w, like->h, tile->seen_w, tile->seen_h);

	j->jpeg_color_space = j->out_color_space = JCS_UNKNOWN;
	j->scale_num = (unsigned)eighths;
	j->scale_denom = 8;
	j->raw_data_out = TRUE;
	j->do_fancy_upsampling = FALSE;
	j->do_block_smoothing = FALSE;
	j->dct_method = JDCT_ISLOW;
	for (int i = 0; i < j->num_components; i++)
		j->comp_info[i].component_needed = tile->to[i].at != NULL;
	jpeg_start_decompress(j);
	jpeg_check_whole(t->r);

	uint32_t lines = (uint32_t)(((uint64_t)tile->rows * (unsigned)eighths + 7) / 8);
	jpeg_read_raw(t->r, j->num_components, tile->to, tile->halves, tile->seen_w, tile->seen_h,
		      lines < j->output_height ? lines : j->output_height);
	jpeg_check_whole(t->r);
	return true;
}
