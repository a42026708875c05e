/* SPDX-License-Identifier: BSD-2-Clause */
/* The information document (lib/iiif/info.h; digest 6.2 and 6.3). */
#include <string.h>

#include <cjson/cJSON.h>

#include "check.h"

#include "iiif/info.h"

#define LENGTH(a) (sizeof(a) / sizeof *(a))
#define SIZES_6_3 \
	"\"sizes\":[{\"width\":375,\"height\":250},{\"width\":750,\"height\":500}," \
	"{\"width\":1500,\"height\":1000},{\"width\":3000,\"height\":2000}]," \
	"\"tiles\":[{\"width\":512,\"scaleFactors\":[1,2,4,8,16]}],"

static const enum format three_formats[] = {FORMAT_JPG, FORMAT_PNG, FORMAT_WEBP};

static struct info plain_info(int version, const struct facts *f)
{
	return (struct info){
		.version = version,
		.id = version == 3 ? "https://example.org/iiif/3/a" : "https://example.org/iiif/2/a",
		.facts = f,
		.tile_size = 512,
		.min_tile_size = 256,
		.formats = three_formats,
		.n_formats = LENGTH(three_formats),
		.rights = "",
	};
}

static void drop(void *json)
{
	cJSON_Delete(json);
}

static cJSON *parse(struct arena *a, const char *text)
{
	cJSON *json = cJSON_Parse(text);
	if (!json)
		fail_msg("no JSON: %s", text);
	arena_defer(a, drop, json);
	return json;
}

static cJSON *document(struct arena *a, const struct info *in)
{
	struct error err;
	struct buf *b = buf_open(a, 1 << 20);
	if (!info_write(a, in, b, &err))
		fail_msg("%s", err.why);
	assert_true(str_ends(buf_view(b), STR("}\n")));
	return parse(a, str_dup(a, buf_view(b)));
}

static void must_equal(const char *what, const cJSON *got, const cJSON *want)
{
	if (cJSON_Compare(got, want, true))
		return;
	char *text = got ? cJSON_PrintUnformatted(got) : NULL;
	fail_msg("%s: got %s", what, text ? text : "nothing");
}

static void the_examples(void **state)
{
	static const char in_3[] =
		"{\"@context\":\"http://iiif.io/api/image/3/context.json\",\"id\":\"https://example.org/iiif/3/a\","
		"\"type\":\"ImageService3\",\"protocol\":\"http://iiif.io/api/image\",\"profile\":\"level2\","
		"\"width\":6000,\"height\":4000,\"maxWidth\":8000," SIZES_6_3 "\"extraFormats\":[\"webp\"],"
		"\"extraQualities\":[\"color\",\"gray\",\"bitonal\"],\"extraFeatures\":[\"canonicalLinkHeader\","
		"\"mirroring\",\"profileLinkHeader\",\"rotationArbitrary\",\"sizeUpscaling\"]}";
	static const char in_2[] =
		"{\"@context\":\"http://iiif.io/api/image/2/context.json\",\"@id\":\"https://example.org/iiif/2/a\","
		"\"protocol\":\"http://iiif.io/api/image\",\"width\":6000,\"height\":4000," SIZES_6_3
		"\"profile\":[\"http://iiif.io/api/image/2/level2.json\",{\"formats\":[\"webp\"],"
		"\"qualities\":[\"color\",\"gray\"],\"maxWidth\":8000,\"supports\":[\"canonicalLinkHeader\","
		"\"mirroring\",\"profileLinkHeader\",\"regionSquare\",\"rotationArbitrary\",\"sizeAboveFull\"]}]}";
	static const struct facts f = {.w = 6000, .h = 4000};
	struct arena *a = arena_open();
	(void)state;
	for (int version = 2; version <= 3; version++) {
		struct info in = plain_info(version, &f);
		in.limits = limits_effective((struct limits){.max_w = 8000, .upscale = true}, &f);
		in.bitonal = in.any_rotation = true;
		cJSON *got = document(a, &in);
		must_equal("example", got, parse(a, version == 3 ? in_3 : in_2));
		assert_string_equal(got->child->string, "@context");
	}
	arena_close(a);
}

