// SPDX-License-Identifier: BSD-3-Clause
// The pitch period of a piece of audio, by normalised cross-correlation: first at 8 kHz or what is nearest above, then
// by the sample.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	PERIOD_LEAST_US = 2500, // 400 Hz
	PERIOD_MOST_US = 15000, // 67 Hz
	PERIOD_SPAN_US = 40000, // more audio than that is not looked at
	PERIOD_RATE_MAX = 48000,
};

struct period {
	uint32_t lag;   // samples; 0: none was looked for
	float likeness; // 1: the same again; 0: nothing in common
};

// Find the lag from least to most at which the piece goes on as it began, or, from_end, ended as just before.
// Units: samples.
struct period period_find(
	const int16_t *samples, uint32_t count, uint32_t rate_hz, uint32_t least, uint32_t most, bool from_end);

// The audio's mean square.
float period_power(const int16_t *samples, uint32_t count);

static inline uint32_t period_samples(uint32_t rate_hz, uint32_t us)
{
	return (uint32_t)((uint64_t)rate_hz * us / 1000000);
}
