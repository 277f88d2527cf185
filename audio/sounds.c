// SPDX-License-Identifier: BSD-3-Clause

#include <math.h>

#include "sounds.h"

struct formant {
	double one, two, gain; // coefficients
	double last, before;   // output
};

static double next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return (double)*state / 2147483648.0 - 1;
}

static int16_t clip(double value)
{
	return (int16_t)lrint(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
}

void sounds_tone(int16_t *out, uint32_t count, uint32_t rate_hz, double hz, double amplitude)
{
	for (uint32_t i = 0; i < count; i++)
		out[i] = clip(amplitude * sin(2 * M_PI * hz * i / rate_hz));
}

void sounds_noise(int16_t *out, uint32_t count, uint32_t seed, double amplitude)
{
	for (uint32_t i = 0; i < count; i++)
		out[i] = clip(amplitude * next_random(&seed));
}

static void tune(struct formant *formant, double hz, double width_hz, double rate_hz)
{
	double radius = exp(-M_PI * width_hz / rate_hz);

	formant->one = 2 * radius * cos(2 * M_PI * hz / rate_hz);
	formant->two = -radius * radius;
	formant->gain = 1 - radius;
}

static double resound(struct formant *formant, double in)
{
	double out = formant->gain * in + formant->one * formant->last + formant->two * formant->before;

	formant->before = formant->last;
	formant->last = out;
	return out;
}

static void speak(int16_t *out, uint32_t count, uint32_t rate_hz, uint32_t seed, double pitch_hz, int syllables)
{
	struct formant first = {0}, second = {0};
	double phase = 0, level = syllables ? 0 : 1, aim = 1, glide = 0;
	uint32_t left = syllables ? 0 : UINT32_MAX;

	tune(&first, 600, 80, rate_hz);
	tune(&second, 1400, 120, rate_hz);
	for (uint32_t i = 0; i < count; i++) {
		double hz = pitch_hz * (1 + (syllables ? 0.2 * sin(glide) : 0)), pulse = 0;

		if (left-- == 0) {
			aim = next_random(&seed) > -0.6 ? 0.6 + 0.4 * next_random(&seed) : 0;
			left = (uint32_t)(rate_hz * (0.25 + 0.1 * next_random(&seed)));
			tune(&first, 500 + 200 * next_random(&seed), 80, rate_hz);
			tune(&second, 1500 + 600 * next_random(&seed), 120, rate_hz);
		}
		level += (aim - level) * 60 / rate_hz;
		glide += 2 * M_PI * 0.7 / rate_hz;
		phase += hz / rate_hz;
		if (phase >= 1) {
			phase -= 1;
			pulse = 1;
		}
		pulse = pulse * 9000 * sqrt(rate_hz / 8000.0) + next_random(&seed) * 60;
		out[i] = clip(level * 6 * (resound(&first, pulse) + 0.7 * resound(&second, pulse)));
	}
}

void sounds_speech(int16_t *out, uint32_t count, uint32_t rate_hz, uint32_t seed, double pitch_hz)
{
	speak(out, count, rate_hz, seed, pitch_hz, 1);
}

void sounds_vowel(int16_t *out, uint32_t count, uint32_t rate_hz, double pitch_hz)
{
	speak(out, count, rate_hz, 1, pitch_hz, 0);
}
