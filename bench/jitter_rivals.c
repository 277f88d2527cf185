// SPDX-License-Identifier: BSD-3-Clause
// Libraries that people use, themselves: libspeexdsp's jitter_buffer, spandsp's playout; and a buffer of fixed delay.

#include <stdlib.h>
#include <string.h>

#include <spandsp.h>
#include <speex/speex_jitter.h>

#include "jitter.h"

#define UNITS(us) ((int)((us) / 125)) // of 8 kHz

// --- fixed: so long after the first packet, whatever happens ---------------------------------------------------------

struct fixed {
	int64_t lag_us, next_us; // next_us: media time of what the next tick plays
	bool started;
	uint32_t count, held[64]; // what came and was not played: index + 1, by index
	int64_t media_us[64];
	double delay_ms;
};

static void *fixed_open(double knob)
{
	struct fixed *fixed = calloc(1, sizeof(*fixed));

	fixed->delay_ms = knob;
	return fixed;
}

static void fixed_push(void *buffer, uint32_t index, const struct line_packet *packet)
{
	struct fixed *fixed = buffer;

	if (!fixed->started)
		fixed->lag_us = packet->came_us - packet->media_us + (int64_t)(fixed->delay_ms * 1000);
	fixed->started = true;
	fixed->held[index % 64] = index + 1;
	fixed->media_us[index % 64] = packet->media_us;
}

static void fixed_tick(void *buffer, int64_t now_us, struct heard *heard)
{
	struct fixed *fixed = buffer;

	if (!fixed->started)
		return;
	for (int i = 0; i < 64; i++) {
		int64_t ago_us = now_us - fixed->lag_us - fixed->media_us[i];

		if (!fixed->held[i] || ago_us < 0)
			continue;
		if (ago_us < TICK_US) {
			heard_play(heard, fixed->held[i] - 1, now_us);
			fixed->held[i] = 0;
			return;
		}
		fixed->held[i] = 0; // too late
	}
	heard_conceal(heard, TICK_US);
}

const struct buffer fixed_buffer = {
	"fixed", "delay_ms", {10, 20, 40, 60, 80, 120, 160, 240}, 3, fixed_open, fixed_push, fixed_tick, free};

// --- libspeexdsp ----------------------------------------------------------------------------------------------------

static void *speex_open(double knob)
{
	JitterBuffer *jitter = jitter_buffer_init(UNITS(TICK_US));
	spx_int32_t margin = (spx_int32_t)(knob * 8);

	jitter_buffer_ctl(jitter, JITTER_BUFFER_SET_MARGIN, &margin);
	return jitter;
}

static void speex_push(void *buffer, uint32_t index, const struct line_packet *packet)
{
	JitterBufferPacket in = {.data = (char *)&index,
		.len = sizeof(index),
		.timestamp = (uint32_t)UNITS(packet->media_us),
		.span = UNITS(PTIME_US),
		.sequence = (uint16_t)index};

	jitter_buffer_put(buffer, &in);
}

static void speex_tick(void *buffer, int64_t now_us, struct heard *heard)
{
	uint32_t index;
	JitterBufferPacket out = {.data = (char *)&index, .len = sizeof(index)};
	spx_int32_t offset = 0;

	if (jitter_buffer_get(buffer, &out, UNITS(TICK_US), &offset) == JITTER_BUFFER_OK)
		heard_play(heard, index, now_us + offset * 125);
	else
		heard_conceal(heard, TICK_US);
	jitter_buffer_tick(buffer);
}

static void speex_close(void *buffer)
{
	jitter_buffer_destroy(buffer);
}

const struct buffer speex_buffer = {
	"speexdsp", "margin_ms", {0, 10, 20, 30, 40, 60, 80, 120}, 0, speex_open, speex_push, speex_tick, speex_close};

// --- spandsp --------------------------------------------------------------------------------------------------------

static void *spandsp_open(double knob)
{
	playout_state_t *playout = playout_init(UNITS(TICK_US), UNITS(400000));

	playout->dropable_threshold = (int)(0x10000000 / 100 * knob);
	return playout;
}

static void spandsp_push(void *buffer, uint32_t index, const struct line_packet *packet)
{
	// Times in both are near each other at first: it has one sample of clock.
	playout_put(buffer, (void *)(uintptr_t)(index + 1), PLAYOUT_TYPE_SPEECH, UNITS(PTIME_US),
		UNITS(packet->media_us), UNITS(packet->came_us));
}

static void spandsp_tick(void *buffer, int64_t now_us, struct heard *heard)
{
	playout_frame_t frame;
	int got = PLAYOUT_DROP;

	for (int i = 0; i < 64 && got == PLAYOUT_DROP; i++)
		got = playout_get(buffer, &frame, UNITS(now_us));
	if (got == PLAYOUT_OK)
		heard_play(heard, (uint32_t)(uintptr_t)frame.data - 1, now_us);
	else
		heard_conceal(heard, TICK_US);
}

static void spandsp_close(void *buffer)
{
	playout_free(buffer);
}

const struct buffer spandsp_buffer = {"spandsp", "late_percent", {0.1, 0.3, 0.5, 1, 2, 4, 8, 16}, 3, spandsp_open,
	spandsp_push, spandsp_tick, spandsp_close};
