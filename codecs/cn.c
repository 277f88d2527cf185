// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "cn.h"

#define FULL_SCALE 32767.0f
#define STEP_SHARE 0.25f // of the way that is left to the aim, each 2.5 ms
#define STEPS_A_SECOND 400
#define FLOOR 1.0001  // added to the energy: -40 dB of white noise, so that pure tones do not ring
#define CODE_ZERO 127 // of a coefficient; a step is 258 / 32768
#define CODE_STEP (258.0f / 32768)

// --- Analysis -------------------------------------------------------------------------------------------------------

static void autocorrelate(const int16_t *samples, uint32_t count, unsigned order, double *r)
{
	double late[CN_ORDER + 1] = {0}; // the windowed samples before this one, the youngest first

	memset(r, 0, (order + 1) * sizeof(*r));
	for (uint32_t n = 0; n < count; n++) {
		double window = 0.5 - 0.5 * cos(2 * M_PI * (n + 0.5) / count);

		memmove(late + 1, late, CN_ORDER * sizeof(*late));
		late[0] = window * samples[n];
		for (unsigned lag = 0; lag <= order; lag++)
			r[lag] += late[0] * late[lag];
	}
}

// Levinson and Durbin: reflection coefficients of the model that has this autocorrelation.
static void levinson(const double *r, unsigned order, float *reflection)
{
	double a[CN_ORDER + 1] = {1}, error = r[0];

	for (unsigned i = 1; i <= order; i++) {
		double k = 0, before[CN_ORDER + 1];

		for (unsigned j = 0; j < i; j++)
			k -= a[j] * r[i - j];
		k /= error;
		memcpy(before, a, sizeof(before));
		for (unsigned j = 1; j <= i; j++)
			a[j] = before[j] + k * before[i - j];
		error *= 1 - k * k;
		reflection[i - 1] = (float)k;
	}
}

int cn_noise_analyse(struct cn_noise *noise, const int16_t *samples, uint32_t count, unsigned order)
{
	double energy = 0, r[CN_ORDER + 1], level;

	if (order > CN_ORDER || count == 0 || count < 2 * order)
		return -EINVAL;
	memset(noise, 0, sizeof(*noise));
	noise->order = (uint8_t)order;
	for (uint32_t n = 0; n < count; n++)
		energy += (double)samples[n] * samples[n];
	level = -10 * log10(energy / count / (FULL_SCALE * FULL_SCALE) + 1e-20);
	noise->level = (uint8_t)(level < 0 ? 0 : level > CN_LEVEL_LEAST ? CN_LEVEL_LEAST : lrint(level));
	autocorrelate(samples, count, order, r);
	r[0] *= FLOOR;
	if (r[0] > 0)
		levinson(r, order, noise->reflection);
	return 0;
}

// --- Payloads -------------------------------------------------------------------------------------------------------

int cn_noise_parse(struct cn_noise *noise, const uint8_t *payload, size_t bytes)
{
	if (bytes == 0)
		return -EBADMSG;
	memset(noise, 0, sizeof(*noise));
	noise->level = payload[0] & 0x7f;
	noise->order = (uint8_t)(bytes - 1 < CN_ORDER ? bytes - 1 : CN_ORDER);
	for (unsigned i = 0; i < noise->order; i++) { // 255 is no code; it is read as the last one that is
		int code = payload[1 + i] < 255 ? payload[1 + i] : 254;

		noise->reflection[i] = CODE_STEP * (float)(code - CODE_ZERO);
	}
	return 0;
}

int cn_noise_build(const struct cn_noise *noise, uint8_t *payload, size_t room)
{
	if (room < 1u + noise->order)
		return -ENOSPC;
	payload[0] = noise->level;
	for (unsigned i = 0; i < noise->order; i++) {
		long code = lrintf(noise->reflection[i] / CODE_STEP) + CODE_ZERO;

		payload[1 + i] = (uint8_t)(code < 0 ? 0 : code > 254 ? 254 : code);
	}
	return 1 + noise->order;
}

// --- Making noise ---------------------------------------------------------------------------------------------------

