// SPDX-License-Identifier: BSD-3-Clause
// Which codecs a party is offered, and which one each side gets: passed on where both have it, else transcoded. Pure.
#pragma once

#include "offer.h"

#define OFFER_CODECS 16
#define OFFER_WHY 128

// What the configuration says of a party's codecs. Codecs are written as 1 + their place in codec_table; 0 ends a list.
struct offer_policy {
	uint8_t offer[OFFER_CODECS];  // offered beside what the other party has
	uint8_t prefer[OFFER_CODECS]; // come first, in this order
	uint32_t strip;               // bit per place: as if nobody had it
	bool pass_only;               // transcode: false
	int jitter;                   // enum kg_jitter: how what the party sends is played where it is transcoded
	uint32_t jitter_min_ms, jitter_max_ms; // 0: the jitter buffer's own
};

// The two parties of a description: who is told it, and who said it.
struct offer_terms {
	const struct offer_policy *to, *from;
	const struct sdp *known; // what `to` said last: it has those codecs; NULL: nothing yet
	bool full;               // no dsp lcore has time for one more: only what the relay can do itself
};

enum offer_way { OFFER_NOTHING, OFFER_PASS, OFFER_TRANSCODE, OFFER_FULL }; // FULL: TRANSCODE, had there been time

// One side of an agreement.
struct offer_side {
	struct offer_format codec, event; // event.clock_hz 0: it takes no telephone-event
	uint32_t ptime_ms;                // that it wants to receive; 0: not said
};

struct offer_choice {
	enum offer_way way;
	struct offer_side offerer, answerer;
	char why[OFFER_WHY]; // in words, for the API and the log
};

// 1 + the place of a format in codec_table; 0: it is none of ours.
unsigned offer_codec_place(const struct offer_format *format);

// What an answer (of terms->from) makes of an offer (of terms->to). NULL terms and policies say nothing.
void offer_choose(
	const struct sdp *offer, const struct sdp *answer, const struct offer_terms *terms, struct offer_choice *out);

// The formats for an offer: `from`'s, without what is stripped, with what can be transcoded beside it, preferred ones
// first. *made: bit per place in out->formats that is ours and stands in no line of `from`.
// Returns: how many of them are sound; 0: errno says why (EPROTO: no common codec, EBUSY: no dsp lcore has time).
unsigned offer_formats(
	const struct sdp *from, const struct offer_terms *terms, struct offer_media *out, uint32_t *made);

// The formats for an answer, of `from` to `asked`. *made as above: those are `asked`'s. Returns: as above.
unsigned offer_answer_formats(const struct sdp *from, const struct sdp *asked, const struct offer_terms *terms,
	struct offer_media *out, uint32_t *made);
