// SPDX-License-Identifier: BSD-3-Clause
// Resampling as a stream: the same bits by every kernel and in any chunks, never a sample too many, no overflow.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "resample.h"
#include "resample_kernel.h"

#define IN 12000
#define OUT (6 * IN + 8)
#define GUARD 0x5aa5

static const uint32_t rates_hz[] = {8000, 12000, 16000, 24000, 32000, 44100, 48000};
#define RATES (sizeof(rates_hz) / sizeof(*rates_hz))

static int16_t in[IN], whole[OUT], parts[OUT];
static const struct resample_kernel *kernels[RESAMPLE_KERNELS];
static size_t kernel_count;
static uint32_t seed;

static uint32_t next_random(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

static int noise(void **state)
{
	seed = 1;
	for (int i = 0; i < IN; i++)
		in[i] = (int16_t)(next_random() & 0xffff);
	kernel_count = resample_kernel_list(kernels);
	return 0;
}

// What n samples make of a stream that began with none.
static uint64_t completed(uint64_t n, uint32_t in_hz, uint32_t out_hz)
{
	return (n * out_hz + in_hz - 1) / in_hz;
}

// Call `check` for every pair of rates.
static void every_pair(void (*check)(uint32_t in_hz, uint32_t out_hz))
{
	for (size_t i = 0; i < RATES; i++)
		for (size_t j = 0; j < RATES; j++)
			check(rates_hz[i], rates_hz[j]);
}

static void start(struct resample *resample, uint32_t in_hz, uint32_t out_hz, const struct resample_kernel *kernel)
{
	assert_int_equal(resample_init(resample, in_hz, out_hz), 0);
	if (kernel != NULL)
		resample->kernel = kernel;
}

// The whole of `in`, by the C kernel, into `whole`.
static int by_c(uint32_t in_hz, uint32_t out_hz)
{
	struct resample resample;
	int written;

	start(&resample, in_hz, out_hz, &resample_c_kernel);
	written = resample_process(&resample, in, IN, whole, OUT);
	assert_int_equal(written, completed(IN, in_hz, out_hz));
	return written;
}

// Chunks of 0 to `most` samples make `parts` of `in`, each into just the room it needs.
static void in_chunks(struct resample *resample, uint32_t most, uint32_t in_hz, uint32_t out_hz)
{
	uint32_t taken = 0, written = 0;

	while (taken < IN) {
		uint32_t n = next_random() % (most + 1), room;

		n = n < IN - taken ? n : IN - taken;
		room = (uint32_t)resample_out_samples(resample, n);
		parts[written + room] = GUARD;
		if (room > 0)
			assert_int_equal(resample_process(resample, in + taken, n, parts + written, room - 1), -ENOSPC);
		assert_int_equal(resample_process(resample, in + taken, n, parts + written, room), room);
		taken += n;
		written += room;
		assert_int_equal(written, completed(taken, in_hz, out_hz));
		assert_int_equal(parts[written], GUARD);
	}
}

static void chunks_change_nothing(uint32_t in_hz, uint32_t out_hz)
{
	static const uint32_t most[] = {1, 7, 160, 481, 5000};
	int written = by_c(in_hz, out_hz);
	struct resample resample;

	for (size_t kernel = 0; kernel < kernel_count; kernel++)
		for (size_t i = 0; i < sizeof(most) / sizeof(*most); i++) {
			start(&resample, in_hz, out_hz, kernels[kernel]);
			in_chunks(&resample, most[i], in_hz, out_hz);
			assert_memory_equal(parts, whole, (size_t)written * sizeof(*whole));
		}
}

static void any_chunks_and_any_kernel_give_the_same_bits(void **state)
{
	every_pair(chunks_change_nothing);
}

static void frames_are_whole(uint32_t in_hz, uint32_t out_hz)
{
	struct resample resample;

	start(&resample, in_hz, out_hz, NULL);
	for (uint32_t i = 0; i < 20; i++) // 10 ms
		assert_int_equal(resample_process(&resample, in, in_hz / 100, parts, out_hz / 100), out_hz / 100);
}

static void a_frame_in_is_a_frame_out(void **state)
{
	every_pair(frames_are_whole);
}

// The loudest signals that there are, made to measure: each tap's sign, at full scale. Sums are 64 bits wide here.
static void loudest(const struct resample_ratio *ratio, uint32_t phase, int sign)
{
	const int16_t *taps = ratio->phases + phase * ratio->taps;
	int16_t window[RESAMPLE_TAPS + RESAMPLE_SLACK] = {0}, out;
	int64_t sum = 0;

	for (int i = 0; i < ratio->taps; i++) {
		window[i] = taps[i] * sign >= 0 ? INT16_MAX : INT16_MIN;
		sum += (int64_t)window[i] * taps[i];
	}
	assert_true(llabs(sum) > (int64_t)INT16_MAX << ratio->bits);
	for (size_t kernel = 0; kernel < kernel_count; kernel++) {
		kernels[kernel]->run(ratio, window, phase, 1, &out);
		assert_int_equal(out, sign > 0 ? INT16_MAX : INT16_MIN);
	}
}

static void nothing_overflows(void **state)
{
	for (const struct resample_ratio *ratio = resample_ratios; ratio->up != 0; ratio++)
		for (uint32_t phase = 0; phase < ratio->up && ratio->taps != 0; phase++) {
			loudest(ratio, phase, 1);
			loudest(ratio, phase, -1);
		}
}

// Sums of 64 bits, the newest sample first.
static void c_is_a_convolution(uint32_t in_hz, uint32_t out_hz)
{
	struct resample resample;
	int written = by_c(in_hz, out_hz);
	const struct resample_ratio *ratio;

	start(&resample, in_hz, out_hz, NULL);
	ratio = resample.ratio;
	for (int64_t i = 0; i < written && ratio->taps != 0; i++) {
		const int16_t *taps = ratio->phases + i * ratio->down % ratio->up * ratio->taps;
		int64_t newest = i * ratio->down / ratio->up, sum = 1 << (ratio->bits - 1);

		for (int64_t tap = 0; tap < ratio->taps; tap++)
			if (newest - tap >= 0)
				sum += in[newest - tap] * taps[ratio->taps - 1 - tap];
		sum >>= ratio->bits;
		sum = sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum;
		assert_int_equal(whole[i], sum);
	}
}

static void the_c_kernel_is_a_convolution(void **state)
{
	every_pair(c_is_a_convolution);
}

// A constant stays what it is once the filter is full, whatever the phase; and a click comes out where it is said to.
static void constants_and_clicks(uint32_t in_hz, uint32_t out_hz)
{
	static int16_t constant[4800], click[4800];
	struct resample resample;
	uint32_t delay, top = 0;
	int written;

	start(&resample, in_hz, out_hz, NULL);
	delay = resample_delay_samples(&resample);
	for (size_t i = 0; i < 4800; i++)
		constant[i] = -12345;
	written = resample_process(&resample, constant, 4800, parts, OUT);
	for (uint32_t i = 2 * delay * resample.ratio->up / resample.ratio->down + 1; i < (uint32_t)written; i++)
		assert_int_equal(parts[i], -12345);

	click[2352] = 30000; // 441 and 147 and 48 divide it well enough: an output falls there, or next to it
	resample_reset(&resample);
	written = resample_process(&resample, click, 4800, parts, OUT);
	for (uint32_t i = 0; i < (uint32_t)written; i++)
		if (parts[i] > parts[top])
			top = i;
	assert_in_range((uint64_t)top * resample.ratio->down + resample.ratio->down,
		(uint64_t)(2352 + delay) * resample.ratio->up,
		(uint64_t)(2352 + delay) * resample.ratio->up + 2 * resample.ratio->down);
}

static void levels_and_delays_are_kept(void **state)
{
	every_pair(constants_and_clicks);
}

static void reset_forgets(void **state)
{
	struct resample resample;

	start(&resample, 48000, 8000, NULL);
	assert_int_equal(resample_process(&resample, in, 601, whole, OUT), 101);
	assert_int_equal(resample_process(&resample, in + 601, 601, whole, OUT), 100);
	resample_reset(&resample);
	assert_int_equal(resample_process(&resample, in, 601, parts, OUT), 101);
	start(&resample, 48000, 8000, NULL);
	assert_int_equal(resample_process(&resample, in, 601, whole, OUT), 101);
	assert_memory_equal(parts, whole, 101 * sizeof(*whole));
}

static void other_rates_are_refused(void **state)
{
	struct resample resample;

	assert_int_equal(resample_init(&resample, 8000, 11025), -EINVAL);
	assert_int_equal(resample_init(&resample, 0, 8000), -EINVAL);
	assert_int_equal(resample_init(&resample, 4000, 8000), -EINVAL); // not because of the ratio
}

static void the_fastest_is_chosen_and_c_is_always_there(void **state)
{
	assert_in_range(kernel_count, 1, RESAMPLE_KERNELS);
	assert_ptr_equal(resample_kernel_choose(), kernels[0]);
	assert_ptr_equal(kernels[kernel_count - 1], &resample_c_kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_chunks_and_any_kernel_give_the_same_bits),
		cmocka_unit_test(a_frame_in_is_a_frame_out),
		cmocka_unit_test(nothing_overflows),
		cmocka_unit_test(the_c_kernel_is_a_convolution),
		cmocka_unit_test(levels_and_delays_are_kept),
		cmocka_unit_test(reset_forgets),
		cmocka_unit_test(other_rates_are_refused),
		cmocka_unit_test(the_fastest_is_chosen_and_c_is_always_there),
	};

	return cmocka_run_group_tests(tests, noise, NULL);
}
