// SPDX-License-Identifier: BSD-3-Clause
// What jbuf.c (packets in) and jbuf_play.c (frames out) share.
#pragma once

#include "delay.h"
#include "jbuf.h"

struct jbuf_slot {
	bool used, marker, silent;
	uint8_t payload_type;
	uint16_t bytes;
	uint32_t wire_ts, duration_ts;
	int64_t seq, ts; // without wraps
};

struct jbuf {
	struct jbuf_config config;
	struct jbuf_stats stats;
	struct delay delay;
	uint32_t slot_count, tick_ts;
	uint32_t ssrc;
	bool heard;      // any packet of this row
	bool played;     // any of them
	bool idle;       // between talkspurts: the next packet waits for its time
	bool was_silent; // the last one played
	bool frozen;
	bool seq_jumped, ts_jumped;   // by the last packet, which was dropped for it
	uint16_t jump_seq;            // the one that would confirm it
	int64_t jump_us;              // transit of the one whose time was off
	int64_t newest_seq, next_seq; // next_seq: the first that is not late
	int64_t last_ts;              // of the packet pushed last, and what it was on the wire
	uint32_t last_wire_ts;
	uint64_t seen;     // bit n: newest_seq - n came
	int64_t cursor_ts; // where the audio that was handed out ends
	int64_t gap_ts;    // what was made up since the packet played last
	uint32_t ptime_ts; // of the packet played last
	int64_t stretched_us, choose_us, now_us;
	struct jbuf_slot *slots;
	uint8_t *payloads;
};

static inline int64_t jbuf_us(const struct jbuf *jbuf, int64_t ts)
{
	return ts * 1000000 / jbuf->config.clock_hz;
}

static inline int64_t jbuf_ts(const struct jbuf *jbuf, int64_t us)
{
	return us * jbuf->config.clock_hz / 1000000;
}

static inline struct jbuf_slot *jbuf_slot(struct jbuf *jbuf, int64_t seq)
{
	return &jbuf->slots[seq % jbuf->slot_count];
}

// The queued packet that is first by sequence, or NULL.
struct jbuf_slot *jbuf_head(struct jbuf *jbuf);

// Take a packet out of the queue; it and all before it are late from now on.
void jbuf_take(struct jbuf *jbuf, struct jbuf_slot *slot, uint64_t *count);
