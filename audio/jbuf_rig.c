// SPDX-License-Identifier: BSD-3-Clause

#include <stdlib.h>
#include <string.h>

#include "jbuf_rig.h"

void rig_open(struct rig *rig, const struct jbuf_config *config)
{
	memset(rig, 0, sizeof(*rig));
	rig->config = *config;
	if (rig->config.clock_hz == 0)
		rig->config.clock_hz = 8000;
	if (rig->config.tick_us == 0)
		rig->config.tick_us = 20000;
	if (rig->config.payload_max_bytes == 0)
		rig->config.payload_max_bytes = 4;
	rig->jbuf = malloc(jbuf_bytes(&rig->config));
	if (!rig->jbuf || jbuf_init(rig->jbuf, &rig->config))
		abort();
	rig->tick_ts = (uint32_t)((uint64_t)rig->config.clock_hz * rig->config.tick_us / 1000000);
	rig->ptime_ts = rig->config.clock_hz / 50;
	rig->pitch_ts = rig->config.clock_hz / 200;
	rig->ssrc = 1;
}

void rig_close(struct rig *rig)
{
	free(rig->jbuf);
}

enum jbuf_verdict rig_push_at(struct rig *rig, int64_t now_us, uint32_t number, uint16_t seq, uint32_t ts)
{
	struct jbuf_packet packet = {
		.seq = seq,
		.ts = ts,
		.ssrc = rig->ssrc,
		.duration_ts = rig->ptime_ts,
		.payload = (const uint8_t *)&number,
		.bytes = sizeof(number),
	};

	return jbuf_push(rig->jbuf, now_us, &packet);
}

enum jbuf_verdict rig_push(struct rig *rig, int64_t now_us, uint32_t number)
{
	return rig_push_at(rig, now_us, number, (uint16_t)number, number * rig->ptime_ts);
}

static void note(struct rig *rig, const struct jbuf_frame *frame)
{
	uint64_t restarts;
	uint32_t value;

	if (rig->said_count + 1 < sizeof(rig->said))
		rig->said[rig->said_count++] = "PCRS"[frame->action];
	rig->played += frame->action == JBUF_PLAY;
	rig->concealed += frame->action == JBUF_CONCEAL;
	rig->recovered += frame->action == JBUF_RECOVER;
	rig->silent += frame->action == JBUF_SILENCE;
	if (frame->action == JBUF_CONCEAL)
		rig->concealed_ts += frame->duration_ts;
	if (frame->action != JBUF_PLAY)
		return;
	memcpy(&value, frame->payload, sizeof(value));
	rig->disorder += rig->any && value <= rig->last_value;
	rig->last_value = value;
	restarts = jbuf_stats(rig->jbuf)->restarts;
	rig->seq_disorder += rig->any && restarts == rig->restarts && (int16_t)(frame->seq - rig->last_seq) <= 0;
	rig->last_seq = frame->seq;
	rig->restarts = restarts;
	rig->any = true;
}

// One pitch period, if the wish leaves room for it.
static int32_t stretch(const struct rig *rig, int32_t wish_ts)
{
	if (wish_ts > 0)
		return (int32_t)rig->pitch_ts;
	return wish_ts < 0 && (uint32_t)-wish_ts >= rig->pitch_ts ? -(int32_t)rig->pitch_ts : 0;
}

void rig_tick(struct rig *rig)
{
	struct jbuf_frame frame;

	while (rig->held_ts < rig->tick_ts) {
		int32_t stretched;

		jbuf_pull(rig->jbuf, rig->now_us, rig->held_ts, &frame);
		note(rig, &frame);
		stretched = stretch(rig, frame.stretch_ts);
		jbuf_stretched(rig->jbuf, stretched);
		rig->held_ts += frame.duration_ts + (uint32_t)stretched;
	}
	rig->held_ts -= rig->tick_ts;
	rig->now_us += rig->config.tick_us;
}

void rig_run(struct rig *rig, int64_t until_us)
{
	while (rig->now_us < until_us)
		rig_tick(rig);
}

bool rig_balances(const struct rig *rig)
{
	const struct jbuf_stats *stats = jbuf_stats(rig->jbuf);

	return stats->pushed == stats->played + stats->late + stats->duplicate + stats->stray + stats->oversize +
					stats->overflow + stats->flushed + stats->queued &&
	       stats->played == rig->played;
}
