// SPDX-License-Identifier: BSD-3-Clause
// Comfort noise (RFC 3389): silence told by its loudness and colour, and noise made of that. No row of the table: its
// payloads fill pauses of another codec, whose clock they share (payload type 13 at 8000).
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	CN_PAYLOAD_TYPE = 13,
	CN_ORDER = 10,                   // coefficients that are made and used; what is sent beyond is left out
	CN_PAYLOAD_BYTES = 1 + CN_ORDER, // at most, of ours
	CN_LEVEL_LEAST = 127,            // -dBov: silence
	CN_TAPS = 16,
	CN_FACTOR = 6, // from 8 to 48 kHz
};

// A noise: its level below a square wave at full scale, and the all-pole model 1/A(z) of its spectrum, A(z) = 1 +
// sum of a_j z^-j by Levinson's recursion, so that low noise has a negative first coefficient. RFC 3389 leaves the sign
// open: this is what WebRTC writes and reads, bcg729 has the opposite one.
struct cn_noise {
	uint8_t level; // -dBov, 0-127
	uint8_t order; // of reflection; 0: white
	float reflection[CN_ORDER];
};

// Describe samples, which should be noise alone. Returns: 0, -EINVAL (fewer than 2 * order samples, order > CN_ORDER).
int cn_noise_analyse(struct cn_noise *noise, const int16_t *samples, uint32_t count, unsigned order);

// Read and write a payload. Parsing returns 0 or -EBADMSG (empty); building the bytes written or -ENOSPC.
int cn_noise_parse(struct cn_noise *noise, const uint8_t *payload, size_t bytes);
int cn_noise_build(const struct cn_noise *noise, uint8_t *payload, size_t room);

// What makes noise: all its own, no heap. The same seed gives the same samples.
struct cn_source {
	uint64_t random;
	float rms, rms_aim; // of what comes out
	float reflection[CN_ORDER], aim[CN_ORDER];
	float back[CN_ORDER + 1]; // the lattice's memory
	float gain;               // of the excitation: what the model's own gain leaves of rms
	uint32_t block, until_step, factor, phase;
	float taps[CN_FACTOR][CN_TAPS], past[CN_TAPS]; // from the payload's clock up to the rate
};

// A source of samples at rate_hz out of payloads with clock clock_hz; silent until cn_source_aim.
// Returns: 0, -EINVAL (rate_hz is no multiple of clock_hz up to CN_FACTOR).
int cn_source_init(struct cn_source *source, uint32_t clock_hz, uint32_t rate_hz, uint64_t seed);

// Go over to that noise: at once where there was none yet, else within some 30 ms.
void cn_source_aim(struct cn_source *source, const struct cn_noise *noise);

void cn_source_fill(struct cn_source *source, int16_t *out, uint32_t samples);
