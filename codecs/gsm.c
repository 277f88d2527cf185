// SPDX-License-Identifier: BSD-3-Clause
// GSM 06.10 full rate by spandsp: 33 bytes for 20 ms, each beginning with the four bits 0xd (RFC 3551 section 4.5.8).

#include <errno.h>
#include <stdint.h>

#include <spandsp/telephony.h>
#include <spandsp/gsm0610.h>
#include <spandsp/private/gsm0610.h>

#include "codec.h"
#include "codec_signal.h"

enum { FRAME_SAMPLES = 160, FRAME_BYTES = 33, SIGNATURE = 0xd };

static int init(void *state, const struct codec_options *options)
{
	if (options->rate_hz != 8000)
		return -EINVAL;
	return gsm0610_init(state, GSM0610_PACKING_VOIP) ? 0 : -EINVAL;
}

static int encode(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, size_t room)
{
	if (samples == 0 || samples % FRAME_SAMPLES != 0)
		return -EINVAL;
	if (samples / FRAME_SAMPLES > room / FRAME_BYTES)
		return -ENOSPC;
	return gsm0610_encode(encoder, out, in, (int)samples);
}

// Frames in the payload. spandsp does not look at the signature, and bytes without it are not of this codec.
static int frames(const uint8_t *payload, size_t bytes)
{
	if (bytes == 0 || bytes % FRAME_BYTES != 0)
		return -EBADMSG;
	for (size_t i = 0; i < bytes; i += FRAME_BYTES)
		if (payload[i] >> 4 != SIGNATURE)
			return -EBADMSG;
	return (int)(bytes / FRAME_BYTES);
}

static int decode(void *decoder, const uint8_t *payload, size_t bytes, int16_t *out, uint32_t room)
{
	int count = frames(payload, bytes);

	if (count < 0)
		return count;
	if ((uint32_t)count > room / FRAME_SAMPLES)
		return -ENOSPC;
	return gsm0610_decode(decoder, out, payload, (int)bytes);
}

static int duration(const uint8_t *payload, size_t bytes)
{
	int count = frames(payload, bytes);

	return count < 0 ? count : count * FRAME_SAMPLES;
}

static const struct codec_vector vectors[] = {
	{.what = "GSM vowel",
		.options = &(const struct codec_options){.rate_hz = 8000},
		.samples = codec_signal,
		.sample_count = CODEC_SIGNAL_SAMPLES,
		.payload_bytes = 99,
		.payload_crc = 0x5dad8b04,
		.samples_crc = 0xa46793ee},
	{0},
};

const struct codec codec_gsm = {
	.name = "GSM",
	.payload_type = 3,
	.channels = 1,
	.clock_hz = 8000,
	.rates_hz = {8000},
	.frame_ms = 20,
	.encoder_bytes = sizeof(struct gsm0610_state_s),
	.decoder_bytes = sizeof(struct gsm0610_state_s),
	.vectors = vectors,
	.encoder_init = init,
	.decoder_init = init,
	.encode = encode,
	.decode = decode,
	.duration = duration,
};
