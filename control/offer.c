// SPDX-License-Identifier: BSD-3-Clause
// Writes session descriptions: one party's, told to the other as ours. Only what is named here is copied, so that no
// address, key, candidate or identity of a party can slip through in a line that nobody thought of.

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec.h"
#include "offer_codecs.h"
#include "sdp.h"

// Attributes of the audio that speak of the media, not of a party's end.
static const char *const kept_attributes[] = {"maxptime", "silenceSupp", NULL};
static const char *const kept_by_format[] = {"fmtp", "rtcp-fb", NULL}; // "NAME:PT ..." ("*" for all)

static void head_write(FILE *out, const struct offer_local *local)
{
	char ip[KG_ADDR_STRLEN];
	const char *family = local->rtp.family == 6 ? "IP6" : "IP4";

	kg_addr_ip(&local->rtp, ip, sizeof(ip));
	fprintf(out,
		"v=0\r\no=- %" PRIu64 " %" PRIu32 " IN %s %s\r\n"
		"s=-\r\nc=IN %s %s\r\nt=0 0\r\n",
		local->session_id, local->version, family, ip, family, ip);
}

static void refused_write(FILE *out, const struct sdp_section *section)
{
	fprintf(out, "m=%s 0 %s %s\r\n", section->kind, section->proto, section->formats);
}

// Does "PT rest" or "* rest" speak of a chosen format?
static bool by_format_wanted(const char *value, const struct offer_media *chosen)
{
	if (*value == '*')
		return true;
	return isdigit((unsigned char)*value) && sdp_format_find(chosen, (unsigned)strtoul(value, NULL, 10));
}

// A format that stands in no line of the other party's: ours.
static void made_write(FILE *out, const struct offer_format *format)
{
	unsigned place = offer_codec_place(format);
	const struct codec *codec = place ? codec_table[place - 1] : NULL;

	fprintf(out, "a=rtpmap:%u %s/%u%s\r\n", format->payload_type, format->encoding, format->clock_hz,
		codec && codec->channels == 2 ? "/2" : "");
	if (strcasecmp(format->encoding, "telephone-event") == 0)
		fprintf(out, "a=fmtp:%u 0-16\r\n", format->payload_type);
	else if (strcasecmp(format->encoding, "opus") == 0)
		fprintf(out, "a=fmtp:%u useinbandfec=1\r\n", format->payload_type);
}

static void rtpmap_write(FILE *out, const struct sdp_line *line, const struct offer_media *chosen)
{
	const char *value = sdp_attribute(line, "rtpmap");

	if (value && by_format_wanted(value, chosen) && *value != '*')
		fprintf(out, "a=%s\r\n", line->value);
}

static void kept_write(FILE *out, const struct sdp_line *line, const struct offer_media *chosen)
{
	const char *value;

	for (unsigned i = 0; kept_attributes[i]; i++)
		if (sdp_attribute(line, kept_attributes[i]))
			fprintf(out, "a=%s\r\n", line->value);
	for (unsigned i = 0; kept_by_format[i]; i++)
		if ((value = sdp_attribute(line, kept_by_format[i])) && by_format_wanted(value, chosen))
			fprintf(out, "a=%s\r\n", line->value);
}

// made: bit per chosen format that is ours.
static void audio_write(FILE *out, const struct sdp *from, const struct offer_media *chosen, uint32_t made,
	const struct offer_local *local)
{
	static const char *const directions[] = {"inactive", "recvonly", "sendonly", "sendrecv"};
	const struct sdp_section *section = &from->sections[from->audio];
	const struct sdp_line *lines = &from->lines[section->first];
	struct offer_media theirs = *chosen;

	fprintf(out, "m=audio %u %s", local->rtp.port, section->proto);
	for (unsigned i = 0; i < chosen->format_count; i++)
		fprintf(out, " %u", chosen->formats[i].payload_type);
	fprintf(out, "\r\n");
	for (unsigned i = 0; i < section->count; i++)
		if (lines[i].type == 'b')
			fprintf(out, "b=%s\r\n", lines[i].value);
	theirs.format_count = 0; // an answer's numbers may mean something else in the lines of who gave it
	for (unsigned i = 0; i < chosen->format_count; i++)
		if (!(made >> i & 1))
			theirs.formats[theirs.format_count++] = chosen->formats[i];
	for (unsigned i = 0; i < section->count; i++)
		rtpmap_write(out, &lines[i], &theirs);
	for (unsigned i = 0; i < section->count; i++)
		kept_write(out, &lines[i], &theirs);
	for (unsigned i = 0; i < chosen->format_count; i++)
		if (made >> i & 1)
			made_write(out, &chosen->formats[i]);
	if (chosen->ptime_ms)
		fprintf(out, "a=ptime:%u\r\n", chosen->ptime_ms);
	if (local->mux)
		fprintf(out, "a=rtcp-mux\r\n");
	fprintf(out, "a=%s\r\n", directions[chosen->direction]);
}

char *sdp_relay_text(const struct sdp *from, const struct sdp *as_answer_to, const struct offer_terms *terms,
	const struct offer_local *local, char err[OFFER_ERR])
{
	const struct sdp *ruler = as_answer_to ? as_answer_to : from; // whose m-lines rule
	struct offer_media chosen;
	unsigned sound;
	uint32_t made;
	char *text = NULL;
	size_t length;
	FILE *out;

	if (!from->media.present || ruler->audio < 0) {
		snprintf(err, OFFER_ERR, "it has no audio over RTP/AVP with an address and a known format");
		errno = EPROTO;
		return NULL;
	}
	sound = as_answer_to ? offer_answer_formats(from, as_answer_to, terms, &chosen, &made)
			     : offer_formats(from, terms, &chosen, &made);
	if (!sound) {
		snprintf(err, OFFER_ERR,
			errno == EBUSY ? "it would have to be transcoded, and no dsp lcore has time for it"
			: as_answer_to ? "the answer accepts no codec of the offer, nor one to transcode"
				       : "the offer names no codec for sound that may pass");
		return NULL;
	}
	out = open_memstream(&text, &length);
	if (!out) {
		snprintf(err, OFFER_ERR, "no memory");
		return NULL;
	}
	head_write(out, local);
	for (unsigned i = 0; i < ruler->section_count; i++) {
		if ((int)i == ruler->audio)
			audio_write(out, from, &chosen, made, local);
		else
			refused_write(out, &ruler->sections[i]);
	}
	if (fclose(out) != 0) {
		free(text);
		snprintf(err, OFFER_ERR, "no memory");
		errno = ENOMEM;
		return NULL;
	}
	return text;
}

char *sdp_refusal_text(const struct sdp *offer, const struct offer_local *local)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return NULL;
	head_write(out, local);
	for (unsigned i = 0; i < offer->section_count; i++)
		refused_write(out, &offer->sections[i]);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
