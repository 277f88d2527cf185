// SPDX-License-Identifier: BSD-3-Clause
// SDP offer/answer of an anchored call (RFC 3264, RFC 8866): reads one party's SDP, tells what the media plane needs to
// know, and writes the SDP for the other party with our address and port. Pure: no sockets, no clock.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kg_addr.h"

#define OFFER_FORMATS 16
#define OFFER_ERR 128

enum offer_direction { OFFER_INACTIVE, OFFER_RECVONLY, OFFER_SENDONLY, OFFER_SENDRECV }; // bit 0 receives, bit 1 sends

struct offer_format {
	uint8_t payload_type;
	uint32_t clock_hz;
	char encoding[24]; // "PCMU", "telephone-event"
};

// The audio of one party's SDP. Other m-lines are kept in order and refused with port 0.
struct offer_media {
	bool present;               // an audio m-line with RTP/AVP or /AVPF, a port, an IP address and a known codec
	struct kg_addr remote;      // RTP; family 0 for c=0.0.0.0 (hold in the old spelling)
	struct kg_addr remote_rtcp; // a=rtcp, else port + 1; the RTP port with rtcp-mux
	bool rtcp_mux;
	enum offer_direction direction; // from the party's own view
	struct offer_format formats[OFFER_FORMATS];
	unsigned format_count;
	uint32_t ptime_ms; // 0: not said
};

struct sdp; // a parsed session description

// Accepts LF line ends and a missing s=. Owns: *out is the caller's (sdp_free).
// Returns: 0, or -EBADMSG with a sentence in err.
int sdp_parse_text(const char *text, size_t length, struct sdp **out, char err[OFFER_ERR]);
void sdp_free(struct sdp *sdp);
bool sdp_same(const struct sdp *a, const struct sdp *b); // word for word: nothing is asked for
void sdp_media(const struct sdp *sdp, struct offer_media *out);
// The parameters of one of the audio's formats (a=fmtp, behind the number), or NULL. Owns: sdp does.
const char *sdp_fmtp(const struct sdp *sdp, unsigned payload_type);

// What we say for one leg, made from the other party's SDP: m-lines in its order, the audio line with our address,
// port, rtcp (a=rtcp where not port + 1, a=rtcp-mux where `mux`) and the party's formats, fmtp, ptime and direction;
// its own o= line with our session id and version; no address of the other party anywhere (c=, o=, a=rtcp, candidates
// are gone).
struct offer_local {
	struct kg_addr rtp;
	bool mux;
	uint64_t session_id;
	uint32_t version;
};
// as_answer_to: the SDP that this text answers (its m-lines rule order and refusal), NULL for an offer.
// terms: what the two parties' codecs may be (offer_codecs.h); NULL: what can be transcoded may be.
// Owns: the caller frees. Returns: NULL with a sentence in err, and in errno EPROTO (no codec), EBUSY (no dsp lcore has
// time to transcode, and nothing else would do) or ENOMEM.
struct offer_terms;
char *sdp_relay_text(const struct sdp *from, const struct sdp *as_answer_to, const struct offer_terms *terms,
	const struct offer_local *local, char err[OFFER_ERR]);
// An answer that refuses every m-line (for a late offer that nobody took). Owns: the caller frees. Returns: NULL for
// want of memory.
char *sdp_refusal_text(const struct sdp *offer, const struct offer_local *local);
