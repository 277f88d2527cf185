// SPDX-License-Identifier: BSD-3-Clause

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "codec.h"
#include "offer_codecs.h"
#include "sdp.h"

#define PCMU 0
#define PCMA 8

static const struct offer_policy nothing_said;

static struct offer_terms terms_of(const struct offer_terms *terms)
{
	return (struct offer_terms){
		.to = terms && terms->to ? terms->to : &nothing_said,
		.from = terms && terms->from ? terms->from : &nothing_said,
		.known = terms ? terms->known : NULL,
		.full = terms && terms->full,
	};
}

static bool formats_alike(const struct offer_format *a, const struct offer_format *b)
{
	return a->clock_hz == b->clock_hz && strcasecmp(a->encoding, b->encoding) == 0;
}

static const struct offer_format *alike_find(const struct offer_media *media, const struct offer_format *format)
{
	for (unsigned i = 0; i < media->format_count; i++)
		if (formats_alike(&media->formats[i], format))
			return &media->formats[i];
	return NULL;
}

unsigned offer_codec_place(const struct offer_format *format)
{
	for (unsigned i = 0; codec_table[i]; i++)
		if (codec_table[i]->clock_hz == format->clock_hz &&
			strcasecmp(codec_table[i]->name, format->encoding) == 0)
			return i + 1;
	return 0;
}

static bool is_law(const struct offer_format *format)
{
	unsigned place = offer_codec_place(format);

	return place && (codec_table[place - 1]->payload_type == PCMU || codec_table[place - 1]->payload_type == PCMA);
}

static bool stripped(const struct offer_policy *policy, const struct offer_format *format)
{
	unsigned place = offer_codec_place(format);

	return place && policy->strip >> (place - 1) & 1;
}

// Where a format stands in `prefer`; OFFER_CODECS: nowhere.
static unsigned rank(const struct offer_policy *policy, const struct offer_format *format)
{
	unsigned place = offer_codec_place(format), i = 0;

	while (i < OFFER_CODECS && policy->prefer[i] && policy->prefer[i] != place)
		i++;
	return place && i < OFFER_CODECS && policy->prefer[i] ? i : OFFER_CODECS;
}

// The codec that we would transcode for that party: of those that it named and we have, the preferred or first one.
static const struct offer_format *best_known(const struct offer_media *media, const struct offer_policy *policy)
{
	const struct offer_format *best = NULL;

	for (unsigned i = 0; i < media->format_count; i++) {
		const struct offer_format *format = &media->formats[i];

		if (!offer_codec_place(format) || stripped(policy, format))
			continue;
		if (!best || rank(policy, format) < rank(policy, best))
			best = format;
	}
	return best;
}

static const struct offer_format *first_sound(const struct offer_media *media, const struct offer_policy *policy)
{
	for (unsigned i = 0; i < media->format_count; i++)
		if (sdp_format_is_sound(&media->formats[i]) && !stripped(policy, &media->formats[i]))
			return &media->formats[i];
	return NULL;
}

// --- the choice -----------------------------------------------------------------------------------------------------

static bool is_event(const struct offer_format *format)
{
	return strcasecmp(format->encoding, "telephone-event") == 0;
}

// A party's telephone-event: at its codec's clock, as RFC 4733 wants it, else whichever there is.
static const struct offer_format *event_find(const struct offer_media *media, uint32_t clock_hz)
{
	const struct offer_format *any = NULL;

	for (unsigned i = 0; i < media->format_count; i++) {
		if (!is_event(&media->formats[i]))
			continue;
		if (media->formats[i].clock_hz == clock_hz)
			return &media->formats[i];
		any = any ? any : &media->formats[i];
	}
	return any;
}

static void events_choose(
	const struct offer_media *offered, const struct offer_media *answered, struct offer_choice *out)
{
	const struct offer_format *mine, *theirs = event_find(answered, out->answerer.codec.clock_hz);

	if (!theirs)
		return;
	// Passed on they must be the same; a room puts one clock's into the other's.
	mine = out->way == OFFER_PASS ? alike_find(offered, theirs) : event_find(offered, out->offerer.codec.clock_hz);
	if (!mine)
		return;
	out->answerer.event = *theirs;
	out->offerer.event = *mine;
}

// Both sides have the answer's codec, or one of the answer's where nothing may be transcoded.
static const struct offer_format *common_find(const struct offer_media *offered, const struct offer_media *answered,
	const struct offer_policy *offerer, const struct offer_policy *answerer)
{
	for (unsigned i = 0; i < answered->format_count; i++) {
		const struct offer_format *format = &answered->formats[i];

		if (sdp_format_is_sound(format) && !stripped(answerer, format) && !stripped(offerer, format) &&
			alike_find(offered, format))
			return format;
	}
	return NULL;
}

