// SPDX-License-Identifier: BSD-3-Clause
// Packets in: who they are, where they belong, when they came.

#include <errno.h>
#include <string.h>

#include "jbuf_private.h"

#define DROPOUT 3000    // RFC 3550 A.1
#define MISORDER 100    // the same
#define SEEN 64         // packets back that a duplicate is told from a late one
#define LEAP_US 2000000 // a transit that far off is another time, if the next one says so too
#define AGREE_US 500000 // the two of them may differ by
#define SLOT_MS 10      // the least ptime that max_ms is kept for
#define SLOTS_SPARE 16  // over max_ms
#define FIRST_SEQ 65536 // nothing is ever before zero
#define FIRST_TS (1ll << 40)

const char *jbuf_verdict_name(enum jbuf_verdict verdict)
{
#define VERDICT_NAME(upper, lower) #lower,
	static const char *const names[] = {JBUF_VERDICTS(VERDICT_NAME)};

	return verdict < JBUF_VERDICT_COUNT ? names[verdict] : "?";
}

// --- memory ---------------------------------------------------------------------------------------------------------

static struct jbuf_config with_defaults(const struct jbuf_config *config)
{
	struct jbuf_config full = *config;

	if (full.tick_us == 0)
		full.tick_us = 20000;
	if (full.max_ms == 0)
		full.max_ms = 300;
	if (full.initial_ms == 0)
		full.initial_ms = 40;
	if (full.initial_ms < full.min_ms)
		full.initial_ms = full.min_ms;
	if (full.initial_ms > full.max_ms)
		full.initial_ms = full.max_ms;
	if (full.late_cost_ms == 0)
		full.late_cost_ms = 60;
	if (full.payload_max_bytes == 0)
		full.payload_max_bytes = JBUF_PAYLOAD_MAX;
	return full;
}

static uint32_t slots_of(const struct jbuf_config *full)
{
	return full->max_ms / SLOT_MS + SLOTS_SPARE;
}

size_t jbuf_bytes(const struct jbuf_config *config)
{
	struct jbuf_config full = with_defaults(config);

	return sizeof(struct jbuf) + slots_of(&full) * (sizeof(struct jbuf_slot) + full.payload_max_bytes);
}

int jbuf_init(struct jbuf *jbuf, const struct jbuf_config *config)
{
	struct jbuf_config full = with_defaults(config);

	if (full.clock_hz == 0 || full.min_ms > full.max_ms || slots_of(&full) > JBUF_SLOTS_MAX)
		return -EINVAL;
	memset(jbuf, 0, sizeof(*jbuf));
	jbuf->config = full;
	jbuf->slot_count = slots_of(&full);
	jbuf->slots = (struct jbuf_slot *)(jbuf + 1);
	jbuf->payloads = (uint8_t *)(jbuf->slots + jbuf->slot_count);
	jbuf->tick_ts = (uint32_t)jbuf_ts(jbuf, full.tick_us);
	jbuf->ptime_ts = jbuf->tick_ts;
	memset(jbuf->slots, 0, jbuf->slot_count * sizeof(*jbuf->slots));
	jbuf_reset(jbuf);
	return 0;
}

void jbuf_reset(struct jbuf *jbuf)
{
	struct delay_config delay = {
		.late_cost_us = jbuf->config.late_cost_ms * 1000u,
		.initial_us = jbuf->config.initial_ms * 1000u,
		.min_us = jbuf->config.min_ms * 1000u,
		.max_us = jbuf->config.max_ms * 1000u,
	};

	for (uint32_t i = 0; i < jbuf->slot_count; i++) {
		jbuf->stats.flushed += jbuf->slots[i].used;
		jbuf->slots[i].used = false;
	}
	if (jbuf->config.mode == JBUF_FIXED)
		delay.min_us = delay.max_us = delay.initial_us;
	delay_init(&jbuf->delay, &delay);
	jbuf->stats.queued = 0;
	jbuf->heard = jbuf->played = jbuf->seq_jumped = jbuf->ts_jumped = jbuf->was_silent = false;
	jbuf->idle = true;
	jbuf->gap_ts = 0;
}

