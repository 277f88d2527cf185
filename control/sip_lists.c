// SPDX-License-Identifier: BSD-3-Clause
// What we say that we can, and what of a peer's demands we cannot (RFC 3261 8.2.2, 20.5, 20.37): lists that are exact.

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sip_stack.h"

const char *policy_allow(const struct sip_policy *policy)
{
	static const char *const lists[2][2] = {
		{"INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, MESSAGE",
			"INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, MESSAGE, REFER, NOTIFY, SUBSCRIBE"},
		{"INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE",
			"INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, REFER, NOTIFY, SUBSCRIBE"},
	};

	return lists[policy->prack != SIP_PRACK_OFF][policy->refer];
}

const char *policy_supported(const struct sip_policy *policy)
{
	static const char *const lists[2][2] = {{NULL, "timer"}, {"100rel", "100rel, timer"}};

	return lists[policy->prack != SIP_PRACK_OFF][policy->session_expires_s != 0];
}

bool policy_allows(const struct sip_policy *policy, enum sip_method method)
{
	switch (method) {
	case SIP_INVITE:
	case SIP_ACK:
	case SIP_CANCEL:
	case SIP_BYE:
	case SIP_OPTIONS:
	case SIP_UPDATE:
	case SIP_INFO:
	case SIP_MESSAGE:
		return true;
	case SIP_PRACK:
		return policy->prack != SIP_PRACK_OFF;
	case SIP_REFER:
	case SIP_NOTIFY:
	case SIP_SUBSCRIBE:
		return policy->refer;
	default:
		return false;
	}
}

void policy_of(struct sip_stack *stack, const struct kg_addr *peer, struct sip_policy *out)
{
	*out = (struct sip_policy){.session_expires_s = SIP_SESSION_EXPIRES_S};
	if (stack->options.ops->policy)
		stack->options.ops->policy(stack->options.arg, peer, out);
}

// --- lists of tokens ----------------------------------------------------------------------------------------------

// The next token of a comma list, parameters cut off. Returns: NULL past the last.
static const char *token_next(const char **at, size_t *length)
{
	const char *token;

	*at += strspn(*at, ", \t");
	token = *at;
	*at += strcspn(*at, ",");
	*length = strcspn(token, ",; \t");
	return *token ? token : NULL;
}

bool header_has_token(const struct sip_msg *msg, const char *name, const char *token)
{
	const char *value, *found;
	size_t length;

	for (unsigned i = 0; (value = sip_msg_header(msg, name, i)); i++)
		while ((found = token_next(&value, &length)))
			if (length == strlen(token) && strncasecmp(found, token, length) == 0)
				return true;
	return false;
}

// What of Require is not ours, as one list. Owns: the caller frees. Returns: NULL: nothing.
static char *unsupported(const struct sip_msg *msg, const struct sip_policy *policy)
{
	const char *value, *token;
	char *text = NULL;
	size_t length, size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (unsigned i = 0; (value = sip_msg_header(msg, "Require", i)); i++)
		while ((token = token_next(&value, &length))) {
			bool rel = length == 6 && strncasecmp(token, "100rel", length) == 0;
			bool timer = length == 5 && strncasecmp(token, "timer", length) == 0;

			if ((rel && policy->prack != SIP_PRACK_OFF) || (timer && policy->session_expires_s))
				continue;
			fprintf(out, "%s%.*s", ftell(out) ? ", " : "", (int)length, token);
		}
	if (fclose(out) == 0 && text && *text)
		return text;
	free(text);
	return NULL;
}

// RFC 3261 8.2.2.3: an ACK or CANCEL cannot be refused so, and a BYE had better end the call.
bool refuse_extension(struct sip_stack *stack, struct sip_msg *msg, const struct sip_policy *policy)
{
	static const char *const required[] = {"Require", "100rel", NULL};
	enum sip_method method = sip_msg_method(msg);
	char *list = method == SIP_BYE ? NULL : unsupported(msg, policy);
	const char *headers[] = {"Unsupported", list, NULL};

	if (list) {
		stack_answer(stack, msg, 420, headers);
		free(list);
		return true;
	}
	if (method == SIP_INVITE && policy->prack == SIP_PRACK_REQUIRED && !sip_msg_to_tag(msg) &&
		!header_has_token(msg, "Supported", "100rel") && !header_has_token(msg, "Require", "100rel")) {
		stack_answer(stack, msg, 421, required);
		return true;
	}
	return false;
}

int policy_say(struct sip_msg *msg, const struct sip_policy *policy)
{
	const char *supported = policy_supported(policy);
	int error = sip_msg_add(msg, "Allow", policy_allow(policy));

	return error || !supported ? error : sip_msg_add(msg, "Supported", supported);
}
