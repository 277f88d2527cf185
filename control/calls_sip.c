// SPDX-License-Identifier: BSD-3-Clause
// What sessions tell (struct sip_session_ops), turned into events for the call's machine. Whatever a message brings is
// checked here, before the event: SDP is read, its address is reached, the text for the other party is made. So the
// machine's actions do not fail for what a peer wrote.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "calls_private.h"

// Without memory the older one stays: it is for people to read.
static void text_keep(char **at, const char *text)
{
	char *copy = strcmp(*at, text) ? strdup(text) : NULL;

	if (!copy)
		return;
	free(*at);
	*at = copy;
}

// Keep what the session knows of itself: it is asked for after the session is gone, too.
void party_remember(struct party *party)
{
	struct sip_session_info info;

	if (!party->session)
		return;
	sip_session_info(party->session, &info);
	text_keep(&party->sip_call_id, info.call_id);
	text_keep(&party->local_tag, info.local_tag);
	if (*info.remote_tag)
		text_keep(&party->remote_tag, info.remote_tag);
	text_keep(&party->branch, info.branch);
	party->dialog = info.dialog;
}

static struct call_event party_event(const struct party *party, enum call_event_type type)
{
	return (struct call_event){.type = type, .side = party->side, .hop = party->hop};
}

// --- the callee's answers -----------------------------------------------------------------------------------------

// An offer in an 18x counts only where it is reliable and the caller's PRACK can answer it; and there is one leg for
// one.
static bool offer_may_be_answered(const struct party *callee, unsigned fork, const struct sip_msg *msg)
{
	return sip_msg_header(msg, "RSeq", 0) && sip_session_reliable(callee->anchor->caller->session) &&
	       !callee->leg.live;
}

static void on_provisional(void *user, struct sip_session *session, unsigned fork, const struct sip_msg *msg)
{
	struct party *party = user;
	struct evidence evidence = {.msg = msg, .fork = fork};
	struct call_event event;
	char why[CALL_MESSAGE] = "";
	bool late;

	if (!party || fork >= SIP_FORKS)
		return;
	party_remember(party);
	event = party_event(party, CALL_EV_PROVISIONAL);
	event.fork = fork;
	event.status = sip_msg_status(msg);
	late = party->anchor->call.late_offer && !party->anchor->call.late_done;
	if (sip_msg_body(msg, NULL) && (!late || offer_may_be_answered(party, fork, msg))) {
		event.sdp = late ? offer_take(party, msg, &evidence, why) : answer_take(party, msg, &evidence, why);
		if (event.sdp != CALL_SDP_GOOD)
			anchor_log(KG_LOG_WARN, party, "INVITE", "no early media: %s", why);
	}
	anchor_feed(party->anchor, &event, &evidence);
	free(evidence.text);
}

static void on_answered(void *user, struct sip_session *session, unsigned fork, const struct sip_msg *msg)
{
	struct party *party = user;
	struct evidence evidence = {.msg = msg, .fork = fork};
	struct call_event event;
	char why[CALL_MESSAGE] = "";
	bool late;

	if (!party || fork >= SIP_FORKS) {
		sip_session_ack(session, NULL);
		sip_session_bye(session, NULL);
		return;
	}
	party_remember(party);
	event = party_event(party, CALL_EV_ANSWER);
	event.fork = fork;
	late = party->anchor->call.late_offer && !party->anchor->call.late_done;
	event.sdp = late ? offer_take(party, msg, &evidence, why) : answer_take(party, msg, &evidence, why);
	if (event.sdp == CALL_SDP_GOOD && !late)
		event.held = party_holds_note(party, party->anchor->caller, party->anchor->caller->sdp, evidence.sdp);
	event.message = *why ? why : NULL;
	anchor_feed(party->anchor, &event, &evidence);
	free(evidence.text);
}

static void on_failed(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	struct party *party = user;
	struct evidence evidence = {.msg = msg};
	struct call_event event;
	char why[CALL_MESSAGE];

	if (!party)
		return;
	party_remember(party);
	party->dialog = "terminated";
	event = party_event(party, CALL_EV_FAILED);
	event.status = sip_msg_status(msg);
	snprintf(why, sizeof(why), "trunk %s answered %d %.100s", party->anchor->hops[party->hop].trunk, event.status,
		sip_msg_reason(msg) ? sip_msg_reason(msg) : "");
	event.message = why;
	anchor_log(KG_LOG_INFO, party, "INVITE", "%s", why);
	anchor_feed(party->anchor, &event, &evidence);
}

// --- either side --------------------------------------------------------------------------------------------------

static void on_acked(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	struct party *party = user;
	struct evidence evidence = {.msg = msg};
	struct call_event event;
	char why[CALL_MESSAGE] = "";

	if (!party)
		return;
	party_remember(party);
	event = party_event(party, CALL_EV_ACK);
	if (party->anchor->call.late_offer && !party->anchor->call.late_done && !call_ended(&party->anchor->call)) {
		event.sdp = late_answer_take(party, msg, &evidence, why);
		if (event.sdp == CALL_SDP_GOOD)
			event.held = party_holds_note(
				party, anchor_callee(party->anchor), anchor_callee(party->anchor)->sdp, party->sdp);
	}
	event.message = *why ? why : NULL;
	anchor_feed(party->anchor, &event, &evidence);
	free(evidence.text);
}

