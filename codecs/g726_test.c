// SPDX-License-Identifier: BSD-3-Clause
// G.726 against its own computational details (section 4 of the Recommendation), block by block and under their names:
// a decoder that shares nothing with spandsp's.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "codec_rig.h"

enum { SECOND = 8000 };

struct rate {
	unsigned bits;
	const int *dqln, *w, *f; // by the code's magnitude
};

static const struct rate rates[] = {
	{2, (int[]){116, 365}, (int[]){-22, 439}, (int[]){0, 7}},
	{3, (int[]){-2048, 135, 273, 373}, (int[]){-4, 30, 137, 582}, (int[]){0, 1, 2, 7}},
	{4, (int[]){-2048, 4, 135, 213, 273, 323, 373, 425}, (int[]){-12, 18, 41, 64, 112, 198, 355, 1122},
		(int[]){0, 0, 0, 1, 1, 1, 3, 7}},
	{5, (int[]){-2048, -66, 28, 104, 169, 224, 274, 318, 358, 395, 429, 459, 488, 514, 539, 566},
		(int[]){14, 14, 24, 39, 40, 41, 58, 100, 141, 179, 219, 280, 358, 440, 529, 696},
		(int[]){0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 6}},
};

struct number { // the format of FLOATA and FLOATB
	int sign, exponent, mantissa;
};

struct oracle {
	const struct rate *rate;
	int yu, yl, dms, dml, ap, td, a[2], b[6], pk[2];
	struct number dq[6], sr[2];
};

static struct number to_float(int value)
{
	int magnitude = abs(value), exponent = 0;

	while (magnitude >> exponent)
		exponent++;
	return (struct number){value < 0, exponent, magnitude ? magnitude << 6 >> exponent : 32};
}

static int fmult(int coefficient, struct number by)
{
	struct number a = to_float(coefficient >> 2);
	int exponent = a.exponent + by.exponent, mantissa = (a.mantissa * by.mantissa + 48) >> 4;
	int magnitude = exponent <= 26 ? mantissa << 7 >> (26 - exponent) : (mantissa << 7 << (exponent - 26)) & 32767;

	return a.sign ^ by.sign ? -magnitude : magnitude;
}

static int clip(int value, int limit)
{
	return value > limit ? limit : value < -limit ? -limit : value;
}

static int mix(const struct oracle *o) // LIMA, MIX
{
	int al = o->ap >= 256 ? 64 : o->ap >> 2, difference = o->yu - (o->yl >> 6);
	int product = abs(difference) * al >> 6;

	return (o->yl >> 6) + (difference < 0 ? -product : product);
}

static void adapt_speed(struct oracle *o, int y, int f, bool tr, bool tdp) // FILTA to C, SUBTC, TRIGA
{
	bool ax;

	o->dms += (f * 512 - o->dms) >> 5;
	o->dml += (f * 2048 - o->dml) >> 7;
	ax = y < 1536 || abs(o->dms * 4 - o->dml) >= o->dml >> 3 || tdp;
	o->ap = tr ? 256 : o->ap + (((ax ? 512 : 0) - o->ap) >> 4);
}

static void adapt_poles(struct oracle *o, int dqsez) // ADDC, UPA2, LIMC, UPA1, LIMD
{
	int pk0 = dqsez < 0, pks1 = pk0 ^ o->pk[0], pks2 = pk0 ^ o->pk[1];
	int fa1 = clip(o->a[0], 8191) * 4, gain = (pks2 ? -16384 : 16384) + (pks1 ? fa1 : -fa1);

	o->a[1] = clip(o->a[1] + (dqsez ? gain >> 7 : 0) - (o->a[1] >> 7), 12288);
	o->a[0] = clip(o->a[0] + (dqsez ? pks1 ? -192 : 192 : 0) - (o->a[0] >> 8), 15360 - o->a[1]);
	o->pk[1] = o->pk[0];
	o->pk[0] = pk0;
}

static void adapt_zeros(struct oracle *o, int dq) // XOR, UPB
{
	for (unsigned i = 0; i < 6; i++) {
		int sign = (dq < 0) ^ o->dq[i].sign ? -1 : 1;

		o->b[i] += (dq ? sign * 128 : 0) - (o->b[i] >> (o->rate->bits == 5 ? 9 : 8));
	}
}

