// SPDX-License-Identifier: BSD-3-Clause
// What only Opus does: losses, silence, other rates at the two ends, limits that the far end sets.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <opus/opus.h>

#include "codec_rig.h"

enum { SECOND = 48000 };

static int16_t in[2 * SECOND], out[2 * SECOND];

static const struct codec *opus(void)
{
	return codec_find("opus", 48000, 2);
}

// Five ends, five rates: each decoder reads each encoder.
static void each_rate_is_read_at_each(void **state)
{
	for (unsigned e = 0; e < 5; e++)
		for (unsigned d = 0; d < 5; d++) {
			const struct codec_options options = {.rate_hz = opus()->rates_hz[e]};
			uint32_t from = options.rate_hz, to = opus()->rates_hz[d];
			struct rig_ends ends;
			double change_db;

			rig_voice(in, from, from);
			rig_ends_init(&ends, opus(), &options, to);
			assert_int_equal(rig_pass(&ends, in, from, from / 50, out, SECOND), to);
			rig_ends_fini(&ends);
			change_db = rig_level_db(out + to / 10, to - to / 10) -
				    rig_level_db(in + from / 10, from - from / 10);
			if (fabs(change_db) > 1)
				fail_msg("%u to %u: %.2f dB", from, to, change_db);
		}
}

static void odd_lengths_are_refused(void **state)
{
	static const uint32_t bad[] = {1, 79, 81, 240, 400, 560, 640, 960};
	const struct codec_options options = {.rate_hz = 8000};
	uint8_t payload[CODEC_PAYLOAD_MAX_BYTES];
	struct rig_ends ends;

	rig_ends_init(&ends, opus(), &options, 8000);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(opus()->encode(ends.encoder, in, bad[i], payload, sizeof(payload)), -EINVAL);
	assert_int_equal(opus()->encode(ends.encoder, in, 80, payload, sizeof(payload)) > 2, true); // 10 ms
	assert_int_equal(opus()->conceal(ends.decoder, out, 0), -EINVAL);
	assert_int_equal(opus()->conceal(ends.decoder, out, 30), -EINVAL); // no multiple of 2.5 ms
	assert_int_equal(opus()->conceal(ends.decoder, out, 980), -EINVAL);
	assert_int_equal(opus()->conceal(ends.decoder, out, 960), 960);
	rig_ends_fini(&ends);
}

// The average rate over two seconds stays below what was asked for; by cbr each payload has the same length.
static void bitrates_are_kept(void **state)
{
	static const uint32_t bitrates[] = {8000, 16000, 24000, 40000};

	for (unsigned i = 0; i < 8; i++) {
		const struct codec_options options = {.rate_hz = 16000, .bitrate_bps = bitrates[i / 2], .cbr = i % 2};
		unsigned total = 0;
		struct rig_ends ends;

		rig_voice(in, 32000, 16000);
		rig_ends_init(&ends, opus(), &options, 16000);
		for (uint32_t at = 0; at < 32000; at += 320) {
			uint8_t payload[CODEC_PAYLOAD_MAX_BYTES];
			int bytes = opus()->encode(ends.encoder, in + at, 320, payload, sizeof(payload));

			assert_true(bytes > 2);
			if (options.cbr)
				assert_int_equal(bytes, options.bitrate_bps / 400);
			total += (unsigned)bytes;
		}
		rig_ends_fini(&ends);
		assert_true(total * 4 < options.bitrate_bps * 1.15); // two seconds, eight bits
	}
}

static void bad_options_are_refused(void **state)
{
	static const struct codec_options bad[] = {
		{.rate_hz = 8000, .bitrate_bps = 5999},
		{.rate_hz = 8000, .bitrate_bps = 510001},
		{.rate_hz = 8000, .complexity = 11},
		{.rate_hz = 8000, .complexity = 254},
		{.rate_hz = 8000, .loss_percent = 101},
	};
	const struct codec_options good = {.rate_hz = 8000}, least = {.complexity = CODEC_COMPLEXITY_LEAST};
	struct rig_ends ends;

	rig_ends_init(&ends, opus(), &good, 8000);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(opus()->adapt(ends.encoder, &bad[i]), -EINVAL);
		assert_int_equal(opus()->encoder_init(ends.encoder, &bad[i]), -EINVAL);
	}
	assert_int_equal(opus()->encoder_init(ends.encoder, &good), 0);
	assert_int_equal(opus()->adapt(ends.encoder, &least), 0);
	rig_ends_fini(&ends);
}

