// SPDX-License-Identifier: BSD-3-Clause

#include "resample_kernel.h"

#include <stdbool.h>

static int16_t saturate(int32_t value)
{
	return (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
}

static int16_t dot(const struct resample_ratio *ratio, const int16_t *window, uint32_t phase)
{
	const int16_t *taps = ratio->phases + (size_t)phase * ratio->taps;
	int32_t sum = 0;

	for (uint32_t i = 0; i < ratio->taps; i++)
		sum += window[i] * taps[i];
	return saturate((sum + (1 << (ratio->bits - 1))) >> ratio->bits);
}

static void run(const struct resample_ratio *ratio, const int16_t *window, uint32_t phase, uint32_t count, int16_t *out)
{
	for (uint32_t i = 0; i < count; i++) {
		out[i] = dot(ratio, window, phase);
		for (phase += ratio->down; phase >= ratio->up; phase -= ratio->up)
			window++;
	}
}

const struct resample_kernel resample_c_kernel = {.name = "c", .run = run};

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
	const struct resample_kernel *kernel;
} rows[] = {
#if defined(__x86_64__)
	{have_avx2, &resample_avx2_kernel},
#endif
	{always, &resample_c_kernel},
};

size_t resample_kernel_list(const struct resample_kernel *kernels[RESAMPLE_KERNELS])
{
	size_t count = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].usable())
			kernels[count++] = rows[i].kernel;
	return count;
}

const struct resample_kernel *resample_kernel_choose(void)
{
	const struct resample_kernel *kernels[RESAMPLE_KERNELS];

	resample_kernel_list(kernels);
	return kernels[0];
}
