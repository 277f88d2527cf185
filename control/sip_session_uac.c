// SPDX-License-Identifier: BSD-3-Clause
// The calling side: INVITE out, forks in, ACK for each copy of a 2xx, CANCEL when it may go, and an end for every 2xx
// that nobody wants.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sip_stack.h"

static const struct sip_session_ops *ops_of(struct sip_session *session)
{
	return session->stack->options.ops;
}

// --- CANCEL -------------------------------------------------------------------------------------------------------

static void cancel_ignore(void *user, struct sip_tx *tx, const struct sip_msg *msg)
{
}

static void cancel_failed(void *user, struct sip_tx *tx, int error)
{
}

static void cancel_gone(void *user, struct sip_tx *tx)
{
	struct sip_session *session = user;

	session->cancel = NULL;
	session_settle(session);
}

static const struct sip_tx_ops cancel_ops = {cancel_ignore, cancel_failed, cancel_gone};

// RFC 3261 9.1: a peer that says nothing final for 64*T1 after a CANCEL has lost the call.
static void on_cancel_unheard(struct wheel_timer *timer, void *arg)
{
	struct sip_session *session = arg;
	bool tell = session->state == SESSION_CALLING;

	session->stack->counts.timeouts++;
	if (session->invite)
		sip_request_end(session->invite);
	session->invite = NULL;
	fork_dialogs_drop(session, NULL);
	session_over(session);
	if (tell)
		ops_of(session)->timed_out(session->user, session, SIP_TIMEOUT_B);
}

static void cancel_send(struct sip_session *session)
{
	struct sip_tx *invite;

	if (session->cancel || !session->invite)
		return;
	invite = sip_request_tx(session->invite);
	if (invite)
		session->cancel =
			sip_tx_cancel(invite, (const char *const *)session->held_headers, &cancel_ops, session);
	if (invite && !session->cancel) // a header that cannot be sent must not keep the call alive
		session->cancel = sip_tx_cancel(invite, NULL, &cancel_ops, session);
	wheel_start(session->stack->options.wheel, &session->ring, SIP_TIMEOUT_MS, on_cancel_unheard, session);
}

int sip_session_cancel(struct sip_session *session, const char *const *extra)
{
	int error;

	if (session->stack->closing)
		return -ESHUTDOWN;
	if (session->uas)
		return -EINVAL;
	if (session->state != SESSION_CALLING || session->cancel_wanted)
		return -EALREADY;
	error = session_hold_headers(session, extra);
	if (error)
		return error;
	session->cancel_wanted = true;
	wheel_stop(session->stack->options.wheel, &session->ring);
	if (session->provisional_seen)
		cancel_send(session);
	return 0;
}

static void on_ring_timeout(struct wheel_timer *timer, void *arg)
{
	struct sip_session *session = arg;

	session->stack->counts.timeouts++;
	session->cancel_wanted = true;
	cancel_send(session);
	fork_dialogs_drop(session, NULL);
	session_over(session);
	ops_of(session)->timed_out(session->user, session, SIP_TIMEOUT_C);
}

// --- responses ----------------------------------------------------------------------------------------------------

static struct fork *fork_find(struct sip_session *session, const char *tag)
{
	for (unsigned i = 0; i < SIP_FORKS; i++)
		if (session->forks[i].tag && strcmp(session->forks[i].tag, tag) == 0)
			return &session->forks[i];
	return NULL;
}

// A 2xx needs a place more than an early dialog that has not answered.
static struct fork *fork_steal(struct sip_session *session)
{
	for (unsigned i = 0; i < SIP_FORKS; i++)
		if (!session->forks[i].answered && !session->forks[i].bye) {
			fork_clear(&session->forks[i]);
			return &session->forks[i];
		}
	return NULL;
}

static struct fork *fork_get(struct sip_session *session, const struct sip_msg *msg, bool may_steal)
{
	const char *tag = sip_msg_to_tag(msg) ? sip_msg_to_tag(msg) : "";
	struct fork *fork = fork_find(session, tag);

