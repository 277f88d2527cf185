// SPDX-License-Identifier: BSD-3-Clause
// G.726 by spandsp: 2 to 5 bits a sample. The names G726-* put the first sample into the low bits of a byte, the names
// AAL2-G726-* into the high ones (RFC 3551 section 4.5.4). A payload is whole groups of eight samples' bits, which is
// where bytes end: 3 bytes at 24 kbit/s, 5 at 40; what is cut off within a group is no payload of ours.

#include <errno.h>
#include <stdint.h>

#include <spandsp/telephony.h>
#include <spandsp/bitstream.h>
#include <spandsp/g726.h>
#include <spandsp/private/bitstream.h>
#include <spandsp/private/g726.h>

#include "codec.h"
#include "codec_signal.h"

// Bytes that hold a whole number of samples, and how many these are.
static unsigned group_bytes(unsigned bits)
{
	return bits == 3 || bits == 5 ? bits : 1;
}

static int samples_in(size_t bytes, unsigned bits)
{
	if (bytes == 0 || bytes % group_bytes(bits) != 0)
		return -EBADMSG;
	return (int)(bytes * 8 / bits);
}

static int init(void *state, const struct codec_options *options, unsigned bits, int packing)
{
	if (options->rate_hz != 8000)
		return -EINVAL;
	return g726_init(state, (int)(bits * 8000), G726_ENCODING_LINEAR, packing) ? 0 : -EINVAL;
}

static int encode(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, size_t room)
{
	unsigned bits = (unsigned)((const g726_state_t *)encoder)->bits_per_sample;

	if (samples == 0 || samples * bits % (8 * group_bytes(bits)) != 0)
		return -EINVAL;
	if (samples * bits / 8 > room)
		return -ENOSPC;
	return g726_encode(encoder, out, in, (int)samples);
}

// spandsp shifts the reconstructed signal to 16 bits without looking whether it fits: a loud one wraps around. How long
// it was is seen in the predictor's memory of it: a sign, four bits of length, six of mantissa.
static int16_t saturate(const g726_state_t *state, int16_t sample)
{
	if ((state->sr[0] & 0x3ff) >> 6 < 14)
		return sample;
	return state->sr[0] < 0 ? -32768 : 32764;
}

static int decode(void *decoder, const uint8_t *payload, size_t bytes, int16_t *out, uint32_t room)
{
	g726_state_t *state = decoder;
	unsigned bits = (unsigned)state->bits_per_sample, have = 0, mask = (1u << bits) - 1;
	int count = samples_in(bytes, bits);
	uint32_t buffer = 0;

	if (count < 0)
		return count;
	if ((uint32_t)count > room)
		return -ENOSPC;
	for (int i = 0; i < count; i++) {
		bool left = state->packing == G726_PACKING_LEFT;

		if (have < bits) {
			buffer = left ? buffer << 8 | *payload++ : buffer | (uint32_t)*payload++ << have;
			have += 8;
		}
		have -= bits;
		out[i] = state->dec_func(state, (uint8_t)((left ? buffer >> have : buffer) & mask));
		out[i] = saturate(state, out[i]);
		buffer >>= left ? 0 : bits;
	}
	return count;
}

#define DURATION(bits)                                                   \
	static int duration_##bits(const uint8_t *payload, size_t bytes) \
	{                                                                \
		return samples_in(bytes, bits);                          \
	}

DURATION(2)
DURATION(3)
DURATION(4)
DURATION(5)

static const struct codec_options options_8000 = {.rate_hz = 8000};

#define G726(codec_name, sdp_name, bits, packing, crc_payload, crc_samples)            \
	static int init_##codec_name(void *state, const struct codec_options *options) \
	{                                                                              \
		return init(state, options, bits, packing);                            \
	}                                                                              \
	static const struct codec_vector vectors_##codec_name[] = {                    \
		{.what = sdp_name " vowel",                                            \
			.options = &options_8000,                                      \
			.samples = codec_signal,                                       \
			.sample_count = CODEC_SIGNAL_SAMPLES,                          \
			.payload_bytes = CODEC_SIGNAL_SAMPLES * bits / 8,              \
			.payload_crc = crc_payload,                                    \
			.samples_crc = crc_samples},                                   \
		{0},                                                                   \
	};                                                                             \
	const struct codec codec_##codec_name = {                                      \
		.name = sdp_name,                                                      \
		.payload_type = CODEC_DYNAMIC,                                         \
		.channels = 1,                                                         \
		.clock_hz = 8000,                                                      \
		.rates_hz = {8000},                                                    \
		.frame_ms = 10,                                                        \
		.encoder_bytes = sizeof(g726_state_t),                                 \
		.decoder_bytes = sizeof(g726_state_t),                                 \
		.vectors = vectors_##codec_name,                                       \
		.encoder_init = init_##codec_name,                                     \
		.decoder_init = init_##codec_name,                                     \
		.encode = encode,                                                      \
		.decode = decode,                                                      \
		.duration = duration_##bits,                                           \
	}

G726(g726_16, "G726-16", 2, G726_PACKING_RIGHT, 0x5696876a, 0x57d79e85);
G726(g726_24, "G726-24", 3, G726_PACKING_RIGHT, 0x202a9797, 0x267b0ab9);
G726(g726_32, "G726-32", 4, G726_PACKING_RIGHT, 0xc1462c82, 0x741e8054);
G726(g726_40, "G726-40", 5, G726_PACKING_RIGHT, 0xdcb88d9b, 0xeae0c268);
G726(aal2_g726_16, "AAL2-G726-16", 2, G726_PACKING_LEFT, 0x2ef33092, 0x57d79e85);
G726(aal2_g726_24, "AAL2-G726-24", 3, G726_PACKING_LEFT, 0x4b4eb1f4, 0x267b0ab9);
G726(aal2_g726_32, "AAL2-G726-32", 4, G726_PACKING_LEFT, 0x481f11e0, 0x741e8054);
G726(aal2_g726_40, "AAL2-G726-40", 5, G726_PACKING_LEFT, 0x568aa6f9, 0xeae0c268);
