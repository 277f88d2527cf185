// SPDX-License-Identifier: BSD-3-Clause
// Which playout delay is worth it. A packet's transit is its arrival less its media time, in us; only differences mean
// anything. What is minimised is
//
//	delay + late_cost * (percent of packets that would come too late at that delay)
//
// and not a quantile, which is the same thing on a line that never changes but spends delay in the wrong minutes on one
// that does: with one price everywhere, the next millisecond buys the same loss in the calm minute and in the rough
// one.
//
// The chance to be late comes from two memories. The slow one is histograms, with forgetting, of the transits over the
// level of their own second: a packet enters them only a second later, above the *higher* of the lowest transits before
// and after it, so that a route that changed is a new level and not jitter. There is one for each kind of weather,
// which is told by the median of the last second: a line that is calm again is judged at once by what calm seconds
// brought before (a stall every now and then, say), and not by how rough it was a minute ago. The fast memory is the
// last packets as they are. Clock drift is a level that moves: nothing else is needed for it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	DELAY_BINS = 256,  // the last one holds everything that is later still
	DELAY_NEAR = 50,   // packets that make the level
	DELAY_RING = 128,  // over twice as many, and a power of two
	DELAY_RECENT = 32, // packets of the fast memory
	DELAY_WEATHERS = 5,
};

struct delay_config {
	uint32_t late_cost_us; // delay that one percent of late packets is worth
	uint32_t initial_us, min_us, max_us;
};

struct delay_memory {
	float bins[DELAY_BINS], sum;
	float weight; // of the next packet; it grows, so that the old ones fade
};

struct delay {
	struct delay_config config;
	struct delay_memory all, weathers[DELAY_WEATHERS];
	int64_t ring[DELAY_RING];         // the last transits
	uint8_t weather_ring[DELAY_RING]; // and the weather they came in
	uint32_t count;                   // of transits, ever
	int64_t base_us;                  // the lowest of the last DELAY_NEAR
	int64_t goal_us;                  // transit that is still in time, as chosen last
	uint8_t weather;
	bool chosen;
	bool surprised; // since it was chosen a packet came later than that
};

// Begin with nothing known: initial_us holds until there is better.
void delay_init(struct delay *delay, const struct delay_config *config);

// Take one packet's transit.
// Units: us.
void delay_add(struct delay *delay, int64_t transit_us);

// The transits of all packets are other by so much from here on.
void delay_shift(struct delay *delay, int64_t add_us);

// Choose among the transits lattice_us + n * step_us, for a consumer that takes packets up to early_us before it plays
// them. `free`: changing costs nothing now (a talkspurt begins), so small gains count.
// Units: us.
// Returns: the greatest transit that is in time (also goal_us).
int64_t delay_choose(struct delay *delay, int64_t lattice_us, uint32_t step_us, uint32_t early_us, bool free);