/* What is not offered is not listed, and no list is empty. */
static void a_small_offer(void **state)
{
	static const enum format one[] = {FORMAT_JPG};
	static const struct facts gray = {.w = 10, .h = 20, .gray = true};
	static const char in_3[] =
		"{\"@context\":\"http://iiif.io/api/image/3/context.json\",\"id\":\"https://example.org/iiif/3/a\","
		"\"type\":\"ImageService3\",\"protocol\":\"http://iiif.io/api/image\",\"profile\":\"level2\",\"width\":10,"
		"\"height\":20,\"tiles\":[{\"width\":512,\"scaleFactors\":[1]}],\"extraQualities\":[\"gray\"],"
		"\"extraFeatures\":[\"canonicalLinkHeader\",\"mirroring\",\"profileLinkHeader\"]}";
	static const char in_2[] =
		"{\"@context\":\"http://iiif.io/api/image/2/context.json\",\"@id\":\"https://example.org/iiif/2/a\","
		"\"protocol\":\"http://iiif.io/api/image\",\"width\":10,\"height\":20,"
		"\"tiles\":[{\"width\":512,\"scaleFactors\":[1]}],\"profile\":[\"http://iiif.io/api/image/2/level2.json\","
		"{\"qualities\":[\"gray\"],\"supports\":[\"canonicalLinkHeader\",\"mirroring\",\"profileLinkHeader\","
		"\"regionSquare\"]}]}";
	struct arena *a = arena_open();
	(void)state;
	for (int version = 2; version <= 3; version++) {
		struct info in = plain_info(version, &gray);
		in.formats = one;
		in.n_formats = 1;
		must_equal("small", document(a, &in), parse(a, version == 3 ? in_3 : in_2));
	}
	arena_close(a);
}

#define S(w, h) "{\"width\":" #w ",\"height\":" #h "}"
#define FACTORS_3 "\"scaleFactors\":[1,2,4]}]"

