// SPDX-License-Identifier: BSD-3-Clause
// What holds for every row of the table.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec_rig.h"

enum { SECOND = 48000 };

static void codecs_are_found_by_name_and_type(void **state)
{
	static const struct {
		const char *name;
		uint32_t clock_hz;
		uint8_t channels, payload_type;
	} cases[] = {
		{"PCMU", 8000, 1, 0},
		{"pcma", 8000, 0, 8},
		{"GSM", 8000, 1, 3},
		{"G722", 8000, 1, 9},
		{"OPUS", 48000, 2, CODEC_DYNAMIC},
		{"L16", 16000, 1, CODEC_DYNAMIC},
		{"L16", 8000, 1, CODEC_DYNAMIC},
		{"G726-16", 8000, 1, CODEC_DYNAMIC},
		{"aal2-g726-32", 8000, 1, CODEC_DYNAMIC},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct codec *codec = codec_find(cases[i].name, cases[i].clock_hz, cases[i].channels);

		assert_non_null(codec);
		assert_int_equal(codec->clock_hz, cases[i].clock_hz);
		assert_int_equal(codec->payload_type, cases[i].payload_type);
		if (cases[i].payload_type != CODEC_DYNAMIC)
			assert_ptr_equal(codec_find_static(cases[i].payload_type), codec);
	}
	assert_null(codec_find("G722", 16000, 1)); // its RTP clock is 8000
	assert_null(codec_find("opus", 48000, 1));
	assert_null(codec_find("L16", 44100, 1));
	assert_null(codec_find("PCM", 8000, 1));
	assert_null(codec_find_static(13)); // comfort noise is none
	assert_null(codec_find_static(CODEC_DYNAMIC));
}

static void descriptors_are_whole(void **state)
{
	for (const struct codec *const *row = codec_table; *row; row++) {
		const struct codec *codec = *row;

		assert_ptr_equal(codec_find(codec->name, codec->clock_hz, codec->channels), codec); // no row hides it
		assert_true(codec->rates_hz[0] && !codec->rates_hz[CODEC_RATES - 1]);
		assert_true(codec->frame_ms == 10 || codec->frame_ms == 20);
		assert_non_null(codec->vectors[0].what);
		for (const struct codec_vector *vector = codec->vectors; vector->what; vector++)
			assert_true(vector->loose || vector->samples_crc);
		assert_false(codec_has_rate(codec, 0));
		assert_false(codec_has_rate(codec, 11025));
		for (uint32_t rate = 0; rate <= SECOND; rate += 1000) {
			const struct codec_options options = {.rate_hz = rate};
			void *memory = malloc(codec->encoder_bytes + codec->decoder_bytes + 1);
			int encoder = codec->encoder_init(memory, &options);

			assert_int_equal(encoder, codec_has_rate(codec, rate) ? 0 : -EINVAL);
			if (!encoder && codec->encoder_fini)
				codec->encoder_fini(memory);
			assert_int_equal(codec->decoder_init(memory, &options), encoder);
			if (!encoder && codec->decoder_fini)
				codec->decoder_fini(memory);
			free(memory);
		}
	}
}

static void known_answers_hold(void **state)
{
	const char *failed;

	assert_int_equal(codecs_init(&failed), 0);
	assert_null(failed);
}

// Each part of a vector that is wrong by one bit is noticed.
static void check_breaks(const struct codec *codec, const struct codec_vector *good)
{
	struct codec_vector bad = *good;
	uint8_t payload[CODEC_PAYLOAD_MAX_BYTES];
	int16_t samples[CODEC_FRAME_MAX_SAMPLES];

	bad.samples_crc ^= 1;
	assert_int_equal(codec_check(codec, &bad), -EILSEQ);
	bad = *good;
	if (good->samples) {
		bad.payload_bytes--;
		assert_int_equal(codec_check(codec, &bad), -EILSEQ);
		bad = *good;
		memcpy(samples, good->samples, good->sample_count * sizeof(*samples));
		for (uint32_t i = good->sample_count / 2; i < good->sample_count; i++)
			samples[i] ^= 0x4000; // so that two bits a sample show it, too
		bad.samples = samples;
		assert_int_equal(codec_check(codec, &bad), -EILSEQ);
		bad = *good;
	}
	if (!good->payload) {
		bad.payload_crc ^= 0x80000000;
		assert_int_equal(codec_check(codec, &bad), -EILSEQ);
		return;
	}
	memcpy(payload, good->payload, good->payload_bytes);
	payload[good->payload_bytes / 2] ^= 1;
	bad.payload = payload;
	assert_int_equal(codec_check(codec, &bad), -EILSEQ);
}

