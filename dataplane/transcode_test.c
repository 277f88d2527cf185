// SPDX-License-Identifier: BSD-3-Clause
// Every pair of codecs, by packets in and packets out on a clock of the test's: level, continuity of the line, ptime,
// loss, events, pauses.

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec_signal.h"
#include "rtp.h"
#include "transcode.h"

#define EVENT 101
#define SECONDS 3
#define WAVE_MAX (48000 * (SECONDS + 1))

static struct transcode *transcode;
static struct wire { // what comes out, decoded again
	void *decoder;
	const struct codec *codec;
	uint32_t rate;
	int16_t wave[WAVE_MAX];
	uint32_t count;
	unsigned packets, markers, gaps, jumps;
	uint16_t seq;
	uint32_t ts, ssrc, step;
	uint8_t last_type;
} wire;

static struct transcode_config config_of(const struct codec *in, const struct codec *out, unsigned ptime)
{
	return (struct transcode_config){
		.in = {.codec = in, .payload_type = 96, .event_type = EVENT},
		.out = {.codec = out, .payload_type = 97, .event_type = 102, .ptime_ms = (uint8_t)ptime},
		.ssrc = 0xfeed,
		.ts = UINT32_MAX - 500,
		.seq = 65530,
	};
}

static void begin(const struct transcode_config *config)
{
	const struct codec_options options = {.rate_hz = config->out.codec->rates_hz[0]};

	transcode = aligned_alloc(64, (transcode_bytes(config) + 63) / 64 * 64);
	assert_non_null(transcode);
	assert_int_equal(transcode_init(transcode, config), 0);
	memset(&wire, 0, sizeof(wire));
	wire.codec = config->out.codec;
	wire.rate = options.rate_hz;
	wire.decoder = malloc(wire.codec->decoder_bytes + 1);
	assert_int_equal(wire.codec->decoder_init(wire.decoder, &options), 0);
}

static void end(void)
{
	transcode_fini(transcode);
	free(transcode);
	free(wire.decoder);
}

static void wire_take(const uint8_t *rtp, unsigned length)
{
	int samples;

	if (!length)
		return;
	assert_true(rtp_sound(rtp, length));
	if (wire.packets) {
		wire.gaps += rtp_get16(rtp + 2) != (uint16_t)(wire.seq + 1);
		wire.jumps += !(rtp[1] & 0x80) && (rtp[1] & 127) == 97 && wire.last_type == 97 &&
			      rtp_get32(rtp + 4) != wire.ts + wire.step;
		assert_int_equal(rtp_get32(rtp + 8), wire.ssrc);
	}
	wire.packets++;
	wire.markers += rtp[1] >> 7;
	wire.seq = rtp_get16(rtp + 2);
	wire.ts = rtp_get32(rtp + 4);
	wire.ssrc = rtp_get32(rtp + 8);
	wire.last_type = rtp[1] & 127;
	if (wire.last_type != 97)
		return;
	wire.step = (uint32_t)wire.codec->duration(rtp + 12, length - 12);
	samples =
		wire.codec->decode(wire.decoder, rtp + 12, length - 12, wire.wave + wire.count, WAVE_MAX - wire.count);
	assert_true(samples > 0);
	wire.count += (uint32_t)samples;
}

// A sender of tone: payloads of ptime_ms, of which `lose` says whether they are lost.
struct sender {
	void *encoder;
	const struct codec *codec;
	uint32_t rate, at, ts;
	uint16_t seq;
	unsigned ptime, hz;
};

static struct sender sender_of(const struct codec *codec, unsigned ptime, unsigned hz)
{
	struct sender sender = {.codec = codec, .rate = codec->rates_hz[0], .ptime = ptime, .hz = hz, .seq = 65500};
	const struct codec_options options = {.rate_hz = sender.rate};

