// SPDX-License-Identifier: BSD-3-Clause
// G.729 with Annex B by bcg729, which is GPL-3: only with meson -Dg729=true, and then the engine's binary is GPL-3.
// A payload is frames of 10 bytes (10 ms) and perhaps, as its last, a silence description of 2 (RFC 3551 section
// 4.5.6). bcg729 keeps its channels on the heap: a state of ours is a pointer.

#include <errno.h>
#include <string.h>

#include <bcg729/decoder.h>
#include <bcg729/encoder.h>

#include "codec.h"
#include "codec_signal.h"

enum { FRAME_SAMPLES = 80, FRAME_BYTES = 10, SILENCE_BYTES = 2 };

struct encoder {
	bcg729EncoderChannelContextStruct *channel;
};

struct decoder {
	bcg729DecoderChannelContextStruct *channel;
};

static int encoder_init(void *encoder, const struct codec_options *options)
{
	bcg729EncoderChannelContextStruct *channel;

	if (options->rate_hz != 8000)
		return -EINVAL;
	channel = initBcg729EncoderChannel(options->dtx);
	((struct encoder *)encoder)->channel = channel;
	return channel ? 0 : -ENOMEM;
}

static int decoder_init(void *decoder, const struct codec_options *options)
{
	bcg729DecoderChannelContextStruct *channel;

	if (options->rate_hz != 8000)
		return -EINVAL;
	channel = initBcg729DecoderChannel();
	((struct decoder *)decoder)->channel = channel;
	return channel ? 0 : -ENOMEM;
}

static void encoder_fini(void *encoder)
{
	closeBcg729EncoderChannel(((struct encoder *)encoder)->channel);
}

static void decoder_fini(void *decoder)
{
	closeBcg729DecoderChannel(((struct decoder *)decoder)->channel);
}

// With dtx a payload may begin with silence and go on with speech, which the format cannot say: the speech is moved to
// its beginning, and the far end conceals the 10 ms after it. Silence at the end is described once.
static int encode(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, size_t room)
{
	uint8_t silence[SILENCE_BYTES];
	bool silent = false;
	size_t at = 0;

	if (samples == 0 || samples % FRAME_SAMPLES != 0)
		return -EINVAL;
	if (samples / FRAME_SAMPLES > room / FRAME_BYTES)
		return -ENOSPC;
	for (uint32_t n = 0; n < samples; n += FRAME_SAMPLES) {
		uint8_t frame[FRAME_BYTES], bytes = 0;

		bcg729Encoder(((struct encoder *)encoder)->channel, in + n, frame, &bytes);
		if (bytes == FRAME_BYTES) {
			memcpy(out + at, frame, FRAME_BYTES);
			at += FRAME_BYTES;
			silent = false;
		} else if (bytes == SILENCE_BYTES) {
			memcpy(silence, frame, SILENCE_BYTES);
			silent = true;
		}
	}
	if (silent) { // it came in the place of a frame: there is room
		memcpy(out + at, silence, SILENCE_BYTES);
		at += SILENCE_BYTES;
	}
	return (int)at;
}

// Frames in the payload, the silence description counted as one.
static int frames(size_t bytes)
{
	size_t rest = bytes % FRAME_BYTES;

	if (bytes == 0 || (rest != 0 && rest != SILENCE_BYTES))
		return -EBADMSG;
	return (int)(bytes / FRAME_BYTES + (rest != 0));
}

static int decode(void *decoder, const uint8_t *payload, size_t bytes, int16_t *out, uint32_t room)
{
	int count = frames(bytes);

	if (count < 0)
		return count;
	if ((uint32_t)count > room / FRAME_SAMPLES)
		return -ENOSPC;
	for (int i = 0; i < count; i++) {
		bool silence = bytes < FRAME_BYTES;
		uint8_t length = silence ? SILENCE_BYTES : FRAME_BYTES;

		bcg729Decoder(((struct decoder *)decoder)->channel, payload, length, 0, silence, 0, out);
		payload += length;
		bytes -= length;
		out += FRAME_SAMPLES;
	}
	return count * FRAME_SAMPLES;
}

// Also in a pause of dtx: after a silence description the decoder goes on with that noise. (Bytes of any kind instead
// of NULL, and it fades out.)
static int conceal(void *decoder, int16_t *out, uint32_t samples)
{
	if (samples == 0 || samples % FRAME_SAMPLES != 0)
		return -EINVAL;
	for (uint32_t n = 0; n < samples; n += FRAME_SAMPLES)
		bcg729Decoder(((struct decoder *)decoder)->channel, NULL, 0, 1, 0, 0, out + n);
	return (int)samples;
}

static int duration(const uint8_t *payload, size_t bytes)
{
	int count = frames(bytes);

	return count < 0 ? count : count * FRAME_SAMPLES;
}

static const struct codec_vector vectors[] = {
	{.what = "G729 vowel",
		.options = &(const struct codec_options){.rate_hz = 8000},
		.samples = codec_signal,
		.sample_count = CODEC_SIGNAL_SAMPLES,
		.payload_bytes = 60,
		.payload_crc = 0x7a315cbf,
		.samples_crc = 0x17526d2c},
	{0},
};

const struct codec codec_g729 = {
	.name = "G729",
	.payload_type = 18,
	.channels = 1,
	.clock_hz = 8000,
	.rates_hz = {8000},
	.frame_ms = 10,
	.encoder_bytes = sizeof(struct encoder),
	.decoder_bytes = sizeof(struct decoder),
	.vectors = vectors,
	.encoder_init = encoder_init,
	.decoder_init = decoder_init,
	.encoder_fini = encoder_fini,
	.decoder_fini = decoder_fini,
	.encode = encode,
	.decode = decode,
	.conceal = conceal,
	.duration = duration,
};
