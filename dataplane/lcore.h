// SPDX-License-Identifier: BSD-3-Clause
// The relay lcore's loop and what control may ask of it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "relay.h"

enum lcore_command_type { LCORE_CREATE, LCORE_CHANGE, LCORE_RETIRE, LCORE_ADDRS, LCORE_CAPTURE, LCORE_STOP };

// A command: a flat struct with ids and one block that changes hands. Its acknowledgement carries the block back (of
// LCORE_ADDRS and LCORE_CAPTURE: the old one; of LCORE_CAPTURE `leg` is the nic's number, and no block ends it).
struct lcore_command {
	uint32_t type; // enum lcore_command_type
	kg_leg_id leg;
	uint32_t version;
	uint32_t pad;
	void *block; // struct leg_conf, struct relay_addrs or struct capture
};

struct rte_ring;

// A nic as one lcore uses it.
struct lcore_nic {
	uint16_t port, queue;
	bool own;                     // the queue is ours to receive on; else another's
	unsigned via;                 // control: w, relay: r; number of the lcore that transmits: ours, or another's
	uint16_t vlan;                // 0: none
	bool vlan_insert, vlan_strip; // by the nic, from and to mbuf->vlan_tci
	struct rte_ring *to_kernel;   // of its TAP; NULL: none
	struct rte_ring *from_kernel; // of one of the lcores: it transmits what comes there
	struct capture *capture;      // relay: rw, by command; NULL: nobody looks
};

// Carried out at most, between two bursts: what piles up while the kernel lets an lcore stand for 100 ms and calls begin
// and end by the thousand a second, so that a packet does not overtake what makes its bridge. A third of a millisecond.
#define LCORE_COMMANDS 1024

struct lcore {
	struct relay relay;
	struct rte_ring *commands; // control: push, relay: pop
	// Retirements (and the stop) wait until what the nics had received before them is forwarded: a party's last
	// packets, sent before its BYE, are not lost. The first held_ready of them wait until each other lcore has made
	// a turn, and this one another; the wait ends with a turn that did not receive a full burst.
	struct lcore_command held[LCORE_COMMANDS];
	unsigned held_count, held_ready, held_turns, last_burst;
	bool held_drained;
	uint64_t held_tsc, held_at[KG_MEDIA_LCORES];
	const uint64_t *turns[KG_MEDIA_LCORES]; // of other lcores that hand over to this one: they add, relay: ro
	struct lcore_nic nics[KG_MEDIA_NICS];
	unsigned nic_count;
	struct rte_ring *from[KG_MEDIA_LCORES]; // what other lcores hand over: they push, relay: pop
	struct rte_ring *made[KG_MEDIA_LCORES]; // what dsp lcores hand over: they push, relay: pop
	bool spin;
	unsigned id; // DPDK's lcore id
	int cpu;
	uint64_t start_tsc, worst_tsc; // worst: the longest turn so far; relay: rw, control: ro
	void *legs, *cold;             // control: rw; the tables that relay.legs and relay.cold point into
	bool stop;                     // relay: rw, by LCORE_STOP
};

// The loop; returns after LCORE_STOP. For rte_eal_remote_launch; arg is struct lcore *.
int lcore_run(void *arg);

// A thread reads what strangers send and needs no right that the process may have; only to become another user with it,
// which takes the rest.
void lcore_give_up_rights(void);

// One turn: receive, process, send. Returns: packets received. For tests and benches.
unsigned lcore_turn(struct lcore *lcore);

// Carry out the commands that wait; a retirement not before the turn that follows, then with the next call. Returns:
// how many were carried out.
unsigned lcore_commands(struct lcore *lcore);
