// SPDX-License-Identifier: BSD-3-Clause
// The packet path: one burst through its stages, to completion. See relay.c.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "leg.h"
#include "owner.h"

#define RELAY_BURST 64
#define RELAY_TX 256  // packets that may wait for one nic within a turn
#define RELAY_WAIT 64 // packets that may wait for next hops
#define RELAY_MAX_FRAME 1600
#define RELAY_PORTS 65536
#define RELAY_ADDRS (KG_MEDIA_NICS * KG_MEDIA_NIC_ADDRS)

// The stages and where a packet may leave them. X(stage, what it does); the exits are in relay_stages.
enum relay_stage { RELAY_RX, RELAY_CLASSIFY, RELAY_ADMIT, RELAY_OBSERVE, RELAY_FORWARD, RELAY_TX_STAGE, RELAY_STAGES };

struct relay_stage_info {
	const char *name;
	const char *help;
	int exits[14]; // enum kg_drop, ended by -1
};
extern const struct relay_stage_info relay_stages[RELAY_STAGES];

// A local address and its direct table port -> leg (0: none). An entry's low LEG_INDEX_BITS are the leg's index, the
// others the owner lcore's number.
struct relay_addr {
	struct leg_ip ip;
	uint32_t *ports;
	bool v6;
};

// All of them. Control builds a new list for each change and the owner swaps it; the port tables live on from one to
// the next: control enters a leg's ports before it makes the leg, the leg's owner clears them.
#define RELAY_ADDR_SLOTS (2 * RELAY_ADDRS)
struct relay_addrs {
	unsigned count;
	struct relay_addr list[RELAY_ADDRS];
	uint8_t slots[RELAY_ADDR_SLOTS]; // by relay_addr_hash and from there on: 1 + the place in the list; 0 ends
};

static inline unsigned relay_addr_hash(const struct leg_ip *ip)
{
	uint64_t key = (ip->word[0] ^ ip->word[1]) * 0x9e3779b97f4a7c15u;

	return (unsigned)((key >> 32) * RELAY_ADDR_SLOTS >> 32); // by the upper bits: all of the address is in them
}

// Add an address. Thread: control, before the list is sent. The caller sees to the room.
void relay_addrs_add(struct relay_addrs *addrs, const struct kg_addr *addr, uint32_t *ports);

enum relay_event_type { RELAY_EV_ACK, RELAY_EV_FIRST_PACKET, RELAY_EV_LATCHED };

// What the lcore tells control. For an acknowledgement the command comes back with what is to be freed.
struct relay_event {
	uint32_t type; // enum relay_event_type
	uint32_t command;
	kg_leg_id leg;
	uint32_t version;
	uint32_t ssrc;
	uint32_t port; // RELAY_EV_LATCHED, host order
	uint64_t tsc;
	void *block; // control's to free
};

struct rte_ring;
struct g711_kernel;

// The legs of a packet by their ids: it came in on `from` and leaves on `peer`. 0: nobody's.
struct relay_whose {
	uint32_t from, peer;
};

// One relay lcore's world. relay: rw, control: ro (counters), but where said.
struct relay {
	struct leg *legs; // by index: of this lcore's there are leg_first to leg_first + leg_room - 1
	struct leg_cold *cold;
	uint32_t leg_first, leg_room;
	unsigned number;           // among the relay lcores
	struct rte_ring *kernel;   // of the nic whose burst is processed: takes what is no media; NULL: that is dropped
	struct relay_addrs *addrs; // by command
	uint64_t tsc_hz;
	const struct g711_kernel *g711; // for legs between the two laws
	struct rte_ring *events;        // relay: push, control: pop

	uint64_t drops[KG_DROP_COUNT];
	uint64_t counters[KG_CNT_COUNT];
	struct {
		uint64_t packets, cycles; // classify to forward are one loop: one packet of each burst stands for all
	} stages[RELAY_STAGES];
	unsigned bursts, sample;  // of some bursts: which one, the last time
	uint64_t tsc_cost_tsc;    // what reading the clock twice costs by itself
	uint64_t now_s, now_frac; // the burst's clock: seconds, and 2^-31 of them
	uint64_t taken, given;    // mbufs got from nics; given to nics or freed: the difference is what we hold
	uint64_t heartbeat_tsc, busy_cycles, legs_live;

	struct relay_tx {
		unsigned count;
		bool udp_checksum; // the nic computes it where it is told to
		struct rte_mbuf *packets[RELAY_TX];
		struct relay_whose whose[RELAY_TX]; // for tx_full; `from` may be another lcore's
	} tx[KG_MEDIA_NICS];

	struct relay_hand {            // packets for other lcores, by their number
		struct rte_ring *ring; // relay: push, the other: pop
		unsigned count;
		struct rte_mbuf *packets[RELAY_BURST];
	} hands[KG_MEDIA_LCORES], rooms[KG_MEDIA_LCORES]; // rooms: for dsp lcores

	struct relay_wait {    // packets whose next hop is not known yet, in the order in which they came
		unsigned room; // RELAY_WAIT; 0: nobody waits
		unsigned count;
		bool due; // a leg has changed for which some of them wait
		struct rte_mbuf *packets[RELAY_WAIT];
		uint64_t since_tsc[RELAY_WAIT];
	} wait;

	struct owner owner; // its thread
};

// Take one burst from a nic through classify, admit, observe and forward. Packets that leave wait in relay->tx, the
// others are counted and freed; all n mbufs are the relay's from here on. Thread: the lcore that owns `relay`. Units:
// now_tsc in TSC ticks; n <= RELAY_BURST.
void relay_process(struct relay *relay, struct rte_mbuf **packets, unsigned n, uint64_t now_tsc);

// Take packets that another lcore observed for legs of ours through forward. Thread and ownership as above.
void relay_crossed(struct relay *relay, struct rte_mbuf **packets, unsigned n, uint64_t now_tsc);

// Take packets that rooms made for legs of ours: RTP without headers. Thread and ownership as above.
void relay_made(struct relay *relay, struct rte_mbuf **packets, unsigned n, uint64_t now_tsc);

struct hand;
// Let another lcore go on with a packet; relay_hand_flush sends what waits. The mbuf is not the caller's any more.
void relay_hand_over(struct relay *relay, unsigned number, struct rte_mbuf *mbuf, const struct hand *hand);
void relay_hand_flush(struct relay *relay);

// Count and free what `nic` did not take of its waiting packets, from the `sent`th on, and take it off what was counted
// as relayed; empties the buffer. No command may come between the packets' relay_process and this.
void relay_sent(struct relay *relay, unsigned nic, unsigned sent);

// Counters have one writer: a plain add that other threads may read.
static inline void relay_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

// Tell control something. Returns: false where its ring is full (counted).
bool relay_tell(struct relay *relay, const struct relay_event *event);
