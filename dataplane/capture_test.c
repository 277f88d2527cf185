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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frames_come_out_as_they_went_in, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_finds_no_room_is_counted, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
