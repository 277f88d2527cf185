// SPDX-License-Identifier: BSD-3-Clause
// What lcores hand to each other: mbufs, through a ring for each ordered pair of them (SPSC). Why a packet is handed
// over is written into a field of the mbuf that only a sender's nic would use.
#pragma once

#include <stdint.h>

#include <rte_mbuf.h>

enum hand_kind {
	HAND_RECEIVED, // of a leg of the other's: the hardware brought it to the wrong queue, or cannot know
	HAND_OBSERVED, // for a leg of the other's: it goes on with forward
	HAND_READY,    // complete; the other has the transmit queue
	HAND_MADE,     // an RTP packet without headers, made by a room: it goes on with forward
};

struct hand {
	enum hand_kind kind;
	uint8_t nic;         // HAND_READY: to send on
	uint32_t from, peer; // HAND_OBSERVED, HAND_MADE: leg ids
};

static inline void hand_write(struct rte_mbuf *mbuf, const struct hand *hand)
{
	mbuf->vlan_tci_outer = (uint16_t)(hand->kind << 8 | hand->nic);
	mbuf->hash.fdir.lo = hand->from;
	mbuf->hash.fdir.hi = hand->peer;
}

static inline struct hand hand_read(const struct rte_mbuf *mbuf)
{
	return (struct hand){.kind = (enum hand_kind)(mbuf->vlan_tci_outer >> 8),
		.nic = (uint8_t)mbuf->vlan_tci_outer,
		.from = mbuf->hash.fdir.lo,
		.peer = mbuf->hash.fdir.hi};
}
