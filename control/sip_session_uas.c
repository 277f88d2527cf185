// SPDX-License-Identifier: BSD-3-Clause
// The called side: responses with a To tag for each fork, the 2xx again until its ACK, CANCEL.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sip_exchange.h"

#define TAG_LENGTH 16

static void uas_none(void *user, struct sip_tx *tx, const struct sip_msg *msg)
{
}

static void uas_failed(void *user, struct sip_tx *tx, int error)
{
}

static void uas_gone(void *user, struct sip_tx *tx)
{
	struct sip_session *session = user;

	session->serving = NULL;
	session_settle(session);
}

static const struct sip_tx_ops uas_ops = {uas_none, uas_failed, uas_gone};

char *uas_merge_key(const struct sip_msg *msg)
{
	const char *tag = sip_msg_from_tag(msg);
	char *key;

	return asprintf(&key, "%s;%s", sip_msg_call_id(msg), tag ? tag : "") < 0 ? NULL : key;
}

// --- responses ----------------------------------------------------------------------------------------------------

// A fork by its number, with a tag.
static struct fork *fork_tagged(struct sip_session *session, unsigned index)
{
	struct fork *fork = &session->forks[index];
	char tag[TAG_LENGTH + 1];

	if (!fork->tag) {
		sip_random_hex(tag, TAG_LENGTH);
		fork->tag = strdup(tag);
	}
	return fork->tag ? fork : NULL;
}

static int fork_dialog(struct fork *fork)
{
	struct sip_session *session = fork->session;

	if (!fork->dialog)
		fork->dialog = sip_dialog_create_uas(
			&session->stack->dialogs, sip_tx_request(session->serving), fork->tag, fork);
	return fork->dialog ? 0 : -ENOMEM;
}

static int respond(struct sip_session *session, const char *tag, int status, const char *reason, bool in_dialog,
	const char *sdp, const char *const *extra)
{
	bool reliable = in_dialog && status < 200 && prack_wanted(session, sdp);
	struct sip_msg *msg = sip_msg_response(sip_tx_request(session->serving), status, reason, tag);
	int error = msg ? 0 : -errno;

	if (!error && in_dialog)
		error = stack_add_contact(session->stack, msg, &session->flow);
	if (!error && in_dialog)
		error = policy_say(msg, &session->policy);
	if (!error && reliable)
		error = prack_prepare(session, msg);
	if (!error && in_dialog && status / 100 == 2)
		error = refresh_answer(session, msg);
	if (!error && status > 100)
		error = sip_msg_add(msg, "Server", session->stack->user_agent);
	if (!error)
		error = sip_msg_add_list(msg, extra);
	if (!error && sdp)
		error = sip_msg_set_body(msg, "application/sdp", sdp, strlen(sdp));
	if (!error)
		error = sip_tx_respond(session->serving, msg);
	sip_msg_unref(msg);
	return error;
}

static int may_answer(const struct sip_session *session, unsigned fork)
{
	if (session->stack->closing)
		return -ESHUTDOWN;
	if (!session->uas || fork >= SIP_FORKS)
		return -EINVAL;
	return session->state == SESSION_CALLING ? 0 : -EALREADY;
}

static void on_refresh(struct wheel_timer *timer, void *arg)
{
	struct sip_session *session = arg;

	sip_tx_resend(session->serving);
	wheel_start(session->stack->options.wheel, &session->ring, SIP_REFRESH_MS, on_refresh, session);
}

int sip_session_provisional(struct sip_session *session, unsigned index, int status, const char *reason,
	const char *sdp, const char *const *extra)
{
	struct fork *fork;
	bool reliable;
	int error = may_answer(session, index);

	if (!error && (status <= 100 || status > 199))
		error = -EINVAL;
	if (error)
		return error;
	fork = fork_tagged(session, index);
	if (!fork || fork_dialog(fork) != 0)
		return -ENOMEM;
	reliable = prack_wanted(session, sdp);
	if (reliable && prack_awaited(session)) // RFC 3262 3: one after the other
		return prack_hold(session, index, status, reason, sdp, extra);
	error = respond(session, fork->tag, status, reason, true, sdp, extra);
	if (!error && reliable)
		prack_sent(session, fork, sdp != NULL);
	if (!error)
		wheel_start(session->stack->options.wheel, &session->ring, SIP_REFRESH_MS, on_refresh, session);
	return error;
}

// --- 2xx ----------------------------------------------------------------------------------------------------------

// RFC 3261 13.3.1.4: the 2xx again, T1 doubling to T2, until its ACK.
static void on_resend(struct wheel_timer *timer, void *arg)
{
	struct sip_session *session = arg;

	if (session->serving)
		sip_tx_resend(session->serving);
	session->resend_ms = session->resend_ms * 2 > SIP_T2_MS ? SIP_T2_MS : session->resend_ms * 2;
	wheel_start(session->stack->options.wheel, &session->resend, session->resend_ms, on_resend, session);
}

static void on_ack_timeout(struct wheel_timer *timer, void *arg)
{
	struct sip_session *session = arg;
	struct fork *fork = &session->forks[session->chosen];

	session->stack->counts.timeouts++;
	wheel_stop(session->stack->options.wheel, &session->resend);
	if (session->bye_wanted) {
		session->state = SESSION_ENDING;
		if (fork_bye(fork, (const char *const *)session->held_headers) != 0)
			session_over(session);
		return;
	}
	fork_bye(fork, NULL);
	session_over(session);
	session->stack->options.ops->timed_out(session->user, session, SIP_TIMEOUT_ACK);
}