	sender.encoder = malloc(codec->encoder_bytes + 1);
	assert_int_equal(codec->encoder_init(sender.encoder, &options), 0);
	return sender;
}

static int16_t tone(uint32_t at, unsigned hz, uint32_t rate)
{
	return (int16_t)lrint(8000 * sin(2 * M_PI * hz * at / rate));
}

static unsigned sender_next(struct sender *sender, uint8_t *rtp)
{
	uint32_t count = sender->rate / 1000 * sender->ptime;
	int16_t wave[CODEC_FRAME_MAX_SAMPLES];
	int bytes;

	for (uint32_t i = 0; i < count; i++)
		wave[i] = tone(sender->at + i, sender->hz, sender->rate);
	sender->at += count;
	rtp[0] = 0x80;
	rtp[1] = 96;
	rtp_put16(rtp + 2, sender->seq++);
	rtp_put32(rtp + 4, sender->ts);
	rtp_put32(rtp + 8, 77);
	sender->ts += sender->codec->clock_hz / 1000 * sender->ptime;
	bytes = sender->codec->encode(sender->encoder, wave, count, rtp + 12, CODEC_PAYLOAD_MAX_BYTES);
	assert_true(bytes > 0);
	return 12 + (unsigned)bytes;
}

// The power of hz in a wave, in dB below its whole.
static double share_db(const int16_t *wave, uint32_t count, unsigned hz, uint32_t rate, double *level_db)
{
	double re = 0, im = 0, all = 1e-9;

	for (uint32_t i = 0; i < count; i++) {
		re += wave[i] * cos(2 * M_PI * hz * i / rate);
		im += wave[i] * sin(2 * M_PI * hz * i / rate);
		all += (double)wave[i] * wave[i];
	}
	*level_db = 10 * log10(all / count);
	return 10 * log10(2 * (re * re + im * im) / count / all);
}

static void run(struct sender *sender, unsigned out_ptime, unsigned ms, unsigned lose_each)
{
	uint8_t rtp[TRANSCODE_PACKET], out[TRANSCODE_PACKET];
	unsigned sent = 0;

	for (unsigned t = 0; t < ms; t++) {
		if (t % sender->ptime == 0) {
			unsigned length = sender_next(sender, rtp);

			if (!lose_each || ++sent % lose_each)
				wire_take(out, transcode_push(transcode, t * 1000 + 500, rtp, length, out));
		}
		if (t % out_ptime == 0)
			wire_take(out, transcode_tick(transcode, t * 1000, out));
	}
}

// One pair: a tone of 1 kHz comes out as one, as loud, on a line without a seam.
static void pair(const struct codec *in, const struct codec *out, unsigned in_ptime, unsigned out_ptime)
{
	const struct transcode_config config = config_of(in, out, out_ptime);
	struct sender sender = sender_of(in, in_ptime, 1000);
	double level, share, wanted = 10 * log10(8000.0 * 8000 / 2);
	uint32_t skip;

	begin(&config);
	out_ptime = transcode->need / (transcode->out_rate / 1000);
	run(&sender, out_ptime, SECONDS * 1000, 0);
	skip = wire.rate; // settled
	assert_true(wire.count > 2 * wire.rate);
	share = share_db(wire.wave + skip, wire.rate, 1000, wire.rate, &level);
	if (fabs(level - wanted) > 1.2 || share < -0.6) // two codecs for speech have their own idea of a tone
		fail_msg("%s to %s, %u to %u ms: level %.2f of %.2f dB, the tone is %.2f dB of it", in->name, out->name,
			in_ptime, out_ptime, level, wanted, share);
	assert_int_equal(wire.gaps + wire.jumps, 0);
	assert_int_equal(wire.markers, 1);
	assert_in_range(wire.packets * out_ptime, SECONDS * 1000 - 200, SECONDS * 1000);
	assert_int_equal(wire.ssrc, 0xfeed);
	assert_int_equal(transcode->stats.undecodable, 0);
	free(sender.encoder);
	end();
}

