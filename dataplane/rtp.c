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
#define FEEDBACK_NACK 1

enum xr_block { XR_LOSS = 1, XR_DUPLICATE = 2, XR_TIMES = 3, XR_DLRR = 5, XR_SUMMARY = 6, XR_VOIP = 7 };

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
		size_t least = rtcp_least(data[at + 1], data[at] & 31);

		if (data[at] >> 6 != 2 || data[at + 1] < 192 || data[at + 1] > 223 || size > length - at)
			return false;
		if (size - 4 < least)
			return false;
		if (data[at] & 0x20) { // only the last packet may be padded, and not over what its type needs
			if (at + size != length || data[length - 1] == 0 || data[length - 1] > size - 4 - least)
				return false;
		}
		at += size;
	}
	return true;
}

static void source_start(struct rtp_source *source, uint16_t sequence)
{
	source->base = sequence;
	source->highest = sequence;
	source->window = 1;
	source->received = 1;
	source->started = true;
	source->jump = false;
	source->timed = false;
	source->paused = false;
}

enum rtp_order rtp_source_sequence(struct rtp_source *source, uint16_t sequence, uint64_t *lost_before)
{
	uint16_t ahead = (uint16_t)(sequence - (uint16_t)source->highest);
	uint16_t behind = (uint16_t)((uint16_t)source->highest - sequence);

	*lost_before = 0;
	if (!source->started) {
		source_start(source, sequence);
		return RTP_FIRST;
	}
	if (source->paused) {
		*lost_before = rtp_source_lost(source);
		source_start(source, sequence);
		return RTP_RESTART;
	}
	if (ahead != 0 && ahead < RTP_MAX_DROPOUT) {
		source->received++;
		source->window = ahead < 64 ? source->window << ahead | 1 : 1;
		source->highest += ahead;
		source->jump = false;
		return RTP_IN_ORDER;
	}
	if (behind < RTP_MAX_MISORDER) {
		if (behind < 64 && source->window >> behind & 1)
			return RTP_DUPLICATE;
		if (behind < 64)
			source->window |= (uint64_t)1 << behind;
		if (behind <= source->highest - source->base) // what came before the first was not expected
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
	return RTP_STRAY;
}

uint64_t rtp_source_lost(const struct rtp_source *source)
{
	uint32_t expected = source->highest - source->base + 1;

	if (!source->started)
		return 0;
	return expected > source->received ? expected - source->received : 0;
}

// --- RTCP through the map -------------------------------------------------------------------------------------------

// The sender's own SSRC, out to the other side.
static void translate_own(uint8_t *at, const struct rtp_map *send)
{
	uint32_t ssrc = rtp_get32(at);

	if (ssrc == send->in_ssrc)
		rtp_put32(at, send->out_ssrc);
	else if (ssrc == send->out_ssrc)
		rtp_put32(at, send->in_ssrc);
}

// The SSRC of what the sender hears, back to the source. Returns: is it the source that is mapped now?
static bool translate_heard(uint8_t *at, const struct rtp_map *receive)
{
	uint32_t ssrc = rtp_get32(at);

	if (ssrc == receive->out_ssrc) {
		rtp_put32(at, receive->in_ssrc);
		return true;
	}
	if (ssrc == receive->in_ssrc)
		rtp_put32(at, receive->out_ssrc);
	return false;
}

static void translate_blocks(uint8_t *block, unsigned count, const struct rtp_map *receive)
{
	for (; count > 0; count--, block += 24)
		if (translate_heard(block, receive))
			rtp_put32(block + 8, rtp_get32(block + 8) - receive->seq_add);
}

static void back16(uint8_t *at, const struct rtp_map *receive)
{
	rtp_put16(at, (uint16_t)(rtp_get16(at) - receive->seq_add));
}

// Extended reports (RFC 3611): blocks of a type, eight bits of its own and a length in words.
static void translate_extended(uint8_t *at, const uint8_t *end, const struct rtp_map *receive)
{
	while (end - at >= 4) {
		long size = 4 + 4L * rtp_get16(at + 2);

		if (size > end - at)
			return;
		switch (at[0]) {
		case XR_LOSS:
		case XR_DUPLICATE:
		case XR_TIMES:
		case XR_SUMMARY:
			if (size >= 12 && translate_heard(at + 4, receive)) {
				back16(at + 8, receive);  // from this sequence
				back16(at + 10, receive); // to before that one
			}
			break;
		case XR_DLRR:
			for (long i = 4; i + 12 <= size; i += 12)
				translate_heard(at + i, receive);
			break;
		case XR_VOIP:
			if (size >= 8)
				translate_heard(at + 4, receive);
			break;
		default:
			break;
		}
		at += size;
	}
}

// Feedback (RFC 4585): a generic NACK names sequence numbers.
static void translate_feedback(uint8_t *packet, size_t size, const struct rtp_map *receive)
{
	if (!translate_heard(packet + 8, receive) || packet[1] != RTCP_RTPFB || (packet[0] & 31) != FEEDBACK_NACK)
		return;
	for (size_t i = 12; i + 4 <= size; i += 4)
		back16(packet + i, receive);
}

// SDES chunks: each begins with an SSRC and is padded to four bytes.
static void translate_chunks(uint8_t *at, const uint8_t *end, unsigned count, const struct rtp_map *send)
{
	for (; count > 0 && at + 4 <= end; count--) {
		translate_own(at, send);
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
		size_t size = 4 + 4u * rtp_get16(packet + 2), padding = packet[0] & 0x20 ? packet[size - 1] : 0;
		unsigned count = packet[0] & 31;
		size_t used = size - (padding + 3) / 4 * 4;

		switch (packet[1]) {
		case RTCP_SR:
			if (rtp_get32(packet + 4) == send->in_ssrc)
				rtp_put32(packet + 16, rtp_get32(packet + 16) + send->ts_add);
			translate_own(packet + 4, send);
			translate_blocks(packet + 28, count, receive);
			break;
		case RTCP_RR:
			translate_own(packet + 4, send);
			translate_blocks(packet + 8, count, receive);
			break;
		case RTCP_SDES:
			translate_chunks(packet + 4, packet + used, count, send);
			break;
		case RTCP_BYE:
			for (unsigned i = 0; i < count; i++)
				translate_own(packet + 4 + 4u * i, send);
			break;
		case RTCP_RTPFB:
		case RTCP_PSFB:
			translate_own(packet + 4, send);
			translate_feedback(packet, used, receive);
			break;
		case RTCP_XR:
			translate_own(packet + 4, send);
			translate_extended(packet + 8, packet + used, receive);
			break;
		case RTCP_APP:
			translate_own(packet + 4, send);
			break;
		default:
			break;
		}
		at += size;
	}
}
