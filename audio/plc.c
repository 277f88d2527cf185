// SPDX-License-Identifier: BSD-3-Clause

#include <math.h>
#include <string.h>

#include "plc.h"

#define HOLD_US 10000      // at full level
#define GONE_US 60000      // silence from here on
#define FADE_US 4000       // into what comes back, and more for every
#define FADE_MORE_US 4000  // 10 ms of gap, up to
#define FADE_MOST_US 10000 //
#define JOIN_US 500
#define JOIN_UNVOICED_US 2500
#define UNVOICED 0.5f // less alike than that: a longer piece is repeated, so that no buzz comes of it

void plc_start(struct plc *plc, uint32_t rate_hz)
{
	memset(plc, 0, sizeof(*plc));
	plc->rate_hz = rate_hz;
	plc->gain = 1;
}

static void remember(struct plc *plc, const int16_t *samples, uint32_t count)
{
	uint32_t size = period_samples(plc->rate_hz, PERIOD_SPAN_US), keep;

	if (count >= size) {
		memcpy(plc->history, samples + count - size, size * sizeof(*samples));
		plc->have = size;
		return;
	}
	keep = plc->have + count > size ? size - count : plc->have;
	memmove(plc->history, plc->history + plc->have - keep, keep * sizeof(*samples));
	memcpy(plc->history + keep, samples, count * sizeof(*samples));
	plc->have = keep + count;
}

// The cycle ends as the history does; its end is faded into what came before its beginning, so that it closes.
static void cycle_make(struct plc *plc, uint32_t lag)
{
	const int16_t *from = plc->history + plc->have - lag;
	uint32_t faded = lag / 4;

	if (faded > plc->have - lag)
		faded = plc->have - lag;
	memcpy(plc->cycle, from, lag * sizeof(*from));
	for (uint32_t i = 0; i < faded; i++) {
		float b = (float)(i + 1) / (float)(faded + 1);
		uint32_t k = lag - faded + i;

		plc->cycle[k] = (int16_t)lrintf((1 - b) * from[k] + b * from[(int32_t)k - (int32_t)lag]);
	}
	plc->lag = lag;
	plc->at = 0;
}

static void gap_begin(struct plc *plc)
{
	uint32_t least = period_samples(plc->rate_hz, PERIOD_LEAST_US);
	uint32_t most = period_samples(plc->rate_hz, PERIOD_MOST_US);
	struct period period;

	plc->gain = 1;
	plc->lag = 0;
	if (plc->have < 2 * most)
		return;
	period = period_find(plc->history, plc->have, plc->rate_hz, least, most, true);
	if (period.lag == 0 || period.likeness < UNVOICED) {
		plc->join = period_samples(plc->rate_hz, JOIN_UNVOICED_US);
		cycle_make(plc, most);
	} else {
		plc->join = period_samples(plc->rate_hz, JOIN_US);
		cycle_make(plc, period.lag);
	}
}

// What is repeated does not quite begin where the good samples ended: they fade into it, run backwards.
static float joined(const struct plc *plc, float value)
{
	float b;

	if (plc->filled >= plc->join)
		return value;
	b = (float)(plc->filled + 1) / (float)(plc->join + 1);
	return b * value + (1 - b) * plc->history[plc->have - 1 - plc->filled];
}

static int16_t next_sample(struct plc *plc)
{
	uint32_t hold = period_samples(plc->rate_hz, HOLD_US), gone = period_samples(plc->rate_hz, GONE_US);
	float value;

	plc->gain = plc->filled < hold   ? 1
		    : plc->filled < gone ? (float)(gone - plc->filled) / (float)(gone - hold)
					 : 0;
	value = plc->gain * joined(plc, plc->cycle[plc->at]);
	plc->at = plc->at + 1 < plc->lag ? plc->at + 1 : 0;
	plc->filled++;
	return (int16_t)lrintf(value);
}

void plc_fill(struct plc *plc, int16_t *out, uint32_t count)
{
	if (plc->filled == 0)
		gap_begin(plc);
	if (plc->lag == 0 || plc->filled >= period_samples(plc->rate_hz, GONE_US)) {
		memset(out, 0, count * sizeof(*out));
		plc->filled += plc->filled < UINT32_MAX / 2 ? count : 0;
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		out[i] = next_sample(plc);
}

void plc_good(struct plc *plc, int16_t *samples, uint32_t count)
{
	uint32_t tens = plc->filled / period_samples(plc->rate_hz, 10000), faded;

	if (plc->filled > 0) {
		faded = period_samples(plc->rate_hz, FADE_US + FADE_MORE_US * (tens > 2 ? 2 : tens));
		if (faded > period_samples(plc->rate_hz, FADE_MOST_US))
			faded = period_samples(plc->rate_hz, FADE_MOST_US);
		if (faded > count)
			faded = count;
		for (uint32_t i = 0; i < faded; i++) {
			float b = (float)(i + 1) / (float)(faded + 1), old = plc->lag ? next_sample(plc) : 0;

			samples[i] = (int16_t)lrintf(b * samples[i] + (1 - b) * old);
		}
		plc->filled = 0;
	}
	remember(plc, samples, count);
}
