// SPDX-License-Identifier: BSD-3-Clause
// Carries out what a call's machine asks for: messages of its sessions, changes of its legs, events and log lines.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "calls_private.h"
#include "sip_body.h"

static void hop_fail(struct anchor *anchor, unsigned hop, enum call_cause_word cause, int status, const char *message)
{
	struct call_event event = {.type = CALL_EV_HOP_ERROR,
		.side = CALL_CALLEE,
		.hop = hop,
		.cause = cause,
		.status = status,
		.message = message};

	anchor_log(KG_LOG_WARN, anchor->caller, "INVITE", "trunk %s cannot be called: %s", anchor->hops[hop].trunk,
		message);
	anchor_feed(anchor, &event, NULL);
}

static void hop_invite(struct anchor *anchor, struct party *party, const struct hop *hop, const char *sdp)
{
	const char *routes[9] = {NULL}, *body;
	struct headers headers = {.count = 0};
	char *parts = NULL;
	size_t length;
	struct sip_invite invite = {
		.way = {.uri = hop->route->next, .udp_only = hop->route->udp_only},
		.request_uri = hop->route->request_uri,
		.from = party->from,
		.to = party->to,
		.routes = hop->route->route_count ? routes : NULL,
		.headers = headers.list,
		.max_forwards = anchor->max_forwards,
		.sdp = sdp,
		.ring_timeout_ms = hop->ring_timeout_ms,
	};

	for (unsigned i = 0; i < hop->route->route_count && i < 8; i++)
		routes[i] = hop->route->routes[i];
	headers_pass(&headers, anchor->caller, party, anchor->invite);
	party_policy(party, &invite.policy);
	if (!sdp && !sip_session_reliable(anchor->caller->session)) // nobody could answer an offer in an 18x
		invite.policy.prack = SIP_PRACK_OFF;
	credentials_of(party, &invite.credentials);
	// Of several parts the description alone becomes ours (RFC 5621): what is signed or unknown to us stays as it
	// is.
	invite.type = sdp && anchor->invite ? sip_msg_header(anchor->invite, "Content-Type", 0) : NULL;
	if (invite.type && strncasecmp(invite.type, "multipart/", 10) == 0) {
		body = sip_msg_body(anchor->invite, &length);
		invite.body = parts = sip_body_replace(invite.type, body, length, sdp, &invite.length);
		headers_add(&headers, "MIME-Version", sip_msg_header(anchor->invite, "MIME-Version", 0));
	}
	party->session = sip_session_invite(anchor->calls->stack, &invite, party);
	free(parts);
	if (party->session)
		party_remember(party);
}

static void do_invite(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	const struct hop *hop = &anchor->hops[action->hop];
	struct party *caller = anchor->caller;
	struct party *party = party_create(anchor, CALL_CALLEE, action->hop, caller->from, caller->to);
	char why[CALL_MESSAGE] = "no memory", err[OFFER_ERR];
	char *text = NULL;

	if (!party) {
		hop_fail(anchor, action->hop, CALL_CAUSE_overload, 503, why);
		return;
	}
	anchor->callees[action->hop] = party;
	party->peer = hop->route->target;
	party_locate(party, NULL);
	party_use(party, hop->trunk);
	if (!party_fits(party, why) || !party_paced(party, why)) {
		party_unuse(party);
		hop_fail(anchor, action->hop, CALL_CAUSE_overload, 503, why);
		return;
	}
	if (!anchor->call.late_offer) {
		enum call_sdp made = leg_open(party, hop->nic, &hop->route->target, why);
		struct offer_local local;
		struct offer_terms terms;
		struct offer_media offered;

		if (made != CALL_SDP_GOOD) {
			hop_fail(anchor, action->hop,
				made == CALL_SDP_UNREACHABLE ? CALL_CAUSE_unreachable
				: made == CALL_SDP_NO_ROOM   ? CALL_CAUSE_overload
							     : CALL_CAUSE_media_failed,
				made == CALL_SDP_NO_ROOM ? 503 : 500, why);
			return;
		}
		sdp_media(caller->sdp, &offered);
		party->mux_said = offered.rtcp_mux;
		local = leg_local(party, party->mux_said, 1);
		terms = party_terms(party, caller);
		text = sdp_relay_text(caller->sdp, NULL, &terms, &local, err);
		if (!text) {
			bool codecs = errno == EPROTO;

			hop_fail(anchor, action->hop, codecs ? CALL_CAUSE_sdp_refused : CALL_CAUSE_overload,
				codecs ? 488 : 503, err);
			return;
		}
	}
	hop_invite(anchor, party, hop, text);
	if (!party->session) {
		snprintf(why, sizeof(why), "the INVITE could not be sent: %s", strerror(errno));
		hop_fail(anchor, action->hop, CALL_CAUSE_transport_failed, 500, why);
	} else {
		told_set(party, text, 1);
		anchor_log(KG_LOG_INFO, party, "INVITE", "calls trunk %s at %s", hop->trunk, hop->route->request_uri);
	}
	free(text);
}

