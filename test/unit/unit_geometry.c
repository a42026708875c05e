/* SPDX-License-Identifier: BSD-2-Clause */
/* From requests to pixels (lib/iiif/geometry.h; digest 2 to 5 and 14, design 4). */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "plan_check.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

struct image {
	struct facts facts;
	struct limits limits;
};

/* The images of digest 14, under their letters. */
#define IMAGE(name, width, height, ...) \
	static const struct image name = {{.w = (width), .h = (height)}, {__VA_ARGS__}}
IMAGE(A, 6000, 4000, 0);
IMAGE(U, 6000, 4000, .max_w = 8000, .upscale = true);
IMAGE(L, 6000, 4000, .max_w = 3000, .max_h = 1500);
IMAGE(R, 6000, 4000, .max_area = 4000000);
IMAGE(N, 6000, 4000, .max_w = 3000, .upscale = true);
IMAGE(O, 1001, 667, 0);
IMAGE(P, 300, 200, 0);
IMAGE(S, 200, 150, .max_w = 1000, .upscale = true);
IMAGE(T, 12000, 100, 0);
IMAGE(V, 1000, 1000, 0);
IMAGE(E, 2411, 3372, 0);
IMAGE(F, 4097, 4096, 0);
static const struct image G = {{.w = 6000, .h = 4000, .gray = true}, {0}};

/* Further ones. */
IMAGE(huge, FACTS_MAX_SIDE, FACTS_MAX_SIDE, 0);
IMAGE(huge_up, FACTS_MAX_SIDE, FACTS_MAX_SIDE, .max_area = UINT64_MAX, .upscale = true);
IMAGE(ribbon, FACTS_MAX_SIDE, 1, .max_area = 1000);
IMAGE(line, 1000000, 1, .max_w = 1000, .max_area = 500);
IMAGE(column, 1, 1000000, .max_area = 5);
IMAGE(small_area, 1000, 10, .max_area = 1);
IMAGE(area, 300, 200, .max_area = 60000, .upscale = true);
IMAGE(area_up, 300, 200, .max_area = 61000, .upscale = true);
IMAGE(area_and_w, 6000, 4000, .max_w = 1000, .max_area = 4000000);
IMAGE(third, 3, 2, .max_area = 3);
IMAGE(floor_by_area, 300, 200, .max_area = 33);
IMAGE(floor_by_w, 300, 200, .max_w = 10, .max_area = 67);
IMAGE(floor_by_h, 300, 200, .max_w = 17, .max_h = 9, .max_area = 122);
IMAGE(wide, 70000, 1000, 0);
IMAGE(enlarging, 100, 100, .upscale = true);

struct example {
	const struct image *image;
	const char *request;           /* /0/default.jpg is added to region/size alone */
	const char *in_3, *in_2;       /* canonical form and size of the answer, or the status */
};

