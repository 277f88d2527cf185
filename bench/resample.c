// SPDX-License-Identifier: BSD-3-Clause
// What a frame of 20 ms costs to resample, to code by G.711 and to mix: every kernel of this machine, and beside them
// speexdsp and spandsp. A line of JSON for each.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <spandsp.h>
#include <speex/speex_resampler.h>

#include "g711_kernel.h"
#include "level.h"
#include "mix.h"
#include "resample.h"
#include "resample_kernel.h"

#define TIMES 101     // a median and a best of so many,
#define TARGET_US 300 // each about so long, everybody's in turn: a neighbour's load meets all alike
#define CONTESTANTS 8
#define SAMPLES 160 // of a G.711 frame

// Somebody who does what the others do.
struct contestant {
	char system[32];
	void (*frame)(void *);
	void *arg;
	unsigned count; // frames in a run
	double runs_us[TIMES];
};

static struct contestant contestants[CONTESTANTS];
static unsigned contestant_count;
static int16_t samples[960], out[960];
static uint8_t codes[960], other_codes[960];

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static int by_value(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return a < b ? -1 : a > b;
}

static double run_us(void (*frame)(void *), void *arg, unsigned count)
{
	double began = now_us();

	for (unsigned i = 0; i < count; i++)
		frame(arg);
	return (now_us() - began) / count;
}

static void contestant_add(const char *who, const char *which, void (*frame)(void *), void *arg)
{
	struct contestant *contestant = &contestants[contestant_count++];

	snprintf(contestant->system, sizeof(contestant->system), "%s%s", who, which);
	contestant->frame = frame;
	contestant->arg = arg;
	contestant->count = 1 + (unsigned)(TARGET_US / run_us(frame, arg, 20));
}

static void contest(const char *what)
{
	for (int i = 0; i < TIMES; i++)
		for (struct contestant *at = contestants; at < contestants + contestant_count; at++)
			at->runs_us[i] = run_us(at->frame, at->arg, at->count);
	for (struct contestant *at = contestants; at < contestants + contestant_count; at++) {
		qsort(at->runs_us, TIMES, sizeof(*at->runs_us), by_value);
		printf("{\"system\": \"%s\", \"case\": \"%s\", \"us_per_frame\": %.4f, \"best_us_per_frame\": "
		       "%.4f}\n",
			at->system, what, at->runs_us[TIMES / 2], at->runs_us[0]);
	}
	contestant_count = 0;
}

// --- sample rates ---------------------------------------------------------------------------------------------------

struct rates {
	uint32_t in_hz, out_hz;
	struct resample ours[RESAMPLE_KERNELS];
	SpeexResamplerState *theirs[2];
};

struct one {
	const struct rates *rates;
	struct resample *ours;
	SpeexResamplerState *theirs;
};

static void resample_frame(void *arg)
{
	struct one *one = arg;

	resample_process(one->ours, samples, one->rates->in_hz / 50, out, one->rates->out_hz / 50);
}

static void speexdsp_frame(void *arg)
{
	struct one *one = arg;
	spx_uint32_t n = one->rates->in_hz / 50, room = one->rates->out_hz / 50;

	speex_resampler_process_int(one->theirs, 0, samples, &n, out, &room);
}

static void rates_contest(uint32_t in_hz, uint32_t out_hz)
{
	const struct resample_kernel *kernels[RESAMPLE_KERNELS];
	size_t count = resample_kernel_list(kernels);
	struct rates rates = {.in_hz = in_hz, .out_hz = out_hz};
	struct one ours[RESAMPLE_KERNELS], theirs[2];
	char what[64];

	for (size_t i = 0; i < count; i++) {
		if (resample_init(&rates.ours[i], in_hz, out_hz) < 0)
			exit(1);
		rates.ours[i].kernel = kernels[i];
		ours[i] = (struct one){.rates = &rates, .ours = &rates.ours[i]};
		contestant_add("kedge ", kernels[i]->name, resample_frame, &ours[i]);
	}
	for (int i = 0; i < 2; i++) {
		rates.theirs[i] = speex_resampler_init(1, in_hz, out_hz, i == 0 ? 3 : 5, NULL);
		if (rates.theirs[i] == NULL)
			exit(1);
		theirs[i] = (struct one){.rates = &rates, .theirs = rates.theirs[i]};
		contestant_add("speexdsp ", i == 0 ? "q3" : "q5", speexdsp_frame, &theirs[i]);
	}
	snprintf(what, sizeof(what), "%.3g to %.3g kHz", in_hz / 1e3, out_hz / 1e3);
	contest(what);
	for (int i = 0; i < 2; i++)
		speex_resampler_destroy(rates.theirs[i]);
}

