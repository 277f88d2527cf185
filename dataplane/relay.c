// SPDX-License-Identifier: BSD-3-Clause
// The packet path. A burst runs through four steps in one loop: a frame is read (classify), its port's entry gives the
// leg (classify), the leg says who may send what (admit) and what the stream is like (observe), the peer's template and
// line make it the peer's packet (forward). Each step is RELAY_AHEAD packets behind the one before, and ends by asking
// memory for what the next one reads: so with 100,000 legs, where nothing is in a cache, memory answers while other
// packets are worked on. The requests must be spaced by work, the core drops those that come too close together: this is
// why the steps are one loop and not four. A packet that ends in a step leaves the loop with a named reason.

#include <string.h>

#include <rte_cycles.h>
#include <rte_prefetch.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "relay_admit.h"
#include "relay_classify.h"
#include "relay_forward.h"
#include "relay_observe.h"

// Packets of work between a request and its use. Fewer, and memory has not answered; more, and the core holds no more.
#define RELAY_AHEAD 8

const struct relay_stage_info relay_stages[RELAY_STAGES] = {
	[RELAY_RX] = {"rx", "a burst from a nic", {-1}},
	[RELAY_CLASSIFY] = {"classify", "port -> leg",
		{KG_DROP_not_ip, KG_DROP_bad_ip, KG_DROP_ip_fragment, KG_DROP_not_udp, KG_DROP_bad_udp,
			KG_DROP_bad_checksum, KG_DROP_too_long, KG_DROP_not_local, KG_DROP_no_leg, -1}},
	[RELAY_ADMIT] = {"admit", "who sends, and what",
		{KG_DROP_no_remote, KG_DROP_wrong_source, KG_DROP_latch_probation, KG_DROP_stun, KG_DROP_dtls,
			KG_DROP_not_media, KG_DROP_rtp_malformed, KG_DROP_rtp_payload_type, KG_DROP_rtcp_malformed,
			KG_DROP_direction, -1}},
	[RELAY_OBSERVE] = {"observe", "seq, loss, jitter", {KG_DROP_seq_probation, -1}},
	[RELAY_FORWARD] = {"forward", "rewrite for the peer",
		{KG_DROP_no_bridge, KG_DROP_peer_gone, KG_DROP_rtcp_no_peer, KG_DROP_no_remote, KG_DROP_direction,
			KG_DROP_no_next_hop, KG_DROP_too_long, KG_DROP_tx_full, -1}},
	[RELAY_TX_STAGE] = {"tx", "a burst to a nic", {KG_DROP_tx_full, -1}},
};

void work_drop(struct relay *relay, struct leg *leg, struct rte_mbuf *mbuf, enum kg_drop reason)
{
	relay_add(&relay->drops[reason], 1);
	if (leg)
		relay_add(&work_cold(relay, leg)->drops[reason], 1);
	relay_add(&relay->given, 1);
	rte_pktmbuf_free(mbuf);
}

bool relay_tell(struct relay *relay, const struct relay_event *event)
{
	if (rte_ring_sp_enqueue_elem(relay->events, (void *)(uintptr_t)event, sizeof(*event)) == 0)
		return true;
	relay_add(&relay->counters[KG_CNT_events_lost], 1);
	return false;
}

void relay_addrs_add(struct relay_addrs *addrs, const struct kg_addr *addr, uint32_t *ports)
{
	struct leg_ip ip = leg_ip_of(addr);
	unsigned at = relay_addr_hash(&ip);

	addrs->list[addrs->count++] = (struct relay_addr){.ip = ip, .ports = ports, .v6 = addr->family == 6};
	while (addrs->slots[at])
		at = (at + 1) % RELAY_ADDR_SLOTS;
	addrs->slots[at] = (uint8_t)addrs->count;
}

// --- the burst ------------------------------------------------------------------------------------------------------

// How long a step took of the packet that stands for its burst.
static void lap(struct relay *relay, enum relay_stage stage, uint64_t began, unsigned n)
{
	uint64_t took = rte_rdtsc() - began;

	relay_add(&relay->stages[stage].cycles, (took > relay->tsc_cost_tsc ? took - relay->tsc_cost_tsc : 0) * n);
}

#define STEP(relay, stage, sampled, n, what)                         \
	do {                                                         \
		uint64_t began = unlikely(sampled) ? rte_rdtsc() : 0; \
		what;                                                \
		if (unlikely(began != 0))                            \
			lap(relay, stage, began, n);                 \
	} while (0)

// Two readings of the clock, one behind the other, at their quickest.
static void measure_clock(struct relay *relay)
{
	relay->tsc_cost_tsc = UINT64_MAX;
	for (unsigned i = 0; i < 100; i++) {
		uint64_t began = rte_rdtsc(), took = rte_rdtsc() - began;

		relay->tsc_cost_tsc = took < relay->tsc_cost_tsc ? took : relay->tsc_cost_tsc;
	}
}