static const struct example worked[] = {
	/* 14.1 Region */
	{&A, "full/max", "full/max 6000x4000", "full/full 6000x4000"},
	{&A, "full/full", "400", "full/full 6000x4000"},
	{&A, "pct:0,0,100,100/max", "full/max 6000x4000", "full/full 6000x4000"},
	{&A, "0,0,99999999999,99999999999/max", "full/max 6000x4000", "full/full 6000x4000"},
	{&A, "square/max", "1000,0,4000,4000/max 4000x4000", "1000,0,4000,4000/full 4000x4000"},
	{&V, "square/500,", "full/500,500 500x500", "full/500, 500x500"},
	{&O, "square/max", "167,0,667,667/max 667x667", "167,0,667,667/full 667x667"},
	{&A, "5900,3900,500,500/max", "5900,3900,100,100/max 100x100", "5900,3900,100,100/full 100x100"},
	{&A, "5999,3999,9,9/max", "5999,3999,1,1/max 1x1", "5999,3999,1,1/full 1x1"},
	{&A, "6000,0,10,10/max", "400", "400"},
	{&A, "0,0,0,10/max", "400", "400"},
	{&A, "-1,0,10,10/max", "400", "400"},
	{&A, "0.5,0,10,10/max", "400", "400"},
	{&A, "pct:90,90,20,20/max", "5400,3600,600,400/max 600x400", "5400,3600,600,400/full 600x400"},
	{&A, "pct:.5,0,50,50/max", "30,0,3000,2000/max 3000x2000", "30,0,3000,2000/full 3000x2000"},
	{&A, "pct:33.333,33.333,33.333,33.333/max", "2000,1333,2000,1333/max 2000x1333", "2000,1333,2000,1333/full 2000x1333"},
	{&A, "pct:0.01,0.01,0.01,0.01/max", "400", "400"},
	{&A, "pct:100,0,10,10/max", "400", "400"},
	{&P, "pct:41.6,7.5,40,70/max", "125,15,120,140/max 120x140", "125,15,120,140/full 120x140"},
	{&P, "pct:41.6,7.5,66.6,100/max", "125,15,175,185/max 175x185", "125,15,175,185/full 175x185"},
	{&O, "pct:50,50,50,50/max", "501,334,500,333/max 500x333", "501,334,500,333/full 500x333"},
	{&O, "pct:25,25,50,50/max", "250,167,501,334/max 501x334", "250,167,501,334/full 501x334"},
	/* 14.2 Size */
	{&A, "full/,2000", "full/3000,2000 3000x2000", "full/3000, 3000x2000"},
	{&A, "full/3000,2000", "full/3000,2000 3000x2000", "full/3000, 3000x2000"},
	{&A, "full/pct:12.5", "full/750,500 750x500", "full/750, 750x500"},
	{&A, "full/1000,1000", "full/1000,1000 1000x1000", "full/1000,1000 1000x1000"},
	{&A, "full/!600,300", "full/450,300 450x300", "full/450, 450x300"},
	{&A, "full/6000,", "full/max 6000x4000", "full/full 6000x4000"},
	{&A, "full/6001,", "400", "501"},
	{&A, "full/!7000,7000", "full/max 6000x4000", "full/full 6000x4000"},
	{&A, "full/^7000,", "501", "400"},
	{&A, "full/^3000,", "full/3000,2000 3000x2000", "400"},
	{&A, "full/^max", "full/max 6000x4000", "400"},
	{&A, "full/,^240", "400", "400"},
	{&A, "full/1,", "full/1,1 1x1", "full/1, 1x1"},
	{&A, "full/,1", "full/2,1 2x1", "full/2, 2x1"},
	{&A, "full/0,", "400", "400"},
	{&A, "full/pct:0", "400", "400"},
	{&A, "full/pct:0.01", "400", "400"},
	{&A, "full/pct:0.02", "full/1,1 1x1", "full/1, 1x1"},
	{&A, "full/!0,100", "400", "400"},
	{&A, "full/100", "400", "400"},
	{&A, "full/3000.5,", "400", "400"},
	{&A, "5000,3000,2000,2000/2000,", "400", "501"},
	{&A, "5000,3000,2000,2000/pct:50", "5000,3000,1000,1000/500,500 500x500", "5000,3000,1000,1000/500, 500x500"},
	{&A, "1000,1000,500,250/,100", "1000,1000,500,250/200,100 200x100", "1000,1000,500,250/200, 200x100"},
	{&A, "1000,1000,500,250/600,300", "400", "501"},
	{&A, "0,0,3,2/2,", "0,0,3,2/2,1 2x1", "0,0,3,2/2, 2x1"},
	{&O, "full/500,", "full/500,333 500x333", "full/500, 500x333"},
	{&O, "full/,333", "full/500,333 500x333", "full/500, 500x333"},
	{&O, "full/pct:50", "full/501,334 501x334", "full/501, 501x334"},
	{&O, "full/!334,500", "full/334,223 334x223", "full/334, 334x223"},
	{&T, "full/60,", "full/60,1 60x1", "full/60, 60x1"},
	{&T, "full/59,", "400", "400"},
	{&V, "full/!2000,3000", "full/max 1000x1000", "full/full 1000x1000"},
	/* 14.3 Limits and upscaling */
	{&U, "full/max", "full/max 6000x4000", "full/full 6000x4000"},
	{&U, "full/^max", "full/^max 8000x5333", "400"},
	{&U, "full/7000,", "400", "full/7000, 7000x4667"},
	{&U, "full/^7000,", "full/^7000,4667 7000x4667", "400"},
	{&U, "full/^pct:150", "400", "400"},
	{&U, "full/^8000,8000", "full/^8000,8000 8000x8000", "400"},
	{&U, "full/^!9000,9000", "full/^max 8000x5333", "400"},
	{&U, "full/^!2000,2000", "full/2000,1333 2000x1333", "400"},
	{&U, "0,0,1,1/^max", "0,0,1,1/^max 8000x8000", "400"},
	{&U, "0,0,100,4000/^max", "0,0,100,4000/^max 200x8000", "400"},
	{&S, "full/^!300,300", "full/^300,225 300x225", "400"},
	{&S, "full/!300,300", "full/max 200x150", "full/full 200x150"},
	{&S, "full/^1000,", "full/^max 1000x750", "400"},
	{&S, "pct:0,0,50,50/^200,", "0,0,100,75/^200,150 200x150", "400"},
	{&L, "full/max", "full/max 2250x1500", "full/2250, 2250x1500"},
	{&L, "full/full", "400", "404"},
	{&L, "full/2250,", "full/max 2250x1500", "full/2250, 2250x1500"},
	{&L, "full/2251,", "400", "404"},
	{&L, "full/pct:50", "400", "404"},
	{&L, "full/!3000,3000", "full/max 2250x1500", "full/2250, 2250x1500"},
	{&L, "full/3000,1500", "full/3000,1500 3000x1500", "full/3000,1500 3000x1500"},
	{&L, "0,0,4000,1000/max", "0,0,4000,1000/max 3000x750", "0,0,4000,1000/3000, 3000x750"},
	{&L, "0,0,1500,1500/^pct:200", "501", "400"},
	{&L, "0,0,1000,1000/^max", "501", "400"},
	{&R, "full/max", "full/max 2449x1633", "full/2449, 2449x1633"},
	{&R, "full/2450,", "400", "404"},
	{&R, "full/2000,2000", "full/2000,2000 2000x2000", "full/2000,2000 2000x2000"},
	{&N, "full/^max", "full/max 3000x2000", "400"},
	{&N, "0,0,100,100/^max", "0,0,100,100/^max 3000x3000", "400"},
	/* 14.4 Tiles */
	{&A, "4096,0,1904,4000/238,500", "4096,0,1904,4000/238,500 238x500", "4096,0,1904,4000/238, 238x500"},
	{&A, "5120,3072,880,928/440,464", "5120,3072,880,928/440,464 440x464", "5120,3072,880,928/440, 440x464"},
	{&A, "5632,3584,368,416/368,416", "5632,3584,368,416/max 368x416", "5632,3584,368,416/full 368x416"},
	{&A, "full/375,250", "full/375,250 375x250", "full/375, 375x250"},
	{&E, "2048,0,363,2048/182,1024", "2048,0,363,2048/182,1024 182x1024", "2048,0,363,2048/182,1024 182x1024"},
	{&E, "2048,0,363,2048/182,", "2048,0,363,2048/182,1027 182x1027", "2048,0,363,2048/182, 182x1027"},
	{&F, "4096,0,1,4096/1,1024", "4096,0,1,4096/1,1024 1x1024", "4096,0,1,4096/1,1024 1x1024"},
	{&F, "4096,0,1,4096/1,", "4096,0,1,4096/max 1x4096", "4096,0,1,4096/full 1x4096"},
	/* 14.5 Rotation, quality, format */
	{&A, "full/600,/90/default.jpg", "full/600,400/90/default.jpg 400x600", "full/600,/90/default.jpg 400x600"},
	{&A, "full/600,/!90/default.jpg", "full/600,400/!90/default.jpg 400x600", "full/600,/!90/default.jpg 400x600"},
	{&A, "full/600,/360/default.jpg", "full/600,400/0/default.jpg 600x400", "full/600,/0/default.jpg 600x400"},
	{&A, "full/600,/090.0/default.jpg", "full/600,400/90/default.jpg 400x600", "full/600,/90/default.jpg 400x600"},
	{&A, "full/600,/360.1/default.jpg", "400", "400"},
	{&A, "full/600,/-90/default.jpg", "400", "400"},
	{&A, "full/600,/!/default.jpg", "400", "400"},
	{&A, "full/600,/0/color.jpg", "full/600,400/0/default.jpg 600x400", "full/600,/0/default.jpg 600x400"},
	{&A, "full/600,/0/gray.jpg", "full/600,400/0/gray.jpg 600x400", "full/600,/0/gray.jpg 600x400"},
	{&G, "full/600,/0/color.jpg", "full/600,400/0/default.jpg 600x400", "full/600,/0/default.jpg 600x400"},
	{&G, "full/600,/0/gray.jpg", "full/600,400/0/default.jpg 600x400", "full/600,/0/default.jpg 600x400"},
	{&A, "full/600,/0/native.jpg", "400", "400"},
	{&A, "full/600,/0/default.jpeg", "400", "400"},
	{&A, "full/600,/0/default", "400", "400"},
};

