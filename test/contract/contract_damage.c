/* SPDX-License-Identifier: BSD-2-Clause */
/* What every decoder makes of files that are cut, broken, unreadable or of another kind. */
#include "samples.h"

#include <dirent.h>
#include <time.h>

#define SEED 20240607
#define FLIPS 12             /* damaged copies of each sample */
#define LONGEST_S 10         /* the sanitizers' slowness included */
#define UNSUPPORTED 25       /* files in the folder of that name, at least */

/* Opens and reads the whole image; true if both worked. */
static bool decodes_source(struct arena *a, struct source *s, double step, struct error *err)
{
	struct picture p;
	struct image image;
	if (!picture_open(a, decoders, s, 1, &p, err))
		return false;
	struct wants w = {.region = {0, 0, p.stored_w, p.stored_h}, .step_x = step, .step_y = step,
			  .chroma_x = 2, .chroma_y = 2};
	return p.decoder->read(a, &p, &w, &image, err);
}

static bool decodes(struct arena *a, struct str bytes, struct error *err)
{
	return decodes_source(a, memory_source_open(a, bytes), 1, err);
}

static void the_samples_are_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		struct arena *a = arena_open();
		struct error err = {0};
		if (!decodes(a, load(a, samples[i].file), &err))
			fail_msg("%s: %s", samples[i].file, err.why);
		arena_close(a);
	}
}

/* A file cut anywhere is an error with a status, never a picture with a gray end. */
static void truncated_files_are_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		struct arena *outer = arena_open();
		struct str bytes = load(outer, samples[i].file);
		/* What a pyramid by pages has at its end are levels that it can do without. */
		bool by_pages = strstr(samples[i].file, "pages-") || strstr(samples[i].file, "mixed-");
		size_t end = by_pages ? bytes.n / 2 : bytes.n;
		for (size_t part = 1; part < 20; part++) {
			struct arena *a = arena_open();
			struct error err = {0};
			struct str cut = {bytes.at, end * part / 20};
			if (decodes(a, cut, &err))
				fail_msg("%s cut to %zu of %zu bytes was decoded", samples[i].file, cut.n, bytes.n);
			if (err.status != 500 || err.reason != REASON_DAMAGED || !err.say)
				fail_msg("%s cut to %zu bytes: %d %s", samples[i].file, cut.n, err.status, err.why);
			arena_close(a);
		}
		arena_close(outer);
	}
}

static void the_last_bytes_matter(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		const char *name = samples[i].file;
		if (!strstr(name, ".jpg"))
			continue;
		struct arena *outer = arena_open();
		struct str bytes = load(outer, name);
		for (size_t less = 10; less < 200; less += 38) {
			struct arena *a = arena_open();
			struct error err = {0};
			if (decodes(a, (struct str){bytes.at, bytes.n - less}, &err))
				fail_msg("%s without its last %zu bytes was decoded", name, less);
			arena_close(a);
		}
		arena_close(outer);
	}
}

static void a_jpeg_without_its_last_marker_is_whole(void **state)
{
	struct arena *a = arena_open();
	struct error err;
	struct str bytes = load(a, "s420.jpg");
	(void)state;
	bytes.n -= 2;
	assert_true(decodes(a, bytes, &err));
	arena_close(a);
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Some bytes at random places: an error or a picture, soon. */
static void flipped_bytes_do_no_harm(void **state)
{
	static const double steps[] = {1, 2, 5, 16};
	uint32_t random = SEED;
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		struct arena *outer = arena_open();
		struct str bytes = load(outer, samples[i].file);
		for (int k = 0; k < FLIPS; k++) {
			struct arena *a = arena_open();
			struct error err = {0};
			char *copy = arena_strndup(a, bytes.at, bytes.n);
			/* Headers are small, and most of what can be believed wrongly is there: at either end. */
			for (int n = 1 << k % 4; n > 0; n--) {
				uint32_t at = next_random(&random);
				size_t near = at % 700 < bytes.n ? at % 700 : 0;
				size_t place = k % 3 == 0 ? near : k % 3 == 1 ? bytes.n - 1 - near : at % bytes.n;
				copy[place] = (char)next_random(&random);
			}
			time_t started = time(NULL);
			struct source *s = memory_source_open(a, (struct str){copy, bytes.n});
			if (!decodes_source(a, s, steps[k % 4], &err))
				assert_true(err.status >= 400 && err.say);
			assert_true(time(NULL) - started < LONGEST_S);
			arena_close(a);
		}
		arena_close(outer);
	}
}

static void other_bytes_are_unsupported(void **state)
{
	static const char *const texts[] = {"<svg/>", "GIF8", "\x89PNX\r\n\x1a\n", "RIFF....WEBQ", "hello", "\xff", "II", "MM\0*"};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct arena *a = arena_open();
		struct error err = {0};
		assert_false(decodes(a, str_of(texts[i]), &err));
		assert_int_equal(err.status, 501);
		arena_close(a);
	}
	struct arena *a = arena_open();
	struct error err = {0};
	assert_false(decodes(a, STR(""), &err));
	assert_int_equal(err.status, 500);
	arena_close(a);
}

/* Sound files of kinds that are not decoded are no damage. */
static void other_kinds_are_unsupported(void **state)
{
	struct arena *a = arena_open();
	const char *path = arena_printf(a, "%s/unsupported", images_folder());
	DIR *folder = opendir(path);
	struct dirent *entry;
	int seen = 0;
	(void)state;
	assert_non_null(folder);
	while ((entry = readdir(folder))) {
		struct error err = {0};
		if (entry->d_name[0] == '.')
			continue;
		seen++;
		if (decodes(a, load(a, arena_printf(a, "unsupported/%s", entry->d_name)), &err))
			fail_msg("%s was decoded", entry->d_name);
		if (err.status != 501)
			fail_msg("%s: %d %s", entry->d_name, err.status, err.why);
	}
	closedir(folder);
	assert_true(seen >= UNSUPPORTED);
	arena_close(a);
}

static uint64_t broken_at;

static bool broken_read(struct source *s, void *to, size_t n, uint64_t offset, struct error *err)
{
	if (offset <= broken_at && offset + n > broken_at)
		return fail(err, 504, REASON_IO, "The origin is late.", "test");
	memcpy(to, (const char *)s->bytes + offset, n);
	return true;
}

/* One byte that cannot be read: whoever needs it says so, and does not take the file for damaged or for a
 * smaller one. */
static void io_failures_are_no_damage(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		struct arena *outer = arena_open();
		struct str bytes = load(outer, samples[i].file);
		int failed = 0;
		for (uint64_t part = 0; part <= 12; part++) {
			struct arena *a = arena_open();
			struct error err = {0};
			struct source *s = memory_source_open(a, bytes);
			s->read = broken_read;
			broken_at = (bytes.n - 1) * part / 12;
			bool ok = decodes_source(a, s, 1, &err);
			failed += !ok;
			if (ok ? s->has_failed : err.status != 504)
				fail_msg("%s at %llu: %d %s", samples[i].file, (unsigned long long)broken_at, err.status,
					 err.why);
			arena_close(a);
		}
		assert_true(failed > 3);
		arena_close(outer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_samples_are_whole),
		cmocka_unit_test(truncated_files_are_errors),
		cmocka_unit_test(the_last_bytes_matter),
		cmocka_unit_test(a_jpeg_without_its_last_marker_is_whole),
		cmocka_unit_test(flipped_bytes_do_no_harm),
		cmocka_unit_test(other_bytes_are_unsupported),
		cmocka_unit_test(other_kinds_are_unsupported),
		cmocka_unit_test(io_failures_are_no_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