static const struct {
	struct facts facts;
	uint32_t tile_size, min_tile_size;
	struct limits limits;
	const char *sizes, *tiles;     /* JSON, NULL for none */
} lists[] = {
	{{.w = 1001, .h = 667}, 256, 1, {0}, "[" S(251, 167) "," S(501, 334) "]", "[{\"width\":256," FACTORS_3},
	{{.w = 2411, .h = 3372}, 1024, 1, {0}, "[" S(603, 843) "," S(1206, 1686) "]", "[{\"width\":1024," FACTORS_3},
	{{.w = 4097, .h = 4096}, 1024, 1, {0}, "[" S(513, 512) "," S(1025, 1024) "," S(2049, 2048) "]",
	 "[{\"width\":1024,\"scaleFactors\":[1,2,4,8]}]"},
	/* The last factor is the first at which the image fits. */
	{{.w = 512, .h = 1}, 512, 1, {0}, NULL, "[{\"width\":512,\"scaleFactors\":[1]}]"},
	{{.w = 1, .h = 513}, 512, 1, {0}, "[" S(1, 257) "]", "[{\"width\":512,\"scaleFactors\":[1,2]}]"},
	{{.w = 1024, .h = 1024}, 512, 1, {0}, "[" S(512, 512) "]", "[{\"width\":512,\"scaleFactors\":[1,2]}]"},
	{{.w = 1025, .h = 1024}, 512, 1, {0}, "[" S(257, 256) "," S(513, 512) "]", "[{\"width\":512," FACTORS_3},
	/* Stored tiles, doubled until no side is below the least. */
	{{.w = 1000, .h = 700, .tile_w = 256, .tile_h = 256}, 512, 256, {0}, "[" S(250, 175) "," S(500, 350) "]",
	 "[{\"width\":256," FACTORS_3},
	{{.w = 1000, .h = 700, .tile_w = 128, .tile_h = 256}, 512, 256, {0}, "[" S(250, 175) "," S(500, 350) "]",
	 "[{\"width\":256,\"height\":512,\"scaleFactors\":[1,2,4]}]"},
	{{.w = 1000, .h = 700, .tile_w = 240, .tile_h = 240}, 512, 256, {0}, "[" S(250, 175) "," S(500, 350) "]",
	 "[{\"width\":480,\"scaleFactors\":[1,2,4]}]"},
	{{.w = 40, .h = 40, .tile_w = 16, .tile_h = 16}, 512, 1, {0}, "[" S(10, 10) "," S(20, 20) "]",
	 "[{\"width\":16," FACTORS_3},
	{{.w = 100, .h = 100}, 64, 256, {0}, NULL, "[{\"width\":256,\"scaleFactors\":[1]}]"},
	/* Nothing above the limits, side by side or by area. */
	{{.w = 6000, .h = 4000}, 512, 256, {.max_w = 1500, .max_h = 1000}, "[" S(375, 250) "," S(750, 500) "," S(1500, 1000) "]",
	 "[{\"width\":512,\"scaleFactors\":[1,2,4,8,16]}]"},
	{{.w = 6000, .h = 4000}, 512, 256, {.max_w = 1500, .max_h = 999}, "[" S(375, 250) "," S(750, 500) "]",
	 "[{\"width\":512,\"scaleFactors\":[1,2,4,8,16]}]"},
	{{.w = 6000, .h = 4000}, 512, 256, {.max_area = 1499999}, "[" S(375, 250) "," S(750, 500) "]",
	 "[{\"width\":512,\"scaleFactors\":[1,2,4,8,16]}]"},
	{{.w = 6000, .h = 4000}, 512, 256, {.max_area = 512 * 512}, "[" S(375, 250) "]",
	 "[{\"width\":512,\"scaleFactors\":[1,2,4,8,16]}]"},
	{{.w = 6000, .h = 4000}, 512, 256, {.max_area = 512 * 512 - 1}, "[" S(375, 250) "]", NULL},
	{{.w = 6000, .h = 4000}, 512, 256, {.max_w = 511, .max_h = 511}, "[" S(375, 250) "]", NULL},
	{{.w = 6000, .h = 4000}, 512, 256, {.max_w = 9, .max_h = 9}, NULL, NULL},
	{{.w = 400, .h = 300}, 512, 256, {.max_w = 450, .max_h = 450}, NULL, NULL},
	{{.w = FACTS_MAX_SIDE, .h = 1}, 8192, 1, {.max_w = 16384, .max_h = 16384}, "[" S(8192, 1) "," S(16384, 1) "]",
	 "[{\"width\":8192,\"scaleFactors\":[1,2,4,8,16,32,64,128,256,512,1024,2048,4096,8192,16384,32768,65536,"
	 "131072,262144]}]"},
	{{.w = FACTS_MAX_SIDE, .h = FACTS_MAX_SIDE, .tile_w = 1, .tile_h = 1}, 512, 1, {.max_w = 2, .max_h = 2},
	 "[" S(2, 2) "]",
	 "[{\"width\":1,\"scaleFactors\":[1,2,4,8,16,32,64,128,256,512,1024,2048,4096,8192,16384,32768,65536,131072,"
	 "262144,524288,1048576,2097152,4194304,8388608,16777216,33554432,67108864,134217728,268435456,536870912,"
	 "1073741824]}]"},
};

static void sizes_and_tiles(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(lists); i++)
		for (int version = 2; version <= 3; version++) {
			struct arena *a = arena_open();
			struct info in = plain_info(version, &lists[i].facts);
			const char *what = arena_printf(a, "%ux%u, case %zu", in.facts->w, in.facts->h, i);
			in.tile_size = lists[i].tile_size;
			in.min_tile_size = lists[i].min_tile_size;
			in.limits = lists[i].limits;
			cJSON *got = document(a, &in), *sizes = cJSON_GetObjectItem(got, "sizes"),
			      *tiles = cJSON_GetObjectItem(got, "tiles");
			if (lists[i].sizes || sizes)
				must_equal(what, sizes, lists[i].sizes ? parse(a, lists[i].sizes) : NULL);
			if (lists[i].tiles || tiles)
				must_equal(what, tiles, lists[i].tiles ? parse(a, lists[i].tiles) : NULL);
			arena_close(a);
		}
}

