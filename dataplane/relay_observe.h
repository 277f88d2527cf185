// SPDX-License-Identifier: BSD-3-Clause
// observe: what a stream's sequence numbers and times say, and whether another source takes over. The next packet of
// the source that is there is the common case, inlined in relay.c's loop; the rest is in relay_observe.c.
#pragma once

#include "relay_work.h"

// Another SSRC takes over from a live one after two packets in sequence. The first source ever, one after silence and
// one from a new remote address are believed at once: a relay must not lose their first packet. Returns: does it?
bool observe_take_over(struct relay *relay, struct leg *leg, uint32_t ssrc, uint16_t sequence, uint64_t now_tsc);

// A packet that is not simply the next. Returns: does its timing mean something?
bool observe_other(struct relay *relay, struct leg *leg, uint16_t sequence);

// The burst's time on an RTP clock, to the nearest unit. Multiplications only: a division for each packet is too dear.
static inline uint32_t burst_ts(const struct relay *relay, uint32_t clock_hz)
{
	return (uint32_t)(relay->now_s * clock_hz + ((relay->now_frac * clock_hz + (1u << 30)) >> 31));
}

// Returns: false where the packet ends here: nobody believes its source yet.
static inline bool observe_rtp(struct relay *relay, struct work *work, uint64_t now_tsc)
{
	struct leg *leg = work->leg;
	struct rtp_source *source = &leg->stream.source;
	uint32_t ssrc = rtp_get32(work->payload + 8), clock_hz = leg->in.clock_hz;
	uint16_t sequence = rtp_get16(work->payload + 2);
	bool timed;

	if (unlikely(clock_hz == 0))
		clock_hz = leg_clock_hz(work_cold(relay, leg), work->payload[1] & 127);
	work->clock_hz = clock_hz;
	timed = clock_hz != 0;
	if (unlikely(ssrc != source->ssrc || !source->started) &&
		!observe_take_over(relay, leg, ssrc, sequence, now_tsc))
		return false;
	if (unlikely(!rtp_source_next(source, sequence)))
		timed = observe_other(relay, leg, sequence) && timed;
	if (timed)
		rtp_source_timing(source, rtp_get32(work->payload + 4), burst_ts(relay, clock_hz), clock_hz);
	rtp_source_heard(source, now_tsc);
	relay_add(&leg->stream.packets, 1);
	relay_add(&leg->stream.bytes, work->length);
	return true;
}

// Returns: -1 where the packet goes on, else why it does not.
static inline int observe(struct relay *relay, struct work *work, uint64_t now_tsc)
{
	work->who.from = work->leg->in.id;
	work->who.peer = work->leg->in.peer;
	if (unlikely(work->rtcp)) {
		relay_add(&work_cold(relay, work->leg)->rx_rtcp_packets, 1);
		return -1;
	}
	return likely(observe_rtp(relay, work, now_tsc)) ? -1 : KG_DROP_seq_probation;
}
