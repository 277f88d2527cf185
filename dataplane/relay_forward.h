// SPDX-License-Identifier: BSD-3-Clause
// forward: the packet becomes the peer's. Its headers come from the peer's template, its RTP numbers go onto the peer's
// line, its UDP checksum is updated by what changed. Part of relay.c's loop, inlined; what is rare is in
// relay_forward.c.
#pragma once

#include "frame.h"
#include "relay_work.h"

// Put a new source onto the peer's line: the first one as it is, a later one so that sequence and timestamp go on.
void forward_follow(const struct relay *relay, struct leg_tx *tx, const struct work *work, uint64_t now_tsc);

static inline bool forward_is_plain(const struct rtp_map *map)
{
	return (map->seq_add | map->ts_add | (map->in_ssrc ^ map->out_ssrc)) == 0;
}

// Write other numbers into an RTP header.
void forward_map(struct work *work, uint16_t sequence, uint32_t timestamp, uint32_t ssrc);

// RTCP that another lcore goes on with: what it says of the line that only this one knows is mapped here.
void forward_rtcp_half(struct work *work);

// RTCP speaks of both lines, and goes to an address and ports of its own: the template's are taken out of the sums.
void forward_rtcp(struct relay *relay, struct leg *peer, struct work *work);
void forward_rtcp_headers(const struct leg_more *more, bool v6, uint8_t *ip, uint32_t *ip_sum, uint32_t *udp_sum);

static inline void forward_rtp(struct relay *relay, struct leg *peer, struct work *work, uint64_t now_tsc)
{
	struct leg_tx *tx = &peer->tx;
	const uint8_t *rtp = work->payload;
	uint16_t sequence;
	uint32_t timestamp;
	int16_t ahead;

	if (unlikely((tx->map.in_ssrc ^ rtp_get32(rtp + 8)) | (tx->from ^ work->who.from)))
		forward_follow(relay, tx, work, now_tsc);
	sequence = (uint16_t)(rtp_get16(rtp + 2) + tx->map.seq_add);
	timestamp = rtp_get32(rtp + 4) + tx->map.ts_add;
	if (unlikely(!forward_is_plain(&tx->map)))
		forward_map(work, sequence, timestamp, tx->map.out_ssrc);
	// The line's end: the newest packet, or wherever a source that began anew is now.
	ahead = (int16_t)(sequence - (uint16_t)tx->last_seq);
	if (unlikely(tx->last_tsc == 0)) {
		tx->last_seq = sequence - 1u;
		ahead = 1;
	}
	if (likely(ahead > 0 || ahead <= -RTP_MAX_MISORDER)) {
		tx->last_seq += (uint32_t)ahead;
		tx->last_ts = timestamp;
		tx->last_tsc = now_tsc;
	}
	relay_add(&tx->packets, 1);
	relay_add(&tx->bytes, work->length);
	relay_add(&relay->counters[KG_CNT_rtp_relayed], 1);
}

// Nothing, as one's complement sums count, and more than any work->sum: what is taken from it stays positive.
#define CHECKSUM_ZERO (UINT64_C(0xffff) << 24)

// The UDP checksum behind the new headers. udp_sum: of the new pseudo header and ports, without the length.
static inline uint16_t checksum(const struct work *work, uint16_t old, uint16_t udp_length, uint32_t udp_sum)
{
	uint16_t sum;

	if (likely(work->whole)) // RFC 1624 eqn. 3: what was in it goes out, what is new comes in; the length stays
		sum = (uint16_t)~frame_fold(CHECKSUM_ZERO + (uint16_t)~old + udp_sum - work->sum);
	else
		sum = (uint16_t)~frame_fold16(udp_sum + 2u * udp_length + rte_raw_cksum(work->payload, work->length));
	return sum ? sum : 0xffff; // 0 would say that there is none
}

// The nic computes it: ask for that. Returns: what it wants to find there, the sum of the pseudo header alone.
uint16_t forward_offload(struct work *work, const uint8_t *udp, bool v6, uint32_t udp_sum);

