// SPDX-License-Identifier: BSD-3-Clause
// The 8 kHz mode of G.722 against a peer that works at 16 kHz, both ways.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <spandsp/telephony.h>
#include <spandsp/g722.h>

#include "codec_rig.h"

enum { SECOND = 16000 };

// A tone's level in dB through an encoder at one rate and a decoder at another, where it is heard, less what it was
// before; the part
// without the settling. `rest_db`: what else comes out (quantising noise, images), below the tone.
static double tone_gain_db(uint32_t encode_hz, uint32_t decode_hz, double hz, double heard_hz, double *rest_db)
{
	static int16_t in[SECOND], out[2 * SECOND];
	const struct codec_options options = {.rate_hz = encode_hz};
	double re = 0, im = 0, all = 0, tone;
	uint32_t first = decode_hz / 2, count;
	struct rig_ends ends;

	rig_tone(in, encode_hz, encode_hz, hz, 8000);
	rig_ends_init(&ends, codec_find("G722", 8000, 1), &options, decode_hz);
	count = rig_pass(&ends, in, encode_hz, encode_hz / 50, out, sizeof(out) / sizeof(*out));
	assert_int_equal(count, decode_hz);
	rig_ends_fini(&ends);
	for (uint32_t n = first; n < count; n++) { // half a second: whole periods
		re += out[n] * cos(2 * M_PI * heard_hz * n / decode_hz);
		im += out[n] * sin(2 * M_PI * heard_hz * n / decode_hz);
		all += (double)out[n] * out[n];
	}
	count -= first;
	tone = 2 * (re * re + im * im) / count / count; // power of the tone's part
	*rest_db = 10 * log10((all / count - tone) / tone);
	return 10 * log10(tone / (8000.0 * 8000 / 2));
}

static void check_tones(uint32_t encode_hz, uint32_t decode_hz)
{
	for (double hz = 200; hz <= 3400; hz += 100) {
		double rest_db, gain_db = tone_gain_db(encode_hz, decode_hz, hz, hz, &rest_db);

		// What the filter at the far end leaves of the mirror image at 8 kHz - hz, when there was none before.
		double limit_db = encode_hz == 8000 && decode_hz == 16000 ? hz < 2800 ? -30 : -10 : -34;

		if (fabs(gain_db) > 0.5 || rest_db > limit_db)
			fail_msg("%.0f Hz from %u to %u: gain %.2f dB, rest %.1f dB", hz, encode_hz, decode_hz, gain_db,
				rest_db);
	}
}

static void wideband_to_wideband(void **state)
{
	check_tones(16000, 16000);
}

static void narrowband_to_wideband(void **state)
{
	check_tones(8000, 16000);
}

static void wideband_to_narrowband(void **state)
{
	check_tones(16000, 8000);
}

// What the peer sends above 4 kHz is not cut off but folded down, by as much less as its filter leaves.
static void high_tones_fold_down(void **state)
{
	static const double cases[][2] = {
		{4600, -9}, {5000, -19}, {5200, -26}, {5600, -40}, {7000, -40}}; // Hz, dB at most

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		double rest_db, gain_db = tone_gain_db(16000, 8000, cases[i][0], 8000 - cases[i][0], &rest_db);

		if (gain_db > cases[i][1])
			fail_msg("%.0f Hz: %.1f dB", cases[i][0], gain_db);
	}
}

static void narrowband_to_narrowband(void **state)
{
	check_tones(8000, 8000);
}

// Our synthesis filter gives spandsp's bits where nothing has to be clipped, however the payloads are cut.
static void the_filter_is_spandsps(void **state)
{
	static int16_t in[SECOND], ours[SECOND], theirs[SECOND];
	static uint8_t payload[SECOND / 2];
	const struct codec *g722 = codec_find("G722", 8000, 1);
	const struct codec_options options = {.rate_hz = SECOND};
	g722_decode_state_t *oracle = g722_decode_init(NULL, 64000, 0);
	struct rig_ends ends;

	rig_voice(in, SECOND, SECOND);
	rig_ends_init(&ends, g722, &options, SECOND);
	assert_int_equal(g722->encode(ends.encoder, in, SECOND, payload, sizeof(payload)), SECOND / 2);
	for (uint32_t at = 0, bytes = 1; at < SECOND / 2; at += bytes, bytes = bytes * 7 % 997) {
		if (bytes > SECOND / 2 - at)
			bytes = SECOND / 2 - at;
		assert_int_equal(g722->decode(ends.decoder, payload + at, bytes, ours + 2 * at, 2 * bytes), 2 * bytes);
	}
	g722_decode(oracle, theirs, payload, SECOND / 2);
	assert_memory_equal(ours, theirs, sizeof(ours));
	g722_decode_free(oracle);
	rig_ends_fini(&ends);
}

// Full scale neither wraps around nor comes back as something else.
static void loud_tones_do_not_wrap(void **state)
{
	static int16_t in[SECOND], out[SECOND];

	for (unsigned i = 0; i < 2; i++) {
		const struct codec_options options = {.rate_hz = i ? 8000 : 16000};
		uint32_t rate = options.rate_hz, wraps = 0;
		struct rig_ends ends;

		rig_tone(in, rate, rate, 500, 32767);
		rig_ends_init(&ends, codec_find("G722", 8000, 1), &options, rate);
		assert_int_equal(rig_pass(&ends, in, rate, rate / 50, out, SECOND), rate);
		rig_ends_fini(&ends);
		for (uint32_t n = rate / 10 + 1; n < rate; n++)
			wraps += abs(out[n] - out[n - 1]) > 20000; // the tone itself steps by 12,700 at most
		assert_int_equal(wraps, 0);
	}
}

static void half_a_byte_is_refused(void **state)
{
	const struct codec *g722 = codec_find("G722", 8000, 1);
	const struct codec_options options = {.rate_hz = 16000};
	struct rig_ends ends;
	uint8_t payload[8];

	rig_ends_init(&ends, g722, &options, 16000);
	assert_int_equal(g722->encode(ends.encoder, (int16_t[3]){0}, 3, payload, sizeof(payload)), -EINVAL);
	rig_ends_fini(&ends);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wideband_to_wideband),
		cmocka_unit_test(narrowband_to_wideband),
		cmocka_unit_test(wideband_to_narrowband),
		cmocka_unit_test(narrowband_to_narrowband),
		cmocka_unit_test(high_tones_fold_down),
		cmocka_unit_test(the_filter_is_spandsps),
		cmocka_unit_test(loud_tones_do_not_wrap),
		cmocka_unit_test(half_a_byte_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
