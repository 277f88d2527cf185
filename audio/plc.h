// SPDX-License-Identifier: BSD-3-Clause
// Packet-loss concealment for codecs that bring none (G.711, L16, ...), in the spirit of G.711 Appendix I: the last
// pitch period goes on, more of them as the gap grows, and dies away within 60 ms. Unlike there nothing is delayed:
// where the gap begins the repetition goes on from the very last sample, and the fade is at the end, into what comes
// back.
#pragma once

#include <stdint.h>

#include "period.h"

enum { PLC_HISTORY_MAX = PERIOD_RATE_MAX / 1000 * (PERIOD_SPAN_US / 1000) };

struct plc {
	uint32_t rate_hz, have;           // have: of the history
	uint32_t lag, at;                 // of the repetition
	uint32_t filled;                  // samples of this gap so far
	uint32_t join;                    // of them are faded into it
	float gain;                       // that it has reached
	int16_t history[PLC_HISTORY_MAX]; // the last 40 ms that were good
	int16_t cycle[PLC_HISTORY_MAX];   // what is repeated
};

// Begin with silence behind.
void plc_start(struct plc *plc, uint32_t rate_hz);

// Take a good frame; after a gap its beginning is changed: it is faded into.
void plc_good(struct plc *plc, int16_t *samples, uint32_t count);

// Make up so many samples.
void plc_fill(struct plc *plc, int16_t *out, uint32_t count);
