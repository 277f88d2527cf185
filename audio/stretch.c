// SPDX-License-Identifier: BSD-3-Clause

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "period.h"
#include "stretch.h"

#define ALIKE 0.70f      // cross-correlation; under it a cut can be heard
#define QUIET 1072.0f    // mean square: -60 dB of full scale
#define QUIETER 0.00316f // of what is loud: -25 dB
#define LOUD_FALL 0.998f // of a frame: 3 dB in 7 s at 20 ms

void stretch_init(struct stretch *stretch, uint32_t rate_hz)
{
	*stretch = (struct stretch){.rate_hz = rate_hz};
}

// Fade from one piece into another. The more they have in common, the less power a fade of amplitudes loses.
static void fade(int16_t *out, const int16_t *from, const int16_t *to, uint32_t count, float alike)
{
	float step = 1.0f / (float)(count + 1);

	for (uint32_t i = 0; i < count; i++) {
		float b = step * (float)(i + 1), a = 1 - b;
		float value = (a * from[i] + b * to[i]) / sqrtf(a * a + b * b + 2 * a * b * alike);

		value = value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value;
		out[i] = (int16_t)lrintf(value);
	}
}

// Where nothing is to be heard, the most is taken and nothing compared.
static bool quiet(struct stretch *stretch, const int16_t *samples, uint32_t count)
{
	float power = period_power(samples, count);

	stretch->loud = power > stretch->loud ? power : stretch->loud * LOUD_FALL;
	return power < QUIET || power < stretch->loud * QUIETER;
}

// A period to cut at, or none.
static struct period cut_of(struct stretch *stretch, const int16_t *samples, uint32_t count, uint32_t most)
{
	uint32_t least = period_samples(stretch->rate_hz, PERIOD_LEAST_US);
	struct period period = {0};

	if (most > period_samples(stretch->rate_hz, PERIOD_MOST_US))
		most = period_samples(stretch->rate_hz, PERIOD_MOST_US);
	if (most + least > count)
		most = count < least ? 0 : count - least; // some is needed to fade in
	if (quiet(stretch, samples, count))
		return (struct period){.lag = most};
	if (most < least)
		return period;
	period = period_find(samples, count, stretch->rate_hz, least, most, false);
	if (period.likeness < ALIKE)
		period.lag = 0;
	return period;
}

static uint32_t fade_count(uint32_t count, uint32_t lag)
{
	return lag < count - lag ? lag : count - lag;
}

uint32_t stretch_shorten(struct stretch *stretch, int16_t *samples, uint32_t count, uint32_t most)
{
	struct period cut = cut_of(stretch, samples, count, most);
	uint32_t faded;

	if (cut.lag == 0)
		return count;
	faded = fade_count(count, cut.lag);
	fade(samples, samples, samples + cut.lag, faded, cut.likeness);
	memmove(samples + faded, samples + cut.lag + faded, (count - cut.lag - faded) * sizeof(*samples));
	return count - cut.lag;
}

uint32_t stretch_lengthen(struct stretch *stretch, int16_t *samples, uint32_t count, uint32_t room)
{
	struct period cut = cut_of(stretch, samples, count, room > count ? room - count : 0);
	int16_t meeting[PERIOD_RATE_MAX / 1000 * (PERIOD_MOST_US / 1000)];
	uint32_t faded;

	if (cut.lag == 0)
		return count;
	faded = fade_count(count, cut.lag);
	fade(meeting, samples + cut.lag, samples, faded, cut.likeness);
	memmove(samples + cut.lag + faded, samples + faded, (count - faded) * sizeof(*samples));
	memcpy(samples + cut.lag, meeting, faded * sizeof(*samples));
	return count + cut.lag;
}
