// SPDX-License-Identifier: BSD-3-Clause
// What we ask inside a dialog, for the call layer or to keep the session alive.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sip_exchange.h"

static const struct sip_session_ops *ops_of(const struct sip_exchange *exchange)
{
	return exchange->session->stack->options.ops;
}

// --- responses ----------------------------------------------------------------------------------------------------

static int ack_make(struct sip_exchange *exchange, const char *sdp)
{
	struct sip_stack *stack = exchange->session->stack;
	struct sip_way way;
	struct sip_msg *ack = sip_dialog_request(exchange->fork->dialog, SIP_ACK, exchange->cseq, &way);
	int error = ack ? sip_way_flow(stack, &way, &exchange->ack_flow) : -errno;

	if (!error)
		error = sip_txs_add_via(stack->txs, ack, &exchange->ack_flow);
	if (!error)
		error = sip_msg_add(ack, "User-Agent", stack->user_agent);
	if (!error && sdp)
		error = sip_msg_set_body(ack, "application/sdp", sdp, strlen(sdp));
	if (!error) {
		exchange->ack = sip_msg_build(ack, &exchange->ack_length);
		error = exchange->ack ? 0 : -ENOMEM;
	}
	sip_msg_unref(ack);
	if (!error)
		sip_txs_emit(stack->txs, &exchange->ack_flow, exchange->ack, exchange->ack_length);
	return error;
}

int sip_exchange_ack(struct sip_exchange *exchange, const char *sdp)
{
	if (!exchange->ours || exchange->method != SIP_INVITE || !exchange->final || !exchange->fork->dialog)
		return -EINVAL;
	if (exchange->acked)
		return -EALREADY;
	exchange->acked = true;
	if (sdp)
		session_told(exchange->session, sdp, strlen(sdp));
	return ack_make(exchange, sdp);
}

static void copy_acknowledge(struct sip_exchange *exchange)
{
	if (!exchange->ack)
		return;
	exchange->session->stack->counts.retransmits_out++;
	sip_txs_emit(exchange->session->stack->txs, &exchange->ack_flow, exchange->ack, exchange->ack_length);
}

// Does this failure say that the dialog is no more (RFC 3261 12.2.1.2, RFC 5057 5.1)? One about REFER or its
// subscription ends that alone.
static bool dialog_is_lost(const struct sip_exchange *exchange, int status)
{
	enum sip_method method = exchange->method;

	if (method == SIP_NOTIFY || method == SIP_SUBSCRIBE || method == SIP_REFER)
		return false;
	return status == 481 || ((method == SIP_INVITE || method == SIP_UPDATE) && status == 408);
}

// A refresh that nobody but us knows of.
static void refresh_replied(struct sip_exchange *exchange, int status, const struct sip_msg *msg)
{
	struct sip_session *session = exchange->session;

	if (status / 100 == 2 && exchange->method == SIP_INVITE)
		sip_exchange_ack(exchange, NULL);
	else if (status == 422 && msg && refresh_read_refusal(session, msg))
		refresh_again(session);
	else if (status / 100 != 2)
		refresh_again(session);
}

static void finish(struct sip_exchange *exchange, int status, const struct sip_msg *msg)
{
	struct sip_session *session = exchange->session;
	bool modifies = exchange->method == SIP_INVITE || exchange->method == SIP_UPDATE;

	exchange->final = true;
	if (status / 100 != 2 || exchange->method != SIP_INVITE)
		exchange->acked = true;
	if (msg && modifies && status / 100 == 2) {
		sip_dialog_refresh(exchange->fork->dialog, msg);
		session_note_allow(session, msg);
		refresh_read_response(session, msg);
	}
	if (exchange->refresh)
		refresh_replied(exchange, status, msg);
	else if (exchange->told)
		ops_of(exchange)->replied(session->user, session, exchange, status, msg);
	if (dialog_is_lost(exchange, status) && session->state < SESSION_ENDING)
		session_lost(session, SIP_TIMEOUT_LOST);
}

static void on_response(void *user, struct sip_request *request, const struct sip_msg *msg)
{
	struct sip_exchange *exchange = user;
	int status = sip_msg_status(msg);

	if (status < 200)
		return;
	if (exchange->final)
		copy_acknowledge(exchange);
	else
		finish(exchange, status, msg);
}

static void on_failed(void *user, struct sip_request *request, int error)
{
	struct sip_exchange *exchange = user;

	if (!exchange->final)
		finish(exchange, error == -ETIMEDOUT ? 408 : 503, NULL);
}

