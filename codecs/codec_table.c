// SPDX-License-Identifier: BSD-3-Clause
// Which codecs there are, and what has to hold before the first of them is used.

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec.h"

// A codec is one row here, in order of preference: what sounds best for its rate first; then what nobody needs to
// compute; then what is asked for by name.
#define CODECS(X)        \
	X(opus)          \
	X(g722)          \
	X(pcmu)          \
	X(pcma)          \
	IF_G729(X(g729)) \
	X(g726_32)       \
	X(g726_40)       \
	X(g726_24)       \
	X(g726_16)       \
	X(aal2_g726_32)  \
	X(aal2_g726_40)  \
	X(aal2_g726_24)  \
	X(aal2_g726_16)  \
	X(gsm)           \
	X(l16_16000)     \
	X(l16_8000)

#ifdef CODEC_G729 // meson -Dg729=true: GPL-3
#define IF_G729(row) row
#else
#define IF_G729(row)
#endif
#define DECLARE(name) extern const struct codec codec_##name;
#define ROW(name) &codec_##name,

CODECS(DECLARE)

const struct codec *const codec_table[] = {CODECS(ROW) NULL};

enum {
	STATE_BYTES = 64 * 1024, // of one end: codec_check has two
	LOOSE_ROUNDS = 12,       // of a loose vector's samples; the codec settles in the first half
};

const struct codec *codec_find(const char *name, uint32_t clock_hz, uint8_t channels)
{
	for (const struct codec *const *row = codec_table; *row; row++)
		if (!strcasecmp((*row)->name, name) && (*row)->clock_hz == clock_hz &&
			(*row)->channels == (channels ? channels : 1))
			return *row;
	return NULL;
}

const struct codec *codec_find_static(uint8_t payload_type)
{
	for (const struct codec *const *row = codec_table; *row && payload_type != CODEC_DYNAMIC; row++)
		if ((*row)->payload_type == payload_type)
			return *row;
	return NULL;
}

bool codec_has_rate(const struct codec *codec, uint32_t rate_hz)
{
	for (unsigned i = 0; i < CODEC_RATES && codec->rates_hz[i]; i++)
		if (codec->rates_hz[i] == rate_hz)
			return true;
	return false;
}

// --- Known answers --------------------------------------------------------------------------------------------------

static uint32_t crc32_byte(uint32_t crc, uint8_t byte)
{
	crc ^= byte;
	for (unsigned bit = 0; bit < 8; bit++)
		crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	return crc;
}

static uint32_t payload_crc(const uint8_t *payload, uint32_t bytes)
{
	uint32_t crc = 0xffffffff;

	for (uint32_t i = 0; i < bytes; i++)
		crc = crc32_byte(crc, payload[i]);
	return ~crc;
}

static uint32_t samples_crc(const int16_t *samples, uint32_t count) // the low byte first, on any machine
{
	uint32_t crc = 0xffffffff;

	for (uint32_t i = 0; i < count; i++)
		crc = crc32_byte(crc32_byte(crc, (uint8_t)samples[i]), (uint8_t)((uint16_t)samples[i] >> 8));
	return ~crc;
}

struct ends {
	void *encoder, *decoder;
};

static int ends_init(struct ends *ends, const struct codec *codec, const struct codec_options *options)
{
	static alignas(max_align_t) uint8_t states[2][STATE_BYTES];
	int ret;

	if (codec->encoder_bytes > STATE_BYTES || codec->decoder_bytes > STATE_BYTES)
		return -ENOMEM;
	ends->encoder = states[0];
	ends->decoder = states[1];
	ret = codec->encoder_init(ends->encoder, options);
	if (ret)
		return ret;
	ret = codec->decoder_init(ends->decoder, options);
	if (ret && codec->encoder_fini)
		codec->encoder_fini(ends->encoder);
	return ret;
}

static void ends_fini(struct ends *ends, const struct codec *codec)
{
	if (codec->encoder_fini)
		codec->encoder_fini(ends->encoder);
	if (codec->decoder_fini)
		codec->decoder_fini(ends->decoder);
}

static int check_exact(const struct ends *ends, const struct codec *codec, const struct codec_vector *vector)
{
	uint8_t payload[CODEC_PAYLOAD_MAX_BYTES];
	int16_t samples[CODEC_FRAME_MAX_SAMPLES];
	int bytes = (int)vector->payload_bytes, count;

	if (vector->samples) {
		bytes = codec->encode(ends->encoder, vector->samples, vector->sample_count, payload, sizeof(payload));
		if (bytes <= 0 || (uint32_t)bytes != vector->payload_bytes)
			return -EILSEQ;
		if (vector->payload ? memcmp(payload, vector->payload, (size_t)bytes) != 0
				    : payload_crc(payload, (uint32_t)bytes) != vector->payload_crc)
			return -EILSEQ;
	} else {
		memcpy(payload, vector->payload, (size_t)bytes);
	}
	count = codec->decode(ends->decoder, payload, (size_t)bytes, samples, CODEC_FRAME_MAX_SAMPLES);
	if (count <= 0 || (uint32_t)count != vector->sample_count)
		return -EILSEQ;
	return samples_crc(samples, (uint32_t)count) == vector->samples_crc ? 0 : -EILSEQ;
}

static uint64_t energy(const int16_t *samples, uint32_t count)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		sum += (uint64_t)((int64_t)samples[i] * samples[i]);
	return sum;
}

// The vector's samples again and again, so that the codec's delay cuts nothing off; the first half of it is not judged.
static int check_loose(const struct ends *ends, const struct codec *codec, const struct codec_vector *vector)
{
	uint64_t before = 0, after = 0;

	for (unsigned round = 0; round < LOOSE_ROUNDS; round++) {
		uint8_t payload[CODEC_PAYLOAD_MAX_BYTES];
		int16_t out[CODEC_FRAME_MAX_SAMPLES];
		int bytes =
			codec->encode(ends->encoder, vector->samples, vector->sample_count, payload, sizeof(payload));
		int count = bytes > 0
				    ? codec->decode(ends->decoder, payload, (size_t)bytes, out, CODEC_FRAME_MAX_SAMPLES)
				    : 0;

		if (count <= 0 || (uint32_t)count != vector->sample_count)
			return -EILSEQ;
		if (round >= LOOSE_ROUNDS / 2) {
			before += energy(vector->samples, vector->sample_count);
			after += energy(out, vector->sample_count);
		}
	}
	return after > before / 2 && after < before * 2 ? 0 : -EILSEQ;
}

int codec_check(const struct codec *codec, const struct codec_vector *vector)
{
	struct ends ends;
	int ret = ends_init(&ends, codec, vector->options);

	if (ret)
		return ret;
	ret = vector->loose ? check_loose(&ends, codec, vector) : check_exact(&ends, codec, vector);
	ends_fini(&ends, codec);
	return ret;
}

int codecs_init(const char **failed)
{
	*failed = NULL;
	for (const struct codec *const *row = codec_table; *row; row++) {
		int ret = (*row)->start ? (*row)->start() : 0;

		if (ret) {
			*failed = (*row)->name;
			return ret;
		}
		for (const struct codec_vector *vector = (*row)->vectors; vector->what; vector++) {
			ret = codec_check(*row, vector);
			if (ret) {
				*failed = vector->what;
				return ret == -ENOMEM ? ret : -EILSEQ;
			}
		}
	}
	return 0;
}
