// SPDX-License-Identifier: BSD-3-Clause
// A histogram of times with 32 steps to each power of two: at most 3 % wrong, whatever the time. Thread: one.
#pragma once

#include <stdint.h>
#include <string.h>

#define LATENCY_BITS 5
#define LATENCY_STEPS (1u << LATENCY_BITS)

struct latency {
	uint64_t count, buckets[(64 - LATENCY_BITS + 1) * LATENCY_STEPS];
};

static inline void latency_clear(struct latency *latency)
{
	memset(latency, 0, sizeof(*latency));
}

static inline void latency_add(struct latency *latency, uint64_t cycles)
{
	unsigned shift = 0;

	if (cycles >= LATENCY_STEPS)
		shift = 63 - LATENCY_BITS - (unsigned)__builtin_clzll(cycles) + 1;
	// cycles >> (shift - 1) lies in STEPS..2*STEPS-1 from shift 1 on
	latency->buckets[shift * LATENCY_STEPS + (shift ? (cycles >> (shift - 1)) - LATENCY_STEPS : cycles)]++;
	latency->count++;
}

// The time that this share (0 to 1) of all does not exceed, in cycles; 0 where there is none.
static inline double latency_at(const struct latency *latency, double share)
{
	uint64_t wanted = (uint64_t)(share * (double)latency->count), sum = 0;

	if (wanted == latency->count && wanted)
		wanted--;
	for (unsigned i = 0; i < sizeof(latency->buckets) / sizeof(*latency->buckets); i++) {
		unsigned shift = i / LATENCY_STEPS;

		sum += latency->buckets[i];
		if (sum > wanted)
			return shift ? (double)((uint64_t)(LATENCY_STEPS + i % LATENCY_STEPS + 1) << (shift - 1)) : i;
	}
	return 0;
}
