// SPDX-License-Identifier: BSD-3-Clause

#include "mix.h"

#include <stdbool.h>

static int16_t saturate(int32_t value)
{
	return (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
}

static void add(int32_t *sum, const int16_t *samples, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum[i] += samples[i];
}

static void minus(const int32_t *sum, const int16_t *own, int16_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = saturate(own ? sum[i] - own[i] : sum[i]);
}

static void gain(int16_t *samples, size_t n, int16_t gain_q11)
{
	for (size_t i = 0; i < n; i++)
		samples[i] = saturate((samples[i] * gain_q11 + MIX_UNITY_Q11 / 2) >> 11);
}

static uint64_t energy(const int16_t *samples, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (uint32_t)(samples[i] * samples[i]);
	return sum;
}

const struct mix_kernel mix_c_kernel = {.name = "c", .add = add, .minus = minus, .gain = gain, .energy = energy};

static bool always(void)
{
	return true;
}

#if defined(__x86_64__)
static bool have_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}
#endif

// The fastest first.
static const struct {
	bool (*usable)(void);
	const struct mix_kernel *kernel;
} rows[] = {
#if defined(__x86_64__)
	{have_avx2, &mix_avx2_kernel},
#endif
	{always, &mix_c_kernel},
};

size_t mix_kernel_list(const struct mix_kernel *kernels[MIX_KERNELS])
{
	size_t count = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].usable())
			kernels[count++] = rows[i].kernel;
	return count;
}

const struct mix_kernel *mix_kernel_choose(void)
{
	const struct mix_kernel *kernels[MIX_KERNELS];

	mix_kernel_list(kernels);
	return kernels[0];
}
