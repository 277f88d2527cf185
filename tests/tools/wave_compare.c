// SPDX-License-Identifier: BSD-3-Clause
// wave_compare SAID HEARD RATE: what became of speech (16 bits, little-endian, both at RATE) on its way. Prints one
// line of JSON: lag_ms of the first segment, drift_ms from there to the last, level_db, distance_db (log-spectral, 200
// to 3,400 Hz, mean over windows of 32 ms in which somebody speaks), gaps (of 20 ms: spoken there, silent here),
// seconds compared. What was heard is aligned anew every 200 ms, as a jitter buffer may stretch it.

#include <complex.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define SPOKEN_DB 35 // below the loudest window: that is speech
#define FLOOR_DB 45  // below the loudest window: what is softer in a band is not heard
#define GAP_DB 25

struct wave {
	double *at;
	long count;
};

static struct wave wave_read(const char *path)
{
	struct wave wave = {NULL, 0};
	FILE *file = fopen(path, "rb");
	int16_t sample;

	if (!file) {
		perror(path);
		exit(1);
	}
	fseek(file, 0, SEEK_END);
	wave.at = calloc((size_t)ftell(file) / 2 + 1, sizeof(double));
	rewind(file);
	while (fread(&sample, 2, 1, file) == 1)
		wave.at[wave.count++] = sample;
	fclose(file);
	return wave;
}

static double sample_at(const struct wave *wave, long n)
{
	return n >= 0 && n < wave->count ? wave->at[n] : 0;
}

static void fft(double complex *x, long n, int sign)
{
	for (long i = 1, j = 0; i < n; i++) {
		long bit = n >> 1;

		for (; j & bit; bit >>= 1)
			j ^= bit;
		j ^= bit;
		if (i < j) {
			double complex swap = x[i];

			x[i] = x[j];
			x[j] = swap;
		}
	}
	for (long size = 2; size <= n; size *= 2) {
		double complex step = cexp(sign * 2 * M_PI * I / (double)size);

		for (long begin = 0; begin < n; begin += size) {
			double complex turn = 1;

			for (long k = begin; k < begin + size / 2; k++, turn *= step) {
				double complex odd = turn * x[k + size / 2];

				x[k + size / 2] = x[k] - odd;
				x[k] += odd;
			}
		}
	}
}

// How many samples later it was heard, over all of it.
static long lag_of(const struct wave *said, const struct wave *heard)
{
	long n = 1, best = 0;
	double complex *a, *b;

	while (n < said->count + heard->count)
		n *= 2;
	a = calloc((size_t)n, sizeof(*a));
	b = calloc((size_t)n, sizeof(*b));
	for (long i = 0; i < said->count; i++)
		a[i] = said->at[i];
	for (long i = 0; i < heard->count; i++)
		b[i] = heard->at[i];
	fft(a, n, -1);
	fft(b, n, -1);
	for (long i = 0; i < n; i++)
		a[i] = conj(a[i]) * b[i];
	fft(a, n, 1);
	for (long i = 1; i < n; i++)
		if (creal(a[i]) > creal(a[best]))
			best = i;
	free(a);
	free(b);
	return best < n / 2 ? best : best - n;
}

static double energy(const struct wave *wave, long from, long count)
{
	double sum = 1;

	for (long i = from; i < from + count; i++)
		sum += sample_at(wave, i) * sample_at(wave, i);
	return sum;
}

static long lag_near(const struct wave *said, const struct wave *heard, long from, long count, long lag, long reach)
{
	double best_score = -2;
	long best = lag;

	for (long by = -reach; by <= reach; by++) {
		double cross = 0, score;

		for (long i = from; i < from + count; i++)
			cross += sample_at(said, i) * sample_at(heard, i + lag + by);
		score = cross / sqrt(energy(said, from, count) * energy(heard, from + lag + by, count)) -
			fabs((double)by) * 1e-6;
		if (score > best_score) {
			best_score = score;
			best = lag + by;
		}
	}
	return best;
}

static void spectrum(const struct wave *wave, long from, long count, double complex *out)
{
	for (long i = 0; i < count; i++)
		out[i] = sample_at(wave, from + i) * (0.5 - 0.5 * cos(2 * M_PI * (double)i / (double)count));
	fft(out, count, -1);
}

static double distance_db(
	const struct wave *said, const struct wave *heard, long from, long lag, long rate, double floor)
{
	enum { WINDOW_MAX = 2048 };
	static double complex a[WINDOW_MAX], b[WINDOW_MAX];
	long window = 256 * rate / 8000, n = 0;
	double sum = 0;

	spectrum(said, from, window, a);
	spectrum(heard, from + lag, window, b);
	for (long i = 200 * window / rate; i <= 3400 * window / rate; i++, n++) {
		double pa = creal(a[i] * conj(a[i])) + floor, pb = creal(b[i] * conj(b[i])) + floor;
		double d = 10 * log10(pa / pb);

		sum += d * d;
	}
	return sqrt(sum / (double)n);
}

int main(int argc, char **argv)
{
	long rate = argc == 4 ? atol(argv[3]) : 0, window, segment, first, lag, windows = 0, gaps = 0;
	struct wave said, heard;
	double loudest = 0, level_said = 1, level_heard = 1, distance = 0, floor;

	if (rate != 8000 && rate != 16000) {
		fprintf(stderr, "usage: wave_compare SAID HEARD 8000|16000\n");
		return 2;
	}
	said = wave_read(argv[1]);
	heard = wave_read(argv[2]);
	window = 256 * rate / 8000;
	segment = rate / 5;
	for (long at = 0; at + window <= said.count; at += window / 2)
		loudest = fmax(loudest, energy(&said, at, window));
	floor = loudest * pow(10, -FLOOR_DB / 10.0);
	first = lag = lag_of(&said, &heard);
	for (long at = segment; at + 2 * segment <= said.count && at + lag + 2 * segment <= heard.count;
		at += segment) {
		if (energy(&said, at, segment) > loudest * pow(10, -GAP_DB / 10.0))
			lag = lag_near(&said, &heard, at, segment, lag, rate / 50);
		for (long in = at; in < at + segment; in += window / 2) {
			if (energy(&said, in, window) < loudest * pow(10, -SPOKEN_DB / 10.0))
				continue;
			distance += distance_db(&said, &heard, in, lag, rate, floor);
			windows++;
		}
		level_said += energy(&said, at, segment);
		level_heard += energy(&heard, at + lag, segment);
		for (long in = at; in < at + segment; in += rate / 50)
			gaps += energy(&said, in, rate / 50) > loudest * pow(10, -GAP_DB / 10.0) &&
				energy(&heard, in + lag, rate / 50) <
					energy(&said, in, rate / 50) * pow(10, -GAP_DB / 10.0);
	}
	printf("{\"lag_ms\": %.2f, \"drift_ms\": %.2f, \"level_db\": %.3f, \"distance_db\": %.3f, \"gaps\": %ld, "
	       "\"seconds\": %.2f}\n",
		1000.0 * (double)first / (double)rate, 1000.0 * (double)(lag - first) / (double)rate,
		10 * log10(level_heard / level_said), windows ? distance / (double)windows : -1, gaps,
		(double)windows * (double)window / 2 / (double)rate);
	free(said.at);
	free(heard.at);
	return 0;
}