void jbuf_freeze(struct jbuf *jbuf, bool frozen)
{
	jbuf->frozen = frozen;
}

const struct jbuf_stats *jbuf_stats(const struct jbuf *jbuf)
{
	return &jbuf->stats;
}

// --- the queue ------------------------------------------------------------------------------------------------------

struct jbuf_slot *jbuf_head(struct jbuf *jbuf)
{
	struct jbuf_slot *slot;

	if (jbuf->stats.queued == 0)
		return NULL;
	for (int64_t seq = jbuf->next_seq; seq <= jbuf->newest_seq; seq++) {
		slot = jbuf_slot(jbuf, seq);
		if (slot->used)
			return slot;
	}
	return NULL;
}

void jbuf_take(struct jbuf *jbuf, struct jbuf_slot *slot, uint64_t *count)
{
	jbuf->next_seq = slot->seq + 1;
	slot->used = false;
	jbuf->stats.queued--;
	++*count;
}

// Let the oldest go until seq has a slot of its own. Returns: was it needed?
static bool make_room(struct jbuf *jbuf, int64_t seq)
{
	bool needed = false;

	while (seq - jbuf->next_seq >= jbuf->slot_count) {
		struct jbuf_slot *head = jbuf_head(jbuf);

		if (!head || head->seq > seq - jbuf->slot_count) {
			jbuf->next_seq = seq - jbuf->slot_count + 1;
			break;
		}
		jbuf_take(jbuf, head, &jbuf->stats.overflow);
		needed = true;
	}
	return needed;
}

static void queue(struct jbuf *jbuf, const struct jbuf_packet *packet, int64_t seq, int64_t ts)
{
	struct jbuf_slot *slot = jbuf_slot(jbuf, seq);

	*slot = (struct jbuf_slot){
		.used = true,
		.marker = packet->marker,
		.silent = packet->silent,
		.payload_type = packet->payload_type,
		.bytes = packet->bytes,
		.wire_ts = packet->ts,
		.duration_ts = packet->duration_ts ? packet->duration_ts : jbuf->tick_ts,
		.seq = seq,
		.ts = ts,
	};
	memcpy(jbuf->payloads + (size_t)(slot - jbuf->slots) * jbuf->config.payload_max_bytes, packet->payload,
		packet->bytes);
	jbuf->stats.queued++;
}

// --- sequence and time ----------------------------------------------------------------------------------------------

static void row_start(struct jbuf *jbuf, const struct jbuf_packet *packet)
{
	jbuf->heard = true;
	jbuf->ssrc = packet->ssrc;
	jbuf->newest_seq = FIRST_SEQ + packet->seq;
	jbuf->next_seq = jbuf->newest_seq;
	jbuf->seen = 1;
	jbuf->last_ts = FIRST_TS;
	jbuf->last_wire_ts = packet->ts;
	jbuf->cursor_ts = FIRST_TS;
}

static enum jbuf_verdict restart(struct jbuf *jbuf, const struct jbuf_packet *packet)
{
	jbuf_reset(jbuf);
	row_start(jbuf, packet);
	jbuf->stats.restarts++;
	return JBUF_RESTARTED;
}

// A packet behind the newest. It may also be from before the first, while that one waits.
static enum jbuf_verdict behind(struct jbuf *jbuf, int64_t seq)
{
	int64_t back = jbuf->newest_seq - seq;
	bool again = back < SEEN && (jbuf->seen >> back & 1);

	if (back < SEEN)
		jbuf->seen |= 1ull << back;
	if (again)
		return JBUF_DUPLICATE;
	if (!jbuf->played && seq < jbuf->next_seq && back < jbuf->slot_count)
		jbuf->next_seq = seq;
	if (seq < jbuf->next_seq)
		return JBUF_LATE;
	return jbuf_slot(jbuf, seq)->used ? JBUF_DUPLICATE : JBUF_REORDERED;
}

