// SPDX-License-Identifier: BSD-3-Clause
// What both sides of an INVITE session share: its life, its forks, BYE. A session's memory goes from the wheel alone,
// never while a callback runs, so whoever is told something may call anything on it.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sip_exchange.h"

static void on_reap(struct wheel_timer *timer, void *arg)
{
	session_free(arg);
}

struct sip_session *session_create(struct sip_stack *stack, bool uas)
{
	struct sip_session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->stack = stack;
	session->uas = uas;
	session->chosen = -1;
	for (unsigned i = 0; i < SIP_FORKS; i++) {
		session->forks[i].session = session;
		session->forks[i].index = i;
	}
	session->next = stack->sessions;
	session->prev = &stack->sessions;
	if (session->next)
		session->next->prev = &session->next;
	stack->sessions = session;
	stack->counts.sessions++;
	return session;
}

void headers_list_free(char **headers)
{
	for (unsigned i = 0; headers && headers[i]; i++)
		free(headers[i]);
	free(headers);
}

char **headers_list_copy(const char *const *headers)
{
	unsigned count = 0;
	char **copy;

	while (headers && headers[count])
		count++;
	copy = calloc(count + 1, sizeof(char *));
	for (unsigned i = 0; copy && i < count; i++) {
		copy[i] = strdup(headers[i]);
		if (!copy[i]) {
			headers_list_free(copy);
			return NULL;
		}
	}
	return copy;
}

void session_merge_leave(struct sip_session *session)
{
	if (session->merge.key)
		sip_table_remove(&session->stack->pending, &session->merge);
	free(session->merge_key);
	session->merge_key = NULL;
	session->merge.key = NULL;
}

static void tx_leave(struct sip_tx *tx)
{
	if (tx)
		sip_tx_detach(tx);
}

static void request_leave(struct sip_request *request)
{
	if (request)
		sip_request_detach(request);
}

static void session_unlink(struct sip_session *session)
{
	struct wheel *wheel = session->stack->options.wheel;

	session->state = SESSION_OVER;
	wheel_stop(wheel, &session->ring);
	wheel_stop(wheel, &session->resend);
	wheel_stop(wheel, &session->reap);
	wheel_stop(wheel, &session->refresh.timer);
	prack_free(session);
	exchanges_free(session);
	request_leave(session->invite);
	tx_leave(session->serving);
	tx_leave(session->cancel);
	for (unsigned i = 0; i < SIP_FORKS; i++) {
		request_leave(session->forks[i].bye);
		fork_clear(&session->forks[i]);
	}
	session_merge_leave(session);
	*session->prev = session->next;
	if (session->next)
		session->next->prev = session->prev;
	session->stack->counts.sessions--;
}

static void session_release(struct sip_session *session)
{
	headers_list_free(session->held_headers);
	free(session->endpoint);
	free(session->told_sdp);
	free(session->call_id);
	free(session->branch);
	free(session->from);
	free(session->local_tag);
	free(session->remote_tag);
	free((char *)session->credentials.username);
	free((char *)session->credentials.password);
	free(session);
}

void session_free(struct sip_session *session)
{
	session_unlink(session);
	session->stack->options.ops->freed(session->user, session);
	session_release(session);
}

void session_discard(struct sip_session *session)
{
	if (session->invite)
		sip_request_end(session->invite);
	if (session->serving)
		sip_tx_end(session->serving);
	session->invite = NULL;
	session->serving = NULL;
	session_unlink(session);
	session_release(session);
}

void session_settle(struct sip_session *session)
{
	if (session->state != SESSION_OVER || session->invite || session->serving || session->cancel ||
		exchanges_busy(session))
		return;
	for (unsigned i = 0; i < SIP_FORKS; i++)
		if (session->forks[i].dialog || session->forks[i].bye)
			return;
	wheel_start(session->stack->options.wheel, &session->reap, 0, on_reap, session);
}

// Nothing more happens in its dialogs but their BYE.
static void session_quiet(struct sip_session *session)
{
	wheel_stop(session->stack->options.wheel, &session->refresh.timer);
	prack_stop(session);
	exchanges_end(session, NULL);
}

