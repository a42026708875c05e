/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of the sRGB curve against the standard's formulas in double precision. */
#include <math.h>

#include "check.h"

#include "image/light.h"

#define STEPS 1000000

static double light_of(double v)
{
	return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static double value_of(double light)
{
	return light <= 0.0031308 ? light * 12.92 : 1.055 * pow(light, 1 / 2.4) - 0.055;
}

static void bytes_are_light(void **state)
{
	const struct light *l = light_table();
	(void)state;
	for (int b = 0; b < 256; b++) {
		double want = light_of(b / 255.0);
		assert_true(fabs(l->of[b] - want) <= 6e-8 * want);
	}
}

static void bytes_come_back(void **state)
{
	const struct light *l = light_table();
	(void)state;
	for (int b = 0; b < 256; b++)
		assert_int_equal(light_byte(l, l->of[b]), b);
}

static void light_is_the_nearest_byte(void **state)
{
	const struct light *l = light_table();
	(void)state;
	for (int i = 0; i <= STEPS; i++) {
		double light = (double)i / STEPS;
		assert_true(fabs(light_byte(l, (float)light) - 255 * value_of(light)) < 0.5002);
	}
}

static void what_overshoots_is_cut_off(void **state)
{
	const struct light *l = light_table();
	(void)state;
	assert_int_equal(light_byte(l, -0.3f), 0);
	assert_int_equal(light_byte(l, 1.0001f), 255);
	assert_int_equal(light_byte(l, 7), 255);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_light),
		cmocka_unit_test(bytes_come_back),
		cmocka_unit_test(light_is_the_nearest_byte),
		cmocka_unit_test(what_overshoots_is_cut_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
