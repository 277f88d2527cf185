// SPDX-License-Identifier: BSD-3-Clause
// Sixteen samples at a time; the C kernel does the rest.

#include "mix.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define BLOCK 16

AVX2 static inline __m256i load(const void *at)
{
	return _mm256_loadu_si256(at);
}

AVX2 static inline void store(void *at, __m256i value)
{
	_mm256_storeu_si256(at, value);
}

AVX2 static inline __m256i load_wide(const int16_t *at) // eight samples
{
	return _mm256_cvtepi16_epi32(_mm_loadu_si128((const void *)at));
}

AVX2 static void add(int32_t *sum, const int16_t *samples, size_t n)
{
	for (; n >= BLOCK; n -= BLOCK, sum += BLOCK, samples += BLOCK) {
		store(sum, _mm256_add_epi32(load(sum), load_wide(samples)));
		store(sum + 8, _mm256_add_epi32(load(sum + 8), load_wide(samples + 8)));
	}
	mix_c_kernel.add(sum, samples, n);
}

AVX2 static inline void store_saturated(int16_t *out, __m256i first, __m256i second)
{
	store(out, _mm256_permute4x64_epi64(_mm256_packs_epi32(first, second), 0xd8));
}

AVX2 static void minus(const int32_t *sum, const int16_t *own, int16_t *out, size_t n)
{
	size_t at = 0;

	if (own == NULL)
		for (; n - at >= BLOCK; at += BLOCK)
			store_saturated(out + at, load(sum + at), load(sum + at + 8));
	else
		for (; n - at >= BLOCK; at += BLOCK)
			store_saturated(out + at, _mm256_sub_epi32(load(sum + at), load_wide(own + at)),
				_mm256_sub_epi32(load(sum + at + 8), load_wide(own + at + 8)));
	mix_c_kernel.minus(sum + at, own ? own + at : NULL, out + at, n - at);
}

// Eight products of 32 bits out of their halves, back to the samples' scale.
AVX2 static inline __m256i scaled(__m256i products)
{
	return _mm256_srai_epi32(_mm256_add_epi32(products, _mm256_set1_epi32(MIX_UNITY_Q11 / 2)), 11);
}

AVX2 static void gain(int16_t *samples, size_t n, int16_t gain_q11)
{
	__m256i factor = _mm256_set1_epi16(gain_q11);

	for (; n >= BLOCK; n -= BLOCK, samples += BLOCK) {
		__m256i values = load(samples);
		__m256i low = _mm256_mullo_epi16(values, factor), high = _mm256_mulhi_epi16(values, factor);

		store(samples, _mm256_packs_epi32(scaled(_mm256_unpacklo_epi16(low, high)),
				       scaled(_mm256_unpackhi_epi16(low, high))));
	}
	mix_c_kernel.gain(samples, n, gain_q11);
}

// Two squares fit into 32 bits without a sign; sums are 64 bits wide.
AVX2 static uint64_t energy(const int16_t *samples, size_t n)
{
	__m256i zero = _mm256_setzero_si256(), sums = zero;
	uint64_t lanes[4];

	for (; n >= BLOCK; n -= BLOCK, samples += BLOCK) {
		__m256i values = load(samples), squares = _mm256_madd_epi16(values, values);

		sums = _mm256_add_epi64(sums, _mm256_unpacklo_epi32(squares, zero));
		sums = _mm256_add_epi64(sums, _mm256_unpackhi_epi32(squares, zero));
	}
	store(lanes, sums);
	return lanes[0] + lanes[1] + lanes[2] + lanes[3] + mix_c_kernel.energy(samples, n);
}

const struct mix_kernel mix_avx2_kernel = {.name = "avx2", .add = add, .minus = minus, .gain = gain, .energy = energy};
#endif
