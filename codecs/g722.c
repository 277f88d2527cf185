// SPDX-License-Identifier: BSD-3-Clause
// G.722 at 64 kbit/s by spandsp. A byte is two samples at 16 kHz, while the RTP clock says 8000 (RFC 3551 section
// 4.5.2). Opened at 8 kHz it works on the lower band alone, without the two filters: less than half the time, and the
// far end hears and sends the same (g722_test.c).

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <spandsp/telephony.h>
#include <spandsp/g722.h>
#include <spandsp/private/g722.h>

#include "codec.h"
#include "codec_signal.h"

enum {
	BITRATE_BPS = 64000,
	QMF_TAPS = 12,
	BLOCK = 160, // pairs that are joined at a time: 20 ms
};

// spandsp's synthesis filter does not saturate: a tone at full scale wraps around to the other sign. So at 16 kHz its
// decoder is told to leave the bands apart (the mode in which ITU-T's test sequences are run), and they are joined
// here.
struct decoder {
	g722_decode_state_t library;
	bool wide;
	int16_t sums[QMF_TAPS - 1], differences[QMF_TAPS - 1]; // of the bands, before this payload, oldest first
};

static int flags_of(const struct codec_options *options)
{
	if (options->rate_hz == 16000)
		return 0;
	return options->rate_hz == 8000 ? G722_SAMPLE_RATE_8000 : -EINVAL;
}

static int encoder_init(void *encoder, const struct codec_options *options)
{
	int flags = flags_of(options);

	if (flags < 0)
		return flags;
	return g722_encode_init(encoder, BITRATE_BPS, flags) ? 0 : -EINVAL;
}

static int decoder_init(void *state, const struct codec_options *options)
{
	struct decoder *decoder = state;
	int flags = flags_of(options);

	if (flags < 0)
		return flags;
	memset(decoder, 0, sizeof(*decoder));
	if (!g722_decode_init(&decoder->library, BITRATE_BPS, flags))
		return -EINVAL;
	decoder->wide = flags == 0;
	decoder->library.itu_test_mode = decoder->wide;
	return 0;
}

static int encode(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, size_t room)
{
	unsigned per_byte = ((const g722_encode_state_t *)encoder)->eight_k ? 1 : 2;

	if (samples == 0 || samples % per_byte != 0)
		return -EINVAL;
	if (samples / per_byte > room)
		return -ENOSPC;
	return g722_encode(encoder, out, in, (int)samples);
}

static int16_t dot(const int16_t *history, const int16_t *coefficients)
{
	int32_t sum = 0;

	for (unsigned i = 0; i < QMF_TAPS; i++)
		sum += history[i] * coefficients[i];
	sum >>= 11; // the filters' gain is 4096, the bands have 15 bits
	return (int16_t)(sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum);
}

// In place: pairs of low and high band, each shifted by one, become pairs of samples (G.722 section 4.4).
static void join(struct decoder *decoder, int16_t *pairs, unsigned count)
{
	static const int16_t forward[QMF_TAPS] = {3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11},
			     backward[QMF_TAPS] = {-11, 53, -156, 362, -805, 3876, 951, -210, 32, 12, -11, 3};
	int16_t sums[QMF_TAPS - 1 + BLOCK], differences[QMF_TAPS - 1 + BLOCK];

	memcpy(sums, decoder->sums, sizeof(decoder->sums));
	memcpy(differences, decoder->differences, sizeof(decoder->differences));
	for (unsigned i = 0; i < count; i++) {
		int low = pairs[2 * i] >> 1, high = pairs[2 * i + 1] >> 1;

		sums[QMF_TAPS - 1 + i] = (int16_t)(low + high);
		differences[QMF_TAPS - 1 + i] = (int16_t)(low - high);
	}
	for (unsigned i = 0; i < count; i++) {
		pairs[2 * i] = dot(differences + i, backward);
		pairs[2 * i + 1] = dot(sums + i, forward);
	}
	memcpy(decoder->sums, sums + count, sizeof(decoder->sums));
	memcpy(decoder->differences, differences + count, sizeof(decoder->differences));
}

static int decode(void *state, const uint8_t *payload, size_t bytes, int16_t *out, uint32_t room)
{
	struct decoder *decoder = state;

	if (bytes == 0)
		return -EBADMSG;
	if (bytes > room / (decoder->wide ? 2 : 1))
		return -ENOSPC;
	if (!decoder->wide)
		return g722_decode(&decoder->library, out, payload, (int)bytes);
	for (size_t at = 0; at < bytes; at += BLOCK) {
		unsigned count = bytes - at < BLOCK ? (unsigned)(bytes - at) : BLOCK;

		g722_decode(&decoder->library, out + 2 * at, payload + at, (int)count);
		join(decoder, out + 2 * at, count);
	}
	return (int)(2 * bytes);
}

static int duration(const uint8_t *payload, size_t bytes)
{
	return bytes ? (int)bytes : -EBADMSG;
}

static const struct codec_vector vectors[] = {
	{.what = "G722 vowel at 16 kHz",
		.options = &(const struct codec_options){.rate_hz = 16000},
		.samples = codec_signal,
		.sample_count = CODEC_SIGNAL_SAMPLES,
		.payload_bytes = CODEC_SIGNAL_SAMPLES / 2,
		.payload_crc = 0x06b67202,
		.samples_crc = 0x65dc0d89},
	{.what = "G722 vowel at 8 kHz",
		.options = &(const struct codec_options){.rate_hz = 8000},
		.samples = codec_signal,
		.sample_count = CODEC_SIGNAL_SAMPLES,
		.payload_bytes = CODEC_SIGNAL_SAMPLES,
		.payload_crc = 0x91b26025,
		.samples_crc = 0x4246f22e},
	{0},
};

const struct codec codec_g722 = {
	.name = "G722",
	.payload_type = 9,
	.channels = 1,
	.clock_hz = 8000,
	.rates_hz = {16000, 8000},
	.frame_ms = 10,
	.encoder_bytes = sizeof(g722_encode_state_t),
	.decoder_bytes = sizeof(struct decoder),
	.vectors = vectors,
	.encoder_init = encoder_init,
	.decoder_init = decoder_init,
	.encode = encode,
	.decode = decode,
	.duration = duration,
};
