// SPDX-License-Identifier: BSD-3-Clause
// A hierarchical timing wheel with intrusive timers: start, stop and expiry in O(1). Its clock is given from outside,
// so that tests can run an hour in a millisecond.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wheel;

struct wheel_timer {
	struct wheel_timer *next, **prev; // NULL prev: not running
	uint64_t due_ms;
	void (*fn)(struct wheel_timer *timer, void *arg);
	void *arg;
};

// Thread: control. `now_ms` is any monotonic count.
struct wheel *wheel_create(uint64_t now_ms);
void wheel_destroy(struct wheel *wheel);
uint64_t wheel_now_ms(const struct wheel *wheel);
// Start or restart. fn is called from wheel_advance, once; it may start, stop and free any timer, also its own.
void wheel_start(struct wheel *wheel, struct wheel_timer *timer, uint64_t delay_ms,
	void (*fn)(struct wheel_timer *timer, void *arg), void *arg);
void wheel_stop(struct wheel *wheel, struct wheel_timer *timer); // also of one that does not run
static inline bool wheel_running(const struct wheel_timer *timer)
{
	return timer->prev != NULL;
}
// Move the clock and call what is due, in order of due time (1 ms grain).
void wheel_advance(struct wheel *wheel, uint64_t now_ms);
// Milliseconds until something may be due, for the loop's sleep; at most 1000.
uint64_t wheel_next_ms(const struct wheel *wheel);
