// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "opus_fmtp.h"

static struct fmtp_opus parsed(const char *text)
{
	struct fmtp_opus fmtp;
	const char *bad;

	assert_int_equal(fmtp_opus_parse(&fmtp, text, &bad), 0);
	assert_null(bad);
	return fmtp;
}

static void nothing_said_is_the_defaults(void **state)
{
	static const char *const texts[] = {NULL, "", " ", ";", ";;", "x=1", "x-google-min-bitrate=10; apt=111"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct fmtp_opus fmtp = parsed(texts[i]);

		assert_int_equal(fmtp.max_playback_rate_hz, 48000);
		assert_int_equal(fmtp.sprop_max_capture_rate_hz, 48000);
		assert_int_equal(fmtp.max_average_bitrate_bps, 0);
		assert_int_equal(fmtp.min_ptime_ms, 3);
		assert_false(fmtp.stereo || fmtp.sprop_stereo || fmtp.cbr || fmtp.use_inband_fec || fmtp.use_dtx);
	}
}

static void each_parameter_is_read(void **state)
{
	struct fmtp_opus fmtp = parsed("maxplaybackrate=16000; sprop-maxcapturerate=12000;maxaveragebitrate=20000;"
				       " STEREO=1;sprop-stereo = 1 ;cbr=1; useinbandfec=1;\tusedtx=1;minptime=10");

	assert_int_equal(fmtp.max_playback_rate_hz, 16000);
	assert_int_equal(fmtp.sprop_max_capture_rate_hz, 12000);
	assert_int_equal(fmtp.max_average_bitrate_bps, 20000);
	assert_int_equal(fmtp.min_ptime_ms, 10);
	assert_true(fmtp.stereo && fmtp.sprop_stereo && fmtp.cbr && fmtp.use_inband_fec && fmtp.use_dtx);
	fmtp = parsed("minptime=10;useinbandfec=1"); // as browsers write it
	assert_true(fmtp.use_inband_fec);
	assert_int_equal(fmtp.min_ptime_ms, 10);
	fmtp = parsed("cbr=1;cbr=0");
	assert_false(fmtp.cbr);
}

static void what_cannot_be_meant_is_named(void **state)
{
	static const char *const cases[][2] = {
		{"maxplaybackrate=7999", "maxplaybackrate"},
		{"maxplaybackrate=48001", "maxplaybackrate"},
		{"sprop-maxcapturerate=0", "sprop-maxcapturerate"},
		{"maxaveragebitrate=5999", "maxaveragebitrate"},
		{"maxaveragebitrate=510001", "maxaveragebitrate"},
		{"maxaveragebitrate=4294973296", "maxaveragebitrate"},
		{"maxaveragebitrate=-20000", "maxaveragebitrate"},
		{"maxaveragebitrate=2e4", "maxaveragebitrate"},
		{"minptime=2", "minptime"},
		{"minptime=266", "minptime"},
		{"stereo=2", "stereo"},
		{"usedtx=yes", "usedtx"},
		{"useinbandfec", "useinbandfec"},
		{"useinbandfec=", "useinbandfec"},
		{"cbr=1 1", "cbr"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fmtp_opus fmtp;
		const char *bad;
		char text[FMTP_OPUS_TEXT] = "minptime=20;";

		strcat(strcat(text, cases[i][0]), ";sprop-stereo=1");
		assert_int_equal(fmtp_opus_parse(&fmtp, text, &bad), -EBADMSG);
		assert_string_equal(bad, cases[i][1]);
		assert_true(fmtp.sprop_stereo); // the good ones are there
		fmtp.sprop_stereo = false;
		fmtp.min_ptime_ms = 3;
		assert_int_equal(fmtp_opus_build(&fmtp, text, sizeof(text)), 0); // the bad one has its default
	}
}

static void what_is_built_reads_the_same(void **state)
{
	const struct fmtp_opus all = {8000, 16000, 510000, 120, true, true, true, true, true};
	char text[FMTP_OPUS_TEXT];
	struct fmtp_opus fmtp;
	int length = fmtp_opus_build(&all, text, sizeof(text));

	assert_int_equal(length, strlen(text));
	fmtp = parsed(text);
	assert_memory_equal(&fmtp, &all, sizeof(all));
	for (size_t room = 0; room <= (size_t)length; room++)
		assert_int_equal(fmtp_opus_build(&all, text, room), -ENOSPC);
	assert_int_equal(fmtp_opus_build(&all, text, (size_t)length + 1), length);
	fmtp_opus_init(&fmtp);
	assert_int_equal(fmtp_opus_build(&fmtp, text, sizeof(text)), 0);
	fmtp.use_inband_fec = true;
	fmtp.min_ptime_ms = 10;
	fmtp_opus_build(&fmtp, text, sizeof(text));
	assert_string_equal(text, "minptime=10;useinbandfec=1");
}

static void our_encoder_follows_the_far_end(void **state)
{
	static const struct {
		const char *far;
		struct fmtp_opus_policy policy;
		struct codec_options options;
	} cases[] = {
		{"", {0}, {.rate_hz = 48000, .bitrate_bps = 32000}},
		{"", {.fec = true, .dtx = true, .loss_percent = 5}, {.rate_hz = 48000, .bitrate_bps = 32000}},
		{"useinbandfec=1;usedtx=1;cbr=1", {.fec = true, .dtx = true, .loss_percent = 5, .complexity = 7},
			{.rate_hz = 48000,
				.bitrate_bps = 32000,
				.fec = true,
				.dtx = true,
				.cbr = true,
				.loss_percent = 5,
				.complexity = 7}},
		{"useinbandfec=1;usedtx=1", {.loss_percent = 5}, {.rate_hz = 48000, .bitrate_bps = 32000}},
		{"maxplaybackrate=8000", {0}, {.rate_hz = 8000, .bitrate_bps = 16000}},
		{"maxplaybackrate=11025", {0}, {.rate_hz = 8000, .bitrate_bps = 16000}},
		{"maxplaybackrate=44100", {0}, {.rate_hz = 24000, .bitrate_bps = 32000}},
		{"maxplaybackrate=24000", {.rate_hz = 16000}, {.rate_hz = 16000, .bitrate_bps = 24000}},
		{"maxplaybackrate=8000", {.rate_hz = 16000}, {.rate_hz = 8000, .bitrate_bps = 16000}},
		{"maxaveragebitrate=12000", {0}, {.rate_hz = 48000, .bitrate_bps = 12000}},
		{"maxaveragebitrate=64000", {0}, {.rate_hz = 48000, .bitrate_bps = 32000}},
		{"maxaveragebitrate=64000", {.bitrate_bps = 96000}, {.rate_hz = 48000, .bitrate_bps = 64000}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fmtp_opus far = parsed(cases[i].far);
		struct codec_options options;

		fmtp_opus_options(&far, &cases[i].policy, &options);
		assert_memory_equal(&options, &cases[i].options, sizeof(options));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_said_is_the_defaults),
		cmocka_unit_test(each_parameter_is_read),
		cmocka_unit_test(what_cannot_be_meant_is_named),
		cmocka_unit_test(what_is_built_reads_the_same),
		cmocka_unit_test(our_encoder_follows_the_far_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
