// SPDX-License-Identifier: BSD-3-Clause
// Loss against delay of jitter buffers, on simulated lines. One JSON object a line of output: for each line, buffer and
// value of its knob, the mean of all seeds.
//
// Loss is what was impaired of what was sent: between two packets that were played, the greater of what is missing
// between them and what was made up there, so that neither stopping the clock nor leaving out is for nothing. Delay is
// mouth to ear: the packet's own 20 ms, the line, the buffer. R is G.107's, for G.711 with concealment.
//
//	bench_jitter [-t] [-m MINUTES] [-n SEEDS] [-l LINE] [-b BUFFER]    -t: the tuning lines and seeds

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jitter.h"

#define JUDGING_SEEDS 1000 // and on; tuning has those from 0

static const struct buffer *const buffers[] = {
	&kedge_buffer, &fixed_buffer, &speex_buffer, &spandsp_buffer, &asterisk_buffer, &neteq_buffer};

struct outcome {
	double delay_ms, loss_percent, stretched_percent, r;
};

int64_t pitch_us(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return 4000 + (int64_t)((uint64_t)*state * 6000 >> 32);
}

void heard_conceal(struct heard *heard, int64_t us)
{
	heard->concealed_us += us;
}

void heard_play(struct heard *heard, uint32_t index, int64_t at_us)
{
	const struct line_packet *packet = &heard->line->packets[index], *last;
	int64_t missing_us, pause_us;

	if (heard->last >= 0 && index <= heard->last)
		return; // out of order: of no use
	if (heard->last >= 0) {
		last = &heard->line->packets[heard->last];
		missing_us = (index - heard->last - 1) * PTIME_US;
		pause_us = packet->media_us - last->media_us - PTIME_US - missing_us;
		heard->impaired_us +=
			pause_us > 0 || missing_us > heard->concealed_us ? missing_us : heard->concealed_us;
	}
	heard->concealed_us = 0;
	heard->last = index;
	heard->delay_us += (double)(at_us - packet->sent_us) + PTIME_US;
	heard->played++;
}

static double r_factor(double delay_ms, double loss_percent)
{
	double over_ms = delay_ms - 177.3, delay = 0.024 * delay_ms + (over_ms > 0 ? 0.11 * over_ms : 0);

	return 93.2 - delay - 95 * loss_percent / (loss_percent + 25.1);
}

static struct outcome simulate(const struct line *line, const struct buffer *buffer, double knob)
{
	struct heard heard = {.line = line, .last = -1};
	int64_t end_us = line->packets[line->count - 1].sent_us + 500000;
	void *state = buffer->open(knob);
	struct outcome outcome;
	uint32_t next = 0;

	for (int64_t now_us = 1000000 + line->phase_us; now_us < end_us; now_us += TICK_US) {
		for (; next < line->arrived && line->packets[line->arrivals[next]].came_us <= now_us; next++)
			buffer->push(state, line->arrivals[next], &line->packets[line->arrivals[next]]);
		buffer->tick(state, now_us, &heard);
	}
	buffer->close(state);
	outcome.delay_ms = heard.played ? heard.delay_us / heard.played / 1000 : 0;
	outcome.loss_percent = 100 * heard.impaired_us / ((double)line->count * PTIME_US);
	outcome.stretched_percent = 100 * heard.stretched_us / ((double)line->count * PTIME_US);
	outcome.r = r_factor(outcome.delay_ms, outcome.loss_percent);
	return outcome;
}

static void add(struct outcome *sum, const struct outcome *one, double share)
{
	sum->delay_ms += one->delay_ms * share;
	sum->loss_percent += one->loss_percent * share;
	sum->stretched_percent += one->stretched_percent * share;
	sum->r += one->r * share;
}

static void print(
	const char *system, unsigned which, const char *knob, double value, bool usual, const struct outcome *mean)
{
	printf("{\"system\": \"%s\", \"case\": \"%s\", \"knob\": \"%s\", \"value\": %g, \"usual\": %s, \"delay_ms\": "
	       "%.2f, "
	       "\"loss_percent\": %.4f, \"r\": %.2f, \"stretched_percent\": %.2f}\n",
		system, line_names[which], knob, value, usual ? "true" : "false", mean->delay_ms, mean->loss_percent,
		mean->r, mean->stretched_percent);
	fflush(stdout);
}

static void run_buffer(const struct line *lines, unsigned seeds, unsigned which, const struct buffer *buffer)
{
	for (int k = 0; k < KNOBS && (k == 0 || buffer->knobs[k] != 0); k++) {
		struct outcome mean = {0}, one;

		for (unsigned seed = 0; seed < seeds; seed++) {
			one = simulate(&lines[seed], buffer, buffer->knobs[k]);
			add(&mean, &one, 1.0 / seeds);
		}
		print(buffer->system, which, buffer->knob, buffer->knobs[k], k == buffer->usual, &mean);
	}
}

static void run_oracle(const struct line *lines, unsigned seeds, unsigned which)
{
	static const double costs_ms[] = {0.5, 1, 2, 4, 8, 16, 50, 150};

	for (unsigned k = 0; k < sizeof(costs_ms) / sizeof(*costs_ms); k++) {
		struct outcome mean = {0}, one = {0};

		for (unsigned seed = 0; seed < seeds; seed++) {
			oracle(&lines[seed], costs_ms[k], &one.delay_ms, &one.loss_percent);
			one.r = r_factor(one.delay_ms, one.loss_percent);
			add(&mean, &one, 1.0 / seeds);
		}
		print("oracle", which, "late_cost_ms", costs_ms[k], false, &mean);
	}
}

int main(int argc, char **argv)
{
	unsigned minutes = 5, seeds = 10;
	const char *only_line = NULL, *only_buffer = NULL;
	bool judged = true;
	struct line *lines;

	for (int option; (option = getopt(argc, argv, "tm:n:l:b:")) != -1;) {
		switch (option) {
		case 't':
			judged = false;
			break;
		case 'm':
			minutes = (unsigned)atoi(optarg);
			break;
		case 'n':
			seeds = (unsigned)atoi(optarg);
			break;
		case 'l':
			only_line = optarg;
			break;
		case 'b':
			only_buffer = optarg;
			break;
		default:
			return 2;
		}
	}
	if (minutes == 0 || seeds == 0)
		return 2;
	lines = calloc(seeds, sizeof(*lines));
	for (unsigned which = 0; line_names[which]; which++) {
		if (only_line && strcmp(only_line, line_names[which]) != 0)
			continue;
		for (unsigned seed = 0; seed < seeds; seed++)
			line_make(&lines[seed], which, judged, seed + (judged ? JUDGING_SEEDS : 0), minutes);
		for (unsigned b = 0; b < sizeof(buffers) / sizeof(*buffers); b++)
			if (!only_buffer || strcmp(only_buffer, buffers[b]->system) == 0)
				run_buffer(lines, seeds, which, buffers[b]);
		if (!only_buffer || strcmp(only_buffer, "oracle") == 0)
			run_oracle(lines, seeds, which);
		for (unsigned seed = 0; seed < seeds; seed++)
			line_free(&lines[seed]);
	}
	free(lines);
	return 0;
}