static const struct example further[] = {
	/* The bounding box: 603.47 x 405.22, 707.11 x 707.11, 400.0 x 600.0. */
	{&A, "full/600,/.5/default.png", "full/600,400/0.5/default.png 604x406", "full/600,/0.5/default.png 604x406"},
	{&A, "full/600,/!45/default.png", "full/600,400/!45/default.png 708x708", "full/600,/!45/default.png 708x708"},
	{&A, "full/600,/90.0000001/default.png", "full/600,400/90.0000001/default.png 400x600",
	 "full/600,/90.0000001/default.png 400x600"},
	/* Qualities, formats, mirror. */
	{&A, "full/max/!0/bitonal.png", "full/max/!0/bitonal.png 6000x4000", "full/full/!0/bitonal.png 6000x4000"},
	{&G, "full/max/!180/default.webp", "full/max/!180/default.webp 6000x4000", "full/full/!180/default.webp 6000x4000"},
	{&A, "full/600,/270/default.tif", "full/600,400/270/default.tif 400x600", "full/600,/270/default.tif 400x600"},
	/* A square in the middle of an odd difference. */
	{&E, "square/max", "0,480,2411,2411/max 2411x2411", "0,480,2411,2411/full 2411x2411"},
	{&F, "square/max", "0,0,4096,4096/max 4096x4096", "0,0,4096,4096/full 4096x4096"},
	/* Percentages above 100, and those that round to nothing. */
	{&P, "pct:0,0,250,1000000000/max", "full/max 300x200", "full/full 300x200"},
	{&P, "pct:50,50,99999999999999999999,50/max", "150,100,150,100/max 150x100", "150,100,150,100/full 150x100"},
	{&P, "pct:0,0,0.1666666666,50/max", "400", "400"},
	{&P, "pct:0,0,0.1666666667,50/max", "0,0,1,100/max 1x100", "0,0,1,100/full 1x100"},
	{&P, "pct:99.8333333333,0,1,1/max", "299,0,1,2/max 1x2", "299,0,1,2/full 1x2"},
	{&P, "pct:99.8333333334,0,1,1/max", "400", "400"},
	{&P, "full/pct:100.0000000001", "400", "full/full 300x200"},
	{&P, "full/pct:100", "full/max 300x200", "full/full 300x200"},
	{&P, "0,0,1,1/pct:149", "400", "0,0,1,1/full 1x1"},
	{&P, "0,0,1,1/^pct:149", "0,0,1,1/max 1x1", "400"},
	{&P, "0,0,1,1/pct:50", "0,0,1,1/max 1x1", "0,0,1,1/full 1x1"},
	{&P, "0,0,1,1/pct:49.9999999999", "400", "400"},
	/* Exact where doubles are not. */
	{&huge, "pct:50,50,50,50/1,/0/default.png", "1073741824,1073741824,1073741823,1073741823/1,1/0/default.png 1x1",
	 "1073741824,1073741824,1073741823,1073741823/1,/0/default.png 1x1"},
	{&huge, "2147483646,2147483646,4294967295,4294967295/max", "2147483646,2147483646,1,1/max 1x1",
	 "2147483646,2147483646,1,1/full 1x1"},
	{&huge, "2147483647,0,1,1/max", "400", "400"},
	{&huge, "pct:99.9999999999,0,100,100/1,1", "400", "400"},
	{&huge, "pct:99.9999999,0,100,100/1,1", "2147483645,0,2,2147483647/1,1 1x1", "2147483645,0,2,2147483647/1,1 1x1"},
	{&huge, "full/max/0/default.png", "full/max/0/default.png 65500x65500", "full/65500,/0/default.png 65500x65500"},
	{&huge, "full/full/0/default.png", "400", "404"},
	{&huge, "full/99999999999999999999,/0/default.png", "400", "501"},
	{&huge_up, "full/^4294967295,4294967295/0/default.png", "400", "400"},
	{&huge_up, "full/^max/0/default.png", "full/max/0/default.png 65500x65500", "400"},
	{&huge_up, "0,0,2147483647,1/^65500,/0/default.png", "400", "400"},
	/* Area: the binding side by its square root, the other one never above it. */
	{&area, "full/max", "full/max 300x200", "full/full 300x200"},
	{&area, "full/^max", "full/max 300x200", "400"},
	{&area, "full/^301,", "400", "400"},
	{&area_up, "full/^max", "full/^max 302x201", "400"},
	{&area_up, "full/^302,", "full/^max 302x201", "400"},
	{&area_up, "full/^303,201", "full/^303,201 303x201", "400"},
	{&area_up, "full/303,202", "400", "404"},
	{&area_and_w, "full/max", "full/max 1000x667", "full/1000, 1000x667"},
	{&area_and_w, "full/!5000,5000", "full/max 1000x667", "full/1000, 1000x667"},
	{&floor_by_area, "full/max", "full/max 7x4", "full/7,4 7x4"},
	{&floor_by_w, "full/max", "full/max 10x6", "full/10,6 10x6"},
	{&floor_by_h, "full/max", "full/max 13x9", "full/13, 13x9"},
	{&third, "full/max", "full/max 2x1", "full/2, 2x1"},
	{&R, "full/!2449,2449", "full/max 2449x1633", "full/2449, 2449x1633"},
	{&R, "full/!2448,9999", "full/2448,1632 2448x1632", "full/2448, 2448x1632"},
	/* max never fails: sides of 1 stay within the area too. */
	{&ribbon, "full/max", "full/max 1000x1", "full/1000,1 1000x1"},
	{&line, "full/max", "full/max 500x1", "full/500,1 500x1"},
	{&column, "full/max", "full/max 1x1", "full/1,1 1x1"},
	{&small_area, "full/max", "full/max 1x1", "full/1,1 1x1"},
	{&column, "full/!9,9", "400", "400"},
	/* What a format cannot hold. */
	{&wide, "full/max", "full/max 65500x936", "full/65500, 65500x936"},
	{&wide, "full/65501,", "400", "404"},
	/* Turned, a picture may pass what its format can hold. */
	{&huge, "full/max/0/default.gif", "full/max/0/default.gif 65500x65500", "full/65500,/0/default.gif 65500x65500"},
	{&huge, "full/max/1/default.gif", "400", "400"},
	{&huge, "full/max/1/default.jpg", "400", "400"},
	{&huge, "full/max/1/default.pdf", "400", "400"},
	{&wide, "full/max/90/default.jpg", "full/max/90/default.jpg 936x65500", "full/65500,/90/default.jpg 936x65500"},
	{&wide, "full/16384,/0/default.webp", "400", "400"},
	{&wide, "full/16384,/90/default.webp", "400", "400"},
	{&wide, "full/16383,/0/default.webp", "full/16383,234/0/default.webp 16383x234",
	 "full/16383,/0/default.webp 16383x234"},
	/* A server that enlarges always has a limit. */
	{&enlarging, "full/^max", "full/^max 10000x10000", "400"},
	{&enlarging, "full/^10001,", "400", "400"},
	{&enlarging, "full/10001,", "400", "404"},
	{&enlarging, "full/max", "full/max 100x100", "full/full 100x100"},
	/* ^! with a box below the region on a server that does not enlarge. */
	{&A, "full/^!600,300", "full/450,300 450x300", "400"},
	{&A, "0,0,100,100/^!200,200", "501", "400"},
	{&A, "0,0,100,100/^!100,200", "0,0,100,100/max 100x100", "400"},
};

