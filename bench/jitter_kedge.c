// SPDX-License-Identifier: BSD-3-Clause
// The engine's own buffer, driven as a room drives it; and the oracle.

#include <stdlib.h>
#include <string.h>

#include "jbuf.h"
#include "jitter.h"

struct kedge {
	struct jbuf *jbuf;
	int64_t held_us;
	uint32_t random;
};

static void *kedge_open(double knob)
{
	struct kedge *kedge = calloc(1, sizeof(*kedge));
	const struct jbuf_config config = {.clock_hz = 1000000, .late_cost_ms = (uint16_t)knob, .payload_max_bytes = 4};

	kedge->jbuf = malloc(jbuf_bytes(&config));
	if (jbuf_init(kedge->jbuf, &config))
		abort();
	return kedge;
}

static void kedge_push(void *buffer, uint32_t index, const struct line_packet *packet)
{
	struct kedge *kedge = buffer;
	const struct jbuf_packet in = {.seq = (uint16_t)index,
		.ts = (uint32_t)packet->media_us,
		.ssrc = 1,
		.duration_ts = PTIME_US,
		.payload = (const uint8_t *)&index,
		.bytes = sizeof(index)};

	jbuf_push(kedge->jbuf, packet->came_us, &in);
}

// What stretch.c would do: in speech a whole period, and not more than there is to take; in its pauses (a third of the
// time, half a second each) as much as is asked for.
static int64_t stretched_us(struct kedge *kedge, int32_t wish_us, int64_t now_us)
{
	bool pause = now_us / 500000 * 2654435761u % 3 == 0;
	int64_t period_us;

	if (wish_us == 0)
		return 0;
	period_us = pitch_us(&kedge->random);
	if (pause)
		period_us = llabs(wish_us) < 15000 ? llabs(wish_us) : 15000;
	if (wish_us > 0)
		return period_us;
	return -wish_us >= period_us ? -period_us : 0;
}

static void kedge_tick(void *buffer, int64_t now_us, struct heard *heard)
{
	struct kedge *kedge = buffer;
	struct jbuf_frame frame;
	uint32_t index;
	int64_t us;

	while (kedge->held_us < TICK_US) {
		jbuf_pull(kedge->jbuf, now_us, (uint32_t)kedge->held_us, &frame);
		us = 0;
		if (frame.action == JBUF_PLAY) {
			memcpy(&index, frame.payload, sizeof(index));
			heard_play(heard, index, now_us + kedge->held_us);
			us = stretched_us(kedge, frame.stretch_ts, now_us);
			jbuf_stretched(kedge->jbuf, (int32_t)us);
			heard->stretched_us += (double)llabs(us);
		} else if (frame.action != JBUF_SILENCE) {
			heard_conceal(heard, frame.duration_ts);
		}
		kedge->held_us += frame.duration_ts + us;
	}
	kedge->held_us -= TICK_US;
}

static void kedge_close(void *buffer)
{
	struct kedge *kedge = buffer;

	free(kedge->jbuf);
	free(kedge);
}

const struct buffer kedge_buffer = {
	"kedge", "late_cost_ms", {2, 4, 8, 16, 30, 60, 100, 180}, 5, kedge_open, kedge_push, kedge_tick, kedge_close};

// --- the oracle -----------------------------------------------------------------------------------------------------

// Packets [from, to) at one lag, which a tick allows. Returns: how many come in time.
static uint32_t in_time(const struct line *line, uint32_t from, uint32_t to, int64_t lag_us)
{
	uint32_t count = 0;

	for (uint32_t i = from; i < to; i++)
		count +=
			line->packets[i].came_us >= 0 && line->packets[i].came_us <= line->packets[i].media_us + lag_us;
	return count;
}

void oracle(const struct line *line, double cost_ms, double *delay_ms, double *loss_percent)
{
	uint32_t played = 0, piece = 50, best_count, count;
	double delay_us = 0, cost, least;

	for (uint32_t from = 0, to; from < line->count; from = to) {
		int64_t first_us = line->packets[from].sent_us, best_us = 0;

		to = from + piece < line->count ? from + piece : line->count;
		// a tick's time less the media time, and not before it was sent
		first_us = first_us - line->packets[from].media_us;
		first_us += ((1000000 + line->phase_us - first_us) % TICK_US + TICK_US) % TICK_US;
		least = -1;
		best_count = 0;
		for (int64_t lag_us = first_us; lag_us <= first_us + 500000; lag_us += TICK_US) {
			count = in_time(line, from, to, lag_us);
			cost = (double)(lag_us - first_us) / 1000 + cost_ms * 100 * (to - from - count) / (to - from);
			if (least >= 0 && cost >= least)
				continue;
			least = cost;
			best_us = lag_us;
			best_count = count;
		}
		played += best_count;
		delay_us += (double)best_count *
			    (double)(best_us + line->packets[from].media_us - line->packets[from].sent_us + PTIME_US);
	}
	*delay_ms = played ? delay_us / played / 1000 : 0;
	*loss_percent = 100.0 * (line->count - played) / line->count;
}
