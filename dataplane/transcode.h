// SPDX-License-Identifier: BSD-3-Clause
// One direction of a transcoded call: packets of one party in, packets for the other out, at the other's ptime. Jitter
// buffer, decoder, time-scale, resampler, encoder, and the line of RTP that they leave on. Pure: no clock, no DPDK, no
// heap; all memory is one block.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cn.h"
#include "codec.h"
#include "jbuf.h"
#include "plc.h"
#include "resample.h"
#include "stretch.h"
#include "transcode_report.h"

enum {
	TRANSCODE_NO_TYPE = 255,
	TRANSCODE_PACKET = 12 + CODEC_PAYLOAD_MAX_BYTES, // what a tick or an event writes at most
	TRANSCODE_READY = 48 * (60 + 120 + 20) // samples: a tick, a payload of 120 ms, and what stretching adds
};

struct transcode_side {
	const struct codec *codec;
	struct codec_options options; // of `out`: rate_hz and bitrate_bps are the most that it wants; 0: no limit
	uint8_t payload_type;
	uint8_t event_type; // telephone-event; TRANSCODE_NO_TYPE: none
	uint16_t event_hz;  // its clock; 0: the codec's
	uint8_t ptime_ms;   // of `out`: 10-60; 0: 20
};

struct transcode_config {
	struct transcode_side in, out;
	enum jbuf_mode jbuf_mode;
	uint16_t jbuf_min_ms, jbuf_max_ms; // 0: the jitter buffer's own
	uint32_t ssrc, ts;                 // where the line begins; chance
	uint16_t seq;
};

struct transcode_stats { // dsp: rw, control: ro
	uint64_t events, encoded, paused, undecodable;
};

struct transcode {
	struct transcode_config config;
	struct transcode_stats stats;
	uint32_t in_rate, out_rate, tick_ts, need; // a tick in out's RTP clock and in samples
	void *encoder, *decoder;
	struct jbuf *jbuf;
	struct resample resample;
	struct stretch stretch;
	struct plc plc;
	struct cn_source noise; // of the party's pauses
	struct report report;
	uint32_t ssrc, ts;
	uint16_t seq;
	bool started, marker; // the first packet was played; the next one out begins a talkspurt
	bool noisy, quiet;    // comfort noise was described; what was played last was the beginning of a pause
	uint8_t complexity, loss_percent; // what the encoder was told last
	uint16_t events_seen;             // in the sender's sequence: the jitter buffer does not see them
	int64_t heard_us;                 // the last packet of sound
	struct transcode_event {
		bool known;
		uint32_t in_ts, out_ts;
		int64_t last_us;
	} event;
	uint32_t have;
	int16_t ready[TRANSCODE_READY]; // at out_rate
};

// What the rates come to, as far as out's party plays (out_most_hz; 0: all): alike on both sides where both codecs have
// a rate in common, the highest that neither has to make up.
void transcode_rates(
	const struct codec *in, const struct codec *out, uint32_t out_most_hz, uint32_t *in_hz, uint32_t *out_hz);

// Units: bytes of one block, aligned as malloc would.
size_t transcode_bytes(const struct transcode_config *config);

// Returns: 0, -EINVAL, -ENOMEM (a library's own memory). transcode_fini ends what began.
int transcode_init(struct transcode *transcode, const struct transcode_config *config);
void transcode_fini(struct transcode *transcode);

// Take a sound RTP packet that arrived at now_us. Returns: bytes of a packet that leaves at once (a telephone-event),
// in out; 0: none.
unsigned transcode_push(
	struct transcode *transcode, int64_t now_us, const uint8_t *rtp, size_t length, uint8_t out[TRANSCODE_PACKET]);

// A sound RTCP packet of the party. back: the other direction, which leads to it; NULL: there is none.
void transcode_hear(
	struct transcode *transcode, struct transcode *back, int64_t now_us, const uint8_t *rtcp, size_t length);

// Tell the encoder how much it may think (0: its own choice, CODEC_COMPLEXITY_LEAST) and what the other party loses.
void transcode_adapt(struct transcode *transcode, uint8_t complexity);

// A tick of ptime_ms, at its nominal time. Returns: bytes of the packet that leaves, in out; 0: none.
unsigned transcode_tick(struct transcode *transcode, int64_t now_us, uint8_t out[TRANSCODE_PACKET]);