static void wrong_answers_are_noticed(void **state)
{
	unsigned exact = 0;

	for (const struct codec *const *row = codec_table; *row; row++)
		for (const struct codec_vector *vector = (*row)->vectors; vector->what; vector++) {
			struct codec broken = **row;

			assert_int_equal(codec_check(*row, vector), 0);
			if (!vector->loose) {
				check_breaks(*row, vector);
				exact++;
				continue;
			}
			broken.decode = codec_find("L16", 8000, 1)->decode; // another codec's decoder
			assert_int_equal(codec_check(&broken, vector), -EILSEQ);
		}
	assert_true(exact >= 20);
}

// Speech comes out as loud as it went in, in payloads of each length, at each rate.
static void check_pass(const struct codec *codec, uint32_t rate_hz, unsigned ms)
{
	static int16_t in[SECOND], out[SECOND];
	const struct codec_options options = {.rate_hz = rate_hz, .ptime_ms = (uint8_t)ms};
	uint32_t frame = rate_hz / 1000 * ms, samples = rate_hz / frame * frame, skip = rate_hz / 10;
	double before, after;
	struct rig_ends ends;

	rig_voice(in, samples, rate_hz);
	rig_ends_init(&ends, codec, &options, rate_hz);
	assert_int_equal(rig_pass(&ends, in, samples, frame, out, samples), samples);
	rig_ends_fini(&ends);
	before = rig_level_db(in + skip, samples - skip);
	after = rig_level_db(out + skip, samples - skip);
	if (fabs(before - after) > 1)
		fail_msg("%s at %u Hz, %u ms: %.2f dB became %.2f", codec->name, rate_hz, ms, before, after);
}

static void speech_passes_at_each_rate_and_length(void **state)
{
	for (const struct codec *const *row = codec_table; *row; row++)
		for (unsigned i = 0; (*row)->rates_hz[i]; i++)
			for (unsigned ms = (*row)->frame_ms; ms <= 60; ms += (*row)->frame_ms)
				check_pass(*row, (*row)->rates_hz[i], ms);
}

// At full scale samples are clipped and never wrap around to the other sign.
static void check_loud(const struct codec *codec, uint32_t rate_hz)
{
	static int16_t in[SECOND], out[SECOND];
	const struct codec_options options = {.rate_hz = rate_hz};
	unsigned wraps = 0;
	struct rig_ends ends;

	for (uint32_t n = 0; n < rate_hz; n++) // a tone of 300 Hz, clipped
		in[n] = (int16_t)fmax(-32768, fmin(32767, 40000 * sin(2 * M_PI * 300 * n / rate_hz)));
	rig_ends_init(&ends, codec, &options, rate_hz);
	assert_int_equal(rig_pass(&ends, in, rate_hz, rate_hz / 50, out, rate_hz), rate_hz);
	rig_ends_fini(&ends);
	for (uint32_t n = rate_hz / 10; n < rate_hz; n++)
		wraps += abs(out[n] - out[n - 1]) > 40000;
	if (wraps)
		fail_msg("%s at %u Hz: %u jumps", codec->name, rate_hz, wraps);
}

static void full_scale_does_not_wrap(void **state)
{
	for (const struct codec *const *row = codec_table; *row; row++)
		for (unsigned i = 0; (*row)->rates_hz[i]; i++)
			check_loud(*row, (*row)->rates_hz[i]);
}