// --- G.711 ----------------------------------------------------------------------------------------------------------

static void ulaw_encode_frame(void *kernel)
{
	((const struct g711_kernel *)kernel)->ulaw_encode(samples, codes, SAMPLES);
}

static void ulaw_decode_frame(void *kernel)
{
	((const struct g711_kernel *)kernel)->ulaw_decode(codes, out, SAMPLES);
}

static void alaw_encode_frame(void *kernel)
{
	((const struct g711_kernel *)kernel)->alaw_encode(samples, codes, SAMPLES);
}

static void alaw_decode_frame(void *kernel)
{
	((const struct g711_kernel *)kernel)->alaw_decode(codes, out, SAMPLES);
}

static void ulaw_to_alaw_frame(void *kernel)
{
	((const struct g711_kernel *)kernel)->ulaw_to_alaw(codes, other_codes, SAMPLES);
}

static void spandsp_encode_frame(void *state)
{
	g711_encode(state, codes, samples, SAMPLES);
}

static void spandsp_decode_frame(void *state)
{
	g711_decode(state, out, codes, SAMPLES);
}

static void spandsp_transcode_frame(void *state)
{
	g711_transcode(state, other_codes, codes, SAMPLES);
}

static void g711_contest(void)
{
	static const struct {
		const char *what;
		void (*ours)(void *), (*theirs)(void *);
		int mode;
	} cases[] = {
		{"PCMU encode", ulaw_encode_frame, spandsp_encode_frame, G711_ULAW},
		{"PCMU decode", ulaw_decode_frame, spandsp_decode_frame, G711_ULAW},
		{"PCMA encode", alaw_encode_frame, spandsp_encode_frame, G711_ALAW},
		{"PCMA decode", alaw_decode_frame, spandsp_decode_frame, G711_ALAW},
		{"PCMU to PCMA", ulaw_to_alaw_frame, spandsp_transcode_frame, G711_ULAW},
	};
	const struct g711_kernel *kernels[G711_KERNELS];
	size_t count = g711_kernel_list(kernels);

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		g711_state_t *state = g711_init(NULL, cases[i].mode);

		if (state == NULL)
			exit(1);
		for (size_t kernel = 0; kernel < count; kernel++)
			contestant_add(
				"kedge ", kernels[kernel]->name, cases[i].ours, (void *)(uintptr_t)kernels[kernel]);
		contestant_add("spandsp", "", cases[i].theirs, state);
		contest(cases[i].what);
		g711_free(state);
	}
}

// --- rooms ----------------------------------------------------------------------------------------------------------

static void mix_frame(void *arg)
{
	const struct mix_kernel *kernel = arg;
	int32_t sum[SAMPLES] = {0};

	for (int party = 0; party < 3; party++)
		kernel->add(sum, samples + party * SAMPLES, SAMPLES);
	for (int party = 0; party < 3; party++)
		kernel->minus(sum, samples + party * SAMPLES, out + party * SAMPLES, SAMPLES);
}

static void gain_frame(void *arg)
{
	((const struct mix_kernel *)arg)->gain(out, SAMPLES, MIX_UNITY_Q11 + 1);
}

static void level_frame(void *arg)
{
	out[0] = level_rms(((const struct mix_kernel *)arg)->energy(samples, SAMPLES), SAMPLES);
}

static void rooms_contest(void)
{
	static const struct {
		const char *what;
		void (*frame)(void *);
	} cases[] = {{"3 parties mixed", mix_frame}, {"gain", gain_frame}, {"level", level_frame}};
	const struct mix_kernel *kernels[MIX_KERNELS];
	size_t count = mix_kernel_list(kernels);

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (size_t kernel = 0; kernel < count; kernel++)
			contestant_add(
				"kedge ", kernels[kernel]->name, cases[i].frame, (void *)(uintptr_t)kernels[kernel]);
		contest(cases[i].what);
	}
}

int main(void)
{
	static const uint32_t pairs_hz[][2] = {{8000, 16000}, {16000, 8000}, {8000, 24000}, {24000, 8000},
		{8000, 32000}, {32000, 8000}, {8000, 48000}, {48000, 8000}, {16000, 48000}, {48000, 16000},
		{8000, 12000}, {12000, 8000}, {44100, 8000}};

	srand(1);
	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		samples[i] = (int16_t)(rand() % 24000 - 12000);
		codes[i] = (uint8_t)rand();
	}
	for (size_t i = 0; i < sizeof(pairs_hz) / sizeof(*pairs_hz); i++)
		rates_contest(pairs_hz[i][0], pairs_hz[i][1]);
	g711_contest();
	rooms_contest();
	return 0;
}
