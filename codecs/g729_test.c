// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec_rig.h"

enum { RATE = 8000 };

static int16_t in[2 * RATE], out[2 * RATE];

static const struct codec *g729(void)
{
	return codec_find("G729", RATE, 1);
}

static void payloads_are_frames_and_a_silence(void **state)
{
	static const struct {
		size_t bytes;
		int samples;
	} cases[] = {{0, -EBADMSG}, {1, -EBADMSG}, {2, 80}, {3, -EBADMSG}, {9, -EBADMSG}, {10, 80}, {11, -EBADMSG},
		{12, 160}, {20, 160}, {22, 240}, {24, -EBADMSG}, {60, 480}};
	const struct codec_options options = {.rate_hz = RATE};
	uint8_t payload[60] = {0};
	struct rig_ends ends;

	assert_ptr_equal(codec_find_static(18), g729());
	rig_ends_init(&ends, g729(), &options, RATE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(g729()->duration(payload, cases[i].bytes), cases[i].samples);
		assert_int_equal(g729()->decode(ends.decoder, payload, cases[i].bytes, out, 480), cases[i].samples);
	}
	assert_int_equal(g729()->decode(ends.decoder, payload, 22, out, 239), -ENOSPC);
	assert_int_equal(g729()->encode(ends.encoder, in, 100, payload, 60), -EINVAL);
	assert_int_equal(g729()->encode(ends.encoder, in, 160, payload, 19), -ENOSPC);
	assert_int_equal(g729()->conceal(ends.decoder, out, 100), -EINVAL);
	assert_int_equal(g729()->conceal(ends.decoder, out, 160), 160);
	rig_ends_fini(&ends);
}

// Speech, then low noise, then speech: with dtx the noise is hardly sent, and a decoder that conceals what was not sent
// makes noise as loud.
static void silence_is_described(void **state)
{
	const struct codec_options options = {.rate_hz = RATE, .dtx = true};
	unsigned sent = 0, described = 0, random = 1;
	double noise_db, made_db;
	struct rig_ends ends;

	rig_voice(in, RATE, RATE);
	for (uint32_t n = RATE; n < 2 * RATE; n++) {
		random = random * 1664525 + 1013904223;
		in[n] = (int16_t)((int)(random >> 24) - 128);
	}
	rig_ends_init(&ends, g729(), &options, RATE);
	for (uint32_t at = 0; at < 2 * RATE; at += 160) {
		uint8_t payload[20];
		int bytes = g729()->encode(ends.encoder, in + at, 160, payload, sizeof(payload));

		assert_true(bytes == 0 || bytes == 2 || bytes == 10 || bytes == 12 || bytes == 20);
		sent += at >= RATE && bytes >= 10;
		described += at >= RATE && bytes == 2;
		if (bytes == 0 || g729()->decode(ends.decoder, payload, (size_t)bytes, out + at, 160) != 160)
			assert_int_equal(g729()->conceal(ends.decoder, out + at, 160), 160);
	}
	rig_ends_fini(&ends);
	assert_in_range(sent, 0, 25); // of 50: Annex B takes its time to believe it
	assert_in_range(described, 1, 20);
	noise_db = rig_level_db(in + RATE + RATE / 2, RATE / 2);
	made_db = rig_level_db(out + RATE + RATE / 2, RATE / 2);
	assert_true(fabs(noise_db - made_db) < 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(payloads_are_frames_and_a_silence),
		cmocka_unit_test(silence_is_described),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
