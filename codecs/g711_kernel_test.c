// SPDX-License-Identifier: BSD-3-Clause
// Every kernel against G.711 written down once more, sample by sample as ITU-T G.191 says it, over every sample and
// code.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "g711_kernel.h"

#define SAMPLES 65536
#define LONGEST 300
#define GUARD 0xa5

static uint8_t ulaw_encode(int16_t sample)
{
	int magnitude = ((sample < 0 ? ~sample : sample) >> 2) + 33;
	int segment = 1, code;

	if (magnitude > 0x1fff)
		magnitude = 0x1fff;
	for (int i = magnitude >> 6; i != 0; i >>= 1)
		segment++;
	code = (8 - segment) << 4 | (15 - (magnitude >> segment & 15));
	return (uint8_t)(sample >= 0 ? code | 0x80 : code);
}

static int16_t ulaw_decode(uint8_t code)
{
	int exponent = ~code >> 4 & 7, mantissa = ~code & 15;
	int step = 8 << exponent, magnitude = (0x80 << exponent) + step * mantissa + step / 2 - 4 * 33;

	return (int16_t)(code < 0x80 ? -magnitude : magnitude);
}

static uint8_t alaw_encode(int16_t sample)
{
	int code = (sample < 0 ? ~sample : sample) >> 4;

	if (code > 15) {
		int exponent = 1;

		for (; code > 31; code >>= 1)
			exponent++;
		code = code - 16 + (exponent << 4);
	}
	if (sample >= 0)
		code |= 0x80;
	return (uint8_t)(code ^ 0x55);
}

static int16_t alaw_decode(uint8_t code)
{
	int number = code ^ 0x55, exponent = number >> 4 & 7, magnitude = number & 15;

	if (exponent > 0)
		magnitude += 16;
	magnitude = (magnitude << 4) + 8;
	if (exponent > 1)
		magnitude <<= exponent - 1;
	return (int16_t)(code > 127 ? magnitude : -magnitude);
}

// Tables 3 and 4 of G.711 as runs: from `from` on, `to` grows by one for every `every` steps, or by two for every one.
struct run {
	int from, to, every;
};

static int run_find(const struct run *runs, int number)
{
	const struct run *run = runs;

	while (run[1].from >= 0 && run[1].from <= number)
		run++;
	return run->every == 0 ? run->to + 2 * (number - run->from) : run->to + (number - run->from) / run->every;
}

static uint8_t ulaw_to_alaw(uint8_t code)
{
	static const struct run runs[] = {{0, 1, 2}, {16, 9, 1}, {33, 27, 0}, {37, 34, 1}, {48, 46, 0}, {50, 49, 1},
		{64, 64, 1}, {81, 82, 1}, {-1}};
	int number = run_find(runs, ~code & 127) - 1;

	return (uint8_t)((number | (code & 128)) ^ 0x55);
}

static uint8_t alaw_to_ulaw(uint8_t code)
{
	static const struct run runs[] = {{0, 1, 0}, {8, 16, 1}, {24, 32, 2}, {32, 36, 1}, {44, 48, 2}, {48, 50, 1},
		{62, 64, 2}, {64, 65, 1}, {80, 80, 1}, {-1}};
	int number = run_find(runs, (code ^ 0x55) & 127);

	return (uint8_t)(127 - number + (code & 128));
}

static struct {
	int16_t samples[SAMPLES];
	uint8_t codes[SAMPLES];
	uint8_t ulaw[SAMPLES], alaw[SAMPLES];                 // of samples
	int16_t ulaw_samples[SAMPLES], alaw_samples[SAMPLES]; // of codes
	uint8_t ulaw_alaw[SAMPLES], alaw_ulaw[SAMPLES];       // of codes
} want;
static const struct g711_kernel *kernels[G711_KERNELS];
static size_t kernel_count;

// Every sample once, every code often, both in an order in which neighbours differ.
static int reference(void **state)
{
	for (uint32_t i = 0; i < SAMPLES; i++) {
		want.samples[i] = (int16_t)(uint16_t)(i * 40503u);
		want.codes[i] = (uint8_t)(i * 151u + (i >> 8));
		want.ulaw[i] = ulaw_encode(want.samples[i]);
		want.alaw[i] = alaw_encode(want.samples[i]);
		want.ulaw_samples[i] = ulaw_decode(want.codes[i]);
		want.alaw_samples[i] = alaw_decode(want.codes[i]);
		want.ulaw_alaw[i] = ulaw_to_alaw(want.codes[i]);
		want.alaw_ulaw[i] = alaw_to_ulaw(want.codes[i]);
	}
	kernel_count = g711_kernel_list(kernels);
	return 0;
}

