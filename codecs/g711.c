// SPDX-License-Identifier: BSD-3-Clause
// PCMU and PCMA (RFC 3551 section 4.5.14): a byte is a sample, no state. How they are computed is g711_kernel.h's.

#include <errno.h>

#include "codec.h"
#include "codec_signal.h"
#include "g711_kernel.h"

// Written by start() alone, before threads.
static const struct g711_kernel *kernel = &g711_table_kernel;

static int start(void)
{
	kernel = g711_kernel_choose();
	return 0;
}

static int init(void *state, const struct codec_options *options)
{
	return options->rate_hz == 8000 ? 0 : -EINVAL;
}

static int encode_room(uint32_t samples, size_t room)
{
	if (samples == 0)
		return -EINVAL;
	return samples <= room ? (int)samples : -ENOSPC;
}

static int decode_room(size_t bytes, uint32_t room)
{
	if (bytes == 0)
		return -EBADMSG;
	return bytes <= room ? (int)bytes : -ENOSPC;
}

static int pcmu_encode(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, size_t room)
{
	int ret = encode_room(samples, room);

	if (ret > 0)
		kernel->ulaw_encode(in, out, samples);
	return ret;
}

static int pcmu_decode(void *decoder, const uint8_t *payload, size_t bytes, int16_t *out, uint32_t room)
{
	int ret = decode_room(bytes, room);

	if (ret > 0)
		kernel->ulaw_decode(payload, out, bytes);
	return ret;
}

static int pcma_encode(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, size_t room)
{
	int ret = encode_room(samples, room);

	if (ret > 0)
		kernel->alaw_encode(in, out, samples);
	return ret;
}

static int pcma_decode(void *decoder, const uint8_t *payload, size_t bytes, int16_t *out, uint32_t room)
{
	int ret = decode_room(bytes, room);

	if (ret > 0)
		kernel->alaw_decode(payload, out, bytes);
	return ret;
}

static int duration(const uint8_t *payload, size_t bytes)
{
	return bytes ? (int)bytes : -EBADMSG;
}

static const struct codec_options options = {.rate_hz = 8000};

// Each segment's first code, both signs, and what they mean (G.711 tables 1 and 2, as 16-bit samples).
static const int16_t ulaw_steps[] = {
	0, 132, 396, 924, 1980, 4092, 8316, 16764, -132, -396, -924, -1980, -4092, -8316, -16764, 32124, -32124};
static const uint8_t ulaw_codes[] = {
	0xff, 0xef, 0xdf, 0xcf, 0xbf, 0xaf, 0x9f, 0x8f, 0x6f, 0x5f, 0x4f, 0x3f, 0x2f, 0x1f, 0x0f, 0x80, 0x00};
static const int16_t alaw_steps[] = {
	8, 264, 528, 1056, 2112, 4224, 8448, 16896, -8, -264, -528, -1056, -2112, -4224, -8448, -16896, 32256, -32256};
static const uint8_t alaw_codes[] = {
	0xd5, 0xc5, 0xf5, 0xe5, 0x95, 0x85, 0xb5, 0xa5, 0x55, 0x45, 0x75, 0x65, 0x15, 0x05, 0x35, 0x25, 0xaa, 0x2a};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct codec_vector pcmu_vectors[] = {
	{.what = "PCMU segments",
		.options = &options,
		.samples = ulaw_steps,
		.sample_count = COUNT(ulaw_steps),
		.payload = ulaw_codes,
		.payload_bytes = COUNT(ulaw_codes),
		.samples_crc = 0xae2ee6a4},
	{.what = "PCMU vowel",
		.options = &options,
		.samples = codec_signal,
		.sample_count = CODEC_SIGNAL_SAMPLES,
		.payload_bytes = CODEC_SIGNAL_SAMPLES,
		.payload_crc = 0x7505625d,
		.samples_crc = 0x7d5d71e2},
	{0},
};

static const struct codec_vector pcma_vectors[] = {
	{.what = "PCMA segments",
		.options = &options,
		.samples = alaw_steps,
		.sample_count = COUNT(alaw_steps),
		.payload = alaw_codes,
		.payload_bytes = COUNT(alaw_codes),
		.samples_crc = 0xa7196184},
	{.what = "PCMA vowel",
		.options = &options,
		.samples = codec_signal,
		.sample_count = CODEC_SIGNAL_SAMPLES,
		.payload_bytes = CODEC_SIGNAL_SAMPLES,
		.payload_crc = 0x673f979a,
		.samples_crc = 0x7711b4fe},
	{0},
};

const struct codec codec_pcmu = {
	.name = "PCMU",
	.payload_type = 0,
	.channels = 1,
	.clock_hz = 8000,
	.rates_hz = {8000},
	.frame_ms = 10,
	.vectors = pcmu_vectors,
	.start = start,
	.encoder_init = init,
	.decoder_init = init,
	.encode = pcmu_encode,
	.decode = pcmu_decode,
	.duration = duration,
};

const struct codec codec_pcma = {
	.name = "PCMA",
	.payload_type = 8,
	.channels = 1,
	.clock_hz = 8000,
	.rates_hz = {8000},
	.frame_ms = 10,
	.vectors = pcma_vectors,
	.start = start,
	.encoder_init = init,
	.decoder_init = init,
	.encode = pcma_encode,
	.decode = pcma_decode,
	.duration = duration,
};
