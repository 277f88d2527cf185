// SPDX-License-Identifier: BSD-3-Clause
// Mix-minus: everybody hears the sum of all others. Sums are 32 bits wide, so 65,536 parties fit, and only what leaves
// is saturated: who is added and who is taken away again does not depend on the order. With it what else is done to all
// samples of a frame. Each kernel gives the same bits; any count, any alignment.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	MIX_UNITY_Q11 = 1 << 11,
	MIX_KERNELS = 2,
};

struct mix_kernel {
	const char *name;
	// Add one party's samples to the sum, which begins as zeros.
	void (*add)(int32_t *sum, const int16_t *samples, size_t n);
	// What one party hears: the sum without its own samples, or all of it where own is NULL (a listener),
	// saturated. out may be own.
	void (*minus)(const int32_t *sum, const int16_t *own, int16_t *out, size_t n);
	// Multiply in place, rounded and saturated. Units: 1/2048; MIX_UNITY_Q11 changes nothing, 32767 is +24 dB.
	void (*gain)(int16_t *samples, size_t n, int16_t gain_q11);
	// The sum of squares, for level_rms.
	uint64_t (*energy)(const int16_t *samples, size_t n);
};

extern const struct mix_kernel mix_c_kernel; // runs everywhere
#if defined(__x86_64__)
extern const struct mix_kernel mix_avx2_kernel; // only where the CPU has it: mix_kernel_choose
#endif

// The fastest kernel of this machine.
const struct mix_kernel *mix_kernel_choose(void);

// Every kernel that this machine can run, the fastest first. Returns: how many.
size_t mix_kernel_list(const struct mix_kernel *kernels[MIX_KERNELS]);
