// SPDX-License-Identifier: BSD-3-Clause
// Tables of arrivals, and what is said at each tick of 20 ms.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jbuf_rig.h"

#define MS 1000
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

struct arrival {
	int at_ms;
	int number; // ends the table when it is 0
	enum jbuf_verdict verdict;
};

// Every table is for a fixed delay of 40 ms, ticks at 0, 20, ..., and a first packet at 1 ms. said: until 400 ms or
// less.
static const struct {
	const char *what;
	struct arrival arrivals[12];
	const char *said;
} tables[] = {
	{"in order", {{1, 1, JBUF_QUEUED}, {21, 2, JBUF_QUEUED}, {41, 3, JBUF_QUEUED}, {61, 4, JBUF_QUEUED}},
		"SSSPPPPC"},
	{"reordered", {{1, 1, JBUF_QUEUED}, {41, 3, JBUF_QUEUED}, {42, 2, JBUF_REORDERED}, {61, 4, JBUF_QUEUED}},
		"SSSPPPPC"},
	{"what is before the first, while it waits",
		{{1, 2, JBUF_QUEUED}, {5, 1, JBUF_REORDERED}, {21, 3, JBUF_QUEUED}}, "SSPPPC"},
	{"twice", {{1, 1, JBUF_QUEUED}, {2, 1, JBUF_DUPLICATE}, {21, 2, JBUF_QUEUED}, {65, 1, JBUF_DUPLICATE}},
		"SSSPPC"},
	{"one lost", {{1, 1, JBUF_QUEUED}, {41, 3, JBUF_QUEUED}, {61, 4, JBUF_QUEUED}}, "SSSPCPPC"},
	{"one late", {{1, 1, JBUF_QUEUED}, {41, 3, JBUF_QUEUED}, {61, 4, JBUF_QUEUED}, {105, 2, JBUF_LATE}},
		"SSSPCPPC"},
	{"three lost", {{1, 1, JBUF_QUEUED}, {81, 5, JBUF_QUEUED}, {101, 6, JBUF_QUEUED}}, "SSSPCCCPPC"},
	{"a burst",
		{{1, 1, JBUF_QUEUED}, {95, 2, JBUF_QUEUED}, {95, 3, JBUF_QUEUED}, {95, 4, JBUF_QUEUED},
			{95, 5, JBUF_QUEUED}},
		"SSSPCPPPC"},
	{"silence after long concealment", {{1, 1, JBUF_QUEUED}}, "SSSPCCCCCCCCCCSSSS"},
};

static void tables_of_arrivals(void **state)
{
	for (size_t t = 0; t < COUNT(tables); t++) {
		const struct jbuf_config config = {.mode = JBUF_FIXED, .initial_ms = 40};
		size_t length = strlen(tables[t].said);
		struct rig rig;

		rig_open(&rig, &config);
		for (const struct arrival *a = tables[t].arrivals; a->number; a++) {
			rig_run(&rig, a->at_ms * MS);
			if (rig_push(&rig, a->at_ms * MS, (uint32_t)a->number) != a->verdict)
				fail_msg("%s: packet %d", tables[t].what, a->number);
		}
		rig_run(&rig, (int64_t)length * 20 * MS);
		if (strncmp(rig.said, tables[t].said, length) != 0)
			fail_msg("%s: %s, not %s", tables[t].what, rig.said, tables[t].said);
		assert_int_equal(rig.disorder, 0);
		assert_true(rig_balances(&rig));
		rig_close(&rig);
	}
}

// --- long lines -----------------------------------------------------------------------------------------------------

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t below)
{
	random_state = random_state * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)random_state * below >> 32);
}

// Packets [from, to) at 20 ms of a sender whose clock is off, each late by up to jitter_us.
static void line(struct rig *rig, uint32_t from, uint32_t to, double ppm, uint32_t jitter_us)
{
	int64_t start_us = rig->now_us, last_us = 0;

	for (uint32_t i = from; i < to; i++) {
		int64_t at_us = start_us + (int64_t)((i - from) * 20000.0 * (1 + ppm * 1e-6));

		at_us += jitter_us ? random_below(jitter_us) : 0;
		if (at_us < last_us)
			at_us = last_us;
		last_us = at_us;
		rig_run(rig, at_us);
		rig_push(rig, at_us, i);
	}
}

