// SPDX-License-Identifier: BSD-3-Clause
// What a request meets that belongs to no transaction: the checks of RFC 3261 8.2 outside dialogs, of 12.2.2 inside.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sip_exchange.h"

static const char *const accept_sdp[] = {"Accept", SIP_ACCEPT, NULL};

static void answer_methods(struct sip_stack *stack, struct sip_msg *msg, int status, const struct sip_policy *policy)
{
	const char *allow[] = {"Allow", policy_allow(policy), NULL};

	stack_answer(stack, msg, status, allow);
}

static void answer_options(struct sip_stack *stack, struct sip_msg *msg, const struct sip_policy *policy)
{
	const char *headers[] = {"Allow", policy_allow(policy), "Accept", SIP_ACCEPT, "Accept-Encoding", "identity",
		"Accept-Language", "en", "Supported", policy_supported(policy), NULL};

	if (!policy_supported(policy))
		headers[8] = NULL;
	stack_answer(stack, msg, 200, headers);
}

// RFC 3261 8.2.2.2: the same request by another way. Not asked of proxies: their parallel forks and serial hunts are
// meant.
static bool is_merged(struct sip_stack *stack, const struct sip_msg *msg)
{
	char *key = uas_merge_key(msg);
	struct sip_table_item *item = key ? sip_table_find(&stack->pending, key) : NULL;
	bool merged = false;

	for (; item && !merged; item = sip_table_find_next(item)) {
		const struct sip_session *session =
			(const struct sip_session *)((const char *)item - offsetof(struct sip_session, merge));
		const struct sip_msg *first = session->serving ? sip_tx_request(session->serving) : NULL;

		merged = first && sip_msg_cseq(first) == sip_msg_cseq(msg) &&
			 strcmp(sip_msg_request_uri(first), sip_msg_request_uri(msg)) == 0;
	}
	free(key);
	return merged;
}

// RFC 3261 8.2.6, RFC 4475 3.3.15: can the caller read the SDP of our answer?
static bool accepts_sdp(const struct sip_msg *msg)
{
	static const char *const good[] = {"application/sdp", "application/*", "*/*", "multipart/"};
	const char *value = sip_msg_header(msg, "Accept", 0);

	if (!value)
		return true; // RFC 3261 20.1: application/sdp is meant
	for (unsigned n = 0; (value = sip_msg_header(msg, "Accept", n)); n++)
		for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
			if (strcasestr(value, good[i]))
				return true;
	return false;
}

// The call layer has no room for one more, now.
static bool refuse_overload(struct sip_stack *stack, struct sip_msg *msg)
{
	unsigned retry_after_s = 0;
	int status = stack->options.ops->admit(stack->options.arg, sip_msg_source(msg), &retry_after_s);
	char seconds[16];
	const char *headers[] = {"Retry-After", seconds, NULL};

	snprintf(seconds, sizeof(seconds), "%u", retry_after_s);
	if (status)
		stack_answer(stack, msg, status, retry_after_s ? headers : NULL);
	return status != 0;
}

static void invite_outside(struct sip_stack *stack, struct sip_msg *msg, enum sip_source source,
	const struct sip_policy *policy, const char *endpoint)
{
	const char *hops = sip_msg_header(msg, "Max-Forwards", 0);

	if (hops && strtoul(hops, NULL, 10) == 0)
		stack_answer(stack, msg, 483, NULL);
	else if (refuse_extension(stack, msg, policy) || refresh_refuses(stack, msg, policy))
		return;
	else if (sip_msg_body(msg, NULL) && !sip_msg_has_sdp(msg))
		stack_answer(stack, msg, 415, accept_sdp);
	else if (!accepts_sdp(msg))
		stack_answer(stack, msg, 406, NULL);
	else if (source != SIP_SOURCE_PROXY && is_merged(stack, msg))
		stack_answer(stack, msg, 482, NULL);
	else if (!refuse_overload(stack, msg))
		uas_invite(stack, msg, policy, endpoint);
}

// These mean nothing without a dialog.
static bool is_inside(enum sip_method method)
{
	return method == SIP_INFO || method == SIP_UPDATE || method == SIP_PRACK || method == SIP_NOTIFY;
}

