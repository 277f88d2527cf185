// SPDX-License-Identifier: BSD-3-Clause
// What a listener would hear of it: level, pitch and clicks, for seconds in which every frame is stretched.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "period.h"
#include "sounds.h"
#include "stretch.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define FRAME_MS 20
#define LONGEST (48 * 35)

static const uint32_t rates_hz[] = {8000, 16000, 24000, 48000};

enum way { SHORTER, LONGER };

// Stretch every frame of `in`. Returns: samples in *out, which is to be freed; *acted: frames that it did not decline.
static uint32_t stretched(
	const int16_t *in, uint32_t count, uint32_t rate_hz, enum way way, int16_t **out, uint32_t *acted)
{
	uint32_t frame = rate_hz / 1000 * FRAME_MS, made = 0, now;
	int16_t samples[LONGEST];
	struct stretch stretch;

	*out = malloc(2 * (size_t)count * sizeof(int16_t));
	*acted = 0;
	stretch_init(&stretch, rate_hz);
	for (uint32_t at = 0; at + frame <= count; at += frame) {
		memcpy(samples, in + at, frame * sizeof(int16_t));
		now = way == SHORTER ? stretch_shorten(&stretch, samples, frame, frame)
				     : stretch_lengthen(&stretch, samples, frame, COUNT(samples));
		*acted += now != frame;
		memcpy(*out + made, samples, now * sizeof(int16_t));
		made += now;
	}
	return made;
}

static double level_db(const int16_t *samples, uint32_t count)
{
	return 10 * log10(period_power(samples, count) + 1e-9);
}

// The same of its loud part: how much is pause changes when pauses are cut.
static double loud_db(const int16_t *samples, uint32_t count, uint32_t rate_hz)
{
	uint32_t piece = rate_hz / 100, loud = 0;
	float most = 0, sum = 0, power;

	for (int pass = 0; pass < 2; pass++)
		for (uint32_t at = 0; at + piece <= count; at += piece) {
			power = period_power(samples + at, piece);
			if (pass == 0) {
				most = power > most ? power : most;
			} else if (power > most / 100) {
				sum += power;
				loud++;
			}
		}
	return 10 * log10(sum / (float)loud);
}

// The greatest second difference: a click is one that the sound itself does not have.
static double sharpest(const int16_t *samples, uint32_t count)
{
	double most = 0;

	for (uint32_t i = 2; i < count; i++) {
		double bend = fabs((double)samples[i] - 2.0 * samples[i - 1] + samples[i - 2]);

		most = bend > most ? bend : most;
	}
	return most;
}

// How much of the sound is at that frequency (a Hann window over it): 1 is all of a tone.
static double share_at(const int16_t *samples, uint32_t count, double hz, uint32_t rate_hz)
{
	double re = 0, im = 0, power = 0;

	for (uint32_t i = 0; i < count; i++) {
		double window = 0.5 - 0.5 * cos(2 * M_PI * i / count), value = samples[i] * window;

		re += value * cos(2 * M_PI * hz * i / rate_hz);
		im += value * sin(2 * M_PI * hz * i / rate_hz);
		power += value * value;
	}
	return (re * re + im * im) / power / count * 3;
}

static void tones_keep_pitch_and_level(void **state)
{
	static const double tones_hz[] = {150, 300, 440, 1000, 1633, 2100, 3000};

	for (size_t r = 0; r < COUNT(rates_hz); r++)
		for (size_t t = 0; t < COUNT(tones_hz); t++)
			for (enum way way = SHORTER; way <= LONGER; way++) {
				uint32_t count = rates_hz[r] * 2, acted, made, piece = rates_hz[r] / 10;
				int16_t *in = malloc(count * sizeof(int16_t)), *out;

				sounds_tone(in, count, rates_hz[r], tones_hz[t], 8000);
				made = stretched(in, count, rates_hz[r], way, &out, &acted);
				assert_true(acted > 80); // of 100
				assert_true(fabs(level_db(out, made) - level_db(in, count)) < 0.5);
				assert_true(sharpest(out, made) < 1.25 * sharpest(in, count) + 8);
				for (uint32_t at = 0; at + piece <= made; at += piece)
					assert_true(share_at(out + at, piece, tones_hz[t], rates_hz[r]) > 0.9);
				free(in);
				free(out);
			}
}

