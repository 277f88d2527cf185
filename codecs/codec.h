// SPDX-License-Identifier: BSD-3-Clause
// What a codec is to everybody else: one static descriptor, a file of its own and a row in codec_table.c. Codecs hold
// neither threads nor clocks nor heap: states live in memory of the caller, of the size that the descriptor says, and
// are used by one thread at a time. Audio is int16, mono, at the rate the state was opened at; the RTP clock is another
// thing (G.722: RFC 3551 section 4.5.2).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CODEC_DYNAMIC = 0xff,           // no static payload type
	CODEC_RATES = 6,                // of a descriptor
	CODEC_FRAME_MAX_SAMPLES = 5760, // 120 ms at 48 kHz: no payload decodes to more
	CODEC_PAYLOAD_MAX_BYTES = 1920, // 60 ms of L16 at 16 kHz: no encoder writes more
	CODEC_COMPLEXITY_LEAST = 0xff,  // 0 says "the codec's own choice", as everywhere
};

// How one end is opened. Zero means the codec's own choice everywhere, but for rate_hz.
struct codec_options {
	uint32_t rate_hz;     // of the samples: one of the descriptor's
	uint32_t bitrate_bps; // Opus: 6,000-510,000
	uint8_t complexity;   // Opus: 1-10; CODEC_COMPLEXITY_LEAST is its 0
	uint8_t loss_percent; // expected by the far end: with fec it decides how much is spent, at 0 nothing
	uint8_t ptime_ms;     // what one payload will hold: 10-60
	bool fec, dtx, cbr;   // Opus: as the far end's fmtp allows (RFC 7587 section 6.1); dtx: G.729 too
};

// A known answer: what encode makes of the samples, what decode makes of the payload; run at start (codec_check).
struct codec_vector {
	const char *what;
	const struct codec_options *options;
	const int16_t *samples; // NULL: the vector only decodes
	uint32_t sample_count;
	const uint8_t *payload; // NULL: only the digest is compared
	uint32_t payload_bytes;
	uint32_t payload_crc, samples_crc; // of what came out (CRC-32, IEEE), where the bytes would be too many
	bool loose; // the library promises no bits, only what is heard: sent over and over, the samples are as loud
		    // after it as before, within 3 dB
};

struct codec {
	const char *name;     // the encoding name of SDP (RFC 3551, RFC 7587), compared without regard to case
	uint8_t payload_type; // static, or CODEC_DYNAMIC
	uint8_t channels;     // what rtpmap says: 2 for Opus, which is mono here all the same
	uint32_t clock_hz;    // of RTP
	uint32_t rates_hz[CODEC_RATES];        // of samples, its own one first; 0 ends the list
	uint8_t frame_ms;                      // payloads hold a multiple of it
	uint32_t encoder_bytes, decoder_bytes; // of the states, aligned as malloc would; 0 where none is needed
	const struct codec_vector *vectors;    // ends with what == NULL

	// Once, before threads and before its vectors: choose a kernel, ask a library. NULL: nothing is to be done.
	// Returns: 0, -ENOMEM (the library's states are larger than said above).
	int (*start)(void);
	// Returns: 0, -EINVAL (options that it does not have), -ENOMEM (a library's own memory).
	int (*encoder_init)(void *encoder, const struct codec_options *options);
	int (*decoder_init)(void *decoder, const struct codec_options *options);
	void (*encoder_fini)(void *encoder); // NULL where nothing is to be freed
	void (*decoder_fini)(void *decoder);

	// One payload of `samples` samples (frame_ms..60 ms of them). Returns: bytes written; 0: nothing is to be sent
	// (DTX); -ENOSPC, -EINVAL.
	int (*encode)(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, size_t room);
	// One payload. Returns: samples written, up to room (in samples); -EBADMSG (not of this codec), -ENOSPC.
	int (*decode)(void *decoder, const uint8_t *payload, size_t bytes, int16_t *out, uint32_t room);
	// `samples` samples in the place of a lost payload, by the codec's own way; NULL: audio/plc.c has to.
	int (*conceal)(void *decoder, int16_t *out, uint32_t samples);
	// The same, out of what the following payload brings along (Opus in-band FEC). Returns: samples; 0: it brings
	// nothing, conceal; -EBADMSG.
	int (*recover)(void *decoder, const uint8_t *next, size_t bytes, int16_t *out, uint32_t samples);
	// How long a payload lasts, without decoding it. Returns: RTP clock units, or -EBADMSG.
	int (*duration)(const uint8_t *payload, size_t bytes);
	// Change a running encoder: complexity, loss_percent and bitrate_bps only. NULL: there is nothing to change.
	int (*adapt)(void *encoder, const struct codec_options *options);
};

// Is that one of the rates that the codec can be opened at?
bool codec_has_rate(const struct codec *codec, uint32_t rate_hz);

// The table's rows, NULL at its end. Order: as they are preferred where nobody says otherwise.
extern const struct codec *const codec_table[];

// Find a codec by its name, clock and channels in SDP (channels 0 reads as 1). Returns: NULL where it is none of ours.
const struct codec *codec_find(const char *name, uint32_t clock_hz, uint8_t channels);

// Find a codec by its static payload type. Returns: NULL where that is none of ours.
const struct codec *codec_find_static(uint8_t payload_type);

// Run one known answer of a codec. Thread: one at a time, its states are static.
// Returns: 0, -EILSEQ (a wrong answer), what init returns.
int codec_check(const struct codec *codec, const struct codec_vector *vector);

// Make static tables of libraries and run every known answer, once, before threads start. `failed` names the vector
// that is wrong. Returns: 0, -EILSEQ (a wrong answer), -ENOMEM.
int codecs_init(const char **failed);