static void on_gone(void *user, struct sip_request *request)
{
	struct sip_exchange *exchange = user;

	exchange->request = NULL;
	exchange_settle(exchange);
}

static const struct sip_request_ops request_ops = {on_response, on_failed, on_gone};

// --- requests -----------------------------------------------------------------------------------------------------

static int ask_fill(struct sip_session *session, struct sip_msg *msg, const struct sip_ask *ask)
{
	bool modifies = ask->method == SIP_INVITE || ask->method == SIP_UPDATE;
	int error = sip_msg_add(msg, "User-Agent", session->stack->user_agent);

	if (!error && modifies)
		error = policy_say(msg, &session->policy);
	if (!error && modifies)
		error = refresh_offer(session, msg);
	if (!error)
		error = sip_msg_add_list(msg, ask->headers);
	if (!error && ask->body)
		error = sip_msg_set_body(msg, ask->type, ask->body, ask->length);
	return error;
}

struct sip_exchange *exchange_start(
	struct sip_session *session, struct fork *fork, const struct sip_ask *ask, bool refresh)
{
	struct sip_exchange *exchange = exchange_create(session, fork, ask->method);
	struct sip_msg *msg = NULL;
	struct sip_way way;
	int error = exchange ? 0 : -ENOMEM;

	if (!error) {
		msg = sip_dialog_request(fork->dialog, ask->method, 0, &way);
		error = msg ? ask_fill(session, msg, ask) : -errno;
	}
	if (!error) {
		exchange->ours = true;
		exchange->refresh = refresh;
		exchange->offers = ask->method == SIP_INVITE || (ask->method == SIP_UPDATE && ask->body);
		exchange->request = sip_request_send(session->stack, msg, &way, &session->credentials,
			&fork->dialog->local_cseq, &request_ops, exchange);
		error = exchange->request ? 0 : -errno;
		exchange->cseq = fork->dialog->local_cseq;
	}
	sip_msg_unref(msg);
	if (!error) {
		if (exchange->offers && ask->body)
			session_told(session, ask->body, ask->length);
		return exchange;
	}
	if (exchange)
		exchange_free(exchange);
	errno = -error;
	return NULL;
}

static struct fork *fork_asked(struct sip_session *session, unsigned fork)
{
	if (session->chosen >= 0)
		return &session->forks[session->chosen];
	return fork < SIP_FORKS ? &session->forks[fork] : NULL;
}

struct sip_exchange *sip_session_ask(
	struct sip_session *session, unsigned index, const struct sip_ask *ask, void *exchange_user)
{
	struct fork *fork = fork_asked(session, index);
	bool offers = ask->method == SIP_INVITE || (ask->method == SIP_UPDATE && ask->body);
	struct sip_exchange *exchange;

	errno = ENOTCONN;
	if (session->stack->closing || session->state > SESSION_CONFIRMED || !fork || !fork->dialog)
		return NULL;
	errno = EBUSY;
	if (ask->method == SIP_INVITE && session->state != SESSION_CONFIRMED)
		return NULL;
	if (offers && (exchange_offered(session, true) || exchange_offered(session, false) ||
			      (session->state == SESSION_CALLING && !fork->agreed)))
		return NULL;
	exchange = exchange_start(session, fork, ask, false);
	if (!exchange)
		return NULL;
	exchange->told = true;
	exchange->user = exchange_user;
	return exchange;
}

static void cancel_none(void *user, struct sip_tx *tx, const struct sip_msg *msg)
{
}

static void cancel_failed(void *user, struct sip_tx *tx, int error)
{
}

static void cancel_gone(void *user, struct sip_tx *tx)
{
}

int sip_exchange_cancel(struct sip_exchange *exchange)
{
	static const struct sip_tx_ops nobody = {cancel_none, cancel_failed, cancel_gone};
	struct sip_tx *invite = exchange->request ? sip_request_tx(exchange->request) : NULL;

	if (!exchange->ours || exchange->method != SIP_INVITE || exchange->final || !invite)
		return -EALREADY;
	return sip_tx_cancel(invite, NULL, &nobody, NULL) ? 0 : -errno;
}

void *sip_exchange_user(const struct sip_exchange *exchange)
{
	return exchange->user;
}

enum sip_method sip_exchange_method(const struct sip_exchange *exchange)
{
	return exchange->method;
}
