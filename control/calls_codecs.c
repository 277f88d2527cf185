// SPDX-License-Identifier: BSD-3-Clause
// What the two parties of a call speak, and what the media plane is told of it where that is not the same.

#include <string.h>

#include "calls_private.h"
#include "codec.h"
#include "opus_fmtp.h"

#define CN_TYPE 13 // comfort noise (RFC 3389), which may come whether it was agreed or not

static const struct offer_policy *party_codecs(const struct party *party)
{
	static const struct offer_policy nothing_said;
	const struct config_endpoint *endpoint = party_endpoint(party);
	const struct config_trunk *trunk = party_trunk(party);

	if (party->side == CALL_CALLEE && party->anchor->hops[party->hop].codecs)
		return party->anchor->hops[party->hop].codecs;
	return endpoint ? &endpoint->codecs : trunk ? &trunk->codecs : &nothing_said;
}

struct offer_terms party_terms(const struct party *to, const struct party *from)
{
	bool has_room = to->leg.config.codec.row; // it keeps what it has

	return (struct offer_terms){
		.to = party_codecs(to),
		.from = party_codecs(from),
		.known = to->sdp,
		.full = !has_room && !kg_media_room_free(to->anchor->calls->options.media),
	};
}

bool party_choice(const struct party *party, const struct party *peer, struct offer_choice *out)
{
	bool answers = (party->side == CALL_CALLER) == party->anchor->caller_answers;
	const struct party *offerer = answers ? peer : party, *answerer = answers ? party : peer;
	struct offer_terms terms;

	if (!party->sdp || !peer || !peer->sdp)
		return false;
	terms = (struct offer_terms){.to = party_codecs(offerer), .from = party_codecs(answerer)};
	offer_choose(offerer->sdp, answerer->sdp, &terms, out);
	return true;
}

// What its decoder asks of our encoder (RFC 7587 6.1). What cannot be meant is left out.
static void opus_fill(const struct sdp *sdp, struct kg_media_codec *out)
{
	const struct fmtp_opus_policy policy = {.rate_hz = 48000, .fec = true, .dtx = true};
	struct codec_options options = {0};
	struct fmtp_opus fmtp;
	const char *bad;

	fmtp_opus_parse(&fmtp, sdp_fmtp(sdp, out->payload_type), &bad);
	fmtp_opus_options(&fmtp, &policy, &options);
	out->rate_hz = options.rate_hz;
	out->bitrate_bps = fmtp.max_average_bitrate_bps;
	out->fec = options.fec;
	out->dtx = options.dtx;
	out->cbr = options.cbr;
}

static void codec_fill(const struct party *party, const struct offer_side *side, struct kg_media_codec *out)
{
	const struct offer_policy *policy = party_codecs(party);

	*out = (struct kg_media_codec){
		.row = (uint8_t)offer_codec_place(&side->codec),
		.payload_type = side->codec.payload_type,
		.event_type = side->event.clock_hz ? side->event.payload_type : KG_MEDIA_NO_TYPE,
		.event_hz = (uint16_t)side->event.clock_hz,
		.ptime_ms = (uint8_t)(side->ptime_ms > 60 ? 60 : side->ptime_ms),
		.jitter = (uint8_t)policy->jitter,
		.jitter_min_ms = (uint16_t)policy->jitter_min_ms,
		.jitter_max_ms = (uint16_t)policy->jitter_max_ms,
	};
	if (strcmp(codec_table[out->row - 1]->name, "opus") == 0)
		opus_fill(party->sdp, out);
}

static void format_add(struct kg_leg_config *leg, uint8_t payload_type, uint32_t clock_hz)
{
	leg->formats[leg->format_count++] =
		(struct kg_media_format){.payload_type = payload_type, .clock_hz = clock_hz};
}

bool codecs_fill(const struct party *party, const struct party *peer, struct kg_leg_config *leg)
{
	bool answers = (party->side == CALL_CALLER) == party->anchor->caller_answers;
	const struct offer_side *mine, *other;
	struct offer_choice choice;

	memset(&leg->codec, 0, sizeof(leg->codec));
	memset(&leg->peer_codec, 0, sizeof(leg->peer_codec));
	if (!party_choice(party, peer, &choice) || choice.way != OFFER_TRANSCODE)
		return false;
	mine = answers ? &choice.answerer : &choice.offerer;
	other = answers ? &choice.offerer : &choice.answerer;
	codec_fill(party, mine, &leg->codec);
	codec_fill(peer, other, &leg->peer_codec);
	leg->format_count = 0;
	format_add(leg, mine->codec.payload_type, mine->codec.clock_hz);
	if (mine->event.clock_hz)
		format_add(leg, mine->event.payload_type, mine->event.clock_hz);
	if (mine->codec.clock_hz == 8000 && mine->codec.payload_type != CN_TYPE)
		format_add(leg, CN_TYPE, 8000);
	return true;
}