static inline bool end(struct relay *relay, struct leg *leg, struct work *work, int reason)
{
	if (likely(reason < 0))
		return true;
	work_drop(relay, leg, work->mbuf, (enum kg_drop)reason);
	return false;
}

// What forward will read, and where it will write.
static inline void ask_for_peer(const struct relay *relay, const struct leg *leg)
{
	const struct leg *peer = &relay->legs[leg_index(leg->in.peer)]; // 0 where there is none: never used, but there

	rte_prefetch0(&peer->out);
	rte_prefetch0(&peer->tx);
}

void relay_process(struct relay *relay, struct rte_mbuf **packets, unsigned n, uint64_t now_tsc)
{
	const unsigned ahead = RELAY_AHEAD, last = n + 3 * ahead;
	struct work work[RELAY_BURST + 3 * RELAY_AHEAD];
	unsigned found = 0, admitted = 0, observed = 0, sample;

	if (unlikely(relay->tsc_cost_tsc == 0))
		measure_clock(relay);
	sample = relay->sample = (relay->sample + 1) % n;
	relay_add(&relay->taken, n);
	relay->now_s = now_tsc / relay->tsc_hz;
	relay->now_frac = (now_tsc % relay->tsc_hz << 31) / relay->tsc_hz;
	for (unsigned i = 0; i < n && i < ahead; i++)
		rte_prefetch0(rte_pktmbuf_mtod(packets[i], void *));
	for (unsigned i = 0; i < last; i++) {
		struct work *read = &work[i], *find = read - ahead, *meet = find - ahead, *send = meet - ahead;

		if (i + ahead < n)
			rte_prefetch0(rte_pktmbuf_mtod(packets[i + ahead], void *));
		if (i < n) {
			read->mbuf = packets[i];
			STEP(relay, RELAY_CLASSIFY, i == sample, n,
				read->alive = end(relay, NULL, read, classify_read(relay, packets[i], read)));
		}
		if (i >= ahead && i < n + ahead && find->alive) {
			STEP(relay, RELAY_CLASSIFY, i == sample + ahead, n,
				find->alive = end(relay, NULL, find, classify_find(relay, find)));
			found += find->alive;
		}
		if (i >= 2 * ahead && i < n + 2 * ahead && meet->alive) {
			STEP(relay, RELAY_ADMIT, i == sample + 2 * ahead, n,
				meet->alive = end(relay, meet->leg, meet, admit(relay, meet, now_tsc)));
			admitted += meet->alive;
			if (likely(meet->alive))
				STEP(relay, RELAY_OBSERVE, i == sample + 2 * ahead, n,
					meet->alive = end(relay, meet->leg, meet, observe(relay, meet, now_tsc)));
			if (likely(meet->alive))
				ask_for_peer(relay, meet->leg);
			observed += meet->alive;
		}
		if (i >= 3 * ahead && send->alive)
			STEP(relay, RELAY_FORWARD, i == sample + 3 * ahead, n,
				end(relay, send->leg, send, forward(relay, send, now_tsc)));
	}
	relay_add(&relay->stages[RELAY_CLASSIFY].packets, n);
	relay_add(&relay->stages[RELAY_ADMIT].packets, found);
	relay_add(&relay->stages[RELAY_OBSERVE].packets, admitted);
	relay_add(&relay->stages[RELAY_FORWARD].packets, observed);
}

// A packet that was counted as relayed and then not taken by the nic.
static void unsent(struct relay *relay, struct leg *leg, const struct rte_mbuf *packet)
{
	struct leg *peer = &relay->legs[leg_index(leg->in.peer)];
	struct leg_tx *tx = &peer->tx;
	struct leg_cold *cold = work_cold(relay, peer);
	unsigned header = peer->out.length;
	uint64_t length = rte_pktmbuf_data_len(packet) - header;

	if (rtp_kind(rte_pktmbuf_mtod_offset(packet, const uint8_t *, header), length) == RTP_KIND_RTCP) {
		relay_add(&cold->tx_rtcp_packets, (uint64_t)-1);
		relay_add(&relay->counters[KG_CNT_rtcp_relayed], (uint64_t)-1);
	} else {
		relay_add(&tx->packets, (uint64_t)-1);
		relay_add(&tx->bytes, -length);
		relay_add(&relay->counters[KG_CNT_rtp_relayed], (uint64_t)-1);
	}
}

void relay_sent(struct relay *relay, unsigned nic, unsigned sent)
{
	struct relay_tx *tx = &relay->tx[nic];

	relay_add(&relay->given, sent);
	for (unsigned i = sent; i < tx->count; i++) {
		struct leg *leg = &relay->legs[tx->legs[i]];

		unsent(relay, leg, tx->packets[i]);
		work_drop(relay, leg, tx->packets[i], KG_DROP_tx_full);
	}
	tx->count = 0;
}