static void an_hour_of_drift(void **state)
{
	static const double drifts[] = {200, -200};

	for (size_t i = 0; i < COUNT(drifts); i++) {
		const struct jbuf_config config = {.mode = JBUF_ADAPTIVE};
		const struct jbuf_stats *stats;
		struct rig rig;

		rig_open(&rig, &config);
		line(&rig, 1, 180000, drifts[i], 5000);
		stats = jbuf_stats(rig.jbuf);
		assert_int_equal(stats->overflow, 0);
		assert_in_range(stats->depth_us, 0, 45000);
		assert_in_range(rig.concealed, 0, 40); // of 180,000: a quarter of the times that the phase comes round
		assert_int_equal(rig.disorder, 0);
		assert_true(rig_balances(&rig));
		rig_close(&rig);
	}
}

static void a_wrap_is_nothing(void **state)
{
	const struct jbuf_config config = {.mode = JBUF_ADAPTIVE};
	struct rig rig;

	rig_open(&rig, &config);
	for (uint32_t i = 0; i < 200; i++) { // both wrap at the hundredth
		rig_run(&rig, i * 20 * MS);
		assert_int_equal(
			rig_push_at(&rig, i * 20 * MS, i, (uint16_t)(65436 + i), 0u - 16000 + i * 160), JBUF_QUEUED);
	}
	rig_run(&rig, 200 * 20 * MS);
	assert_int_equal(rig.concealed, 0);
	assert_int_equal(rig.disorder, 0);
	rig_close(&rig);
}

static void a_restart_needs_two(void **state)
{
	static const uint16_t to[] = {5000, 60000, 65000}; // from 100: forwards, backwards
	const struct jbuf_config config = {.mode = JBUF_ADAPTIVE};
	struct rig rig;

	for (size_t i = 0; i < COUNT(to); i++) {
		rig_open(&rig, &config);
		line(&rig, 1, 101, 0, 0);
		assert_int_equal(rig_push_at(&rig, 2000 * MS, 101, to[i], 777), JBUF_STRAY);
		assert_int_equal(rig_push_at(&rig, 2000 * MS, 102, 101, 101 * 160), JBUF_QUEUED); // it was alone
		assert_int_equal(rig_push_at(&rig, 2020 * MS, 103, to[i], 777), JBUF_STRAY);
		assert_int_equal(rig_push_at(&rig, 2040 * MS, 104, (uint16_t)(to[i] + 1), 777 + 160), JBUF_RESTARTED);
		assert_int_equal(rig_push_at(&rig, 2060 * MS, 105, (uint16_t)(to[i] + 2), 777 + 320), JBUF_QUEUED);
		rig_run(&rig, 2200 * MS);
		assert_int_equal(rig.last_value, 105);
		assert_int_equal(jbuf_stats(rig.jbuf)->restarts, 1);
		assert_true(rig_balances(&rig));
		rig_close(&rig);
	}
}

static void another_source_begins_at_once(void **state)
{
	const struct jbuf_config config = {.mode = JBUF_ADAPTIVE};
	struct rig rig;

	rig_open(&rig, &config);
	line(&rig, 1, 101, 0, 0);
	rig.ssrc = 2;
	assert_int_equal(rig_push_at(&rig, 2000 * MS, 101, 9, 9), JBUF_RESTARTED);
	rig_run(&rig, 2100 * MS);
	assert_int_equal(rig.last_value, 101);
	assert_true(rig_balances(&rig));
	rig_close(&rig);
}

