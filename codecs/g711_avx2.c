// SPDX-License-Identifier: BSD-3-Clause
// 32 samples or codes at a time; what is left over goes through the last 32 again where in and out are apart, else
// through the tables.

#include "g711_kernel.h"
#include "g711_tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define BLOCK 32

AVX2 static inline __m256i load(const void *at)
{
	return _mm256_loadu_si256(at);
}

AVX2 static inline void store(void *at, __m256i value)
{
	_mm256_storeu_si256(at, value);
}

// The upper bits of a float are what a companded code is: exponent and the first four bits below the leading one.
// 16 magnitudes of less than 2^15 in; (127 + exponent) << 4 | those four bits out.
AVX2 static inline __m256i float_bits(__m256i magnitudes)
{
	__m256i zero = _mm256_setzero_si256();
	__m256i low = _mm256_unpacklo_epi16(magnitudes, zero), high = _mm256_unpackhi_epi16(magnitudes, zero);

	low = _mm256_srli_epi32(_mm256_castps_si256(_mm256_cvtepi32_ps(low)), 19);
	high = _mm256_srli_epi32(_mm256_castps_si256(_mm256_cvtepi32_ps(high)), 19);
	return _mm256_packus_epi32(low, high);
}

// One's complement, where negative, and without the lowest `shift` bits.
AVX2 static inline __m256i magnitudes(__m256i samples, int shift)
{
	return _mm256_srli_epi16(_mm256_xor_si256(samples, _mm256_srai_epi16(samples, 15)), shift);
}

// Numbers 0-127 of the intervals, of 16 samples.
AVX2 static inline __m256i ulaw_numbers(__m256i samples)
{
	__m256i biased = _mm256_add_epi16(magnitudes(samples, 2), _mm256_set1_epi16(33));

	biased = _mm256_min_epi16(biased, _mm256_set1_epi16(0x1fff));
	return _mm256_sub_epi16(float_bits(biased), _mm256_set1_epi16((127 + 5) << 4));
}

AVX2 static inline __m256i alaw_numbers(__m256i samples)
{
	__m256i magnitude = magnitudes(samples, 4);
	__m256i number = _mm256_sub_epi16(float_bits(magnitude), _mm256_set1_epi16((127 + 3) << 4));

	return _mm256_max_epi16(number, _mm256_min_epi16(magnitude, _mm256_set1_epi16(31))); // the first two are linear
}

// Numbers of 32 samples to codes: `positive` is what a positive number is toggled with, a negative one not in bit 7.
AVX2 static inline __m256i codes(__m256i numbers0, __m256i numbers1, __m256i samples0, __m256i samples1, char positive)
{
	__m256i negative = _mm256_and_si256(_mm256_packs_epi16(samples0, samples1), _mm256_set1_epi8((char)0x80));
	__m256i toggle = _mm256_xor_si256(negative, _mm256_set1_epi8(positive));

	return _mm256_permute4x64_epi64(_mm256_xor_si256(_mm256_packus_epi16(numbers0, numbers1), toggle), 0xd8);
}

AVX2 static inline void ulaw_encode_block(const int16_t *in, uint8_t *out)
{
	__m256i first = load(in), second = load(in + 16);

	store(out, codes(ulaw_numbers(first), ulaw_numbers(second), first, second, (char)0xff));
}

AVX2 static inline void alaw_encode_block(const int16_t *in, uint8_t *out)
{
	__m256i first = load(in), second = load(in + 16);

	store(out, codes(alaw_numbers(first), alaw_numbers(second), first, second, (char)0xd5));
}

AVX2 static inline __m256i row(const void *at)
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128(at));
}

AVX2 static inline __m256i signed_products(__m256i steps, __m256i scales, __m256i positive, short bias)
{
	__m256i negative = _mm256_sub_epi16(_mm256_set1_epi16(bias), _mm256_mullo_epi16(steps, scales));

	return _mm256_sub_epi16(_mm256_xor_si256(negative, positive), positive);
}

// A sample is steps * scales - bias, both of which fit into eight bits, negative where bit 7 of the code is not set.
AVX2 static inline void decode_block(__m256i code, __m256i steps, __m256i scales, short bias, int16_t *out)
{
	__m256i zero = _mm256_setzero_si256();

	store(out, signed_products(_mm256_unpacklo_epi8(steps, zero), _mm256_unpacklo_epi8(scales, zero),
			   _mm256_srai_epi16(_mm256_unpacklo_epi8(code, code), 15), bias));
	store(out + 16, signed_products(_mm256_unpackhi_epi8(steps, zero), _mm256_unpackhi_epi8(scales, zero),
				_mm256_srai_epi16(_mm256_unpackhi_epi8(code, code), 15), bias));
}

