// SPDX-License-Identifier: BSD-3-Clause
// The jitter buffer of one received stream: packets go in as they come, the consumer asks at every tick what it should
// play, and is told also whether to stretch it. It knows no codec, no clock, no heap and no lock.
//
// The consumer's loop, once a tick of tick_us:
//
//	while (held < tick) {
//		jbuf_pull(jbuf, now_us, held, &frame);
//		switch (frame.action) ... decode, recover, conceal or fill with silence: frame.duration_ts of it
//		if (frame.stretch_ts) jbuf_stretched(jbuf, what stretch took out (-) or put in (+));
//		held += what came of it;
//	}
//	play a tick; held -= tick;
//
// Why it is made like this:
// - Delay is chosen by price (delay.h), and only among the delays at which packets leave at a tick: anything between
//   two ticks is delay that protects nobody. Hence tick_us, and `held` at every pull.
// - A missing packet is not given up while nothing came after it. When it comes, the concealment that ran meanwhile has
//   already paid for more delay: either that is taken (adopted), or the packets that it covers are dropped as late.
// - Between talkspurts (a gap in timestamps without one in sequence, or packets marked silent) any delay is free;
// within
//   one, the consumer stretches.
// - A drifting clock is a delay that moves: nothing is done about it but all this.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JBUF_SLOTS_MAX = 128, JBUF_PAYLOAD_MAX = 1500 };

// JBUF_OFF: only reordering and duplicates, among what is there. JBUF_FIXED: initial_ms, whatever the line does.
enum jbuf_mode { JBUF_ADAPTIVE, JBUF_FIXED, JBUF_OFF };

// Zero means the default everywhere, but for clock_hz.
struct jbuf_config {
	enum jbuf_mode mode;
	uint32_t clock_hz;          // of RTP
	uint32_t tick_us;           // of the consumer: 20,000
	uint16_t min_ms, max_ms;    // bounds of the delay that is added: 0, 300
	uint16_t initial_ms;        // until there is experience, or for good (JBUF_FIXED): 40
	uint16_t late_cost_ms;      // delay that one percent of late packets is worth: 60
	uint16_t payload_max_bytes; // 1500
	bool recover;               // the codec can (Opus FEC): JBUF_RECOVER is wanted
};

struct jbuf_packet {
	uint16_t seq;
	uint32_t ts, ssrc;
	uint32_t duration_ts; // 0: not known, a tick
	const uint8_t *payload;
	uint16_t bytes;
	uint8_t payload_type;
	bool marker;
	bool silent; // comfort noise, DTX: nothing need follow it for long
};

// What became of a packet that was pushed; each is counted. JBUF_OVERFLOW: queued, but older ones had to go for it.
// JBUF_STRAY: far from all others and alone; its successor makes it JBUF_RESTARTED: queued, as the first of a new row.
#define JBUF_VERDICTS(X)        \
	X(QUEUED, queued)       \
	X(REORDERED, reordered) \
	X(RESTARTED, restarted) \
	X(OVERFLOW, overflowed) \
	X(LATE, late)           \
	X(DUPLICATE, duplicate) \
	X(STRAY, stray)         \
	X(OVERSIZE, oversize)

#define JBUF_VERDICT_ENUM(upper, lower) JBUF_##upper,
enum jbuf_verdict { JBUF_VERDICTS(JBUF_VERDICT_ENUM) JBUF_VERDICT_COUNT };

// JBUF_PLAY: decode the payload. JBUF_CONCEAL: a packet is missing. JBUF_RECOVER: the same, and the payload is that of
// the packet after it, for what it says of this one. JBUF_SILENCE: nobody speaks.
enum jbuf_action { JBUF_PLAY, JBUF_CONCEAL, JBUF_RECOVER, JBUF_SILENCE };

struct jbuf_frame {
	enum jbuf_action action;
	uint8_t payload_type;
	bool marker;
	uint16_t seq, bytes;
	uint32_t ts;
	uint32_t duration_ts;   // as the packet said, or how much is to be made up
	int32_t stretch_ts;     // JBUF_PLAY: <0: take out so much at most; >0: put in so much, or a pitch period more
	const uint8_t *payload; // in the buffer: good until the next push
};

// Every packet pushed is in exactly one of: played, late, duplicate, stray, oversize, overflow, flushed, queued.
struct jbuf_stats {
	uint64_t pushed, played, late, duplicate, stray, oversize;
	uint64_t overflow;             // dropped for newer ones
	uint64_t flushed;              // dropped by a restart
	uint64_t reordered, restarts;  // among the above; restarts of sequence, source or time
	uint64_t concealed, recovered; // pulls that said so
	uint64_t concealed_ts, silence_ts;
	uint64_t adopted;                               // times that delay grew by a gap
	uint64_t accelerated_samples, expanded_samples; // as jbuf_stretched was told, in RTP clock units
	uint32_t queued;
	int32_t depth_us;  // of the packet played last: delay that was added, over the quickest packet of late
	int32_t target_us; // what depth_us should be
};

struct jbuf;

// Memory for a buffer of that configuration, to be aligned as malloc would.
// Units: bytes.
size_t jbuf_bytes(const struct jbuf_config *config);

// Make a buffer in the caller's memory; it needs no end.
// Returns: 0, -EINVAL (no clock, min_ms > max_ms, or what does not fit into JBUF_SLOTS_MAX packets of 10 ms).
int jbuf_init(struct jbuf *jbuf, const struct jbuf_config *config);

// Take a packet that arrived at now_us; the payload is copied.
enum jbuf_verdict jbuf_push(struct jbuf *jbuf, int64_t now_us, const struct jbuf_packet *packet);

// Say what comes next, at the tick of now_us (its nominal time, not when the thread woke up), for a consumer that still
// holds held_ts of audio to play before that.
void jbuf_pull(struct jbuf *jbuf, int64_t now_us, uint32_t held_ts, struct jbuf_frame *frame);

// Tell what became of the wish of the last pull.
// Units: RTP clock; <0 was taken out, >0 was put in.
void jbuf_stretched(struct jbuf *jbuf, int32_t ts);

// While frozen nothing is stretched and the delay stays: for DTMF, fax and other tones.
void jbuf_freeze(struct jbuf *jbuf, bool frozen);

// Throw away what is queued and what is known of the line.
void jbuf_reset(struct jbuf *jbuf);

const struct jbuf_stats *jbuf_stats(const struct jbuf *jbuf);

// Returns: the verdict in lower case.
const char *jbuf_verdict_name(enum jbuf_verdict verdict);
