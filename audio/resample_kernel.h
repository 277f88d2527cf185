// SPDX-License-Identifier: BSD-3-Clause
// Inside resample: filters as resample_taps.py designs them, and who runs them.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	RESAMPLE_LANES = 8, // sums of 32 bits in a vector; outputs in a group
	RESAMPLE_KERNELS = 2,
};

// One ratio in lowest terms. A window is as long as a phase has taps; the oldest sample comes first in both.
struct resample_ratio {
	uint16_t up, down;
	uint16_t taps;         // a multiple of 16; 0: a copy
	uint8_t bits;          // after the point, 14 or 15: as many as leave the sum in 32 bits for any samples
	const int16_t *phases; // [up][taps]

	// Where eight neighbours come out of a few samples, a vector holds a sum for each of them (else NULL):
	uint8_t period;       // groups of eight after which the phase is the same again
	const int16_t *lanes; // [phase of the first][taps / 2][8 outputs][2]
	const uint8_t (
		*pattern)[32]; // [phase of the first]: their pairs of samples out of eight; NULL: just 16 in a row
};

// `count` outputs, the first one's window and phase given. They may read RESAMPLE_SLACK samples beyond the last window.
struct resample_kernel {
	const char *name;
	void (*run)(const struct resample_ratio *ratio, const int16_t *window, uint32_t phase, uint32_t count,
		int16_t *out);
};

extern const struct resample_ratio resample_ratios[];  // ends with up == 0
extern const struct resample_kernel resample_c_kernel; // runs everywhere
#if defined(__x86_64__)
extern const struct resample_kernel resample_avx2_kernel; // only where the CPU has it: resample_kernel_choose
#endif

// The fastest kernel of this machine.
const struct resample_kernel *resample_kernel_choose(void);

// Every kernel that this machine can run, the fastest first. Returns: how many.
size_t resample_kernel_list(const struct resample_kernel *kernels[RESAMPLE_KERNELS]);
