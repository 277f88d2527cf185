// SPDX-License-Identifier: BSD-3-Clause

#include <string.h>

#include "delay.h"

// Tuned on seeds and traces of their own (docs/jitter.md).
#define SLOW_FORGET 0.9995f   // of a packet: 40 s at 20 ms
#define FAST_SHARE 0.10f      // of the judgement
#define FAST_FORGET 0.90f     // of a packet
#define PRIOR_WEIGHT 0.5f     // packets, at initial_us: what was never seen late may be late yet
#define STAY_US 4000.0f       // to change within speech must gain that much
#define WEIGHT_MAX 1e6f       // floats stay exact enough
#define DELAY_EMPTY INT64_MAX // no transit yet

static unsigned bin_of(int64_t late_us)
{
	if (late_us <= 0)
		return 0;
	return late_us >= (int64_t)DELAY_BINS * DELAY_BIN_US ? DELAY_BINS - 1 : (unsigned)(late_us / DELAY_BIN_US);
}

void delay_init(struct delay *delay, const struct delay_config *config)
{
	memset(delay, 0, sizeof(*delay));
	delay->config = *config;
	delay->weight = 1;
	delay->sum = PRIOR_WEIGHT;
	delay->bins[bin_of((int64_t)config->initial_us - 1)] = PRIOR_WEIGHT;
	delay->base_us = DELAY_EMPTY;
}

// The transit of the packet that came `ago` packets before the last.
static int64_t transit_of(const struct delay *delay, uint32_t ago)
{
	return delay->ring[(delay->count - 1 - ago) % DELAY_RING];
}

static int64_t lowest(const struct delay *delay, uint32_t from_ago, uint32_t packets)
{
	int64_t least = DELAY_EMPTY;

	for (uint32_t i = from_ago; i < from_ago + packets && i < delay->count; i++)
		if (transit_of(delay, i) < least)
			least = transit_of(delay, i);
	return least;
}

static void slow_add(struct delay *delay)
{
	int64_t before = lowest(delay, DELAY_NEAR, DELAY_NEAR + 1), after = delay->base_us;
	unsigned bin = bin_of(transit_of(delay, DELAY_NEAR) - (before > after ? before : after));

	delay->bins[bin] += delay->weight;
	delay->sum += delay->weight;
	delay->weight /= SLOW_FORGET;
	if (delay->weight < WEIGHT_MAX)
		return;
	for (unsigned i = 0; i < DELAY_BINS; i++)
		delay->bins[i] /= WEIGHT_MAX;
	delay->sum /= WEIGHT_MAX;
	delay->weight /= WEIGHT_MAX;
}

void delay_add(struct delay *delay, int64_t transit_us)
{
	delay->ring[delay->count++ % DELAY_RING] = transit_us;
	delay->base_us = lowest(delay, 0, DELAY_NEAR);
	if (delay->count > DELAY_NEAR)
		slow_add(delay);
}

void delay_shift(struct delay *delay, int64_t add_us)
{
	for (unsigned i = 0; i < DELAY_RING; i++)
		delay->ring[i] += add_us;
	if (delay->base_us != DELAY_EMPTY)
		delay->base_us += add_us;
	delay->goal_us += add_us;
}

// late[n]: the chance to come n bins or more above the level.
static void late_chances(const struct delay *delay, float late[DELAY_BINS + 1])
{
	float slow = (1 - FAST_SHARE) / delay->sum, fast = FAST_SHARE * (1 - FAST_FORGET), sum = 0;

	for (unsigned i = 0; i < DELAY_BINS; i++)
		late[i] = delay->bins[i] * slow;
	for (uint32_t i = 0; i < DELAY_RECENT && i < delay->count; i++, fast *= FAST_FORGET)
		late[bin_of(transit_of(delay, i) - delay->base_us)] += fast;
	late[DELAY_BINS] = 0;
	for (unsigned i = DELAY_BINS; i-- > 0;)
		late[i] = sum += late[i];
}

// `in_time_us` above the level: what lies in its own bin counts by halves, by where in the bin it is.
static float cost(const struct delay *delay, const float late[DELAY_BINS + 1], int64_t in_time_us, uint32_t early_us)
{
	int64_t covered = in_time_us - early_us;
	unsigned bin = bin_of(covered);
	float part = covered <= 0 ? 0 : (float)(covered - (int64_t)bin * DELAY_BIN_US) / DELAY_BIN_US, chance;

	if (part > 1)
		part = 1;
	chance = late[bin] + (late[bin + 1] - late[bin]) * part;
	return (float)in_time_us + 100 * chance * (float)delay->config.late_cost_us;
}

int64_t delay_choose(struct delay *delay, int64_t lattice_us, uint32_t step_us, uint32_t early_us, bool free)
{
	int64_t low = delay->base_us + delay->config.min_us, high = delay->base_us + delay->config.max_us, best = 0,
		stay;
	float late[DELAY_BINS + 1], least = 0, value;
	bool found = false;

	if (delay->base_us == DELAY_EMPTY)
		return delay->goal_us = lattice_us;
	if (step_us == 0)
		step_us = 1000;
	late_chances(delay, late);
	low += ((lattice_us - low) % step_us + step_us) % step_us; // the first on the lattice
	for (int64_t at = low; at <= high || !found; at += step_us) {
		value = cost(delay, late, at - delay->base_us, early_us);
		if (!found || value < least) {
			least = value;
			best = at;
		}
		found = true;
	}
	stay = delay->goal_us + step_us / 2 - low;
	stay = low + (stay - ((stay % step_us) + step_us) % step_us); // the goal, on today's lattice
	if (delay->chosen && !free && stay >= low && stay <= high &&
		cost(delay, late, stay - delay->base_us, early_us) <= least + STAY_US)
		best = stay;
	delay->chosen = true;
	return delay->goal_us = best;
}