static int16_t decode_one(struct oracle *o, unsigned code)
{
	unsigned top = 1u << (o->rate->bits - 1);
	unsigned magnitude = code & top ? 2 * top - 1 - code : code;
	int sezi = 0, sei, y = mix(o), dql = o->rate->dqln[magnitude] + (y >> 2), dqmag, dq, sr, thr;
	bool tr, tdp;

	for (unsigned i = 0; i < 6; i++)
		sezi += fmult(o->b[i], o->dq[i]);
	sezi = (int16_t)sezi;
	sei = (int16_t)(sezi + fmult(o->a[0], o->sr[0]) + fmult(o->a[1], o->sr[1]));
	dqmag = dql < 0 ? 0 : (128 + (dql & 127)) << 7 >> (14 - (dql >> 7 & 15)); // ADDA, ANTILOG
	dq = code & top ? -dqmag : dqmag;
	sr = dq + (sei >> 1);
	thr = o->yl >> 15 > 9 ? 31 << 10 : (32 + (o->yl >> 10 & 31)) << (o->yl >> 15); // TRANS
	tr = o->td && dqmag > (thr + (thr >> 1)) >> 1;
	o->yu = y + ((o->rate->w[magnitude] * 32 - y) >> 5); // FILTD, LIMB, FILTE
	o->yu = o->yu < 544 ? 544 : o->yu > 5120 ? 5120 : o->yu;
	o->yl += o->yu + (-o->yl >> 6);
	adapt_zeros(o, dq);
	adapt_poles(o, dq + (sezi >> 1));
	tdp = o->a[1] < -11776; // TONE
	adapt_speed(o, y, o->rate->f[magnitude], tr, tdp);
	o->td = tr ? 0 : tdp;
	if (tr) { // TRIGB
		memset(o->a, 0, sizeof(o->a));
		memset(o->b, 0, sizeof(o->b));
	}
	memmove(o->dq + 1, o->dq, 5 * sizeof(*o->dq));
	o->dq[0] = to_float(dq);
	o->dq[0].sign = code & top ? 1 : 0; // a zero has the code's sign
	o->sr[1] = o->sr[0];
	o->sr[0] = to_float(sr);
	return (int16_t)((sr > 8191 ? 8191 : sr < -8192 ? -8192 : sr) * 4); // LIMO
}

static void oracle_init(struct oracle *o, const struct rate *rate)
{
	*o = (struct oracle){.rate = rate, .yu = 544, .yl = 34816};
	for (unsigned i = 0; i < 6; i++)
		o->dq[i].mantissa = 32;
	for (unsigned i = 0; i < 2; i++)
		o->sr[i].mantissa = 32;
}

static unsigned code_at(const uint8_t *payload, unsigned index, unsigned bits, bool left)
{
	unsigned code = 0;

	for (unsigned i = 0; i < bits; i++) {
		unsigned at = index * bits + i;

		if (left)
			code = code << 1 | (payload[at / 8] >> (7 - at % 8) & 1);
		else
			code |= (payload[at / 8] >> (at % 8) & 1u) << i;
	}
	return code;
}

static void check_bits(const struct rate *rate, bool left, double loudness)
{
	static int16_t in[SECOND], out[SECOND];
	static uint8_t payload[SECOND];
	const struct codec_options options = {.rate_hz = 8000};
	const struct codec *codec;
	struct oracle oracle;
	struct rig_ends ends;
	char name[32];

	snprintf(name, sizeof(name), "%sG726-%u", left ? "AAL2-" : "", rate->bits * 8);
	codec = codec_find(name, 8000, 1);
	rig_voice(in, SECOND, SECOND);
	for (unsigned n = 0; n < SECOND; n++)
		in[n] = (int16_t)fmax(-32768, fmin(32767, in[n] * loudness));
	rig_ends_init(&ends, codec, &options, 8000);
	oracle_init(&oracle, rate);
	assert_int_equal(codec->encode(ends.encoder, in, SECOND, payload, sizeof(payload)), SECOND * rate->bits / 8);
	assert_int_equal(codec->decode(ends.decoder, payload, SECOND * rate->bits / 8, out, SECOND), SECOND);
	for (unsigned n = 0; n < SECOND; n++) {
		int16_t right = decode_one(&oracle, code_at(payload, n, rate->bits, left));

		if (out[n] != right)
			fail_msg("%s at %.2f: sample %u is %d, should be %d", name, loudness, n, out[n], right);
	}
	rig_ends_fini(&ends);
}

static void decoding_is_the_recommendations(void **state)
{
	static const double loudness[] = {0.01, 0.1, 1, 2.5};

	for (unsigned i = 0; i < 4; i++)
		for (unsigned loud = 0; loud < 4; loud++)
			for (unsigned left = 0; left < 2; left++)
				check_bits(&rates[i], left, loudness[loud]);
}

static void groups_are_whole(void **state)
{
	static const struct {
		const char *name;
		size_t bytes;
		int samples;
	} cases[] = {{"G726-16", 1, 4}, {"G726-16", 41, 164}, {"G726-24", 3, 8}, {"G726-24", 61, -EBADMSG},
		{"G726-24", 62, -EBADMSG}, {"G726-32", 1, 2}, {"G726-40", 5, 8}, {"G726-40", 99, -EBADMSG}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct codec_options options = {.rate_hz = 8000};
		uint8_t payload[128] = {0};
		int16_t out[256];
		struct rig_ends ends;

		rig_ends_init(&ends, codec_find(cases[i].name, 8000, 1), &options, 8000);
		assert_int_equal(ends.codec->duration(payload, cases[i].bytes), cases[i].samples);
		assert_int_equal(ends.codec->decode(ends.decoder, payload, cases[i].bytes, out, 256), cases[i].samples);
		rig_ends_fini(&ends);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decoding_is_the_recommendations),
		cmocka_unit_test(groups_are_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
