// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec_rig.h"
#include "cn.h"

enum { SECOND = 48000 };

static int16_t in[SECOND], out[SECOND];

// Noise through one pole: low for a positive one, high for a negative.
static void make_noise(int16_t *to, uint32_t count, double pole, double rms)
{
	uint32_t random = 12345;
	double last = 0;

	for (uint32_t n = 0; n < count; n++) {
		random = random * 1664525 + 1013904223;
		last = pole * last + ((double)random / 4294967296.0 - 0.5) * sqrt(12) * sqrt(1 - pole * pole);
		to[n] = (int16_t)lrint(fmax(-32768, fmin(32767, last * rms)));
	}
}

static double level_dbov(const int16_t *samples, uint32_t count)
{
	return rig_level_db(samples, count) - 20 * log10(32767);
}

// Energy above half of the band less the one below, in dB, by the two shortest filters there are.
static double tilt_db(const int16_t *samples, uint32_t count)
{
	double high = 0, low = 0;

	for (uint32_t n = 1; n < count; n++) {
		high += pow(samples[n] - samples[n - 1], 2);
		low += pow(samples[n] + samples[n - 1], 2);
	}
	return 10 * log10((high + 1e-9) / (low + 1e-9));
}

static void a_noise_is_described(void **state)
{
	struct cn_noise noise;

	make_noise(in, 8000, 0.8, 100);
	assert_int_equal(cn_noise_analyse(&noise, in, 8000, CN_ORDER), 0);
	assert_true(fabs(noise.level + level_dbov(in, 8000)) <= 0.5);
	assert_in_range(noise.level, 50, 51);                // 20 log 100 / 32767 is -50.3
	assert_true(fabs(noise.reflection[0] + 0.8) < 0.05); // low noise: A(z) = 1 - 0.8 / z
	for (unsigned i = 1; i < CN_ORDER; i++)
		assert_true(fabs(noise.reflection[i]) < 0.1);
	make_noise(in, 8000, -0.5, 1000);
	assert_int_equal(cn_noise_analyse(&noise, in, 8000, 4), 0);
	assert_in_range(noise.level, 30, 31);
	assert_int_equal(noise.order, 4);
	assert_true(fabs(noise.reflection[0] - 0.5) < 0.05);
}

static void the_ends_of_the_scale(void **state)
{
	struct cn_noise noise;

	memset(in, 0, sizeof(in));
	assert_int_equal(cn_noise_analyse(&noise, in, 160, CN_ORDER), 0);
	assert_int_equal(noise.level, CN_LEVEL_LEAST);
	for (unsigned i = 0; i < CN_ORDER; i++)
		assert_true(noise.reflection[i] == 0);
	for (unsigned n = 0; n < 160; n++)
		in[n] = n / 8 % 2 ? 32767 : -32767; // a square wave at full scale is 0 dBov
	assert_int_equal(cn_noise_analyse(&noise, in, 160, CN_ORDER), 0);
	assert_int_equal(noise.level, 0);
	for (unsigned n = 0; n < 160; n++)
		in[n] = 20000; // all the same: the floor keeps it finite
	assert_int_equal(cn_noise_analyse(&noise, in, 160, CN_ORDER), 0);
	for (unsigned i = 0; i < CN_ORDER; i++)
		assert_true(fabsf(noise.reflection[i]) < 1);
	assert_int_equal(cn_noise_analyse(&noise, in, 0, 0), -EINVAL);
	assert_int_equal(cn_noise_analyse(&noise, in, 19, CN_ORDER), -EINVAL);
	assert_int_equal(cn_noise_analyse(&noise, in, 160, CN_ORDER + 1), -EINVAL);
}

static void payloads_are_read_and_written(void **state)
{
	uint8_t payload[64] = {0x80 | 42, 0, 127, 254, 255, 128}, built[CN_PAYLOAD_BYTES];
	struct cn_noise noise;

	assert_int_equal(cn_noise_parse(&noise, payload, 0), -EBADMSG);
	assert_int_equal(cn_noise_parse(&noise, payload, 1), 0);
	assert_int_equal(noise.level, 42);
	assert_int_equal(noise.order, 0);
	assert_int_equal(cn_noise_build(&noise, built, sizeof(built)), 1);
	assert_int_equal(cn_noise_parse(&noise, payload, 6), 0);
	assert_int_equal(noise.order, 5);
	assert_true(noise.reflection[0] > -1 && noise.reflection[0] < -0.9998f);
	assert_true(noise.reflection[1] == 0 && noise.reflection[2] < 1 && noise.reflection[3] < 1);
	assert_true(fabsf(noise.reflection[4] - 258.0f / 32768) < 1e-6f);
	assert_int_equal(cn_noise_build(&noise, built, 5), -ENOSPC);
	assert_int_equal(cn_noise_build(&noise, built, 6), 6);
	assert_memory_equal(built, ((uint8_t[]){42, 0, 127, 254, 254, 128}), 6);
	assert_int_equal(cn_noise_parse(&noise, payload, sizeof(payload)), 0);
	assert_int_equal(noise.order, CN_ORDER);
	for (unsigned code = 0; code < 255; code++) { // each code comes back
		cn_noise_parse(&noise, (uint8_t[]){1, (uint8_t)code}, 2);
		cn_noise_build(&noise, built, 2);
		assert_int_equal(built[1], code);
	}
}

