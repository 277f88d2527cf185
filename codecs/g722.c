// SPDX-License-Identifier: BSD-3-Clause
// G.722 at 64 kbit/s by spandsp. A byte is two samples at 16 kHz, while the RTP clock says 8000 (RFC 3551 section
// 4.5.2). Opened at 8 kHz it works on the lower band alone, without the two filters: less than half the time, and the
// far end hears and sends the same (g722_test.c).

#include <errno.h>
#include <stdint.h>

#include <spandsp/telephony.h>
#include <spandsp/g722.h>
#include <spandsp/private/g722.h>

#include "codec.h"
#include "codec_signal.h"

enum { BITRATE_BPS = 64000 };

static int mode(const struct codec_options *options)
{
	if (options->rate_hz == 16000)
		return 0;
	return options->rate_hz == 8000 ? G722_SAMPLE_RATE_8000 : -EINVAL;
}

static int encoder_init(void *encoder, const struct codec_options *options)
{
	int flags = mode(options);

	if (flags < 0)
		return flags;
	return g722_encode_init(encoder, BITRATE_BPS, flags) ? 0 : -EINVAL;
}

static int decoder_init(void *decoder, const struct codec_options *options)
{
	int flags = mode(options);

	if (flags < 0)
		return flags;
	return g722_decode_init(decoder, BITRATE_BPS, flags) ? 0 : -EINVAL;
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

static int decode(void *decoder, const uint8_t *payload, size_t bytes, int16_t *out, uint32_t room)
{
	unsigned per_byte = ((const g722_decode_state_t *)decoder)->eight_k ? 1 : 2;

	if (bytes == 0)
		return -EBADMSG;
	if (bytes > room / per_byte)
		return -ENOSPC;
	return g722_decode(decoder, out, payload, (int)bytes);
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
	.decoder_bytes = sizeof(g722_decode_state_t),
	.vectors = vectors,
	.encoder_init = encoder_init,
	.decoder_init = decoder_init,
	.encode = encode,
	.decode = decode,
	.duration = duration,
};
