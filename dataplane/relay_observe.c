// SPDX-License-Identifier: BSD-3-Clause

#include "relay_observe.h"

#define SOURCE_LIVE 4 // a source is live for this part of a second after its last packet

bool observe_take_over(struct relay *relay, struct leg *leg, uint32_t ssrc, uint16_t sequence, uint64_t now_tsc)
{
	struct rtp_source *source = &leg->stream.source;
	struct leg_cold *cold = work_cold(relay, leg);
	bool first = !source->started,
	     live = source->heard_q && rtp_source_age_tsc(source, now_tsc) < relay->tsc_hz / SOURCE_LIVE;

	if (!first && live && (cold->candidate_ssrc != ssrc || cold->candidate_seq != sequence)) {
		cold->candidate_ssrc = ssrc;
		cold->candidate_seq = (uint16_t)(sequence + 1);
		return false;
	}
	relay_add(&cold->lost_before, rtp_source_lost(source));
	memset(source, 0, sizeof(*source));
	source->ssrc = ssrc;
	__atomic_store_n(&cold->sources, cold->sources + 1, __ATOMIC_RELAXED);
	if (first)
		relay_tell(
			relay, &(struct relay_event){
				       .type = RELAY_EV_FIRST_PACKET, .leg = leg->in.id, .ssrc = ssrc, .tsc = now_tsc});
	return true;
}

bool observe_other(struct relay *relay, struct leg *leg, uint16_t sequence)
{
	struct leg_cold *cold = work_cold(relay, leg);
	uint64_t lost_before;

	switch (rtp_source_sequence(&leg->stream.source, sequence, &lost_before)) {
	case RTP_DUPLICATE:
		relay_add(&cold->duplicate, 1);
		return false;
	case RTP_STRAY:
		return false;
	case RTP_REORDERED:
		relay_add(&cold->reordered, 1);
		return true;
	case RTP_RESTART:
		relay_add(&cold->lost_before, lost_before);
		return true;
	case RTP_FIRST:
	case RTP_IN_ORDER:
		break;
	}
	return true;
}
