// SPDX-License-Identifier: BSD-3-Clause
// Changes of a running session: what one party asks (re-INVITE, UPDATE, an offer in PRACK) is asked of the other, and
// is in force only when both have said their word. Until then, and where one refuses, all stays as it was (RFC 6141).

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "calls_private.h"

static struct party *other_of(struct party *party)
{
	struct anchor *anchor = party->anchor;

	return party->side == CALL_CALLER ? anchor_callee(anchor) : anchor->caller;
}

static struct party *party_of(struct anchor *anchor, const struct call_action *action)
{
	return action->side == CALL_CALLER ? anchor->caller : anchor->callees[action->hop];
}

// --- what was said --------------------------------------------------------------------------------------------------

void told_set(struct party *party, const char *text, uint32_t version)
{
	char *copy = text ? strdup(text) : NULL;

	if (!copy)
		return;
	free(party->told.text);
	party->told.text = copy;
	party->told.version = version;
}

void modify_forget(struct party *party)
{
	free(party->told.next);
	party->told.next = NULL;
	sdp_free(party->next_sdp);
	party->next_sdp = NULL;
}

static unsigned fork_of(const struct party *party)
{
	for (unsigned i = 0; i < SIP_FORKS; i++)
		if (party->sdp && party->sdps[i] == party->sdp)
			return i;
	return 0;
}

static void modify_take(struct party *party)
{
	unsigned fork = fork_of(party);

	if (party->next_sdp) {
		sdp_keep(party, fork, party->next_sdp);
		party->sdp = party->next_sdp;
		party->next_sdp = NULL;
		party->mux_said = party->next_mux;
	}
	if (party->told.next) {
		free(party->told.text);
		party->told.text = party->told.next;
		party->told.next = NULL;
	}
}

// `from`'s words as `party` gets them. The same ones keep their version, others get the next (RFC 3264 8).
static const char *text_for(struct party *party, const struct sdp *from, const struct sdp *asked, char err[OFFER_ERR])
{
	struct offer_local local = leg_local(party, party->next_mux, party->told.version ? party->told.version : 1);
	const struct offer_terms terms = party_terms(party, other_of(party));
	char *text = sdp_relay_text(from, asked, &terms, &local, err);

	if (text && (!party->told.text || strcmp(text, party->told.text) != 0)) {
		free(text);
		local.version = ++party->told.version;
		text = sdp_relay_text(from, asked, &terms, &local, err);
	}
	free(party->told.next);
	party->told.next = text;
	return text;
}

bool party_holds_note(
	struct party *answerer, const struct party *offerer, const struct sdp *offer, const struct sdp *answer)
{
	struct party *asker = (struct party *)offerer;
	struct offer_media asked, got;

	if (!offer || !answer)
		return false;
	sdp_media(offer, &asked);
	sdp_media(answer, &got);
	// Who offers less than both ways holds; who answers with less than was offered holds too.
	asker->holds = asked.direction != OFFER_SENDRECV;
	if (asked.direction == OFFER_SENDRECV)
		answerer->holds = got.direction != OFFER_SENDRECV;
	return asker->holds || answerer->holds;
}

// --- what sessions tell ---------------------------------------------------------------------------------------------

static struct call_event modify_event(const struct party *party, enum call_event_type type)
{
	return (struct call_event){.type = type, .side = party->side, .hop = party->anchor->call.hop};
}

// The same words again only keep the session alive: they are answered with ours.
static bool is_refresh(const struct party *party, const struct sdp *sdp)
{
	return call_business_name(party->anchor->call.state, true) && party->anchor->call.answered &&
	       party->told.text && sdp_same(party->sdp, sdp);
}

void modify_asked(struct party *party, unsigned fork, struct sip_exchange *exchange, const struct sip_msg *msg)
{
	struct anchor *anchor = party->anchor;
	struct evidence evidence = {.msg = msg};
	struct call_event event = modify_event(party, CALL_EV_MODIFY);
	struct offer_media media;
	char why[CALL_MESSAGE] = "";
	struct sdp *sdp = NULL;

	event.sdp = sdp_read(msg, &sdp, why);
	if (event.sdp == CALL_SDP_GOOD && is_refresh(party, sdp)) {
		sdp_free(sdp);
		sip_exchange_answer(
			exchange, 200, NULL, NULL, "application/sdp", party->told.text, strlen(party->told.text));
		return;
	}
	if (event.sdp == CALL_SDP_GOOD)
		event.sdp = leg_reaches(party, sdp, why);
	event.fork = fork;
	if (party->side == CALL_CALLER && !anchor->call.answered && fork < anchor->call.fork_count) {
		event.hop = anchor->call.forks[fork].hop;
		event.fork = anchor->call.forks[fork].fork;
	}
	if (party->asking) { // the session lets one through at a time; another stack's error is not ours
		sdp_free(sdp);
		sip_exchange_answer(exchange, 491, NULL, NULL, NULL, NULL, 0);
		return;
	}
	party->asking = exchange;
	if (anchor->call.modify.state == MODIFY_NONE && event.sdp == CALL_SDP_GOOD) {
		modify_forget(party);
		sdp_media(sdp, &media);
		party->next_sdp = sdp;
		party->next_mux = media.rtcp_mux;
		sdp = NULL;
	}
	sdp_free(sdp);
	if (event.sdp > CALL_SDP_GOOD)
		anchor_log(
			KG_LOG_WARN, party, sip_msg_method_name(msg), "its change of the session is refused: %s", why);
	event.message = *why ? why : NULL;
	anchor_feed(anchor, &event, &evidence);
}