// What was described is made again: as loud within 1 dB, of the same colour; at its own rate and above.
static void noise_is_made_as_described(void **state)
{
	static const struct {
		double pole, rms;
	} cases[] = {{0, 30}, {0, 3000}, {0.9, 200}, {-0.7, 200}, {0.5, 20}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		for (uint32_t rate = 8000; rate <= 48000; rate += 8000) {
			uint8_t payload[CN_PAYLOAD_BYTES];
			struct cn_source source;
			struct cn_noise noise;

			make_noise(in, 8000, cases[i].pole, cases[i].rms);
			cn_noise_analyse(&noise, in, 8000, CN_ORDER);
			assert_int_equal(cn_noise_build(&noise, payload, sizeof(payload)), CN_PAYLOAD_BYTES);
			cn_noise_parse(&noise, payload, sizeof(payload));
			assert_int_equal(cn_source_init(&source, 8000, rate, 1), 0);
			cn_source_aim(&source, &noise);
			cn_source_fill(&source, out, rate);
			if (fabs(level_dbov(out, rate) - level_dbov(in, 8000)) > 1)
				fail_msg("pole %.1f at %u Hz: %.2f dB became %.2f", cases[i].pole, rate,
					level_dbov(in, 8000), level_dbov(out, rate));
			if (rate == 8000)
				assert_true(fabs(tilt_db(out, rate) - tilt_db(in, 8000)) < 1);
			else // nothing above the payload's own band
				assert_true(tilt_db(out, rate) < tilt_db(in, 8000));
		}
}

static void the_same_seed_gives_the_same_noise(void **state)
{
	const struct cn_noise noise = {.level = 40, .order = 1, .reflection = {-0.5f}};
	struct cn_source source;

	for (unsigned i = 0; i < 3; i++) {
		cn_source_init(&source, 8000, 16000, i == 2 ? 8 : 7);
		cn_source_aim(&source, &noise);
		for (unsigned at = 0; at < 960; at += i == 1 ? 3 : 320) // however it is cut
			cn_source_fill(&source, (i ? out : in) + at, i == 1 ? 3 : 320);
		if (i == 1)
			assert_memory_equal(in, out, 960 * sizeof(*in));
	}
	assert_memory_not_equal(in, out, 960 * sizeof(*in));
}

static void a_new_level_comes_smoothly(void **state)
{
	const struct cn_noise loud = {.level = 30}, soft = {.level = 60}, none = {.level = CN_LEVEL_LEAST};
	struct cn_source source;

	assert_int_equal(cn_source_init(&source, 8000, 8000, 3), 0);
	cn_source_fill(&source, out, 160); // nothing was aimed at
	assert_true(rig_level_db(out, 160) < -80);
	cn_source_aim(&source, &loud);
	cn_source_fill(&source, out, 160);
	assert_true(fabs(level_dbov(out, 160) + 30) < 2); // the first at once
	cn_source_aim(&source, &soft);
	cn_source_fill(&source, out, 40);
	assert_true(level_dbov(out, 40) > -40);
	cn_source_fill(&source, out, 800);
	assert_true(fabs(level_dbov(out + 400, 400) + 60) < 2);
	cn_source_aim(&source, &none);
	cn_source_fill(&source, out, 1600);
	assert_true(rig_level_db(out + 800, 800) < -80);
}

// The worst that a payload can say stays within the scale, and ends when something else is said.
static void any_payload_makes_finite_noise(void **state)
{
	const struct cn_noise quiet = {.level = 60};
	struct cn_source source;

	for (unsigned i = 0; i < 256; i++) {
		uint8_t payload[CN_PAYLOAD_BYTES];
		struct cn_noise noise;

		payload[0] = (uint8_t)(i & 7);
		for (unsigned k = 1; k < sizeof(payload); k++)
			payload[k] = (i >> (k % 8) & 1) ? 255 : 0;
		cn_noise_parse(&noise, payload, sizeof(payload));
		cn_source_init(&source, 8000, 8000, i);
		cn_source_aim(&source, &noise);
		cn_source_fill(&source, out, 1600);
		cn_source_aim(&source, &quiet);
		cn_source_fill(&source, out, 8000);
		assert_true(fabs(level_dbov(out + 4000, 4000) + 60) < 1);
	}
	assert_int_equal(cn_source_init(&source, 0, 8000, 1), -EINVAL);
	assert_int_equal(cn_source_init(&source, 16000, 8000, 1), -EINVAL);
	assert_int_equal(cn_source_init(&source, 8000, 0, 1), -EINVAL);
	assert_int_equal(cn_source_init(&source, 8000, 56000, 1), -EINVAL);
	assert_int_equal(cn_source_init(&source, 8000, 12000, 1), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_noise_is_described),
		cmocka_unit_test(the_ends_of_the_scale),
		cmocka_unit_test(payloads_are_read_and_written),
		cmocka_unit_test(noise_is_made_as_described),
		cmocka_unit_test(the_same_seed_gives_the_same_noise),
		cmocka_unit_test(a_new_level_comes_smoothly),
		cmocka_unit_test(any_payload_makes_finite_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
