// SPDX-License-Identifier: BSD-3-Clause
// admit: who sends, and what. RTP from the remote that signalling named is the common case, inlined in relay.c's loop;
// everything else is taken step by step in relay_admit.c.
#pragma once

#include "relay_work.h"

static inline bool payload_type_known(const struct leg_in *in, const uint8_t *rtp)
{
	return in->formats[rtp[1] >> 6 & 1] >> (rtp[1] & 63) & 1;
}

static inline bool from_remote(const struct leg_in *in, const struct work *work)
{
	struct leg_ip source;

	if (work->source_port != in->remote_port)
		return false;
	source = work_source(work);
	return leg_ip_same(&source, &in->remote_ip);
}

// A plain RTP packet (no CSRC, extension or padding) from where it should come?
static inline bool is_common(const struct leg_in *in, const struct work *work)
{
	const uint8_t *rtp = work->payload;
	const uint8_t open = LEG_REMOTE | LEG_MAY_RECEIVE;

	return rtp[0] == 0x80 && (uint8_t)(rtp[1] - 192) >= 32 && work->length >= RTP_HEADER &&
	       work->port == in->local_port && (in->flags & open) == open &&
	       (in->flags & (LEG_LATCH | LEG_PROVED)) != LEG_LATCH && from_remote(in, work) &&
	       payload_type_known(in, rtp);
}

// Everything else: another source, RTCP, no RTP at all, a header with more to it.
int admit_other(struct relay *relay, struct work *work, uint64_t now_tsc);

// Returns: -1 where the packet goes on, else why it does not.
static inline int admit(struct relay *relay, struct work *work, uint64_t now_tsc)
{
	work->rtcp = false;
	return likely(is_common(&work->leg->in, work)) ? -1 : admit_other(relay, work, now_tsc);
}