	if (fork)
		return fork;
	fork = fork_free_slot(session);
	if (!fork && may_steal)
		fork = fork_steal(session);
	if (!fork) {
		stack_drop(session->stack, "too_many_forks");
		stack_log(session->stack, KG_LOG_WARN, msg, "more than %d forks answer one INVITE", SIP_FORKS);
		return NULL;
	}
	fork->tag = strdup(tag);
	return fork->tag ? fork : NULL;
}

static int fork_dialog(struct fork *fork, const struct sip_msg *msg)
{
	struct sip_session *session = fork->session;

	if (fork->dialog)
		return 0;
	fork->dialog = sip_dialog_create_uac(
		&session->stack->dialogs, session->from, session->local_tag, session->cseq, msg, fork);
	return fork->dialog ? 0 : -ENOMEM;
}

static void uac_provisional(struct sip_session *session, const struct sip_msg *msg)
{
	struct fork *fork;

	if (!session->provisional_seen) {
		session->provisional_seen = true;
		if (session->cancel_wanted)
			cancel_send(session);
		else
			wheel_start(session->stack->options.wheel, &session->ring, session->ring_timeout_ms,
				on_ring_timeout, session);
	}
	if (sip_msg_status(msg) == 100 || session->state != SESSION_CALLING)
		return;
	fork = fork_get(session, msg, false);
	if (!fork || (*fork->tag && fork_dialog(fork, msg) != 0) || !prack_admits(fork, msg))
		return;
	if (session->cancel_wanted) { // nobody hears it, but its sender may wait for the PRACK
		prack_answer(session, fork, msg);
		return;
	}
	session_note_allow(session, msg);
	ops_of(session)->provisional(session->user, session, fork->index, msg);
	if (fork->dialog)
		prack_answer(session, fork, msg);
}

static void ack_again(struct fork *fork)
{
	struct sip_session *session = fork->session;

	if (!fork->ack)
		return;
	session->stack->counts.retransmits_out++;
	sip_txs_emit(session->stack->txs, &fork->ack->flow, fork->ack->bytes, fork->ack->length);
}

// A 2xx that nobody wants is confirmed and ended at once.
static int ack_and_bye(struct sip_session *session, struct fork *fork)
{
	uac_ack(session, fork, NULL);
	return fork_bye(
		fork, fork->index == (unsigned)session->chosen ? (const char *const *)session->held_headers : NULL);
}

static void uac_answered(struct sip_session *session, const struct sip_msg *msg)
{
	struct fork *fork = fork_get(session, msg, true);

	if (!fork)
		return;
	if (fork->answered) {
		ack_again(fork);
		return;
	}
	if (fork_dialog(fork, msg) != 0 || sip_dialog_confirm(fork->dialog, msg) != 0)
		return; // no memory: the peer's next copy is another chance
	fork->answered = true;
	if (session->chosen >= 0) {
		session->stack->counts.extra_2xx++;
		stack_log(session->stack, KG_LOG_WARN, msg, "another fork answers too: it is ended");
		ack_and_bye(session, fork);
		return;
	}
	session->chosen = (int)fork->index;
	session_note_allow(session, msg);
	wheel_stop(session->stack->options.wheel, &session->ring);
	fork_dialogs_drop(session, fork);
	if (session->state == SESSION_CALLING && !session->cancel_wanted) {
		session->state = SESSION_ANSWERED;
		refresh_read_response(session, msg);
		ops_of(session)->answered(session->user, session, fork->index, msg);
		return;
	}
	stack_log(session->stack, KG_LOG_INFO, msg, "answered while it was being cancelled: it is ended");
	if (session->state == SESSION_CALLING)
		session->state = SESSION_ENDING;
	if (ack_and_bye(session, fork) != 0 && session->state == SESSION_ENDING) {
		session_over(session);
		ops_of(session)->bye_done(session->user, session, 503);
	}
}