static void every_pair(void **state)
{
	for (unsigned i = 0; codec_table[i]; i++)
		for (unsigned j = 0; codec_table[j]; j++)
			pair(codec_table[i], codec_table[j], 20, 20);
}

static void every_ptime(void **state)
{
	const struct codec *pcmu = codec_find_static(0), *g722 = codec_find_static(9);
	const struct codec *opus = codec_find("opus", 48000, 2);

	for (unsigned in = 10; in <= 60; in += 10)
		for (unsigned out = 10; out <= 60; out += 10) {
			pair(pcmu, g722, in, out);
			if (in != 30 && in != 50) // no Opus packet is so long; who asks us for one gets shorter ones
				pair(opus, opus, in, out);
		}
}

// A click's way: it arrives with its packet and leaves with one. Returns: us; *depth_us: what the jitter buffer says of
// itself.
static int64_t delay_us(unsigned in_ms, unsigned out_ms, unsigned phase, enum jbuf_mode mode, int32_t *depth_us)
{
	const struct codec *l16 = codec_find("L16", 8000, 1);
	struct transcode_config config = config_of(l16, l16, out_ms);
	uint8_t packet[12 + 2 * 8 * 60], out[TRANSCODE_PACKET];
	int64_t arrived = -1, left = -1;
	unsigned n = 0;

	config.jbuf_mode = mode;
	begin(&config);
	for (int64_t ms = 0; ms < 8000 && left < 0; ms++) {
		unsigned bytes;

		if (ms % in_ms == 0) {
			memset(packet, 0, sizeof(packet));
			packet[0] = 0x80;
			packet[1] = 96;
			rtp_put16(packet + 2, (uint16_t)n);
			rtp_put32(packet + 4, n * in_ms * 8);
			if (ms >= 6000 && arrived < 0) { // settled
				rtp_put16(
					packet + 12 + 2 * (in_ms * 8 - 1), 30000); // the last sample: only just spoken
				arrived = ms;
			}
			n++;
			assert_int_equal(transcode_push(transcode, ms * 1000, packet, 12 + 2 * 8 * in_ms, out), 0);
		}
		if (ms % out_ms != phase)
			continue;
		bytes = transcode_tick(transcode, ms * 1000, out);
		for (unsigned at = 12; at + 1 < bytes; at += 2)
			if (rtp_get16(out + at) == 30000)
				left = ms;
	}
	*depth_us = jbuf_stats(transcode->jbuf)->depth_us;
	end();
	assert_true(arrived >= 0 && left >= arrived);
	return (left - arrived) * 1000;
}

// M05: not more than a frame (the longer side's), what the jitter buffer holds, and 5 ms.
static void delay_is_a_frame_and_the_jitter_buffer(void **state)
{
	static const unsigned ptimes[][2] = {{20, 20}, {10, 30}, {30, 20}, {60, 20}, {20, 60}};

	for (size_t i = 0; i < sizeof(ptimes) / sizeof(*ptimes); i++)
		for (unsigned phase = 0; phase < ptimes[i][1]; phase += 3)
			for (enum jbuf_mode mode = JBUF_ADAPTIVE; mode <= JBUF_FIXED; mode++) {
				unsigned frame = ptimes[i][ptimes[i][0] < ptimes[i][1]];
				int32_t depth_us;
				int64_t delay = delay_us(ptimes[i][0], ptimes[i][1], phase, mode, &depth_us);

				if (delay > frame * 1000 + depth_us + 5000)
					fail_msg("%u to %u ms, phase %u, mode %d: %lld us, the jitter buffer holds %d "
						 "us",
						ptimes[i][0], ptimes[i][1], phase, mode, (long long)delay, depth_us);
			}
}