static void pass(struct offer_choice *out, const struct offer_media *offered, const struct offer_format *format)
{
	out->way = OFFER_PASS;
	out->answerer.codec = *format;
	out->offerer.codec = *alike_find(offered, format);
	snprintf(out->why, sizeof(out->why), "both have %s", format->encoding);
}

// Between the two laws of G.711 the relay does it, as long as the packets stay the same.
static bool needs_room(const struct offer_choice *choice)
{
	const struct offer_side *a = &choice->offerer, *b = &choice->answerer;

	return !is_law(&a->codec) || !is_law(&b->codec) ||
	       (a->ptime_ms ? a->ptime_ms : 20) != (b->ptime_ms ? b->ptime_ms : 20);
}

static void transcode(struct offer_choice *out, const struct offer_format *offered, const struct offer_format *answered)
{
	out->offerer.codec = *offered;
	out->answerer.codec = *answered;
	out->way = OFFER_TRANSCODE;
	snprintf(out->why, sizeof(out->why), "transcoded%s: one side took %s, the other has %s",
		needs_room(out) ? "" : " byte by byte", answered->encoding, offered->encoding);
}

static void way_choose(
	const struct sdp *offer, const struct sdp *answer, const struct offer_terms *terms, struct offer_choice *out)
{
	const struct offer_media *offered = &offer->media, *answered = &answer->media;
	const struct offer_terms both = terms_of(terms);
	const struct offer_format *first, *common, *ours;
	bool never = both.to->pass_only || both.from->pass_only;

	*out = (struct offer_choice){.offerer.ptime_ms = offered->ptime_ms, .answerer.ptime_ms = answered->ptime_ms};
	first = first_sound(answered, both.from);
	common = common_find(offered, answered, both.to, both.from);
	ours = best_known(offered, both.to);
	if (first && first != common && ours && offer_codec_place(first) && !never)
		transcode(out, ours, first);
	if (out->way == OFFER_TRANSCODE && (!both.full || !needs_room(out)))
		return;
	if (common) {
		pass(out, offered, common);
	} else if (out->way == OFFER_TRANSCODE) {
		out->way = OFFER_FULL;
		snprintf(out->why, sizeof(out->why), "no codec in common, and no dsp lcore has time to transcode");
	} else {
		snprintf(out->why, sizeof(out->why), "no codec in common%s", never ? ", and transcode is false" : "");
	}
}

void offer_choose(
	const struct sdp *offer, const struct sdp *answer, const struct offer_terms *terms, struct offer_choice *out)
{
	way_choose(offer, answer, terms, out);
	if (out->way == OFFER_PASS || out->way == OFFER_TRANSCODE)
		events_choose(&offer->media, &answer->media, out);
}

// --- what is told ---------------------------------------------------------------------------------------------------

static bool number_taken(const struct offer_media *a, const struct offer_media *b, unsigned payload_type)
{
	return sdp_format_find(a, payload_type) || sdp_format_find(b, payload_type);
}

// A number for a codec of ours: its own, `wanted`, or a dynamic one that nobody uses. Returns: 255: none is left.
static uint8_t number_choose(
	const struct offer_media *from, const struct offer_media *out, const struct codec *codec, unsigned wanted)
{
	if (codec && codec->payload_type != CODEC_DYNAMIC && !number_taken(from, out, codec->payload_type))
		return codec->payload_type;
	if (wanted < 128 && !number_taken(from, out, wanted))
		return (uint8_t)wanted;
	for (unsigned n = 96; n < 128; n++)
		if (!number_taken(from, out, n))
			return (uint8_t)n;
	return 255;
}

// Offer a codec of ours too, where it is not there yet.
static void add(const struct sdp *from, const struct offer_terms *terms, unsigned place, unsigned wanted,
	struct offer_media *out, uint32_t *made)
{
	const struct codec *codec = codec_table[place - 1];
	struct offer_format format = {.clock_hz = codec->clock_hz};

	snprintf(format.encoding, sizeof(format.encoding), "%s", codec->name);
	if (out->format_count == OFFER_FORMATS || alike_find(out, &format) || stripped(terms->to, &format))
		return;
	if (terms->full && !(is_law(&format) && is_law(best_known(&from->media, terms->from))))
		return;
	format.payload_type = number_choose(&from->media, out, codec, wanted);
	if (format.payload_type == 255)
		return;
	*made |= UINT32_C(1) << out->format_count;
	out->formats[out->format_count++] = format;
}