static enum jbuf_verdict place(struct jbuf *jbuf, const struct jbuf_packet *packet, int64_t *seq)
{
	int delta = (int16_t)(packet->seq - (uint16_t)jbuf->newest_seq);

	*seq = jbuf->newest_seq + delta;
	if (delta >= DROPOUT || delta <= -MISORDER) {
		if (jbuf->seq_jumped && packet->seq == jbuf->jump_seq) {
			restart(jbuf, packet);
			*seq = jbuf->newest_seq;
			return JBUF_RESTARTED;
		}
		jbuf->seq_jumped = true;
		jbuf->jump_seq = (uint16_t)(packet->seq + 1);
		return JBUF_STRAY;
	}
	jbuf->seq_jumped = false;
	if (delta <= 0)
		return behind(jbuf, *seq);
	jbuf->newest_seq = *seq;
	jbuf->seen = delta < SEEN ? jbuf->seen << delta | 1 : 1;
	return JBUF_QUEUED;
}

// When does the packet's audio belong? A time that does not go with its arrival is believed when the next packet has it
// too: then it is moved to where the old time was. Returns: false where it is not believed yet.
static bool time_of(struct jbuf *jbuf, int64_t now_us, const struct jbuf_packet *packet, int64_t *ts)
{
	int64_t transit_us, off_us, again_us;

	*ts = jbuf->last_ts + (int32_t)(packet->ts - jbuf->last_wire_ts);
	transit_us = now_us - jbuf_us(jbuf, *ts);
	off_us = jbuf->delay.count ? transit_us - jbuf->delay.base_us : 0;
	again_us = transit_us - jbuf->jump_us;
	if (off_us > -LEAP_US && off_us < LEAP_US) {
		jbuf->ts_jumped = false;
	} else if (!jbuf->ts_jumped || again_us < -AGREE_US || again_us > AGREE_US) {
		jbuf->ts_jumped = true;
		jbuf->jump_us = transit_us;
		return false;
	} else {
		*ts = jbuf_ts(jbuf, now_us - jbuf->delay.base_us);
		jbuf->ts_jumped = false;
		jbuf->stats.restarts++;
	}
	jbuf->last_ts = *ts;
	jbuf->last_wire_ts = packet->ts;
	return true;
}

static enum jbuf_verdict accept(struct jbuf *jbuf, int64_t now_us, const struct jbuf_packet *packet)
{
	enum jbuf_verdict verdict;
	int64_t seq, ts;

	if (packet->bytes > jbuf->config.payload_max_bytes)
		return JBUF_OVERSIZE;
	if (!jbuf->heard) {
		row_start(jbuf, packet);
		seq = jbuf->newest_seq;
		verdict = JBUF_QUEUED;
	} else if (packet->ssrc != jbuf->ssrc) {
		verdict = restart(jbuf, packet);
		seq = jbuf->newest_seq;
	} else {
		verdict = place(jbuf, packet, &seq);
	}
	if (verdict == JBUF_DUPLICATE || verdict == JBUF_STRAY)
		return verdict;
	if (!time_of(jbuf, now_us, packet, &ts))
		return JBUF_STRAY;
	delay_add(&jbuf->delay, now_us - jbuf_us(jbuf, ts));
	if (verdict == JBUF_LATE)
		return verdict;
	if (make_room(jbuf, seq))
		verdict = JBUF_OVERFLOW;
	queue(jbuf, packet, seq, ts);
	return verdict;
}

enum jbuf_verdict jbuf_push(struct jbuf *jbuf, int64_t now_us, const struct jbuf_packet *packet)
{
	enum jbuf_verdict verdict = accept(jbuf, now_us, packet);

	jbuf->stats.pushed++;
	jbuf->stats.late += verdict == JBUF_LATE;
	jbuf->stats.duplicate += verdict == JBUF_DUPLICATE;
	jbuf->stats.stray += verdict == JBUF_STRAY;
	jbuf->stats.oversize += verdict == JBUF_OVERSIZE;
	jbuf->stats.reordered += verdict == JBUF_REORDERED;
	return verdict;
}