// Write L2 to L4 in front of the payload from the peer's template.
static inline void rewrite(
	const struct relay *relay, const struct relay_tx *tx, const struct leg *peer, struct work *work)
{
	const struct leg_out *out = &peer->out;
	struct rte_mbuf *mbuf = work->mbuf;
	uint8_t *udp = work->payload - FRAME_UDP, *frame = work->payload - out->length, *ip = frame + FRAME_ETHERNET;
	uint16_t udp_length = htons((uint16_t)(FRAME_UDP + work->length)), old, sum;
	uint32_t ip_sum = out->ip_sum, udp_sum = out->udp_sum;

	memcpy(&old, udp + 6, 2);
	// Whatever was in front, IP options too, and Ethernet's padding behind: gone.
	mbuf->data_off = (uint16_t)(frame - (uint8_t *)mbuf->buf_addr);
	mbuf->data_len = (uint16_t)(out->length + work->length);
	mbuf->pkt_len = mbuf->data_len;
	memcpy(frame, out->header, LEG_HEADER_4);
	if (unlikely(out->length == LEG_HEADER_6)) {
		memcpy(frame + LEG_HEADER_4, work_cold(relay, peer)->more.header, LEG_HEADER_6 - LEG_HEADER_4);
		memcpy(ip + 4, &udp_length, 2);
	}
	if (unlikely(work->rtcp))
		forward_rtcp_headers(&work_cold(relay, peer)->more, out->length == LEG_HEADER_6, ip, &ip_sum, &udp_sum);
	if (likely(out->length == LEG_HEADER_4)) {
		uint16_t ip_length = htons((uint16_t)(20 + FRAME_UDP + work->length));

		memcpy(ip + 2, &ip_length, 2);
		sum = (uint16_t)~frame_fold16(ip_sum + ip_length);
		memcpy(ip + 10, &sum, 2);
	}
	memcpy(udp + 4, &udp_length, 2);
	if (unlikely(!work->whole && tx->udp_checksum))
		sum = forward_offload(work, udp, out->length == LEG_HEADER_6, udp_sum);
	else
		sum = checksum(work, old, udp_length, udp_sum);
	memcpy(udp + 6, &sum, 2);
}

// What comes by one law of G.711 leaves by the other, in place. Of RTP only.
void forward_law(const struct relay *relay, struct work *work);

// A packet that may not leave by this leg. Returns: why, in the order in which one wants to know; -1: it waits until it
// may.
int forward_refuse(struct relay *relay, struct work *work, uint64_t now_tsc);

static inline bool may_leave(const struct leg_out *out, const struct work *work)
{
	const uint8_t open = (uint8_t)(LEG_REMOTE | LEG_HOP | (work->rtcp ? LEG_REMOTE_RTCP : LEG_MAY_SEND));

	return out->id == work->who.peer && (out->flags & open) == open && work->length <= out->room;
}

// The peer is one of this lcore's. Returns: -1 where the packet leaves or waits, else why it does not.
static __rte_always_inline int forward(struct relay *relay, struct work *work, uint64_t now_tsc)
{
	struct leg *peer = work->to;
	const struct leg_out *out = &peer->out;
	struct relay_tx *tx;
	unsigned at;

	if (unlikely(!may_leave(out, work)))
		return forward_refuse(relay, work, now_tsc);
	if (unlikely(out->length > LEG_HEADER_4 && work->payload - (uint8_t *)work->mbuf->buf_addr < out->length))
		return KG_DROP_too_long; // no room in front for an IPv6 header
	tx = &relay->tx[out->nic];
	if (unlikely(tx->count == RELAY_TX))
		return KG_DROP_tx_full;
	if (unlikely(work->rtcp))
		forward_rtcp(relay, peer, work);
	else
		forward_rtp(relay, peer, work, now_tsc);
	rewrite(relay, tx, peer, work);
	at = tx->count++;
	tx->whose[at] = work->who;
	tx->packets[at] = work->mbuf;
	return -1;
}
