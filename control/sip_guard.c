// SPDX-License-Identifier: BSD-3-Clause
// What comes in is weighed here before it is read: strangers by sip_limits.c, everybody's messages by their size.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "sip_stack.h"

#define LINE_MS 1000    // how often it is looked for lines
#define LINES_A_LOOK 10 // forged addresses do not fill the log
#define WHAT 96

static uint64_t now_ms(const struct sip_stack *stack)
{
	return wheel_now_ms(stack->options.wheel);
}

int guard_open(struct sip_stack *stack)
{
	uint64_t secret;

	if (getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
		return -EIO; // cannot be for 8 bytes
	stack->limits = sip_limits_create(&stack->options.limits, secret);
	return stack->limits ? 0 : -ENOMEM;
}

void guard_close(struct sip_stack *stack)
{
	wheel_stop(stack->options.wheel, &stack->limit_lines);
	sip_limits_destroy(stack->limits);
}

void sip_stack_set_limits(struct sip_stack *stack, const struct sip_limits_config *limits)
{
	stack->options.limits = *limits;
	sip_limits_configure(stack->limits, limits);
}

bool guard_knows(struct sip_stack *stack, const struct kg_addr *remote)
{
	return stack->options.ops->known_source(stack->options.arg, remote) != SIP_SOURCE_STRANGER;
}

// --- lines --------------------------------------------------------------------------------------------------------

static void on_lines(struct wheel_timer *timer, void *arg)
{
	struct sip_stack *stack = arg;
	char line[512];

	for (unsigned i = 0; i < LINES_A_LOOK && sip_limits_line(stack->limits, now_ms(stack), line, sizeof(line)); i++)
		kg_warn("sip", "%s", line);
	if (sip_limits_waits(stack->limits))
		wheel_start(stack->options.wheel, timer, LINE_MS, on_lines, stack);
}

static void lines_expected(struct sip_stack *stack)
{
	if (!wheel_running(&stack->limit_lines))
		wheel_start(stack->options.wheel, &stack->limit_lines, LINE_MS, on_lines, stack);
}

// --- strangers ----------------------------------------------------------------------------------------------------

void guard_malformed(struct sip_stack *stack, const struct kg_addr *remote, const char *why)
{
	char what[WHAT];

	snprintf(what, sizeof(what), "malformed, %s", why);
	sip_limits_refuse(stack->limits, remote, what, now_ms(stack));
	lines_expected(stack);
}

void guard_refuse(struct sip_stack *stack, struct sip_msg *msg)
{
	struct sip_msg *response;
	char what[WHAT];

	stack->counts.refused_sources++;
	stack->counts.stranger_invites += sip_msg_method(msg) == SIP_INVITE;
	snprintf(what, sizeof(what), "%.20s %.70s", sip_msg_method_name(msg), sip_msg_request_uri(msg));
	lines_expected(stack);
	if (!sip_limits_refuse(stack->limits, sip_msg_source(msg), what, now_ms(stack)))
		return;
	response = sip_msg_response(msg, 403, NULL, "stranger");
	if (response)
		sip_txs_reply(stack->txs, msg, response);
	sip_msg_unref(response);
}

void guard_stray(struct sip_stack *stack, const struct sip_msg *msg)
{
	if (!guard_knows(stack, sip_msg_source(msg)))
		sip_limits_charge(stack->limits, sip_msg_source(msg), now_ms(stack));
}

// --- size ---------------------------------------------------------------------------------------------------------

// Whoever is known is told, where anything can be made of the message. No transaction is made.
static void refuse_size(
	struct sip_stack *stack, const struct sip_flow *flow, const char *data, size_t length, enum sip_refusal why)
{
	bool bytes = why == SIP_REFUSED_message_bytes;
	struct sip_msg *msg, *response = NULL;
	char addr[KG_ADDR_STRLEN];
	const char *error;

	stack_log(stack, KG_LOG_WARN, NULL, "a message of %zu bytes from %s was refused: sip.limits.%s is %u", length,
		kg_addr_text(&flow->remote, addr, sizeof(addr)), sip_refusal_name(why),
		bytes ? stack->options.limits.message_bytes : stack->options.limits.headers);
	if (sip_msg_parse(data, length, &msg, &error) != 0) {
		stack_answer_broken(stack, flow, data, length, sip_refusal_name(why));
		return;
	}
	sip_msg_set_flow(msg, flow);
	if (sip_msg_is_request(msg) && sip_msg_method(msg) != SIP_ACK)
		response = sip_msg_response(msg, bytes ? 513 : 400, bytes ? NULL : "Too Many Header Fields", "refused");
	if (response)
		sip_txs_reply(stack->txs, msg, response);
	sip_msg_unref(response);
	sip_msg_unref(msg);
}

bool guard_admits(struct sip_stack *stack, const struct sip_flow *flow, const char *data, size_t length)
{
	const struct kg_addr *remote = &flow->remote;
	bool known = guard_knows(stack, remote), request = length < 8 || memcmp(data, "SIP/2.0 ", 8) != 0;
	enum sip_refusal why;

	if (!known && !sip_limits_admits(stack->limits, remote, request, now_ms(stack))) {
		lines_expected(stack);
		return false;
	}
	if (!sip_limits_exceeds(stack->limits, data, length, &why))
		return true;
	if (known)
		refuse_size(stack, flow, data, length, why);
	else
		guard_malformed(stack, remote, sip_refusal_name(why));
	return false;
}
