// SPDX-License-Identifier: BSD-3-Clause
// What a peer asks inside a dialog. Ours to it is in sip_exchange_ask.c.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sip_exchange.h"

static const struct sip_session_ops *ops_of(const struct sip_exchange *exchange)
{
	return exchange->session->stack->options.ops;
}

static struct wheel *wheel_of(const struct sip_exchange *exchange)
{
	return exchange->session->stack->options.wheel;
}

// --- life ---------------------------------------------------------------------------------------------------------

struct sip_exchange *exchange_create(struct sip_session *session, struct fork *fork, enum sip_method method)
{
	struct sip_exchange *exchange = calloc(1, sizeof(*exchange));

	if (!exchange)
		return NULL;
	exchange->session = session;
	exchange->fork = fork;
	exchange->method = method;
	exchange->next = session->exchanges;
	exchange->prev = &session->exchanges;
	if (exchange->next)
		exchange->next->prev = &exchange->next;
	session->exchanges = exchange;
	return exchange;
}

static void exchange_unlink(struct sip_exchange *exchange)
{
	if (!exchange->prev)
		return;
	*exchange->prev = exchange->next;
	if (exchange->next)
		exchange->next->prev = exchange->prev;
	exchange->prev = NULL;
}

void exchange_free(struct sip_exchange *exchange)
{
	exchange_unlink(exchange);
	wheel_stop(wheel_of(exchange), &exchange->resend);
	wheel_stop(wheel_of(exchange), &exchange->end);
	if (exchange->request)
		sip_request_detach(exchange->request);
	if (exchange->serving)
		sip_tx_detach(exchange->serving);
	free(exchange->ack);
	free(exchange);
}

void exchange_forget(struct sip_exchange *exchange)
{
	if (!exchange->told)
		return;
	exchange->told = false;
	ops_of(exchange)->exchange_gone(exchange->session->user, exchange->session, exchange);
}

// Its memory goes from the wheel, never while a callback stands on it.
static void on_reap(struct wheel_timer *timer, void *arg)
{
	struct sip_exchange *exchange = arg;
	struct sip_session *session = exchange->session;

	exchange_forget(exchange);
	exchange_free(exchange);
	session_settle(session);
}

void exchange_settle(struct sip_exchange *exchange)
{
	if (!exchange->final || exchange->request || exchange->serving ||
		(exchange->method == SIP_INVITE && !exchange->ours && wheel_running(&exchange->end)))
		return;
	wheel_stop(wheel_of(exchange), &exchange->resend);
	wheel_start(wheel_of(exchange), &exchange->end, 0, on_reap, exchange);
}

bool exchange_offered(const struct sip_session *session, bool ours)
{
	for (const struct sip_exchange *e = session->exchanges; e; e = e->next)
		if (e->ours == ours && e->offers && !(e->final && (e->acked || e->method != SIP_INVITE)))
			return true;
	return false;
}

bool exchanges_busy(const struct sip_session *session)
{
	return session->exchanges != NULL;
}

void exchanges_end(struct sip_session *session, const struct fork *fork)
{
	struct sip_exchange *exchange, *next;

	for (exchange = session->exchanges; exchange; exchange = next) {
		next = exchange->next;
		if (fork && exchange->fork != fork)
			continue;
		wheel_stop(wheel_of(exchange), &exchange->resend);
		if (exchange->serving && !exchange->final)
			exchange_respond(
				exchange, exchange->method == SIP_INVITE ? 487 : 481, NULL, NULL, NULL, NULL, 0);
		exchange->final = true;
		exchange_forget(exchange);
		if (exchange->request)
			sip_request_detach(exchange->request);
		if (exchange->serving)
			sip_tx_detach(exchange->serving);
		exchange->request = NULL;
		exchange->serving = NULL;
		wheel_start(wheel_of(exchange), &exchange->end, 0, on_reap, exchange);
	}
}

void exchanges_free(struct sip_session *session)
{
	while (session->exchanges) {
		exchange_forget(session->exchanges);
		exchange_free(session->exchanges);
	}
}

// --- the server's transaction -------------------------------------------------------------------------------------

static void on_none(void *user, struct sip_tx *tx, const struct sip_msg *msg)
{
}

static void on_failed(void *user, struct sip_tx *tx, int error)
{
}

static void on_gone(void *user, struct sip_tx *tx)
{
	struct sip_exchange *exchange = user;

	exchange->serving = NULL;
	exchange_settle(exchange);
}

static const struct sip_tx_ops server_ops = {on_none, on_failed, on_gone};

