// SPDX-License-Identifier: BSD-3-Clause

#include <math.h>

#include "period.h"

#define COARSE_HZ 8000
#define WINDOW_US 12000u // of what is compared, at most
#define LONGER 0.01f     // a period that is longer may be so much less alike: more is won by one cut
#define LANES 8          // sums side by side, so that the compiler may use vectors
#define COARSE_MAX (PERIOD_RATE_MAX / COARSE_HZ)
#define SPAN_MAX (PERIOD_RATE_MAX / 1000 * (PERIOD_SPAN_US / 1000))

static float dot(const float *a, const float *b, uint32_t count)
{
	float lanes[LANES] = {0}, sum = 0;
	uint32_t i = 0;

	for (; i + LANES <= count; i += LANES)
		for (uint32_t lane = 0; lane < LANES; lane++)
			lanes[lane] += a[i + lane] * b[i + lane];
	for (; i < count; i++)
		sum += a[i] * b[i];
	for (uint32_t lane = 0; lane < LANES; lane++)
		sum += lanes[lane];
	return sum;
}

float period_power(const int16_t *samples, uint32_t count)
{
	int64_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		sum += (int32_t)samples[i] * samples[i];
	return count ? (float)sum / (float)count : 0;
}

static float likeness(const float *x, uint32_t lag, uint32_t window)
{
	float both = dot(x, x + lag, window), one = dot(x, x, window), other = dot(x + lag, x + lag, window);

	return both <= 0 || one <= 0 || other <= 0 ? 0 : both / sqrtf(one * other);
}

// Every lag, the energies carried along. The window is what the longest lag leaves.
static struct period search(const float *x, uint32_t count, uint32_t least, uint32_t most, uint32_t window)
{
	struct period best = {0};
	float one, other, value, longest = -1;

	if (most >= count || least > most)
		return best;
	if (window > count - most)
		window = count - most;
	one = dot(x, x, window);
	other = dot(x + least, x + least, window);
	for (uint32_t lag = least; lag <= most; lag++) {
		value = dot(x, x + lag, window);
		value = value > 0 && one > 0 && other > 1 ? value / sqrtf(one * other) : 0;
		if (value > best.likeness - LONGER) {
			best.lag = lag;
			best.likeness = value > best.likeness ? value : best.likeness;
			longest = value;
		}
		other += x[lag + window] * x[lag + window] - x[lag] * x[lag];
	}
	best.likeness = longest < 0 ? 0 : longest;
	return best;
}

static void load(float *x, const int16_t *samples, uint32_t count, uint32_t factor, bool from_end)
{
	for (uint32_t i = 0; i < count; i++) {
		int32_t sum = 0;

		for (uint32_t k = 0; k < factor; k++)
			sum += from_end ? samples[-1 - (int32_t)(i * factor + k)] : samples[i * factor + k];
		x[i] = (float)sum / (float)factor;
	}
}

struct period period_find(
	const int16_t *samples, uint32_t count, uint32_t rate_hz, uint32_t least, uint32_t most, bool from_end)
{
	uint32_t factor = rate_hz / COARSE_HZ, window = period_samples(rate_hz, WINDOW_US);
	float x[SPAN_MAX + 1];
	struct period coarse, fine = {0};
	uint32_t low, high;

	if (factor < 1 || factor > COARSE_MAX)
		factor = 1;
	if (from_end)
		samples += count;
	if (count > period_samples(rate_hz, PERIOD_SPAN_US))
		count = period_samples(rate_hz, PERIOD_SPAN_US);
	if (count > SPAN_MAX || most >= count)
		return fine;
	load(x, samples, count / factor, factor, from_end);
	x[count / factor] = 0;
	coarse = search(x, count / factor, (least + factor - 1) / factor, most / factor, window / factor);
	if (factor == 1 || coarse.lag == 0)
		return coarse;
	load(x, samples, count, 1, from_end);
	low = coarse.lag * factor < least + factor ? least : coarse.lag * factor - factor;
	high = coarse.lag * factor + factor > most ? most : coarse.lag * factor + factor;
	if (window > count - high)
		window = count - high;
	for (uint32_t lag = low; lag <= high; lag++) {
		float value = likeness(x, lag, window);

		if (value > fine.likeness)
			fine = (struct period){.lag = lag, .likeness = value};
	}
	return fine;
}