static void rates_avoid_resampling(void **state)
{
	const struct codec *pcmu = codec_find_static(0), *g722 = codec_find_static(9);
	const struct codec *opus = codec_find("opus", 48000, 2);
	uint32_t in, out;

	transcode_rates(pcmu, opus, 0, &in, &out);
	assert_int_equal(in, 8000);
	assert_int_equal(out, 8000);
	transcode_rates(g722, opus, 0, &in, &out);
	assert_int_equal(in, 16000);
	assert_int_equal(out, 16000);
	transcode_rates(g722, pcmu, 0, &in, &out);
	assert_int_equal(in, 8000);
	assert_int_equal(out, 8000);
	transcode_rates(g722, opus, 8000, &in, &out); // it plays no more (maxplaybackrate)
	assert_int_equal(in, 8000);
	assert_int_equal(out, 8000);
	transcode_rates(codec_find("L16", 16000, 1), opus, 12000, &in, &out);
	assert_int_equal(in, 16000);
	assert_int_equal(out, 12000);
}

// 10 ms in which a tone of 8000 is hardly there, after the first second.
static unsigned silences(void)
{
	unsigned n = 0, size = wire.rate / 100;

	for (uint32_t at = wire.rate; at + size <= wire.count && at < wire.rate * 5 / 2; at += size) {
		double sum = 0;

		for (uint32_t i = at; i < at + size; i++)
			sum += (double)wire.wave[i] * wire.wave[i];
		n += sum / size < 8000.0 * 8000 / 2 / 1000; // what Opus makes up for a pure tone is 17 dB softer
	}
	return n;
}

static void losses_are_concealed(void **state)
{
	const struct codec *pairs[][2] = {
		{codec_find_static(0), codec_find_static(8)}, {codec_find("opus", 48000, 2), codec_find_static(0)}};

	for (unsigned i = 0; i < 2; i++) {
		const struct transcode_config config = config_of(pairs[i][0], pairs[i][1], 20);
		struct sender sender = sender_of(pairs[i][0], 20, 1000);
		double level, share;

		begin(&config);
		run(&sender, 20, SECONDS * 1000, 20);
		share = share_db(wire.wave + wire.rate, wire.rate, 1000, wire.rate, &level);
		assert_true(jbuf_stats(transcode->jbuf)->concealed + jbuf_stats(transcode->jbuf)->recovered >= 5);
		if (level < 10 * log10(8000.0 * 8000 / 2) - 1.5 || share < -1.5)
			fail_msg("%s: level %.2f, share %.2f", pairs[i][0]->name, level, share);
		assert_int_equal(wire.gaps + wire.jumps, 0); // the line has no gap
		if (silences())
			fail_msg("%s: %u times silence", pairs[i][0]->name, silences());
		free(sender.encoder);
		end();
	}
}

static void event_packet(uint8_t *rtp, struct sender *sender, uint32_t ts, unsigned duration, bool last)
{
	rtp[0] = 0x80;
	rtp[1] = EVENT;
	rtp_put16(rtp + 2, sender->seq++);
	rtp_put32(rtp + 4, ts);
	rtp_put32(rtp + 8, 77);
	rtp[12] = 5;
	rtp[13] = last ? 0x8a : 0x0a;
	rtp_put16(rtp + 14, (uint16_t)duration);
}

