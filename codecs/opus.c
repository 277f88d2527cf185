// SPDX-License-Identifier: BSD-3-Clause
// Opus by libopus (RFC 6716, RFC 7587): always mono towards us, whatever a packet says, and at any of the decoder's own
// rates, so that a narrowband far side needs no resampler. The only file that knows libopus.

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <opus/opus.h>

#include "codec.h"
#include "codec_signal.h"
#include "opus_fmtp.h"

enum {
	ENCODER_BYTES = 48 * 1024, // libopus 1.3.1: 43,572 for mono
	DECODER_BYTES = 24 * 1024, // 18,228
	CLOCK_HZ = 48000,
	COMPLEXITY = 5, // about half of what 10 costs (bench/run codec)
	BITRATE_LEAST = 6000,
	BITRATE_MOST = 510000, // RFC 7587 section 7
};

// In the caller's memory; libopus's own state follows.
struct end {
	uint32_t rate_hz;
	_Alignas(max_align_t) uint8_t library[];
};

static OpusEncoder *encoder_of(void *encoder)
{
	return (OpusEncoder *)((struct end *)encoder)->library;
}

static OpusDecoder *decoder_of(void *decoder)
{
	return (OpusDecoder *)((struct end *)decoder)->library;
}

static int error_of(int code)
{
	switch (code) {
	case OPUS_INVALID_PACKET:
		return -EBADMSG;
	case OPUS_BUFFER_TOO_SMALL:
		return -ENOSPC;
	case OPUS_ALLOC_FAIL:
		return -ENOMEM;
	default:
		return -EINVAL;
	}
}

static int start(void)
{
	if (opus_encoder_get_size(1) + sizeof(struct end) > ENCODER_BYTES ||
		opus_decoder_get_size(1) + sizeof(struct end) > DECODER_BYTES)
		return -ENOMEM;
	return 0;
}

// Zero means our own choice here as well, so that what was adapted can go back to it.
static int adapt(void *encoder, const struct codec_options *options)
{
	OpusEncoder *opus = encoder_of(encoder);
	uint32_t bitrate =
		options->bitrate_bps ? options->bitrate_bps : fmtp_opus_bitrate(((struct end *)encoder)->rate_hz);
	int complexity = options->complexity ? options->complexity : COMPLEXITY;

	if (complexity == CODEC_COMPLEXITY_LEAST)
		complexity = 0;
	if (complexity > 10 || options->loss_percent > 100 || bitrate < BITRATE_LEAST || bitrate > BITRATE_MOST)
		return -EINVAL;
	opus_encoder_ctl(opus, OPUS_SET_BITRATE((opus_int32)bitrate));
	opus_encoder_ctl(opus, OPUS_SET_COMPLEXITY(complexity));
	opus_encoder_ctl(opus, OPUS_SET_PACKET_LOSS_PERC(options->loss_percent));
	return 0;
}

static int encoder_init(void *encoder, const struct codec_options *options)
{
	OpusEncoder *opus = encoder_of(encoder);
	int ret = opus_encoder_init(opus, (opus_int32)options->rate_hz, 1, OPUS_APPLICATION_VOIP);

	if (ret != OPUS_OK)
		return error_of(ret);
	((struct end *)encoder)->rate_hz = options->rate_hz;
	opus_encoder_ctl(opus, OPUS_SET_VBR(!options->cbr));
	opus_encoder_ctl(opus, OPUS_SET_INBAND_FEC(options->fec));
	opus_encoder_ctl(opus, OPUS_SET_DTX(options->dtx));
	opus_encoder_ctl(opus, OPUS_SET_LSB_DEPTH(16));
	return adapt(encoder, options);
}

static int decoder_init(void *decoder, const struct codec_options *options)
{
	int ret = opus_decoder_init(decoder_of(decoder), (opus_int32)options->rate_hz, 1);

	if (ret != OPUS_OK)
		return error_of(ret);
	((struct end *)decoder)->rate_hz = options->rate_hz;
	return 0;
}

// Besides 20, 40 and 60 ms also 10; there are no Opus frames of 30 and 50.
static bool is_frame(uint32_t samples, uint32_t rate_hz)
{
	uint32_t unit = rate_hz / 100;

	return samples == unit || samples == 2 * unit || samples == 4 * unit || samples == 6 * unit;
}

static int encode(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, size_t room)
{
	int bytes;

	if (!is_frame(samples, ((struct end *)encoder)->rate_hz))
		return -EINVAL;
	if (room > CODEC_PAYLOAD_MAX_BYTES)
		room = CODEC_PAYLOAD_MAX_BYTES;
	if (room == 0)
		return -ENOSPC;
	bytes = opus_encode(encoder_of(encoder), in, (int)samples, out, (opus_int32)room);
	if (bytes < 0)
		return error_of(bytes);
	return bytes <= 2 ? 0 : bytes; // a configuration without a frame: it need not be sent (opus.h)
}

// libopus takes an empty payload for a lost one, and lengths for int: neither reaches it.
static int samples_in(const uint8_t *payload, size_t bytes, uint32_t rate_hz)
{
	int samples;

	if (bytes == 0 || bytes > UINT16_MAX)
		return -EBADMSG;
	samples = opus_packet_get_nb_samples(payload, (opus_int32)bytes, (opus_int32)rate_hz);
	return samples > 0 ? samples : -EBADMSG;
}