// The SDP as the caller's early dialog `fork` gets it: the same words keep their version (RFC 3264 8).
static const char *sdp_told(struct anchor *anchor, unsigned fork, struct evidence *evidence)
{
	struct fork_text *told = &anchor->told[fork];
	const struct party *caller = anchor->caller;
	const struct sdp *asked = anchor->call.late_offer && !anchor->call.late_done ? NULL : caller->sdp;
	const struct offer_terms terms = party_terms(caller, anchor_callee(anchor));
	char err[OFFER_ERR], *text;
	struct offer_local local;

	if (!evidence || !evidence->text)
		return NULL;
	local = leg_local(caller, caller->mux_said, told->version ? told->version : 1);
	text = sdp_relay_text(evidence->sdp, asked, &terms, &local, err);
	if (text && told->text && strcmp(text, told->text) != 0) {
		free(text);
		local.version++;
		text = sdp_relay_text(evidence->sdp, asked, &terms, &local, err);
	}
	if (!text)
		return told->text; // no memory
	free(told->text);
	told->text = text;
	told->version = local.version;
	return text;
}

static void do_provisional(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct headers headers = {.count = 0};
	const struct sip_msg *msg = evidence ? evidence->msg : NULL;
	const struct party *callee = anchor_callee(anchor);

	headers_pass(&headers, callee, anchor->caller, msg);
	if (anchor->caller->session)
		sip_session_provisional(anchor->caller->session, action->fork, action->status,
			msg ? sip_msg_reason(msg) : NULL,
			action->with_sdp ? sdp_told(anchor, action->fork, evidence) : NULL, headers.list);
}

static void do_answer(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct headers headers = {.count = 0};
	const char *text = sdp_told(anchor, action->fork, evidence);
	struct call_event gone = {.type = CALL_EV_GONE, .side = CALL_CALLER, .message = "the 200 could not be sent"};

	headers_pass(&headers, anchor_callee(anchor), anchor->caller, evidence ? evidence->msg : NULL);
	anchor->calls->counts.answered++;
	if (!anchor->caller->session || !text ||
		sip_session_answer(anchor->caller->session, action->fork, text, headers.list) != 0)
		anchor_feed(anchor, &gone, NULL);
	told_set(anchor->caller, text, anchor->told[action->fork].version);
	if (!call_ended(&anchor->call)) // no other hop is called any more
		anchor_lighten(anchor);
}

static void do_reject(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct headers headers = {.count = 0};
	const struct sip_msg *msg = evidence ? evidence->msg : NULL;
	bool failure = msg && !sip_msg_is_request(msg) && sip_msg_status(msg) >= 300;
	char seconds[16];

	if (!anchor->caller->session)
		return;
	if (failure) {
		headers_pass(&headers, anchor_callee(anchor), anchor->caller, msg);
		headers_reason(&headers, msg, &(struct call_cause){.word = CALL_CAUSE_none});
		if (!action->own)
			headers_add(&headers, "Retry-After", sip_msg_header(msg, "Retry-After", 0));
	}
	if (action->retry_after) {
		snprintf(seconds, sizeof(seconds), "%u", sip_limits_retry_after(&anchor->caller->peer));
		headers_add(&headers, "Retry-After", seconds);
	}
	sip_session_reject(anchor->caller->session, action->status,
		failure && !action->own ? sip_msg_reason(msg) : NULL, headers.list);
}

static void do_bridge(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct party *callee = anchor->callees[action->hop];

	if (evidence && evidence->sdp && callee->sdp != evidence->sdp && !anchor->call.late_offer)
		callee->sdp = evidence->sdp;
	leg_update(anchor->caller, callee);
	leg_update(callee, anchor->caller);
}

static void do_ack(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct party *callee = anchor->callees[action->hop];
	struct offer_local local;
	char *refusal = NULL;
	const char *sdp = NULL;

	if (action->ack == CALL_ACK_ANSWER) {
		sdp = evidence ? evidence->text : NULL;
	} else if (action->ack == CALL_ACK_REFUSE && callee->sdp) {
		local = leg_local(callee, false, 1);
		if (kg_addr_none(&local.rtp)) // no leg was made: any address of ours does
			local.rtp = anchor->caller->leg.config.local;
		sdp = refusal = sdp_refusal_text(callee->sdp, &local);
	}
	if (callee->session)
		sip_session_ack(callee->session, sdp);
	if (action->ack == CALL_ACK_ANSWER)
		told_set(callee, sdp, 1);
	free(refusal);
}

