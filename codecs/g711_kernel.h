// SPDX-License-Identifier: BSD-3-Clause
// G.711 over whole frames: the same six functions as tables, by AVX2 and by AVX-512, alike in every bit. Samples are
// 16 bits as in ITU-T G.191: mu-law looks at the upper 14, A-law at the upper 12, negative ones by one's complement.
// Any count of samples, any alignment.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct g711_kernel {
	const char *name;
	void (*ulaw_encode)(const int16_t *in, uint8_t *out, size_t n);
	void (*ulaw_decode)(const uint8_t *in, int16_t *out, size_t n);
	void (*alaw_encode)(const int16_t *in, uint8_t *out, size_t n);
	void (*alaw_decode)(const uint8_t *in, int16_t *out, size_t n);
	// From code to code by tables 3 and 4 of G.711, which exchanges use, and not by way of samples: decoding and
	// encoding again gives 43 codes of mu-law and 32 of A-law another neighbour, not the same one for both signs,
	// and turns mu-law's negative zero round. in == out is allowed.
	void (*ulaw_to_alaw)(const uint8_t *in, uint8_t *out, size_t n);
	void (*alaw_to_ulaw)(const uint8_t *in, uint8_t *out, size_t n);
};

enum { G711_KERNELS = 3 };

extern const struct g711_kernel g711_table_kernel; // runs everywhere
#if defined(__x86_64__)
extern const struct g711_kernel g711_avx2_kernel, g711_avx512_kernel; // only where the CPU has them: g711_kernel_choose
#endif

// The fastest kernel of this machine.
const struct g711_kernel *g711_kernel_choose(void);

// Every kernel that this machine can run, the fastest first. Returns: how many.
size_t g711_kernel_list(const struct g711_kernel *kernels[G711_KERNELS]);