// Silence: with dtx most payloads are not sent; without it all of them are.
static void silence_is_not_sent(void **state)
{
	for (unsigned dtx = 0; dtx < 2; dtx++) {
		const struct codec_options options = {.rate_hz = 16000, .dtx = dtx};
		unsigned sent = 0;
		struct rig_ends ends;

		rig_ends_init(&ends, opus(), &options, 16000);
		rig_voice(in, 16000, 16000);
		memset(in + 16000, 0, 16000 * sizeof(*in));
		for (uint32_t at = 0; at < 32000; at += 320) {
			uint8_t payload[CODEC_PAYLOAD_MAX_BYTES];
			int bytes = opus()->encode(ends.encoder, in + at, 320, payload, sizeof(payload));

			assert_true(bytes >= 0 && bytes != 1 && bytes != 2);
			if (at < 16000)
				assert_true(bytes > 2);
			sent += bytes > 0;
		}
		rig_ends_fini(&ends);
		if (dtx)
			assert_in_range(sent, 51, 70);
		else
			assert_int_equal(sent, 100);
	}
}

static double difference_db(const int16_t *one, const int16_t *other, uint32_t count)
{
	int16_t difference[SECOND];

	for (uint32_t i = 0; i < count; i++)
		difference[i] = (int16_t)((one[i] - other[i]) / 2);
	return rig_level_db(difference, count) + 6;
}

// One packet of four is lost: what follows brings it along, and that is nearer to the truth than concealment.
static void redundancy_recovers_a_loss(void **state)
{
	enum { FRAME = 320, FRAMES = 48 };
	static int16_t truth[FRAME * FRAMES], recovered[FRAME * FRAMES], concealed[FRAME * FRAMES];
	const struct codec_options options = {.rate_hz = 16000, .fec = true, .loss_percent = 20, .bitrate_bps = 24000};
	static uint8_t payloads[FRAMES][CODEC_PAYLOAD_MAX_BYTES];
	int bytes[FRAMES], found = 0;
	struct rig_ends whole, fec, plc;

	rig_voice(in, FRAME * FRAMES, 16000);
	rig_ends_init(&whole, opus(), &options, 16000);
	rig_ends_init(&fec, opus(), &options, 16000);
	rig_ends_init(&plc, opus(), &options, 16000);
	for (int i = 0; i < FRAMES; i++)
		bytes[i] = opus()->encode(whole.encoder, in + i * FRAME, FRAME, payloads[i], sizeof(*payloads));
	for (int i = 0; i < FRAMES; i++) {
		size_t length = (size_t)bytes[i];
		int at = i * FRAME;

		assert_int_equal(opus()->decode(whole.decoder, payloads[i], length, truth + at, FRAME), FRAME);
		if (i % 4 == 3 && i < FRAMES - 1) {
			int ret = opus()->recover(
				fec.decoder, payloads[i + 1], (size_t)bytes[i + 1], recovered + at, FRAME);

			found += ret == FRAME;
			if (ret == 0)
				assert_int_equal(opus()->conceal(fec.decoder, recovered + at, FRAME), FRAME);
			assert_int_equal(opus()->conceal(plc.decoder, concealed + at, FRAME), FRAME);
			continue;
		}
		assert_int_equal(opus()->decode(fec.decoder, payloads[i], length, recovered + at, FRAME), FRAME);
		assert_int_equal(opus()->decode(plc.decoder, payloads[i], length, concealed + at, FRAME), FRAME);
	}
	assert_in_range(found, 9, 11); // of 11; the first packets may be too early for it
	assert_true(
		difference_db(truth, recovered, FRAME * FRAMES) < difference_db(truth, concealed, FRAME * FRAMES) - 3);
	rig_ends_fini(&whole);
	rig_ends_fini(&fec);
	rig_ends_fini(&plc);
}