static void do_prack(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct party *callee = anchor->callees[action->hop];

	if (callee && callee->session && evidence && evidence->text &&
		sip_session_prack(callee->session, action->fork, evidence->text) == 0)
		told_set(callee, evidence->text, 1);
}

static void do_cancel(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct party *callee = anchor->callees[action->hop];
	struct headers headers = {.count = 0};

	headers_reason(&headers, evidence ? evidence->msg : NULL, &anchor->call.cause);
	if (callee->session)
		sip_session_cancel(callee->session, headers.list);
}

static void do_bye(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct party *party = action->side == CALL_CALLER ? anchor->caller : anchor->callees[action->hop];
	const struct sip_msg *msg = evidence ? evidence->msg : NULL;
	struct headers headers = {.count = 0};

	if (msg && sip_msg_is_request(msg) && sip_msg_method(msg) == SIP_BYE)
		headers_pass(&headers, NULL, party, msg);
	headers_reason(&headers, msg, &anchor->call.cause);
	if (party->session)
		sip_session_bye(party->session, headers.list);
}

static void do_release_hop(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct party *party = anchor->callees[action->hop];

	if (!party)
		return;
	party_unuse(party);
	leg_retire(party);
}

static void do_release_media(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	struct party *party;

	for (unsigned i = 0; (party = anchor_party(anchor, i)); i++)
		leg_retire(party);
}

// Who does not take all media (R44).
static const char *holder_name(struct anchor *anchor)
{
	const struct party *callee = anchor_callee(anchor);

	if (callee && callee->holds)
		return anchor->caller->holds ? "both" : "callee";
	return "caller";
}

static void do_report(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	const struct call *call = &anchor->call;
	const char *business = call_business_name(call->state, call->answered);
	const char *method = !evidence || !evidence->msg         ? NULL
			     : sip_msg_is_request(evidence->msg) ? sip_msg_method_name(evidence->msg)
								 : "response";
	json_t *data = json_object();

	json_object_set_new(data, "state", json_string(call_state_name(call->state)));
	if (call->state == CALL_HELD)
		json_object_set_new(data, "holder", json_string(holder_name(anchor)));
	json_object_set_new(data, "business", business ? json_string(business) : json_null());
	json_object_set_new(data, "cause", anchor_cause_json(anchor));
	events_emit(anchor->calls->options.events, "call.state", anchor->id, NULL, data);
	if (call_ended(call))
		anchor_log(KG_LOG_INFO, anchor->caller, method, "call %s: %s/%s %d: %s", call_state_name(call->state),
			call_cause_layer(call->cause.word), call_cause_name(call->cause.word), call->cause.code,
			call->cause.message);
	else
		anchor_log(KG_LOG_INFO, anchor->caller, method, "call %s", call_state_name(call->state));
}

void action_execute(struct anchor *anchor, const struct call_action *action, struct evidence *evidence)
{
	static void (*const execute[])(struct anchor *, const struct call_action *, struct evidence *) = {
		[CALL_DO_INVITE] = do_invite,
		[CALL_DO_PROVISIONAL] = do_provisional,
		[CALL_DO_ANSWER] = do_answer,
		[CALL_DO_REJECT] = do_reject,
		[CALL_DO_BRIDGE] = do_bridge,
		[CALL_DO_ACK] = do_ack,
		[CALL_DO_CANCEL] = do_cancel,
		[CALL_DO_PRACK] = do_prack,
		[CALL_DO_MODIFY] = do_modify,
		[CALL_DO_MODIFY_ANSWER] = do_modify_answer,
		[CALL_DO_MODIFY_REFUSE] = do_modify_refuse,
		[CALL_DO_MODIFY_COMMIT] = do_modify_commit,
		[CALL_DO_MODIFY_ACK] = do_modify_ack,
		[CALL_DO_MODIFY_CANCEL] = do_modify_cancel,
		[CALL_DO_BYE] = do_bye,
		[CALL_DO_RELEASE_HOP] = do_release_hop,
		[CALL_DO_REPORT] = do_report,
		[CALL_DO_RELEASE_MEDIA] = do_release_media,
	};

	execute[action->type](anchor, action, evidence);
}
