// SPDX-License-Identifier: BSD-3-Clause

#include "resample.h"
#include "resample_kernel.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool rate_known(uint32_t hz)
{
	static const uint32_t rates_hz[] = {8000, 12000, 16000, 24000, 32000, 44100, 48000};

	for (size_t i = 0; i < sizeof(rates_hz) / sizeof(*rates_hz); i++)
		if (rates_hz[i] == hz)
			return true;
	return false;
}

int resample_init(struct resample *resample, uint32_t in_hz, uint32_t out_hz)
{
	const struct resample_ratio *ratio = resample_ratios;

	if (!rate_known(in_hz) || !rate_known(out_hz))
		return -EINVAL;
	while (ratio->up != 0 && ratio->up * in_hz != ratio->down * out_hz)
		ratio++;
	if (ratio->up == 0)
		return -EINVAL;
	resample->ratio = ratio;
	resample->kernel = resample_kernel_choose();
	resample_reset(resample);
	return 0;
}

void resample_reset(struct resample *resample)
{
	resample->phase = 0;
	resample->have = resample->ratio->taps ? resample->ratio->taps - 1 : 0;
	memset(resample->kept, 0, sizeof(resample->kept));
}

uint32_t resample_delay_samples(const struct resample *resample)
{
	return resample->ratio->taps / 2;
}

uint64_t resample_out_samples(const struct resample *resample, uint32_t n)
{
	const struct resample_ratio *ratio = resample->ratio;
	uint64_t samples = (uint64_t)resample->have + n, places;

	if (ratio->taps == 0)
		return n;
	if (samples < ratio->taps)
		return 0;
	places = (samples - ratio->taps + 1) * ratio->up; // where an output's window may begin
	return places > resample->phase ? (places - resample->phase + ratio->down - 1) / ratio->down : 0;
}

// Returns: samples written, of at most RESAMPLE_CHUNK taken in.
static uint32_t chunk_process(struct resample *resample, const int16_t *in, uint32_t n, int16_t *out)
{
	const struct resample_ratio *ratio = resample->ratio;
	uint32_t count = (uint32_t)resample_out_samples(resample, n), place, gone;

	memcpy(resample->kept + resample->have, in, n * sizeof(*in));
	resample->have += n;
	resample->kernel->run(ratio, resample->kept, resample->phase, count, out);
	place = resample->phase + count * ratio->down;
	gone = place / ratio->up;
	resample->phase = place % ratio->up;
	resample->have -= gone;
	memmove(resample->kept, resample->kept + gone, resample->have * sizeof(*in));
	return count;
}

int resample_process(struct resample *resample, const int16_t *in, uint32_t n, int16_t *out, uint32_t room)
{
	uint64_t count = resample_out_samples(resample, n);

	if (count > room || count > INT32_MAX)
		return -ENOSPC;
	if (resample->ratio->taps == 0) {
		if (n > 0)
			memcpy(out, in, n * sizeof(*in));
		return (int)n;
	}
	while (n > 0) {
		uint32_t taken = n < RESAMPLE_CHUNK ? n : RESAMPLE_CHUNK;

		out += chunk_process(resample, in, taken, out);
		in += taken;
		n -= taken;
	}
	return (int)count;
}
