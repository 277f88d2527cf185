// SPDX-License-Identifier: BSD-3-Clause
// Four levels: 256 slots of 1 ms, then three times 64 slots, each level's slot as wide as the whole level below. A
// timer further away than the last level (18 hours) waits in it and is placed again.

#include <stdlib.h>

#include "wheel.h"

#define NEAR_BITS 8
#define NEAR_SLOTS (1u << NEAR_BITS)
#define FAR_BITS 6
#define FAR_SLOTS (1u << FAR_BITS)
#define FAR_LEVELS 3
#define SPAN_MS (1ull << (NEAR_BITS + FAR_LEVELS * FAR_BITS))
#define IDLE_MS 1000

struct wheel {
	uint64_t now_ms;
	size_t count;                         // of running timers
	uint64_t near_used[NEAR_SLOTS / 64];  // bit set: the slot may hold a timer
	struct wheel_timer *near[NEAR_SLOTS]; // at due_ms % 256
	struct wheel_timer *far[FAR_LEVELS][FAR_SLOTS];
};

struct wheel *wheel_create(uint64_t now_ms)
{
	struct wheel *wheel = calloc(1, sizeof(*wheel));

	if (wheel)
		wheel->now_ms = now_ms;
	return wheel;
}

static void slot_forget(struct wheel_timer *timer)
{
	for (; timer; timer = timer->next)
		timer->prev = NULL;
}

void wheel_destroy(struct wheel *wheel)
{
	if (!wheel)
		return;
	// Timers outlive the wheel in their owners: a later wheel_stop must not write into it.
	for (unsigned i = 0; i < NEAR_SLOTS; i++)
		slot_forget(wheel->near[i]);
	for (unsigned level = 0; level < FAR_LEVELS; level++)
		for (unsigned i = 0; i < FAR_SLOTS; i++)
			slot_forget(wheel->far[level][i]);
	free(wheel);
}

uint64_t wheel_now_ms(const struct wheel *wheel)
{
	return wheel->now_ms;
}

static void slot_push(struct wheel_timer **slot, struct wheel_timer *timer)
{
	timer->next = *slot;
	timer->prev = slot;
	if (timer->next)
		timer->next->prev = &timer->next;
	*slot = timer;
}

static void slot_remove(struct wheel_timer *timer)
{
	*timer->prev = timer->next;
	if (timer->next)
		timer->next->prev = timer->prev;
	timer->prev = NULL;
}

static unsigned far_shift(unsigned level)
{
	return NEAR_BITS + level * FAR_BITS;
}

static void timer_place(struct wheel *wheel, struct wheel_timer *timer)
{
	uint64_t delay = timer->due_ms - wheel->now_ms, due = timer->due_ms;
	unsigned level = 0;

	if (delay < NEAR_SLOTS) {
		unsigned slot = due % NEAR_SLOTS;

		slot_push(&wheel->near[slot], timer);
		wheel->near_used[slot / 64] |= 1ull << (slot % 64);
		return;
	}
	if (delay >= SPAN_MS)
		due = wheel->now_ms + SPAN_MS - 1;
	while (level < FAR_LEVELS - 1 && delay >> far_shift(level + 1))
		level++;
	slot_push(&wheel->far[level][(due >> far_shift(level)) % FAR_SLOTS], timer);
}

void wheel_start(struct wheel *wheel, struct wheel_timer *timer, uint64_t delay_ms,
	void (*fn)(struct wheel_timer *timer, void *arg), void *arg)
{
	wheel_stop(wheel, timer);
	// What is due now has been called already: the next tick is the earliest.
	timer->due_ms = wheel->now_ms + (delay_ms ? delay_ms : 1);
	timer->fn = fn;
	timer->arg = arg;
	timer_place(wheel, timer);
	wheel->count++;
}

void wheel_stop(struct wheel *wheel, struct wheel_timer *timer)
{
	if (!timer->prev)
		return;
	slot_remove(timer);
	wheel->count--;
}

// The clock has come to the first ms of a far slot: what waits there moves down a level or two.
static void wheel_cascade(struct wheel *wheel)
{
	unsigned level = 0;

	while (level + 1 < FAR_LEVELS && (wheel->now_ms >> far_shift(level)) % FAR_SLOTS == 0)
		level++;
	for (;; level--) {
		struct wheel_timer **slot = &wheel->far[level][(wheel->now_ms >> far_shift(level)) % FAR_SLOTS];
		struct wheel_timer *timer = *slot, *next;

		*slot = NULL;
		for (; timer; timer = next) {
			next = timer->next;
			timer_place(wheel, timer);
		}
		if (level == 0)
			return;
	}
}

static void wheel_expire(struct wheel *wheel)
{
	unsigned slot = wheel->now_ms % NEAR_SLOTS;
	struct wheel_timer *timer;

	wheel->near_used[slot / 64] &= ~(1ull << (slot % 64));
	// One by one: a callback may stop or free any of those that follow. None can add to this slot (see
	// wheel_start).
	while ((timer = wheel->near[slot])) {
		slot_remove(timer);
		wheel->count--;
		timer->fn(timer, timer->arg);
	}
}

// The next ms at which there is something to do: a near slot, or the place where far slots move down.
static uint64_t wheel_next(const struct wheel *wheel)
{
	uint64_t window = wheel->now_ms & ~(uint64_t)(NEAR_SLOTS - 1);

	for (unsigned slot = wheel->now_ms % NEAR_SLOTS + 1; slot < NEAR_SLOTS; slot = (slot / 64 + 1) * 64) {
		uint64_t used = wheel->near_used[slot / 64] >> (slot % 64);

		if (used)
			return window + slot + (unsigned)__builtin_ctzll(used);
	}
	return window + NEAR_SLOTS;
}

void wheel_advance(struct wheel *wheel, uint64_t now_ms)
{
	while (wheel->now_ms < now_ms) {
		uint64_t next = wheel->count ? wheel_next(wheel) : UINT64_MAX;

		if (next > now_ms) {
			wheel->now_ms = now_ms;
			return;
		}
		wheel->now_ms = next;
		if (next % NEAR_SLOTS == 0)
			wheel_cascade(wheel);
		wheel_expire(wheel);
	}
}

uint64_t wheel_next_ms(const struct wheel *wheel)
{
	return wheel->count ? wheel_next(wheel) - wheel->now_ms : IDLE_MS;
}
