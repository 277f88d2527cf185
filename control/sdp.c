// SPDX-License-Identifier: BSD-3-Clause
// Reads session descriptions. osip2 has a parser too, and it is not used: it refuses an empty s= and other harmless
// deviations that real peers send, its types would have to be known outside sip_msg.c, and an anchor needs a dozen
// attributes only. What this reader does not know is passed over, so nothing of it can leak to the other party.

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sdp.h"

// RFC 3551 tables 4 and 5: payload types that need no rtpmap.
static const struct offer_format static_formats[] = {
	{0, 8000, "PCMU"},
	{3, 8000, "GSM"},
	{4, 8000, "G723"},
	{5, 8000, "DVI4"},
	{6, 16000, "DVI4"},
	{7, 8000, "LPC"},
	{8, 8000, "PCMA"},
	{9, 8000, "G722"}, // its RTP clock, though the audio has 16 kHz
	{10, 44100, "L16"},
	{11, 44100, "L16"},
	{12, 8000, "QCELP"},
	{13, 8000, "CN"},
	{14, 90000, "MPA"},
	{15, 8000, "G728"},
	{16, 11025, "DVI4"},
	{17, 22050, "DVI4"},
	{18, 8000, "G729"},
};

static int refuse(char err[OFFER_ERR], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int refuse(char err[OFFER_ERR], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(err, OFFER_ERR, fmt, args);
	va_end(args);
	return -EBADMSG;
}

const char *sdp_attribute(const struct sdp_line *line, const char *name)
{
	size_t length = strlen(name);

	if (line->type != 'a' || strncmp(line->value, name, length) != 0)
		return NULL;
	if (line->value[length] == '\0')
		return line->value + length;
	return line->value[length] == ':' ? line->value + length + 1 : NULL;
}

const struct offer_format *sdp_format_find(const struct offer_media *media, unsigned payload_type)
{
	for (unsigned i = 0; i < media->format_count; i++)
		if (media->formats[i].payload_type == payload_type)
			return &media->formats[i];
	return NULL;
}

bool sdp_format_is_sound(const struct offer_format *format)
{
	return strcasecmp(format->encoding, "telephone-event") != 0 && strcasecmp(format->encoding, "CN") != 0 &&
	       strcasecmp(format->encoding, "red") != 0;
}

// A decimal number at *text, which moves behind it. Returns: false where there is none or it is above max.
static bool number_read(const char **text, unsigned long max, unsigned long *out)
{
	const char *p = *text;
	unsigned long value = 0;

	if (!isdigit((unsigned char)*p))
		return false;
	for (; isdigit((unsigned char)*p); p++) {
		value = value * 10 + (unsigned long)(*p - '0');
		if (value > max)
			return false;
	}
	*text = p;
	*out = value;
	return true;
}

// --- lines --------------------------------------------------------------------------------------------------------

// Room for as many lines as the text may have: a call keeps its descriptions until half a minute after its end.
static struct sdp *sdp_create(const char *text, size_t length)
{
	unsigned lines = 1, sections = 0;
	struct sdp *sdp;

	for (size_t i = 0; i < length && lines < SDP_MAX_LINES; i++)
		lines += text[i] == '\n';
	for (size_t i = 0; i < length && sections < SDP_MAX_MEDIA; i++)
		sections += text[i] == 'm' && (i == 0 || text[i - 1] == '\n');
	sdp = calloc(1, sizeof(*sdp) + lines * sizeof(sdp->lines[0]) + sections * sizeof(*sdp->sections));
	if (sdp && (sdp->text = strndup(text, length))) {
		sdp->sections = (struct sdp_section *)&sdp->lines[lines];
		return sdp;
	}
	free(sdp);
	return NULL;
}

// Cut the text into lines in place. Blank lines and lines that are not "x=..." are passed over.
static int lines_cut(struct sdp *sdp, char err[OFFER_ERR])
{
	char *next = sdp->text;
	unsigned number = 0;

	while (next && *next) {
		char *line = next, *end = strchr(line, '\n');
		size_t length = end ? (size_t)(end - line) : strlen(line);

		next = end ? end + 1 : NULL;
		number++;
		while (length && (line[length - 1] == '\r' || line[length - 1] == ' '))
			length--;
		line[length] = '\0';
		for (size_t i = 0; i < length; i++)
			if ((unsigned char)line[i] < ' ' && line[i] != '\t')
				return refuse(err, "line %u has a control character", number);
		if (length < 2 || line[1] != '=')
			continue;
		if (sdp->line_count == SDP_MAX_LINES)
			return refuse(err, "more than %d lines", SDP_MAX_LINES);
		sdp->lines[sdp->line_count++] = (struct sdp_line){.type = line[0], .value = line + 2};
	}
	return 0;
}

// "audio 49170/2 RTP/AVP 0 8" -> kind, port, proto, formats; cuts in place.
static int section_parse(struct sdp_section *section, char *value, char err[OFFER_ERR])
{
	char *save = NULL;
	const char *port;
	unsigned long parsed;

	section->kind = strtok_r(value, " \t", &save);
	port = strtok_r(NULL, " \t", &save);
	section->proto = strtok_r(NULL, " \t", &save);
	section->formats = save ? save + strspn(save, " \t") : "";
	if (!section->kind || !port || !section->proto || !*section->formats)
		return refuse(err, "an m= line is not \"m=KIND PORT PROTOCOL FORMATS\"");
	if (!number_read(&port, 65535, &parsed) || (*port && *port != '/'))
		return refuse(err, "the port of m=%.20s is no number from 0 to 65535", section->kind);
	section->port = (uint16_t)parsed;
	return 0;
}

static int sections_find(struct sdp *sdp, char err[OFFER_ERR])
{
	struct sdp_section *section = NULL;

	sdp->session_lines = sdp->line_count;
	for (unsigned i = 0; i < sdp->line_count; i++) {
		if (sdp->lines[i].type != 'm') {
			if (section)
				section->count++;
			continue;
		}
		if (!section)
			sdp->session_lines = i;
		if (sdp->section_count == SDP_MAX_MEDIA)
			return refuse(err, "more than %d m= lines", SDP_MAX_MEDIA);
		section = &sdp->sections[sdp->section_count++];
		section->first = i + 1;
		// lines point into sdp->text, which is ours to cut
		if (section_parse(section, sdp->text + (sdp->lines[i].value - sdp->text), err) != 0)
			return -EBADMSG;
	}
	return 0;
}

// --- the audio ----------------------------------------------------------------------------------------------------

static void format_add(struct offer_media *media, const struct offer_format *format)
{
	// 72-76 would be RTCP packet types (RFC 3551)
	if (media->format_count == OFFER_FORMATS || (format->payload_type >= 72 && format->payload_type <= 76) ||
		sdp_format_find(media, format->payload_type))
		return;
	media->formats[media->format_count++] = *format;
}

// "97 opus/48000/2" Returns: false where it is not that.
static bool rtpmap_parse(const char *value, struct offer_format *out)
{
	unsigned long payload_type, clock;
	size_t length;

	memset(out, 0, sizeof(*out));
	if (!number_read(&value, 127, &payload_type) || (*value != ' ' && *value != '\t'))
		return false;
	value += strspn(value, " \t");
	length = strcspn(value, "/");
	if (!length || length >= sizeof(out->encoding) || value[length] != '/' || strcspn(value, " \t") < length)
		return false;
	memcpy(out->encoding, value, length);
	value += length + 1;
	if (!number_read(&value, 1000000, &clock) || !clock)
		return false;
	out->payload_type = (uint8_t)payload_type;
	out->clock_hz = (uint32_t)clock;
	return true;
}

// What a payload type of the m-line means: its rtpmap, else RFC 3551's table. Returns: false for an unexplained one.
static bool format_explain(
	const struct sdp *sdp, const struct sdp_section *section, unsigned long payload_type, struct offer_format *out)
{
	for (unsigned i = 0; i < section->count; i++) {
		const char *value = sdp_attribute(&sdp->lines[section->first + i], "rtpmap");

		if (value && rtpmap_parse(value, out) && out->payload_type == payload_type)
			return true;
	}
	for (size_t i = 0; i < sizeof(static_formats) / sizeof(*static_formats); i++) {
		if (static_formats[i].payload_type == payload_type) {
			*out = static_formats[i];
			return true;
		}
	}
	return false;
}

static int formats_parse(struct sdp *sdp, const struct sdp_section *section, char err[OFFER_ERR])
{
	const char *p = section->formats;
	struct offer_format format;
	unsigned long payload_type;

	while (*p) {
		if (!number_read(&p, 127, &payload_type) || (*p && *p != ' ' && *p != '\t'))
			return refuse(err, "m=audio lists a payload type that is no number from 0 to 127");
		p += strspn(p, " \t");
		if (format_explain(sdp, section, payload_type, &format))
			format_add(&sdp->media, &format);
	}
	return 0;
}

// "IN IP4 192.0.2.1/127" Returns: 0; -ENOTSUP for a name, multicast or another net; -EBADMSG.
static int connection_parse(const char *value, struct kg_addr *out)
{
	char net[8], family[8], text[64];

	memset(out, 0, sizeof(*out));
	if (sscanf(value, "%7s %7s %63s", net, family, text) != 3)
		return -EBADMSG;
	text[strcspn(text, "/")] = '\0';
	if (strcmp(net, "IN") != 0 || kg_addr_parse(out, text, 0) != 0)
		return -ENOTSUP;
	if ((out->family == 4) != (strcmp(family, "IP4") == 0) || (out->family == 4 && out->ip[0] >= 224) ||
		(out->family == 6 && out->ip[0] == 0xff))
		return -ENOTSUP;
	return 0;
}

static bool addr_unspecified(const struct kg_addr *addr)
{
	static const uint8_t zero[16];

	return memcmp(addr->ip, zero, sizeof(zero)) == 0;
}

static bool direction_parse(const struct sdp_line *line, enum offer_direction *out)
{
	static const char *const names[] = {"inactive", "recvonly", "sendonly", "sendrecv"};

	for (unsigned i = 0; i < 4; i++) {
		if (line->type == 'a' && strcmp(line->value, names[i]) == 0) {
			*out = (enum offer_direction)i;
			return true;
		}
	}
	return false;
}

// "9001" or "9001 IN IP4 192.0.2.3"; anything else leaves port + 1.
static void rtcp_parse(const char *value, struct offer_media *media)
{
	unsigned long port;
	struct kg_addr addr;

	if (!number_read(&value, 65535, &port) || !port)
		return;
	if (*value == '\0') {
		media->remote_rtcp.port = (uint16_t)port;
	} else if (connection_parse(value, &addr) == 0 && !addr_unspecified(&addr)) {
		media->remote_rtcp = addr;
		media->remote_rtcp.port = (uint16_t)port;
	}
}

// The connection that counts for a section: its own, else the session's.
static const char *connection_find(const struct sdp *sdp, const struct sdp_section *section)
{
	for (unsigned i = 0; i < section->count; i++)
		if (sdp->lines[section->first + i].type == 'c')
			return sdp->lines[section->first + i].value;
	for (unsigned i = 0; i < sdp->session_lines; i++)
		if (sdp->lines[i].type == 'c')
			return sdp->lines[i].value;
	return NULL;
}

static void attributes_parse(struct sdp *sdp, const struct sdp_section *section)
{
	struct offer_media *media = &sdp->media;
	const char *value;
	unsigned long number;

	media->direction = OFFER_SENDRECV;
	for (unsigned i = 0; i < sdp->session_lines; i++)
		direction_parse(&sdp->lines[i], &media->direction);
	for (unsigned i = 0; i < section->count; i++) {
		const struct sdp_line *line = &sdp->lines[section->first + i];

		if (direction_parse(line, &media->direction))
			continue;
		if ((value = sdp_attribute(line, "ptime")) && number_read(&value, 1000, &number))
			media->ptime_ms = (uint32_t)number;
		else if ((value = sdp_attribute(line, "rtcp")))
			rtcp_parse(value, media);
		else if (sdp_attribute(line, "rtcp-mux"))
			media->rtcp_mux = true;
	}
}

static int audio_parse(struct sdp *sdp, const struct sdp_section *section, char err[OFFER_ERR])
{
	struct offer_media *media = &sdp->media;
	const char *connection = connection_find(sdp, section);
	int error;

	if (!connection)
		return refuse(err, "m=audio has no c= line, nor has the session");
	error = connection_parse(connection, &media->remote);
	if (error == -EBADMSG)
		return refuse(err, "c= is not \"c=IN IP4 ADDRESS\"");
	media->remote.port = section->port;
	media->remote_rtcp = media->remote;
	media->remote_rtcp.port = (uint16_t)(section->port == 65535 ? 65535 : section->port + 1);
	attributes_parse(sdp, section);
	if (formats_parse(sdp, section, err) != 0)
		return -EBADMSG;
	for (unsigned i = 0; i < media->format_count && error == 0; i++)
		media->present |= sdp_format_is_sound(&media->formats[i]);
	if (media->rtcp_mux)
		media->remote_rtcp = media->remote;
	if (error == 0 && addr_unspecified(&media->remote)) {
		// the old spelling of hold: nothing may be sent there, RTCP neither
		memset(&media->remote, 0, sizeof(media->remote));
		memset(&media->remote_rtcp, 0, sizeof(media->remote_rtcp));
		media->direction = media->direction == OFFER_SENDRECV || media->direction == OFFER_SENDONLY
					   ? OFFER_SENDONLY
					   : OFFER_INACTIVE;
	}
	return 0;
}

// The first audio with a plain RTP profile and a port is the one that we relay.
static int audio_find(struct sdp *sdp, char err[OFFER_ERR])
{
	sdp->audio = -1;
	for (unsigned i = 0; i < sdp->section_count && sdp->audio < 0; i++) {
		const struct sdp_section *section = &sdp->sections[i];

		if (strcasecmp(section->kind, "audio") == 0 && section->port != 0 &&
			(strcmp(section->proto, "RTP/AVP") == 0 || strcmp(section->proto, "RTP/AVPF") == 0))
			sdp->audio = (int)i;
	}
	return sdp->audio < 0 ? 0 : audio_parse(sdp, &sdp->sections[sdp->audio], err);
}

int sdp_parse_text(const char *text, size_t length, struct sdp **out, char err[OFFER_ERR])
{
	struct sdp *sdp;
	int error;

	*out = NULL;
	err[0] = '\0';
	if (length > SDP_MAX_BYTES)
		return refuse(err, "%zu bytes, more than the %d that are read", length, SDP_MAX_BYTES);
	if (memchr(text, '\0', length))
		return refuse(err, "it has a NUL byte");
	sdp = sdp_create(text, length);
	if (!sdp)
		return refuse(err, "no memory");
	sdp->hash = 14695981039346656037u; // FNV-1a
	for (size_t i = 0; i < length; i++)
		sdp->hash = (sdp->hash ^ (unsigned char)text[i]) * 1099511628211u;
	error = lines_cut(sdp, err);
	if (!error && (!sdp->line_count || sdp->lines[0].type != 'v' || strcmp(sdp->lines[0].value, "0") != 0))
		error = refuse(err, "it does not begin with v=0");
	if (!error)
		error = sections_find(sdp, err);
	if (!error)
		error = audio_find(sdp, err);
	if (error)
		sdp_free(sdp);
	else
		*out = sdp;
	return error;
}

bool sdp_same(const struct sdp *a, const struct sdp *b)
{
	return a && b && a->hash == b->hash;
}

void sdp_free(struct sdp *sdp)
{
	if (!sdp)
		return;
	free(sdp->text);
	free(sdp);
}

void sdp_media(const struct sdp *sdp, struct offer_media *out)
{
	*out = sdp->media;
}

const char *sdp_fmtp(const struct sdp *sdp, unsigned payload_type)
{
	const struct sdp_section *section = sdp->audio < 0 ? NULL : &sdp->sections[sdp->audio];
	const char *value;
	char *rest;

	for (unsigned i = 0; section && i < section->count; i++) {
		value = sdp_attribute(&sdp->lines[section->first + i], "fmtp");
		if (!value || strtoul(value, &rest, 10) != payload_type || rest == value)
			continue;
		return rest + strspn(rest, " ");
	}
	return NULL;
}