static void uac_refused(struct sip_session *session, const struct sip_msg *msg)
{
	bool tell = session->state == SESSION_CALLING;

	wheel_stop(session->stack->options.wheel, &session->ring);
	fork_dialogs_drop(session, NULL);
	session_over(session);
	if (tell)
		ops_of(session)->failed(session->user, session, msg);
}

// RFC 4028 7.3: the same again, with the interval that the peer asks for.
static bool invite_again(struct sip_session *session, const struct sip_msg *msg)
{
	char seconds[16];
	const char *again[] = {"Session-Expires", seconds, "Min-SE", seconds, NULL};

	if (session->state != SESSION_CALLING || session->cancel_wanted || !refresh_read_refusal(session, msg))
		return false;
	snprintf(seconds, sizeof(seconds), "%u", session->refresh.expires_s);
	fork_dialogs_drop(session, NULL);
	return sip_request_again(session->invite, again) == 0;
}

static void invite_response(void *user, struct sip_request *request, const struct sip_msg *msg)
{
	int status = sip_msg_status(msg);

	if (status < 200)
		uac_provisional(user, msg);
	else if (status < 300)
		uac_answered(user, msg);
	else if (!invite_again(user, msg))
		uac_refused(user, msg);
}

static void invite_failed(void *user, struct sip_request *request, int error)
{
	struct sip_session *session = user;

	if (session->state != SESSION_CALLING)
		return;
	wheel_stop(session->stack->options.wheel, &session->ring);
	fork_dialogs_drop(session, NULL);
	session_over(session);
	ops_of(session)->timed_out(session->user, session, SIP_TIMEOUT_B);
}

static void invite_gone(void *user, struct sip_request *request)
{
	struct sip_session *session = user;

	session->invite = NULL;
	session_settle(session);
}

static const struct sip_request_ops invite_ops = {invite_response, invite_failed, invite_gone};

// --- ACK ----------------------------------------------------------------------------------------------------------

int uac_ack(struct sip_session *session, struct fork *fork, const char *sdp)
{
	struct sip_stack *stack = session->stack;
	const char *proof, *value;
	struct sip_way way;
	struct kept_ack *kept = calloc(1, sizeof(*kept));
	struct sip_msg *ack = sip_dialog_request(fork->dialog, SIP_ACK, session->cseq, &way);
	int error = !kept ? -ENOMEM : ack ? sip_way_flow(stack, &way, &kept->flow) : -errno;

	if (!error)
		error = sip_txs_add_via(stack->txs, ack, &kept->flow);
	if (!error)
		error = sip_msg_add(ack, "User-Agent", stack->user_agent);
	proof = session->invite ? sip_request_proof(session->invite, &value) : NULL;
	if (!error && proof)
		error = sip_msg_add(ack, proof, value);
	if (!error && sdp)
		error = sip_msg_set_body(ack, "application/sdp", sdp, strlen(sdp));
	if (!error) {
		kept->bytes = sip_msg_build(ack, &kept->length);
		error = kept->bytes ? 0 : -ENOMEM;
	}
	sip_msg_unref(ack);
	if (error) {
		free(kept);
		return error;
	}
	fork_forget_ack(fork);
	fork->ack = kept;
	sip_txs_emit(stack->txs, &kept->flow, kept->bytes, kept->length);
	return 0;
}

int sip_session_ack(struct sip_session *session, const char *sdp)
{
	int error;

	if (session->stack->closing)
		return -ESHUTDOWN;
	if (session->uas)
		return -EINVAL;
	if (session->state != SESSION_ANSWERED)
		return -EALREADY;
	error = uac_ack(session, &session->forks[session->chosen], sdp);
	if (!error)
		session->state = SESSION_CONFIRMED;
	if (!error && sdp)
		session_told(session, sdp, strlen(sdp));
	return error;
}

