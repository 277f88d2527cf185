// SPDX-License-Identifier: BSD-3-Clause

#include "g711_kernel.h"
#include "g711_tables.h"

#include <stdbool.h>

static void ulaw_encode(const int16_t *in, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = g711_ulaw_codes[(uint16_t)in[i] >> 2];
}

static void alaw_encode(const int16_t *in, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = g711_alaw_codes[(uint16_t)in[i] >> 4];
}

static void ulaw_decode(const uint8_t *in, int16_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = g711_ulaw_samples[in[i]];
}

static void alaw_decode(const uint8_t *in, int16_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = g711_alaw_samples[in[i]];
}

static void ulaw_to_alaw(const uint8_t *in, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = g711_ulaw_alaw[in[i]];
}

static void alaw_to_ulaw(const uint8_t *in, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = g711_alaw_ulaw[in[i]];
}

const struct g711_kernel g711_table_kernel = {
	.name = "table",
	.ulaw_encode = ulaw_encode,
	.ulaw_decode = ulaw_decode,
	.alaw_encode = alaw_encode,
	.alaw_decode = alaw_decode,
	.ulaw_to_alaw = ulaw_to_alaw,
	.alaw_to_ulaw = alaw_to_ulaw,
};

static bool always(void)
{
	return true;
}

#if defined(__x86_64__)
static bool have_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}

static bool have_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi");
}
#endif

// The fastest first.
static const struct {
	bool (*usable)(void);
	const struct g711_kernel *kernel;
} rows[] = {
#if defined(__x86_64__)
	{have_avx512, &g711_avx512_kernel},
	{have_avx2, &g711_avx2_kernel},
#endif
	{always, &g711_table_kernel},
};

size_t g711_kernel_list(const struct g711_kernel *kernels[G711_KERNELS])
{
	size_t count = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].usable())
			kernels[count++] = rows[i].kernel;
	return count;
}

const struct g711_kernel *g711_kernel_choose(void)
{
	const struct g711_kernel *kernels[G711_KERNELS];

	g711_kernel_list(kernels);
	return kernels[0];
}
