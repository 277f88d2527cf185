// SPDX-License-Identifier: BSD-3-Clause
// The ring of a capture: what goes in comes out, over its end too; what finds no room is counted.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_mbuf.h>

#include "capture.h"
#include "relay_rig.h"

static struct rig *rig;
static struct capture *capture;
static uint8_t data[CAPTURE_SNAP];

static int set_up(void **state)
{
	rig = rig_create(1);
	capture = aligned_alloc(64, sizeof(*capture));
	capture->head = capture->tail = capture->lost = 0;
	capture->filter = (struct capture_filter){.ports = 0};
	return 0;
}

static int tear_down(void **state)
{
	rig_destroy(rig);
	free(capture);
	return 0;
}

// A frame of that length that begins with its number. Returns: was it taken?
static bool take(uint32_t number, unsigned length)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(rig->pool);
	uint64_t lost = capture->lost;
	uint8_t *at = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)length);

	memset(at, (int)number, length);
	memcpy(at, &number, sizeof(number));
	capture_burst(capture, &mbuf, 1, 1000 + number, number % 2);
	rte_pktmbuf_free(mbuf);
	return capture->lost == lost;
}

static void assert_next(uint32_t number, unsigned length)
{
	struct capture_frame frame;
	uint32_t got;

	assert_true(capture_next(capture, &frame, data));
	memcpy(&got, data, sizeof(got));
	assert_int_equal(got, number);
	assert_int_equal(frame.tsc, 1000 + number);
	assert_int_equal(frame.length, length);
	assert_int_equal(frame.copied, length);
	assert_int_equal(frame.outgoing, number % 2);
	for (unsigned i = 4; i < length; i++)
		assert_int_equal(data[i], (uint8_t)number);
}

static void frames_come_out_as_they_went_in(void **state)
{
	struct capture_frame frame;
	uint32_t out = 0;

	assert_false(capture_next(capture, &frame, data));
	for (uint32_t in = 0; in < 40000; in++) { // several times round
		assert_true(take(in, 60 + in % 1400));
		if (in % 3)
			continue;
		for (; out <= in; out++)
			assert_next(out, 60 + out % 1400);
	}
}

static void what_finds_no_room_is_counted(void **state)
{
	struct capture_frame frame;
	uint32_t in = 0, out;

	while (take(in, 1000))
		in++;
	assert_in_range(in, CAPTURE_BYTES / 1100, CAPTURE_BYTES / 1000);
	assert_false(take(in, 1000));
	assert_int_equal(capture->lost, 2);
	assert_next(0, 1000);
	assert_true(take(in, 1000)); // there is room again
	for (out = 1; out <= in; out++)
		assert_next(out, 1000);
	assert_false(capture_next(capture, &frame, data));
}

// Of one leg: what is for its ports, and what leaves from them.
static void a_filter_takes_one_leg(void **state)
{
	static const struct {
		const char *source, *target;
		uint16_t source_port, target_port;
		bool outgoing, wanted;
	} rows[] = {
		{"10.0.0.9", "10.0.0.1", 4000, 20000, false, true},
		{"10.0.0.9", "10.0.0.1", 4000, 20001, false, true},
		{"10.0.0.9", "10.0.0.1", 20000, 20002, false, false},
		{"10.0.0.9", "10.0.0.1", 4000, 19999, false, false},
		{"10.0.0.9", "10.0.0.2", 4000, 20000, false, false},
		{"10.0.0.1", "10.0.0.9", 20001, 4000, true, true},
		{"10.0.0.1", "10.0.0.9", 20001, 4000, false, false},
		{"10.0.0.2", "10.0.0.9", 20000, 4000, true, false},
		{"2001:db8::9", "2001:db8::1", 4000, 20000, false, false},
	};
	struct capture_filter filter = {.ip = {10, 0, 0, 1}, .family = 4, .port = 20000, .ports = 2},
			      six = {.family = 6, .port = 20000, .ports = 1};
	struct kg_addr source, target, local;
	uint8_t frame[256], tagged[260];
	unsigned length = 0;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		kg_addr_parse(&source, rows[i].source, rows[i].source_port);
		kg_addr_parse(&target, rows[i].target, rows[i].target_port);
		length = rig_frame(frame, &source, &target, "media", 5, RIG_WHOLE);
		assert_int_equal(capture_wants(&filter, frame, length, rows[i].outgoing), rows[i].wanted);
		memcpy(tagged, frame, 12);
		memcpy(tagged + 12, "\x81\x00\x00\x07", 4);
		memcpy(tagged + 16, frame + 12, length - 12);
		assert_int_equal(capture_wants(&filter, tagged, length + 4, rows[i].outgoing), rows[i].wanted);
		for (unsigned size = 0; size < 42; size++) { // cut off: no byte behind is read
			uint8_t *part = malloc(size + 1);

			memcpy(part, frame, size);
			assert_false(capture_wants(&filter, part, size, rows[i].outgoing));
			free(part);
		}
	}
	kg_addr_parse(&local, "2001:db8::1", 20000);
	memcpy(six.ip, local.ip, 16);
	assert_true(capture_wants(&six, frame, length, false)); // the last row
	assert_false(capture_wants(&six, frame, length, true));
	assert_false(capture_wants(&six, frame, 61, false));
	capture->filter = filter;
	assert_true(take(1, 100));
	assert_true(take(2, 100));
	assert_int_equal(capture->head, 0); // none of the leg's
	assert_int_equal(capture->lost, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frames_come_out_as_they_went_in, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_finds_no_room_is_counted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_filter_takes_one_leg, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
