// SPDX-License-Identifier: BSD-3-Clause
// RTCP of a leg whose packets a room makes: reports of its own about either direction, and what the party's say
// (RFC 3550 6.4). Pure: no clock, no DPDK.
#pragma once

#include <stdint.h>

#include "rtp.h"

enum { REPORT_BYTES = 128 }; // one of ours is shorter

// Of one direction: what is received from a party, and the line that is sent to the other one.
struct report {
	struct rtp_source source;
	uint32_t expected_before, received_before; // at the last report
	uint32_t sr_middle;                        // of the party's last SR, the middle of its NTP time; 0: none came
	int64_t sr_us;
	uint32_t sent_packets, sent_bytes;
	uint32_t ssrc, ts; // of the line: its newest packet's
	int64_t ts_us;     // when that left
	uint32_t clock_hz; // of the line
	uint8_t lost_256;  // of the line, as the other party said last; in 256ths
	uint32_t chance;   // for the next interval
	int64_t due_us;
	char cname[17];
};

void report_init(struct report *report, uint32_t ssrc, uint32_t clock_hz, uint32_t chance);

// An RTP packet of the party came; arrival in its payload type's clock.
void report_received(struct report *report, const uint8_t *rtp, int64_t now_us, uint32_t clock_hz);

// A packet left on the line.
void report_sent(struct report *report, const uint8_t *rtp, unsigned length, int64_t now_us);

// A sound RTCP packet of the party came: its SR, for `in`, which receives from it, and what it says of `line`, which
// leads to it.
void report_heard(struct report *in, struct report *line, const uint8_t *rtcp, size_t length, int64_t now_us);

// Is it time for a report to the party at the end of the line (RFC 3550 6.2: every 5 s, by chance half as much or
// more)?
bool report_due(struct report *line, int64_t now_us);

// Write it: about the line (an SR, or an RR where nothing was sent), and about what `in` received from that party.
// Units: ntp in 2^-32 s since 1900. Returns: its length; even, as all RTCP.
unsigned report_write(
	const struct report *line, struct report *in, int64_t now_us, uint64_t ntp, uint8_t out[REPORT_BYTES]);
