// SPDX-License-Identifier: BSD-3-Clause
// The lines. Each has two sets of parameters: one to tune on, one to judge by.

#include <math.h>
#include <stdlib.h>

#include "jitter.h"

const char *const line_names[] = {"lan", "markov", "wifi", "lte", "flap", "drift+", "drift-", "talkspurts", "reorder",
	"jitter60", "weather", NULL};

// One packet's way: its delay, or < 0 where it is lost; `fifo` lines never overtake.
struct weather {
	uint64_t random;
	bool judged, bad;
	double until_us, level_ms; // of what lasts
	double slow_ms;
};

static double even(struct weather *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (double)(w->random >> 11) / 9007199254740992.0;
}

static double exponential(struct weather *w, double mean)
{
	return -mean * log(1 - even(w));
}

static double normal(struct weather *w)
{
	return sqrt(-2 * log(1 - even(w))) * cos(2 * M_PI * even(w));
}

static double lan(struct weather *w, double sent_us)
{
	return 0.5 + exponential(w, w->judged ? 0.4 : 0.25);
}

// Losses in bursts (Gilbert), and queues.
static double markov(struct weather *w, double sent_us)
{
	double to_bad = w->judged ? 0.008 : 0.006, to_good = w->judged ? 0.5 : 0.4;

	w->bad = w->bad ? even(w) > to_good : even(w) < to_bad;
	if (w->bad && even(w) < 0.8)
		return -1;
	return 20 + exponential(w, w->judged ? 10 : 7);
}

// Now and then nothing gets through for a while, and then all of it at once.
static double wifi(struct weather *w, double sent_us)
{
	if (sent_us >= w->until_us + w->level_ms * 1000) {
		w->until_us = sent_us + exponential(w, w->judged ? 3.0 : 5.0) * 1e6;
		w->level_ms = w->judged ? 30 + exponential(w, 50) : 40 + 160 * even(w);
		if (w->level_ms > 300)
			w->level_ms = 300;
	}
	if (sent_us >= w->until_us)
		return (w->until_us - sent_us) / 1000 + w->level_ms + 3;
	return 3 + exponential(w, 2);
}

// Retransmissions in steps of 8 ms, load that comes and goes, and handovers.
static double lte(struct weather *w, double sent_us)
{
	double handover_ms = 0;
	int again = 0;

	w->slow_ms += -0.005 * (w->slow_ms - 8) + 0.5 * normal(w);
	if (w->slow_ms < 0)
		w->slow_ms = 0;
	if (sent_us >= w->until_us + 120e3)
		w->until_us = sent_us + exponential(w, w->judged ? 15 : 25) * 1e6;
	else if (sent_us >= w->until_us)
		handover_ms = (w->until_us - sent_us) / 1000 + (w->judged ? 100 : 120);
	while (again < 3 && even(w) < (w->judged ? 0.12 : 0.09))
		again++;
	return 35 + w->slow_ms + 8 * again + exponential(w, 2) + (handover_ms > 0 ? handover_ms : 0);
}

// The route changes, by 80 ms and back.
static double flap(struct weather *w, double sent_us)
{
	if (sent_us >= w->until_us) {
		w->until_us = sent_us + (w->judged ? 8 + 20 * even(w) : 15 + 25 * even(w)) * 1e6;
		w->level_ms = w->level_ms > 0 ? 0 : w->judged ? 60 + 40 * even(w) : 80;
	}
	return 20 + w->level_ms + exponential(w, w->judged ? 3 : 2);
}

static double drifting(struct weather *w, double sent_us)
{
	return 15 + exponential(w, w->judged ? 5 : 3);
}

static double conversation(struct weather *w, double sent_us)
{
	w->slow_ms += -0.002 * (w->slow_ms - 15) + 0.6 * normal(w);
	if (w->slow_ms < 0)
		w->slow_ms = 0;
	return 20 + w->slow_ms + exponential(w, w->judged ? 10 : 7);
}

static double reordering(struct weather *w, double sent_us)
{
	double other_way = even(w) < (w->judged ? 0.03 : 0.02) ? 20 + (w->judged ? 50 : 40) * even(w) : 0;

	return 20 + exponential(w, 2) + other_way;
}

// 99 % of it within about 60 ms.
static double jitter60(struct weather *w, double sent_us)
{
	double late = w->judged ? 13 * -log(1 - even(w)) : fabs(normal(w)) * 23;

	return 20 + (late > 150 ? 150 : late);
}

// A minute of this and a minute of that: calm, or busy.
static double changing(struct weather *w, double sent_us)
{
	if (sent_us >= w->until_us) {
		w->until_us = sent_us + (w->judged ? 20 + exponential(w, 50) : 30 + exponential(w, 30)) * 1e6;
		w->bad = !w->bad;
	}
	return 10 + exponential(w, w->bad ? (w->judged ? 20 : 15) : 1);
}

static const struct {
	double (*delay_ms)(struct weather *weather, double sent_us);
	double ppm;
	bool spurts, overtakes;
} lines[] = {
	{lan},
	{markov},
	{wifi},
	{lte},
	{flap},
	{drifting, 200},
	{drifting, -200},
	{conversation, 0, true},
	{reordering, 0, false, true},
	{jitter60, 0, false, true},
	{changing},
};

static const struct line *sorting;

static int by_arrival(const void *a, const void *b)
{
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	int64_t x = sorting->packets[i].came_us, y = sorting->packets[j].came_us;

	return x != y ? (x > y) - (x < y) : (i > j) - (i < j);
}

void line_make(struct line *line, unsigned which, bool judged, uint32_t seed, unsigned minutes)
{
	struct weather weather = {.random = 0x9e3779b97f4a7c15ull * (seed + 1) + which, .judged = judged};
	double media_us = 0, talk_until_us = 0, last_us = 0;

	line->count = minutes * 60 * (1000000 / PTIME_US);
	line->packets = calloc(line->count, sizeof(*line->packets));
	line->arrivals = calloc(line->count, sizeof(*line->arrivals));
	line->arrived = 0;
	for (int i = 0; i < 20; i++)
		even(&weather);
	line->phase_us = (int64_t)(even(&weather) * TICK_US);
	for (uint32_t i = 0; i < line->count; i++, media_us += PTIME_US) {
		struct line_packet *packet = &line->packets[i];
		double delay_ms;

		if (lines[which].spurts && media_us >= talk_until_us) {
			media_us += (i ? 10 + (int)(exponential(&weather, 1.2) * 50) : 0) * PTIME_US;
			talk_until_us = media_us + (0.2 + exponential(&weather, 1.2)) * 1e6;
		}
		packet->media_us = (int64_t)media_us;
		packet->sent_us = (int64_t)(media_us * (1 + lines[which].ppm * 1e-6)) + 1000000;
		delay_ms = lines[which].delay_ms(&weather, (double)packet->sent_us);
		packet->came_us = delay_ms < 0 ? -1 : packet->sent_us + (int64_t)(delay_ms * 1000);
		if (delay_ms < 0)
			continue;
		if (!lines[which].overtakes && packet->came_us < last_us)
			packet->came_us = (int64_t)last_us;
		last_us = (double)packet->came_us;
		line->arrivals[line->arrived++] = i;
	}
	sorting = line;
	qsort(line->arrivals, line->arrived, sizeof(*line->arrivals), by_arrival);
}

void line_free(struct line *line)
{
	free(line->packets);
	free(line->arrivals);
}