// The sender's timestamps leap and its sequence does not (another source behind a B2BUA, a clock that stood in hold).
static void a_leap_of_time_needs_two(void **state)
{
	static const int32_t leaps[] = {1000000, -1000000, INT32_MIN};
	const struct jbuf_config config = {.mode = JBUF_ADAPTIVE};
	struct rig rig;

	for (size_t i = 0; i < COUNT(leaps); i++) {
		rig_open(&rig, &config);
		line(&rig, 1, 101, 0, 0);
		for (uint32_t n = 101; n < 200; n++) {
			rig_run(&rig, (n - 1) * 20 * MS);
			assert_int_equal(
				rig_push_at(&rig, (n - 1) * 20 * MS, n, (uint16_t)n, n * 160 + (uint32_t)leaps[i]),
				n == 101 ? JBUF_STRAY : JBUF_QUEUED);
		}
		rig_run(&rig, 200 * 20 * MS);
		assert_int_equal(rig.disorder, 0);
		assert_in_range(rig.concealed, 1, 4);
		assert_in_range(rig.played, 190, 199);
		assert_true(rig_balances(&rig));
		rig_close(&rig);
	}
}

static void ptimes(void **state)
{
	static const uint32_t ticks_us[] = {10000, 20000}, ptimes_ms[] = {10, 20, 30, 40, 60};

	for (size_t t = 0; t < COUNT(ticks_us); t++) {
		const struct jbuf_config config = {.mode = JBUF_ADAPTIVE, .tick_us = ticks_us[t]};
		uint32_t seq = 0, ts = 0;
		struct rig rig;

		rig_open(&rig, &config);
		for (size_t p = 0; p < COUNT(ptimes_ms); p++) // it changes in the middle of the stream
			for (uint32_t i = 0; i < 100; i++) {
				rig_run(&rig, ts / 8 * MS);
				rig.ptime_ts = ptimes_ms[p] * 8;
				// a longer packet leaves later
				rig_push_at(&rig, ts / 8 * MS + ptimes_ms[p] * MS, seq, (uint16_t)seq, ts);
				seq++;
				ts += rig.ptime_ts;
			}
		rig_run(&rig, ts / 8 * MS);
		assert_int_equal(rig.disorder, 0);
		assert_in_range(rig.concealed_ts, 0, 100 * 8); // where a longer one came later than any before it
		assert_true(rig_balances(&rig));
		rig_close(&rig);
	}
}

static void talkspurts(void **state)
{
	const struct jbuf_config config = {.mode = JBUF_ADAPTIVE};
	uint32_t number = 1;
	struct rig rig;

	rig_open(&rig, &config);
	for (uint32_t spurt = 0; spurt < 20; spurt++)
		for (uint32_t i = 0; i < 50; i++, number++) {
			int64_t at_us = (int64_t)(spurt * 3 * 1000 + i * 20) * MS;

			rig_run(&rig, at_us);
			rig_push_at(&rig, at_us, number, (uint16_t)number, spurt * 24000 + i * 160);
		}
	rig_run(&rig, 60000 * MS);
	assert_int_equal(rig.played, 1000);
	assert_int_equal(rig.concealed, 20 * 10); // 200 ms after each: nothing said that it was over
	assert_int_equal(rig.disorder, 0);
	assert_int_equal(jbuf_stats(rig.jbuf)->expanded_samples, 0);
	assert_in_range(jbuf_stats(rig.jbuf)->accelerated_samples, 0, 320); // from initial_ms, once
	rig_close(&rig);
}

static void comfort_noise_ends_a_talkspurt(void **state)
{
	const struct jbuf_config config = {.mode = JBUF_ADAPTIVE};
	const struct jbuf_packet noise = {.seq = 51,
		.ts = 51 * 160,
		.ssrc = 1,
		.payload = (const uint8_t *)"noise",
		.bytes = 4,
		.duration_ts = 160,
		.silent = true};
	struct rig rig;

	rig_open(&rig, &config);
	line(&rig, 1, 51, 0, 0);
	assert_int_equal(jbuf_push(rig.jbuf, 1000 * MS, &noise), JBUF_QUEUED);
	rig_run(&rig, 3000 * MS);
	assert_int_equal(rig.concealed, 0);
	rig_close(&rig);
}