// A payload's length is told without decoding, and is what decoding gives; the last sample that does not fit is one too
// many, and so is the last byte.
static void check_bounds(const struct codec *codec, uint32_t rate_hz)
{
	const struct codec_options options = {.rate_hz = rate_hz};
	uint32_t frame = rate_hz / 50;
	int16_t in[SECOND / 50], *out = malloc(frame * sizeof(*out));
	uint8_t payload[CODEC_PAYLOAD_MAX_BYTES], *exact;
	struct rig_ends ends;
	int bytes;

	rig_voice(in, frame, rate_hz);
	rig_ends_init(&ends, codec, &options, rate_hz);
	bytes = codec->encode(ends.encoder, in, frame, payload, sizeof(payload));
	assert_true(bytes > 2);
	exact = malloc((size_t)bytes);
	memcpy(exact, payload, (size_t)bytes);
	assert_int_equal(codec->duration(exact, (size_t)bytes), codec->clock_hz / 50);
	assert_int_equal(codec->decode(ends.decoder, exact, (size_t)bytes, out, frame - 1), -ENOSPC);
	assert_int_equal(codec->decode(ends.decoder, exact, (size_t)bytes, out, 0), -ENOSPC);
	assert_int_equal(codec->decode(ends.decoder, exact, (size_t)bytes, out, frame), frame);
	assert_int_equal(codec->decode(ends.decoder, exact, 0, out, frame), -EBADMSG);
	assert_int_equal(codec->duration(exact, 0), -EBADMSG);
	assert_int_equal(codec->encode(ends.encoder, in, 0, payload, sizeof(payload)), -EINVAL);
	assert_int_equal(codec->encode(ends.encoder, in, frame, payload, 0), -ENOSPC);
	bytes = codec->encode(ends.encoder, in, frame, exact, (size_t)bytes - 1); // Opus makes do with less room
	assert_true(bytes == -ENOSPC || !strcmp(codec->name, "opus"));
	rig_ends_fini(&ends);
	free(exact);
	free(out);
}

static void lengths_and_room_are_kept(void **state)
{
	for (const struct codec *const *row = codec_table; *row; row++)
		for (unsigned i = 0; (*row)->rates_hz[i]; i++)
			check_bounds(*row, (*row)->rates_hz[i]);
}

static void what_is_cut_short_is_refused(void **state)
{
	static const struct {
		const char *name;
		size_t bytes;
		uint8_t first;
		int samples; // also the duration: all at 8000
	} cases[] = {
		{"L16", 1, 0, -EBADMSG},
		{"L16", 2, 0, 1},
		{"L16", 319, 0, -EBADMSG},
		{"GSM", 1, 0xd0, -EBADMSG},
		{"GSM", 32, 0xd0, -EBADMSG},
		{"GSM", 33, 0xd0, 160},
		{"GSM", 33, 0xc0, -EBADMSG}, // without its signature
		{"GSM", 65, 0xd0, -EBADMSG}, // Microsoft's packing of two
		{"GSM", 66, 0xd0, -EBADMSG}, // the second one has no signature
		{"PCMU", 1, 0, 1},
		{"G722", 1, 0, 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct codec_options options = {.rate_hz = 8000};
		uint8_t *payload = calloc(1, cases[i].bytes);
		struct rig_ends ends;
		int16_t out[320];

		payload[0] = cases[i].first;
		rig_ends_init(&ends, codec_find(cases[i].name, 8000, 1), &options, 8000);
		assert_int_equal(ends.codec->decode(ends.decoder, payload, cases[i].bytes, out, 320), cases[i].samples);
		assert_int_equal(ends.codec->duration(payload, cases[i].bytes), cases[i].samples);
		rig_ends_fini(&ends);
		free(payload);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codecs_are_found_by_name_and_type),
		cmocka_unit_test(descriptors_are_whole),
		cmocka_unit_test(known_answers_hold),
		cmocka_unit_test(wrong_answers_are_noticed),
		cmocka_unit_test(speech_passes_at_each_rate_and_length),
		cmocka_unit_test(full_scale_does_not_wrap),
		cmocka_unit_test(lengths_and_room_are_kept),
		cmocka_unit_test(what_is_cut_short_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
