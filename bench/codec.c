// SPDX-License-Identifier: BSD-3-Clause
// bench_codec DIRECTORY [ROUNDS]: what 20 ms of speech (DIRECTORY/RATE.raw: five seconds at 8000, 16000, 48000) cost to
// encode and decode, by our descriptors and by the bare library, in turn, so that a neighbour's load meets both. Prints
// lines of JSON: system, case, operation, and the median and the best of all rounds in us for a frame.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <opus/opus.h>
#include <spandsp/telephony.h>
#include <spandsp/bitstream.h>
#include <spandsp/g711.h>
#include <spandsp/g722.h>
#include <spandsp/g726.h>
#include <spandsp/gsm0610.h>

#include "codec_rig.h"

enum { FRAMES = 250, ROUNDS_MOST = 501 };

// One way of coding: ours, or the library's own calls.
struct way {
	const char *system;
	void (*encode)(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, int *bytes);
	int (*decode)(void *decoder, const uint8_t *payload, int bytes, int16_t *out, uint32_t samples);
	void *encoder, *decoder;
	double encode_us[ROUNDS_MOST], decode_us[ROUNDS_MOST];
};

static int16_t speech[FRAMES * 960], heard[960];
static uint8_t payloads[FRAMES][CODEC_PAYLOAD_MAX_BYTES];
static int lengths[FRAMES];
static const struct codec *ours;
static const char *directory;

static void our_encode(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, int *bytes)
{
	*bytes = ours->encode(encoder, in, samples, out, CODEC_PAYLOAD_MAX_BYTES);
}

static int our_decode(void *decoder, const uint8_t *payload, int bytes, int16_t *out, uint32_t samples)
{
	return ours->decode(decoder, payload, (size_t)bytes, out, samples);
}

static void their_g711_encode(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, int *bytes)
{
	*bytes = g711_encode(encoder, out, in, (int)samples);
}

static int their_g711_decode(void *decoder, const uint8_t *payload, int bytes, int16_t *out, uint32_t samples)
{
	return g711_decode(decoder, out, payload, bytes);
}

static void their_g722_encode(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, int *bytes)
{
	*bytes = g722_encode(encoder, out, in, (int)samples);
}

static int their_g722_decode(void *decoder, const uint8_t *payload, int bytes, int16_t *out, uint32_t samples)
{
	return g722_decode(decoder, out, payload, bytes);
}

static void their_g726_encode(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, int *bytes)
{
	*bytes = g726_encode(encoder, out, in, (int)samples);
}

static int their_g726_decode(void *decoder, const uint8_t *payload, int bytes, int16_t *out, uint32_t samples)
{
	return g726_decode(decoder, out, payload, bytes);
}

static void their_gsm_encode(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, int *bytes)
{
	*bytes = gsm0610_encode(encoder, out, in, (int)samples);
}

static int their_gsm_decode(void *decoder, const uint8_t *payload, int bytes, int16_t *out, uint32_t samples)
{
	return gsm0610_decode(decoder, out, payload, bytes);
}

static void their_opus_encode(void *encoder, const int16_t *in, uint32_t samples, uint8_t *out, int *bytes)
{
	*bytes = opus_encode(encoder, in, (int)samples, out, CODEC_PAYLOAD_MAX_BYTES);
}

static int their_opus_decode(void *decoder, const uint8_t *payload, int bytes, int16_t *out, uint32_t samples)
{
	return opus_decode(decoder, payload, bytes, out, (int)samples, 0);
}

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void measure(struct way *way, unsigned round, uint32_t frame)
{
	double began = now_us(), middle;

	for (unsigned i = 0; i < FRAMES; i++)
		way->encode(way->encoder, speech + i * frame, frame, payloads[i], &lengths[i]);
	middle = now_us();
	for (unsigned i = 0; i < FRAMES; i++)
		if (way->decode(way->decoder, payloads[i], lengths[i], heard, frame) != (int)frame)
			abort();
	way->encode_us[round] = (middle - began) / FRAMES;
	way->decode_us[round] = (now_us() - middle) / FRAMES;
}

static int by_size(const void *one, const void *other)
{
	double difference = *(const double *)one - *(const double *)other;

	return difference < 0 ? -1 : difference > 0;
}

static void print(const char *system, const char *name, const char *operation, double *us, unsigned rounds)
{
	qsort(us, rounds, sizeof(*us), by_size);
	printf("{\"system\": \"%s\", \"case\": \"%s\", \"operation\": \"%s\", \"us_per_frame\": %.4f, "
	       "\"best_us_per_frame\": "
	       "%.4f}\n",
		system, name, operation, us[rounds / 2], us[0]);
	fflush(stdout);
}

static void read_speech(uint32_t rate_hz)
{
	size_t samples = FRAMES * rate_hz / 50;
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%u.raw", directory, rate_hz);
	file = fopen(path, "rb");
	if (!file || fread(speech, sizeof(*speech), samples, file) != samples) {
		fprintf(stderr, "bench_codec: %s has no %zu samples\n", path, samples);
		exit(1);
	}
	fclose(file);
}