static void recovery_is_offered_for_the_last_one_missing(void **state)
{
	const struct jbuf_config config = {.mode = JBUF_FIXED, .initial_ms = 60, .recover = true};
	struct jbuf_frame frame;
	struct rig rig;

	rig_open(&rig, &config);
	rig_push(&rig, 0, 1);
	rig_push(&rig, 60 * MS, 4);
	rig.now_us = 60 * MS;
	rig_tick(&rig);
	jbuf_pull(rig.jbuf, 80 * MS, 0, &frame);
	assert_int_equal(frame.action, JBUF_CONCEAL);
	jbuf_pull(rig.jbuf, 100 * MS, 0, &frame);
	assert_int_equal(frame.action, JBUF_RECOVER);
	assert_int_equal(frame.seq, 4);
	assert_int_equal(frame.payload[0], 4);
	assert_int_equal(frame.duration_ts, 160);
	jbuf_pull(rig.jbuf, 120 * MS, 0, &frame);
	assert_int_equal(frame.action, JBUF_PLAY);
	assert_int_equal(jbuf_stats(rig.jbuf)->recovered, 1);
	rig_close(&rig);
}

// --- delay ----------------------------------------------------------------------------------------------------------

static void delay_follows_the_line(void **state)
{
	const struct jbuf_config config = {.mode = JBUF_ADAPTIVE, .max_ms = 200};
	struct rig rig;
	uint64_t before;

	rig_open(&rig, &config);
	line(&rig, 1, 1000, 0, 0);
	assert_in_range(jbuf_stats(rig.jbuf)->depth_us, 0, 20000);
	line(&rig, 1000, 3000, 0, 100 * MS);
	assert_in_range(jbuf_stats(rig.jbuf)->depth_us, 60000, 120000);
	before = rig.concealed;
	line(&rig, 3000, 8000, 0, 100 * MS);
	assert_in_range(rig.concealed - before, 0, 150); // 3 %: a line that is even up to 100 ms is the dearest
	line(&rig, 8000, 20000, 0, 0);
	assert_in_range(jbuf_stats(rig.jbuf)->depth_us, 0, 20000);
	assert_true(rig_balances(&rig));
	rig_close(&rig);
}

static void bounds_hold(void **state)
{
	const struct jbuf_config config = {.mode = JBUF_ADAPTIVE, .min_ms = 60, .max_ms = 100};
	struct rig rig;

	rig_open(&rig, &config);
	line(&rig, 1, 2000, 0, 0);
	assert_in_range(jbuf_stats(rig.jbuf)->depth_us, 59000, 85000);
	line(&rig, 2000, 6000, 0, 250 * MS);
	assert_in_range(jbuf_stats(rig.jbuf)->target_us, 60000, 100000);
	rig_close(&rig);
}

static void frozen_is_not_stretched(void **state)
{
	const struct jbuf_config config = {.mode = JBUF_ADAPTIVE};
	uint64_t before;
	struct rig rig;

	rig_open(&rig, &config);
	line(&rig, 1, 1000, 0, 100 * MS);
	jbuf_freeze(rig.jbuf, true);
	before = jbuf_stats(rig.jbuf)->accelerated_samples + jbuf_stats(rig.jbuf)->expanded_samples;
	line(&rig, 1000, 6000, 0, 0);
	assert_int_equal(jbuf_stats(rig.jbuf)->accelerated_samples + jbuf_stats(rig.jbuf)->expanded_samples, before);
	jbuf_freeze(rig.jbuf, false);
	line(&rig, 6000, 8000, 0, 0);
	assert_true(jbuf_stats(rig.jbuf)->accelerated_samples + jbuf_stats(rig.jbuf)->expanded_samples > before);
	rig_close(&rig);
}

static void off_waits_for_nothing(void **state)
{
	const struct jbuf_config config = {.mode = JBUF_OFF};
	struct rig rig;

	rig_open(&rig, &config);
	rig_push(&rig, 0, 1);
	rig_push(&rig, 5 * MS, 3);
	rig_push(&rig, 6 * MS, 2);
	rig_run(&rig, 61 * MS);
	assert_string_equal(rig.said, "PPPC");
	assert_int_equal(rig.disorder, 0);
	rig_close(&rig);
}

