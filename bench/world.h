// SPDX-License-Identifier: BSD-3-Clause
// What the benches measure in: a relay with its legs, and the packets that arrive for them, one for each leg, in random
// order. Each pass over them has the next sequence number and the next 20 ms.
#pragma once

#include <stdint.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "frame.h"
#include "relay.h"

#define FRAME_HEAD 64
#define REMOTE_PORT 4000 // of every party

enum kind { KIND_RTP, KIND_RTCP, KIND_IPV6, KIND_EVENT };

struct world {
	struct relay relay;
	struct rte_mempool *pool;
	uint8_t *heads; // of packets that arrive, each `head` bytes: what is behind them is zero
	unsigned head;  // FRAME_HEAD or twice that
	uint32_t count, next;
	uint16_t pass; // the packets' sequence number
	uint16_t length, rtp_at;
	uint64_t rx_flags;
	enum kind kind;
};

// End with a message.
void world_fail(const char *what);

// A world of one kind of packets, mbufs in a pool of their own: `cached` of them per lcore.
struct world *world_create(enum kind kind, unsigned mbufs, unsigned cached);

// Its legs, in pairs that are each other's peer; and the packets for them.
void world_make_legs(struct world *world, uint32_t legs);
void world_make_traffic(struct world *world, uint32_t legs);

// What differs from pass to pass.
struct numbers {
	uint16_t sequence; // network order
	uint32_t timestamp;
	uint32_t sum;
};

static inline struct numbers numbers_of(const struct world *world)
{
	struct numbers numbers = {htons(world->pass), htonl(world->pass * 160u), 0};

	numbers.sum = frame_fold((uint64_t)numbers.sequence + numbers.timestamp);
	return numbers;
}

// As a driver does it: the mbuf's fields, and the frame, which a device writes.
static inline void world_receive(
	const struct world *world, const uint8_t *head, struct rte_mbuf *mbuf, const struct numbers *numbers)
{
	uint8_t *frame = (uint8_t *)mbuf->buf_addr + RTE_PKTMBUF_HEADROOM;
	uint32_t sum;
	uint16_t base;

	mbuf->data_off = RTE_PKTMBUF_HEADROOM;
	mbuf->nb_segs = 1;
	mbuf->data_len = world->length;
	mbuf->pkt_len = world->length;
	mbuf->ol_flags = world->rx_flags;
	memcpy(frame, head, FRAME_HEAD);
	if (world->head > FRAME_HEAD)
		memcpy(frame + FRAME_HEAD, head + FRAME_HEAD, FRAME_HEAD);
	if (world->kind == KIND_RTCP)
		return;
	memcpy(&base, head + world->rtp_at - 2, 2); // the checksum with both numbers zero
	sum = (uint16_t)~base + numbers->sum;
	sum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
	sum = sum ? sum : 0xffff; // 0 would say that there is none
	memcpy(frame + world->rtp_at - 2, &sum, 2);
	memcpy(frame + world->rtp_at + 2, &numbers->sequence, 2);
	memcpy(frame + world->rtp_at + 4, &numbers->timestamp, 4);
}

// Make n mbufs the next packets.
static inline void world_receive_burst(struct world *world, struct rte_mbuf **packets, unsigned n)
{
	struct numbers numbers = numbers_of(world);
	uint32_t next = world->next;

	for (unsigned i = 0; i < n; i++) {
		world_receive(world, world->heads + (size_t)next * world->head, packets[i], &numbers);
		if (++next == world->count) {
			next = 0;
			world->pass++;
			numbers = numbers_of(world);
		}
	}
	world->next = next;
}
