// SPDX-License-Identifier: BSD-3-Clause

#include "rtp.h"

#define RTCP_SR 200
#define RTCP_RR 201
#define RTCP_SDES 202
#define RTCP_BYE 203
#define RTCP_APP 204
#define RTCP_RTPFB 205
#define RTCP_PSFB 206
#define RTCP_XR 207

enum rtp_kind rtp_kind(const uint8_t *data, size_t length)
{
	if (length < 2)
		return RTP_KIND_OTHER;
	if (data[0] >= 128 && data[0] <= 191)
		return data[1] >= 192 && data[1] <= 223 ? RTP_KIND_RTCP : RTP_KIND_RTP;
	if (data[0] <= 3)
		return RTP_KIND_STUN;
	return data[0] >= 20 && data[0] <= 63 ? RTP_KIND_DTLS : RTP_KIND_OTHER;
}

bool rtp_sound(const uint8_t *data, size_t length)
{
	size_t header = RTP_HEADER;

	if (length < header || data[0] >> 6 != 2)
		return false;
	header += 4u * (data[0] & 15);
	if (data[0] & 0x10) {
		if (length < header + 4)
			return false;
		header += 4 + 4u * rtp_get16(data + header + 2);
	}
	if (length < header)
		return false;
	if (data[0] & 0x20) // padding: its last byte counts itself
		return length > header && data[length - 1] != 0 && data[length - 1] <= length - header;
	return true;
}

// The part of one RTCP packet that its type needs, beyond the four bytes of its header.
static size_t rtcp_least(unsigned type, unsigned count)
{
	switch (type) {
	case RTCP_SR:
		return 24 + 24u * count;
	case RTCP_RR:
		return 4 + 24u * count;
	case RTCP_BYE:
		return 4u * count;
	case RTCP_APP:
	case RTCP_RTPFB:
	case RTCP_PSFB:
		return 8;
	case RTCP_XR:
		return 4;
	default:
		return 0;
	}
}

bool rtcp_sound(const uint8_t *data, size_t length)
{
	size_t at = 0;

	if (length < 8 || length % 4 != 0)
		return false;
	while (at < length) {
		size_t size = 4 + 4u * rtp_get16(data + at + 2);

		if (data[at] >> 6 != 2 || data[at + 1] < 192 || data[at + 1] > 223 || size > length - at)
			return false;
		if (size - 4 < rtcp_least(data[at + 1], data[at] & 31))
			return false;
		if (data[at] & 0x20) { // only the last packet may be padded
			if (at + size != length || data[length - 1] == 0 || data[length - 1] > size - 4)
				return false;
		}
		at += size;
	}
	return true;
}

static void source_start(struct rtp_source *source, uint16_t sequence)
{
	source->base = sequence;
	source->max_seq = sequence;
	source->cycles = 0;
	source->window = 1;
	source->received = 1;
	source->started = true;
	source->jump = false;
	source->timed = false;
}

enum rtp_order rtp_source_sequence(struct rtp_source *source, uint16_t sequence, uint64_t *lost_before)
{
	uint16_t ahead = (uint16_t)(sequence - source->max_seq);
	uint16_t behind = (uint16_t)(source->max_seq - sequence);

	*lost_before = 0;
	if (!source->started) {
		source_start(source, sequence);
		return RTP_FIRST;
	}
	if (ahead != 0 && ahead < RTP_MAX_DROPOUT) {
		if (sequence < source->max_seq)
			source->cycles += 1u << 16;
		source->max_seq = sequence;
		source->window = ahead < 64 ? source->window << ahead | 1 : 1;
		source->received++;
		source->jump = false;
		return RTP_IN_ORDER;
	}
	if (behind < RTP_MAX_MISORDER) {
		if (behind < 64 && source->window >> behind & 1)
			return RTP_DUPLICATE;
		if (behind < 64)
			source->window |= (uint64_t)1 << behind;
		source->received++;
		return RTP_REORDERED;
	}
	if (source->jump && sequence == source->bad_seq) { // two in a row: the sender restarted
		*lost_before = rtp_source_lost(source);
		source_start(source, sequence);
		return RTP_RESTART;
	}
	source->jump = true;
	source->bad_seq = (uint16_t)(sequence + 1);
	return RTP_REORDERED;
}