static void limits_as_published(void **state)
{
	static const struct {
		struct limits limits;
		const char *w, *h, *area;      /* NULL for absent */
	} cases[] = {
		{{0}, NULL, NULL, NULL},
		{{.max_w = 8000, .max_h = 8000}, "8000", NULL, NULL},
		{{.max_w = 8000, .max_h = 6000}, "8000", "6000", NULL},
		{{.max_area = 100000000}, NULL, NULL, "100000000"},
		{{.max_w = 65500, .max_h = 65500, .max_area = 9000000000000000}, "65500", NULL, "9000000000000000"},
	};
	static const struct facts f = {.w = 6000, .h = 4000};
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		for (int version = 2; version <= 3; version++) {
			struct arena *a = arena_open();
			struct info in = plain_info(version, &f);
			const char *const want[] = {cases[i].w, cases[i].h, cases[i].area};
			static const char *const keys[] = {"maxWidth", "maxHeight", "maxArea"};
			in.limits = cases[i].limits;
			cJSON *got = document(a, &in);
			if (version == 2)
				got = cJSON_GetArrayItem(cJSON_GetObjectItem(got, "profile"), 1);
			for (int k = 0; k < 3; k++) {
				cJSON *item = cJSON_GetObjectItemCaseSensitive(got, keys[k]);
				if (item || want[k])
					must_equal(keys[k], item, want[k] ? parse(a, want[k]) : NULL);
			}
			arena_close(a);
		}
}

/* Operators' keys: what is in the document beside its own, as JSON. */
static const struct {
	const char *rights, *rule, *sidecar, *in_3, *in_2;
} texts[] = {
	{"", "", "", "{}", "{}"},
	{"", "{}", " { } \n", "{}", "{}"},
	{"http://r", "", "", "{\"rights\":\"http://r\"}", "{\"license\":\"http://r\"}"},
	{"http://r", "{\"rights\":\"http://s\"}", "", "{\"rights\":\"http://s\"}", "{\"license\":\"http://s\"}"},
	{"http://r", "{\"license\":\"http://s\"}", "{\"rights\":\"http://t\"}", "{\"rights\":\"http://t\"}",
	 "{\"license\":\"http://t\"}"},
	{"", "{\"rights\":\"http://3\",\"license\":\"http://2\"}", "", "{\"rights\":\"http://3\"}",
	 "{\"license\":\"http://2\"}"},
	{"", "{\"RIGHTS\":\"x\",\"license\":\"http://2\"}", "", "{\"RIGHTS\":\"x\",\"rights\":\"http://2\"}",
	 "{\"RIGHTS\":\"x\",\"license\":\"http://2\"}"},
	/* 3.0 has one rights string, 2.1 may have a list. */
	{"", "{\"license\":[\"a\",\"b\"]}", "", "{}", "{\"license\":[\"a\",\"b\"]}"},
	{"", "{\"attribution\":\"by\",\"logo\":{\"@id\":\"l\"}}", "", "{}",
	 "{\"attribution\":\"by\",\"logo\":{\"@id\":\"l\"}}"},
	{"", "{\"partOf\":[{\"id\":\"p\"}],\"seeAlso\":{\"id\":\"s\"}}", "",
	 "{\"partOf\":[{\"id\":\"p\"}],\"seeAlso\":[{\"id\":\"s\"}]}", "{}"},
	{"", "{\"service\":{\"id\":\"s\"}}", "", "{\"service\":[{\"id\":\"s\"}]}", "{\"service\":{\"id\":\"s\"}}"},
	{"", "{\"service\":[]}", "{\"partOf\":[],\"logo\":[],\"x\":[]}", "{}", "{}"},
	{"", "{\"service\":\"s\",\"partOf\":7}", "", "{}", "{\"service\":\"s\"}"},
	/* A sidecar wins, key by key. */
	{"", "{\"a\":1,\"b\":{\"x\":1}}", "{\"b\":{\"y\":2},\"c\":null}", "{\"a\":1,\"b\":{\"y\":2},\"c\":null}",
	 "{\"a\":1,\"b\":{\"y\":2},\"c\":null}"},
	/* The document's own keys cannot be changed. */
	{"",
	 "{\"@context\":1,\"id\":1,\"@id\":1,\"type\":1,\"@type\":1,\"protocol\":1,\"profile\":1,\"width\":1,\"height\":1}",
	 "{\"maxWidth\":1,\"maxHeight\":1,\"maxArea\":1,\"sizes\":[1],\"tiles\":[1],\"preferredFormats\":[1],"
	 "\"extraFormats\":[1],\"extraQualities\":[1],\"extraFeatures\":[1]}",
	 "{}", "{}"},
	{"", "{\"max_width\":500}", "{\"max_height\":400,\"max_area\":9}", "{}", "{}"},
	/* Bytes of any script, escapes, control characters. */
	{"", "{\"\xc3\xa9\":\"\xe2\x82\xac \xf0\x9f\x90\xa6\",\"n\":\"\\u00e9\\n\\\"\\\\\\u0001\"}", "",
	 "{\"\xc3\xa9\":\"\xe2\x82\xac \xf0\x9f\x90\xa6\",\"n\":\"\xc3\xa9\\n\\\"\\\\\\u0001\"}",
	 "{\"\xc3\xa9\":\"\xe2\x82\xac \xf0\x9f\x90\xa6\",\"n\":\"\xc3\xa9\\n\\\"\\\\\\u0001\"}"},
	{"", "{\"x\":1e999}", "", "{\"x\":null}", "{\"x\":null}"},
};

