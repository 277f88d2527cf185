// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <string.h>

#include "codec.h"
#include "opus_fmtp.h"
#include "rtp.h"
#include "transcode.h"

#define ALIGN 64
#define PAUSE_US 2000000   // nobody has sent for so long: nothing is sent either
#define PAYLOAD_BYTES 1024 // 120 ms of G.711, and of L16 the 60 that may be
#define EVENT_US 100000    // an event without its end is over after that
#define CN_CLOCK 8000
#define DTX_BYTES 2  // of Opus, at most: a pause goes on (RFC 7587 3.1.3)
#define LOSS_MOST 20 // percent: more redundancy than for that costs more sound than it saves

// --- rates
// ------------------------------------------------------------------------------------------------------------

void transcode_rates(
	const struct codec *in, const struct codec *out, uint32_t out_most_hz, uint32_t *in_hz, uint32_t *out_hz)
{
	uint32_t best = 0;

	*out_hz = 0;
	for (unsigned i = 0; i < CODEC_RATES && out->rates_hz[i]; i++) {
		uint32_t rate = out->rates_hz[i];

		if (out_most_hz && rate > out_most_hz)
			continue;
		if (rate > *out_hz)
			*out_hz = rate;
		if (rate > best && rate <= in->rates_hz[0] && codec_has_rate(in, rate))
			best = rate;
	}
	*out_hz = *out_hz ? *out_hz : out->rates_hz[0];
	*in_hz = in->rates_hz[0];
	if (best)
		*in_hz = *out_hz = best;
}

// --- making and ending ----------------------------------------------------------------------------------------------

