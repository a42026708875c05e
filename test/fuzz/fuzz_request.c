/* SPDX-License-Identifier: BSD-2-Clause */
/* The input is a raw path. It is parsed under several options, and what is an image request planned
 * for several images and limits. */
#include "fuzz.h"

#include "plan_check.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))

static const char *const two[] = {"/iiif/2", NULL}, *const three[] = {"/iiif/3", "", NULL};

static const struct request_options options[] = {
	{two, three, false, "", ";"},
	{two, three, true, "~", "-p"},
	{three, two, true, "%", ""},
};

static const struct facts images[] = {
	{.w = 6000, .h = 4000},
	{.w = 1, .h = 1},
	{.w = 4097, .h = 4096, .gray = true},
	{.w = 3, .h = 70000},
	{.w = FACTS_MAX_SIDE, .h = FACTS_MAX_SIDE},
};

static const struct limits limits[] = {
	{0},
	{.max_w = 3000, .max_h = 1500},
	{.max_w = 8000, .upscale = true},
	{.max_area = 4000000, .upscale = true},
	{.max_w = 9, .max_h = 900, .max_area = 100},
	{.max_area = UINT64_MAX, .upscale = true},
};

static void check_error(const struct error *err, bool planned)
{
	must_hold(err->status == 400 || err->status == 404 || (planned && err->status == 501), "status %d",
		  err->status);
	must_hold(err->reason != REASON_NONE && err->say && *err->say, "an empty error");
}

static bool is_part(struct str part, struct str whole)
{
	return part.at >= whole.at && part.at + part.n <= whole.at + whole.n;
}

static void check_request(const struct request *r, struct str path)
{
	must_hold(r->version == 2 || r->version == 3, "version %d", r->version);
	must_hold(r->page >= 1, "page 0");
	must_hold(r->identifier.n > 0, "an empty identifier");
	must_hold(is_part(r->base, path) && is_part(r->identifier_raw, r->base), "views leave the path");
	for (size_t i = 0; i < r->identifier.n; i++)
		must_hold((unsigned char)r->identifier.at[i] >= 32, "a control byte in the identifier");
	must_hold(r->region.kind == REGION_PERCENT || (r->region.w <= UINT32_MAX && r->region.x <= UINT32_MAX),
		  "a region that is not saturated");
	must_hold(r->rotation.degrees < 360 * DECIMAL_ONE, "degrees");
	must_hold(r->format < FORMATS, "format");
}

static void plan(struct arena *a, const struct request *r)
{
	for (size_t i = 0; i < LENGTH(images); i++)
		for (size_t k = 0; k < LENGTH(limits); k++) {
			struct limits l = limits_effective(limits[k], &images[i]);
			struct plan p;
			struct error err = {0};
			if (!plan_make(r, &images[i], &l, &p, &err)) {
				check_error(&err, true);
				continue;
			}
			const char *fault = plan_fault(a, r, &images[i], &l, &p);
			must_hold(!fault, "image %zu, limits %zu: %s", i, k, fault);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct str path = {(const char *)bytes, n};
	for (size_t i = 0; i < LENGTH(options); i++) {
		struct arena *a = arena_open();
		struct request r;
		struct error err = {0};
		if (request_parse(a, &options[i], path, &r, &err)) {
			check_request(&r, path);
			if (r.kind == REQUEST_IMAGE)
				plan(a, &r);
		} else {
			check_error(&err, false);
		}
		arena_close(a);
	}
	return 0;
}
