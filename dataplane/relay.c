// SPDX-License-Identifier: BSD-3-Clause
// The packet path. A burst runs through four steps in one loop: a frame is read (classify), its port's entry gives the
// leg (classify), the leg says who may send what (admit) and what the stream is like (observe), the peer's template and
// line make it the peer's packet (forward). Each step is RELAY_AHEAD packets behind the one before, and ends by asking
// memory for what the next one reads: so with 100,000 legs, where nothing is in a cache, memory answers while other
// packets are worked on. The requests must be spaced by work, the core drops those that come too close together: this
// is why the steps are one loop and not four. A packet that ends in a step leaves the loop with a named reason.

#include <string.h>

#include <rte_cycles.h>
#include <rte_prefetch.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "hand.h"
#include "relay_admit.h"
#include "relay_classify.h"
#include "relay_forward.h"
#include "relay_observe.h"

// Packets of work between a request and its use. Fewer, and memory has not answered; more, and the core holds no more.
#define RELAY_AHEAD 8
#define RELAY_MEASURED 8 // of so many bursts one has a packet whose steps are timed: reading the clock costs too

const struct relay_stage_info relay_stages[RELAY_STAGES] = {
	[RELAY_RX] = {"rx", "a burst from a nic", {KG_DROP_wrong_vlan, -1}},
	[RELAY_CLASSIFY] = {"classify", "port -> leg",
		{KG_DROP_not_ip, KG_DROP_bad_ip, KG_DROP_ip_fragment, KG_DROP_not_udp, KG_DROP_bad_udp,
			KG_DROP_bad_checksum, KG_DROP_too_long, KG_DROP_not_local, KG_DROP_no_leg, KG_DROP_lcore_full,
			-1}},
	[RELAY_ADMIT] = {"admit", "who sends, and what",
		{KG_DROP_no_remote, KG_DROP_wrong_source, KG_DROP_latch_probation, KG_DROP_stun, KG_DROP_dtls,
			KG_DROP_not_media, KG_DROP_rtp_malformed, KG_DROP_rtp_payload_type, KG_DROP_rtcp_malformed,
			KG_DROP_direction, -1}},
	[RELAY_OBSERVE] = {"observe", "seq, loss, jitter", {KG_DROP_seq_probation, -1}},
	[RELAY_FORWARD] = {"forward", "rewrite for the peer",
		{KG_DROP_no_bridge, KG_DROP_peer_gone, KG_DROP_rtcp_no_peer, KG_DROP_no_remote, KG_DROP_direction,
			KG_DROP_no_next_hop, KG_DROP_too_long, KG_DROP_tx_full, KG_DROP_lcore_full, -1}},
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
	assert_owner(&relay->owner);
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

// How long a step took of the packet that stands for its burst and for those up to the next one that is measured.
static void lap(struct relay *relay, enum relay_stage stage, uint64_t began, unsigned n)
{
	uint64_t took = rte_rdtsc() - began;

	relay_add(&relay->stages[stage].cycles,
		(took > relay->tsc_cost_tsc ? took - relay->tsc_cost_tsc : 0) * n * RELAY_MEASURED);
}

#define STEP(relay, stage, sampled, n, what)                          \
	do {                                                          \
		uint64_t began = unlikely(sampled) ? rte_rdtsc() : 0; \
		what;                                                 \
		if (unlikely(sampled))                                \
			lap(relay, stage, began, n);                  \
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

// A packet that is no media of ours may be the kernel's. Returns: is it? Then it is not ours any more.
static bool give_to_kernel(struct relay *relay, struct rte_mbuf *mbuf, enum kg_drop reason)
{
	if (!relay->kernel || reason == KG_DROP_bad_checksum || rte_ring_mp_enqueue(relay->kernel, mbuf) != 0)
		return false;
	relay_add(&relay->counters[KG_CNT_to_kernel], 1);
	relay_add(&relay->given, 1);
	return true;
}

// It ends in classify: dropped, the kernel's, or another lcore's.
static void leave(struct relay *relay, struct rte_mbuf *mbuf, int reason)
{
	if (reason >= CLASSIFY_OTHER) {
		relay_add(&relay->counters[KG_CNT_handed_over], 1);
		relay_hand_over(
			relay, (unsigned)(reason - CLASSIFY_OTHER), mbuf, &(struct hand){.kind = HAND_RECEIVED});
	} else if (!give_to_kernel(relay, mbuf, (enum kg_drop)reason)) {
		work_drop(relay, NULL, mbuf, (enum kg_drop)reason);
	}
}

static inline bool end(struct relay *relay, struct leg *leg, struct work *work, int reason)
{
	if (likely(reason < 0))
		return true;
	if (leg)
		work_drop(relay, leg, work->mbuf, (enum kg_drop)reason);
	else
		leave(relay, work->mbuf, reason);
	return false;
}

static void hand_flush(struct relay *relay, struct relay_hand *to);

static void hand_add(struct relay *relay, struct relay_hand *to, struct rte_mbuf *mbuf, const struct hand *hand)
{
	hand_write(mbuf, hand);
	to->packets[to->count++] = mbuf;
	if (to->count == RELAY_BURST)
		hand_flush(relay, to);
}

// Its room wants the RTP or RTCP packet alone.
static void to_room(struct relay *relay, struct work *work)
{
	struct rte_mbuf *mbuf = work->mbuf;

	mbuf->data_off = (uint16_t)(work->payload - (uint8_t *)mbuf->buf_addr);
	mbuf->data_len = work->length;
	mbuf->pkt_len = work->length;
	relay_add(&relay->counters[KG_CNT_to_rooms], 1);
	hand_add(relay, &relay->rooms[work->leg->in.room - 1], mbuf,
		&(struct hand){.kind = HAND_OBSERVED, .from = work->who.from});
}

// Observed, and there is no peer on this lcore. Returns: why it ends here, or -1: another lcore has it.
static int cross(struct relay *relay, struct work *work)
{
	const struct hand hand = {.kind = HAND_OBSERVED, .from = work->who.from, .peer = work->who.peer};

	if (work->leg->in.room) {
		to_room(relay, work);
		return -1;
	}
	if (work->who.peer == 0)
		return KG_DROP_no_bridge;
	if (work->rtcp)
		forward_rtcp_half(work);
	relay_add(&relay->counters[KG_CNT_cross_lcore], 1);
	relay_hand_over(relay, relay_lcore_of(relay, work->who.peer), work->mbuf, &hand);
	return -1;
}

// Ask for what forward will read, and where it will write. Returns: false where it is not for this lcore.
static inline bool ask_for_peer(struct relay *relay, struct work *work)
{
	struct leg *peer = &relay->legs[leg_index(work->who.peer)];

	if (unlikely(work->leg->in.law && !work->rtcp))
		forward_law(relay, work);
	work->to = peer;
	if (likely(work_owns(relay, work->who.peer))) {
		rte_prefetch0(&peer->out);
		rte_prefetch0(&peer->tx);
		if (unlikely(work->rtcp || work->v6))
			work_prefetch_cold(relay, peer);
		return true;
	}
	end(relay, work->leg, work, cross(relay, work));
	return false;
}

struct ended { // packets that ended in a step
	unsigned classify, admit, observe;
};

// One packet in each step but the first: `read` is the newest. Around the burst there are packets that ended, so that
// no step has to ask where the burst begins and ends. The clock is read around the steps of the packet `sample`.
static __rte_always_inline void take_steps(struct relay *relay, struct work *read, uint64_t now_tsc,
	struct ended *ended, unsigned n, const struct work *sample)
{
	struct work *find = read - RELAY_AHEAD, *meet = find - RELAY_AHEAD, *send = meet - RELAY_AHEAD;
	bool goes_on;

	if (likely(find->alive)) {
		STEP(relay, RELAY_CLASSIFY, find == sample, n,
			goes_on = end(relay, NULL, find, classify_find(relay, find)));
		if (unlikely(!goes_on)) {
			find->alive = false;
			ended->classify++;
		}
	}
	if (likely(meet->alive)) {
		STEP(relay, RELAY_ADMIT, meet == sample, n,
			goes_on = end(relay, meet->leg, meet, admit(relay, meet, now_tsc)));
		if (unlikely(!goes_on)) {
			meet->alive = false;
			ended->admit++;
			goto forward;
		}
		STEP(relay, RELAY_OBSERVE, meet == sample, n,
			goes_on = end(relay, meet->leg, meet, observe(relay, meet, now_tsc)));
		if (unlikely(!goes_on)) {
			meet->alive = false;
			ended->observe++;
			goto forward;
		}
		if (unlikely(!ask_for_peer(relay, meet)))
			meet->alive = false;
	}
forward:
	if (likely(send->alive))
		STEP(relay, RELAY_FORWARD, send == sample, n,
			end(relay, send->leg, send, forward(relay, send, now_tsc)));
}

static __rte_always_inline void take_burst(struct relay *relay, struct rte_mbuf **packets, unsigned n, uint64_t now_tsc,
	struct ended *ended, const bool measured)
{
	struct work room[RELAY_BURST + 6 * RELAY_AHEAD], *work = room + 3 * RELAY_AHEAD;
	const struct work *sample = NULL;

	for (unsigned i = 0; i < 3 * RELAY_AHEAD; i++)
		room[i].alive = work[n + i].alive = false;
	if (measured)
		sample = &work[relay->sample = (relay->sample + 1) % n];
	for (unsigned i = 0; i < n && i < RELAY_AHEAD; i++)
		rte_prefetch0(rte_pktmbuf_mtod(packets[i], void *));
	for (unsigned i = 0; i < n + 3 * RELAY_AHEAD; i++) {
		struct work *read = &work[i];

		if (likely(i < n)) {
			const struct rte_mbuf *next = packets[RTE_MIN(i + RELAY_AHEAD, n - 1)];

			rte_prefetch0(rte_pktmbuf_mtod(next, void *));
			read->mbuf = packets[i];
			STEP(relay, RELAY_CLASSIFY, read == sample, n,
				read->alive = end(relay, NULL, read, classify_read(relay, read->mbuf, read)));
			ended->classify += !read->alive;
		}
		take_steps(relay, read, now_tsc, ended, n, sample);
	}
}

void relay_process(struct relay *relay, struct rte_mbuf **packets, unsigned n, uint64_t now_tsc)
{
	struct ended ended = {0};
	unsigned left = n;

	assert_owner(&relay->owner);
	if (unlikely(relay->tsc_cost_tsc == 0))
		measure_clock(relay);
	relay_add(&relay->taken, n);
	relay->now_s = now_tsc / relay->tsc_hz;
	relay->now_frac = (now_tsc % relay->tsc_hz << 31) / relay->tsc_hz;
	if (unlikely(relay->bursts++ % RELAY_MEASURED == 0))
		take_burst(relay, packets, n, now_tsc, &ended, true);
	else
		take_burst(relay, packets, n, now_tsc, &ended, false);
	relay_add(&relay->stages[RELAY_CLASSIFY].packets, n);
	relay_add(&relay->stages[RELAY_ADMIT].packets, left -= ended.classify);
	relay_add(&relay->stages[RELAY_OBSERVE].packets, left -= ended.admit);
	relay_add(&relay->stages[RELAY_FORWARD].packets, left -= ended.observe);
}

void relay_crossed(struct relay *relay, struct rte_mbuf **packets, unsigned n, uint64_t now_tsc)
{
	assert_owner(&relay->owner);
	relay_add(&relay->taken, n);
	for (unsigned i = 0; i < n; i++) {
		const struct hand hand = hand_read(packets[i]);
		struct work work = {.mbuf = packets[i]};
		int reason = classify_read(relay, packets[i], &work); // the address may have gone meanwhile

		work.who.from = hand.from;
		work.who.peer = hand.peer;
		work.to = &relay->legs[leg_index(hand.peer)]; // ours, as is asked next
		work.rtcp = rtp_kind(work.payload, work.length) == RTP_KIND_RTCP;
		if (reason < 0 && !work_owns(relay, hand.peer))
			reason = KG_DROP_peer_gone;
		if (reason < 0) {
			work.clock_hz =
				work.rtcp ? 0 : leg_clock_hz(&relay->cold[leg_index(hand.peer)], work.payload[1] & 127);
			reason = forward(relay, &work, now_tsc);
		}
		if (reason >= 0)
			work_drop(relay, NULL, packets[i], (enum kg_drop)reason);
	}
	relay_add(&relay->stages[RELAY_FORWARD].packets, n);
}

void relay_made(struct relay *relay, struct rte_mbuf **packets, unsigned n, uint64_t now_tsc)
{
	assert_owner(&relay->owner);
	relay_add(&relay->taken, n);
	relay_add(&relay->counters[KG_CNT_from_rooms], n);
	for (unsigned i = 0; i < n; i++) {
		const struct hand hand = hand_read(packets[i]);
		struct work work = {
			.mbuf = packets[i],
			.payload = rte_pktmbuf_mtod(packets[i], uint8_t *),
			.length = rte_pktmbuf_data_len(packets[i]),
			.who = {.from = hand.from, .peer = hand.peer},
			.to = &relay->legs[leg_index(hand.peer)],
			.rtcp = rtp_kind(rte_pktmbuf_mtod(packets[i], uint8_t *), rte_pktmbuf_data_len(packets[i])) ==
				RTP_KIND_RTCP,
		};
		int reason = KG_DROP_peer_gone;

		if (work_owns(relay, hand.peer)) {
			work.clock_hz = leg_clock_hz(&relay->cold[leg_index(hand.peer)], work.payload[1] & 127);
			reason = forward(relay, &work, now_tsc);
		}
		if (reason >= 0)
			work_drop(relay, NULL, packets[i], (enum kg_drop)reason);
	}
	relay_add(&relay->stages[RELAY_FORWARD].packets, n);
}

// --- between lcores -------------------------------------------------------------------------------------------------

static void hand_flush(struct relay *relay, struct relay_hand *to)
{
	unsigned done = rte_ring_sp_enqueue_burst(to->ring, (void **)to->packets, to->count, NULL);

	relay_add(&relay->given, done);
	for (unsigned i = done; i < to->count; i++)
		work_drop(relay, NULL, to->packets[i], KG_DROP_lcore_full);
	to->count = 0;
}

void relay_hand_over(struct relay *relay, unsigned number, struct rte_mbuf *mbuf, const struct hand *hand)
{
	hand_add(relay, &relay->hands[number], mbuf, hand);
}

void relay_hand_flush(struct relay *relay)
{
	assert_owner(&relay->owner);
	for (unsigned i = 0; i < KG_MEDIA_LCORES; i++) {
		if (relay->hands[i].count)
			hand_flush(relay, &relay->hands[i]);
		if (relay->rooms[i].count)
			hand_flush(relay, &relay->rooms[i]);
	}
}

// --- what the nic did not take --------------------------------------------------------------------------------------

// A packet that was counted as relayed and then not taken by the nic.
static void unsent(struct relay *relay, struct leg *peer, const struct rte_mbuf *packet)
{
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

	assert_owner(&relay->owner);
	relay_add(&relay->given, sent);
	for (unsigned i = sent; i < tx->count; i++) {
		const struct relay_whose *whose = &tx->whose[i];

		if (whose->peer)
			unsent(relay, &relay->legs[leg_index(whose->peer)], tx->packets[i]);
		work_drop(relay, work_owns(relay, whose->from) ? &relay->legs[leg_index(whose->from)] : NULL,
			tx->packets[i], KG_DROP_tx_full);
	}
	tx->count = 0;
}