// n of them, into memory of its own of just that size, at an odd distance from where memory is aligned.
static void encodes(void (*encode)(const int16_t *, uint8_t *, size_t), const uint8_t *expected, size_t from, size_t n)
{
	uint8_t *memory = malloc(2 * n + n + 3), *out = memory + 2 * n + 2;

	assert_non_null(memory);
	memcpy(memory, want.samples + from, 2 * n);
	out[-1] = out[n] = GUARD;
	encode((const int16_t *)(const void *)memory, out, n);
	assert_memory_equal(out, expected + from, n);
	assert_true(out[-1] == GUARD && out[n] == GUARD);
	free(memory);
}

static void decodes(void (*decode)(const uint8_t *, int16_t *, size_t), const int16_t *expected, size_t from, size_t n)
{
	int16_t *out = malloc(2 * n + 4);
	uint8_t *in = malloc(n + 1);

	assert_true(out && in);
	memcpy(in + 1, want.codes + from, n);
	out[0] = out[n + 1] = GUARD;
	decode(in + 1, out + 1, n);
	assert_memory_equal(out + 1, expected + from, 2 * n);
	assert_true(out[0] == GUARD && out[n + 1] == GUARD);
	free(in);
	free(out);
}

static void maps(void (*map)(const uint8_t *, uint8_t *, size_t), const uint8_t *expected, size_t from, size_t n)
{
	uint8_t *out = malloc(n + 2);

	assert_non_null(out);
	out[0] = out[n + 1] = GUARD;
	map(want.codes + from, out + 1, n);
	assert_memory_equal(out + 1, expected + from, n);
	memcpy(out + 1, want.codes + from, n);
	map(out + 1, out + 1, n);
	assert_memory_equal(out + 1, expected + from, n);
	assert_true(out[0] == GUARD && out[n + 1] == GUARD);
	free(out);
}

static void all_six(const struct g711_kernel *kernel, size_t from, size_t n)
{
	encodes(kernel->ulaw_encode, want.ulaw, from, n);
	encodes(kernel->alaw_encode, want.alaw, from, n);
	decodes(kernel->ulaw_decode, want.ulaw_samples, from, n);
	decodes(kernel->alaw_decode, want.alaw_samples, from, n);
	maps(kernel->ulaw_to_alaw, want.ulaw_alaw, from, n);
	maps(kernel->alaw_to_ulaw, want.alaw_ulaw, from, n);
}

static void every_sample_and_code(void **state)
{
	for (size_t i = 0; i < kernel_count; i++) {
		print_message("%s\n", kernels[i]->name);
		all_six(kernels[i], 0, SAMPLES);
	}
}

static void every_length_and_nothing_beyond_it(void **state)
{
	for (size_t i = 0; i < kernel_count; i++)
		for (size_t n = 0; n <= LONGEST; n++)
			all_six(kernels[i], n * 131 % 4096, n);
}

static void the_fastest_is_chosen_and_the_table_is_always_there(void **state)
{
	assert_in_range(kernel_count, 1, G711_KERNELS);
	assert_ptr_equal(g711_kernel_choose(), kernels[0]);
	assert_ptr_equal(kernels[kernel_count - 1], &g711_table_kernel);
}

// What G.711 says of its tables 3 and 4: 240 of 256 codes survive the way to the other law and back, the sign always.
static void there_and_back(void **state)
{
	int ulaw = 0, alaw = 0;

	for (int i = 0; i < 256; i++) {
		uint8_t code = (uint8_t)i, other, back;

		g711_table_kernel.ulaw_to_alaw(&code, &other, 1);
		g711_table_kernel.alaw_to_ulaw(&other, &back, 1);
		assert_int_equal((code ^ back) & 0x80, 0);
		ulaw += code == back;
		g711_table_kernel.alaw_to_ulaw(&code, &other, 1);
		g711_table_kernel.ulaw_to_alaw(&other, &back, 1);
		assert_int_equal((code ^ back) & 0x80, 0);
		alaw += code == back;
	}
	assert_int_equal(ulaw, 240);
	assert_int_equal(alaw, 240);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_sample_and_code),
		cmocka_unit_test(every_length_and_nothing_beyond_it),
		cmocka_unit_test(the_fastest_is_chosen_and_the_table_is_always_there),
		cmocka_unit_test(there_and_back),
	};

	return cmocka_run_group_tests(tests, reference, NULL);
}
