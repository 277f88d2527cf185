// SPDX-License-Identifier: BSD-3-Clause
// Mixing, gain and levels: what they mean, and that every kernel gives the same bits.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "level.h"
#include "mix.h"

#define PARTIES 9
#define N 160
#define LONGEST 200
#define GUARD 0x5aa5

static int16_t voices[PARTIES][N];
static const struct mix_kernel *kernels[MIX_KERNELS];
static size_t kernel_count;

static int noise(void **state)
{
	uint32_t seed = 7;

	for (int party = 0; party < PARTIES; party++)
		for (int i = 0; i < N; i++) {
			seed = seed * 1664525 + 1013904223;
			voices[party][i] = (int16_t)(seed >> 16);
		}
	kernel_count = mix_kernel_list(kernels);
	return 0;
}

static int64_t clipped(int64_t value)
{
	return value > 32767 ? 32767 : value < -32768 ? -32768 : value;
}

// Everybody hears all others, each as loud as it is, and a listener everybody.
static void each_hears_all_others(const struct mix_kernel *kernel, int parties)
{
	int32_t sum[N] = {0};
	int16_t out[N], all[N];

	for (int party = 0; party < parties; party++)
		kernel->add(sum, voices[party], N);
	kernel->minus(sum, NULL, all, N);
	for (int party = 0; party < parties; party++) {
		kernel->minus(sum, voices[party], out, N);
		for (int i = 0; i < N; i++) {
			int64_t others = 0;

			for (int other = 0; other < parties; other++)
				others += other == party ? 0 : voices[other][i];
			assert_int_equal(out[i], clipped(others));
			assert_int_equal(all[i], clipped(others + voices[party][i]));
		}
	}
}

static void mixes_without_oneself(void **state)
{
	for (size_t kernel = 0; kernel < kernel_count; kernel++)
		for (int parties = 1; parties <= PARTIES; parties++)
			each_hears_all_others(kernels[kernel], parties);
}

// Two that shout do not wrap, and what one of them loses to the ceiling comes back when it is taken away.
static void the_sum_is_saturated_only_on_its_way_out(void **state)
{
	static const int16_t loud[3][2] = {{32767, -32768}, {32767, -32768}, {-100, 100}};

	for (size_t kernel = 0; kernel < kernel_count; kernel++) {
		int32_t sum[2] = {0};
		int16_t out[2];

		for (int party = 0; party < 3; party++)
			kernels[kernel]->add(sum, loud[party], 2);
		kernels[kernel]->minus(sum, loud[2], out, 2);
		assert_true(out[0] == 32767 && out[1] == -32768);
		kernels[kernel]->minus(sum, loud[0], out, 2);
		assert_true(out[0] == 32667 && out[1] == -32668);
	}
}

// Lengths, misaligned, against C; in place; nothing beyond the end.
static void kernels_agree(const struct mix_kernel *kernel, size_t n)
{
	static int32_t sums[2][LONGEST + 1];
	static int16_t outs[2][LONGEST + 1];
	const int16_t *samples = (const int16_t *)voices + 1; // one after the other
	const struct mix_kernel *both[] = {&mix_c_kernel, kernel};

	for (int i = 0; i < 2; i++) {
		memset(sums[i], 0x11, sizeof(sums[i]));
		both[i]->add(sums[i], samples, n);
		both[i]->add(sums[i], samples + 400, n);
		memcpy(outs[i], samples, n * sizeof(int16_t));
		outs[i][n] = GUARD;
		both[i]->minus(sums[i], outs[i], outs[i], n);
		assert_int_equal(outs[i][n], GUARD);
	}
	assert_memory_equal(sums[0], sums[1], sizeof(sums[0]));
	assert_memory_equal(outs[0], outs[1], n * sizeof(int16_t));
	for (int gain = -3000; gain <= INT16_MAX; gain += 2999) {
		for (int i = 0; i < 2; i++) {
			memcpy(outs[i], samples, n * sizeof(int16_t));
			outs[i][n] = GUARD;
			both[i]->gain(outs[i], n, (int16_t)gain);
			assert_int_equal(outs[i][n], GUARD);
		}
		assert_memory_equal(outs[0], outs[1], n * sizeof(int16_t));
	}
	assert_int_equal(kernel->energy(samples, n), mix_c_kernel.energy(samples, n));
}

