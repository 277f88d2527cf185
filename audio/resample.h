// SPDX-License-Identifier: BSD-3-Clause
// Sample rates of telephony into each other, as a stream: a polyphase FIR in integers, the same bits by every kernel
// and whatever the chunks, n * out_hz / in_hz samples over time and never one more. Of the lower rate, 0.425 (3.4 kHz
// of 8) loses 0.15 dB and a tone within leaves 72 dB less of anything else; from 0.55 on (4.4 kHz) 67 dB are gone; what
// lies between them folds, weakened. The worst of all pairs; resample_tones_test.c holds it to 0.2, 70 and 60 dB.
#pragma once

#include <stdint.h>

enum {
	RESAMPLE_TAPS = 192,  // of the longest filter
	RESAMPLE_CHUNK = 480, // taken in at once
	RESAMPLE_SLACK = 16,  // kernels read beyond, and give no weight to what they find
};

// One direction of one leg, in the caller's memory.
struct resample {
	const struct resample_ratio *ratio;   // resample_kernel.h
	const struct resample_kernel *kernel; // the machine's, from resample_init
	uint32_t phase;                       // of the next output between two inputs, in units of 1 / ratio->up
	uint32_t have;                        // samples that are kept, the window of the next output's first
	int16_t kept[RESAMPLE_TAPS + RESAMPLE_CHUNK + RESAMPLE_SLACK];
};

// Make ready for a stream of samples from in_hz to out_hz: each 8000, 12000, 16000, 24000, 32000, 44100 or 48000, and
// the same is a copy.
// Returns: 0 or -EINVAL (another rate).
int resample_init(struct resample *resample, uint32_t in_hz, uint32_t out_hz);

// Forget the stream: what comes next is the first of another.
void resample_reset(struct resample *resample);

// Take n samples and write those they complete, which lie resample_delay_samples back. out and in lie apart.
// Returns: samples written; -ENOSPC where room is too little: nothing was taken.
int resample_process(struct resample *resample, const int16_t *in, uint32_t n, int16_t *out, uint32_t room);

// How many samples the next n will complete.
uint64_t resample_out_samples(const struct resample *resample, uint32_t n);

// How long the filter holds the sound back: as many samples of in_hz, exactly.
uint32_t resample_delay_samples(const struct resample *resample);