void rtp_source_timing(struct rtp_source *source, uint32_t timestamp, uint32_t arrival_ts)
{
	uint32_t transit = arrival_ts - timestamp;
	int32_t difference = (int32_t)(transit - source->transit);

	source->transit = transit;
	if (!source->timed) {
		source->timed = true;
		return;
	}
	if (difference < 0)
		difference = -difference;
	source->jitter_q4 += (uint32_t)difference - ((source->jitter_q4 + 8) >> 4);
}

uint64_t rtp_source_lost(const struct rtp_source *source)
{
	uint64_t expected;

	if (!source->started)
		return 0;
	expected = (uint64_t)source->cycles + source->max_seq - source->base + 1;
	return expected > source->received ? expected - source->received : 0;
}

static void translate_blocks(uint8_t *block, unsigned count, const struct rtp_map *receive)
{
	for (; count > 0; count--, block += 24) {
		uint32_t highest;

		if (rtp_get32(block) != receive->out_ssrc)
			continue;
		highest = rtp_get32(block + 8) - receive->seq_add;
		// The low half is exact; whether our line wrapped once more or less than the source's is not known to
		// its sender, so the cycles follow the difference.
		rtp_put32(block, receive->in_ssrc);
		rtp_put32(block + 8, highest);
	}
}

static void translate_ssrc(uint8_t *at, const struct rtp_map *map)
{
	if (rtp_get32(at) == map->in_ssrc)
		rtp_put32(at, map->out_ssrc);
}

// SDES chunks: each begins with an SSRC and is padded to four bytes.
static void translate_chunks(uint8_t *at, const uint8_t *end, unsigned count, const struct rtp_map *send)
{
	for (; count > 0 && at + 4 <= end; count--) {
		translate_ssrc(at, send);
		at += 4;
		while (at < end && *at != 0)
			at += at + 1 < end ? 2 + at[1] : 2;
		if (at >= end)
			return;
		at += (end - at) % 4 ? (end - at) % 4 : 4; // to the next boundary, past at least one zero
	}
}

void rtcp_translate(uint8_t *data, size_t length, const struct rtp_map *send, const struct rtp_map *receive)
{
	for (size_t at = 0; at + 8 <= length;) {
		uint8_t *packet = data + at;
		size_t size = 4 + 4u * rtp_get16(packet + 2);
		unsigned count = packet[0] & 31;

		switch (packet[1]) {
		case RTCP_SR:
			if (rtp_get32(packet + 4) == send->in_ssrc)
				rtp_put32(packet + 16, rtp_get32(packet + 16) + send->ts_add);
			translate_ssrc(packet + 4, send);
			translate_blocks(packet + 28, count, receive);
			break;
		case RTCP_RR:
			translate_ssrc(packet + 4, send);
			translate_blocks(packet + 8, count, receive);
			break;
		case RTCP_SDES:
			translate_chunks(packet + 4, packet + size, count, send);
			break;
		case RTCP_BYE:
			for (unsigned i = 0; i < count; i++)
				translate_ssrc(packet + 4 + 4u * i, send);
			break;
		case RTCP_RTPFB:
		case RTCP_PSFB:
			translate_ssrc(packet + 4, send);
			if (rtp_get32(packet + 8) == receive->out_ssrc)
				rtp_put32(packet + 8, receive->in_ssrc);
			break;
		case RTCP_APP:
		case RTCP_XR:
			translate_ssrc(packet + 4, send);
			break;
		default:
			break;
		}
		at += size;
	}
}
