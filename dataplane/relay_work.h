// SPDX-License-Identifier: BSD-3-Clause
// What the stages of relay.c share: a packet on its way through them. Everything here: Thread: the lcore that owns the
// relay.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_prefetch.h>

#include "relay.h"

struct work {
	struct rte_mbuf *mbuf;
	struct leg *leg;
	struct leg *to;        // the peer's, where it is this lcore's
	const uint32_t *entry; // of its port
	uint8_t *payload;      // of UDP
	const uint8_t *source; // the sender's address, in the frame
	uint64_t sum;          // one's complement sum of both addresses and both ports
	struct relay_whose who;
	uint32_t clock_hz;    // of the payload type; 0: not known
	uint16_t length;      // of the payload
	uint16_t port;        // destination, host order
	uint16_t source_port; // network order
	bool v6, rtcp;
	bool whole; // the UDP checksum is: it can be updated. Else it is made anew
	bool alive; // it has not ended
};

// The end of a packet: one reason, one exit. leg may be NULL.
void work_drop(struct relay *relay, struct leg *leg, struct rte_mbuf *mbuf, enum kg_drop reason);

static inline struct leg_cold *work_cold(const struct relay *relay, const struct leg *leg)
{
	return &relay->cold[leg - relay->legs];
}

// Ask for what only IPv6 and RTCP need of a leg.
static inline void work_prefetch_cold(const struct relay *relay, const struct leg *leg)
{
	const struct leg_cold *cold = work_cold(relay, leg);

	rte_prefetch0(&cold->more);
	rte_prefetch0(&cold->rx_rtcp_packets);
}

// The legs of all lcores are numbered through, each has as many.
static inline unsigned relay_lcore_of(const struct relay *relay, uint32_t leg_id)
{
	return (leg_index(leg_id) - 1) / relay->leg_room;
}

static inline bool work_owns(const struct relay *relay, uint32_t leg_id)
{
	return leg_index(leg_id) - relay->leg_first < relay->leg_room;
}

// The sender's address as a leg has it.
static inline struct leg_ip work_source(const struct work *work)
{
	struct leg_ip ip;
	uint32_t ip4;

	if (work->v6) {
		memcpy(&ip.word[0], work->source, 8);
		memcpy(&ip.word[1], work->source + 8, 8);
		return ip;
	}
	memcpy(&ip4, work->source, 4);
	return (struct leg_ip){{ip4, 0}};
}