// `theirs` may be without functions: there is no library beside which to measure.
static void compare(const char *name, const struct codec *codec, const struct codec_options *options,
	const struct way *theirs, unsigned rounds)
{
	static struct way ways[2];
	unsigned count = theirs->encode ? 2 : 1;
	struct rig_ends ends;

	ours = codec;
	read_speech(options->rate_hz);
	rig_ends_init(&ends, codec, options, options->rate_hz);
	ways[0] = (struct way){"kedge", our_encode, our_decode, ends.encoder, ends.decoder, {0}, {0}};
	ways[1] = *theirs;
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned way = 0; way < count; way++)
			measure(&ways[way], round, options->rate_hz / 50);
	for (unsigned way = 0; way < count; way++) {
		print(ways[way].system, name, "encode", ways[way].encode_us, rounds);
		print(ways[way].system, name, "decode", ways[way].decode_us, rounds);
	}
	rig_ends_fini(&ends);
}

static void compare_spandsp(unsigned rounds)
{
	const struct codec_options narrow = {.rate_hz = 8000}, wide = {.rate_hz = 16000};
	struct way way = {"spandsp", their_g711_encode, their_g711_decode, g711_init(NULL, G711_ULAW),
		g711_init(NULL, G711_ULAW), {0}, {0}};

	compare("PCMU", codec_find("PCMU", 8000, 1), &narrow, &way, rounds);
	way.encoder = way.decoder = g711_init(NULL, G711_ALAW);
	compare("PCMA", codec_find("PCMA", 8000, 1), &narrow, &way, rounds);
	way = (struct way){"spandsp", their_g722_encode, their_g722_decode, g722_encode_init(NULL, 64000, 0),
		g722_decode_init(NULL, 64000, 0), {0}, {0}};
	compare("G722 at 16 kHz", codec_find("G722", 8000, 1), &wide, &way, rounds);
	way.encoder = g722_encode_init(NULL, 64000, G722_SAMPLE_RATE_8000);
	way.decoder = g722_decode_init(NULL, 64000, G722_SAMPLE_RATE_8000);
	compare("G722 at 8 kHz", codec_find("G722", 8000, 1), &narrow, &way, rounds);
	way.encode = their_g726_encode;
	way.decode = their_g726_decode;
	for (int kilobits = 16; kilobits <= 40; kilobits += 8) {
		char name[16];

		snprintf(name, sizeof(name), "G726-%d", kilobits);
		way.encoder = g726_init(NULL, kilobits * 1000, G726_ENCODING_LINEAR, G726_PACKING_RIGHT);
		way.decoder = g726_init(NULL, kilobits * 1000, G726_ENCODING_LINEAR, G726_PACKING_RIGHT);
		compare(name, codec_find(name, 8000, 1), &narrow, &way, rounds);
	}
	way = (struct way){"spandsp", their_gsm_encode, their_gsm_decode, gsm0610_init(NULL, GSM0610_PACKING_VOIP),
		gsm0610_init(NULL, GSM0610_PACKING_VOIP), {0}, {0}};
	compare("GSM", codec_find("GSM", 8000, 1), &narrow, &way, rounds);
	way = (struct way){0};
	compare("L16 at 16 kHz", codec_find("L16", 16000, 1), &wide, &way, rounds);
	if (codec_find("G729", 8000, 1))
		compare("G729", codec_find("G729", 8000, 1), &narrow, &way, rounds / 4 + 1);
}

static void compare_opus(unsigned rounds, uint32_t rate_hz, uint8_t complexity, bool fec)
{
	const struct codec_options options = {.rate_hz = rate_hz,
		.complexity = complexity ? complexity : CODEC_COMPLEXITY_LEAST,
		.bitrate_bps = rate_hz == 8000    ? 16000
			       : rate_hz == 16000 ? 24000
						  : 32000,
		.fec = fec,
		.loss_percent = fec ? 5 : 0};
	struct way way = {"libopus", their_opus_encode, their_opus_decode, NULL, NULL, {0}, {0}};
	char name[64];
	int error;

	way.encoder = opus_encoder_create((int)rate_hz, 1, OPUS_APPLICATION_VOIP, &error);
	way.decoder = opus_decoder_create((int)rate_hz, 1, &error);
	opus_encoder_ctl(way.encoder, OPUS_SET_BITRATE((int)options.bitrate_bps));
	opus_encoder_ctl(way.encoder, OPUS_SET_COMPLEXITY(complexity));
	opus_encoder_ctl(way.encoder, OPUS_SET_INBAND_FEC(fec));
	opus_encoder_ctl(way.encoder, OPUS_SET_PACKET_LOSS_PERC(options.loss_percent));
	opus_encoder_ctl(way.encoder, OPUS_SET_LSB_DEPTH(16));
	snprintf(name, sizeof(name), "opus at %u kHz, complexity %u%s", rate_hz / 1000, complexity, fec ? ", FEC" : "");
	compare(name, codec_find("opus", 48000, 2), &options, &way, rounds);
	opus_encoder_destroy(way.encoder);
	opus_decoder_destroy(way.decoder);
}

int main(int argc, char **argv)
{
	static const uint32_t rates_hz[] = {8000, 16000, 48000};
	static const uint8_t complexities[] = {0, 2, 5, 8, 10};
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 51;
	const char *failed;

	if (argc < 2 || rounds == 0 || rounds > ROUNDS_MOST || codecs_init(&failed) != 0)
		return 1;
	directory = argv[1];
	compare_spandsp(rounds);
	for (unsigned rate = 0; rate < 3; rate++) {
		for (unsigned i = 0; i < 5; i++)
			compare_opus(rounds / 8 + 1, rates_hz[rate], complexities[i], false);
		compare_opus(rounds / 8 + 1, rates_hz[rate], 5, true);
	}
	return 0;
}
