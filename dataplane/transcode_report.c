// SPDX-License-Identifier: BSD-3-Clause

#include <stdio.h>
#include <string.h>

#include "transcode_report.h"

#define RTCP_SR 200
#define RTCP_RR 201
#define RTCP_SDES 202
#define SDES_CNAME 1
#define INTERVAL_US 5000000 // RFC 3550 6.2, the least
#define FIRST_US 2500000    // and the first one after half of it
#define QUIET_US 10000000   // whoever sent nothing for two intervals is no sender: an RR
#define BLOCK 24            // bytes of a report block
#define LOST_MAX 0x7fffff   // 24 bits, signed

void report_init(struct report *report, uint32_t ssrc, uint32_t clock_hz, uint32_t chance)
{
	memset(report, 0, sizeof(*report));
	report->ssrc = ssrc;
	report->clock_hz = clock_hz;
	report->chance = chance | 1;
	// RFC 7022: of no meaning, and for one call only.
	snprintf(report->cname, sizeof(report->cname), "%08x%08x", chance * 2654435761u, ssrc ^ 0x5bd1e995u);
}

void report_received(struct report *report, const uint8_t *rtp, int64_t now_us, uint32_t clock_hz)
{
	struct rtp_source *source = &report->source;
	uint16_t sequence = rtp_get16(rtp + 2);
	uint64_t lost = 0;

	if (source->started && source->ssrc != rtp_get32(rtp + 8)) {
		memset(source, 0, sizeof(*source));
		report->expected_before = report->received_before = 0;
	}
	source->ssrc = rtp_get32(rtp + 8);
	if (!rtp_source_next(source, sequence) && rtp_source_sequence(source, sequence, &lost) == RTP_RESTART)
		report->expected_before = report->received_before = 0;
	rtp_source_timing(source, rtp_get32(rtp + 4), (uint32_t)((uint64_t)now_us * clock_hz / 1000000), clock_hz);
}

void report_sent(struct report *report, const uint8_t *rtp, unsigned length, int64_t now_us)
{
	report->sent_packets++;
	report->sent_bytes += length - RTP_HEADER;
	report->ts = rtp_get32(rtp + 4);
	report->ts_us = now_us;
}

void report_heard(struct report *in, struct report *line, const uint8_t *rtcp, size_t length, int64_t now_us)
{
	for (size_t at = 0; at + 8 <= length; at += 4 + 4u * rtp_get16(rtcp + at + 2)) {
		const uint8_t *packet = rtcp + at;
		size_t size = 4 + 4u * rtp_get16(packet + 2), block = packet[1] == RTCP_SR ? 28 : 8;

		if (packet[1] == RTCP_SR && size >= 28) {
			in->sr_middle = rtp_get32(packet + 10);
			in->sr_us = now_us;
		}
		if ((packet[1] == RTCP_SR || packet[1] == RTCP_RR) && (packet[0] & 31) && line && size >= block + BLOCK)
			line->lost_256 = packet[block + 4];
	}
}

bool report_due(struct report *line, int64_t now_us)
{
	if (line->due_us == 0)
		line->due_us = now_us + FIRST_US;
	if (now_us < line->due_us)
		return false;
	line->chance = line->chance * 1664525u + 1013904223u;
	line->due_us = now_us + INTERVAL_US / 2 + (int64_t)(line->chance >> 8) * INTERVAL_US / (1 << 24);
	return true;
}

// RFC 3550 A.3. Returns: bytes.
static unsigned block_write(struct report *in, int64_t now_us, uint8_t *at)
{
	const struct rtp_source *source = &in->source;
	uint32_t expected = source->highest - source->base + 1;
	uint32_t expected_now = expected - in->expected_before, received_now = source->received - in->received_before;
	int64_t lost = (int64_t)expected - source->received;
	uint32_t since = (uint32_t)((now_us - in->sr_us) * 65536 / 1000000);

	lost = lost > LOST_MAX ? LOST_MAX : lost < 0 ? 0 : lost;
	in->expected_before = expected;
	in->received_before = source->received;
	rtp_put32(at, source->ssrc);
	rtp_put32(at + 4, (uint32_t)lost);
	at[4] = expected_now > received_now ? (uint8_t)((uint64_t)(expected_now - received_now) * 255 / expected_now)
					    : 0;
	rtp_put32(at + 8, source->highest);
	rtp_put32(at + 12, source->jitter_q4 >> 4);
	rtp_put32(at + 16, in->sr_middle);
	rtp_put32(at + 20, in->sr_middle ? since : 0);
	return BLOCK;
}

static unsigned cname_write(const struct report *line, uint8_t *at)
{
	unsigned name = (unsigned)strlen(line->cname),
		 size = (4 + 4 + 2 + name + 1 + 3) / 4 * 4; // a zero ends the chunk

	memset(at, 0, size);
	at[0] = 0x81;
	at[1] = RTCP_SDES;
	rtp_put16(at + 2, (uint16_t)(size / 4 - 1));
	rtp_put32(at + 4, line->ssrc);
	at[8] = SDES_CNAME;
	at[9] = (uint8_t)name;
	memcpy(at + 10, line->cname, name);
	return size;
}

unsigned report_write(
	const struct report *line, struct report *in, int64_t now_us, uint64_t ntp, uint8_t out[REPORT_BYTES])
{
	bool sender = line->sent_packets && now_us - line->ts_us < QUIET_US;
	unsigned size = sender ? 28 : 8, blocks = in && in->source.started;

	out[0] = (uint8_t)(0x80 | blocks);
	out[1] = sender ? RTCP_SR : RTCP_RR;
	rtp_put32(out + 4, line->ssrc);
	if (sender) {
		rtp_put32(out + 8, (uint32_t)(ntp >> 32));
		rtp_put32(out + 12, (uint32_t)ntp);
		rtp_put32(out + 16, line->ts + (uint32_t)((now_us - line->ts_us) * line->clock_hz / 1000000));
		rtp_put32(out + 20, line->sent_packets);
		rtp_put32(out + 24, line->sent_bytes);
	}
	if (blocks)
		size += block_write(in, now_us, out + size);
	rtp_put16(out + 2, (uint16_t)(size / 4 - 1));
	return size + cname_write(line, out + size);
}