static void a_consumer_that_is_away_loses_the_oldest(void **state)
{
	const struct jbuf_config config = {.mode = JBUF_ADAPTIVE};
	struct rig rig;

	rig_open(&rig, &config);
	for (uint32_t i = 1; i <= 500; i++)
		rig_push(&rig, i * 20 * MS, i);
	rig.now_us = 500 * 20 * MS;
	rig_tick(&rig);
	assert_in_range(rig.last_value, 480, 500);
	assert_true(jbuf_stats(rig.jbuf)->overflow > 0);
	assert_true(rig_balances(&rig));
	rig_close(&rig);
}

static void a_configuration_can_be_wrong(void **state)
{
	static const struct jbuf_config wrong[] = {{.mode = JBUF_ADAPTIVE},
		{.clock_hz = 8000, .min_ms = 200, .max_ms = 100}, {.clock_hz = 8000, .max_ms = 2000}};

	for (size_t i = 0; i < COUNT(wrong); i++) {
		void *memory = malloc(jbuf_bytes(&wrong[i]));

		assert_int_equal(jbuf_init(memory, &wrong[i]), -EINVAL);
		free(memory);
	}
}

// --- chance ---------------------------------------------------------------------------------------------------------

// Anything may come, at any time: nothing is played out of order or twice, and nothing is lost without a name.
static void whatever_comes_is_accounted_for(void **state)
{
	static const enum jbuf_mode modes[] = {JBUF_ADAPTIVE, JBUF_FIXED, JBUF_OFF};

	for (random_state = 1; random_state < 1000; random_state += 7) {
		uint32_t seed = random_state, ptimes_ts[] = {80, 160, 240, 480};
		const struct jbuf_config config = {
			.mode = modes[seed % 3], .tick_us = seed & 1 ? 20000 : 10000, .recover = seed & 2};
		uint32_t number = 1, ts = random_below(UINT32_MAX), seq = random_below(65536);
		int64_t at_us = 0;
		struct rig rig;

		rig_open(&rig, &config);
		for (uint32_t i = 0; i < 2000; i++, number++) {
			uint32_t event = random_below(1000), back = random_below(6);

			at_us += random_below(40) * MS;
			rig_run(&rig, at_us);
			if (event < 2)
				seq += random_below(65536);
			else if (event < 4)
				ts += random_below(UINT32_MAX);
			else if (event < 6)
				rig.ssrc++;
			else if (event < 10)
				rig.ptime_ts = ptimes_ts[random_below(4)];
			else if (event < 40)
				at_us += random_below(1000) * MS;
			else if (event < 60)
				ts += random_below(100) * 160;
			else if (event < 100) // an older one, or the same again
				rig_push_at(&rig, at_us, number, (uint16_t)(seq - back), ts - back * rig.ptime_ts);
			if (event % 50 != 0)
				rig_push_at(&rig, at_us, number, (uint16_t)++seq, ts += rig.ptime_ts);
			assert_true(jbuf_stats(rig.jbuf)->queued <= JBUF_SLOTS_MAX);
		}
		rig_run(&rig, at_us + 5000 * MS);
		assert_true(rig_balances(&rig));
		assert_int_equal(jbuf_stats(rig.jbuf)->queued, 0);
		assert_int_equal(rig.seq_disorder, 0);
		rig_close(&rig);
		random_state = seed;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_of_arrivals),
		cmocka_unit_test(an_hour_of_drift),
		cmocka_unit_test(a_wrap_is_nothing),
		cmocka_unit_test(a_restart_needs_two),
		cmocka_unit_test(another_source_begins_at_once),
		cmocka_unit_test(a_leap_of_time_needs_two),
		cmocka_unit_test(ptimes),
		cmocka_unit_test(talkspurts),
		cmocka_unit_test(comfort_noise_ends_a_talkspurt),
		cmocka_unit_test(recovery_is_offered_for_the_last_one_missing),
		cmocka_unit_test(delay_follows_the_line),
		cmocka_unit_test(bounds_hold),
		cmocka_unit_test(frozen_is_not_stretched),
		cmocka_unit_test(off_waits_for_nothing),
		cmocka_unit_test(a_consumer_that_is_away_loses_the_oldest),
		cmocka_unit_test(a_configuration_can_be_wrong),
		cmocka_unit_test(whatever_comes_is_accounted_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