void session_over(struct sip_session *session)
{
	session->state = SESSION_OVER;
	session_quiet(session);
	wheel_stop(session->stack->options.wheel, &session->resend);
	if (session->uas || !session->cancel_wanted)
		wheel_stop(session->stack->options.wheel, &session->ring);
	session_merge_leave(session);
	session_settle(session);
}

int session_hold_headers(struct sip_session *session, const char *const *headers)
{
	char **copy = headers_list_copy(headers);

	if (!copy)
		return -ENOMEM;
	headers_list_free(session->held_headers);
	session->held_headers = copy;
	return 0;
}

// --- forks --------------------------------------------------------------------------------------------------------

void fork_forget_ack(struct fork *fork)
{
	if (fork->ack)
		free(fork->ack->bytes);
	free(fork->ack);
	fork->ack = NULL;
}

void fork_clear(struct fork *fork)
{
	exchanges_end(fork->session, fork);
	sip_dialog_destroy(fork->dialog);
	free(fork->tag);
	fork_forget_ack(fork);
	*fork = (struct fork){.session = fork->session, .index = fork->index};
}

struct fork *fork_free_slot(struct sip_session *session)
{
	for (unsigned i = 0; i < SIP_FORKS; i++)
		if (!session->forks[i].tag)
			return &session->forks[i];
	return NULL;
}

// The other early dialogs end with the first final response.
void fork_dialogs_drop(struct sip_session *session, const struct fork *but)
{
	for (unsigned i = 0; i < SIP_FORKS; i++) {
		struct fork *fork = &session->forks[i];

		if (fork == but || fork->bye)
			continue;
		exchanges_end(session, fork);
		sip_dialog_destroy(fork->dialog);
		fork->dialog = NULL;
	}
}

// --- BYE ----------------------------------------------------------------------------------------------------------

static void bye_finish(struct fork *fork, int status)
{
	struct sip_session *session = fork->session;
	bool tell = session->state == SESSION_ENDING && session->chosen == (int)fork->index;

	sip_dialog_destroy(fork->dialog);
	fork->dialog = NULL;
	if (tell) {
		session_over(session);
		session->stack->options.ops->bye_done(session->user, session, status);
	}
	session_settle(session);
}

static void bye_response(void *user, struct sip_request *request, const struct sip_msg *msg)
{
	if (sip_msg_status(msg) >= 200)
		bye_finish(user, sip_msg_status(msg));
}

static void bye_failed(void *user, struct sip_request *request, int error)
{
	bye_finish(user, error == -ETIMEDOUT ? 408 : 503);
}

static void bye_gone(void *user, struct sip_request *request)
{
	struct fork *fork = user;

	fork->bye = NULL;
	session_settle(fork->session);
}

static const struct sip_request_ops bye_ops = {bye_response, bye_failed, bye_gone};

int fork_bye(struct fork *fork, const char *const *headers)
{
	struct sip_session *session = fork->session;
	struct sip_stack *stack = session->stack;
	struct sip_way way;
	struct sip_msg *bye;
	int error = -ENOTCONN;

	if (!fork->dialog || fork->bye)
		return error;
	bye = sip_dialog_request(fork->dialog, SIP_BYE, 0, &way);
	error = bye ? sip_msg_add(bye, "User-Agent", stack->user_agent) : -errno;
	if (!error)
		error = sip_msg_add_list(bye, headers);
	if (!error) {
		fork->bye = sip_request_send(
			stack, bye, &way, &session->credentials, &fork->dialog->local_cseq, &bye_ops, fork);
		error = fork->bye ? 0 : -errno;
	}
	sip_msg_unref(bye);
	if (error) { // no memory: the dialog goes without a word rather than stay for ever
		sip_dialog_destroy(fork->dialog);
		fork->dialog = NULL;
		session_settle(session);
	}
	return error;
}

