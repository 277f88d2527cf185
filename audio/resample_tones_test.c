// SPDX-License-Identifier: BSD-3-Clause
// What resampling does to tones, in decibels, beside what speexdsp's at quality 3 does to them.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <speex/speex_resampler.h>

#include "resample.h"

#define AMPLITUDE 20000.0
#define PASS 0.425          // of the lower rate: 3.4 kHz of 8
#define LOSS_MAX_DB 0.2     // up to there
#define SNR_MIN_DB 70       // there too; images and rounding are the noise
#define STOP 0.55           // of the lower rate: 4.4 kHz of 8
#define REJECTION_MIN_DB 60 // from there on
#define QUALITY 3           // of speexdsp's resampler

static const uint32_t rates_hz[] = {8000, 12000, 16000, 24000, 32000, 44100, 48000};
#define RATES (sizeof(rates_hz) / sizeof(*rates_hz))

struct tone {
	double gain_db;  // of the tone itself
	double other_db; // of all else that comes out, against the tone that went in
};

enum { SAMPLES = 48000 / 2 };
static int16_t in[SAMPLES], out[6 * SAMPLES + 8];

// Half a second at most of a tone into `in`. Returns: samples.
static uint32_t tone_play(double hz, uint32_t rate_hz)
{
	uint32_t n = rate_hz / 2;

	for (uint32_t i = 0; i < n; i++)
		in[i] = (int16_t)lrint(AMPLITUDE * sin(2 * M_PI * hz * i / rate_hz));
	return n;
}

// Fit the tone by least squares to `out`, its beginning and end left alone, and see what is left over.
static struct tone tone_measure(double hz, uint32_t rate_hz, uint32_t n)
{
	uint32_t from = rate_hz / 50, to = n - rate_hz / 50;
	double ss = 0, sc = 0, cc = 0, xs = 0, xc = 0, other = 0, a, b;

	for (uint32_t i = from; i < to; i++) {
		double s = sin(2 * M_PI * hz * i / rate_hz), c = cos(2 * M_PI * hz * i / rate_hz);

		ss += s * s, sc += s * c, cc += c * c;
		xs += out[i] * s, xc += out[i] * c;
	}
	a = (xs * cc - xc * sc) / (ss * cc - sc * sc);
	b = (xc * ss - xs * sc) / (ss * cc - sc * sc);
	for (uint32_t i = from; i < to; i++) {
		double phase = 2 * M_PI * hz * i / rate_hz, rest = out[i] - a * sin(phase) - b * cos(phase);

		other += rest * rest;
	}
	return (struct tone){.gain_db = 10 * log10((a * a + b * b) / (AMPLITUDE * AMPLITUDE) + 1e-12),
		.other_db = 10 * log10(other / (to - from) / (AMPLITUDE * AMPLITUDE / 2) + 1e-12)};
}

static struct tone tone_ours(double hz, uint32_t in_hz, uint32_t out_hz)
{
	struct resample resample;
	int n;

	assert_int_equal(resample_init(&resample, in_hz, out_hz), 0);
	n = resample_process(&resample, in, tone_play(hz, in_hz), out, sizeof(out) / sizeof(*out));
	assert_true(n > 0);
	return tone_measure(hz, out_hz, (uint32_t)n);
}

static struct tone tone_theirs(double hz, uint32_t in_hz, uint32_t out_hz)
{
	int error = 0;
	SpeexResamplerState *state = speex_resampler_init(1, in_hz, out_hz, QUALITY, &error);
	spx_uint32_t n = tone_play(hz, in_hz), written = sizeof(out) / sizeof(*out);

	assert_non_null(state);
	assert_int_equal(speex_resampler_process_int(state, 0, in, &n, out, &written), 0);
	speex_resampler_destroy(state);
	return tone_measure(hz, out_hz, written);
}

static double lower_hz(uint32_t in_hz, uint32_t out_hz)
{
	return in_hz < out_hz ? in_hz : out_hz;
}

static double total_db(struct tone tone)
{
	return 10 * log10(pow(10, tone.gain_db / 10) + pow(10, tone.other_db / 10));
}

// Call `check` for every pair of different rates.
static void every_pair(void (*check)(uint32_t in_hz, uint32_t out_hz))
{
	for (size_t i = 0; i < RATES; i++)
		for (size_t j = 0; j < RATES; j++)
			if (i != j)
				check(rates_hz[i], rates_hz[j]);
}

static void band_passes(uint32_t in_hz, uint32_t out_hz)
{
	static const double parts[] = {0.0137, 0.0503, 0.125, 0.2501, 0.333, 0.375, 0.41, 0.4175, PASS};

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		double hz = parts[i] * lower_hz(in_hz, out_hz);
		struct tone tone = tone_ours(hz, in_hz, out_hz);

		if (fabs(tone.gain_db) > LOSS_MAX_DB || tone.other_db > -SNR_MIN_DB)
			fail_msg("%u to %u Hz, tone of %.0f Hz: %.2f dB, all else %.1f dB", in_hz, out_hz, hz,
				tone.gain_db, tone.other_db);
	}
}

static void tones_in_the_band_stay_what_they_are(void **state)
{
	every_pair(band_passes);
}

static void rest_is_stopped(uint32_t in_hz, uint32_t out_hz)
{
	double low = lower_hz(in_hz, out_hz);

	for (double hz = STOP * low; hz < 0.499 * in_hz; hz += 0.0371 * low) {
		double left_db = total_db(tone_ours(hz, in_hz, out_hz));

		if (left_db > -REJECTION_MIN_DB)
			fail_msg("%u to %u Hz, tone of %.0f Hz: %.1f dB are left", in_hz, out_hz, hz, left_db);
	}
}

static void tones_beyond_it_vanish(void **state)
{
	every_pair(rest_is_stopped);
}

// Both let the same through where both are flat, and we no less than they do up to the end of the band; both stop what
// lies beyond. In between speexdsp turns down earlier: its 3.4 kHz lose 1 dB, our 4.1 kHz still come back as 3.9.
static void beside_speexdsp(uint32_t in_hz, uint32_t out_hz)
{
	double low = lower_hz(in_hz, out_hz);

	for (double hz = 0.02 * low; hz < 0.499 * in_hz; hz += 0.0271 * low) {
		struct tone ours = tone_ours(hz, in_hz, out_hz), theirs = tone_theirs(hz, in_hz, out_hz);

		print_message("%5u to %5u Hz %6.0f Hz  kedge %7.2f dB, all else %7.1f  speexdsp %7.2f, %7.1f\n", in_hz,
			out_hz, hz, ours.gain_db, ours.other_db, theirs.gain_db, theirs.other_db);
		if (hz < 0.375 * low)
			assert_true(fabs(ours.gain_db - theirs.gain_db) < 0.02);
		if (hz <= PASS * low)
			assert_true(ours.gain_db > theirs.gain_db - 0.02);
		if (hz >= STOP * low)
			assert_true(total_db(ours) < -REJECTION_MIN_DB && total_db(theirs) < -REJECTION_MIN_DB);
	}
}

static void speexdsp_does_the_same(void **state)
{
	beside_speexdsp(8000, 16000);
	beside_speexdsp(16000, 8000);
	beside_speexdsp(8000, 48000);
	beside_speexdsp(48000, 8000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tones_in_the_band_stay_what_they_are),
		cmocka_unit_test(tones_beyond_it_vanish),
		cmocka_unit_test(speexdsp_does_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