static void operators_keys(void **state)
{
	static const char *const own[] = {"@context", "id",     "@id",    "type",           "protocol",       "profile",
					  "width",    "height", "tiles",  "extraFormats",   "extraQualities", "extraFeatures"};
	static const struct facts f = {.w = 100, .h = 100};
	(void)state;
	for (size_t i = 0; i < LENGTH(texts); i++)
		for (int version = 2; version <= 3; version++) {
			struct arena *a = arena_open();
			struct info in = plain_info(version, &f);
			cJSON *bare = document(a, &in);
			in.rights = texts[i].rights;
			in.rule_json = str_of(texts[i].rule);
			in.sidecar_json = str_of(texts[i].sidecar);
			cJSON *got = document(a, &in);
			for (size_t k = 0; k < LENGTH(own); k++) {
				cJSON *item = cJSON_GetObjectItemCaseSensitive(got, own[k]);
				if (item)
					must_equal(own[k], item, cJSON_GetObjectItemCaseSensitive(bare, own[k]));
				cJSON_DeleteItemFromObjectCaseSensitive(got, own[k]);
			}
			must_equal(texts[i].rule, got, parse(a, version == 3 ? texts[i].in_3 : texts[i].in_2));
			arena_close(a);
		}
}

/* Each is in the level or in extraFormats; 2.1 has no such list. */
static void preferred_formats(void **state)
{
	static const struct {
		const char *words[5], *in_3;
	} cases[] = {
		{{NULL}, NULL},
		{{"webp", "jpg"}, "[\"webp\",\"jpg\"]"},
		{{"avif", "webp", "xyz", "png"}, "[\"webp\",\"png\"]"},
		{{"avif", ""}, NULL},
	};
	static const struct facts f = {.w = 100, .h = 100};
	struct arena *a = arena_open();
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		for (int version = 2; version <= 3; version++) {
			struct info in = plain_info(version, &f);
			in.preferred_formats = cases[i].words;
			cJSON *got = cJSON_GetObjectItem(document(a, &in), "preferredFormats");
			if (version == 2 || !cases[i].in_3)
				assert_null(got);
			else
				must_equal("preferredFormats", got, parse(a, cases[i].in_3));
		}
	arena_close(a);
}

