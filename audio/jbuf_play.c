// SPDX-License-Identifier: BSD-3-Clause
// Frames out: what is due, what is given up, and how the delay is led to where it should be. A packet's lag is when its
// audio would be played less its media time: the transit that would just have been in time.

#include "jbuf_private.h"

#define SILENCE_AFTER_US 200000 // of concealment with nothing behind it: whoever spoke has stopped
#define CHOOSE_EVERY_US 100000  // while nothing surprising comes
#define STRETCH_LEAST_US 1000   // less is not worth a cut; in a quiet frame any length can be taken out
#define STRETCH_EVERY_US 60000
#define STRETCH_HASTE_US 60000       // that far off, it is done
#define STRETCH_HASTY_EVERY_US 40000 // so often
#define OVER_MAX_US 60000            // a flood beyond max_ms may be played faster instead of dropped
#define NEARLY 4                     // of a packet: timestamps that are off by less are no gap
#define ADOPT_MS 6.0f // growing by a gap costs delay squared over this and late_cost_ms; it pays where that is < 1

static int64_t lag_of(const struct jbuf *jbuf, const struct jbuf_slot *slot, uint32_t held_ts)
{
	return jbuf->now_us + jbuf_us(jbuf, held_ts) - jbuf_us(jbuf, slot->ts);
}