#define DEFAULT_END "/0/default.jpg"

/* Region and size alone. */
static bool is_short(const char *text)
{
	return strchr(text, '/') == strrchr(text, '/');
}

static struct request parse(struct arena *a, int version, const char *text)
{
	static const char *const two[] = {"/2", NULL}, *const three[] = {"/3", NULL};
	static const struct request_options o = {two, three, false, "", ""};
	struct request r;
	struct error err;
	const char *path = arena_printf(a, "/%d/a/%s%s", version, text, is_short(text) ? DEFAULT_END : "");
	if (!request_parse(a, &o, str_of(path), &r, &err))
		r.version = 0;
	return r;
}

/* What comes out, as the tables write it. */
static const char *answer(struct arena *a, int version, const struct image *image, const char *text)
{
	struct request r = parse(a, version, text);
	struct limits l = limits_effective(image->limits, &image->facts);
	struct plan p;
	struct error err;
	if (!r.version)
		return "400";
	if (!plan_make(&r, &image->facts, &l, &p, &err))
		return arena_printf(a, "%d", err.status);
	const char *fault = plan_fault(a, &r, &image->facts, &l, &p);
	if (fault)
		return fault;

	struct buf *b = buf_open(a, 512);
	plan_write_canonical(&p, &image->facts, version, b);
	struct str canonical = buf_view(b);
	if (is_short(text) && str_ends(canonical, STR(DEFAULT_END)))
		canonical.n -= sizeof DEFAULT_END - 1;
	return arena_printf(a, "%.*s %ux%u", (int)canonical.n, canonical.at, p.out_w, p.out_h);
}

