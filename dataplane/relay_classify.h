// SPDX-License-Identifier: BSD-3-Clause
// classify: from a frame to the leg whose port it was sent to. Part of relay.c's loop, inlined.
#pragma once

#include "frame.h"
#include "relay_work.h"

static inline const struct relay_addr *address_of(const struct relay_addrs *addrs, const struct frame *frame)
{
	unsigned at = relay_addr_hash(&frame->target);

	for (; addrs->slots[at]; at = (at + 1) % RELAY_ADDR_SLOTS) {
		const struct relay_addr *addr = &addrs->list[addrs->slots[at] - 1];

		if (leg_ip_same(&addr->ip, &frame->target) && addr->v6 == frame->v6)
			return addr;
	}
	return NULL;
}

// Is there a whole UDP checksum to be updated? A zero one (IPv4) and a partial one (only the pseudo header's sum, as a
// veth peer leaves it to hardware) are no such. A wrong one is not looked for: it stays wrong, and the receiver's to
// find; to look at every byte of the payload would double a packet's cost. Returns: false where the packet ends.
static inline bool read_checksum(const struct frame *frame, const struct rte_mbuf *mbuf, struct work *work)
{
	uint64_t flags = mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
	uint16_t checksum, length;
	uint32_t ports;

	memcpy(&checksum, frame->udp + 6, 2);
	memcpy(&length, frame->udp + 4, 2);
	memcpy(&ports, frame->udp, 4);
	work->sum = frame->addresses_sum + ports + htons(17);
	if (unlikely(flags == RTE_MBUF_F_RX_L4_CKSUM_BAD))
		return false;
	work->whole = checksum != 0 && flags != RTE_MBUF_F_RX_L4_CKSUM_NONE &&
		      frame_fold(frame->addresses_sum + htons(17) + length) != checksum;
	return checksum != 0 || !frame->v6;
}

// Read a frame and ask for its port's entry. Returns: -1 where the packet goes on, else why it does not.
static __rte_always_inline int classify_read(const struct relay *relay, struct rte_mbuf *mbuf, struct work *work)
{
	uint32_t size = rte_pktmbuf_pkt_len(mbuf);
	const struct relay_addr *addr;
	struct frame frame;
	int reason;

	if (unlikely(mbuf->nb_segs != 1 || size > RELAY_MAX_FRAME))
		return KG_DROP_too_long;
	reason = frame_read(rte_pktmbuf_mtod(mbuf, const uint8_t *), size, &frame);
	if (unlikely(reason >= 0))
		return reason;
	addr = address_of(relay->addrs, &frame);
	if (unlikely(!addr))
		return KG_DROP_not_local;
	work->entry = &addr->ports[frame.port];
	rte_prefetch0(work->entry);
	work->payload = (uint8_t *)(uintptr_t)(frame.udp + FRAME_UDP);
	work->source = frame.source;
	work->length = frame.length;
	work->source_port = frame.source_port;
	work->port = frame.port;
	work->v6 = frame.v6;
	return read_checksum(&frame, mbuf, work) ? -1 : KG_DROP_bad_checksum;
}

#define CLASSIFY_OTHER 1000 // and the number of the lcore whose packet it is

// The entry has come: ask for the leg. Returns: -1 where the packet goes on, else why it does not.
static inline int classify_find(const struct relay *relay, struct work *work)
{
	uint32_t entry = __atomic_load_n(work->entry, __ATOMIC_RELAXED), index = leg_index(entry);

	if (unlikely(index == 0))
		return KG_DROP_no_leg;
	if (unlikely(entry >> LEG_INDEX_BITS != relay->number))
		return CLASSIFY_OTHER + (int)(entry >> LEG_INDEX_BITS);
	work->leg = &relay->legs[index];
	rte_prefetch0(&work->leg->in);
	rte_prefetch0(&work->leg->stream);
	if (unlikely(work->port & 1)) { // RTCP, most likely
		rte_prefetch0(&work->leg->tx);
		work_prefetch_cold(relay, work->leg);
	}
	return -1;
}
