// SPDX-License-Identifier: BSD-3-Clause
// The packet path. A burst goes through the stages one after the other; each stage works on all packets of the burst,
// drops those that end here with a named reason, and hands on the rest closed up. What a packet will need next is
// prefetched a stage ahead or eight packets ahead.

#include <string.h>

#include <rte_cycles.h>
#include <rte_prefetch.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "frame.h"
#include "latch.h"
#include "relay.h"

#define AHEAD 8       // packets of work between a prefetch and its use
#define SOURCE_LIVE 4 // a source is live for this part of a second after its last packet

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

// A packet on its way through the stages.
struct work {
	struct rte_mbuf *mbuf;
	struct leg *leg;
	uint8_t *payload; // of UDP
	uint16_t length;
	uint32_t payload_sum; // one's complement sum of the payload, unfolded to 16 bits
	struct leg_ip source;
	uint16_t source_port; // network order
	uint16_t port;        // destination, host order
	bool rtcp;
};

// The end of a packet: one reason, one exit. leg may be NULL.
static void drop(struct relay *relay, struct leg *leg, struct rte_mbuf *mbuf, enum kg_drop reason)
{
	relay_add(&relay->drops[reason], 1);
	if (leg)
		relay_add(&leg->cold.drops[reason], 1);
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

// --- classify -------------------------------------------------------------------------------------------------------

static uint32_t *ports_of(const struct relay_addrs *addrs, const struct frame *frame)
{
	for (unsigned i = 0; i < addrs->count; i++)
		if (leg_ip_same(&addrs->list[i].ip, &frame->target) && addrs->list[i].v6 == frame->v6)
			return addrs->list[i].ports;
	return NULL;
}

// Returns: -1 where the packet goes on, else why it does not.
static int classify_one(struct relay *relay, struct rte_mbuf *mbuf, struct work *work)
{
	uint32_t size = rte_pktmbuf_pkt_len(mbuf), entry, *ports;
	struct frame frame;
	int reason;

	if (mbuf->nb_segs != 1 || size > RELAY_MAX_FRAME)
		return KG_DROP_too_long;
	reason = frame_read(rte_pktmbuf_mtod(mbuf, const uint8_t *), size, &frame);
	if (reason >= 0)
		return reason;
	ports = ports_of(relay->addrs, &frame);
	if (!ports)
		return KG_DROP_not_local;
	entry = ports[frame.port];
	if (entry == 0)
		return KG_DROP_no_leg;

	work->mbuf = mbuf;
	work->leg = &relay->legs[leg_index(entry)];
	rte_prefetch0(&work->leg->in);
	work->payload = (uint8_t *)(uintptr_t)(frame.udp + FRAME_UDP);
	work->length = frame.length;
	work->payload_sum = rte_raw_cksum(work->payload, work->length);
	if (!frame_checksum_right(&frame, work->payload_sum))
		return KG_DROP_bad_checksum;
	work->source = frame.source;
	work->source_port = frame.source_port;
	work->port = frame.port;
	return -1;
}

static unsigned classify(struct relay *relay, struct rte_mbuf **packets, unsigned n, struct work *work)
{
	unsigned left = 0;

	for (unsigned i = 0; i < n && i < AHEAD; i++)
		rte_prefetch0(rte_pktmbuf_mtod(packets[i], void *));
	for (unsigned i = 0; i < n; i++) {
		int reason;

		if (i + AHEAD < n)
			rte_prefetch0(rte_pktmbuf_mtod(packets[i + AHEAD], void *));
		reason = classify_one(relay, packets[i], &work[left]);
		if (reason < 0)
			left++;
		else
			drop(relay, reason == KG_DROP_bad_checksum ? work[left].leg : NULL, packets[i],
				(enum kg_drop)reason);
	}
	return left;
}

// --- admit ----------------------------------------------------------------------------------------------------------

// From elsewhere than the remote. Remember who it was: whoever looks for a leg's missing media wants to know.
static int refuse(const struct work *work)
{
	struct leg_refused *refused = &work->leg->cold.refused;
	bool rtp = rtp_kind(work->payload, work->length) == RTP_KIND_RTP && rtp_sound(work->payload, work->length);

	refused->ip = work->source;
	refused->port = work->source_port;
	refused->ssrc = rtp ? rtp_get32(work->payload + 8) : 0;
	return KG_DROP_wrong_source;
}

static bool payload_type_known(const struct leg_in *in, const uint8_t *rtp)
{
	return in->formats[rtp[1] >> 6 & 1] >> (rtp[1] & 63) & 1;
}

// From another port of a party behind NAT. Returns: -1 where the leg follows it.
static int latch(struct relay *relay, struct work *work, uint64_t now_tsc)
{
	struct leg *leg = work->leg;
	const uint8_t *data = work->payload;
	enum latch_verdict verdict;

	if (!leg_ip_same(&work->source, &leg->in.remote_ip))
		return refuse(work);
	if (work->port != leg->in.local_port) {
		bool sound = rtp_kind(data, work->length) == RTP_KIND_RTCP && rtcp_sound(data, work->length);

		return sound && latch_rtcp(leg, work->source_port, rtp_get32(data + 4)) ? -1 : refuse(work);
	}
	if (rtp_kind(data, work->length) != RTP_KIND_RTP || !rtp_sound(data, work->length) ||
		!payload_type_known(&leg->in, data) || !(leg->in.flags & LEG_MAY_RECEIVE))
		return refuse(work);
	verdict = latch_rtp(leg, work->source_port, rtp_get32(data + 8), rtp_get16(data + 2), now_tsc, relay->tsc_hz);
	if (verdict != LATCH_FOLLOWED)
		return verdict == LATCH_PROBATION ? KG_DROP_latch_probation : refuse(work);
	relay_tell(relay, &(struct relay_event){.type = RELAY_EV_LATCHED,
				  .leg = leg->in.id,
				  .ssrc = rtp_get32(data + 8),
				  .port = ntohs(work->source_port),
				  .tsc = now_tsc});
	return -1;
}

static int admit_one(struct relay *relay, struct work *work, uint64_t now_tsc)
{
	struct leg *leg = work->leg;
	const struct leg_in *in = &leg->in;
	bool rtcp_port = work->port != in->local_port, from_remote;

	if (rtcp_port)
		from_remote = in->flags & LEG_REMOTE_RTCP && leg_ip_same(&work->source, &leg->out.rtcp_ip) &&
			      work->source_port == leg->out.rtcp_remote_port;
	else
		from_remote = leg_ip_same(&work->source, &in->remote_ip) && work->source_port == in->remote_port;
	if (unlikely(!from_remote || !(in->flags & LEG_REMOTE))) {
		int reason;

		if (!(in->flags & LEG_LATCH))
			return in->flags & LEG_REMOTE ? refuse(work) : KG_DROP_no_remote;
		reason = latch(relay, work, now_tsc);
		if (reason >= 0)
			return reason;
	}
	switch (rtp_kind(work->payload, work->length)) {
	case RTP_KIND_STUN:
		return KG_DROP_stun;
	case RTP_KIND_DTLS:
		return KG_DROP_dtls;
	case RTP_KIND_OTHER:
		return KG_DROP_not_media;
	case RTP_KIND_RTCP:
		if (!rtcp_port && !(in->flags & LEG_MUX))
			return KG_DROP_not_media;
		work->rtcp = true;
		return rtcp_sound(work->payload, work->length) ? -1 : KG_DROP_rtcp_malformed;
	case RTP_KIND_RTP:
		break;
	}
	if (rtcp_port)
		return KG_DROP_rtcp_malformed;
	work->rtcp = false;
	if (!rtp_sound(work->payload, work->length))
		return KG_DROP_rtp_malformed;
	if (!payload_type_known(in, work->payload))
		return KG_DROP_rtp_payload_type;
	if (!(in->flags & LEG_MAY_RECEIVE))
		return KG_DROP_direction;
	if (unlikely(in->flags & LEG_LATCH))
		latch_prove(leg);
	return -1;
}

static unsigned admit(struct relay *relay, struct work *work, unsigned n, uint64_t now_tsc)
{
	unsigned left = 0;

	for (unsigned i = 0; i < n; i++) {
		int reason = admit_one(relay, &work[i], now_tsc);

		if (reason >= 0) {
			drop(relay, work[i].leg, work[i].mbuf, (enum kg_drop)reason);
			continue;
		}
		rte_prefetch0(&work[i].leg->stream);
		rte_prefetch0(&work[i].leg->rx);
		if (left != i)
			work[left] = work[i];
		left++;
	}
	return left;
}

// --- observe --------------------------------------------------------------------------------------------------------

// Another SSRC takes over from a live one after two packets in sequence. The first source ever, one after silence and
// one from a new remote address are believed at once: a relay must not lose their first packet.
static bool source_believed(struct relay *relay, struct leg *leg, uint32_t ssrc, uint16_t sequence, uint64_t now_tsc)
{
	struct rtp_source *source = &leg->stream.source;
	bool first = !source->started,
	     live = leg->stream.last_tsc && now_tsc - leg->stream.last_tsc < relay->tsc_hz / SOURCE_LIVE;

	if (!first && ssrc == source->ssrc)
		return true;
	if (!first && live && (leg->rx.candidate_ssrc != ssrc || leg->rx.candidate_seq != sequence)) {
		leg->rx.candidate_ssrc = ssrc;
		leg->rx.candidate_seq = (uint16_t)(sequence + 1);
		return false;
	}
	relay_add(&leg->rx.lost_before, rtp_source_lost(source));
	memset(source, 0, sizeof(*source));
	source->ssrc = ssrc;
	__atomic_store_n(&leg->rx.sources, leg->rx.sources + 1, __ATOMIC_RELAXED);
	if (first)
		relay_tell(
			relay, &(struct relay_event){
				       .type = RELAY_EV_FIRST_PACKET, .leg = leg->in.id, .ssrc = ssrc, .tsc = now_tsc});
	return true;
}

static uint32_t clock_of(const struct leg *leg, const struct work *work)
{
	return leg->in.clock_hz ? leg->in.clock_hz : leg->cold.clocks[work->payload[1] & 127];
}

// The burst's time on an RTP clock, to the nearest unit. Multiplications only: a division for each packet is too dear.
static uint32_t burst_ts(const struct relay *relay, uint32_t clock_hz)
{
	return (uint32_t)(relay->now_s * clock_hz + ((relay->now_frac * clock_hz + (1u << 30)) >> 31));
}

static void observe_rtp(struct relay *relay, struct leg *leg, const struct work *work, uint64_t now_tsc)
{
	struct rtp_source *source = &leg->stream.source;
	uint32_t clock_hz = clock_of(leg, work);
	uint64_t lost_before;
	bool timed = clock_hz != 0;

	switch (rtp_source_sequence(source, rtp_get16(work->payload + 2), &lost_before)) {
	case RTP_DUPLICATE:
		relay_add(&leg->rx.duplicate, 1);
		timed = false;
		break;
	case RTP_REORDERED:
		relay_add(&leg->rx.reordered, 1);
		break;
	case RTP_RESTART:
		relay_add(&leg->rx.lost_before, lost_before);
		break;
	case RTP_STRAY:
		timed = false;
		break;
	case RTP_FIRST:
	case RTP_IN_ORDER:
		break;
	}
	if (timed)
		rtp_source_timing(source, rtp_get32(work->payload + 4), burst_ts(relay, clock_hz), clock_hz);
	leg->stream.last_tsc = now_tsc;
	relay_add(&leg->rx.packets, 1);
	relay_add(&leg->rx.bytes, work->length);
}

static unsigned observe(struct relay *relay, struct work *work, unsigned n, uint64_t now_tsc)
{
	unsigned left = 0;

	for (unsigned i = 0; i < n; i++) {
		struct leg *leg = work[i].leg;

		if (leg->in.peer)
			rte_prefetch0(&relay->legs[leg_index(leg->in.peer)].in);
		if (work[i].rtcp) {
			relay_add(&leg->rx.rtcp_packets, 1);
		} else if (source_believed(relay, leg, rtp_get32(work[i].payload + 8), rtp_get16(work[i].payload + 2),
				   now_tsc)) {
			observe_rtp(relay, leg, &work[i], now_tsc);
		} else {
			drop(relay, leg, work[i].mbuf, KG_DROP_seq_probation);
			continue;
		}
		if (left != i)
			work[left] = work[i];
		left++;
	}
	return left;
}

// --- forward --------------------------------------------------------------------------------------------------------

// Put a new source onto the peer's line: the first one as it is, a later one so that sequence and timestamp go on.
static void line_follow(struct relay *relay, struct leg *peer, const struct work *work, uint64_t now_tsc)
{
	struct leg_tx *tx = &peer->tx;
	uint32_t ssrc = rtp_get32(work->payload + 8), clock_hz = clock_of(work->leg, work), step;

	tx->map.in_ssrc = ssrc;
	tx->from = work->leg->in.id;
	if (!tx->started) {
		tx->started = true;
		tx->map.out_ssrc = ssrc;
		return;
	}
	step = (uint32_t)((unsigned __int128)(now_tsc - tx->last_tsc) * (clock_hz ? clock_hz : 8000) / relay->tsc_hz);
	tx->map.seq_add = tx->last_seq + 1 - rtp_get16(work->payload + 2);
	tx->map.ts_add = tx->last_ts + (step ? step : 1) - rtp_get32(work->payload + 4);
}

static void forward_rtp(struct relay *relay, struct leg *peer, struct work *work, uint64_t now_tsc)
{
	struct leg_tx *tx = &peer->tx;
	uint8_t *rtp = work->payload;
	uint16_t sequence;
	uint32_t timestamp;
	int16_t ahead;

	if (unlikely(!tx->started || tx->map.in_ssrc != rtp_get32(rtp + 8) || tx->from != work->leg->in.id))
		line_follow(relay, peer, work, now_tsc);
	sequence = (uint16_t)(rtp_get16(rtp + 2) + tx->map.seq_add);
	timestamp = rtp_get32(rtp + 4) + tx->map.ts_add;
	if (unlikely(tx->map.seq_add || tx->map.ts_add || tx->map.in_ssrc != tx->map.out_ssrc)) {
		rtp_put16(rtp + 2, sequence);
		rtp_put32(rtp + 4, timestamp);
		rtp_put32(rtp + 8, tx->map.out_ssrc);
		work->payload_sum = rte_raw_cksum(rtp, work->length);
	}
	// The line's end: the newest packet, or wherever a source that began anew is now.
	ahead = (int16_t)(sequence - (uint16_t)tx->last_seq);
	if (ahead > 0 || ahead <= -RTP_MAX_MISORDER || tx->last_tsc == 0) {
		tx->last_seq = tx->last_tsc == 0 ? sequence : tx->last_seq + (uint32_t)ahead;
		tx->last_ts = timestamp;
		tx->last_tsc = now_tsc;
	}
	relay_add(&tx->packets, 1);
	relay_add(&tx->bytes, work->length);
	relay_add(&relay->counters[KG_CNT_rtp_relayed], 1);
}

static void forward_rtcp(struct relay *relay, struct leg *peer, struct work *work)
{
	const struct rtp_map *send = &peer->tx.map, *receive = &work->leg->tx.map;

	if (send->in_ssrc != send->out_ssrc || send->ts_add || receive->in_ssrc != receive->out_ssrc ||
		receive->seq_add) {
		rtcp_translate(work->payload, work->length, send, receive);
		work->payload_sum = rte_raw_cksum(work->payload, work->length);
	}
	relay_add(&peer->tx.rtcp_packets, 1);
	relay_add(&relay->counters[KG_CNT_rtcp_relayed], 1);
}

// RTCP goes to an address and ports of its own: the template's are taken out of the sums.
static void rewrite_for_rtcp(const struct leg_out *out, uint8_t *ip, uint32_t *ip_sum, uint64_t *udp_sum)
{
	const bool v6 = out->length == LEG_HEADER_6;
	uint8_t *addresses = ip + (v6 ? 8 : 12), *udp = ip + (v6 ? 40 : 20);
	const uint16_t ports[2] = {out->rtcp_local_port, out->rtcp_remote_port};

	memcpy(addresses + (v6 ? 16 : 4), &out->rtcp_ip, v6 ? 16 : 4);
	memcpy(udp, ports, sizeof(ports));
	*udp_sum = frame_sum(addresses, v6 ? 32 : 8) + frame_sum(udp, 4) + htons(17);
	*ip_sum = (uint32_t)frame_sum(ip, 20); // IPv4 only
}

// Write L2 to L4 in front of the payload from the peer's template.
static void rewrite(const struct leg_out *out, struct work *work)
{
	struct rte_mbuf *mbuf = work->mbuf;
	uint8_t *frame = work->payload - out->length, *ip = frame + FRAME_ETHERNET;
	uint8_t *udp = work->payload - FRAME_UDP;
	uint16_t udp_length = htons((uint16_t)(FRAME_UDP + work->length)), sum;
	uint32_t ip_sum = out->ip_sum;
	uint64_t udp_sum = out->udp_sum;

	// Whatever was in front, IP options too, and Ethernet's padding behind: gone.
	mbuf->data_off = (uint16_t)(frame - (uint8_t *)mbuf->buf_addr);
	mbuf->data_len = (uint16_t)(out->length + work->length);
	mbuf->pkt_len = mbuf->data_len;
	memcpy(frame, out->header, LEG_HEADER_4);
	if (out->length == LEG_HEADER_6)
		memcpy(frame + LEG_HEADER_4, out->header + LEG_HEADER_4, LEG_HEADER_6 - LEG_HEADER_4);
	if (work->rtcp)
		rewrite_for_rtcp(out, ip, &ip_sum, &udp_sum);
	if (out->length == LEG_HEADER_4) {
		uint16_t ip_length = htons((uint16_t)(20 + FRAME_UDP + work->length));

		memcpy(ip + 2, &ip_length, 2);
		sum = (uint16_t)~frame_fold((uint64_t)ip_sum + ip_length);
		memcpy(ip + 10, &sum, 2);
	} else {
		memcpy(ip + 4, &udp_length, 2);
	}
	memcpy(udp + 4, &udp_length, 2);
	// pseudo header and UDP header both have the length
	sum = (uint16_t)~frame_fold(udp_sum + 2u * udp_length + work->payload_sum);
	sum = sum ? sum : 0xffff; // 0 would say that there is none
	memcpy(udp + 6, &sum, 2);
}

static int forward_one(struct relay *relay, struct work *work, uint64_t now_tsc)
{
	struct leg *peer;
	uint8_t flags;

	if (!work->leg->in.peer)
		return KG_DROP_no_bridge;
	peer = &relay->legs[leg_index(work->leg->in.peer)];
	if (peer->in.id != work->leg->in.peer)
		return KG_DROP_peer_gone;
	flags = peer->in.flags;
	if (work->rtcp && !(flags & LEG_REMOTE_RTCP))
		return KG_DROP_rtcp_no_peer;
	if (!(flags & LEG_REMOTE))
		return KG_DROP_no_remote;
	if (!work->rtcp && !(flags & LEG_MAY_SEND))
		return KG_DROP_direction;
	if (!(flags & LEG_HOP))
		return KG_DROP_no_next_hop;
	if (peer->out.mtu && work->length + (unsigned)peer->out.length - FRAME_ETHERNET > peer->out.mtu)
		return KG_DROP_too_long;
	if (unlikely(work->payload - (uint8_t *)work->mbuf->buf_addr < peer->out.length))
		return KG_DROP_too_long; // no room in front for an IPv6 header
	if (relay->tx[peer->in.nic].count == RELAY_TX)
		return KG_DROP_tx_full;
	if (work->rtcp)
		forward_rtcp(relay, peer, work);
	else
		forward_rtp(relay, peer, work, now_tsc);
	rewrite(&peer->out, work);
	relay->tx[peer->in.nic].legs[relay->tx[peer->in.nic].count] = leg_index(work->leg->in.id);
	relay->tx[peer->in.nic].packets[relay->tx[peer->in.nic].count++] = work->mbuf;
	return -1;
}

static void forward(struct relay *relay, struct work *work, unsigned n, uint64_t now_tsc)
{
	for (unsigned i = 0; i < n; i++) {
		int reason;

		if (i + AHEAD < n && work[i + AHEAD].leg->in.peer) {
			rte_prefetch0(&relay->legs[leg_index(work[i + AHEAD].leg->in.peer)].out);
			rte_prefetch0(&relay->legs[leg_index(work[i + AHEAD].leg->in.peer)].tx);
		}
		reason = forward_one(relay, &work[i], now_tsc);
		if (reason >= 0)
			drop(relay, work[i].leg, work[i].mbuf, (enum kg_drop)reason);
	}
}

// --- the burst ------------------------------------------------------------------------------------------------------

static uint64_t stage_done(struct relay *relay, enum relay_stage stage, unsigned n, uint64_t since)
{
	uint64_t now = rte_rdtsc();

	relay_add(&relay->stages[stage].packets, n);
	relay_add(&relay->stages[stage].cycles, now - since);
	return now;
}

void relay_process(struct relay *relay, struct rte_mbuf **packets, unsigned n, uint64_t now_tsc)
{
	struct work work[RELAY_BURST];
	uint64_t tsc = rte_rdtsc();
	unsigned left;

	relay_add(&relay->taken, n);
	relay->now_s = now_tsc / relay->tsc_hz;
	relay->now_frac = (now_tsc % relay->tsc_hz << 31) / relay->tsc_hz;
	left = classify(relay, packets, n, work);
	tsc = stage_done(relay, RELAY_CLASSIFY, n, tsc);
	n = left;
	left = admit(relay, work, n, now_tsc);
	tsc = stage_done(relay, RELAY_ADMIT, n, tsc);
	n = left;
	left = observe(relay, work, n, now_tsc);
	tsc = stage_done(relay, RELAY_OBSERVE, n, tsc);
	forward(relay, work, left, now_tsc);
	stage_done(relay, RELAY_FORWARD, left, tsc);
}

// A packet that was counted as relayed and then not taken by the nic.
static void unsent(struct relay *relay, struct leg *leg, const struct rte_mbuf *packet)
{
	struct leg *peer = &relay->legs[leg_index(leg->in.peer)];
	struct leg_tx *tx = &peer->tx;
	unsigned header = peer->out.length;
	uint64_t length = rte_pktmbuf_data_len(packet) - header;

	if (rtp_kind(rte_pktmbuf_mtod_offset(packet, const uint8_t *, header), length) == RTP_KIND_RTCP) {
		relay_add(&tx->rtcp_packets, (uint64_t)-1);
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
		drop(relay, leg, tx->packets[i], KG_DROP_tx_full);
	}
	tx->count = 0;
}