static void check_examples(const struct example *e, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (int version = 2; version <= 3; version++) {
			struct arena *a = arena_open();
			const char *want = version == 3 ? e[i].in_3 : e[i].in_2;
			const char *got = answer(a, version, e[i].image, e[i].request);
			if (strcmp(got, want) != 0)
				fail_msg("%d.0 %ux%u %s: got %s for %s", version, e[i].image->facts.w,
					 e[i].image->facts.h, e[i].request, got, want);
			arena_close(a);
		}
}

static void worked_examples(void **state)
{
	(void)state;
	check_examples(worked, LENGTH(worked));
}

static void further_examples(void **state)
{
	(void)state;
	check_examples(further, LENGTH(further));
}

/* Requests whose steps snap to a level, and their neighbours that do not. */
static const struct {
	const struct image *image;
	const char *request;
	double step_x, step_y;
} steps[] = {
	{&A, "full/max", 1, 1},
	{&A, "full/3000,2000", 2, 2},
	{&A, "full/375,250", 16, 16},
	{&A, "full/1000,1000", 6, 4},
	{&A, "full/2000,", 3, 4000 / 1333.},
	/* Tiles at the right and lower edge. */
	{&A, "4096,0,1904,4000/238,500", 8, 8},
	{&A, "5120,3072,880,928/440,464", 2, 2},
	{&A, "4096,4096,1904,4000/238,500", 0, 0},
	{&E, "2048,0,363,2048/182,1024", 2, 2},
	{&E, "2048,2048,363,1324/182,662", 2, 2},
	{&E, "0,0,2411,3372/603,843", 4, 4},
	{&E, "full/1206,1686", 2, 2},
	{&E, "full/1205,1686", 2411 / 1205., 2},
	{&E, "2048,0,363,2048/182,1025", 363 / 182., 2048 / 1025.},
	{&F, "4096,0,1,4096/1,1024", 4, 4},
	{&F, "4096,0,1,4096/1,", 1, 1},
	{&F, "full/513,512", 8, 8},
	/* The corner must lie on the level's grid... */
	{&E, "2047,0,364,2048/182,1024", 2, 2},
	{&E, "2049,0,362,2048/181,1024", 2, 2},
	{&E, "2049,0,361,2048/181,1024", 361 / 181., 2},
	{&E, "2050,2,361,2046/181,1023", 2, 2},
	/* ...and an edge inside the image too. */
	{&E, "0,0,363,2048/182,1024", 363 / 182., 2},
	{&E, "0,0,2048,363/1024,182", 2, 363 / 182.},
	{&E, "0,0,364,2048/182,1024", 2, 2},
	/* A region of one pixel is every level's ceil; the size as it is comes first. */
	{&E, "4,4,1,1/1,1", 1, 1},
	{&E, "2410,3371,1,1/max", 1, 1},
	{&O, "full/1,1", 1024, 1024},
	{&O, "512,512,489,155/1,1", 512, 512},
	{&U, "full/^7000,", 6000 / 7000., 4000 / 4667.},
	{&huge, "full/2,2/0/default.png", 1073741824, 1073741824},
	{&huge, "full/1,1/0/default.png", 2147483647, 2147483647},
};

