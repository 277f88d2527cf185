// SPDX-License-Identifier: BSD-3-Clause

#include <string.h>

#include "latch.h"

#define NEAR 10 // packets that may be missing between two that count as in sequence

static void set_flag(struct leg *leg, enum leg_flag flag)
{
	leg->in.flags |= flag;
	leg->out.flags |= flag;
}

void latch_follow(struct leg *leg, struct leg_cold *cold, uint16_t port)
{
	const unsigned at = leg->out.length - 6; // UDP's destination port
	uint8_t *target = at < LEG_HEADER_4 ? leg->out.header + at : cold->more.header + at - LEG_HEADER_4;
	uint32_t sum;
	uint16_t old;

	memcpy(&old, target, sizeof(old));
	memcpy(target, &port, sizeof(port));
	sum = (uint32_t)leg->out.udp_sum + port + (uint16_t)~old; // one's complement: minus the old, plus the new
	sum = (sum & 0xffff) + (sum >> 16);
	leg->out.udp_sum = (uint16_t)((sum & 0xffff) + (sum >> 16));
	__atomic_store_n(&leg->in.remote_port, port, __ATOMIC_RELAXED);
	set_flag(leg, LEG_REMOTE);
	cold->latch.moved = true;
	if (leg->in.flags & LEG_MUX)
		latch_follow_rtcp(leg, cold, port);
}

void latch_follow_rtcp(struct leg *leg, struct leg_cold *cold, uint16_t port)
{
	cold->more.rtcp_ip = leg->in.remote_ip;
	cold->more.rtcp_remote_port = port;
	set_flag(leg, LEG_REMOTE_RTCP);
	cold->latch.rtcp_moved = true;
}

// May a packet of this source take over from the port in use, which was proved?
static bool goes_on(const struct leg *leg, uint32_t ssrc, uint16_t sequence, uint64_t now_tsc, uint64_t tsc_hz)
{
	const struct rtp_source *source = &leg->stream.source;
	uint16_t ahead = (uint16_t)(sequence - (uint16_t)source->highest);

	return source->started && ssrc == source->ssrc && ahead != 0 && ahead < RTP_MAX_DROPOUT &&
	       rtp_source_age_tsc(source, now_tsc) > tsc_hz / LATCH_QUIET;
}

enum latch_verdict latch_rtp(struct leg *leg, struct leg_cold *cold, uint16_t port, uint32_t ssrc, uint16_t sequence,
	uint64_t now_tsc, uint64_t tsc_hz)
{
	struct leg_latch *latch = &cold->latch;

	if (leg->in.flags & LEG_PROVED && !goes_on(leg, ssrc, sequence, now_tsc, tsc_hz))
		return LATCH_REFUSED;
	if (latch->run == 0 || latch->port != port || latch->ssrc != ssrc || (uint16_t)(sequence - latch->next) >= NEAR)
		latch->run = 0;
	latch->port = port;
	latch->ssrc = ssrc;
	latch->next = (uint16_t)(sequence + 1);
	if (++latch->run < LATCH_PACKETS)
		return LATCH_PROBATION;
	latch->run = 0;
	leg->in.flags |= LEG_PROVED;
	latch_follow(leg, cold, port);
	return LATCH_FOLLOWED;
}

bool latch_rtcp(struct leg *leg, struct leg_cold *cold, uint16_t port, uint32_t ssrc)
{
	if (leg->in.flags & LEG_MUX || !(leg->in.flags & LEG_PROVED) || !leg->stream.source.started ||
		leg->stream.source.ssrc != ssrc)
		return false;
	latch_follow_rtcp(leg, cold, port);
	return true;
}
