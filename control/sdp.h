// SPDX-License-Identifier: BSD-3-Clause
// A parsed session description as its reader (sdp.c) and its writer (offer.c) share it. Everybody else uses offer.h.
#pragma once

#include "offer.h"

#define SDP_MAX_BYTES 16384
#define SDP_MAX_LINES 512
#define SDP_MAX_MEDIA 16

struct sdp_line {
	char type;
	const char *value; // into sdp.text
};

struct sdp_section {                        // one m-line and what belongs to it
	const char *kind, *proto, *formats; // "audio", "RTP/AVP", "0 8 101"
	uint16_t port;
	unsigned first, count; // its lines behind the m-line
};

struct sdp {
	char *text;    // the whole, cut into strings
	uint64_t hash; // of it as it came
	unsigned line_count, session_lines;
	struct sdp_section *sections; // behind the lines; room for each m=, at most SDP_MAX_MEDIA
	unsigned section_count;
	int audio; // the section that we relay; -1: none
	struct offer_media media;
	struct sdp_line lines[]; // at most SDP_MAX_LINES
};

// The value behind "NAME:" (or "" for the flag NAME) where `line` is that attribute, else NULL.
const char *sdp_attribute(const struct sdp_line *line, const char *name);
// The format with this payload type, or NULL.
const struct offer_format *sdp_format_find(const struct offer_media *media, unsigned payload_type);
// Is it sound? The others (digits, comfort noise, redundancy) need one beside them.
bool sdp_format_is_sound(const struct offer_format *format);
