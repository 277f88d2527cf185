// SPDX-License-Identifier: BSD-3-Clause

#include <arpa/inet.h>

#include "latch.h"
#include "relay_admit.h"

// From elsewhere than the remote. Remember who it was: whoever looks for a leg's missing media wants to know.
static int refuse(const struct relay *relay, const struct work *work)
{
	struct leg_refused *refused = &work_cold(relay, work->leg)->refused;
	bool rtp = rtp_kind(work->payload, work->length) == RTP_KIND_RTP && rtp_sound(work->payload, work->length);

	refused->ip = work_source(work);
	refused->port = work->source_port;
	refused->ssrc = rtp ? rtp_get32(work->payload + 8) : 0;
	return KG_DROP_wrong_source;
}

// From another port of a party behind NAT. Returns: -1 where the leg follows it.
static int latch(struct relay *relay, struct work *work, uint64_t now_tsc)
{
	struct leg *leg = work->leg;
	struct leg_cold *cold = work_cold(relay, leg);
	const struct leg_ip source = work_source(work);
	const uint8_t *data = work->payload;
	enum latch_verdict verdict;

	if (!leg_ip_same(&source, &leg->in.remote_ip))
		return refuse(relay, work);
	if (work->port != leg->in.local_port) {
		bool sound = rtp_kind(data, work->length) == RTP_KIND_RTCP && rtcp_sound(data, work->length);

		return sound && latch_rtcp(leg, cold, work->source_port, rtp_get32(data + 4)) ? -1
											      : refuse(relay, work);
	}
	if (rtp_kind(data, work->length) != RTP_KIND_RTP || !rtp_sound(data, work->length) ||
		!payload_type_known(&leg->in, data) || !(leg->in.flags & LEG_MAY_RECEIVE))
		return refuse(relay, work);
	verdict = latch_rtp(
		leg, cold, work->source_port, rtp_get32(data + 8), rtp_get16(data + 2), now_tsc, relay->tsc_hz);
	if (verdict != LATCH_FOLLOWED)
		return verdict == LATCH_PROBATION ? KG_DROP_latch_probation : refuse(relay, work);
	relay_tell(relay, &(struct relay_event){.type = RELAY_EV_LATCHED,
				  .leg = leg->in.id,
				  .ssrc = rtp_get32(data + 8),
				  .port = ntohs(work->source_port),
				  .tsc = now_tsc});
	return -1;
}

// Does RTCP come from where the remote said?
static bool from_remote_rtcp(const struct relay *relay, const struct work *work)
{
	const struct leg_more *more = &work_cold(relay, work->leg)->more;
	const struct leg_ip source = work_source(work);

	return work->leg->in.flags & LEG_REMOTE_RTCP && leg_ip_same(&source, &more->rtcp_ip) &&
	       work->source_port == more->rtcp_remote_port;
}

int admit_other(struct relay *relay, struct work *work, uint64_t now_tsc)
{
	struct leg_in *in = &work->leg->in;
	bool rtcp_port = work->port != in->local_port;

	if (unlikely(in->id == 0)) // its ports are entered, and its making is still on the way
		return KG_DROP_no_leg;
	if (!(rtcp_port ? from_remote_rtcp(relay, work) : from_remote(in, work)) || !(in->flags & LEG_REMOTE)) {
		int reason;

		if (!(in->flags & LEG_LATCH))
			return in->flags & LEG_REMOTE ? refuse(relay, work) : KG_DROP_no_remote;
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
	if (in->flags & LEG_LATCH)
		in->flags |= LEG_PROVED;
	return -1;
}
