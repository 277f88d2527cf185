// SPDX-License-Identifier: BSD-3-Clause
// G.711 against the standard as one would read it aloud: all 65,536 samples, all 256 codes, all lengths and alignments.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "g711_kernel.h"

enum { SAMPLES = 65536, CODES = 256 };

// Straight from the tables of G.711: decision values and outputs of each segment, found by searching.
static int ulaw_output(unsigned code) // 14 bits
{
	unsigned segment = (~code & 0x70) >> 4, step = ~code & 15;
	int value = (33 << segment) - 33 + (int)(step << (segment + 1));

	return code & 0x80 ? value : -value;
}

static int alaw_output(unsigned code) // 13 bits, so that half steps are whole
{
	unsigned plain = code ^ 0x55, segment = plain >> 4 & 7, step = plain & 15;
	int value = segment == 0 ? (int)(2 * step + 1) : (int)((2 * step + 33) << (segment - 1));

	return plain & 0x80 ? value : -value;
}

// The last code whose interval begins at or below the magnitude: half a step of its segment before its output.
static uint8_t ulaw_search(int sample)
{
	int magnitude = (sample < 0 ? -1 - sample : sample) >> 2;
	uint8_t best = 0xff;

	for (unsigned step = 1; step < 128; step++) { // codes 0xfe down to 0x80, outputs rising
		if (magnitude >= ulaw_output(0xff - step) - (1 << (step >> 4)))
			best = (uint8_t)(0xff - step);
	}
	return sample < 0 ? best & 0x7f : best;
}

static uint8_t alaw_search(int sample)
{
	int magnitude = (sample < 0 ? -1 - sample : sample) >> 4;
	uint8_t best = 0x80;

	for (unsigned plain = 0x81; plain < 0x100; plain++) {
		unsigned segment = plain >> 4 & 7;
		int half_step = segment < 2 ? 1 : 1 << (segment - 1);

		if (2 * magnitude >= alaw_output(plain ^ 0x55) - half_step)
			best = (uint8_t)plain;
	}
	return (uint8_t)((sample < 0 ? best & 0x7f : best) ^ 0x55);
}

static int16_t all_samples[SAMPLES];
static uint8_t all_codes[CODES], ulaw_codes[SAMPLES], alaw_codes[SAMPLES];

static int set_up(void **state)
{
	for (int i = 0; i < SAMPLES; i++) {
		all_samples[i] = (int16_t)(i - 32768);
		ulaw_codes[i] = ulaw_search(i - 32768);
		alaw_codes[i] = alaw_search(i - 32768);
	}
	for (int i = 0; i < CODES; i++)
		all_codes[i] = (uint8_t)i;
	return 0;
}

static void check_kernel(const struct g711_kernel *kernel)
{
	static uint8_t codes[SAMPLES];
	int16_t samples[CODES];

	kernel->ulaw_encode(all_samples, codes, SAMPLES);
	assert_memory_equal(codes, ulaw_codes, SAMPLES);
	kernel->alaw_encode(all_samples, codes, SAMPLES);
	assert_memory_equal(codes, alaw_codes, SAMPLES);
	kernel->ulaw_decode(all_codes, samples, CODES);
	for (unsigned i = 0; i < CODES; i++)
		assert_int_equal(samples[i], ulaw_output(i) * 4);
	kernel->alaw_decode(all_codes, samples, CODES);
	for (unsigned i = 0; i < CODES; i++)
		assert_int_equal(samples[i], alaw_output(i) * 8);
}

static void the_portable_kernel_is_the_standard(void **state)
{
	check_kernel(&g711_table_kernel);
}

static void the_chosen_kernel_is_the_standard(void **state)
{
	check_kernel(g711_kernel_choose());
}

// Blocks of 0 to 200 anywhere: nothing is read or written beyond them.
static void any_length_at_any_place(void **state)
{
	const struct g711_kernel *kernel = g711_kernel_choose();

	for (size_t n = 0; n <= 200; n++) {
		size_t at = n % 7;
		int16_t *in = malloc((n + at) * sizeof(*in) + 1), *back = malloc((n + at) * sizeof(*back) + 1);
		uint8_t *codes = malloc(n + at + 1);

		for (size_t i = 0; i < n; i++)
			in[at + i] = (int16_t)(i * 331 - 30000);
		codes[n + at] = 0xa7;
		kernel->ulaw_encode(in + at, codes + at, n);
		kernel->ulaw_decode(codes + at, back + at, n);
		for (size_t i = at; i < n + at; i++) {
			assert_int_equal(codes[i], ulaw_codes[in[i] + 32768]);
			assert_int_equal(back[i], ulaw_output(codes[i]) * 4);
		}
		kernel->alaw_encode(in + at, codes + at, n);
		kernel->alaw_decode(codes + at, back + at, n);
		for (size_t i = at; i < n + at; i++) {
			assert_int_equal(codes[i], alaw_codes[in[i] + 32768]);
			assert_int_equal(back[i], alaw_output(codes[i]) * 8);
		}
		assert_int_equal(codes[n + at], 0xa7);
		free(in);
		free(back);
		free(codes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_portable_kernel_is_the_standard),
		cmocka_unit_test(the_chosen_kernel_is_the_standard),
		cmocka_unit_test(any_length_at_any_place),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