// The other's answer to the asker's offer, or its offer where the asker had none.
static enum call_sdp reply_take(
	struct party *party, struct party *asker, const struct sip_msg *msg, bool *held, char why[CALL_MESSAGE])
{
	bool late = party->anchor->call.modify.late;
	struct offer_media media;
	char err[OFFER_ERR];
	struct sdp *sdp;
	enum call_sdp read = sdp_read(msg, &sdp, why);

	if (read == CALL_SDP_NONE)
		snprintf(why, CALL_MESSAGE, "the 200 to a change of the session has no SDP");
	if (read == CALL_SDP_GOOD)
		read = leg_reaches(party, sdp, why);
	if (read != CALL_SDP_GOOD) {
		sdp_free(sdp);
		return read;
	}
	sdp_free(party->next_sdp);
	party->next_sdp = sdp;
	sdp_media(sdp, &media);
	if (late)
		asker->next_mux = party->next_mux = media.rtcp_mux;
	if (!text_for(asker, sdp, late ? NULL : asker->next_sdp, err)) {
		return sdp_untold(err, why);
	}
	if (!late)
		*held = party_holds_note(party, asker, asker->next_sdp, sdp);
	return CALL_SDP_GOOD;
}

void modify_replied(struct party *party, struct sip_exchange *exchange, int status, const struct sip_msg *msg)
{
	struct anchor *anchor = party->anchor;
	struct call_event event = modify_event(party, CALL_EV_MODIFIED);
	struct evidence evidence = {.msg = msg};
	struct party *asker = other_of(party);
	char why[CALL_MESSAGE] = "";

	event.status = status;
	if (status / 100 == 2 && asker && anchor->call.modify.state == MODIFY_ASKED)
		event.sdp = reply_take(party, asker, msg, &event.held, why);
	event.message = *why ? why : NULL;
	if (status >= 300)
		anchor_log(KG_LOG_INFO, party, NULL, "a change of the session was answered %d", status);
	anchor_feed(anchor, &event, &evidence);
	if (status >= 300 || call_ended(&anchor->call))
		party->asked = NULL;
}

void modify_acked(struct party *party, struct sip_exchange *exchange, const struct sip_msg *msg)
{
	struct anchor *anchor = party->anchor;
	struct call_event event = modify_event(party, CALL_EV_MODIFY_ACK);
	struct evidence evidence = {.msg = msg};
	struct party *other = other_of(party);
	char why[CALL_MESSAGE] = "", err[OFFER_ERR];
	struct sdp *sdp = NULL;

	if (anchor->call.modify.state != MODIFY_OFFERED || !other || !other->next_sdp)
		return;
	event.sdp = sdp_read(msg, &sdp, why);
	if (event.sdp == CALL_SDP_NONE)
		snprintf(why, sizeof(why), "the ACK has no SDP, though the 200 carried an offer");
	if (event.sdp == CALL_SDP_GOOD)
		event.sdp = leg_reaches(party, sdp, why);
	if (event.sdp == CALL_SDP_GOOD && !text_for(other, sdp, other->next_sdp, err))
		event.sdp = sdp_untold(err, why);
	if (event.sdp == CALL_SDP_GOOD) {
		sdp_free(party->next_sdp);
		party->next_sdp = sdp;
		event.held = party_holds_note(party, other, other->next_sdp, sdp);
	} else {
		sdp_free(sdp);
	}
	event.message = *why ? why : NULL;
	anchor_feed(anchor, &event, &evidence);
}

void modify_gone(struct party *party, struct sip_exchange *exchange)
{
	struct call_event event = modify_event(party, CALL_EV_MODIFY_GONE);

	if (party->asked == exchange)
		party->asked = NULL;
	if (party->asking != exchange)
		return;
	party->asking = NULL;
	anchor_feed(party->anchor, &event, NULL);
}

