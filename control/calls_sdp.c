// SPDX-License-Identifier: BSD-3-Clause
// What a session description in a message means for a call: read, reachable, and told to the other party in our words.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls_private.h"

// Read the message's SDP. Returns: CALL_SDP_GOOD and *out, which is the caller's, or what is wrong with it and why.
enum call_sdp sdp_read(const struct sip_msg *msg, struct sdp **out, char why[CALL_MESSAGE])
{
	const char *content = sip_msg_content_type(msg);
	struct offer_media media;
	char err[OFFER_ERR];
	size_t length = 0;
	const char *body = sip_msg_sdp(msg, &length);

	*out = NULL;
	if (!sip_msg_body(msg, NULL))
		return CALL_SDP_NONE;
	if (!body) {
		snprintf(why, CALL_MESSAGE, "the body is %.60s, and holds no application/sdp",
			content ? content : "of no type");
		return CALL_SDP_UNUSABLE;
	}
	if (sdp_parse_text(body, length, out, err) != 0) {
		snprintf(why, CALL_MESSAGE, "SDP: %s", err);
		return CALL_SDP_BROKEN;
	}
	sdp_media(*out, &media);
	if (media.present)
		return CALL_SDP_GOOD;
	snprintf(why, CALL_MESSAGE, "SDP: no m=audio over RTP/AVP with a port, an IP address and a known payload type");
	sdp_free(*out);
	*out = NULL;
	return CALL_SDP_UNUSABLE;
}

enum call_sdp sdp_untold(const char err[OFFER_ERR], char why[CALL_MESSAGE])
{
	enum call_sdp kind = errno == EBUSY ? CALL_SDP_NO_DSP : errno == ENOMEM ? CALL_SDP_NO_ROOM : CALL_SDP_UNUSABLE;

	snprintf(why, CALL_MESSAGE, "SDP: %s", err);
	return kind;
}

// Keep a party's usable SDP of one fork. An older one of that fork goes.
void sdp_keep(struct party *party, unsigned fork, struct sdp *sdp)
{
	if (party->sdp && party->sdp == party->sdps[fork])
		party->sdp = sdp;
	sdp_free(party->sdps[fork]);
	party->sdps[fork] = sdp;
}

// The callee's answer to the caller's offer, in an 18x or 2xx: read, reachable, and told to the caller.
enum call_sdp answer_take(
	struct party *callee, const struct sip_msg *msg, struct evidence *evidence, char why[CALL_MESSAGE])
{
	const struct party *caller = callee->anchor->caller;
	const struct offer_local local = leg_local(caller, caller->mux_said, 1);
	const struct offer_terms terms = party_terms(caller, callee);
	char err[OFFER_ERR];
	struct sdp *sdp;
	enum call_sdp read = sdp_read(msg, &sdp, why);

	if (read == CALL_SDP_NONE && callee->sdps[evidence->fork]) {
		// the answer came with this fork's 18x and is not repeated
		evidence->sdp = callee->sdps[evidence->fork];
		evidence->text = sdp_relay_text(evidence->sdp, caller->sdp, &terms, &local, err);
		return evidence->text ? CALL_SDP_GOOD : sdp_untold(err, why);
	}
	if (read == CALL_SDP_NONE)
		snprintf(why, CALL_MESSAGE, "the callee answered without SDP");
	party_locate(callee, msg);
	if (read == CALL_SDP_GOOD)
		read = leg_reaches(callee, sdp, why);
	if (read == CALL_SDP_GOOD) {
		evidence->text = sdp_relay_text(sdp, caller->sdp, &terms, &local, err);
		if (!evidence->text) {
			read = sdp_untold(err, why);
		}
	}
	if (read != CALL_SDP_GOOD) {
		sdp_free(sdp);
		return read;
	}
	sdp_keep(callee, evidence->fork, sdp);
	evidence->sdp = sdp;
	return CALL_SDP_GOOD;
}

// The callee's offer in its 2xx to an INVITE without one: now both legs are made, and the caller is asked.
enum call_sdp offer_take(
	struct party *callee, const struct sip_msg *msg, struct evidence *evidence, char why[CALL_MESSAGE])
{
	struct anchor *anchor = callee->anchor;
	struct party *caller = anchor->caller;
	struct offer_media media;
	struct offer_local local;
	struct offer_terms terms;
	char err[OFFER_ERR];
	struct sdp *sdp;
	enum call_sdp made = sdp_read(msg, &sdp, why);

	if (made != CALL_SDP_GOOD) {
		if (made == CALL_SDP_NONE)
			snprintf(why, CALL_MESSAGE,
				"the caller offered no SDP, and the callee answered without an offer");
		return made;
	}
	sdp_keep(callee, evidence->fork, sdp);
	callee->sdp = evidence->sdp = sdp;
	party_locate(callee, msg);
	party_media(callee, sdp, &media);
	if (media_denied(anchor->calls, &media.remote, why))
		return CALL_SDP_UNREACHABLE;
	made = leg_open(callee, anchor->hops[callee->hop].nic,
		kg_addr_none(&media.remote) ? &callee->peer : &media.remote, why);
	if (made == CALL_SDP_GOOD)
		made = leg_open(caller, anchor->nic, caller->behind_nat ? &caller->public : &caller->peer, why);
	if (made != CALL_SDP_GOOD)
		return made;
	caller->mux_said = media.rtcp_mux;
	anchor->caller_answers = true;
	local = leg_local(caller, caller->mux_said, 1);
	terms = party_terms(caller, callee);
	evidence->text = sdp_relay_text(sdp, NULL, &terms, &local, err);
	if (evidence->text)
		return CALL_SDP_GOOD;
	return sdp_untold(err, why);
}

// The caller's late answer in its ACK.
enum call_sdp late_answer_take(
	struct party *caller, const struct sip_msg *msg, struct evidence *evidence, char why[CALL_MESSAGE])
{
	struct party *callee = anchor_callee(caller->anchor);
	struct offer_media media;
	struct offer_local local;
	struct offer_terms terms;
	char err[OFFER_ERR];
	struct sdp *sdp;
	enum call_sdp read = sdp_read(msg, &sdp, why);

	if (read == CALL_SDP_NONE)
		snprintf(why, CALL_MESSAGE, "the caller's ACK has no SDP, though the 200 carried an offer");
	if (read == CALL_SDP_GOOD)
		read = leg_reaches(caller, sdp, why);
	if (read != CALL_SDP_GOOD) {
		sdp_free(sdp);
		return read;
	}
	sdp_keep(caller, 0, sdp);
	caller->sdp = sdp;
	sdp_media(callee->sdp, &media);
	callee->mux_said = media.rtcp_mux;
	local = leg_local(callee, callee->mux_said, 1);
	terms = party_terms(callee, caller);
	evidence->text = sdp_relay_text(sdp, callee->sdp, &terms, &local, err);
	if (evidence->text)
		return CALL_SDP_GOOD;
	return sdp_untold(err, why);
}
