// SPDX-License-Identifier: BSD-3-Clause

#include <string.h>

#include "latch.h"

#define NEAR 10 // packets that may be missing between two that count as in sequence

void latch_follow(struct leg *leg, uint16_t port)
{
	uint8_t *target = leg->out.header + leg->out.length - 6; // UDP's destination port
	uint32_t sum;
	uint16_t old;

	memcpy(&old, target, sizeof(old));
	memcpy(target, &port, sizeof(port));
	sum = (leg->out.udp_sum & 0xffff) + (leg->out.udp_sum >> 16);
	leg->out.udp_sum = sum + port + (uint16_t)~old; // one's complement: minus the old, plus the new
	__atomic_store_n(&leg->in.remote_port, port, __ATOMIC_RELAXED);
	leg->in.flags |= LEG_REMOTE;
	leg->cold.latch.moved = true;
	if (leg->in.flags & LEG_MUX)
		latch_follow_rtcp(leg, port);
}

void latch_follow_rtcp(struct leg *leg, uint16_t port)
{
	leg->out.rtcp_ip = leg->in.remote_ip;
	leg->out.rtcp_remote_port = port;
	leg->in.flags |= LEG_REMOTE_RTCP;
	leg->cold.latch.rtcp_moved = true;
}

// May a packet of this source take over from the port in use, which was proved?
static bool goes_on(const struct leg *leg, uint32_t ssrc, uint16_t sequence, uint64_t now_tsc, uint64_t tsc_hz)
{
	const struct rtp_source *source = &leg->stream.source;
	uint16_t ahead = (uint16_t)(sequence - (uint16_t)source->highest);

	return source->started && ssrc == source->ssrc && ahead != 0 && ahead < RTP_MAX_DROPOUT &&
	       now_tsc - leg->stream.last_tsc > tsc_hz / LATCH_QUIET;
}

enum latch_verdict latch_rtp(
	struct leg *leg, uint16_t port, uint32_t ssrc, uint16_t sequence, uint64_t now_tsc, uint64_t tsc_hz)
{
	struct leg_latch *latch = &leg->cold.latch;

	if (latch->proved && !goes_on(leg, ssrc, sequence, now_tsc, tsc_hz))
		return LATCH_REFUSED;
	if (latch->run == 0 || latch->port != port || latch->ssrc != ssrc || (uint16_t)(sequence - latch->next) >= NEAR)
		latch->run = 0;
	latch->port = port;
	latch->ssrc = ssrc;
	latch->next = (uint16_t)(sequence + 1);
	if (++latch->run < LATCH_PACKETS)
		return LATCH_PROBATION;
	latch->run = 0;
	latch->proved = true;
	latch_follow(leg, port);
	return LATCH_FOLLOWED;
}

bool latch_rtcp(struct leg *leg, uint16_t port, uint32_t ssrc)
{
	if (leg->in.flags & LEG_MUX || !leg->cold.latch.proved || !leg->stream.source.started ||
		leg->stream.source.ssrc != ssrc)
		return false;
	latch_follow_rtcp(leg, port);
	return true;
}