// --- INVITE -------------------------------------------------------------------------------------------------------

static struct sip_msg *invite_build(struct sip_session *session, const struct sip_invite *invite)
{
	struct sip_msg *msg = sip_msg_request("INVITE", invite->request_uri);
	int error;

	if (!msg)
		return NULL;
	error = sip_msg_addf(msg, "Max-Forwards", "%u", invite->max_forwards);
	for (unsigned i = 0; !error && invite->routes && invite->routes[i]; i++)
		error = sip_msg_add(msg, "Route", invite->routes[i]);
	if (!error)
		error = sip_msg_add(msg, "From", session->from);
	if (!error)
		error = sip_msg_add(msg, "To", invite->to);
	if (!error)
		error = sip_msg_add(msg, "Call-ID", session->call_id);
	if (!error)
		error = sip_msg_addf(msg, "CSeq", "%u INVITE", session->cseq);
	if (!error)
		error = policy_say(msg, &session->policy);
	if (!error && session->policy.prack == SIP_PRACK_REQUIRED)
		error = sip_msg_add(msg, "Require", "100rel");
	if (!error)
		error = refresh_offer(session, msg);
	if (!error)
		error = sip_msg_add(msg, "Accept", SIP_ACCEPT);
	if (!error)
		error = sip_msg_add(msg, "User-Agent", session->stack->user_agent);
	if (!error)
		error = sip_msg_add_list(msg, invite->headers);
	if (!error && invite->body)
		error = sip_msg_set_body(msg, invite->type, invite->body, invite->length);
	else if (!error && invite->sdp)
		error = sip_msg_set_body(msg, "application/sdp", invite->sdp, strlen(invite->sdp));
	if (!error)
		return msg;
	sip_msg_unref(msg);
	errno = -error;
	return NULL;
}

static int uac_identify(struct sip_session *session, const char *from)
{
	char noise[33];

	sip_random_hex(noise, 32);
	session->call_id = strdup(noise);
	sip_random_hex(noise, 16);
	session->local_tag = strdup(noise);
	if (asprintf(&session->from, "%s;tag=%s", from, noise) < 0)
		session->from = NULL;
	session->cseq = 1;
	return session->call_id && session->local_tag && session->from ? 0 : -ENOMEM;
}

static int credentials_keep(struct sip_session *session, const struct sip_credentials *credentials)
{
	if (!credentials->username || !*credentials->username)
		return 0;
	session->credentials.username = strdup(credentials->username);
	session->credentials.password = strdup(credentials->password);
	return session->credentials.username && session->credentials.password ? 0 : -ENOMEM;
}

struct sip_session *sip_session_invite(struct sip_stack *stack, const struct sip_invite *invite, void *user)
{
	struct sip_session *session = stack->closing ? NULL : session_create(stack, false);
	struct sip_msg *msg = NULL;
	int error;

	if (!session) {
		errno = stack->closing ? ESHUTDOWN : ENOMEM;
		return NULL;
	}
	session->user = user;
	session->policy = invite->policy;
	session->late = !invite->sdp;
	session->ring_timeout_ms = invite->ring_timeout_ms ? invite->ring_timeout_ms : SIP_RING_MS;
	error = uac_identify(session, invite->from);
	if (!error)
		error = credentials_keep(session, &invite->credentials);
	if (error)
		goto fail;
	msg = invite_build(session, invite);
	if (msg)
		session->invite = sip_request_send(
			stack, msg, &invite->way, &session->credentials, &session->cseq, &invite_ops, session);
	error = session->invite ? 0 : -errno;
	sip_msg_unref(msg);
	if (error)
		goto fail;
	if (invite->sdp)
		session_told(session, invite->sdp, strlen(invite->sdp));
	session->flow = *sip_request_flow(session->invite);
	session->branch = strdup(sip_request_branch(session->invite));
	return session;
fail:
	session_discard(session);
	errno = -error;
	return NULL;
}
