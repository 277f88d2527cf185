// SPDX-License-Identifier: BSD-3-Clause

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rtp.h"

static void the_first_bytes_say_what_it_is(void **state)
{
	static const struct {
		uint8_t first, second;
		enum rtp_kind kind;
	} cases[] = {
		{0, 1, RTP_KIND_STUN},
		{3, 0, RTP_KIND_STUN},
		{4, 0, RTP_KIND_OTHER},
		{19, 0, RTP_KIND_OTHER},
		{20, 0, RTP_KIND_DTLS},
		{63, 0, RTP_KIND_DTLS},
		{64, 0, RTP_KIND_OTHER},
		{127, 0, RTP_KIND_OTHER},
		{128, 0, RTP_KIND_RTP},
		{128, 191, RTP_KIND_RTP},
		{128, 192, RTP_KIND_RTCP},
		{129, 200, RTP_KIND_RTCP},
		{191, 223, RTP_KIND_RTCP},
		{128, 224, RTP_KIND_RTP},
		{192, 0, RTP_KIND_OTHER},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(rtp_kind((uint8_t[]){cases[i].first, cases[i].second}, 2), cases[i].kind);
	assert_int_equal(rtp_kind((uint8_t[]){128}, 1), RTP_KIND_OTHER);
}

static void an_rtp_header_must_be_whole(void **state)
{
	uint8_t packet[64] = {0x80};

	assert_true(rtp_sound(packet, 12));
	assert_false(rtp_sound(packet, 11));
	packet[0] = 0x40; // version 1
	assert_false(rtp_sound(packet, 12));
	packet[0] = 0x82; // two CSRCs
	assert_true(rtp_sound(packet, 20));
	assert_false(rtp_sound(packet, 19));
	packet[0] = 0x90; // extension of one word
	packet[15] = 1;
	assert_true(rtp_sound(packet, 20));
	assert_false(rtp_sound(packet, 19));
	assert_false(rtp_sound(packet, 15));
	packet[0] = 0xa0; // padding
	packet[15] = 4;
	assert_true(rtp_sound(packet, 16));
	packet[15] = 5; // more than there is
	assert_false(rtp_sound(packet, 16));
	packet[15] = 0;
	assert_false(rtp_sound(packet, 16));
}

static void an_rtcp_compound_must_be_whole(void **state)
{
	uint8_t packet[128] = {0x80, 201, 0, 1};

	assert_true(rtcp_sound(packet, 8));
	assert_false(rtcp_sound(packet, 4));
	assert_false(rtcp_sound(packet, 9));
	assert_false(rtcp_sound(packet, 12)); // a second one that is none
	packet[8] = 0x81;                     // SDES with one chunk
	packet[9] = 202;
	packet[11] = 1;
	assert_true(rtcp_sound(packet, 16));
	packet[11] = 2; // longer than there is
	assert_false(rtcp_sound(packet, 16));
	packet[11] = 1;
	packet[0] = 0x81; // claims a report block that it lacks
	assert_false(rtcp_sound(packet, 16));
	packet[0] = 0xa0; // padding in the first of two
	packet[7] = 4;
	assert_false(rtcp_sound(packet, 16));
	packet[0] = 0x80;
	packet[8] = 0xa0; // padding of all of the second one
	packet[9] = 201;
	packet[15] = 4;
	assert_false(rtcp_sound(packet, 16)); // over its SSRC
	packet[11] = 2;
	packet[15] = 0;
	packet[19] = 4;
	assert_true(rtcp_sound(packet, 20));
}

// Feed sequence numbers; each step says what it was taken for.
struct step {
	uint16_t sequence;
	enum rtp_order order;
};

static struct rtp_source feed(const struct step *steps, size_t count)
{
	struct rtp_source source = {0};
	uint64_t lost_before;

	for (size_t i = 0; i < count; i++)
		assert_int_equal(rtp_source_sequence(&source, steps[i].sequence, &lost_before), steps[i].order);
	return source;
}
#define FEED(...) feed((struct step[]){__VA_ARGS__}, sizeof((struct step[]){__VA_ARGS__}) / sizeof(struct step))

static void loss_is_what_did_not_come(void **state)
{
	struct rtp_source source = FEED({10, RTP_FIRST}, {11, RTP_IN_ORDER}, {14, RTP_IN_ORDER});

	assert_int_equal(rtp_source_lost(&source), 2);
	source = FEED({10, RTP_FIRST}, {12, RTP_IN_ORDER}, {11, RTP_REORDERED}, {13, RTP_IN_ORDER});
	assert_int_equal(rtp_source_lost(&source), 0);
	source = FEED({10, RTP_FIRST}, {9, RTP_REORDERED}, {8, RTP_REORDERED}, {9, RTP_DUPLICATE}, {12, RTP_IN_ORDER});
	assert_int_equal(rtp_source_lost(&source), 1); // nor do packets from before the first
	source =
		FEED({10, RTP_FIRST}, {11, RTP_IN_ORDER}, {11, RTP_DUPLICATE}, {13, RTP_IN_ORDER}, {10, RTP_DUPLICATE});
	assert_int_equal(rtp_source_lost(&source), 1); // duplicates do not hide it
}

static void sequence_goes_on_past_65535(void **state)
{
	struct rtp_source source = FEED(
		{65534, RTP_FIRST}, {65535, RTP_IN_ORDER}, {1, RTP_IN_ORDER}, {0, RTP_REORDERED}, {3, RTP_IN_ORDER});

	assert_int_equal(source.highest, 65536 + 3);
	assert_int_equal(rtp_source_lost(&source), 1);
}

static void a_jump_counts_when_a_second_packet_confirms_it(void **state)
{
	struct rtp_source source = FEED({10, RTP_FIRST}, {30000, RTP_STRAY}, {11, RTP_IN_ORDER}, {30001, RTP_STRAY},
		{30002, RTP_RESTART}, {30003, RTP_IN_ORDER});

	assert_int_equal(source.highest, 30003);
	assert_int_equal(rtp_source_lost(&source), 0);
}

static void jitter_follows_rfc_3550(void **state)
{
	struct rtp_source source = {0};
	uint64_t lost_before;

	// Each second packet is 16 clock units late: |D| is 16 each time, J grows by (16 - J) / 16 towards 16.
	for (unsigned i = 0; i < 400; i++) {
		rtp_source_sequence(&source, (uint16_t)i, &lost_before);
		rtp_source_timing(&source, i * 160, i * 160 + (i & 1) * 16 + 12345, 8000);
		if (i == 1)
			assert_int_equal(source.jitter_q4 >> 4, 1);
	}
	assert_in_range(source.jitter_q4 >> 4, 15, 16);
}

static void jitter_is_not_fooled(void **state)
{
	struct rtp_source source = {0};

	// A digit: four packets, 20 ms apart, of one timestamp; then the voice goes on in time.
	for (unsigned i = 0; i < 10; i++)
		rtp_source_timing(&source, i < 3 || i > 6 ? i * 160 : 480, i * 160 + 99, 8000);
	assert_int_equal(source.jitter_q4, 0);
	// The same 2 ms in another clock: the measure goes on where it was.
	for (unsigned i = 0; i < 400; i++)
		rtp_source_timing(&source, i * 160, i * 160 + (i & 1) * 16, 8000);
	assert_in_range(source.jitter_q4 >> 4, 15, 16);
	for (unsigned i = 0; i < 3; i++) {
		rtp_source_timing(&source, 7000 + i * 960, 123456 + i * 960 + (i & 1) * 96, 48000);
		assert_in_range(source.jitter_q4 >> 4, 90, 96);
	}
}

static void rtcp_speaks_in_the_mapped_numbers(void **state)
{
	// SR of 0x11 with one block about 0x99 (our line towards its sender), SDES of 0x11 (CNAME "ab"), BYE of 0x11.
	uint8_t packet[] = {0x81, 200, 0, 12, 0, 0, 0, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 3, 0xe8, 0, 0, 0, 9, 0, 0, 0,
		9,                                                                          //
		0, 0, 0, 0x99, 0, 0, 0, 0, 0, 1, 0, 50, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, //
		0x81, 202, 0, 3, 0, 0, 0, 0x11, 1, 2, 'a', 'b', 0, 0, 0, 0,                 //
		0x81, 203, 0, 1, 0, 0, 0, 0x11};
	const struct rtp_map send = {.in_ssrc = 0x11, .out_ssrc = 0x22, .ts_add = 500, .seq_add = 3};
	const struct rtp_map receive = {.in_ssrc = 0x88, .out_ssrc = 0x99, .ts_add = 1, .seq_add = 20};

	assert_true(rtcp_sound(packet, sizeof(packet)));
	rtcp_translate(packet, sizeof(packet), &send, &receive);
	assert_true(rtcp_sound(packet, sizeof(packet)));
	assert_int_equal(rtp_get32(packet + 4), 0x22);
	assert_int_equal(rtp_get32(packet + 8), 0x01020304); // NTP time is its own
	assert_int_equal(rtp_get32(packet + 16), 1500);
	assert_int_equal(rtp_get32(packet + 28), 0x88);
	assert_int_equal(rtp_get32(packet + 36), 65536 + 30);
	assert_int_equal(rtp_get32(packet + 56), 0x22);
	assert_memory_equal(packet + 60, "\1\2ab", 4);
	assert_int_equal(rtp_get32(packet + 72), 0x22);
}

static void each_sdes_chunk_is_translated(void **state)
{
	// Three chunks whose items end 1, 2 and 4 bytes before the next boundary.
	uint8_t packet[] = {0x80, 201, 0, 1, 0, 0, 0, 0x11,    //
		0x83, 202, 0, 8, 0, 0, 0, 0x11, 1, 1, 'a', 0,  //
		0, 0, 0, 0x11, 1, 4, 'a', 'b', 'c', 'd', 0, 0, //
		0, 0, 0, 0x11, 1, 2, 'a', 'b', 0, 0, 0, 0};
	const struct rtp_map send = {.in_ssrc = 0x11, .out_ssrc = 0x22}, receive = {0};

	assert_true(rtcp_sound(packet, sizeof(packet)));
	rtcp_translate(packet, sizeof(packet), &send, &receive);
	assert_int_equal(rtp_get32(packet + 4), 0x22);
	assert_int_equal(rtp_get32(packet + 12), 0x22);
	assert_int_equal(rtp_get32(packet + 20), 0x22);
	assert_int_equal(rtp_get32(packet + 32), 0x22);
}

static void an_earlier_source_is_not_our_line(void **state)
{
	// The line began with 0x11 and is 0x22's now: a BYE of 0x11 must not end it, a report about 0x22 is not about
	// it.
	uint8_t packet[] = {0x81, 201, 0, 7, 0, 0, 0, 0x11, 0, 0, 0, 0x33, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, //
		0x81, 203, 0, 1, 0, 0, 0, 0x11};
	const struct rtp_map send = {.in_ssrc = 0x22, .out_ssrc = 0x11},
			     receive = {.in_ssrc = 0x33, .out_ssrc = 0x44, .seq_add = 5};

	rtcp_translate(packet, sizeof(packet), &send, &receive);
	assert_int_equal(rtp_get32(packet + 4), 0x22);
	assert_int_equal(rtp_get32(packet + 8), 0x44);
	assert_int_equal(rtp_get32(packet + 16), 9);
	assert_int_equal(rtp_get32(packet + 36), 0x22);
}

static void wraps_come_back_with_the_sequence(void **state)
{
	// Our line is at 65536 + 2 where the source, which began at 65530, is at 65530 + 8.
	uint8_t packet[32] = {0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0x99};
	struct rtp_map send = {0}, receive = {.in_ssrc = 0x88, .out_ssrc = 0x99, .seq_add = 65536 + 2 - (65530 + 8)};

	rtp_put32(packet + 16, 65536 + 2);
	rtcp_translate(packet, sizeof(packet), &send, &receive);
	assert_int_equal(rtp_get32(packet + 16), 65538);
	receive.seq_add = 10 - 65530u; // our line did not wrap, the source will
	rtp_put32(packet + 8, 0x99);
	rtp_put32(packet + 16, 16);
	rtcp_translate(packet, sizeof(packet), &send, &receive);
	assert_int_equal(rtp_get32(packet + 16), 65536);
}

static void extended_reports_and_nacks_are_translated(void **state)
{
	const struct rtp_map send = {.in_ssrc = 1, .out_ssrc = 2},
			     receive = {.in_ssrc = 7, .out_ssrc = 9, .seq_add = 100};
	uint8_t xr[] = {0x80, 207, 0, 19, 0, 0, 0, 1,               //
		1, 0, 0, 3, 0, 0, 0, 9, 0, 200, 0, 210, 0, 0, 0, 0, // loss
		4, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 9,                 // receiver's time: no SSRC in it
		5, 0, 0, 6, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 9,     // DLRR of two
		0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 9,                 //
		7, 0, 0, 1, 0, 0, 0, 9,                             // VoIP metrics, cut short
		2, 0, 0, 99};                                       // more than there is
	uint8_t nack[] = {0x81, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 9, 0, 150, 0, 9, 0, 50, 0, 0};

	xr[3] = sizeof(xr) / 4 - 1;
	assert_true(rtcp_sound(xr, sizeof(xr)));
	rtcp_translate(xr, sizeof(xr), &send, &receive);
	assert_int_equal(rtp_get32(xr + 4), 2);
	assert_int_equal(rtp_get32(xr + 12), 7);
	assert_int_equal(rtp_get16(xr + 16), 100);
	assert_int_equal(rtp_get16(xr + 18), 110);
	assert_int_equal(rtp_get32(xr + 28), 9);
	assert_int_equal(rtp_get32(xr + 40), 7);
	assert_int_equal(rtp_get32(xr + 44), 9);
	assert_int_equal(rtp_get32(xr + 52), 7);
	assert_int_equal(rtp_get32(xr + 68), 7);
	assert_true(rtcp_sound(nack, sizeof(nack)));
	rtcp_translate(nack, sizeof(nack), &send, &receive);
	assert_int_equal(rtp_get32(nack + 4), 2);
	assert_int_equal(rtp_get32(nack + 8), 7);
	assert_int_equal(rtp_get16(nack + 12), 50);
	assert_int_equal(rtp_get16(nack + 16), (uint16_t)(50 - 100));
}

static void a_leap_of_the_timestamp_is_no_jitter(void **state)
{
	struct rtp_source source = {0};
	uint64_t lost_before;
	static const uint32_t leaps[] = {0, 0x80000000u, 0, 0x40000000u, 0x80000001u};

	for (unsigned i = 0; i < 5; i++) {
		rtp_source_sequence(&source, (uint16_t)i, &lost_before);
		rtp_source_timing(&source, i * 160 + leaps[i], i * 160, 8000);
	}
	assert_int_equal(source.jitter_q4, 0);
}

// A day's worth of the clock that remembers when a source was heard, and the RTP timestamp: both go round.
static void times_go_round(void **state)
{
	const uint64_t tick = 1ull << RTP_HEARD_TICKS, round = 1ull << (32 + RTP_HEARD_TICKS);
	struct rtp_source source = {0};

	rtp_source_heard(&source, 5 * round - 10 * tick);
	assert_int_equal(rtp_source_age_tsc(&source, 5 * round - 10 * tick), 0);
	assert_in_range(rtp_source_age_tsc(&source, 5 * round + 10 * tick), 18 * tick, 22 * tick);
	rtp_source_heard(&source, 5 * round); // 0 would mean that nobody was heard
	assert_int_not_equal(source.heard_q, 0);
	source = (struct rtp_source){0};
	for (uint32_t i = 0; i < 100; i++)
		rtp_source_timing(&source, 4294967000u + 160 * i, 4294960000u + 160 * i, 8000);
	assert_int_equal(source.jitter_q4, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_bytes_say_what_it_is),
		cmocka_unit_test(an_rtp_header_must_be_whole),
		cmocka_unit_test(an_rtcp_compound_must_be_whole),
		cmocka_unit_test(loss_is_what_did_not_come),
		cmocka_unit_test(sequence_goes_on_past_65535),
		cmocka_unit_test(a_jump_counts_when_a_second_packet_confirms_it),
		cmocka_unit_test(jitter_follows_rfc_3550),
		cmocka_unit_test(a_leap_of_the_timestamp_is_no_jitter),
		cmocka_unit_test(jitter_is_not_fooled),
		cmocka_unit_test(times_go_round),
		cmocka_unit_test(an_earlier_source_is_not_our_line),
		cmocka_unit_test(wraps_come_back_with_the_sequence),
		cmocka_unit_test(extended_reports_and_nacks_are_translated),
		cmocka_unit_test(each_sdes_chunk_is_translated),
		cmocka_unit_test(rtcp_speaks_in_the_mapped_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
