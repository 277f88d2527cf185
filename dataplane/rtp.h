// SPDX-License-Identifier: BSD-3-Clause
// RTP and RTCP: what the wire says and what a stream's sequence means (RFC 3550). Pure: no clock, no DPDK, no memory.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTP_HEADER 12
#define RTP_MAX_DROPOUT 3000 // RFC 3550 A.1
#define RTP_MAX_MISORDER 100
#define RTP_JITTER_JUMP (1u << 27) // timestamps that leap so far say nothing of jitter; sixteen times this must fit

static inline uint16_t rtp_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t rtp_get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void rtp_put16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static inline void rtp_put32(uint8_t *p, uint32_t value)
{
	rtp_put16(p, (uint16_t)(value >> 16));
	rtp_put16(p + 2, (uint16_t)value);
}

// What a UDP payload is, by its first two bytes (RFC 7983, RFC 5761 4).
enum rtp_kind { RTP_KIND_RTP, RTP_KIND_RTCP, RTP_KIND_STUN, RTP_KIND_DTLS, RTP_KIND_OTHER };
enum rtp_kind rtp_kind(const uint8_t *data, size_t length);

// Is the RTP header whole: version 2, CSRCs, extension and padding inside the packet (RFC 3550 5.1)?
bool rtp_sound(const uint8_t *data, size_t length);

// Where the payload of a sound RTP packet lies, behind CSRCs and extension and before the padding.
// Returns: its length.
static inline size_t rtp_payload(const uint8_t *rtp, size_t length, size_t *begin)
{
	size_t end = length;

	*begin = RTP_HEADER + 4u * (rtp[0] & 15);
	if (rtp[0] & 0x10)
		*begin += 4 + 4u * rtp_get16(rtp + *begin + 2);
	if (rtp[0] & 0x20)
		end -= rtp[length - 1];
	return end > *begin ? end - *begin : 0;
}

// Is it a whole RTCP compound packet (RFC 3550 A.2; a reduced-size one of RFC 5506 is fine too)?
bool rtcp_sound(const uint8_t *data, size_t length);

#define RTP_HEARD_TICKS \
	16 // heard_q counts 2^16 TSC ticks, 25 us: it wraps after a day, and then a source is thought
	   // to be live for a quarter of a second

// One source's sequence, loss and jitter. All zero: nothing seen.
// Thread: the owner lcore writes.
struct rtp_source {
	uint32_t ssrc;
	uint32_t
		highest; // extended sequence: wraps << 16 | sequence; one word, so that a reader never sees half a wrap
	uint32_t base;   // extended sequence of the first
	uint32_t received;  // since base, duplicates not counted
	uint64_t window;    // bit n: highest - n was seen
	uint32_t jitter_q4; // RFC 3550 A.8, times 16, in units of clock_hz
	uint32_t clock_hz;  // of the last packet that was timed
	uint32_t transit;   // its arrival - timestamp
	uint32_t timestamp; // and its timestamp
	uint16_t bad_seq;   // the next after a jump; a second packet there makes the jump a restart
	bool started : 1, jump : 1, timed : 1;
	bool paused : 1;  // packets were turned away: the next one is where it goes on
	uint32_t heard_q; // when the last packet came, in RTP_HEARD_TICKS; 0: a new one is believed at once
};

// RTP_STRAY: far from all others and alone; it counts only once its successor has come (RTP_RESTART).
enum rtp_order { RTP_IN_ORDER, RTP_FIRST, RTP_REORDERED, RTP_DUPLICATE, RTP_STRAY, RTP_RESTART };

// Take one packet's sequence number. RTP_RESTART: the sender began anew (what was lost until then is in *lost_before).
enum rtp_order rtp_source_sequence(struct rtp_source *source, uint16_t sequence, uint64_t *lost_before);
// The common case of it, all of it inlined: the next packet of a source that goes on. Returns: false where it is not.
static inline bool rtp_source_next(struct rtp_source *source, uint16_t sequence)
{
	if (sequence != (uint16_t)(source->highest + 1) || !source->started || source->paused)
		return false;
	source->received++;
	source->window = source->window << 1 | 1;
	source->highest++;
	source->jump = false;
	return true;
}

// Take one packet's timing; `arrival_ts` is its arrival in units of clock_hz, the clock of its payload type. Packets
// that repeat a timestamp (a telephone-event's updates) say nothing about jitter and are left out; where the clock
// changes from packet to packet, what was measured is carried over into the new one's units.
static inline void rtp_source_timing(
	struct rtp_source *source, uint32_t timestamp, uint32_t arrival_ts, uint32_t clock_hz)
{
	uint32_t transit = arrival_ts - timestamp;
	int32_t difference = (int32_t)(transit - source->transit);
	uint32_t distance = difference < 0 ? 0u - (uint32_t)difference : (uint32_t)difference;

	if (source->clock_hz != clock_hz) {
		if (source->clock_hz)
			source->jitter_q4 = (uint32_t)((uint64_t)source->jitter_q4 * clock_hz / source->clock_hz);
		source->clock_hz = clock_hz;
		source->timed = false;
	}
	if (source->timed && timestamp == source->timestamp)
		return;
	source->transit = transit;
	source->timestamp = timestamp;
	if (source->timed && distance <= RTP_JITTER_JUMP)
		source->jitter_q4 += distance - ((source->jitter_q4 + 8) >> 4);
	source->timed = true;
}

// A packet of the source came; and how long ago the last one did (0 where none did). Units: TSC ticks.
static inline void rtp_source_heard(struct rtp_source *source, uint64_t now_tsc)
{
	source->heard_q = (uint32_t)(now_tsc >> RTP_HEARD_TICKS) | 1;
}

static inline uint64_t rtp_source_age_tsc(const struct rtp_source *source, uint64_t now_tsc)
{
	return (uint64_t)(((uint32_t)(now_tsc >> RTP_HEARD_TICKS) | 1) - source->heard_q) << RTP_HEARD_TICKS;
}

// Packets expected and not received so far; duplicates cannot make it negative (RFC 3550 A.3).
uint64_t rtp_source_lost(const struct rtp_source *source);

// How one leg's outgoing line follows a source: what is added to its numbers.
struct rtp_map {
	uint32_t in_ssrc; // the source that is mapped now
	uint32_t out_ssrc;
	uint32_t ts_add;
	uint32_t seq_add; // to the extended sequence, so that reports' highest sequence comes back with its wraps
};

// Translate a sound RTCP packet in place: `send` maps the sender's own numbers (SSRC, RTP time of its SR), `receive`
// the numbers that its report blocks speak of, which are of our line towards it. The two SSRCs of a map change places:
// what an earlier source still says of itself (its BYE) must not be taken for our line's. Units: RTP clock.
void rtcp_translate(uint8_t *data, size_t length, const struct rtp_map *send, const struct rtp_map *receive);
