// SPDX-License-Identifier: BSD-3-Clause
// A consumer without audio, for the jitter buffer's tests: it pulls each tick, stretches by whole pitch periods, and
// keeps what a listener would notice.
#pragma once

#include "jbuf.h"

struct rig {
	struct jbuf *jbuf;
	struct jbuf_config config;
	int64_t now_us;                   // of the next tick
	uint32_t held_ts, pitch_ts, ssrc; // pitch_ts 0: it declines to stretch
	uint32_t tick_ts, ptime_ts;
	uint64_t played, concealed, recovered, silent; // frames
	uint64_t concealed_ts;
	uint64_t disorder;               // played after a later one
	uint64_t seq_disorder, restarts; // the same by sequence, between restarts
	uint16_t last_seq;
	uint32_t last_value; // what the payload of the last played one says
	bool any;
	char said[512]; // a letter for each frame: P C R S
	uint32_t said_count;
};

// Make a buffer on the heap with the configuration; the clock is 8 kHz and the payload 4 bytes unless it says
// otherwise.
void rig_open(struct rig *rig, const struct jbuf_config *config);
void rig_close(struct rig *rig);

// Push packet `number` of a stream that never wraps (the wire's numbers do): its payload is the number.
enum jbuf_verdict rig_push(struct rig *rig, int64_t now_us, uint32_t number);
enum jbuf_verdict rig_push_at(struct rig *rig, int64_t now_us, uint32_t number, uint16_t seq, uint32_t ts);

// One tick of the consumer, or all of them until then.
void rig_tick(struct rig *rig);
void rig_run(struct rig *rig, int64_t until_us);

// pushed = played + every named loss + queued?
bool rig_balances(const struct rig *rig);