int sip_session_answer(struct sip_session *session, unsigned index, const char *sdp, const char *const *extra)
{
	struct wheel *wheel = session->stack->options.wheel;
	struct fork *fork;
	int error = may_answer(session, index);

	if (error)
		return error;
	fork = fork_tagged(session, index);
	if (!fork || fork_dialog(fork) != 0)
		return -ENOMEM;
	if (prack_awaited(session) && (session->reliable->with_sdp || session->reliable->held))
		return prack_hold(session, index, 200, NULL, sdp, extra); // RFC 3262 3
	if (fork->agreed) // RFC 3261 13.2.1: the answer has been given, and it is not given twice
		sdp = NULL;
	error = respond(session, fork->tag, 200, NULL, true, sdp, extra);
	if (error)
		return error;
	prack_stop(session);
	if (sdp)
		session_told(session, sdp, strlen(sdp));
	session_merge_leave(session);
	fork_dialogs_drop(session, fork);
	fork->dialog->confirmed = true;
	session->chosen = (int)index;
	session->state = SESSION_ANSWERED;
	session->resend_ms = SIP_T1_MS;
	wheel_start(wheel, &session->resend, SIP_T1_MS, on_resend, session);
	wheel_start(wheel, &session->ring, SIP_TIMEOUT_MS, on_ack_timeout, session);
	return 0;
}

void uas_ack(struct sip_session *session, struct fork *fork, const struct sip_msg *msg)
{
	if (session->state != SESSION_ANSWERED || session->chosen != (int)fork->index ||
		sip_msg_cseq(msg) != session->cseq)
		return; // a copy, or late
	wheel_stop(session->stack->options.wheel, &session->resend);
	wheel_stop(session->stack->options.wheel, &session->ring);
	if (session->bye_wanted) {
		session->state = SESSION_ENDING;
		if (fork_bye(fork, (const char *const *)session->held_headers) != 0)
			session_over(session);
		return;
	}
	session->state = SESSION_CONFIRMED;
	session->stack->options.ops->acked(session->user, session, msg);
}

// --- other ends ---------------------------------------------------------------------------------------------------

static int refuse(struct sip_session *session, int status, const char *reason, const char *const *extra)
{
	struct fork *fork = fork_tagged(session, 0);
	int error = fork ? respond(session, fork->tag, status, reason, false, NULL, extra) : -ENOMEM;

	if (error)
		return error;
	prack_stop(session);
	fork_dialogs_drop(session, NULL);
	session_over(session);
	return 0;
}

int sip_session_reject(struct sip_session *session, int status, const char *reason, const char *const *extra)
{
	int error = may_answer(session, 0);

	if (!error && (status < 300 || status > 699))
		error = -EINVAL;
	return error ? error : refuse(session, status, reason, extra);
}

void uas_stop(struct sip_session *session, int status)
{
	if (refuse(session, status, NULL, NULL) != 0) { // no memory: the caller will time out
		fork_dialogs_drop(session, NULL);
		session_over(session);
	}
}

bool uas_cancel(struct sip_stack *stack, struct sip_msg *msg)
{
	struct sip_tx *invite = sip_txs_find_invite(stack->txs, msg);
	struct sip_session *session = invite && sip_tx_ops(invite) == &uas_ops ? sip_tx_user(invite) : NULL;

	struct fork *fork = session && session->state == SESSION_CALLING ? fork_tagged(session, 0) : NULL;

	if (!invite)
		return false;
	if (exchange_cancel(invite)) {
		stack_answer(stack, msg, 200, NULL);
		return true;
	}
	if (fork) // RFC 3261 9.2: the tag that the INVITE's response has
		stack_answer_as(stack, msg, 200, fork->tag, NULL);
	else
		stack_answer(stack, msg, 200, NULL);
	if (!session || session->state != SESSION_CALLING)
		return true; // too late: the final response stands
	uas_stop(session, 487);
	stack->options.ops->cancelled(session->user, session, msg);
	return true;
}

// --- INVITE -------------------------------------------------------------------------------------------------------

void uas_invite(struct sip_stack *stack, struct sip_msg *msg, const struct sip_policy *policy, const char *endpoint)
{
	struct sip_session *session = session_create(stack, true);
	const char *branch = sip_msg_branch(msg), *tag = sip_msg_from_tag(msg);

	if (!session) {
		stack_drop(stack, "no_memory");
		return;
	}
	session->flow = *sip_msg_flow(msg);
	session->cseq = sip_msg_cseq(msg);
	session->policy = *policy;
	session->endpoint = endpoint ? strdup(endpoint) : NULL;
	session->late = !sip_msg_has_sdp(msg);
	session->peer_rel = header_has_token(msg, "Require", "100rel")     ? REL_REQUIRED
			    : header_has_token(msg, "Supported", "100rel") ? REL_SUPPORTED
									   : REL_NONE;
	session_note_allow(session, msg);
	refresh_read_request(session, msg);
	session->call_id = strdup(sip_msg_call_id(msg));
	session->branch = strdup(branch ? branch : "");
	session->remote_tag = strdup(tag ? tag : "");
	session->serving = sip_tx_serve(stack->txs, msg, &uas_ops, session);
	session->merge_key = uas_merge_key(msg);
	if (!session->serving || !session->merge_key || (endpoint && !session->endpoint) ||
		respond(session, NULL, 100, NULL, false, NULL, NULL) != 0) {
		stack_drop(stack, "no_memory");
		session_discard(session);
		return;
	}
	sip_table_put(&stack->pending, &session->merge, session->merge_key);
	stack->options.ops->invite(stack->options.arg, session, msg, &session->flow.remote);
}