int exchange_respond(struct sip_exchange *exchange, int status, const char *reason, const char *const *headers,
	const char *type, const char *body, size_t length)
{
	struct sip_session *session = exchange->session;
	const struct sip_msg *request = exchange->serving ? sip_tx_request(exchange->serving) : NULL;
	bool modifies = exchange->method == SIP_INVITE || exchange->method == SIP_UPDATE;
	struct sip_msg *msg;
	int error;

	if (!request)
		return -EALREADY;
	msg = sip_msg_response(request, status, reason, NULL);
	error = msg ? 0 : -errno;
	if (!error && status > 100)
		error = sip_msg_add(msg, "Server", session->stack->user_agent);
	if (!error && modifies && status / 100 == 2) {
		error = stack_add_contact(session->stack, msg, sip_msg_flow(request));
		if (!error)
			error = policy_say(msg, &session->policy);
		if (!error)
			error = refresh_answer(session, msg);
		if (!error)
			error = sip_dialog_refresh(exchange->fork->dialog, request);
	}
	if (!error)
		error = sip_msg_add_list(msg, headers);
	if (!error && body)
		error = sip_msg_set_body(msg, type, body, length);
	if (!error)
		error = sip_tx_respond(exchange->serving, msg);
	sip_msg_unref(msg);
	return error;
}

// --- the 2xx of a re-INVITE ---------------------------------------------------------------------------------------

static void on_resend(struct wheel_timer *timer, void *arg)
{
	struct sip_exchange *exchange = arg;

	if (exchange->serving)
		sip_tx_resend(exchange->serving);
	exchange->resend_ms = exchange->resend_ms * 2 > SIP_T2_MS ? SIP_T2_MS : exchange->resend_ms * 2;
	wheel_start(wheel_of(exchange), &exchange->resend, exchange->resend_ms, on_resend, exchange);
}

// RFC 3261 14.2: as for the first INVITE, the session is over.
static void on_ack_timeout(struct wheel_timer *timer, void *arg)
{
	struct sip_exchange *exchange = arg;
	struct sip_session *session = exchange->session;

	session->stack->counts.timeouts++;
	wheel_stop(wheel_of(exchange), &exchange->resend);
	exchange_settle(exchange);
	session_lost(session, SIP_TIMEOUT_ACK);
}

int sip_exchange_answer(struct sip_exchange *exchange, int status, const char *reason, const char *const *headers,
	const char *type, const char *body, size_t length)
{
	static const char *const later[] = {"Retry-After", "5", NULL};
	int error;

	if (exchange->ours || exchange->final)
		return -EALREADY;
	if (status < 200 || status > 699)
		return -EINVAL;
	wheel_stop(wheel_of(exchange), &exchange->resend);
	error = exchange_respond(exchange, status, reason, headers, type, body, length);
	if (error) // what cannot be built must not hang
		exchange_respond(exchange, 500, NULL, later, NULL, NULL, 0);
	exchange->final = true;
	if (!error && status / 100 == 2 && body && exchange->offers)
		session_told(exchange->session, body, length);
	if (!error && status / 100 == 2 && exchange->method == SIP_INVITE) {
		exchange->resend_ms = SIP_T1_MS;
		wheel_start(wheel_of(exchange), &exchange->resend, SIP_T1_MS, on_resend, exchange);
		wheel_start(wheel_of(exchange), &exchange->end, SIP_TIMEOUT_MS, on_ack_timeout, exchange);
	} else {
		exchange->acked = true;
	}
	exchange_settle(exchange);
	return error;
}

bool exchange_ack(struct sip_session *session, struct fork *fork, const struct sip_msg *msg)
{
	struct sip_exchange *exchange = session->exchanges;

	while (exchange && (exchange->ours || exchange->method != SIP_INVITE || exchange->cseq != sip_msg_cseq(msg)))
		exchange = exchange->next;
	if (!exchange || exchange->fork != fork || !exchange->final)
		return false;
	if (exchange->acked)
		return true; // a copy
	exchange->acked = true;
	wheel_stop(wheel_of(exchange), &exchange->resend);
	wheel_stop(wheel_of(exchange), &exchange->end);
	if (exchange->told)
		ops_of(exchange)->exchange_acked(session->user, session, exchange, msg);
	exchange_settle(exchange);
	return true;
}

bool exchange_cancel(struct sip_tx *invite)
{
	struct sip_exchange *exchange = sip_tx_ops(invite) == &server_ops ? sip_tx_user(invite) : NULL;

	if (!exchange || exchange->method != SIP_INVITE)
		return false;
	if (exchange->final)
		return true; // too late
	exchange_respond(exchange, 487, NULL, NULL, NULL, NULL, 0);
	exchange->final = exchange->acked = true;
	exchange_forget(exchange);
	exchange_settle(exchange);
	return true;
}

// --- what comes ---------------------------------------------------------------------------------------------------

static void refuse_for_now(struct sip_session *session, struct sip_msg *msg)
{
	char seconds[8];
	const char *headers[] = {"Retry-After", seconds, NULL};

	snprintf(seconds, sizeof(seconds), "%u",
		(unsigned)(wheel_now_ms(session->stack->options.wheel) % 11)); // RFC 3261 14.2: 0 to 10
	stack_answer(session->stack, msg, 500, headers);
}

