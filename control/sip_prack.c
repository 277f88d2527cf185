// SPDX-License-Identifier: BSD-3-Clause
// Reliable provisional responses (RFC 3262): ours are sent again until their PRACK, the peer's get one.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sip_exchange.h"

// --- we are called ------------------------------------------------------------------------------------------------

bool prack_wanted(const struct sip_session *session, const char *sdp)
{
	if (session->policy.prack == SIP_PRACK_OFF || !session->peer_rel)
		return false;
	return session->policy.prack == SIP_PRACK_REQUIRED || session->peer_rel == REL_REQUIRED || sdp;
}

bool sip_session_reliable(const struct sip_session *session)
{
	return session && session->peer_rel != REL_NONE && session->policy.prack != SIP_PRACK_OFF;
}

static void on_resend(struct wheel_timer *timer, void *arg)
{
	struct sip_session *session = arg;
	struct reliable *reliable = session->reliable;
	uint64_t left_ms = reliable->since_ms + SIP_TIMEOUT_MS - wheel_now_ms(session->stack->options.wheel);

	if ((int64_t)left_ms <= 0) {
		session->stack->counts.timeouts++;
		uas_stop(session, 504); // RFC 3262 3: a 5xx
		session->stack->options.ops->timed_out(session->user, session, SIP_TIMEOUT_PRACK);
		return;
	}
	sip_tx_resend(session->serving);
	reliable->resend_ms *= 2;
	wheel_start(session->stack->options.wheel, &reliable->timer,
		reliable->resend_ms < left_ms ? reliable->resend_ms : (uint32_t)left_ms, on_resend, session);
}

static int reliable_create(struct sip_session *session)
{
	char noise[9];

	if (session->reliable)
		return 0;
	session->reliable = calloc(1, sizeof(*session->reliable));
	if (!session->reliable)
		return -ENOMEM;
	sip_random_hex(noise, 8);
	session->reliable->rseq = (uint32_t)(strtoul(noise, NULL, 16) & 0x7ffffffe) / 2 + 1; // room to count on
	return 0;
}

int prack_prepare(struct sip_session *session, struct sip_msg *msg)
{
	int error = reliable_create(session);

	if (!error)
		error = sip_msg_add(msg, "Require", "100rel");
	return error ? error : sip_msg_addf(msg, "RSeq", "%u", session->reliable->rseq + 1);
}

void prack_sent(struct sip_session *session, struct fork *fork, bool with_sdp)
{
	struct reliable *reliable = session->reliable;

	reliable->rseq++;
	reliable->fork = fork;
	reliable->with_sdp = with_sdp;
	reliable->since_ms = wheel_now_ms(session->stack->options.wheel);
	reliable->resend_ms = SIP_T1_MS;
	wheel_start(session->stack->options.wheel, &reliable->timer, SIP_T1_MS, on_resend, session);
}

bool prack_awaited(const struct sip_session *session)
{
	return session->reliable && session->reliable->fork;
}

static void held_free(struct held *held)
{
	free(held->sdp);
	free(held->reason);
	headers_list_free(held->headers);
	free(held);
}

int prack_hold(struct sip_session *session, unsigned fork, int status, const char *reason, const char *sdp,
	const char *const *extra)
{
	struct held **at = &session->reliable->held, *held = calloc(1, sizeof(*held));
	unsigned count = 0;

	for (; held && *at; at = &(*at)->next)
		count++;
	if (!held || count >= SIP_FORKS) {
		free(held);
		return held ? -ENOBUFS : -ENOMEM;
	}
	held->fork = fork;
	held->status = status;
	held->reason = reason ? strdup(reason) : NULL;
	held->sdp = sdp ? strdup(sdp) : NULL;
	held->headers = headers_list_copy(extra);
	if ((sdp && !held->sdp) || (reason && !held->reason) || !held->headers) {
		held_free(held);
		return -ENOMEM;
	}
	*at = held;
	return 0;
}

void prack_stop(struct sip_session *session)
{
	if (!session->reliable)
		return;
	wheel_stop(session->stack->options.wheel, &session->reliable->timer);
	session->reliable->fork = NULL;
}

void prack_free(struct sip_session *session)
{
	struct held *held;

	prack_stop(session);
	while (session->reliable && (held = session->reliable->held)) {
		session->reliable->held = held->next;
		held_free(held);
	}
	free(session->reliable);
	session->reliable = NULL;
}