static void every_kernel_gives_the_same_bits_at_every_length(void **state)
{
	for (size_t kernel = 0; kernel < kernel_count; kernel++)
		for (size_t n = 0; n <= LONGEST; n++)
			kernels_agree(kernels[kernel], n);
}

static void gains_round_and_saturate(void **state)
{
	static const int16_t before[] = {0, 1, -1, 3, -3, 1000, -1000, 20000, -20000, 32767, -32768};
	enum { COUNT = sizeof(before) / sizeof(*before) };
	int gains[] = {0, 1, 1024, MIX_UNITY_Q11, 2 * MIX_UNITY_Q11, 32767, -MIX_UNITY_Q11};

	for (size_t kernel = 0; kernel < kernel_count; kernel++)
		for (size_t i = 0; i < sizeof(gains) / sizeof(*gains); i++) {
			int16_t samples[4 * COUNT];

			for (int j = 0; j < 4 * COUNT; j++)
				samples[j] = before[j % COUNT];
			kernels[kernel]->gain(samples, 4 * COUNT, (int16_t)gains[i]);
			for (int j = 0; j < 4 * COUNT; j++)
				assert_int_equal(samples[j],
					clipped((int64_t)floor(before[j % COUNT] * gains[i] / 2048.0 + 0.5)));
		}
}

static void decibels_become_gains(void **state)
{
	assert_int_equal(level_gain_q11(0), MIX_UNITY_Q11);
	assert_int_equal(level_gain_q11(-6.0206), MIX_UNITY_Q11 / 2);
	assert_int_equal(level_gain_q11(20), 20480);
	assert_int_equal(level_gain_q11(40), 32767);
	assert_int_equal(level_gain_q11(-200), 0);
}

static uint8_t rms(const int16_t *samples, size_t n)
{
	uint8_t level = level_rms(kernels[0]->energy(samples, n), n);

	for (size_t kernel = 1; kernel < kernel_count; kernel++)
		assert_int_equal(level_rms(kernels[kernel]->energy(samples, n), n), level);
	return level;
}

static void levels_are_those_of_rfc_6464(void **state)
{
	int16_t square[N], sine[N], dot[N] = {0};

	for (int i = 0; i < N; i++) {
		square[i] = i % 8 < 4 ? 32767 : -32767;
		sine[i] = (int16_t)lrint(32767 * sin(2 * M_PI * i / 16));
	}
	assert_int_equal(rms(dot, N), LEVEL_SILENCE);
	assert_int_equal(level_peak(dot, N), LEVEL_SILENCE);
	assert_int_equal(rms(dot, 0), LEVEL_SILENCE);
	assert_int_equal(level_peak(dot, 0), LEVEL_SILENCE);
	assert_int_equal(rms(square, N), 0);
	assert_int_equal(rms(sine, N), 3);
	assert_int_equal(level_peak(sine, N), 0);
	for (int i = 0; i < N; i++)
		sine[i] /= 100;
	assert_int_equal(rms(sine, N), 43);
	assert_int_equal(level_peak(sine, N), 40);
	dot[N / 2] = -1; // the softest that is not silence
	assert_int_equal(level_peak(dot, N), 90);
	assert_int_equal(rms(dot, N), 112);
	for (int i = 0; i < N; i++)
		square[i] = INT16_MIN; // a little more than full
	assert_int_equal(rms(square, N), 0);
	assert_int_equal(level_peak(square, N), 0);
	assert_int_equal(kernels[0]->energy(square, N), (uint64_t)N << 30);
}

static void the_fastest_is_chosen_and_c_is_always_there(void **state)
{
	assert_in_range(kernel_count, 1, MIX_KERNELS);
	assert_ptr_equal(mix_kernel_choose(), kernels[0]);
	assert_ptr_equal(kernels[kernel_count - 1], &mix_c_kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mixes_without_oneself),
		cmocka_unit_test(the_sum_is_saturated_only_on_its_way_out),
		cmocka_unit_test(every_kernel_gives_the_same_bits_at_every_length),
		cmocka_unit_test(gains_round_and_saturate),
		cmocka_unit_test(decibels_become_gains),
		cmocka_unit_test(levels_are_those_of_rfc_6464),
		cmocka_unit_test(the_fastest_is_chosen_and_c_is_always_there),
	};

	return cmocka_run_group_tests(tests, noise, NULL);
}
