// SPDX-License-Identifier: BSD-3-Clause
// 32 samples or 64 codes at a time; what is left over goes through masked loads and stores. Tables of 128 bytes are one
// permutation (VBMI).

#include "g711_kernel.h"
#include "g711_tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi")))

struct table128 {
	__m512i low, high;
};

AVX512 static inline struct table128 table_load(const uint8_t *at)
{
	return (struct table128){_mm512_loadu_si512(at), _mm512_loadu_si512(at + 64)};
}

AVX512 static inline __m512i lookup(struct table128 table, __m512i indices) // by their lower seven bits
{
	return _mm512_permutex2var_epi8(table.low, indices, table.high);
}

#define PAIR(i) i, 64 + i
#define PAIRS4(i) PAIR(i), PAIR(i + 1), PAIR(i + 2), PAIR(i + 3)
#define PAIRS16(i) PAIRS4(i), PAIRS4(i + 4), PAIRS4(i + 8), PAIRS4(i + 12)
// Lower and upper bytes, 64 of each, to samples.
static const uint8_t interleave[128] = {PAIRS16(0), PAIRS16(16), PAIRS16(32), PAIRS16(48)};

// How many bits a number of seven bits has.
static const uint8_t widths[128] = {
	0, 1, 2, 2, 3, 3, 3, 3, [8 ... 15] = 4, [16 ... 31] = 5, [32 ... 63] = 6, [64 ... 127] = 7};
// One less, but none for zero.
static const uint8_t shifts[128] = {
	0, 0, 1, 1, 2, 2, 2, 2, [8 ... 15] = 3, [16 ... 31] = 4, [32 ... 63] = 5, [64 ... 127] = 6};

AVX512 static inline __m512i magnitudes(__m512i samples, int shift)
{
	return _mm512_srli_epi16(_mm512_xor_si512(samples, _mm512_srai_epi16(samples, 15)), shift);
}

// A code is its segment and what is left of the magnitude after shifting by the segment.
AVX512 static inline __m512i numbers(struct table128 segments, __m512i magnitude, __m512i index)
{
	__m512i segment = _mm512_and_si512(lookup(segments, index), _mm512_set1_epi16(0xff));

	return _mm512_add_epi16(_mm512_slli_epi16(segment, 4), _mm512_srlv_epi16(magnitude, segment));
}

// Positive codes of 32 samples, toggled but not yet signed.
AVX512 static inline __m512i ulaw_positive(struct table128 segments, __m512i samples)
{
	__m512i biased = _mm512_add_epi16(magnitudes(samples, 2), _mm512_set1_epi16(33));
	__m512i number;

	biased = _mm512_min_epi16(biased, _mm512_set1_epi16(0x1fff));
	number = numbers(segments, _mm512_srli_epi16(biased, 1), _mm512_srli_epi16(biased, 6));
	return _mm512_sub_epi16(_mm512_set1_epi16(0xff + 16), number); // 16: the leading one
}

AVX512 static inline __m512i alaw_positive(struct table128 segments, __m512i samples)
{
	__m512i magnitude = magnitudes(samples, 4);
	__m512i number = numbers(segments, magnitude, _mm512_srli_epi16(magnitude, 4));

	return _mm512_xor_si512(number, _mm512_set1_epi16(0xd5));
}

AVX512 static inline __m256i codes(__m512i positive, __m512i samples)
{
	__m512i sign = _mm512_set1_epi16(0x80);

	return _mm512_cvtepi16_epi8(_mm512_mask_sub_epi16(positive, _mm512_movepi16_mask(samples), positive, sign));
}