// RFC 3261 14.2, RFC 3311 5.2: one offer at a time. Returns: true where the request was refused for that.
static bool refuse_glare(struct sip_session *session, struct fork *fork, struct sip_msg *msg)
{
	bool invite = sip_msg_method(msg) == SIP_INVITE, early = session->state == SESSION_CALLING && !fork->agreed;
	bool answered = session->state == SESSION_ANSWERED;
	bool theirs = exchange_offered(session, false) || (session->uas && (early || (answered && invite)));
	bool ours = exchange_offered(session, true) || (!session->uas && (early || answered)) ||
		    (session->uas && answered && session->late) || (invite && session->state != SESSION_CONFIRMED);

	if (theirs)
		refuse_for_now(session, msg);
	else if (ours)
		stack_answer(session->stack, msg, 491, NULL);
	return theirs || ours;
}

static bool refuse_body(struct sip_session *session, struct sip_msg *msg)
{
	static const char *const accept[] = {"Accept", SIP_ACCEPT, NULL};

	if (!sip_msg_body(msg, NULL) || sip_msg_has_sdp(msg))
		return false;
	stack_answer(session->stack, msg, 415, accept);
	return true;
}

static bool refuse_event(struct sip_session *session, struct sip_msg *msg)
{
	static const char *const events[] = {"Allow-Events", "refer", NULL};
	enum sip_method method = sip_msg_method(msg);

	if ((method != SIP_NOTIFY && method != SIP_SUBSCRIBE) || header_has_token(msg, "Event", "refer"))
		return false;
	stack_answer(session->stack, msg, 489, events);
	return true;
}

// RFC 4320 4.1: who asks again every T2 by now is told that we have it, not earlier.
static void on_trying(struct wheel_timer *timer, void *arg)
{
	struct sip_exchange *exchange = arg;

	if (!exchange->final)
		exchange_respond(exchange, 100, NULL, NULL, NULL, NULL, 0);
}

static void exchange_open(struct sip_session *session, struct fork *fork, struct sip_msg *msg, bool offers)
{
	struct sip_exchange *exchange = exchange_create(session, fork, sip_msg_method(msg));

	if (exchange)
		exchange->serving = sip_tx_serve(session->stack->txs, msg, &server_ops, exchange);
	if (!exchange || !exchange->serving) {
		stack_drop(session->stack, "no_memory");
		if (exchange)
			exchange_free(exchange);
		return;
	}
	exchange->offers = offers;
	exchange->cseq = sip_msg_cseq(msg);
	exchange->told = true;
	if (exchange->method == SIP_INVITE)
		exchange_respond(exchange, 100, NULL, NULL, NULL, NULL, 0);
	else if (!sip_transport_reliable(sip_msg_flow(msg)->transport))
		wheel_start(wheel_of(exchange), &exchange->resend, SIP_T2_MS - SIP_T1_MS, on_trying, exchange);
	ops_of(exchange)->asked(session->user, session, fork->index, exchange, msg);
}

// Without SDP it only keeps the session alive and says where its sender is now.
static void update_plain(struct sip_session *session, struct fork *fork, struct sip_msg *msg)
{
	struct sip_msg *response = sip_msg_response(msg, 200, NULL, NULL);
	int error = response ? stack_add_contact(session->stack, response, sip_msg_flow(msg)) : -ENOMEM;
	struct sip_tx *tx;

	if (!error)
		error = policy_say(response, &session->policy);
	if (!error)
		error = sip_msg_add(response, "Server", session->stack->user_agent);
	if (!error)
		error = refresh_answer(session, response);
	if (!error)
		error = sip_dialog_refresh(fork->dialog, msg);
	tx = error ? NULL : sip_tx_serve(session->stack->txs, msg, NULL, NULL);
	if (!tx || sip_tx_respond(tx, response) != 0)
		stack_drop(session->stack, "no_memory");
	sip_msg_unref(response);
}

void exchange_receive(struct sip_session *session, struct fork *fork, struct sip_msg *msg)
{
	enum sip_method method = sip_msg_method(msg);
	bool invite = method == SIP_INVITE, modifies = invite || method == SIP_UPDATE;

	session_note_allow(session, msg);
	if (session->state > SESSION_CONFIRMED) {
		stack_answer(session->stack, msg, 481, NULL);
		return;
	}
	if (modifies && (refresh_refuses(session->stack, msg, &session->policy) || refuse_body(session, msg)))
		return;
	if (refuse_event(session, msg))
		return;
	if (modifies && (invite || sip_msg_body(msg, NULL)) && refuse_glare(session, fork, msg))
		return;
	if (modifies && session->state == SESSION_CONFIRMED)
		refresh_read_request(session, msg);
	if (method == SIP_UPDATE && !sip_msg_body(msg, NULL))
		update_plain(session, fork, msg);
	else
		exchange_open(session, fork, msg, modifies || method == SIP_PRACK);
}