static size_t rounded(size_t bytes)
{
	return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

// What the party wants or less: whole frames of the codec.
static unsigned ptime_of(const struct transcode_config *config)
{
	const struct codec *codec = config->out.codec;
	unsigned ptime = config->out.ptime_ms ? config->out.ptime_ms : 20;

	ptime = ptime < 10 ? 10 : ptime > 60 ? 60 : ptime;
	return ptime < codec->frame_ms ? codec->frame_ms : ptime / codec->frame_ms * codec->frame_ms;
}

static struct jbuf_config jbuf_of(const struct transcode_config *config)
{
	return (struct jbuf_config){
		.mode = config->jbuf_mode,
		.clock_hz = config->in.codec->clock_hz,
		.tick_us = 1000 * ptime_of(config),
		.min_ms = config->jbuf_min_ms,
		.max_ms = config->jbuf_max_ms,
		.recover = config->in.codec->recover != NULL,
		.payload_max_bytes = config->in.codec->recover ? JBUF_PAYLOAD_MAX : PAYLOAD_BYTES,
	};
}

size_t transcode_bytes(const struct transcode_config *config)
{
	const struct jbuf_config jbuf = jbuf_of(config);

	return rounded(sizeof(struct transcode)) + rounded(config->out.codec->encoder_bytes) +
	       rounded(config->in.codec->decoder_bytes) + rounded(jbuf_bytes(&jbuf));
}

int transcode_init(struct transcode *transcode, const struct transcode_config *config)
{
	const struct jbuf_config jbuf = jbuf_of(config);
	struct codec_options in = config->in.options, out = config->out.options;
	uint8_t *at = (uint8_t *)transcode + rounded(sizeof(*transcode));
	int error;

	memset(transcode, 0, sizeof(*transcode));
	transcode->config = *config;
	transcode_rates(config->in.codec, config->out.codec, out.rate_hz, &transcode->in_rate, &transcode->out_rate);
	in.rate_hz = transcode->in_rate;
	out.rate_hz = transcode->out_rate;
	if (out.bitrate_bps > fmtp_opus_bitrate(transcode->out_rate))
		out.bitrate_bps = 0; // more than our own choice: no limit
	transcode->config.out.options.bitrate_bps = out.bitrate_bps;
	transcode->complexity = out.complexity;
	out.ptime_ms = (uint8_t)ptime_of(config);
	transcode->tick_ts = config->out.codec->clock_hz / 1000 * out.ptime_ms;
	transcode->need = transcode->out_rate / 1000 * out.ptime_ms;
	transcode->ssrc = config->ssrc;
	transcode->ts = config->ts;
	transcode->seq = config->seq;
	transcode->marker = true;
	report_init(&transcode->report, config->ssrc, config->out.codec->clock_hz, config->ts);
	transcode->encoder = at;
	at += rounded(config->out.codec->encoder_bytes);
	transcode->decoder = at;
	at += rounded(config->in.codec->decoder_bytes);
	transcode->jbuf = (struct jbuf *)at;
	stretch_init(&transcode->stretch, transcode->in_rate);
	plc_start(&transcode->plc, transcode->in_rate);
	error = jbuf_init(transcode->jbuf, &jbuf);
	if (!error && config->in.codec->clock_hz == CN_CLOCK)
		error = cn_source_init(&transcode->noise, CN_CLOCK, transcode->in_rate, config->ts);
	if (!error)
		error = resample_init(&transcode->resample, transcode->in_rate, transcode->out_rate);
	if (error)
		return error;
	error = config->in.codec->decoder_init(transcode->decoder, &in);
	if (error)
		return error;
	error = config->out.codec->encoder_init(transcode->encoder, &out);
	if (error && config->in.codec->decoder_fini)
		config->in.codec->decoder_fini(transcode->decoder);
	return error;
}

void transcode_fini(struct transcode *transcode)
{
	if (transcode->config.in.codec->decoder_fini)
		transcode->config.in.codec->decoder_fini(transcode->decoder);
	if (transcode->config.out.codec->encoder_fini)
		transcode->config.out.codec->encoder_fini(transcode->encoder);
}

// --- in -------------------------------------------------------------------------------------------------------------

static void header_write(struct transcode *transcode, uint8_t *out, bool marker, uint8_t payload_type, uint32_t ts)
{
	out[0] = 0x80;
	out[1] = (uint8_t)((marker ? 0x80 : 0) | payload_type);
	rtp_put16(out + 2, transcode->seq++);
	rtp_put32(out + 4, ts);
	rtp_put32(out + 8, transcode->ssrc);
}

static bool event_runs(const struct transcode *transcode, int64_t now_us)
{
	return transcode->event.known && now_us - transcode->event.last_us < EVENT_US;
}

static uint32_t event_clock(const struct transcode_side *side)
{
	return side->event_hz ? side->event_hz : side->codec->clock_hz;
}

// In the other side's clock, as far as its sixteen bits go.
static uint16_t event_duration(const struct transcode *transcode, uint16_t duration)
{
	uint64_t there = (uint64_t)duration * event_clock(&transcode->config.out) / event_clock(&transcode->config.in);

	return there > UINT16_MAX ? UINT16_MAX : (uint16_t)there;
}

// RFC 4733: an event's packets have the timestamp of its start, on the other line as on this one.
static unsigned event_pass(struct transcode *transcode, int64_t now_us, const uint8_t *rtp, const uint8_t *payload,
	size_t bytes, uint8_t *out)
{
	struct transcode_event *event = &transcode->event;
	uint32_t ts = rtp_get32(rtp + 4);
	bool first = !event->known || event->in_ts != ts;

	transcode->events_seen++;
	transcode->stats.events++;
	if (bytes != 4 || transcode->config.out.event_type == TRANSCODE_NO_TYPE)
		return 0;
	if (first)
		event->out_ts = transcode->ts;
	event->known = true;
	event->in_ts = ts;
	event->last_us = payload[1] & 0x80 ? now_us - EVENT_US : now_us; // its end: sound goes on
	header_write(transcode, out, first, transcode->config.out.event_type, event->out_ts);
	memcpy(out + RTP_HEADER, payload, 2);
	rtp_put16(out + RTP_HEADER + 2, event_duration(transcode, rtp_get16(payload + 2)));
	transcode->report.sent_packets++; // its timestamp is of its start: no clock for reports
	transcode->report.sent_bytes += 4;
	transcode->marker = true;
	return RTP_HEADER + 4;
}

unsigned transcode_push(
	struct transcode *transcode, int64_t now_us, const uint8_t *rtp, size_t length, uint8_t out[TRANSCODE_PACKET])
{
	const struct transcode_side *in = &transcode->config.in;
	struct jbuf_packet packet = {
		.seq = (uint16_t)(rtp_get16(rtp + 2) - transcode->events_seen),
		.ts = rtp_get32(rtp + 4),
		.ssrc = rtp_get32(rtp + 8),
		.payload_type = rtp[1] & 127,
		.marker = rtp[1] >> 7,
	};
	size_t begin, bytes = rtp_payload(rtp, length, &begin);
	int duration;

	packet.payload = rtp + begin;
	report_received(&transcode->report, rtp, now_us, in->codec->clock_hz);
	transcode->heard_us = now_us;
	if (packet.payload_type == in->event_type)
		return event_pass(transcode, now_us, rtp, packet.payload, bytes, out);
	packet.silent = packet.payload_type == CN_PAYLOAD_TYPE || (in->codec->recover && bytes <= DTX_BYTES);
	if (packet.payload_type == CN_PAYLOAD_TYPE && in->codec->clock_hz == CN_CLOCK && bytes)
		duration = 0; // nobody knows how long it will last
	else if (packet.payload_type == in->payload_type)
		duration = in->codec->duration(packet.payload, bytes);
	else
		duration = -EBADMSG;
	if (duration < 0 || bytes > JBUF_PAYLOAD_MAX) {
		transcode->stats.undecodable++;
		return 0;
	}
	packet.duration_ts = (uint32_t)duration;
	packet.bytes = (uint16_t)bytes;
	jbuf_push(transcode->jbuf, now_us, &packet);
	return 0;
}

void transcode_hear(
	struct transcode *transcode, struct transcode *back, int64_t now_us, const uint8_t *rtcp, size_t length)
{
	report_heard(&transcode->report, back ? &back->report : NULL, rtcp, length, now_us);
	transcode->heard_us = now_us;
}

void transcode_adapt(struct transcode *transcode, uint8_t complexity)
{
	const struct transcode_side *to = &transcode->config.out;
	unsigned loss = (transcode->report.lost_256 * 100u + 128) / 256;
	struct codec_options options = to->options;

	complexity = complexity ? complexity : options.complexity;
	loss = loss > LOSS_MOST ? LOSS_MOST : loss;
	if (!to->codec->adapt || (complexity == transcode->complexity && loss == transcode->loss_percent))
		return;
	options.rate_hz = transcode->out_rate;
	options.complexity = complexity;
	options.loss_percent = (uint8_t)loss;
	to->codec->adapt(transcode->encoder, &options);
	transcode->complexity = complexity;
	transcode->loss_percent = (uint8_t)loss;
}

// --- out ------------------------------------------------------------------------------------------------------------

static uint32_t samples_of(const struct transcode *transcode, uint32_t ts)
{
	return (uint32_t)((uint64_t)ts * transcode->in_rate / transcode->config.in.codec->clock_hz);
}

static int32_t ts_of(const struct transcode *transcode, int32_t samples)
{
	return (int32_t)((int64_t)samples * transcode->config.in.codec->clock_hz / transcode->in_rate);
}

static uint32_t conceal(struct transcode *transcode, int16_t *samples, uint32_t count)
{
	const struct codec *codec = transcode->config.in.codec;

	if (codec->conceal && codec->conceal(transcode->decoder, samples, count) == (int)count)
		return count;
	plc_fill(&transcode->plc, samples, count);
	return count;
}

static uint32_t noise_take(
	struct transcode *transcode, const struct jbuf_frame *frame, int16_t *samples, uint32_t count)
{
	struct cn_noise noise;

	if (cn_noise_parse(&noise, frame->payload, frame->bytes) == 0) {
		cn_source_aim(&transcode->noise, &noise);
		transcode->noisy = true;
	}
	cn_source_fill(&transcode->noise, samples, count);
	return count;
}

// A pause sounds as the party described it: by comfort noise, or by what its decoder makes of a pause (Opus's DTX).
static uint32_t silence_make(struct transcode *transcode, int16_t *samples, uint32_t count)
{
	const struct codec *codec = transcode->config.in.codec;

	if (transcode->quiet && transcode->noisy)
		cn_source_fill(&transcode->noise, samples, count);
	else if (!transcode->quiet || !codec->conceal ||
		 codec->conceal(transcode->decoder, samples, count) != (int)count)
		memset(samples, 0, count * sizeof(*samples));
	return count;
}

// What the jitter buffer says comes next, as samples at in_rate. Returns: how many.
static uint32_t frame_make(
	struct transcode *transcode, const struct jbuf_frame *frame, int16_t samples[CODEC_FRAME_MAX_SAMPLES])
{
	const struct codec *codec = transcode->config.in.codec;
	uint32_t want = samples_of(transcode, frame->duration_ts);
	int got = -EBADMSG;

	want = want < CODEC_FRAME_MAX_SAMPLES ? want : CODEC_FRAME_MAX_SAMPLES;
	switch (frame->action) {
	case JBUF_PLAY:
		transcode->quiet =
			frame->payload_type == CN_PAYLOAD_TYPE || (codec->recover && frame->bytes <= DTX_BYTES);
		if (frame->payload_type == CN_PAYLOAD_TYPE)
			return noise_take(transcode, frame, samples, want);
		got = codec->decode(transcode->decoder, frame->payload, frame->bytes, samples, CODEC_FRAME_MAX_SAMPLES);
		transcode->started = true;
		if (got > 0) {
			if (!codec->conceal)
				plc_good(&transcode->plc, samples, (uint32_t)got);
			return (uint32_t)got;
		}
		transcode->stats.undecodable++;
		break;
	case JBUF_RECOVER:
		got = codec->recover(transcode->decoder, frame->payload, frame->bytes, samples, want);
		if (got == (int)want)
			return want;
		break;
	case JBUF_CONCEAL:
		break;
	case JBUF_SILENCE:
		return silence_make(transcode, samples, want);
	}
	return conceal(transcode, samples, want);
}

// Let the frame be shorter or longer, as the jitter buffer wishes.
static uint32_t frame_stretch(struct transcode *transcode, int32_t wish_ts, int16_t *samples, uint32_t count)
{
	uint32_t now = count;

	if (wish_ts < 0)
		now = stretch_shorten(&transcode->stretch, samples, count, samples_of(transcode, (uint32_t)-wish_ts));
	else if (wish_ts > 0)
		now = stretch_lengthen(&transcode->stretch, samples, count, 2 * CODEC_FRAME_MAX_SAMPLES);
	if (now != count)
		jbuf_stretched(transcode->jbuf, ts_of(transcode, (int32_t)(now - count)));
	return now;
}

// One more frame behind what is ready. Returns: false where there is no room or nothing comes.
static bool frame_add(struct transcode *transcode, int64_t now_us)
{
	int16_t samples[2 * CODEC_FRAME_MAX_SAMPLES];
	uint32_t held =
		(uint32_t)((uint64_t)transcode->have * transcode->config.in.codec->clock_hz / transcode->out_rate);
	struct jbuf_frame frame;
	uint32_t count;
	int got;

	jbuf_pull(transcode->jbuf, now_us, held, &frame);
	count = frame_make(transcode, &frame, samples);
	count = frame_stretch(transcode, frame.stretch_ts, samples, count);
	for (uint32_t at = 0, n; at < count; at += n) {
		n = count - at < RESAMPLE_CHUNK ? count - at : RESAMPLE_CHUNK;
		got = resample_process(&transcode->resample, samples + at, n, transcode->ready + transcode->have,
			TRANSCODE_READY - transcode->have);
		if (got < 0)
			return false;
		transcode->have += (uint32_t)got;
	}
	return count > 0;
}

unsigned transcode_tick(struct transcode *transcode, int64_t now_us, uint8_t out[TRANSCODE_PACKET])
{
	const struct transcode_side *to = &transcode->config.out;
	uint32_t ts = transcode->ts;
	bool quiet;
	int bytes = 0;

	while (transcode->have < transcode->need && frame_add(transcode, now_us))
		;
	transcode->ts += transcode->tick_ts;
	if (transcode->have < transcode->need)
		return 0;
	quiet = !transcode->started || now_us - transcode->heard_us > PAUSE_US || event_runs(transcode, now_us);
	if (!quiet)
		bytes = to->codec->encode(transcode->encoder, transcode->ready, transcode->need, out + RTP_HEADER,
			TRANSCODE_PACKET - RTP_HEADER);
	transcode->have -= transcode->need;
	memmove(transcode->ready, transcode->ready + transcode->need, transcode->have * sizeof(*transcode->ready));
	if (bytes <= 0) {
		transcode->marker = true;
		transcode->stats.paused++;
		return 0;
	}
	header_write(transcode, out, transcode->marker, to->payload_type, ts);
	transcode->marker = false;
	transcode->stats.encoded++;
	report_sent(&transcode->report, out, RTP_HEADER + (unsigned)bytes, now_us);
	return RTP_HEADER + (unsigned)bytes;
}
