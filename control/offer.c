// SPDX-License-Identifier: BSD-3-Clause
// Writes session descriptions: one party's, told to the other as ours. Only what is named here is copied, so that no
// address, key, candidate or identity of a party can slip through in a line that nobody thought of.

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sdp.h"

// Attributes of the audio that speak of the media, not of a party's end.
static const char *const kept_attributes[] = {"maxptime", "silenceSupp", NULL};
static const char *const kept_by_format[] = {"fmtp", "rtcp-fb", NULL}; // "NAME:PT ..." ("*" for all)

static bool formats_alike(const struct offer_format *a, const struct offer_format *b)
{
	return a->clock_hz == b->clock_hz && strcasecmp(a->encoding, b->encoding) == 0;
}

// The formats that may be told: all of an offer; of an answer those that were offered, by number or by another number
// for the same encoding (RFC 3264 6.1). Returns: how many of them are sound.
static unsigned formats_choose(
	const struct offer_media *from, const struct offer_media *offered, struct offer_media *out)
{
	unsigned audio = 0;

	*out = *from;
	out->format_count = 0;
	if (offered) // what the offerer does not send cannot be received, and the other way round
		out->direction &=
			(offered->direction & OFFER_RECVONLY) << 1 | (offered->direction & OFFER_SENDONLY) >> 1;
	for (unsigned i = 0; i < from->format_count; i++) {
		const struct offer_format *format = &from->formats[i];
		bool wanted = !offered;

		for (unsigned j = 0; offered && j < offered->format_count && !wanted; j++)
			wanted = formats_alike(format, &offered->formats[j]);
		if (!wanted)
			continue;
		out->formats[out->format_count++] = *format;
		audio += sdp_format_is_sound(format);
	}
	return audio;
}

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

static void audio_write(
	FILE *out, const struct sdp *from, const struct offer_media *chosen, const struct offer_local *local)
{
	static const char *const directions[] = {"inactive", "recvonly", "sendonly", "sendrecv"};
	const struct sdp_section *section = &from->sections[from->audio];
	const struct sdp_line *lines = &from->lines[section->first];

	fprintf(out, "m=audio %u %s", local->rtp.port, section->proto);
	for (unsigned i = 0; i < chosen->format_count; i++)
		fprintf(out, " %u", chosen->formats[i].payload_type);
	fprintf(out, "\r\n");
	for (unsigned i = 0; i < section->count; i++)
		if (lines[i].type == 'b')
			fprintf(out, "b=%s\r\n", lines[i].value);
	for (unsigned i = 0; i < section->count; i++)
		rtpmap_write(out, &lines[i], chosen);
	for (unsigned i = 0; i < section->count; i++)
		kept_write(out, &lines[i], chosen);
	if (chosen->ptime_ms)
		fprintf(out, "a=ptime:%u\r\n", chosen->ptime_ms);
	if (local->mux)
		fprintf(out, "a=rtcp-mux\r\n");
	fprintf(out, "a=%s\r\n", directions[chosen->direction]);
}

char *sdp_relay_text(
	const struct sdp *from, const struct sdp *as_answer_to, const struct offer_local *local, char err[OFFER_ERR])
{
	const struct sdp *ruler = as_answer_to ? as_answer_to : from; // whose m-lines rule
	struct offer_media chosen;
	char *text = NULL;
	size_t length;
	FILE *out;

	if (!from->media.present || ruler->audio < 0) {
		snprintf(err, OFFER_ERR, "it has no audio over RTP/AVP with an address and a known format");
		return NULL;
	}
	if (!formats_choose(&from->media, as_answer_to ? &as_answer_to->media : NULL, &chosen)) {
		snprintf(err, OFFER_ERR,
			as_answer_to ? "the answer accepts no codec of the offer"
				     : "the offer names no codec for sound");
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
			audio_write(out, from, &chosen, local);
		else
			refused_write(out, &ruler->sections[i]);
	}
	if (fclose(out) != 0) {
		free(text);
		snprintf(err, OFFER_ERR, "no memory");
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
