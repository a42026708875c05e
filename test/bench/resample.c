/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints what resampling one plane takes, in CPU milliseconds, by the sums this processor gets, by those of every
 * processor and by the same source compiled without vectors; and how many times faster the first are than the last. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "image/resample.h"

#define ROUNDS 15

static const struct {
	uint32_t w, h, to_w, to_h;
} cases[] = {
	{1500, 1000, 800, 533}, {3000, 2000, 1600, 1067}, {1024, 1024, 512, 512}, {524, 524, 512, 512},
	{750, 500, 200, 133}, {6000, 4000, 200, 133}, {512, 512, 1024, 1024},
};

static double cpu_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct plane make_noise(struct arena *a, uint32_t w, uint32_t h)
{
	struct plane p = {.dx = 1, .dy = 1};
	struct error err;
	uint32_t state = 1;
	if (!plane_alloc(a, &p, w, h, &err))
		exit(1);
	for (size_t i = 0; i < p.stride * h; i++) {
		state = state * 1664525u + 1013904223u;
		p.at[i] = (uint8_t)(state >> 24);
	}
	return p;
}

static double once(weigh_function *weigh, struct arena *a, const struct plane *in, struct plane *out)
{
	struct axis across = {0, (double)in->w / out->w, out->w}, down = {0, (double)in->h / out->h, out->h};
	struct weighing w = {.in = in, .out = out};
	struct error err;
	double begun = cpu_ms();
	if (!resample_by(weigh, a, &w, across, down, FILTER_LANCZOS3, &err))
		exit(1);
	return cpu_ms() - begun;
}

int main(void)
{
	weigh_function *const all[] = {resample_fastest(), weigh_plain, weigh_scalar};
	printf("%-24s %9s %9s %9s %7s\n", "Lanczos, one plane", "fastest", "plain", "scalar", "ratio");
	for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
		struct arena *a = arena_open();
		struct plane in = make_noise(a, cases[c].w, cases[c].h), out = make_noise(a, cases[c].to_w, cases[c].to_h);
		double best[3] = {1e9, 1e9, 1e9};
		char name[64];
		for (int round = 0; round < ROUNDS; round++)
			for (int i = 0; i < 3; i++) {
				double ms = once(all[i], a, &in, &out);
				best[i] = ms < best[i] ? ms : best[i];
			}
		snprintf(name, sizeof name, "%ux%u -> %ux%u", in.w, in.h, out.w, out.h);
		printf("%-24s %9.3f %9.3f %9.3f %7.2f\n", name, best[0], best[1], best[2], best[2] / best[0]);
		arena_close(a);
	}
	return 0;
}
