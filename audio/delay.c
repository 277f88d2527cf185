// SPDX-License-Identifier: BSD-3-Clause

#include <string.h>

#include "delay.h"

// Tuned on seeds and traces of their own (docs/jitter.md).
#define SLOW_FORGET 0.9998f   // of a packet: 100 s at 20 ms
#define FAST_SHARE 0.10f      // of the judgement
#define FAST_FORGET 0.80f     // of a packet
#define PRIOR_WEIGHT 0.5f     // packets, at initial_us: what was never seen late may be late yet
#define ALL_WEIGHT 10.0f      // packets that the memory of all weathers is worth beside that of this one
#define WEATHER_STAYS 5       // packets, of DELAY_NEAR
#define STAY_US 4000.0f       // to change within speech must gain that much
#define WEIGHT_MAX 1e6f       // floats stay exact enough
#define DELAY_EMPTY INT64_MAX // no transit yet

// Bins are as wide as the delays they tell apart: the first ones decide about a quiet LAN.
static const struct {
	unsigned first;
	int64_t from_us, width_us;
} widths[] = {{0, 0, 500}, {64, 32000, 2000}, {192, 288000, 8000}, {DELAY_BINS, 800000, 0}};

// Returns: the bin; how far in it, from 0 to 1, in *part.
static unsigned bin_part(int64_t late_us, float *part)
{
	unsigned w = 0, bin;

	*part = 0;
	if (late_us <= 0)
		return 0;
	while (late_us >= widths[w + 1].from_us)
		if (widths[++w].width_us == 0)
			return DELAY_BINS - 1;
	late_us -= widths[w].from_us;
	bin = (unsigned)(late_us / widths[w].width_us);
	*part = (float)(late_us - bin * widths[w].width_us) / (float)widths[w].width_us;
	return widths[w].first + bin;
}

static unsigned bin_of(int64_t late_us)
{
	float part;

	return bin_part(late_us, &part);
}

void delay_init(struct delay *delay, const struct delay_config *config)
{
	memset(delay, 0, sizeof(*delay));
	delay->config = *config;
	delay->all.weight = 1;
	delay->all.sum = PRIOR_WEIGHT;
	delay->all.bins[bin_of((int64_t)config->initial_us - 1)] = PRIOR_WEIGHT;
	for (unsigned i = 0; i < DELAY_WEATHERS; i++)
		delay->weathers[i].weight = 1;
	delay->base_us = DELAY_EMPTY;
}

// The transit of the packet that came `ago` packets before the last.
static int64_t transit_of(const struct delay *delay, uint32_t ago)
{
	return delay->ring[(delay->count - 1 - ago) % DELAY_RING];
}

static int64_t lowest(const struct delay *delay, uint32_t from_ago, uint32_t packets)
{
	uint32_t end = from_ago + packets < delay->count ? from_ago + packets : delay->count;
	int64_t least = DELAY_EMPTY;

	for (uint32_t i = from_ago; i < end; i++)
		least = transit_of(delay, i) < least ? transit_of(delay, i) : least;
	return least;
}

static void memory_add(struct delay_memory *memory, unsigned bin)
{
	memory->bins[bin] += memory->weight;
	memory->sum += memory->weight;
	memory->weight /= SLOW_FORGET;
	if (memory->weight < WEIGHT_MAX)
		return;
	for (unsigned i = 0; i < DELAY_BINS; i++)
		memory->bins[i] /= WEIGHT_MAX;
	memory->sum /= WEIGHT_MAX;
	memory->weight /= WEIGHT_MAX;
}

// The packet that is DELAY_NEAR old has a level by now.
static void slow_add(struct delay *delay)
{
	int64_t before = lowest(delay, DELAY_NEAR, DELAY_NEAR + 1), after = delay->base_us;
	unsigned bin = bin_of(transit_of(delay, DELAY_NEAR) - (before > after ? before : after));

	memory_add(&delay->all, bin);
	memory_add(&delay->weathers[delay->weather_ring[(delay->count - 1 - DELAY_NEAR) % DELAY_RING]], bin);
}

// The weather: how many of the bounds half of the last packets are over, and not one of them for a packet or two.
static uint8_t weather_of(const struct delay *delay)
{
	static const int64_t bounds_us[DELAY_WEATHERS - 1] = {1500, 4000, 9000, 20000};
	unsigned over[DELAY_WEATHERS - 1] = {0};
	uint8_t weather = delay->weather;

	for (uint32_t i = 0; i < DELAY_NEAR && i < delay->count; i++)
		for (unsigned b = 0; b < DELAY_WEATHERS - 1; b++)
			over[b] += transit_of(delay, i) - delay->base_us > bounds_us[b];
	while (weather < DELAY_WEATHERS - 1 && over[weather] > DELAY_NEAR / 2 + WEATHER_STAYS)
		weather++;
	while (weather > 0 && over[weather - 1] < DELAY_NEAR / 2 - WEATHER_STAYS)
		weather--;
	return weather;
}

void delay_add(struct delay *delay, int64_t transit_us)
{
	delay->ring[delay->count++ % DELAY_RING] = transit_us;
	delay->surprised |= transit_us > delay->goal_us;
	delay->base_us = lowest(delay, 0, DELAY_NEAR);
	delay->weather = weather_of(delay);
	delay->weather_ring[(delay->count - 1) % DELAY_RING] = delay->weather;
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
	const struct delay_memory *here = &delay->weathers[delay->weather];
	float known = here->sum / here->weight, slow = (1 - FAST_SHARE) / (known + ALL_WEIGHT);
	float of_here = slow / here->weight, of_all = slow * ALL_WEIGHT / delay->all.sum;
	float fast = FAST_SHARE * (1 - FAST_FORGET), sum = 0;

	for (unsigned i = 0; i < DELAY_BINS; i++)
		late[i] = here->bins[i] * of_here + delay->all.bins[i] * of_all;
	for (uint32_t i = 0; i < DELAY_RECENT && i < delay->count; i++, fast *= FAST_FORGET)
		late[bin_of(transit_of(delay, i) - delay->base_us)] += fast;
	late[DELAY_BINS] = 0;
	for (unsigned i = DELAY_BINS; i-- > 0;)
		late[i] = sum += late[i];
}

// `in_time_us` above the level: what lies in its own bin counts by the part of the bin that is later.
static float cost(const struct delay *delay, const float late[DELAY_BINS + 1], int64_t in_time_us, uint32_t early_us)
{
	float part, chance;
	unsigned bin = bin_part(in_time_us - early_us, &part);

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
	delay->surprised = false;
	return delay->goal_us = best;
}
