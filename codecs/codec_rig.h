// SPDX-License-Identifier: BSD-3-Clause
// For tests: speech-like samples at any rate, both ends of a codec in exact memory, and levels.
#pragma once

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

// Half a second of a voice whose pitch glides from 110 to 180 Hz, with three formants, loud and soft by turns of 125
// ms; nothing above 3.4 kHz. Peak about 12,000.
static inline void rig_voice(int16_t *out, uint32_t samples, uint32_t rate_hz)
{
	static const double formants[][3] = {{600, 120, 1}, {1300, 160, 0.5}, {2400, 200, 0.3}};
	double phase = 0;

	for (uint32_t n = 0; n < samples; n++) {
		double t = (double)n / rate_hz, pitch = 110 + 140 * fmod(t, 0.5), sum = 0;

		phase += 2 * M_PI * pitch / rate_hz;
		for (unsigned h = 1; h * pitch < 3400; h++) {
			double gain = 0.02;

			for (unsigned f = 0; f < 3; f++) {
				double off = (h * pitch - formants[f][0]) / formants[f][1];

				gain += formants[f][2] / (1 + off * off);
			}
			sum += gain * sin(h * phase + h * h * 0.8);
		}
		out[n] = (int16_t)lrint(sum * 4000 * (0.6 + 0.4 * sin(2 * M_PI * 4 * t)));
	}
}

static inline void rig_tone(int16_t *out, uint32_t samples, uint32_t rate_hz, double hz, double peak)
{
	for (uint32_t n = 0; n < samples; n++)
		out[n] = (int16_t)lrint(peak * sin(2 * M_PI * hz * n / rate_hz));
}

// Level above one least significant bit, in dB.
static inline double rig_level_db(const int16_t *samples, uint32_t count)
{
	double sum = 0;

	for (uint32_t i = 0; i < count; i++)
		sum += (double)samples[i] * samples[i];
	return 10 * log10(sum / count + 1e-9);
}

struct rig_ends {
	const struct codec *codec;
	struct codec_options options;
	void *encoder, *decoder; // exact sizes: the sanitizer sees each byte too many
};

static inline void rig_ends_init(
	struct rig_ends *ends, const struct codec *codec, const struct codec_options *encode, uint32_t decode_rate_hz)
{
	struct codec_options decode = {.rate_hz = decode_rate_hz};
	int ret;

	ends->codec = codec;
	ends->options = *encode;
	ends->encoder = malloc(codec->encoder_bytes);
	ends->decoder = malloc(codec->decoder_bytes);
	ret = codec->encoder_init(ends->encoder, encode);
	assert(ret == 0);
	ret = codec->decoder_init(ends->decoder, &decode);
	assert(ret == 0);
	(void)ret;
}

static inline void rig_ends_fini(struct rig_ends *ends)
{
	if (ends->codec->encoder_fini)
		ends->codec->encoder_fini(ends->encoder);
	if (ends->codec->decoder_fini)
		ends->codec->decoder_fini(ends->decoder);
	free(ends->encoder);
	free(ends->decoder);
}

// All of `in` by payloads of `frame` samples through both ends. Returns: samples in `out`.
static inline uint32_t rig_pass(
	struct rig_ends *ends, const int16_t *in, uint32_t samples, uint32_t frame, int16_t *out, uint32_t room)
{
	uint32_t done = 0;

	for (uint32_t at = 0; at + frame <= samples; at += frame) {
		uint8_t payload[CODEC_PAYLOAD_MAX_BYTES];
		int bytes = ends->codec->encode(ends->encoder, in + at, frame, payload, sizeof(payload)), count;

		if (bytes == 0) // DTX
			continue;
		assert(bytes > 0);
		count = ends->codec->decode(ends->decoder, payload, (size_t)bytes, out + done, room - done);
		assert(count > 0);
		done += (uint32_t)count;
	}
	return done;
}