static void request_outside(struct sip_stack *stack, struct sip_msg *msg)
{
	enum sip_source source = stack->options.ops->known_source(stack->options.arg, sip_msg_source(msg));
	bool has_tag = sip_msg_to_tag(msg) != NULL;
	enum sip_method method = sip_msg_method(msg);
	char endpoint[DIGEST_FIELD] = "";
	struct sip_policy policy;
	struct sip_uri uri;

	if (source == SIP_SOURCE_STRANGER) {
		// An INVITE with a To tag belongs to no dialog of ours: it need not be asked who it is.
		if (method != SIP_INVITE || has_tag || !auth_wanted(stack))
			guard_refuse(stack, msg);
		else if (auth_admits(stack, msg, endpoint))
			source = SIP_SOURCE_PARTY;
		if (source == SIP_SOURCE_STRANGER)
			return;
	}
	policy_of(stack, sip_msg_source(msg), &policy);
	if (method == SIP_UNKNOWN)
		answer_methods(stack, msg, 501, &policy);
	else if (method == SIP_SUBSCRIBE)
		stack_answer(stack, msg, 489, NULL);
	else if (has_tag || method == SIP_BYE || (is_inside(method) && policy_allows(&policy, method)))
		stack_answer(stack, msg, 481, NULL);
	else if (method != SIP_INVITE && method != SIP_OPTIONS)
		answer_methods(stack, msg, 405, &policy);
	else if (sip_uri_parse(sip_msg_request_uri(msg), &uri) == -EPROTONOSUPPORT)
		stack_answer(stack, msg, 416, NULL);
	else if (method == SIP_INVITE)
		invite_outside(stack, msg, source, &policy, *endpoint ? endpoint : NULL);
	else if (!refuse_extension(stack, msg, &policy))
		answer_options(stack, msg, &policy);
}

static void request_inside(struct sip_stack *stack, struct sip_dialog *dialog, struct sip_msg *msg)
{
	struct fork *fork = dialog->owner;
	const struct sip_policy *policy = &fork->session->policy;
	enum sip_method method = sip_msg_method(msg);

	if (!sip_dialog_accept_cseq(dialog, msg)) {
		stack_log(stack, KG_LOG_WARN, msg, "CSeq %u is lower than one before", sip_msg_cseq(msg));
		stack_answer(stack, msg, 500, NULL);
	} else if (method == SIP_UNKNOWN) {
		answer_methods(stack, msg, 501, policy);
	} else if (refuse_extension(stack, msg, policy)) {
		return;
	} else if (method == SIP_BYE && !dialog->confirmed && !fork->session->uas) {
		// RFC 3261 15: who is called has no right to end an early dialog so.
		stack_answer(stack, msg, 481, NULL);
	} else if (method == SIP_BYE) {
		stack_answer(stack, msg, 200, NULL);
		session_bye_received(fork->session, fork, msg);
	} else if (method == SIP_OPTIONS) {
		answer_options(stack, msg, policy);
	} else if (!policy_allows(policy, method)) {
		answer_methods(stack, msg, 405, policy);
	} else if (method == SIP_PRACK) {
		prack_receive(fork->session, fork, msg);
	} else {
		exchange_receive(fork->session, fork, msg);
	}
}

void core_request(void *arg, struct sip_msg *msg)
{
	struct sip_stack *stack = arg;
	struct sip_dialog *dialog;

	if (sip_msg_method(msg) == SIP_CANCEL) {
		if (uas_cancel(stack, msg))
			return;
		if (guard_knows(stack, sip_msg_source(msg)))
			stack_answer(stack, msg, 481, NULL);
		else
			guard_refuse(stack, msg);
		return;
	}
	dialog = sip_dialog_find(&stack->dialogs, msg);
	if (dialog)
		request_inside(stack, dialog, msg);
	else
		request_outside(stack, msg);
}

void core_ack(void *arg, const struct sip_msg *msg)
{
	struct sip_stack *stack = arg;
	struct sip_dialog *dialog = sip_dialog_find(&stack->dialogs, msg);
	struct fork *fork = dialog ? dialog->owner : NULL;

	if (fork && (sip_msg_cseq(msg) != fork->session->cseq || !fork->session->uas) &&
		exchange_ack(fork->session, fork, msg))
		return;
	if (!fork || !fork->session->uas) {
		guard_stray(stack, msg);
		stack_drop(stack, "stray_ack");
		stack_log(stack, KG_LOG_DEBUG, msg, "this ACK belongs to nothing");
		return;
	}
	uas_ack(fork->session, fork, msg);
}
