// SPDX-License-Identifier: BSD-3-Clause

#include "level.h"
#include "mix.h"

#include <math.h>

static uint8_t minus_dbov(double mean_square)
{
	double level = -10 * log10(mean_square / ((double)INT16_MAX * INT16_MAX));

	return level < 0 ? 0 : level > LEVEL_SILENCE ? LEVEL_SILENCE : (uint8_t)lrint(level);
}

uint8_t level_rms(uint64_t energy, size_t n)
{
	return energy ? minus_dbov((double)energy / (double)n) : LEVEL_SILENCE;
}

uint8_t level_peak(const int16_t *samples, size_t n)
{
	int16_t low = 0, high = 0;
	int peak;

	for (size_t i = 0; i < n; i++) {
		low = samples[i] < low ? samples[i] : low;
		high = samples[i] > high ? samples[i] : high;
	}
	peak = -low > high ? -low : high;
	return peak ? minus_dbov((double)peak * peak) : LEVEL_SILENCE;
}

int16_t level_gain_q11(double db)
{
	double gain = MIX_UNITY_Q11 * pow(10, db / 20);

	return gain > INT16_MAX ? INT16_MAX : (int16_t)lrint(gain);
}