// --- what the machine asks for --------------------------------------------------------------------------------------

static void modify_fail(struct anchor *anchor, enum call_side side, int status)
{
	struct call_event event = {.type = CALL_EV_MODIFIED, .side = side, .hop = anchor->call.hop, .status = status};

	anchor_feed(anchor, &event, NULL);
}

void do_modify(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct party *party = party_of(anchor, action), *asker = party ? other_of(party) : NULL;
	bool update = asker && asker->asking && sip_exchange_method(asker->asking) != SIP_INVITE;
	bool takes_update = party && party->session && sip_session_allows(party->session, SIP_UPDATE);
	struct sip_ask ask = {.method = SIP_INVITE};
	unsigned fork = action->fork;
	char err[OFFER_ERR] = "";

	if (!party || !party->session || !asker) {
		modify_fail(anchor, action->side, 500);
		return;
	}
	if ((update || anchor->call.modify.early) && takes_update)
		ask.method = SIP_UPDATE;
	else if (anchor->call.modify.early) {
		modify_fail(anchor, action->side, 488); // there is no way to ask it now
		return;
	}
	modify_forget(party);
	if (!action->late) {
		party->next_mux = asker->next_mux;
		ask.body = text_for(party, asker->next_sdp, NULL, err);
		ask.type = "application/sdp";
		ask.length = ask.body ? strlen(ask.body) : 0;
		if (!ask.body) {
			modify_fail(anchor, action->side, 500);
			return;
		}
	}
	if (party->side == CALL_CALLER && !anchor->call.answered)
		for (unsigned i = 0; i < anchor->call.fork_count; i++)
			if (anchor->call.forks[i].hop == action->hop && anchor->call.forks[i].fork == action->fork)
				fork = i;
	party->asked = sip_session_ask(party->session, fork, &ask, party);
	if (!party->asked)
		modify_fail(anchor, action->side, errno == EBUSY ? 491 : 500);
}

void do_modify_answer(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct party *party = party_of(anchor, action);
	const char *text = party ? party->told.next ? party->told.next : party->told.text : NULL;
	struct sip_exchange *exchange = party ? party->asking : NULL;

	if (!exchange)
		return;
	if (sip_exchange_method(exchange) != SIP_INVITE || anchor->call.modify.state == MODIFY_NONE)
		party->asking = NULL; // nothing more is awaited of it
	sip_exchange_answer(exchange, 200, NULL, NULL, "application/sdp", text, text ? strlen(text) : 0);
}

void do_modify_refuse(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct party *party = party_of(anchor, action), *other = party ? other_of(party) : NULL;
	struct sip_exchange *exchange = party ? party->asking : NULL;
	const struct sip_msg *msg = evidence ? evidence->msg : NULL;
	const char *warning = msg && !sip_msg_is_request(msg) ? sip_msg_header(msg, "Warning", 0) : NULL;
	const char *headers[] = {"Warning", warning, NULL};

	if (!exchange)
		return;
	party->asking = NULL;
	if (anchor->call.modify.state == MODIFY_NONE || anchor->call.modify.asker == party->side) {
		modify_forget(party);
		if (other)
			modify_forget(other);
	}
	sip_exchange_answer(exchange, action->status, NULL, warning ? headers : NULL, NULL, NULL, 0);
}

void do_modify_commit(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct party *asker = party_of(anchor, action), *other = asker ? other_of(asker) : NULL;

	if (!other)
		return;
	anchor->caller_answers = (asker->side == CALL_CALLER) == anchor->call.modify.late;
	modify_take(asker);
	modify_take(other);
	leg_update(asker, other);
	leg_update(other, asker);
}

void do_modify_ack(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct party *party = party_of(anchor, action);
	struct sip_exchange *exchange = party ? party->asked : NULL;
	char *refusal = NULL;
	const char *sdp = NULL;

	if (!exchange)
		return;
	party->asked = NULL;
	if (sip_exchange_method(exchange) != SIP_INVITE)
		return;
	if (action->ack == CALL_ACK_ANSWER) {
		sdp = party->told.text; // committed just now
	} else if (action->ack == CALL_ACK_REFUSE && party->next_sdp) {
		struct offer_local local = leg_local(party, false, party->told.version + 1);

		sdp = refusal = sdp_refusal_text(party->next_sdp, &local);
	}
	sip_exchange_ack(exchange, sdp);
	free(refusal);
}

void do_modify_cancel(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct party *party = party_of(anchor, action);

	if (party && party->asked)
		sip_exchange_cancel(party->asked);
}
