// SPDX-License-Identifier: BSD-3-Clause
// codec_file encode|decode NAME CLOCK CHANNELS RATE PTIME: samples (16 bits, little-endian) into payloads, each behind
// its length (two bytes, the high one first), or back; from standard input to standard output.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

static int fail(const char *what)
{
	fprintf(stderr, "codec_file: %s\n", what);
	return 1;
}

static int encode(const struct codec *codec, const struct codec_options *options)
{
	uint32_t frame = options->rate_hz / 1000 * options->ptime_ms;
	void *encoder = malloc(codec->encoder_bytes + 1);
	int16_t samples[CODEC_FRAME_MAX_SAMPLES];

	if (frame > CODEC_FRAME_MAX_SAMPLES || codec->encoder_init(encoder, options))
		return fail("the codec cannot be opened so");
	while (fread(samples, sizeof(*samples), frame, stdin) == frame) {
		uint8_t payload[CODEC_PAYLOAD_MAX_BYTES];
		int bytes = codec->encode(encoder, samples, frame, payload, sizeof(payload));

		if (bytes < 0)
			return fail("these samples cannot be encoded");
		putchar(bytes >> 8);
		putchar(bytes & 255);
		fwrite(payload, 1, (size_t)bytes, stdout);
	}
	if (codec->encoder_fini)
		codec->encoder_fini(encoder);
	free(encoder);
	return 0;
}

static int decode(const struct codec *codec, const struct codec_options *options)
{
	void *decoder = malloc(codec->decoder_bytes + 1);
	uint8_t head[2];

	if (codec->decoder_init(decoder, options))
		return fail("the codec cannot be opened so");
	while (fread(head, 1, 2, stdin) == 2) {
		size_t bytes = (size_t)(head[0] << 8 | head[1]);
		static uint8_t payload[UINT16_MAX];
		int16_t samples[CODEC_FRAME_MAX_SAMPLES];
		int count;

		if (fread(payload, 1, bytes, stdin) != bytes)
			return fail("the last payload is cut off");
		count = codec->decode(decoder, payload, bytes, samples, CODEC_FRAME_MAX_SAMPLES);
		if (count < 0)
			return fail("this is no payload of the codec");
		fwrite(samples, sizeof(*samples), (size_t)count, stdout);
	}
	if (codec->decoder_fini)
		codec->decoder_fini(decoder);
	free(decoder);
	return 0;
}

int main(int argc, char **argv)
{
	struct codec_options options = {0};
	const struct codec *codec;
	const char *failed;

	if (argc != 7 || (strcmp(argv[1], "encode") && strcmp(argv[1], "decode")))
		return fail("usage: codec_file encode|decode NAME CLOCK CHANNELS RATE PTIME");
	if (codecs_init(&failed))
		return fail(failed);
	codec = codec_find(argv[2], (uint32_t)atoi(argv[3]), (uint8_t)atoi(argv[4]));
	options.rate_hz = (uint32_t)atoi(argv[5]);
	options.ptime_ms = (uint8_t)atoi(argv[6]);
	if (!codec)
		return fail("there is no such codec");
	return !strcmp(argv[1], "encode") ? encode(codec, &options) : decode(codec, &options);
}
