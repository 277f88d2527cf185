// SPDX-License-Identifier: BSD-3-Clause
// The dsp lcore: a thread that transcodes. Relay lcores hand it what arrives on legs whose codec is not the other
// party's (mbufs, by a ring for each of them), it ticks each room's two directions on a wheel of milliseconds, and
// hands what it made back to the relay lcore that owns the leg it is for. It touches no nic and no leg.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "kg_media.h"
#include "owner.h"
#include "transcode.h"

#define DSP_SLOTS 64 // milliseconds, more than the longest ptime
#define DSP_BURST 64

struct rte_ring;
struct rte_mempool;

// One direction of a room: from one leg to another. Made and freed by control, the dsp's in between.
struct dsp_way {
	LIST_ENTRY(dsp_way) same_slot;
	kg_leg_id from, to;
	unsigned lcore; // that owns `to`
	unsigned slot, ptime_ms;
	struct transcode transcode __attribute__((aligned(64))); // and its memory behind it
};

// Set the way of a leg, or end it (NULL). The acknowledgement carries the one that it replaces.
struct dsp_command {
	kg_leg_id leg;
	uint32_t pad;
	struct dsp_way *way;
};

struct dsp {
	unsigned number;
	int cpu; // -1: left to the kernel
	uint64_t tsc_hz;
	unsigned lcores;
	struct rte_ring *commands, *events; // struct dsp_command: control pushes, dsp pops, and back
	struct rte_ring *in[KG_MEDIA_LCORES], *out[KG_MEDIA_LCORES]; // mbufs: relay to dsp, dsp to relay
	struct rte_mempool *pools[KG_MEDIA_LCORES];                  // by lcore, for what it is sent
	struct dsp_way **ways;                                       // dsp: rw; by leg index
	uint32_t leg_room;
	LIST_HEAD(dsp_slot, dsp_way) slots[DSP_SLOTS];
	unsigned slot_count[DSP_SLOTS], way_count;
	uint64_t done_ms;
	uint64_t looked_ms, looked_busy; // when the load was looked at last, and how busy it was by then
	uint8_t complexity;              // for encoders that can be told; 0: their own choice
	bool stop;                       // control: w
	// dsp: w, control: ro
	uint64_t ticks, reports, packets_in, packets_out, late_ticks, lost, busy_tsc, loops, heartbeat_tsc;
	struct owner owner;
};

// Let the encoders think less or more, by how busy it was of the time that passed since it looked last.
void dsp_look(struct dsp *dsp, uint64_t now_ms, uint64_t passed_tsc);

// The loop, until `stop`. For pthread_create; arg is struct dsp *.
void *dsp_run(void *arg);

// One turn of it at a time in microseconds (CLOCK_MONOTONIC): commands, packets, the ticks that are due. Returns: how
// many packets and ticks. For tests.
unsigned dsp_turn(struct dsp *dsp, uint64_t now_us);