static int decode(void *decoder, const uint8_t *payload, size_t bytes, int16_t *out, uint32_t room)
{
	int samples = samples_in(payload, bytes, ((struct end *)decoder)->rate_hz);

	if (samples < 0)
		return samples;
	if ((uint32_t)samples > room)
		return -ENOSPC;
	samples = opus_decode(decoder_of(decoder), payload, (opus_int32)bytes, out, samples, 0);
	return samples > 0 ? samples : samples < 0 ? error_of(samples) : -EBADMSG;
}

// Concealment goes by 2.5 ms, and up to the longest packet.
static bool is_gap(uint32_t samples, uint32_t rate_hz)
{
	return samples > 0 && samples % (rate_hz / 400) == 0 && samples <= rate_hz / 25 * 3;
}

static int conceal(void *decoder, int16_t *out, uint32_t samples)
{
	int ret;

	if (!is_gap(samples, ((struct end *)decoder)->rate_hz))
		return -EINVAL;
	ret = opus_decode(decoder_of(decoder), NULL, 0, out, (int)samples, 0);
	return ret < 0 ? error_of(ret) : ret;
}

// Does the packet repeat the one before it? In its first frame a SILK header has for each channel one bit for every
// 20 ms, then one that says so (RFC 6716 section 4.2.3); CELT (the configurations from 16 on) has nothing of the kind.
static bool has_redundancy(const uint8_t *packet, size_t bytes)
{
	const unsigned char *frames[48];
	opus_int16 sizes[48];
	unsigned blocks = (unsigned)opus_packet_get_samples_per_frame(packet, CLOCK_HZ) / 960;

	if (packet[0] & 0x80 || opus_packet_parse(packet, (opus_int32)bytes, NULL, frames, sizes, NULL) <= 0 ||
		sizes[0] == 0)
		return false;
	blocks = blocks ? blocks : 1;
	if (frames[0][0] >> (7 - blocks) & 1)
		return true;
	return opus_packet_get_nb_channels(packet) == 2 && frames[0][0] >> (6 - 2 * blocks) & 1;
}

static int recover(void *decoder, const uint8_t *next, size_t bytes, int16_t *out, uint32_t samples)
{
	uint32_t rate_hz = ((struct end *)decoder)->rate_hz;
	int ret = samples_in(next, bytes, rate_hz);

	if (ret < 0)
		return ret;
	if (!is_gap(samples, rate_hz))
		return -EINVAL;
	if (!has_redundancy(next, bytes) || samples < (uint32_t)opus_packet_get_samples_per_frame(next, (int)rate_hz))
		return 0;
	ret = opus_decode(decoder_of(decoder), next, (opus_int32)bytes, out, (int)samples, 1);
	return ret < 0 ? error_of(ret) : ret;
}

static int duration(const uint8_t *payload, size_t bytes)
{
	return samples_in(payload, bytes, CLOCK_HZ);
}

static const struct codec_options at_8000 = {.rate_hz = 8000}, at_16000 = {.rate_hz = 16000},
				  at_48000 = {.rate_hz = 48000};

// The encoder's bits depend on libopus's version and on the machine, as do a CELT decoder's, by rounding. SILK decodes
// in integers: the same everywhere.
static const uint8_t silk[] = {0x48, 0xbb, 0xf8, 0x75, 0xb7, 0xde, 0xe0, 0x71, 0x67, 0x83, 0xa5, 0x50, 0x47, 0x19, 0xe0,
	0xbf, 0x02, 0xed, 0x8f, 0x93, 0x90, 0x3f, 0xc7, 0xc0};

static const struct codec_vector vectors[] = {
	{.what = "opus SILK packet at 16 kHz",
		.options = &at_16000,
		.sample_count = 320,
		.payload = silk,
		.payload_bytes = sizeof(silk),
		.samples_crc = 0x5b53827b},
	{.what = "opus SILK packet at 8 kHz",
		.options = &at_8000,
		.sample_count = 160,
		.payload = silk,
		.payload_bytes = sizeof(silk),
		.samples_crc = 0x0bf7c927},
	{.what = "opus vowel at 8 kHz",
		.options = &at_8000,
		.samples = codec_signal,
		.sample_count = 480,
		.loose = true},
	{.what = "opus vowel at 16 kHz",
		.options = &at_16000,
		.samples = codec_signal,
		.sample_count = 320,
		.loose = true},
	{.what = "opus vowel at 48 kHz",
		.options = &at_48000,
		.samples = codec_signal,
		.sample_count = 480,
		.loose = true},
	{0},
};

const struct codec codec_opus = {
	.name = "opus",
	.payload_type = CODEC_DYNAMIC,
	.channels = 2,
	.clock_hz = CLOCK_HZ,
	.rates_hz = {48000, 16000, 8000, 24000, 12000},
	.frame_ms = 20,
	.encoder_bytes = ENCODER_BYTES,
	.decoder_bytes = DECODER_BYTES,
	.vectors = vectors,
	.start = start,
	.encoder_init = encoder_init,
	.decoder_init = decoder_init,
	.encode = encode,
	.decode = decode,
	.conceal = conceal,
	.recover = recover,
	.duration = duration,
	.adapt = adapt,
};