static void steps_of_levels(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(steps); i++) {
		struct arena *a = arena_open();
		const struct facts *f = &steps[i].image->facts;
		struct request r = parse(a, 3, steps[i].request);
		struct limits l = limits_effective(steps[i].image->limits, f);
		struct plan p = {0};
		struct error err;
		bool ok = plan_make(&r, f, &l, &p, &err);
		assert_int_equal(ok, steps[i].step_x > 0);
		if (p.step_x != steps[i].step_x || p.step_y != steps[i].step_y)
			if (ok)
				fail_msg("%s: step %.17g,%.17g", steps[i].request, p.step_x, p.step_y);
		arena_close(a);
	}
}

static const struct {
	uint32_t w, h;
	struct limits configured, effective;
} limit_cases[] = {
	{6000, 4000, {0}, {0}},
	{6000, 4000, {.max_w = 3000}, {.max_w = 3000, .max_h = 3000}},
	{6000, 4000, {.max_w = 3000, .max_h = 1500}, {.max_w = 3000, .max_h = 1500}},
	{6000, 4000, {.max_h = 1500}, {.max_w = 65500, .max_h = 1500}},
	{6000, 4000, {.max_w = 70000}, {.max_w = 65500, .max_h = 65500}},
	{6000, 4000, {.max_w = 3000, .max_h = 70000}, {.max_w = 3000, .max_h = 65500}},
	{6000, 4000, {.max_area = 7}, {.max_area = 7}},
	{6000, 4000, {.upscale = true}, {.max_area = 100000000, .upscale = true}},
	{6000, 4000, {.max_area = 7, .upscale = true}, {.max_area = 7, .upscale = true}},
	{6000, 4000, {.max_w = 9, .upscale = true}, {.max_w = 9, .max_h = 9, .upscale = true}},
	{65500, 65500, {0}, {0}},
	{65501, 1, {0}, {.max_w = 65500, .max_h = 65500}},
	{1, 65501, {.max_area = 7}, {.max_w = 65500, .max_h = 65500, .max_area = 7}},
	{FACTS_MAX_SIDE, 1, {.upscale = true}, {.max_w = 65500, .max_h = 65500, .upscale = true}},
};

