// SPDX-License-Identifier: BSD-3-Clause
// Opus's format parameters in SDP (RFC 7587 section 6.1): what one end asks of the other's encoder. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec.h"

enum { FMTP_OPUS_TEXT = 256 }; // fmtp_opus_build never needs more

// What one end says about itself: what it plays (maxplaybackrate, stereo), wants (cbr, maxaveragebitrate, useinbandfec,
// usedtx) and will send (sprop-).
struct fmtp_opus {
	uint32_t max_playback_rate_hz; // 8000-48000
	uint32_t sprop_max_capture_rate_hz;
	uint32_t max_average_bitrate_bps; // 6000-510000; 0: not said
	uint8_t min_ptime_ms;             // 3-120
	bool stereo, sprop_stereo, cbr, use_inband_fec, use_dtx;
};

// What our encoder may spend, whoever listens. Zero means the codec's own choice, for rate_hz 48000.
struct fmtp_opus_policy {
	uint32_t rate_hz; // at most; a rate of the codec
	uint32_t bitrate_bps;
	uint8_t complexity, loss_percent; // as in codec_options
	bool fec, dtx;                    // where the far end can use it, too
};

// What holds where nothing is said.
void fmtp_opus_init(struct fmtp_opus *fmtp);

// Read what follows the payload type in a=fmtp; NULL reads as empty. Names are compared without regard to case; those
// not known are left out, and of a repeated one the last counts.
// Returns: 0; -EBADMSG: a value that cannot be meant, `bad` is its name (static). Such a one keeps its default and all
// others are there, so that who is not strict can go on.
int fmtp_opus_parse(struct fmtp_opus *fmtp, const char *text, const char **bad);

// Write what differs from the defaults, "" where nothing does. Returns: its length, -ENOSPC.
int fmtp_opus_build(const struct fmtp_opus *fmtp, char *text, size_t room);

// The encoder's own choice for samples of that rate.
uint32_t fmtp_opus_bitrate(uint32_t rate_hz);

// How to open our encoder for a far end that says `far`. It gets no more bandwidth, bits and redundancy than it asked
// for, and always mono.
void fmtp_opus_options(
	const struct fmtp_opus *far, const struct fmtp_opus_policy *policy, struct codec_options *options);