static void no_object_is_an_error(void **state)
{
	static const struct str bad[] = {
		STR("[]"), STR("7"), STR("\"x\""), STR("null"), STR(" "), STR("{"), STR("{\"a\":}"), STR("{\"a\":1,}"),
		STR("{'a':1}"), STR("{} x"), STR("{}{\"max_width\":5}"), STR("{}\0{}"), STR("{\"a\":\"\xe9\"}"),
		STR("{\"a\":\"\xc0\x80\"}"), STR("{\"a\":\"\xed\xa0\x80\"}"), STR("{\"\xff\":1}"),
		STR("{\"a\":\"\xe2\x82\"}"),
	};
	static const struct facts f = {.w = 100, .h = 100};
	(void)state;
	for (size_t i = 0; i < LENGTH(bad); i++) {
		struct arena *a = arena_open();
		struct limits l = {.max_w = 1, .max_h = 2, .max_area = 3};
		struct buf *b = buf_open(a, 4096);
		for (int where = 0; where < 3; where++) {
			struct error err = {0};
			struct info in = plain_info(3, &f);
			*(where == 1 ? &in.rule_json : &in.sidecar_json) = bad[i];
			if (where ? info_write(a, &in, b, &err) : info_limits(bad[i], &l, &err))
				fail_msg("%.*s was taken", (int)bad[i].n, bad[i].at);
			assert_int_equal(err.status, 500);
			assert_int_equal(err.reason, REASON_CONFIG);
		}
		assert_true(l.max_w == 1 && l.max_h == 2 && l.max_area == 3);
		arena_close(a);
	}
}

static void limits_of_texts(void **state)
{
	static const struct {
		const char *text;
		uint64_t w, h, area;
		bool ok;
	} cases[] = {
		{"", 1, 2, 3, true},
		{"{}", 1, 2, 3, true},
		{"{\"max_width\":500}", 500, 2, 3, true},
		{"{\"max_height\":0,\"max_area\":1e6,\"other\":-1}", 1, 0, 1000000, true},
		{"{\"max_width\":5.0,\"max_area\":9000000000000000}", 5, 2, 9000000000000000, true},
		{"{\"MAX_WIDTH\":7}", 1, 2, 3, true},
		{"{\"max_width\":-1}", 0, 0, 0, false},
		{"{\"max_width\":1.5}", 0, 0, 0, false},
		{"{\"max_width\":\"500\"}", 0, 0, 0, false},
		{"{\"max_height\":null}", 0, 0, 0, false},
		{"{\"max_height\":true}", 0, 0, 0, false},
		{"{\"max_area\":[1]}", 0, 0, 0, false},
		{"{\"max_area\":1e400}", 0, 0, 0, false},
		{"{\"max_area\":1e16}", 0, 0, 0, false},
	};
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct limits l = {.max_w = 1, .max_h = 2, .max_area = 3, .upscale = true};
		struct error err = {0};
		bool ok = info_limits(str_of(cases[i].text), &l, &err);
		if (ok != cases[i].ok ||
		    (ok && (l.max_w != cases[i].w || l.max_h != cases[i].h || l.max_area != cases[i].area || !l.upscale)))
			fail_msg("%s: %d", cases[i].text, ok);
		if (!ok)
			assert_int_equal(err.reason, REASON_CONFIG);
	}
}

static void any_id_is_valid_json(void **state)
{
	static const struct facts f = {.w = 100, .h = 100};
	struct arena *a = arena_open();
	(void)state;
	for (unsigned c = 1; c < 128; c++) {
		struct info in = plain_info(3, &f);
		in.id = arena_printf(a, "http://x/%c\\\"%c", (int)c, (int)c);
		assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(document(a, &in), "id")), in.id);
	}
	arena_close(a);
}

static void too_large_is_an_error(void **state)
{
	static const struct facts f = {.w = 100, .h = 100};
	struct arena *a = arena_open();
	struct error err = {0};
	struct info in = plain_info(3, &f);
	(void)state;
	assert_false(info_write(a, &in, buf_open(a, 100), &err));
	assert_int_equal(err.status, 500);
	arena_close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_examples),
		cmocka_unit_test(a_small_offer),
		cmocka_unit_test(sizes_and_tiles),
		cmocka_unit_test(limits_as_published),
		cmocka_unit_test(operators_keys),
		cmocka_unit_test(preferred_formats),
		cmocka_unit_test(no_object_is_an_error),
		cmocka_unit_test(limits_of_texts),
		cmocka_unit_test(any_id_is_valid_json),
		cmocka_unit_test(too_large_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