// Who offers telephone-event offers it at the clocks of the codecs too that we added (RFC 4733 2.1).
static void add_events(const struct sdp *from, struct offer_media *out, uint32_t *made)
{
	const struct offer_format *event = event_find(out, 0);
	unsigned count = out->format_count;

	for (unsigned i = 0; event && i < count; i++) {
		struct offer_format format = *event;

		format.clock_hz = out->formats[i].clock_hz;
		if (!(*made >> i & 1) || out->format_count == OFFER_FORMATS || alike_find(out, &format))
			continue;
		format.payload_type = number_choose(&from->media, out, NULL, 255);
		if (format.payload_type == 255)
			return;
		*made |= UINT32_C(1) << out->format_count;
		out->formats[out->format_count++] = format;
	}
}

static unsigned place_of(const struct offer_policy *policy, const struct offer_format *format)
{
	return sdp_format_is_sound(format) ? rank(policy, format) : OFFER_CODECS + 1;
}

// Preferred ones first, sound before what goes along with it; otherwise as they stand.
static void sort(const struct offer_policy *policy, struct offer_media *out, uint32_t *made)
{
	if (!policy->prefer[0] && !*made)
		return;
	for (unsigned i = 1; i < out->format_count; i++)
		for (unsigned j = i; j > 0; j--) {
			struct offer_format *a = &out->formats[j - 1], *b = &out->formats[j], swap = *a;
			uint32_t bits = *made >> (j - 1) & 3;

			if (place_of(policy, a) <= place_of(policy, b))
				break;
			*a = *b;
			*b = swap;
			*made = (*made & ~(UINT32_C(3) << (j - 1))) | ((bits >> 1 | bits << 1) & 3) << (j - 1);
		}
}

static unsigned sound_count(const struct offer_media *media)
{
	unsigned count = 0;

	for (unsigned i = 0; i < media->format_count; i++)
		count += sdp_format_is_sound(&media->formats[i]);
	return count;
}

unsigned offer_formats(const struct sdp *from, const struct offer_terms *terms, struct offer_media *out, uint32_t *made)
{
	const struct offer_terms both = terms_of(terms);
	const struct offer_media *media = &from->media;

	*out = *media;
	*made = 0;
	out->format_count = 0;
	for (unsigned i = 0; i < media->format_count; i++)
		if (!stripped(both.to, &media->formats[i]) && !stripped(both.from, &media->formats[i]))
			out->formats[out->format_count++] = media->formats[i];
	if (best_known(media, both.from) && !both.to->pass_only && !both.from->pass_only) {
		for (unsigned i = 0; i < OFFER_CODECS && both.to->offer[i]; i++)
			add(from, &both, both.to->offer[i], 255, out, made);
		for (unsigned i = 0; both.known && i < both.known->media.format_count; i++) {
			const struct offer_format *format = &both.known->media.formats[i];
			unsigned place = offer_codec_place(format);

			if (place)
				add(from, &both, place, format->payload_type, out, made);
		}
	}
	add_events(from, out, made);
	sort(both.to, out, made);
	errno = EPROTO;
	return sound_count(out);
}

unsigned offer_answer_formats(const struct sdp *from, const struct sdp *asked, const struct offer_terms *terms,
	struct offer_media *out, uint32_t *made)
{
	const struct offer_terms both = terms_of(terms);
	const struct offer_media *media = &from->media, *wanted = &asked->media;
	struct offer_choice choice;

	*out = *media;
	*made = 0;
	out->format_count = 0;
	// What the offerer does not send cannot be received, and the other way round.
	out->direction &= (wanted->direction & OFFER_RECVONLY) << 1 | (wanted->direction & OFFER_SENDONLY) >> 1;
	offer_choose(asked, from, &both, &choice);
	errno = choice.way == OFFER_FULL ? EBUSY : EPROTO;
	if (choice.way == OFFER_TRANSCODE) {
		*made = choice.offerer.event.clock_hz ? 3 : 1;
		out->formats[out->format_count++] = choice.offerer.codec;
		if (choice.offerer.event.clock_hz)
			out->formats[out->format_count++] = choice.offerer.event;
		out->ptime_ms = wanted->ptime_ms;
	} else if (choice.way == OFFER_PASS) {
		for (unsigned i = 0; i < media->format_count; i++)
			if (alike_find(wanted, &media->formats[i]) && !stripped(both.to, &media->formats[i]) &&
				!stripped(both.from, &media->formats[i]))
				out->formats[out->format_count++] = media->formats[i];
	}
	return sound_count(out);
}