AVX2 static inline __m256i segments(__m256i numbers)
{
	return _mm256_and_si256(_mm256_srli_epi16(numbers, 4), _mm256_set1_epi8(7));
}

AVX2 static inline __m256i eights(__m256i numbers) // eight times the lower four bits
{
	return _mm256_slli_epi16(_mm256_and_si256(numbers, _mm256_set1_epi8(15)), 3);
}

AVX2 static inline void ulaw_decode_block(const uint8_t *in, int16_t *out)
{
	static const uint8_t scales[16] = {1, 2, 4, 8, 16, 32, 64, 128};
	__m256i code = _mm256_permute4x64_epi64(load(in), 0xd8); // so that unpacking puts them in order again
	__m256i number = _mm256_xor_si256(code, _mm256_set1_epi8((char)0xff));
	__m256i steps = _mm256_add_epi8(eights(number), _mm256_set1_epi8((char)132));

	decode_block(code, steps, _mm256_shuffle_epi8(row(scales), segments(number)), 132, out);
}

AVX2 static inline void alaw_decode_block(const uint8_t *in, int16_t *out)
{
	static const uint8_t leading[16] = {4, 132, 132, 132, 132, 132, 132, 132};
	static const uint8_t scales[16] = {2, 2, 4, 8, 16, 32, 64, 128};
	__m256i code = _mm256_permute4x64_epi64(load(in), 0xd8);
	__m256i number = _mm256_xor_si256(code, _mm256_set1_epi8(0x55));
	__m256i segment = segments(number);
	__m256i steps = _mm256_add_epi8(eights(number), _mm256_shuffle_epi8(row(leading), segment));

	decode_block(code, steps, _mm256_shuffle_epi8(row(scales), segment), 0, out);
}

#define BLOCKS(name, input, output)                                    \
	AVX2 static void name(const input *in, output *out, size_t n)  \
	{                                                              \
		size_t i = 0;                                          \
                                                                       \
		if (n < BLOCK) {                                       \
			g711_table_kernel.name(in, out, n);            \
			return;                                        \
		}                                                      \
		for (; i + BLOCK <= n; i += BLOCK)                     \
			name##_block(in + i, out + i);                 \
		if (i < n)                                             \
			name##_block(in + n - BLOCK, out + n - BLOCK); \
	}

BLOCKS(ulaw_encode, int16_t, uint8_t)
BLOCKS(alaw_encode, int16_t, uint8_t)
BLOCKS(ulaw_decode, uint8_t, int16_t)
BLOCKS(alaw_decode, uint8_t, int16_t)

// 128 entries in eight rows of sixteen; a shuffle gives 0 where bit 7 of its index is set. Counting the index down by
// sixteen each row, a row that is passed by goes on being added, so each row is kept as its difference to the one
// before.
AVX2 static inline void map(const uint8_t table[256], const uint8_t *in, uint8_t *out, size_t blocks)
{
	__m256i rows[8] = {row(table)}, sign = _mm256_set1_epi8((char)0x80);

	for (int i = 1; i < 8; i++)
		rows[i] = _mm256_xor_si256(row(table + 16 * i), row(table + 16 * (i - 1)));
	for (; blocks > 0; blocks--, in += BLOCK, out += BLOCK) {
		__m256i code = load(in), index = _mm256_andnot_si256(sign, code);
		__m256i result = _mm256_xor_si256(_mm256_and_si256(sign, code), _mm256_shuffle_epi8(rows[0], index));

#pragma GCC unroll 7
		for (int i = 1; i < 8; i++) {
			index = _mm256_sub_epi8(index, _mm256_set1_epi8(16));
			result = _mm256_xor_si256(result, _mm256_shuffle_epi8(rows[i], index));
		}
		store(out, result);
	}
}

AVX2 static void ulaw_to_alaw(const uint8_t *in, uint8_t *out, size_t n)
{
	size_t done = n / BLOCK * BLOCK;

	map(g711_ulaw_alaw, in, out, n / BLOCK);
	g711_table_kernel.ulaw_to_alaw(in + done, out + done, n - done);
}

AVX2 static void alaw_to_ulaw(const uint8_t *in, uint8_t *out, size_t n)
{
	size_t done = n / BLOCK * BLOCK;

	map(g711_alaw_ulaw, in, out, n / BLOCK);
	g711_table_kernel.alaw_to_ulaw(in + done, out + done, n - done);
}

const struct g711_kernel g711_avx2_kernel = {
	.name = "avx2",
	.ulaw_encode = ulaw_encode,
	.ulaw_decode = ulaw_decode,
	.alaw_encode = alaw_encode,
	.alaw_decode = alaw_decode,
	.ulaw_to_alaw = ulaw_to_alaw,
	.alaw_to_ulaw = alaw_to_ulaw,
};
#endif