// Sound, 100 ms of a digit, sound: the digit's packets leave with one timestamp of this line, sound pauses and goes on.
static void events_pass(void **state)
{
	const struct transcode_config config = config_of(codec_find_static(0), codec_find_static(9), 20);
	struct sender sender = sender_of(codec_find_static(0), 20, 1000);
	uint8_t rtp[TRANSCODE_PACKET], out[TRANSCODE_PACKET];
	uint32_t start = 0, before;
	unsigned events = 0;

	begin(&config);
	run(&sender, 20, 500, 0);
	before = wire.ts;
	for (unsigned i = 1; i <= 7; i++) {
		unsigned n;

		event_packet(rtp, &sender, sender.ts, 160 * (i < 5 ? i : 5), i >= 5);
		n = transcode_push(transcode, 500000 + i * 20000, rtp, 16, out);
		assert_int_equal(n, 16);
		assert_int_equal(out[1] & 127, 102);
		assert_int_equal(out[1] >> 7, i == 1);
		assert_memory_equal(out + 12, rtp + 12, 4);
		if (i == 1)
			start = rtp_get32(out + 4);
		assert_int_equal(rtp_get32(out + 4), start);
		wire_take(out, n);
		events++;
		if (i < 5) { // sound is silent beside it
			n = transcode_tick(transcode, 500000 + i * 20000, out);
			assert_int_equal(n, 0);
		}
	}
	assert_int_equal(wire.gaps, 0);
	assert_in_range(start - before, 1, 4 * 160);
	sender.ts += 800;
	for (unsigned t = 640; t < 1200; t += 20) {
		unsigned length = sender_next(&sender, rtp);

		transcode_push(transcode, t * 1000, rtp, length, out);
		wire_take(out, transcode_tick(transcode, t * 1000, out));
	}
	assert_int_equal(wire.gaps, 0);
	assert_int_equal(wire.last_type, 97);
	assert_int_equal(wire.markers, 3); // the beginning, the digit, and sound again
	free(sender.encoder);
	end();
}

static void nothing_before_the_first_and_after_the_last(void **state)
{
	const struct transcode_config config = config_of(codec_find_static(8), codec_find_static(0), 20);
	struct sender sender = sender_of(codec_find_static(8), 20, 1000);
	uint8_t out[TRANSCODE_PACKET];
	unsigned packets;

	begin(&config);
	for (unsigned t = 0; t < 500; t += 20)
		assert_int_equal(transcode_tick(transcode, t * 1000, out), 0);
	end();
	begin(&config);
	run(&sender, 20, 1000, 0);
	for (unsigned t = 1000; t < 6000; t += 20)
		wire_take(out, transcode_tick(transcode, t * 1000, out));
	packets = wire.packets;
	assert_in_range(packets, 140, 152); // it goes on for two seconds
	for (unsigned t = 6000; t < 7000; t += 20)
		wire_take(out, transcode_tick(transcode, t * 1000, out));
	assert_int_equal(wire.packets, packets);
	assert_int_equal(wire.gaps, 0);
	free(sender.encoder);
	end();
}

// Bytes of chance behind sound RTP headers: whatever they are, what leaves is sound.
static void anything_may_come(void **state)
{
	uint8_t rtp[600], out[TRANSCODE_PACKET];

	srand(3);
	for (unsigned i = 0; codec_table[i]; i++) {
		const struct transcode_config config = config_of(codec_table[i], codec_find_static(0), 20);

		begin(&config);
		for (unsigned t = 0; t < 3000; t++) {
			size_t length = 12 + (size_t)rand() % 588;

			for (size_t b = 0; b < length; b++)
				rtp[b] = (uint8_t)rand();
			rtp[1] = (uint8_t)(rand() % 2 << 7 | (rand() % 8 ? 96 : EVENT));
			rtp_put16(rtp + 2, (uint16_t)t);
			if (rtp_sound(rtp, length))
				wire_take(out, transcode_push(transcode, t * 10000, rtp, length, out));
			if (t % 2)
				wire_take(out, transcode_tick(transcode, t * 10000, out));
			wire.count = 0;
		}
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair),
		cmocka_unit_test(every_ptime),
		cmocka_unit_test(rates_avoid_resampling),
		cmocka_unit_test(delay_is_a_frame_and_the_jitter_buffer),
		cmocka_unit_test(losses_are_concealed),
		cmocka_unit_test(events_pass),
		cmocka_unit_test(nothing_before_the_first_and_after_the_last),
		cmocka_unit_test(anything_may_come),
	};
	const char *failed;

	if (codecs_init(&failed) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