// It cannot go on. The BYE is for a peer that only seems to be gone.
void session_lost(struct sip_session *session, enum sip_timeout what)
{
	struct fork *fork = session->chosen >= 0 ? &session->forks[session->chosen] : NULL;

	if (session->state >= SESSION_ENDING)
		return;
	if (fork)
		fork_bye(fork, NULL);
	session_over(session);
	session->stack->options.ops->timed_out(session->user, session, what);
}

void session_told(struct sip_session *session, const char *sdp, size_t length)
{
	char *copy = session->policy.session_expires_s ? strndup(sdp, length) : NULL;

	if (!copy)
		return; // a refresh by re-INVITE repeats the one before it
	free(session->told_sdp);
	session->told_sdp = copy;
}

void session_note_allow(struct sip_session *session, const struct sip_msg *msg)
{
	uint32_t methods = 0;

	for (unsigned i = 1; i < SIP_METHOD_COUNT; i++)
		if (header_has_token(msg, "Allow", sip_method_text((enum sip_method)i)))
			methods |= 1u << i;
	if (methods)
		session->peer_methods = methods;
}

// Who says nothing takes what RFC 3261 knows.
bool sip_session_allows(const struct sip_session *session, enum sip_method method)
{
	static const uint32_t basic =
		1u << SIP_INVITE | 1u << SIP_ACK | 1u << SIP_BYE | 1u << SIP_CANCEL | 1u << SIP_OPTIONS;

	return (session->peer_methods ? session->peer_methods : basic) & 1u << method;
}

void session_bye_received(struct sip_session *session, struct fork *fork, const struct sip_msg *msg)
{
	bool extra = session->chosen >= 0 && session->chosen != (int)fork->index;
	bool tell = session->state < SESSION_ENDING && !extra;

	if (fork->bye) // the two crossed: ours is answered by itself
		return;
	if (session->uas && session->state == SESSION_CALLING) {
		uas_stop(session, 487);
		fork_dialogs_drop(session, NULL);
	} else if (!session->uas && fork->answered && !fork->ack) {
		uac_ack(session, fork, NULL); // else the peer would send its 2xx for half a minute
	}
	sip_dialog_destroy(fork->dialog);
	fork->dialog = NULL;
	if (tell) {
		session_over(session);
		session->stack->options.ops->ended(session->user, session, msg);
	}
	session_settle(session);
}

int sip_session_bye(struct sip_session *session, const char *const *extra)
{
	struct fork *fork = session->chosen >= 0 ? &session->forks[session->chosen] : NULL;
	int error;

	if (session->stack->closing)
		return -ESHUTDOWN;
	if (!fork || (session->state != SESSION_ANSWERED && session->state != SESSION_CONFIRMED) || session->bye_wanted)
		return session->state == SESSION_CALLING ? -EINVAL : -EALREADY;
	if (session->uas && session->state == SESSION_ANSWERED) {
		error = session_hold_headers(session, extra);
		session->bye_wanted = !error;
		return error;
	}
	if (session->state == SESSION_ANSWERED)
		uac_ack(session, fork, NULL);
	session->state = SESSION_ENDING;
	session_quiet(session);
	error = fork_bye(fork, extra);
	if (error)
		session_over(session);
	return error;
}

const char *sip_session_endpoint(const struct sip_session *session)
{
	return session->endpoint;
}

void sip_session_set_user(struct sip_session *session, void *user)
{
	session->user = user;
}

void sip_session_info(const struct sip_session *session, struct sip_session_info *out)
{
	const struct fork *fork = session->chosen >= 0 ? &session->forks[session->chosen] : &session->forks[0];
	const char *fork_tag = fork->tag ? fork->tag : "";
	bool confirmed = session->chosen >= 0;

	out->call_id = session->call_id ? session->call_id : "";
	out->local_tag = session->uas ? fork_tag : session->local_tag;
	out->remote_tag = !session->uas ? fork_tag : session->remote_tag ? session->remote_tag : "";
	if (session->state == SESSION_OVER)
		out->dialog = "terminated";
	else if (confirmed)
		out->dialog = "confirmed";
	else
		out->dialog = fork->dialog ? "early" : "none";
	out->branch = session->branch ? session->branch : "";
	out->uas = session->uas;
	out->peer = session->flow.remote;
}
