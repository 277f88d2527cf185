// SPDX-License-Identifier: BSD-3-Clause

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wheel.h"

#define TIMERS 500

struct probe {
	struct wheel_timer timer;
	struct wheel *wheel;
	uint64_t called_ms;
	unsigned calls;
	struct probe *other; // what its callback stops or restarts
};

static uint64_t last_ms;

static void note(struct wheel_timer *timer, void *arg)
{
	struct probe *probe = arg;

	assert_ptr_equal(timer, &probe->timer);
	assert_false(wheel_running(timer));
	probe->calls++;
	probe->called_ms = wheel_now_ms(probe->wheel);
	assert_true(probe->called_ms >= last_ms);
	last_ms = probe->called_ms;
}

static uint64_t mixed(uint64_t i)
{
	i = (i + 1) * 0x9E3779B97F4A7C15ull;
	return i ^ i >> 29;
}

static struct wheel *new_wheel(uint64_t now_ms)
{
	struct wheel *wheel = wheel_create(now_ms);

	assert_non_null(wheel);
	return wheel;
}

// Delays over all levels, from clocks beside each slot border, in steps of any width: each is called once, at its ms.
static void calls_each_once_at_its_ms(void **state)
{
	static const uint64_t starts[] = {0, 1, 255, 256, 16383, 16384, 1048575, (1ull << 26) - 1, 1ull << 40};
	static const uint64_t spans[] = {2, 255, 256, 257, 16384, 70000, 1100000, 90000000};

	for (size_t s = 0; s < sizeof(starts) / sizeof(*starts); s++) {
		struct wheel *wheel = new_wheel(starts[s]);
		struct probe *probes = calloc(TIMERS, sizeof(*probes));
		uint64_t clock = starts[s];

		assert_non_null(probes);
		last_ms = 0;
		for (unsigned i = 0; i < TIMERS; i++) {
			probes[i].wheel = wheel;
			wheel_start(wheel, &probes[i].timer, 1 + mixed(i) % spans[i % 8], note, &probes[i]);
		}
		for (unsigned i = 0; clock < starts[s] + 90000001; i++) {
			clock += i < 2000 ? 1 + i % 7 : 1 + mixed(i) % 200000;
			wheel_advance(wheel, clock);
			assert_int_equal(wheel_now_ms(wheel), clock);
		}
		for (unsigned i = 0; i < TIMERS; i++) {
			assert_int_equal(probes[i].calls, 1);
			assert_int_equal(probes[i].called_ms, starts[s] + 1 + mixed(i) % spans[i % 8]);
		}
		assert_int_equal(wheel_next_ms(wheel), 1000);
		free(probes);
		wheel_destroy(wheel);
	}
}

static void again(struct wheel_timer *timer, void *arg)
{
	struct probe *probe = arg;

	note(timer, arg);
	wheel_start(probe->wheel, timer, 1000, again, arg);
}

static void an_hour_goes_by(void **state)
{
	struct wheel *wheel = new_wheel(77);
	struct probe probe = {.wheel = wheel};

	last_ms = 0;
	wheel_start(wheel, &probe.timer, 1000, again, &probe);
	wheel_advance(wheel, 77 + 3600 * 1000);
	assert_int_equal(probe.calls, 3600);
	assert_int_equal(probe.called_ms, 77 + 3600 * 1000);
	assert_int_equal(wheel_running(&probe.timer), true);
	wheel_stop(wheel, &probe.timer);
	wheel_destroy(wheel);
}

static void at_once(struct wheel_timer *timer, void *arg)
{
	struct probe *probe = arg;

	note(timer, arg);
	if (probe->calls < 10)
		wheel_start(probe->wheel, timer, 0, at_once, arg);
}

static void no_delay_is_the_next_ms(void **state)
{
	struct wheel *wheel = new_wheel(0);
	struct probe probe = {.wheel = wheel};

	last_ms = 0;
	wheel_start(wheel, &probe.timer, 0, at_once, &probe);
	wheel_advance(wheel, 0);
	assert_int_equal(probe.calls, 0);
	wheel_advance(wheel, 5);
	assert_int_equal(probe.calls, 5);
	wheel_advance(wheel, 100);
	assert_int_equal(probe.calls, 10);
	wheel_destroy(wheel);
}

static void stops_other(struct wheel_timer *timer, void *arg)
{
	struct probe *probe = arg;

	note(timer, arg);
	wheel_stop(probe->wheel, &probe->other->timer);
}

// Two that are due in the same ms: whichever comes first stops the other.
static void a_callback_stops_another(void **state)
{
	struct wheel *wheel = new_wheel(9);
	struct probe a = {.wheel = wheel}, b = {.wheel = wheel, .other = &a};

	last_ms = 0;
	a.other = &b;
	wheel_start(wheel, &a.timer, 300, stops_other, &a);
	wheel_start(wheel, &b.timer, 300, stops_other, &b);
	wheel_advance(wheel, 1000);
	assert_int_equal(a.calls + b.calls, 1);
	wheel_destroy(wheel);
}

static void restart_moves_and_stop_is_idempotent(void **state)
{
	struct wheel *wheel = new_wheel(0);
	struct probe probe = {.wheel = wheel};

	last_ms = 0;
	wheel_stop(wheel, &probe.timer);
	wheel_start(wheel, &probe.timer, 100, note, &probe);
	wheel_start(wheel, &probe.timer, 20000, note, &probe);
	wheel_advance(wheel, 19999);
	assert_int_equal(probe.calls, 0);
	wheel_advance(wheel, 20000);
	assert_int_equal(probe.calls, 1);
	wheel_start(wheel, &probe.timer, 5, note, &probe);
	wheel_stop(wheel, &probe.timer);
	wheel_stop(wheel, &probe.timer);
	wheel_advance(wheel, 30000);
	assert_int_equal(probe.calls, 1);
	wheel_destroy(wheel);
}

static void next_is_never_too_late(void **state)
{
	struct wheel *wheel = new_wheel(1000);
	struct probe probe = {.wheel = wheel};

	last_ms = 0;
	assert_int_equal(wheel_next_ms(wheel), 1000);
	wheel_start(wheel, &probe.timer, 40, note, &probe);
	assert_true(wheel_next_ms(wheel) <= 40);
	wheel_start(wheel, &probe.timer, 12345, note, &probe);
	while (!probe.calls) {
		uint64_t step = wheel_next_ms(wheel);

		assert_in_range(step, 1, 1000);
		wheel_advance(wheel, wheel_now_ms(wheel) + step);
	}
	assert_int_equal(probe.called_ms, 1000 + 12345);
	wheel_destroy(wheel);
}

static void outlives_its_wheel(void **state)
{
	struct wheel *wheel = new_wheel(0);
	struct probe probe = {.wheel = wheel};

	wheel_start(wheel, &probe.timer, 5000, note, &probe);
	wheel_destroy(wheel);
	assert_false(wheel_running(&probe.timer));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_each_once_at_its_ms),
		cmocka_unit_test(an_hour_goes_by),
		cmocka_unit_test(no_delay_is_the_next_ms),
		cmocka_unit_test(a_callback_stops_another),
		cmocka_unit_test(restart_moves_and_stop_is_idempotent),
		cmocka_unit_test(next_is_never_too_late),
		cmocka_unit_test(outlives_its_wheel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
