// SPDX-License-Identifier: BSD-3-Clause
// L16 (RFC 3551 section 4.5.11): samples as they are, in network order. Only rates whose 20 ms fit a packet.

#include <errno.h>

#include "codec.h"
#include "codec_signal.h"

static int init_16000(void *state, const struct codec_options *options)
{
	return options->rate_hz == 16000 ? 0 : -EINVAL;
}

static int init_8000(void *state, const struct codec_options *options)
{
	return options->rate_hz == 8000 ? 0 : -EINVAL;
}

static int encode(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, size_t room)
{
	if (samples == 0)
		return -EINVAL;
	if (samples > room / 2)
		return -ENOSPC;
	for (uint32_t i = 0; i < samples; i++) {
		out[2 * i] = (uint8_t)((uint16_t)in[i] >> 8);
		out[2 * i + 1] = (uint8_t)in[i];
	}
	return (int)(2 * samples);
}

static int decode(void *decoder, const uint8_t *payload, size_t bytes, int16_t *out, uint32_t room)
{
	if (bytes == 0 || bytes % 2 != 0)
		return -EBADMSG;
	if (bytes / 2 > room)
		return -ENOSPC;
	for (size_t i = 0; i < bytes / 2; i++)
		out[i] = (int16_t)(payload[2 * i] << 8 | payload[2 * i + 1]);
	return (int)(bytes / 2);
}

static int duration(const uint8_t *payload, size_t bytes)
{
	return bytes && bytes % 2 == 0 ? (int)(bytes / 2) : -EBADMSG;
}

static const int16_t edges[] = {0, 1, -1, 256, 32767, -32768};
static const uint8_t edges_payload[] = {0, 0, 0, 1, 0xff, 0xff, 1, 0, 0x7f, 0xff, 0x80, 0};

#define VECTORS(rate)                                                                      \
	{                                                                                  \
		{.what = "L16/" #rate " edges",                                            \
			.options = &(const struct codec_options){.rate_hz = rate},         \
			.samples = edges,                                                  \
			.sample_count = 6,                                                 \
			.payload = edges_payload,                                          \
			.payload_bytes = 12,                                               \
			.samples_crc = 0x711a628b},                                        \
			{.what = "L16/" #rate " vowel",                                    \
				.options = &(const struct codec_options){.rate_hz = rate}, \
				.samples = codec_signal,                                   \
				.sample_count = CODEC_SIGNAL_SAMPLES,                      \
				.payload_bytes = 2 * CODEC_SIGNAL_SAMPLES,                 \
				.payload_crc = 0xc81874dc,                                 \
				.samples_crc = 0x2845b8ea},                                \
			{0},                                                               \
	}

#define L16(rate)                                                          \
	static const struct codec_vector vectors_##rate[] = VECTORS(rate); \
	const struct codec codec_l16_##rate = {                            \
		.name = "L16",                                             \
		.payload_type = CODEC_DYNAMIC,                             \
		.channels = 1,                                             \
		.clock_hz = rate,                                          \
		.rates_hz = {rate},                                        \
		.frame_ms = 10,                                            \
		.vectors = vectors_##rate,                                 \
		.encoder_init = init_##rate,                               \
		.decoder_init = init_##rate,                               \
		.encode = encode,                                          \
		.decode = decode,                                          \
		.duration = duration,                                      \
	}

L16(16000);
L16(8000);