// Without redundancy the next packet brings nothing, and says so; nor does CELT ever.
static void nothing_is_recovered_from_nothing(void **state)
{
	static const struct codec_options cases[] = {
		{.rate_hz = 16000}, {.rate_hz = 16000, .fec = true}, // no loss expected: nothing is spent
	};

	static const uint8_t celt[] = {0xf8, 0xff, 0xff}; // 20 ms

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint32_t rate = cases[i].rate_hz, frame = rate / 50;
		struct rig_ends ends;

		rig_voice(in, rate, rate);
		rig_ends_init(&ends, opus(), &cases[i], rate);
		for (uint32_t at = 0; at < rate; at += frame) {
			uint8_t payload[CODEC_PAYLOAD_MAX_BYTES];
			int bytes = opus()->encode(ends.encoder, in + at, frame, payload, sizeof(payload));

			assert_int_equal(opus()->recover(ends.decoder, payload, (size_t)bytes, out, frame), 0);
			assert_int_equal(opus()->recover(ends.decoder, celt, sizeof(celt), out, frame), 0);
			assert_int_equal(opus()->recover(ends.decoder, payload, 0, out, frame), -EBADMSG);
			assert_int_equal(opus()->recover(ends.decoder, payload, (size_t)bytes, out, 1), -EINVAL);
		}
		rig_ends_fini(&ends);
	}
}

// A stereo stream, the voice on the left alone: mono has half of it.
static void stereo_becomes_mono(void **state)
{
	static int16_t both[2 * SECOND];
	int error;
	OpusEncoder *encoder = opus_encoder_create(SECOND, 2, OPUS_APPLICATION_AUDIO, &error);
	const struct codec_options options = {.rate_hz = SECOND};
	struct rig_ends ends;

	opus_encoder_ctl(encoder, OPUS_SET_BITRATE(96000));
	opus_encoder_ctl(encoder, OPUS_SET_FORCE_CHANNELS(2));
	rig_voice(in, SECOND, SECOND);
	for (uint32_t n = 0; n < SECOND; n++)
		both[2 * n] = in[n];
	rig_ends_init(&ends, opus(), &options, SECOND);
	for (uint32_t at = 0; at < SECOND; at += 960) {
		uint8_t payload[1500];
		int bytes = opus_encode(encoder, both + 2 * at, 960, payload, sizeof(payload));

		assert_int_equal(opus_packet_get_nb_channels(payload), 2);
		assert_int_equal(opus()->duration(payload, (size_t)bytes), 960);
		assert_int_equal(opus()->decode(ends.decoder, payload, (size_t)bytes, out + at, 960), 960);
	}
	assert_true(fabs(rig_level_db(in + 4800, SECOND - 4800) - 6.02 - rig_level_db(out + 4800, SECOND - 4800)) < 1);
	rig_ends_fini(&ends);
	opus_encoder_destroy(encoder);
}

static void durations_are_read_from_the_packet(void **state)
{
	assert_int_equal(opus()->duration((uint8_t[]){0x08}, 1), 960);         // NB SILK, 20 ms, empty: DTX
	assert_int_equal(opus()->duration((uint8_t[]){0x18}, 1), 2880);        // 60 ms
	assert_int_equal(opus()->duration((uint8_t[]){0x80}, 1), 120);         // CELT, 2.5 ms
	assert_int_equal(opus()->duration((uint8_t[]){0x1b, 2}, 2), 5760);     // two of 60
	assert_int_equal(opus()->duration((uint8_t[]){0x1b, 3}, 2), -EBADMSG); // 180 ms
	assert_int_equal(opus()->duration((uint8_t[]){0x0b}, 1), -EBADMSG);    // without its count
	assert_int_equal(opus()->duration((uint8_t[]){0x0b, 0}, 2), -EBADMSG); // none
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rate_is_read_at_each),
		cmocka_unit_test(odd_lengths_are_refused),
		cmocka_unit_test(bitrates_are_kept),
		cmocka_unit_test(bad_options_are_refused),
		cmocka_unit_test(silence_is_not_sent),
		cmocka_unit_test(redundancy_recovers_a_loss),
		cmocka_unit_test(nothing_is_recovered_from_nothing),
		cmocka_unit_test(stereo_becomes_mono),
		cmocka_unit_test(durations_are_read_from_the_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
