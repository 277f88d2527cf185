// SPDX-License-Identifier: BSD-3-Clause
// Any bytes as payloads of any codec, as comfort noise and as Opus's fmtp. The first byte picks the row of the table,
// and with its upper bits the rate; the second the operation, of which the upper half of the byte is the gap's length
// or the room that there is. What follows is one payload, in memory that ends where it does.

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cn.h"
#include "codec.h"
#include "opus_fmtp.h"

enum operation { DECODE, CONCEAL, RECOVER, DURATION, NOISE, FMTP, TWICE, OPERATIONS };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// A payload that lasts so long decodes to so much, and to nothing else.
static void decode(
	const struct codec *codec, void *decoder, uint32_t rate_hz, const uint8_t *payload, size_t bytes, uint32_t room)
{
	int16_t *out = malloc(room * sizeof(*out));
	int lasts = codec->duration(payload, bytes), count = codec->decode(decoder, payload, bytes, out, room);

	assert(lasts > 0 || lasts == -EBADMSG);
	assert(count > 0 || count == -EBADMSG || count == -ENOSPC);
	assert(count <= 0 || (uint32_t)count <= room);
	assert(lasts > 0 || count == -EBADMSG);
	// G.722's clock says 8000 at any rate, and is right about the time.
	assert(count <= 0 || (uint64_t)count * codec->clock_hz == (uint64_t)lasts * rate_hz);
	free(out);
}

static void conceal(const struct codec *codec, void *decoder, uint32_t samples)
{
	int16_t *out = malloc(samples * sizeof(*out));
	int ret = codec->conceal ? codec->conceal(decoder, out, samples) : -EINVAL;

	assert(ret == (int)samples || ret == -EINVAL);
	free(out);
}

static void recover(const struct codec *codec, void *decoder, const uint8_t *payload, size_t bytes, uint32_t samples)
{
	int16_t *out = malloc(samples * sizeof(*out));
	int ret = codec->recover ? codec->recover(decoder, payload, bytes, out, samples) : 0;

	assert(ret == (int)samples || ret == 0 || ret == -EBADMSG || ret == -EINVAL);
	free(out);
}

static void make_noise(const uint8_t *payload, size_t bytes, uint32_t rate_hz)
{
	uint8_t built[CN_PAYLOAD_BYTES], again[CN_PAYLOAD_BYTES];
	struct cn_source source;
	struct cn_noise noise;
	int16_t out[480];

	if (cn_noise_parse(&noise, payload, bytes) != 0) {
		assert(bytes == 0);
		return;
	}
	assert(cn_noise_build(&noise, built, sizeof(built)) == 1 + noise.order);
	assert(cn_noise_parse(&noise, built, 1u + noise.order) == 0);
	assert(cn_noise_build(&noise, again, sizeof(again)) == 1 + noise.order);
	assert(!memcmp(built, again, 1u + noise.order));
	if (cn_source_init(&source, 8000, rate_hz, bytes) != 0)
		return;
	for (unsigned i = 0; i < 4; i++) {
		cn_source_aim(&source, &noise);
		cn_source_fill(&source, out, 480);
		noise.level = (uint8_t)(127 - noise.level);
	}
}

static void read_fmtp(const uint8_t *bytes, size_t size)
{
	char *text = malloc(size + 1), built[FMTP_OPUS_TEXT];
	const struct fmtp_opus_policy policy = {.fec = true, .dtx = true, .loss_percent = 10};
	struct codec_options options;
	struct fmtp_opus one, other;
	const char *bad;

	memcpy(text, bytes, size);
	text[size] = 0;
	assert((fmtp_opus_parse(&one, text, &bad) != 0) == (bad != NULL));
	assert(fmtp_opus_build(&one, built, sizeof(built)) >= 0);
	assert(fmtp_opus_parse(&other, built, &bad) == 0);
	assert(!memcmp(&one, &other, sizeof(one)));
	fmtp_opus_options(&one, &policy, &options);
	assert(codec_has_rate(codec_find("opus", 48000, 2), options.rate_hz));
	assert(options.bitrate_bps >= 6000 && options.bitrate_bps <= 510000);
	free(text);
}

static void operate(
	const struct codec *codec, void *decoder, uint32_t rate_hz, uint8_t how, const uint8_t *payload, size_t bytes)
{
	uint32_t part = how >> 4;

	switch ((enum operation)(how & 15) % OPERATIONS) {
	case TWICE: // a state that hostile bytes have been through
		decode(codec, decoder, rate_hz, payload, bytes / 2, CODEC_FRAME_MAX_SAMPLES);
		conceal(codec, decoder, rate_hz / 50);
		decode(codec, decoder, rate_hz, payload + bytes / 2, bytes - bytes / 2, CODEC_FRAME_MAX_SAMPLES);
		conceal(codec, decoder, rate_hz / 100);
		break;
	case DECODE:
		decode(codec, decoder, rate_hz, payload, bytes,
			part ? rate_hz / 100 * part - part % 2 : CODEC_FRAME_MAX_SAMPLES);
		break;
	case CONCEAL:
		decode(codec, decoder, rate_hz, payload, bytes, CODEC_FRAME_MAX_SAMPLES);
		conceal(codec, decoder, rate_hz / 200 * part + (part == 15));
		break;
	case RECOVER:
		recover(codec, decoder, payload, bytes, rate_hz / 400 * (part + 1) * 3);
		recover(codec, decoder, payload, bytes, rate_hz / 50);
		decode(codec, decoder, rate_hz, payload, bytes, CODEC_FRAME_MAX_SAMPLES);
		break;
	case DURATION:
		codec->duration(payload, bytes);
		break;
	case NOISE:
		make_noise(payload, bytes, rate_hz);
		break;
	case FMTP:
		read_fmtp(payload, bytes);
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned rows;
	const struct codec *codec;
	struct codec_options options = {0};
	uint8_t *payload;
	void *decoder;
	unsigned rate;

	if (rows == 0) {
		const char *failed;

		assert(codecs_init(&failed) == 0);
		while (codec_table[rows])
			rows++;
	}
	if (size < 2)
		return 0;
	codec = codec_table[(data[0] & 31) % rows];
	for (rate = 0; rate < data[0] >> 5 && codec->rates_hz[rate + 1]; rate++)
		;
	options.rate_hz = codec->rates_hz[rate];
	decoder = malloc(codec->decoder_bytes);
	payload = malloc(size - 2);
	memcpy(payload, data + 2, size - 2);
	assert(codec->decoder_init(decoder, &options) == 0);
	operate(codec, decoder, options.rate_hz, data[1], payload, size - 2);
	if (codec->decoder_fini)
		codec->decoder_fini(decoder);
	free(payload);
	free(decoder);
	return 0;
}
