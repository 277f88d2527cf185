// SPDX-License-Identifier: BSD-3-Clause
// Gaps in sounds: what is made up goes on, dies away, and joins what comes back.

#include <math.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plc.h"
#include "sounds.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const uint32_t rates_hz[] = {8000, 16000, 24000, 48000};

static void a_tone_goes_on_and_dies_away(void **state)
{
	for (size_t r = 0; r < COUNT(rates_hz); r++) {
		uint32_t rate = rates_hz[r], frame = rate / 100, start = rate / 10;
		int16_t *tone = malloc(rate * sizeof(int16_t)), made[4800];
		struct plc plc;

		sounds_tone(tone, rate, rate, 400, 8000);
		plc_start(&plc, rate);
		for (uint32_t at = 0; at < start; at += frame)
			plc_good(&plc, tone + at, frame);
		plc_fill(&plc, made, frame);
		for (uint32_t i = rate / 2000; i < frame; i++) // 400 Hz is whole samples at all rates; the join is over
			assert_true(abs(made[i] - tone[start + i]) < 400);
		for (int i = 0; i < 5; i++)
			plc_fill(&plc, made, frame);
		assert_true(abs(made[frame - 1]) < 400);
		plc_fill(&plc, made, frame);
		for (uint32_t i = 0; i < frame; i++)
			assert_int_equal(made[i], 0);
		free(tone);
	}
}

static void nothing_clicks(void **state)
{
	for (size_t r = 0; r < COUNT(rates_hz); r++) {
		uint32_t rate = rates_hz[r], frame = rate / 50, count = rate * 10;
		int16_t *speech = malloc(count * sizeof(int16_t)), *heard = malloc(count * sizeof(int16_t));
		double sharpest = 0, own = 0;
		struct plc plc;

		sounds_speech(speech, count, rate, 3, 120);
		memcpy(heard, speech, count * sizeof(int16_t));
		plc_start(&plc, rate);
		for (uint32_t at = 0, n = 0; at + frame <= count; at += frame, n++)
			if (n % 7 == 5 || n % 21 == 6)
				plc_fill(&plc, heard + at, frame);
			else
				plc_good(&plc, heard + at, frame);
		for (uint32_t i = 2; i < count; i++) {
			own = fmax(own, fabs(speech[i] - 2.0 * speech[i - 1] + speech[i - 2]));
			sharpest = fmax(sharpest, fabs(heard[i] - 2.0 * heard[i - 1] + heard[i - 2]));
		}
		assert_true(sharpest < 1.3 * own);
		free(speech);
		free(heard);
	}
}

static void it_begins_with_nothing(void **state)
{
	int16_t samples[160] = {1};
	struct plc plc;

	plc_start(&plc, 8000);
	plc_fill(&plc, samples, 160);
	assert_int_equal(samples[0], 0);
	sounds_noise(samples, 160, 1, 1000);
	plc_good(&plc, samples, 160);
	plc_fill(&plc, samples, 160);
	plc_good(&plc, samples, 1); // shorter than the fade
	plc_good(&plc, samples, 160);
	assert_int_equal(plc.filled, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tone_goes_on_and_dies_away),
		cmocka_unit_test(nothing_clicks),
		cmocka_unit_test(it_begins_with_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
