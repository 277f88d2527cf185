// SPDX-License-Identifier: BSD-3-Clause
// Jitter buffers on simulated lines: what the parts of bench/jitter.c share. Nothing is decoded: a packet is when it
// was sent, when it came and what it would hold. All consumers take 20 ms at ticks of 20 ms, at the same phase.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PTIME_US 20000
#define TICK_US 20000
#define KNOBS 8

struct line_packet {
	int64_t sent_us, came_us; // came_us < 0: never
	int64_t media_us;         // what its timestamp says
};

struct line {
	struct line_packet *packets;
	uint32_t *arrivals; // indices, in the order they came
	uint32_t count, arrived;
	int64_t phase_us; // of the ticks
};

// Make the line of that name; `judged` lines have other parameters than those that are for tuning.
void line_make(struct line *line, unsigned which, bool judged, uint32_t seed, unsigned minutes);
void line_free(struct line *line);
extern const char *const line_names[]; // NULL at the end

// What a listener gets: each buffer tells it here.
struct heard {
	const struct line *line;
	int64_t last;                               // index of the packet played last, -1: none
	int64_t concealed_us;                       // since then
	double impaired_us, delay_us, stretched_us; // sums
	uint32_t played;
};

// A packet's first sample is played then.
void heard_play(struct heard *heard, uint32_t index, int64_t at_us);

// So much was made up.
void heard_conceal(struct heard *heard, int64_t us);

// A pitch period for the time-scales of all that have one: 4 to 10 ms, an even chance for each.
int64_t pitch_us(uint32_t *state);

struct buffer {
	const char *system, *knob;
	double knobs[KNOBS];
	int usual; // which of them is the default
	void *(*open)(double knob);
	void (*push)(void *buffer, uint32_t index, const struct line_packet *packet);
	void (*tick)(void *buffer, int64_t now_us, struct heard *heard);
	void (*close)(void *buffer);
};

extern const struct buffer kedge_buffer, fixed_buffer, speex_buffer, spandsp_buffer, asterisk_buffer, neteq_buffer;

// The best that could be had by one who knows each second beforehand and changes delay between seconds for nothing:
// delay and loss at that price of a percent.
void oracle(const struct line *line, double cost_ms, double *delay_ms, double *loss_percent);