// A low-pass at half the clock for each of the outputs between two samples: a sinc under a Hann window.
static void make_taps(struct cn_source *source)
{
	for (uint32_t phase = 0; phase < source->factor; phase++) {
		float sum = 0;

		for (unsigned tap = 0; tap < CN_TAPS; tap++) { // past[0] is the oldest
			float x = (float)tap - CN_TAPS / 2 + 1 - (float)phase / (float)source->factor;
			float sinc = x == 0 ? 1 : sinf((float)M_PI * x) / ((float)M_PI * x);

			source->taps[phase][tap] = sinc * (0.5f + 0.5f * cosf(2 * (float)M_PI * x / (CN_TAPS + 1)));
			sum += source->taps[phase][tap];
		}
		for (unsigned tap = 0; tap < CN_TAPS; tap++)
			source->taps[phase][tap] /= sum;
	}
}

int cn_source_init(struct cn_source *source, uint32_t clock_hz, uint32_t rate_hz, uint64_t seed)
{
	if (clock_hz == 0 || rate_hz % clock_hz != 0 || rate_hz < clock_hz || rate_hz / clock_hz > CN_FACTOR)
		return -EINVAL;
	memset(source, 0, sizeof(*source));
	source->random = seed * 2 + 1; // never zero
	source->factor = rate_hz / clock_hz;
	source->block = clock_hz / STEPS_A_SECOND > 0 ? clock_hz / STEPS_A_SECOND : 1;
	make_taps(source);
	return 0;
}

void cn_source_aim(struct cn_source *source, const struct cn_noise *noise)
{
	memset(source->aim, 0, sizeof(source->aim));
	memcpy(source->aim, noise->reflection, noise->order * sizeof(*source->aim));
	source->rms_aim = noise->level < CN_LEVEL_LEAST ? FULL_SCALE * powf(10, -(float)noise->level / 20) : 0;
	if (source->rms != 0)
		return;
	memcpy(source->reflection, source->aim, sizeof(source->aim));
	source->rms = source->rms_aim;
	source->until_step = 0;
}

// Nearer to the aim. Between two stable sets of reflection coefficients all are stable.
static void step(struct cn_source *source)
{
	float left = 1;

	source->rms += STEP_SHARE * (source->rms_aim - source->rms);
	for (unsigned i = 0; i < CN_ORDER; i++) {
		source->reflection[i] += STEP_SHARE * (source->aim[i] - source->reflection[i]);
		left *= 1 - source->reflection[i] * source->reflection[i];
	}
	source->gain = source->rms * sqrtf(left > 0 ? left : 0);
	source->until_step = source->block;
}

// Four uniform numbers out of one word (xorshift64*), added up: near enough to a bell. Variance 1.
static float excite(struct cn_source *source)
{
	uint64_t word = source->random;
	int32_t sum;

	word ^= word >> 12;
	word ^= word << 25;
	word ^= word >> 27;
	source->random = word;
	word *= 0x2545f4914f6cdd1d;
	sum = (int16_t)word + (int16_t)(word >> 16) + (int16_t)(word >> 32) + (int16_t)(word >> 48);
	return (float)sum * (1.7320508f / 65536);
}

// The lattice: the last coefficient first.
static float next(struct cn_source *source)
{
	float forward;

	if (source->until_step == 0)
		step(source);
	source->until_step--;
	forward = source->gain * excite(source);
	for (unsigned i = CN_ORDER; i-- > 0;) {
		forward -= source->reflection[i] * source->back[i];
		source->back[i + 1] = source->back[i] + source->reflection[i] * forward;
	}
	source->back[0] = forward;
	return forward;
}

static float next_between(struct cn_source *source)
{
	float sum = 0;

	if (source->phase == 0) {
		memmove(source->past, source->past + 1, (CN_TAPS - 1) * sizeof(*source->past));
		source->past[CN_TAPS - 1] = next(source);
	}
	for (unsigned tap = 0; tap < CN_TAPS; tap++)
		sum += source->taps[source->phase][tap] * source->past[tap];
	source->phase = (source->phase + 1) % source->factor;
	return sum;
}

void cn_source_fill(struct cn_source *source, int16_t *out, uint32_t samples)
{
	for (uint32_t n = 0; n < samples; n++) {
		float sample = source->factor == 1 ? next(source) : next_between(source);

		out[n] = (int16_t)lrintf(sample > 32767 ? 32767 : sample < -32768 ? -32768 : sample);
	}
}
