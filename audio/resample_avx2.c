// SPDX-License-Identifier: BSD-3-Clause
// Vectors of 256 bits. AVX-512 was tried, VNNI and wider vectors both: loads across cache lines set the pace, and
// nothing was gained.

#include "resample_kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))
#define INLINE AVX2 static inline __attribute__((always_inline))

INLINE __m256i multiply_add(__m256i sums, __m256i samples, __m256i taps)
{
	return _mm256_add_epi32(sums, _mm256_madd_epi16(samples, taps));
}

INLINE __m256i load(const void *at)
{
	return _mm256_loadu_si256(at);
}

INLINE __m256i load_pairs(const int16_t *at, const uint8_t *pattern)
{
	if (pattern == NULL)
		return load(at);
	return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)at)), load(pattern));
}

// Eight sums with half of their last bit added, to samples.
INLINE void store(int16_t *out, __m256i sums, int bits)
{
	sums = _mm256_srai_epi32(sums, bits);
	_mm_storeu_si128((void *)out, _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1)));
}

// --- a sum for each output ------------------------------------------------------------------------------------------

// `width` groups of the same phase, whose windows begin `stride` samples apart.
INLINE void groups_process(const struct resample_ratio *ratio, const int16_t *window, uint32_t phase,
	const uint8_t *pattern, uint32_t width, uint32_t stride, int16_t *out)
{
	const int16_t *taps = ratio->lanes + (size_t)phase * ratio->taps * RESAMPLE_LANES;
	__m256i sums[4];

#pragma GCC unroll 4
	for (uint32_t i = 0; i < width; i++)
		sums[i] = _mm256_set1_epi32(1 << (ratio->bits - 1));
	for (uint32_t at = 0; at < ratio->taps; at += 2, taps += 2 * RESAMPLE_LANES) {
		__m256i weights = load(taps);

#pragma GCC unroll 4
		for (uint32_t i = 0; i < width; i++)
			sums[i] = multiply_add(sums[i], load_pairs(window + at + i * stride, pattern), weights);
	}
#pragma GCC unroll 4
	for (uint32_t i = 0; i < width; i++)
		store(out + i * ratio->period * RESAMPLE_LANES, sums[i], ratio->bits);
}

// Whole groups, period by period, so that four which use the same taps go together.
INLINE void lanes_process(const struct resample_ratio *ratio, const int16_t *window, uint32_t phase, uint32_t groups,
	bool row, int16_t *out)
{
	const uint32_t period = ratio->period, stride = RESAMPLE_LANES * period * ratio->down / ratio->up;

	for (uint32_t first = 0; first < period && first < groups; first++) {
		uint32_t place = phase + first * RESAMPLE_LANES * ratio->down, group = first;
		uint32_t start = place % ratio->up;
		const int16_t *at = window + place / ratio->up;
		const uint8_t *pattern = row ? NULL : ratio->pattern[start];

		for (; group + 3 * period < groups; group += 4 * period, at += 4 * stride)
			groups_process(ratio, at, start, pattern, 4, stride, out + group * RESAMPLE_LANES);
		for (; group < groups; group += period, at += stride)
			groups_process(ratio, at, start, pattern, 1, stride, out + group * RESAMPLE_LANES);
	}
}

// --- a dot product for each output ----------------------------------------------------------------------------------

// What each of four vectors comes to.
INLINE __m128i four_sums(const __m256i *sums)
{
	__m256i halves = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));

	return _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

INLINE __m128i rounded(__m128i sums, int bits)
{
	return _mm_srai_epi32(_mm_add_epi32(sums, _mm_set1_epi32(1 << (bits - 1))), bits);
}

// One phase: all outputs share the taps. `count` is a multiple of eight.
AVX2 static void run_one_phase(const struct resample_ratio *ratio, const int16_t *window, uint32_t count, int16_t *out)
{
	const uint32_t stride = ratio->down;

	for (; count > 0; count -= RESAMPLE_LANES, out += RESAMPLE_LANES, window += RESAMPLE_LANES * stride) {
		__m256i sums[RESAMPLE_LANES];

#pragma GCC unroll 8
		for (uint32_t i = 0; i < RESAMPLE_LANES; i++)
			sums[i] = _mm256_setzero_si256();
		for (uint32_t at = 0; at < ratio->taps; at += 16) {
			__m256i taps = load(ratio->phases + at);

#pragma GCC unroll 8
			for (uint32_t i = 0; i < RESAMPLE_LANES; i++)
				sums[i] = multiply_add(sums[i], load(window + at + i * stride), taps);
		}
		_mm_storeu_si128((void *)out, _mm_packs_epi32(rounded(four_sums(sums), ratio->bits),
						      rounded(four_sums(sums + 4), ratio->bits)));
	}
}

// Any phases, four outputs at a time. `count` is a multiple of four.
AVX2 static void run_phases(
	const struct resample_ratio *ratio, const int16_t *window, uint32_t phase, uint32_t count, int16_t *out)
{
	for (; count > 0; count -= 4, out += 4) {
		const int16_t *windows[4], *taps[4];
		__m256i sums[4];
		__m128i values;

#pragma GCC unroll 4
		for (uint32_t i = 0; i < 4; i++) {
			windows[i] = window;
			taps[i] = ratio->phases + (size_t)phase * ratio->taps;
			sums[i] = _mm256_setzero_si256();
			for (phase += ratio->down; phase >= ratio->up; phase -= ratio->up)
				window++;
		}
		for (uint32_t at = 0; at < ratio->taps; at += 16) {
#pragma GCC unroll 4
			for (uint32_t i = 0; i < 4; i++)
				sums[i] = multiply_add(sums[i], load(windows[i] + at), load(taps[i] + at));
		}
		values = rounded(four_sums(sums), ratio->bits);
		_mm_storel_epi64((void *)out, _mm_packs_epi32(values, values));
	}
}

AVX2 static void run_dots(
	const struct resample_ratio *ratio, const int16_t *window, uint32_t phase, uint32_t count, int16_t *out)
{
	uint32_t whole = ratio->up == 1 ? count & ~7u : count & ~3u, place = phase + whole * ratio->down;

	if (ratio->up == 1)
		run_one_phase(ratio, window, whole, out);
	else
		run_phases(ratio, window, phase, whole, out);
	resample_c_kernel.run(ratio, window + place / ratio->up, place % ratio->up, count - whole, out + whole);
}

AVX2 static void run_lanes(
	const struct resample_ratio *ratio, const int16_t *window, uint32_t phase, uint32_t count, int16_t *out)
{
	uint32_t groups = count / RESAMPLE_LANES, rest = count % RESAMPLE_LANES;
	uint32_t place = phase + groups * RESAMPLE_LANES * ratio->down;
	int16_t last[RESAMPLE_LANES];

	if (ratio->pattern == NULL)
		lanes_process(ratio, window, phase, groups, true, out);
	else
		lanes_process(ratio, window, phase, groups, false, out);
	if (rest == 0)
		return;
	lanes_process(ratio, window + place / ratio->up, place % ratio->up, 1, ratio->pattern == NULL, last);
	memcpy(out + groups * RESAMPLE_LANES, last, rest * sizeof(*out));
}

AVX2 static void run(
	const struct resample_ratio *ratio, const int16_t *window, uint32_t phase, uint32_t count, int16_t *out)
{
	if (ratio->lanes != NULL)
		run_lanes(ratio, window, phase, count, out);
	else
		run_dots(ratio, window, phase, count, out);
}

const struct resample_kernel resample_avx2_kernel = {.name = "avx2", .run = run};
#endif