// An event that needs nothing but its message. The session is over.
static void simple_end(struct party *party, enum call_event_type type, const struct sip_msg *msg)
{
	struct evidence evidence = {.msg = msg};
	struct call_event event;

	if (!party)
		return;
	party_remember(party);
	party->dialog = "terminated";
	event = party_event(party, type);
	anchor_feed(party->anchor, &event, &evidence);
}

static void on_cancelled(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	simple_end(user, CALL_EV_CANCEL, msg);
}

static void on_ended(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	simple_end(user, CALL_EV_BYE, msg);
}

static void on_timed_out(void *user, struct sip_session *session, enum sip_timeout what)
{
	static const enum call_timer timers[] = {
		[SIP_TIMEOUT_B] = CALL_TIMER_B,
		[SIP_TIMEOUT_ACK] = CALL_TIMER_ACK,
		[SIP_TIMEOUT_C] = CALL_TIMER_C,
		[SIP_TIMEOUT_SESSION] = CALL_TIMER_SESSION,
		[SIP_TIMEOUT_LOST] = CALL_TIMER_LOST,
		[SIP_TIMEOUT_PRACK] = CALL_TIMER_PRACK,
	};
	struct party *party = user;
	struct call_event event;

	if (!party)
		return;
	party_remember(party);
	party->dialog = "terminated";
	event = party_event(party, CALL_EV_TIMER);
	event.timer = timers[what];
	anchor_feed(party->anchor, &event, NULL);
}

// --- inside the dialog ----------------------------------------------------------------------------------------------

static void on_asked(void *user, struct sip_session *session, unsigned fork, struct sip_exchange *exchange,
	const struct sip_msg *msg)
{
	enum sip_method method = sip_msg_method(msg);
	struct party *party = user;

	if (!party)
		sip_exchange_answer(exchange, 481, NULL, NULL, NULL, NULL, 0);
	else if (method == SIP_INVITE || method == SIP_UPDATE || method == SIP_PRACK)
		modify_asked(party, fork, exchange, msg);
	else
		relay_asked(party, fork, exchange, msg);
}

static void on_replied(
	void *user, struct sip_session *session, struct sip_exchange *exchange, int status, const struct sip_msg *msg)
{
	struct party *party = user;

	if (party && !relay_replied(party->anchor, exchange, status, msg))
		modify_replied(party, exchange, status, msg);
}

static void on_exchange_acked(
	void *user, struct sip_session *session, struct sip_exchange *exchange, const struct sip_msg *msg)
{
	if (user)
		modify_acked(user, exchange, msg);
}

static void on_exchange_gone(void *user, struct sip_session *session, struct sip_exchange *exchange)
{
	struct party *party = user;

	if (!party)
		return;
	relay_gone(party->anchor, exchange);
	modify_gone(party, exchange);
}

static void on_pracked(void *user, struct sip_session *session, unsigned fork, const struct sip_msg *msg)
{
	struct party *party = user;
	struct evidence evidence = {.msg = msg};
	struct call_event event;
	char why[CALL_MESSAGE] = "";

	if (!party || fork >= party->anchor->call.fork_count || !anchor_callee(party->anchor))
		return;
	event = party_event(party, CALL_EV_PRACK);
	event.hop = party->anchor->call.forks[fork].hop;
	event.fork = party->anchor->call.forks[fork].fork;
	event.sdp = late_answer_take(party, msg, &evidence, why);
	event.message = *why ? why : NULL;
	anchor_feed(party->anchor, &event, &evidence);
	free(evidence.text);
}

static void on_bye_done(void *user, struct sip_session *session, int status)
{
	struct party *party = user;
	struct call_event event;

	if (!party)
		return;
	party->dialog = "terminated";
	if (status >= 300)
		anchor_log(KG_LOG_WARN, party, "BYE", "BYE was answered %d: the call is over all the same", status);
	event = party_event(party, CALL_EV_BYE_DONE);
	anchor_feed(party->anchor, &event, NULL);
}

static void on_freed(void *user, struct sip_session *session)
{
	struct party *party = user;
	struct call_event event;

	if (!party)
		return;
	party->session = NULL;
	party->dialog = "terminated";
	event = party_event(party, CALL_EV_GONE);
	event.message = "its session was given up";
	anchor_feed(party->anchor, &event, NULL);
}

static enum sip_source on_known_source(void *arg, const struct kg_addr *source)
{
	struct calls *calls = arg;

	return router_trunk(calls->options.config, source) < 0 ? SIP_SOURCE_STRANGER : SIP_SOURCE_PROXY;
}

const struct sip_session_ops calls_session_ops = {
	.invite = calls_invite,
	.provisional = on_provisional,
	.answered = on_answered,
	.failed = on_failed,
	.acked = on_acked,
	.cancelled = on_cancelled,
	.ended = on_ended,
	.timed_out = on_timed_out,
	.asked = on_asked,
	.replied = on_replied,
	.exchange_acked = on_exchange_acked,
	.exchange_gone = on_exchange_gone,
	.pracked = on_pracked,
	.policy = calls_policy,
	.bye_done = on_bye_done,
	.freed = on_freed,
	.known_source = on_known_source,
	.admit = calls_admit,
};
