// SPDX-License-Identifier: BSD-3-Clause

#include "g711_kernel.h"
#include "relay_forward.h"
#include "relay_wait.h"

void forward_follow(const struct relay *relay, struct leg_tx *tx, const struct work *work, uint64_t now_tsc)
{
	uint32_t ssrc = rtp_get32(work->payload + 8), clock_hz = work->clock_hz, step;
	bool first = tx->from == 0;

	tx->map.in_ssrc = ssrc;
	tx->from = work->who.from;
	if (first) {
		tx->map.out_ssrc = ssrc;
		return;
	}
	step = (uint32_t)((unsigned __int128)(now_tsc - tx->last_tsc) * (clock_hz ? clock_hz : 8000) / relay->tsc_hz);
	tx->map.seq_add = tx->last_seq + 1 - rtp_get16(work->payload + 2);
	tx->map.ts_add = tx->last_ts + (step ? step : 1) - rtp_get32(work->payload + 4);
}

// What is changed in the payload changes its sum. Words lie on even places: the payload begins on one.
static void write16(struct work *work, unsigned at, uint16_t value)
{
	uint16_t old, new = htons(value);

	memcpy(&old, work->payload + at, 2);
	memcpy(work->payload + at, &new, 2);
	work->sum += (uint32_t)old + (uint16_t) ~new;
}

static void write32(struct work *work, unsigned at, uint32_t value)
{
	write16(work, at, (uint16_t)(value >> 16));
	write16(work, at + 2, (uint16_t)value);
}

void forward_map(struct work *work, uint16_t sequence, uint32_t timestamp, uint32_t ssrc)
{
	write16(work, 2, sequence);
	write32(work, 4, timestamp);
	write32(work, 8, ssrc);
}

static void translate(struct work *work, const struct rtp_map *send, const struct rtp_map *receive)
{
	uint32_t before;

	if (forward_is_plain(send) && forward_is_plain(receive))
		return;
	before = rte_raw_cksum(work->payload, work->length);
	rtcp_translate(work->payload, work->length, send, receive);
	work->sum += before + (uint16_t)~rte_raw_cksum(work->payload, work->length);
}

void forward_law(const struct relay *relay, struct work *work)
{
	const struct leg_in *in = &work->leg->in;
	uint8_t type = work->payload[1] & 127, mark = work->payload[1] & 0x80;
	uint64_t before;
	size_t begin, length;
	uint8_t *body;

	if (type == in->event_type) {
		write16(work, 0, (uint16_t)(work->payload[0] << 8 | mark | in->event_to));
		return;
	}
	if (type != in->law_type)
		return;
	write16(work, 0, (uint16_t)(work->payload[0] << 8 | mark | in->law_to));
	length = rtp_payload(work->payload, work->length, &begin);
	body = work->payload + begin;
	before = rte_raw_cksum(body, length);
	(in->law == LEG_LAW_ULAW_TO_ALAW ? relay->g711->ulaw_to_alaw : relay->g711->alaw_to_ulaw)(body, body, length);
	work->sum += before + (uint16_t)~rte_raw_cksum(body, length);
}

int forward_refuse(struct relay *relay, struct work *work, uint64_t now_tsc)
{
	const struct leg_out *out = &work->to->out;

	if (out->id != work->who.peer)
		return KG_DROP_peer_gone;
	if (work->rtcp && !(out->flags & LEG_REMOTE_RTCP))
		return KG_DROP_rtcp_no_peer;
	if (!(out->flags & LEG_REMOTE))
		return KG_DROP_no_remote;
	if (!work->rtcp && !(out->flags & LEG_MAY_SEND))
		return KG_DROP_direction;
	if (out->flags & LEG_HOP)
		return KG_DROP_too_long;
	return wait_push(relay, work, now_tsc) ? -1 : KG_DROP_no_next_hop;
}

static const struct rtp_map plain; // maps nothing: SSRC 0 to itself

void forward_rtcp(struct relay *relay, struct leg *peer, struct work *work)
{
	translate(work, &peer->tx.map, work->leg ? &work->leg->tx.map : &plain);
	relay_add(&work_cold(relay, peer)->tx_rtcp_packets, 1);
	relay_add(&relay->counters[KG_CNT_rtcp_relayed], 1);
}

void forward_rtcp_half(struct work *work)
{
	uint64_t sum = work->sum;
	uint16_t checksum;

	translate(work, &plain, &work->leg->tx.map);
	if (!work->whole)
		return;
	memcpy(&checksum, work->payload - 2, 2); // less what went, plus what came
	checksum = (uint16_t)~frame_fold16((uint16_t)~checksum + (uint16_t)~frame_fold(work->sum - sum));
	checksum = checksum ? checksum : 0xffff;
	memcpy(work->payload - 2, &checksum, 2);
}

void forward_rtcp_headers(const struct leg_more *more, bool v6, uint8_t *ip, uint32_t *ip_sum, uint32_t *udp_sum)
{
	uint8_t *addresses = ip + (v6 ? 8 : 12), *udp = ip + (v6 ? 40 : 20);
	const uint16_t ports[2] = {more->rtcp_local_port, more->rtcp_remote_port};

	memcpy(addresses + (v6 ? 16 : 4), &more->rtcp_ip, v6 ? 16 : 4);
	memcpy(udp, ports, sizeof(ports));
	*udp_sum = frame_fold(frame_sum(addresses, v6 ? 32 : 8) + frame_sum(udp, 4) + htons(17));
	*ip_sum = frame_fold(frame_sum(ip, 20)); // IPv4 only
}

uint16_t forward_offload(struct work *work, const uint8_t *udp, bool v6, uint32_t udp_sum)
{
	uint16_t ports[2], length;

	memcpy(ports, udp, sizeof(ports));
	memcpy(&length, udp + 4, sizeof(length));
	work->mbuf->l2_len = FRAME_ETHERNET;
	work->mbuf->l3_len = v6 ? 40 : 20;
	work->mbuf->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM | (v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	return frame_fold16(udp_sum + length + (uint16_t)~ports[0] + (uint16_t)~ports[1]);
}
