/* SPDX-License-Identifier: BSD-2-Clause */
/* Every build of the row loops against the rule written down for one sample. */
#include <stdbool.h>
#include <string.h>

#include "check.h"

#include "image/rows.h"

#define N 301

static const struct rows *const builds[] = {
	&rows_plain,
#ifdef __x86_64__
	&rows_avx2,
#endif
};

static bool runs_here(const struct rows *rows)
{
	return rows == &rows_plain || rows_fastest() == rows;
}

static void fill(uint8_t *at, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		at[i] = (uint8_t)(seed >> 24);
	}
}

static void split_and_join(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof builds / sizeof *builds; k++)
		for (int channels = 3; channels <= 4 && runs_here(builds[k]); channels++)
			for (uint32_t n = 0; n <= N; n += 1 + n / 3) {
				uint8_t in[4 * N], out[4 * N + 1] = {0}, planes[4][N + 1] = {{0}};
				uint8_t *to[4] = {planes[0], planes[1], planes[2], planes[3]};
				const uint8_t *from[4] = {planes[0], planes[1], planes[2], planes[3]};
				fill(in, sizeof in, 7);
				builds[k]->split(in, n, channels, to);
				for (uint32_t i = 0; i < n * (uint32_t)channels; i++)
					assert_int_equal(planes[i % (uint32_t)channels][i / (uint32_t)channels], in[i]);
				assert_int_equal(planes[0][n], 0);
				builds[k]->join(from, n, channels, out);
				assert_memory_equal(out, in, n * (size_t)channels);
				assert_int_equal(out[n * (size_t)channels], 0);
			}
}

static int limited(double v)
{
	return v < 0 ? 0 : v > 255 ? 255 : (int)(v + 0.5);
}

/* All values of two components, with steps of the third. */
static void colours(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof builds / sizeof *builds; k++)
		for (int v = 0; v < 65536 && runs_here(builds[k]); v++) {
			uint8_t a[18], b[18], c[18], d[18], e[18], f[18];
			for (int i = 0; i < 18; i++) {
				a[i] = d[i] = (uint8_t)(v >> 8);
				b[i] = e[i] = (uint8_t)v;
				c[i] = f[i] = (uint8_t)(i * 15);
			}
			builds[k]->rgb_to_ycc(a, b, c, 18);
			builds[k]->ycc_to_rgb(d, e, f, 18);
			for (int i = 0; i < 18; i++) {
				double r = v >> 8, g = v & 255, l = i * 15;
				assert_in_range(a[i] + 1, limited(.299 * r + .587 * g + .114 * l), limited(.299 * r + .587 * g + .114 * l) + 2);
				assert_in_range(b[i] + 1, limited(128 - .168736 * r - .331264 * g + .5 * l), limited(128 - .168736 * r - .331264 * g + .5 * l) + 2);
				assert_in_range(c[i] + 1, limited(128 + .5 * r - .418688 * g - .081312 * l), limited(128 + .5 * r - .418688 * g - .081312 * l) + 2);
				assert_in_range(d[i] + 1, limited(r + 1.402 * (l - 128)), limited(r + 1.402 * (l - 128)) + 2);
				assert_in_range(e[i] + 1, limited(r - .344136 * (g - 128) - .714136 * (l - 128)), limited(r - .344136 * (g - 128) - .714136 * (l - 128)) + 2);
				assert_in_range(f[i] + 1, limited(r + 1.772 * (g - 128)), limited(r + 1.772 * (g - 128)) + 2);
			}
		}
}

static void builds_agree(void **state)
{
	(void)state;
	uint8_t in[3][N], got[3][N], want[3][N];
	fill(in[0], sizeof in, 3);
	for (size_t k = 1; k < sizeof builds / sizeof *builds; k++) {
		if (!runs_here(builds[k]))
			continue;
		memcpy(got, in, sizeof in);
		memcpy(want, in, sizeof in);
		builds[k]->to_luma(got[0], got[1], got[2], N);
		builds[0]->to_luma(want[0], want[1], want[2], N);
		assert_memory_equal(got, want, sizeof in);
		builds[k]->rgb_to_ycc(got[0], got[1], got[2], N);
		builds[0]->rgb_to_ycc(want[0], want[1], want[2], N);
		assert_memory_equal(got, want, sizeof in);
		builds[k]->ycc_to_rgb(got[0], got[1], got[2], N);
		builds[0]->ycc_to_rgb(want[0], want[1], want[2], N);
		assert_memory_equal(got, want, sizeof in);
		for (int v = 0; v < 65536; v++) {
			for (int i = 0; i < 32; i++) {
				got[0][i] = want[0][i] = (uint8_t)(v >> 8);
				got[1][i] = want[1][i] = (uint8_t)v;
				got[2][i] = want[2][i] = (uint8_t)(i * 255 / 31);
			}
			builds[k]->rgb_to_ycc(got[0], got[1], got[2], 32);
			builds[0]->rgb_to_ycc(want[0], want[1], want[2], 32);
			for (int i = 0; i < 3; i++)
				assert_memory_equal(got[i], want[i], 32);
		}
	}
}

static void subtracts_and_adds(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof builds / sizeof *builds && runs_here(builds[k]); k++)
		for (size_t n = 0; n <= 700; n += 1 + n / 2)
			for (size_t before = 1; before <= 8; before++) {
				uint8_t from[700], to[701];
				fill(from, sizeof from, 7);
				to[n] = 99;
				builds[k]->subtract(from, n, before, to);
				for (size_t i = 0; i < n; i++)
					assert_int_equal(to[i], (uint8_t)(from[i] - (i < before ? 0 : from[i - before])));
				builds[k]->add(to, n, before);
				assert_memory_equal(to, from, n);
				assert_int_equal(to[n], 99);
			}
}

/* Also into the upper row itself, as it is used. */
static void halves(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof builds / sizeof *builds && runs_here(builds[k]); k++)
		for (uint32_t n = 0; n <= 700; n += 1 + n / 2)
			for (int up = 1; up <= 2; up++) {
				uint8_t a[1400], b[1400], to[700], same[1400];
				fill(a, sizeof a, 5);
				fill(b, sizeof b, 6);
				memcpy(same, a, sizeof a);
				builds[k]->halve(a, b, n, up, to);
				builds[k]->halve(same, b, n, up, same);
				for (uint32_t i = 0; i < n; i++)
					assert_int_equal(to[i], (a[2 * i] + a[2 * i + 1] + b[2 * i] + b[2 * i + 1] + up) / 4);
				assert_memory_equal(same, to, n);
				assert_memory_equal(same + 2 * n, a + 2 * n, sizeof a - 2 * n);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_and_join),
		cmocka_unit_test(colours),
		cmocka_unit_test(builds_agree),
		cmocka_unit_test(halves),
		cmocka_unit_test(subtracts_and_adds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