static void speech_keeps_its_level_and_has_no_clicks(void **state)
{
	static const double pitches_hz[] = {85, 120, 180, 250};

	for (size_t r = 0; r < COUNT(rates_hz); r++)
		for (size_t p = 0; p < COUNT(pitches_hz); p++)
			for (enum way way = SHORTER; way <= LONGER; way++) {
				uint32_t count = rates_hz[r] * 10, acted, made;
				int16_t *in = malloc(count * sizeof(int16_t)), *out;

				sounds_speech(in, count, rates_hz[r], 1, pitches_hz[p]);
				made = stretched(in, count, rates_hz[r], way, &out, &acted);
				assert_true(acted > 250); // of 500
				assert_true(
					fabs(loud_db(out, made, rates_hz[r]) - loud_db(in, count, rates_hz[r])) < 0.5);
				assert_true(sharpest(out, made) < 1.25 * sharpest(in, count));
				free(in);
				free(out);
			}
}

static void a_vowel_loses_whole_periods(void **state)
{
	static const double pitches_hz[] = {80, 100, 200};
	int16_t vowel[960];
	struct stretch stretch;

	for (size_t p = 0; p < COUNT(pitches_hz); p++) {
		double period = 8000 / pitches_hz[p], periods;
		uint32_t left;

		stretch_init(&stretch, 8000);
		sounds_vowel(vowel, 960, 8000, pitches_hz[p]);
		left = stretch_shorten(&stretch, vowel + 800, 160, 160);
		periods = (160 - left) / period;
		assert_true(left < 160);
		assert_true(fabs(periods - round(periods)) * period < 1.01);
	}
}

static void loud_noise_is_left_alone_and_silence_is_not(void **state)
{
	for (size_t r = 0; r < COUNT(rates_hz); r++) {
		uint32_t count = rates_hz[r] * 2, acted, made;
		int16_t *in = calloc(count, sizeof(int16_t)), *out;

		for (enum way way = SHORTER; way <= LONGER; way++) {
			memset(in, 0, count * sizeof(int16_t));
			stretched(in, count, rates_hz[r], way, &out, &acted);
			assert_int_equal(acted, 100);
			free(out);
			sounds_noise(in, count, 1, 8000);
			stretched(in, count, rates_hz[r], way, &out, &acted);
			assert_true(acted < 25);
			free(out);
			sounds_noise(in, count, 1, 30); // -66 dB
			made = stretched(in, count, rates_hz[r], way, &out, &acted);
			assert_int_equal(acted, 100);
			assert_true(fabs(level_db(out, made) - level_db(in, count)) < 0.5);
			free(out);
		}
		free(in);
	}
}

static void the_most_is_kept(void **state)
{
	int16_t frame[160], copy[160];
	struct stretch stretch;

	stretch_init(&stretch, 8000);
	sounds_tone(copy, 160, 8000, 400, 8000);
	for (uint32_t most = 0; most <= 200; most++) {
		memcpy(frame, copy, sizeof(frame));
		assert_in_range(stretch_shorten(&stretch, frame, 160, most), most > 160 ? 40 : 160 - most, 160);
	}
	for (uint32_t room = 0; room <= 160; room++)
		assert_int_equal(stretch_lengthen(&stretch, frame, 160, room), 160);
}

static void short_and_long_frames(void **state)
{
	for (size_t r = 0; r < COUNT(rates_hz); r++)
		for (uint32_t ms = 1; ms <= 60; ms++) {
			uint32_t count = rates_hz[r] / 1000 * ms, made;
			int16_t *frame = malloc((count + rates_hz[r] / 1000 * 15) * sizeof(int16_t));
			struct stretch stretch;

			stretch_init(&stretch, rates_hz[r]);
			sounds_tone(frame, count, rates_hz[r], 400, 8000);
			made = stretch_lengthen(&stretch, frame, count, count + rates_hz[r] / 1000 * 15);
			assert_true(ms < 6 || made > count);
			sounds_tone(frame, count, rates_hz[r], 400, 8000);
			made = stretch_shorten(&stretch, frame, count, count);
			assert_true(ms < 6 || made < count);
			free(frame);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tones_keep_pitch_and_level),
		cmocka_unit_test(speech_keeps_its_level_and_has_no_clicks),
		cmocka_unit_test(a_vowel_loses_whole_periods),
		cmocka_unit_test(loud_noise_is_left_alone_and_silence_is_not),
		cmocka_unit_test(the_most_is_kept),
		cmocka_unit_test(short_and_long_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
