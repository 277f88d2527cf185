// SPDX-License-Identifier: BSD-3-Clause
// Latching: learning the port from which a party behind NAT sends. Signalling has bound the address
// (leg->in.remote_ip); only RTP from there counts, and a port is believed after LATCH_PACKETS packets of one source in
// sequence. Once RTP has come from the port in use, another one is believed only while that one is quiet and as the
// same source going on: a sender that merely knows the codec and guesses the SSRC takes nothing over (RFC 7362 4; RTP
// bleed). All functions: Thread: the leg's owner lcore. No clock of its own, no memory, no system call.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "leg.h"

#define LATCH_PACKETS 3
#define LATCH_QUIET 5 // a port in use is quiet after this part of a second without a packet

// A sound RTP packet from the bound address, but from another port. LATCH_FOLLOWED: in.remote_port and the header are
// changed. Units: port in network order.
enum latch_verdict { LATCH_REFUSED, LATCH_PROBATION, LATCH_FOLLOWED };
enum latch_verdict latch_rtp(struct leg *leg, struct leg_cold *cold, uint16_t port, uint32_t ssrc, uint16_t sequence,
	uint64_t now_tsc, uint64_t tsc_hz);

// A sound RTCP packet from the bound address to the RTCP port, from another port than known. It is followed at once
// where it is of the source that is heard; never with rtcp-mux, where RTCP goes with RTP.
bool latch_rtcp(struct leg *leg, struct leg_cold *cold, uint16_t port, uint32_t ssrc);

// Send to that port from now on, and take packets from there.
void latch_follow(struct leg *leg, struct leg_cold *cold, uint16_t port);
void latch_follow_rtcp(struct leg *leg, struct leg_cold *cold, uint16_t port);