#define ENCODE(law, segment_table)                                                                             \
	AVX512 static void law##_encode(const int16_t *in, uint8_t *out, size_t n)                             \
	{                                                                                                      \
		struct table128 segments = table_load(segment_table);                                          \
                                                                                                               \
		for (; n >= 32; n -= 32, in += 32, out += 32) {                                                \
			__m512i samples = _mm512_loadu_si512(in);                                              \
                                                                                                               \
			_mm256_storeu_si256((void *)out, codes(law##_positive(segments, samples), samples));   \
		}                                                                                              \
		if (n > 0) {                                                                                   \
			__mmask32 mask = (1u << n) - 1;                                                        \
			__m512i samples = _mm512_maskz_loadu_epi16(mask, in);                                  \
                                                                                                               \
			_mm256_mask_storeu_epi8(out, mask, codes(law##_positive(segments, samples), samples)); \
		}                                                                                              \
	}

ENCODE(ulaw, widths)
ENCODE(alaw, shifts)

AVX512 static inline void decode_block(
	struct table128 lower, struct table128 upper, __m512i codes, __m512i *first, __m512i *second)
{
	__m512i zero = _mm512_setzero_si512();
	__m512i low = lookup(lower, codes), high = lookup(upper, codes);
	__mmask64 positive = _mm512_movepi8_mask(codes);
	__m512i evens = _mm512_loadu_si512(interleave), odds = _mm512_loadu_si512(interleave + 64);

	*first = _mm512_permutex2var_epi8(low, evens, high);
	*second = _mm512_permutex2var_epi8(low, odds, high);
	*first = _mm512_mask_sub_epi16(*first, (__mmask32)positive, zero, *first);
	*second = _mm512_mask_sub_epi16(*second, (__mmask32)(positive >> 32), zero, *second);
}

AVX512 static inline void decode(const uint8_t halves[256], const uint8_t *in, int16_t *out, size_t n)
{
	struct table128 lower = table_load(halves), upper = table_load(halves + 128);
	__m512i first, second;

	for (; n >= 64; n -= 64, in += 64, out += 64) {
		decode_block(lower, upper, _mm512_loadu_si512(in), &first, &second);
		_mm512_storeu_si512(out, first);
		_mm512_storeu_si512(out + 32, second);
	}
	if (n > 0) {
		__mmask64 mask = ((__mmask64)1 << n) - 1;

		decode_block(lower, upper, _mm512_maskz_loadu_epi8(mask, in), &first, &second);
		_mm512_mask_storeu_epi16(out, (__mmask32)mask, first);
		_mm512_mask_storeu_epi16(out + 32, (__mmask32)(mask >> 32), second);
	}
}

AVX512 static void ulaw_decode(const uint8_t *in, int16_t *out, size_t n)
{
	decode(g711_ulaw_halves, in, out, n);
}

AVX512 static void alaw_decode(const uint8_t *in, int16_t *out, size_t n)
{
	decode(g711_alaw_halves, in, out, n);
}

// Bit 7, the sign, is the same on both sides.
AVX512 static inline __m512i map_block(struct table128 table, __m512i codes)
{
	__m512i sign = _mm512_set1_epi8((char)0x80);

	return _mm512_or_si512(lookup(table, codes), _mm512_and_si512(codes, sign));
}

AVX512 static inline void map(const uint8_t table[256], const uint8_t *in, uint8_t *out, size_t n)
{
	struct table128 negative = table_load(table);

	for (; n >= 64; n -= 64, in += 64, out += 64)
		_mm512_storeu_si512(out, map_block(negative, _mm512_loadu_si512(in)));
	if (n > 0) {
		__mmask64 mask = ((__mmask64)1 << n) - 1;

		_mm512_mask_storeu_epi8(out, mask, map_block(negative, _mm512_maskz_loadu_epi8(mask, in)));
	}
}

AVX512 static void ulaw_to_alaw(const uint8_t *in, uint8_t *out, size_t n)
{
	map(g711_ulaw_alaw, in, out, n);
}

AVX512 static void alaw_to_ulaw(const uint8_t *in, uint8_t *out, size_t n)
{
	map(g711_alaw_ulaw, in, out, n);
}

const struct g711_kernel g711_avx512_kernel = {
	.name = "avx512",
	.ulaw_encode = ulaw_encode,
	.ulaw_decode = ulaw_decode,
	.alaw_encode = alaw_encode,
	.alaw_decode = alaw_decode,
	.ulaw_to_alaw = ulaw_to_alaw,
	.alaw_to_ulaw = alaw_to_ulaw,
};
#endif