static void limits_that_hold(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(limit_cases); i++) {
		struct facts f = {.w = limit_cases[i].w, .h = limit_cases[i].h};
		struct limits got = limits_effective(limit_cases[i].configured, &f), want = limit_cases[i].effective;
		if (got.max_w != want.max_w || got.max_h != want.max_h || got.max_area != want.max_area ||
		    got.upscale != want.upscale)
			fail_msg("limits %zu: %llu,%llu,%llu", i, (unsigned long long)got.max_w,
				 (unsigned long long)got.max_h, (unsigned long long)got.max_area);
	}
}

static void limits_on_a_whole_image(void **state)
{
	static const struct {
		struct limits limits;
		uint64_t w, h;
		bool allowed;
	} cases[] = {
		{{0}, UINT64_MAX, UINT64_MAX, true},
		{{.max_w = 10}, 10, UINT64_MAX, true},
		{{.max_w = 10}, 11, 1, false},
		{{.max_h = 10}, UINT64_MAX, 10, true},
		{{.max_h = 10}, 1, 11, false},
		{{.max_area = 100}, 10, 10, true},
		{{.max_area = 100}, 101, 1, false},
		{{.max_area = 100}, UINT64_C(1) << 32, UINT64_C(1) << 32, false},
		{{.max_area = UINT64_MAX}, UINT64_MAX, 1, true},
		{{.max_area = UINT64_MAX}, UINT64_C(1) << 32, UINT64_C(1) << 32, false},
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		if (limits_allow(&cases[i].limits, cases[i].w, cases[i].h) != cases[i].allowed)
			fail_msg("limits case %zu", i);
}

/* Small numbers come as often as large ones. */
static uint64_t draw(uint64_t *seed, uint64_t below)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	uint64_t v = *seed >> (*seed & 31);
	return v % below;
}

static const char *draw_size(struct arena *a, uint64_t *seed, unsigned w, unsigned h)
{
	const char *up = draw(seed, 2) ? "^" : "";
	unsigned long long x = draw(seed, w * UINT64_C(2)), y = draw(seed, h * UINT64_C(2));
	unsigned k = (unsigned)draw(seed, 8);
	switch (draw(seed, 8)) {
	case 0:
		return arena_printf(a, "%smax", up);
	case 1:
		return arena_printf(a, "%s%llu,", up, x);
	case 2:
		return arena_printf(a, "%s,%llu", up, y);
	case 3:
		return arena_printf(a, "%s%llu,%llu", up, x, y);
	case 4:
		return arena_printf(a, "%s!%llu,%llu", up, x, y);
	case 5:
		return arena_printf(a, "%spct:%llu.%llu", up, x % 150, y);
	case 6:
		return arena_printf(a, "%u,%u", ((w - 1) >> k) + 1, ((h - 1) >> k) + 1);
	}
	return "full";
}