static uint32_t common(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

// Where the delay should be, seen from this packet, whose pull at this tick sets the lattice.
static int64_t goal_of(struct jbuf *jbuf, const struct jbuf_slot *slot, bool free)
{
	int64_t pulled_us = jbuf->now_us - jbuf_us(jbuf, slot->ts), goal_us;
	uint32_t step_us = common(jbuf->config.tick_us, (uint32_t)jbuf_us(jbuf, slot->duration_ts));

	if (jbuf->delay.chosen && (jbuf->frozen || (!free && !jbuf->delay.surprised && jbuf->now_us < jbuf->choose_us)))
		return jbuf->delay.goal_us;
	jbuf->choose_us = jbuf->now_us + CHOOSE_EVERY_US;
	goal_us = delay_choose(&jbuf->delay, pulled_us, step_us, jbuf->config.tick_us - step_us, free);
	jbuf->stats.target_us = (int32_t)(goal_us - jbuf->delay.base_us);
	return goal_us;
}

static void fill(struct jbuf *jbuf, struct jbuf_frame *frame, enum jbuf_action action, int64_t ts)
{
	*frame = (struct jbuf_frame){.action = action, .duration_ts = (uint32_t)ts};
	if (action == JBUF_SILENCE) {
		jbuf->stats.silence_ts += (uint64_t)ts;
		return;
	}
	jbuf->gap_ts += ts;
	jbuf->cursor_ts += ts;
	jbuf->stats.concealed_ts += (uint64_t)ts;
	if (action == JBUF_RECOVER)
		jbuf->stats.recovered++;
	else
		jbuf->stats.concealed++;
}

static void show(const struct jbuf *jbuf, const struct jbuf_slot *slot, struct jbuf_frame *frame)
{
	frame->payload_type = slot->payload_type;
	frame->marker = slot->marker;
	frame->seq = (uint16_t)slot->seq;
	frame->ts = slot->wire_ts;
	frame->bytes = slot->bytes;
	frame->payload = jbuf->payloads + (size_t)(slot - jbuf->slots) * jbuf->config.payload_max_bytes;
}

// How much the packet should be stretched, now that its lag is so far over the goal.
static int32_t stretch_wish(const struct jbuf *jbuf, int64_t over_us)
{
	int64_t every_us = over_us > STRETCH_HASTE_US || over_us < -STRETCH_HASTE_US / 2 ? STRETCH_HASTY_EVERY_US
											 : STRETCH_EVERY_US;

	if (jbuf->frozen || jbuf->config.mode == JBUF_OFF || jbuf->now_us - jbuf->stretched_us < every_us)
		return 0;
	if (over_us > -STRETCH_LEAST_US && over_us < STRETCH_LEAST_US)
		return 0;
	return (int32_t)-jbuf_ts(jbuf, over_us);
}

static void play(struct jbuf *jbuf, struct jbuf_slot *slot, struct jbuf_frame *frame, int64_t lag_us, int64_t goal_us)
{
	*frame = (struct jbuf_frame){.action = JBUF_PLAY, .duration_ts = slot->duration_ts};
	show(jbuf, slot, frame);
	frame->stretch_ts = stretch_wish(jbuf, lag_us - goal_us);
	jbuf->stats.depth_us = (int32_t)(lag_us - jbuf->delay.base_us);
	jbuf->cursor_ts = slot->ts + slot->duration_ts;
	jbuf->ptime_ts = slot->duration_ts;
	jbuf->was_silent = slot->silent;
	jbuf->gap_ts = 0;
	jbuf->idle = false;
	jbuf->played = true;
	jbuf_take(jbuf, slot, &jbuf->stats.played);
}

// The audio of this packet was made up already. Is it worth the delay to play it all the same?
static bool adopts(const struct jbuf *jbuf, int64_t over_us)
{
	float over_ms = (float)over_us / 1000;

	if (over_us <= 0 || jbuf->config.mode == JBUF_OFF)
		return true;
	if (jbuf->config.mode == JBUF_FIXED)
		return over_us < jbuf->config.tick_us;
	return over_ms * over_ms < ADOPT_MS * jbuf->config.late_cost_ms;
}

static void pull_empty(struct jbuf *jbuf, struct jbuf_frame *frame, uint32_t need_ts)
{
	if (jbuf->idle || jbuf->was_silent || jbuf_us(jbuf, jbuf->gap_ts) >= SILENCE_AFTER_US) {
		jbuf->idle = true;
		fill(jbuf, frame, JBUF_SILENCE, need_ts);
		return;
	}
	fill(jbuf, frame, JBUF_CONCEAL, need_ts);
}

// A talkspurt waits until its delay is what it should be.
static void pull_idle(
	struct jbuf *jbuf, struct jbuf_slot *head, struct jbuf_frame *frame, uint32_t held_ts, uint32_t need_ts)
{
	int64_t lag_us = lag_of(jbuf, head, held_ts), goal_us = goal_of(jbuf, head, true);

	if (lag_us < goal_us && jbuf->config.mode != JBUF_OFF)
		fill(jbuf, frame, JBUF_SILENCE, need_ts);
	else
		play(jbuf, head, frame, lag_us, goal_us);
}

// Something is missing before this packet, or nothing was said.
static void pull_gap(struct jbuf *jbuf, struct jbuf_slot *head, struct jbuf_frame *frame, uint32_t need_ts)
{
	int64_t ahead_ts = head->ts - jbuf->cursor_ts, lost_ts = (head->seq - jbuf->next_seq) * jbuf->ptime_ts;
	int64_t piece_ts = ahead_ts < jbuf->ptime_ts ? ahead_ts : jbuf->ptime_ts;

	if (jbuf->gap_ts >= lost_ts) {
		jbuf->idle = true;
		fill(jbuf, frame, JBUF_SILENCE, need_ts);
		return;
	}
	if (piece_ts > lost_ts - jbuf->gap_ts)
		piece_ts = lost_ts - jbuf->gap_ts;
	if (!jbuf->config.recover || ahead_ts != jbuf->ptime_ts || piece_ts != ahead_ts) {
		fill(jbuf, frame, JBUF_CONCEAL, piece_ts);
		return;
	}
	fill(jbuf, frame, JBUF_RECOVER, piece_ts);
	show(jbuf, head, frame);
}

// Packets that are further behind than the bounds allow go: the consumer was away, or the network let a flood through.
static struct jbuf_slot *bounded_head(struct jbuf *jbuf, uint32_t held_ts)
{
	int64_t most_us = jbuf->config.max_ms * 1000ll + jbuf->config.tick_us + OVER_MAX_US;
	struct jbuf_slot *head = jbuf_head(jbuf);

	while (head && jbuf->stats.queued > 1 && lag_of(jbuf, head, held_ts) - jbuf->delay.base_us > most_us) {
		jbuf_take(jbuf, head, &jbuf->stats.overflow);
		head = jbuf_head(jbuf);
	}
	return head;
}

// Hand out the packet, unless it has to wait, or was made up and is not worth it any more. Returns: was there a frame?
static bool pull_head(
	struct jbuf *jbuf, struct jbuf_slot *head, struct jbuf_frame *frame, uint32_t held_ts, uint32_t need_ts)
{
	int64_t ahead_ts = head->ts - jbuf->cursor_ts, lag_us, goal_us;

	if (jbuf->idle || jbuf->was_silent) {
		pull_idle(jbuf, head, frame, held_ts, need_ts);
		return true;
	}
	if (ahead_ts > jbuf->ptime_ts / NEARLY || (ahead_ts > 0 && jbuf->gap_ts > 0)) {
		pull_gap(jbuf, head, frame, need_ts);
		return true;
	}
	lag_us = lag_of(jbuf, head, held_ts);
	goal_us = goal_of(jbuf, head, false);
	if (ahead_ts < 0 && jbuf->gap_ts > 0) {
		if (!adopts(jbuf, lag_us - goal_us)) {
			jbuf_take(jbuf, head, &jbuf->stats.late);
			return false;
		}
		jbuf->stats.adopted++;
	}
	play(jbuf, head, frame, lag_us, goal_us);
	return true;
}

void jbuf_pull(struct jbuf *jbuf, int64_t now_us, uint32_t held_ts, struct jbuf_frame *frame)
{
	uint32_t need_ts = held_ts < jbuf->tick_ts ? jbuf->tick_ts - held_ts : jbuf->tick_ts;
	struct jbuf_slot *head;

	jbuf->now_us = now_us;
	for (head = bounded_head(jbuf, held_ts); head; head = jbuf_head(jbuf))
		if (pull_head(jbuf, head, frame, held_ts, need_ts))
			return;
	pull_empty(jbuf, frame, need_ts);
}

void jbuf_stretched(struct jbuf *jbuf, int32_t ts)
{
	if (ts == 0)
		return;
	jbuf->stretched_us = jbuf->now_us;
	if (ts < 0)
		jbuf->stats.accelerated_samples += (uint64_t)-ts;
	else
		jbuf->stats.expanded_samples += (uint64_t)ts;
}