// The next one that waited for this PRACK.
static void release(struct sip_session *session)
{
	while (session->reliable && session->reliable->held && !prack_awaited(session) &&
		session->state == SESSION_CALLING) {
		struct held *held = session->reliable->held;
		const char *const *headers = (const char *const *)held->headers;

		session->reliable->held = held->next;
		if (held->status < 200)
			sip_session_provisional(session, held->fork, held->status, held->reason, held->sdp, headers);
		else
			sip_session_answer(session, held->fork, held->sdp, headers);
		held_free(held);
	}
}

static bool rack_matches(const struct sip_session *session, const struct fork *fork, const struct sip_msg *msg)
{
	const char *rack = sip_msg_header(msg, "RAck", 0);
	unsigned long rseq, cseq;
	char method[16];

	return rack && sscanf(rack, "%lu %lu %15s", &rseq, &cseq, method) == 3 && prack_awaited(session) &&
	       session->reliable->fork == fork && session->reliable->rseq == rseq && session->cseq == cseq &&
	       strcmp(method, "INVITE") == 0;
}

void prack_receive(struct sip_session *session, struct fork *fork, struct sip_msg *msg)
{
	bool answers;

	if (!session->uas || !rack_matches(session, fork, msg)) {
		stack_answer(session->stack, msg, 481, NULL);
		return;
	}
	answers = session->late && !fork->agreed && session->reliable->with_sdp;
	if (answers && !sip_msg_has_sdp(msg)) {
		stack_answer(session->stack, msg, 400, NULL); // RFC 3262 5: it must answer the offer
		return;
	}
	prack_stop(session);
	if (session->reliable->with_sdp)
		fork->agreed = true;
	if (sip_msg_has_sdp(msg) && !answers) {
		exchange_receive(session, fork, msg); // an offer of its own
	} else {
		stack_answer(session->stack, msg, 200, NULL);
		if (answers)
			session->stack->options.ops->pracked(session->user, session, fork->index, msg);
	}
	release(session);
}

// --- we call ------------------------------------------------------------------------------------------------------

static void on_response(void *user, struct sip_request *request, const struct sip_msg *msg)
{
}

static void on_failed(void *user, struct sip_request *request, int error)
{
}

static void on_gone(void *user, struct sip_request *request)
{
}

static int prack_send(struct fork *fork, const char *sdp)
{
	static const struct sip_request_ops nobody = {on_response, on_failed, on_gone};
	struct sip_session *session = fork->session;
	struct sip_stack *stack = session->stack;
	struct sip_request *request;
	struct sip_way way;
	struct sip_msg *prack = sip_dialog_request(fork->dialog, SIP_PRACK, 0, &way);
	int error = prack ? sip_msg_addf(prack, "RAck", "%u %u INVITE", fork->rseq, session->cseq) : -errno;

	if (!error)
		error = sip_msg_add(prack, "User-Agent", stack->user_agent);
	if (!error && sdp)
		error = sip_msg_set_body(prack, "application/sdp", sdp, strlen(sdp));
	if (!error) {
		request = sip_request_send(stack, prack, &way, NULL, NULL, &nobody, NULL);
		error = request ? 0 : -errno;
		if (request)
			sip_request_detach(request);
	}
	sip_msg_unref(prack);
	return error;
}

// RFC 3262 4: in order, each once. Returns: false where the response is not to be looked at (again).
bool prack_admits(struct fork *fork, const struct sip_msg *msg)
{
	const char *rseq = sip_msg_header(msg, "RSeq", 0);
	unsigned long number = rseq ? strtoul(rseq, NULL, 10) : 0;

	if (!header_has_token(msg, "Require", "100rel") || !number || number > UINT32_MAX)
		return true;
	if (fork->rseq && number != (unsigned long)fork->rseq + 1)
		return false; // a copy, or one before it is missing: it will come again
	fork->rseq = (uint32_t)number;
	fork->unpracked = true;
	return true;
}

void prack_answer(struct sip_session *session, struct fork *fork, const struct sip_msg *msg)
{
	bool sdp = sip_msg_has_sdp(msg);

	if (!fork->unpracked)
		return;
	if (session->late && sdp && !fork->agreed)
		return; // its offer must be answered: sip_session_prack
	fork->unpracked = false;
	fork->agreed |= sdp;
	prack_send(fork, NULL);
}

int sip_session_prack(struct sip_session *session, unsigned index, const char *sdp)
{
	struct fork *fork = index < SIP_FORKS ? &session->forks[index] : NULL;

	if (!fork || !fork->dialog || !fork->unpracked)
		return -EINVAL;
	fork->unpracked = false;
	fork->agreed = true;
	return prack_send(fork, sdp);
}