static const char *draw_request(struct arena *a, uint64_t *seed, const struct facts *f)
{
	static const char *const qualities[] = {"default", "color", "gray", "bitonal"};
	unsigned k = (unsigned)draw(seed, 6);
	unsigned x = (unsigned)draw(seed, f->w) >> k << k, y = (unsigned)draw(seed, f->h) >> k << k;
	unsigned w = (unsigned)draw(seed, f->w) + 1, h = (unsigned)draw(seed, f->h) + 1;
	const char *region = "full";
	switch (draw(seed, 4)) {
	case 0:
		w = f->w;
		h = f->h;
		break;
	case 1:
		region = "square";
		w = h = f->w < f->h ? f->w : f->h;
		break;
	case 2:
		region = arena_printf(a, "pct:%llu.%u,%llu,%llu.%u,%llu", (unsigned long long)draw(seed, 100), x,
				      (unsigned long long)draw(seed, 100), (unsigned long long)draw(seed, 120), y,
				      (unsigned long long)draw(seed, 120));
		break;
	default:
		region = arena_printf(a, "%u,%u,%u,%u", x, y, w, h);
		w = w < f->w - x ? w : f->w - x;
		h = h < f->h - y ? h : f->h - y;
		break;
	}
	return arena_printf(a, "%s/%s/%s%u/%s.%s", region, draw_size(a, seed, w, h), draw(seed, 2) ? "!" : "",
			    (unsigned)draw(seed, 5) * 90, qualities[draw(seed, 4)],
			    format_name((enum format)draw(seed, FORMATS)));
}

static struct image draw_image(uint64_t *seed)
{
	static const uint32_t sides[] = {20, 3000, 70000, FACTS_MAX_SIDE};
	uint32_t side = sides[draw(seed, 4)];
	return (struct image){
		.facts = {.w = (uint32_t)draw(seed, side) + 1, .h = (uint32_t)draw(seed, side) + 1, .gray = draw(seed, 2)},
		.limits = {.max_w = draw(seed, 2) ? draw(seed, side) : 0,
			   .max_h = draw(seed, 2) ? draw(seed, side) : 0,
			   .max_area = draw(seed, 2) ? draw(seed, UINT64_C(1) << 40) : 0,
			   .upscale = draw(seed, 2)},
	};
}

/* Every plan keeps its promises, and its canonical form is the same picture. */
static void random_requests(void **state)
{
	enum { DRAWS = 20000 };
	uint64_t seed = 20240607;
	int plans = 0;
	(void)state;
	for (int i = 0; i < DRAWS; i++) {
		struct arena *a = arena_open();
		struct image image = draw_image(&seed);
		struct limits l = limits_effective(image.limits, &image.facts);
		int version = 2 + i % 2;
		const char *text = draw_request(a, &seed, &image.facts);
		struct request r = parse(a, version, text);
		struct plan p;
		struct error err = {0};
		if (r.version && plan_make(&r, &image.facts, &l, &p, &err)) {
			const char *fault = plan_fault(a, &r, &image.facts, &l, &p);
			plans++;
			if (fault)
				fail_msg("%d.0 of %ux%u, limits %llu,%llu,%llu,%d: %s: %s", version, image.facts.w,
					 image.facts.h, (unsigned long long)l.max_w, (unsigned long long)l.max_h,
					 (unsigned long long)l.max_area, l.upscale, text, fault);
		} else if (r.version && r.size.kind == SIZE_MAXIMUM && !r.size.upscale &&
			   r.region.kind <= REGION_SQUARE && err.reason == REASON_TOO_LARGE && r.format == FORMAT_PNG) {
			fail_msg("%ux%u %s: max is refused", image.facts.w, image.facts.h, text);
		}
		arena_close(a);
	}
	assert_in_range(plans, DRAWS / 5, DRAWS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(worked_examples),
		cmocka_unit_test(further_examples),
		cmocka_unit_test(steps_of_levels),
		cmocka_unit_test(limits_that_hold),
		cmocka_unit_test(limits_on_a_whole_image),
		cmocka_unit_test(random_requests),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
