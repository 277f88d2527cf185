// SPDX-License-Identifier: BSD-3-Clause
// For tests: a stack on a wire that remembers what it was given, with a clock that stands until it is moved, and a call
// layer that writes down in words what it is told.
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "sip_stack.h"

#define FAKE_SENT 256

static struct fake {
	struct sip_wire wire; // first
	struct wheel *wheel;
	struct sip_stack *stack;
	struct kg_addr local, peer;
	enum sip_transport transport; // that the peer speaks by
	bool stranger;                // the peer is no known source
	bool phone;                   // it is a phone, not a proxy
	int refusal;                  // what an INVITE is refused with before its session; 0: it is not
	int send_error;               // what the wire says
	uint64_t gone;                // the connection that is no more
	struct {
		uint64_t ms;
		struct kg_addr to;
		struct sip_flow flow;
		struct sip_msg *msg;
		size_t length;
		char *data;
	} sent[FAKE_SENT];
	unsigned sent_count;
	char told[2048];               // "invite answered:0 …"
	struct sip_session *session;   // the last one
	struct sip_exchange *exchange; // the last that was asked for
	unsigned exchanges_gone;
	struct sip_policy policy;
	bool endpoints;                                                          // there are some: alice
	void (*react)(struct sip_session *session, const char *word, void *arg); // inside a callback
	unsigned freed, traced, closed;
} fake;

static inline void fake_tell(struct sip_session *session, const char *word, int number)
{
	size_t length = strlen(fake.told);

	if (number >= 0)
		snprintf(fake.told + length, sizeof(fake.told) - length, "%s%s:%d", length ? " " : "", word, number);
	else
		snprintf(fake.told + length, sizeof(fake.told) - length, "%s%s", length ? " " : "", word);
	if (fake.react)
		fake.react(session, word, NULL);
}

static inline void fake_invite(
	void *arg, struct sip_session *session, struct sip_msg *msg, const struct kg_addr *source)
{
	fake.session = session;
	sip_session_set_user(session, &fake);
	fake_tell(session, "invite", -1);
}

static inline void fake_provisional(void *user, struct sip_session *session, unsigned fork, const struct sip_msg *msg)
{
	fake_tell(session, "provisional", (int)fork);
}

static inline void fake_answered(void *user, struct sip_session *session, unsigned fork, const struct sip_msg *msg)
{
	fake_tell(session, "answered", (int)fork);
}

static inline void fake_failed(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	fake_tell(session, "failed", sip_msg_status(msg));
}

static inline void fake_acked(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	fake_tell(session, "acked", -1);
}

static inline void fake_cancelled(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	fake_tell(session, "cancelled", -1);
}

static inline void fake_ended(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	fake_tell(session, "ended", -1);
}

static inline void fake_timed_out(void *user, struct sip_session *session, enum sip_timeout what)
{
	fake_tell(session, "timed_out", (int)what);
}

static inline void fake_bye_done(void *user, struct sip_session *session, int status)
{
	fake_tell(session, "bye_done", status);
}

static inline void fake_freed(void *user, struct sip_session *session)
{
	fake.freed++;
	fake_tell(session, "freed", -1);
	if (fake.session == session)
		fake.session = NULL;
}

static inline enum sip_source fake_known_source(void *arg, const struct kg_addr *source)
{
	return fake.stranger ? SIP_SOURCE_STRANGER : fake.phone ? SIP_SOURCE_PARTY : SIP_SOURCE_PROXY;
}

static inline int fake_admit(void *arg, const struct kg_addr *source, unsigned *retry_after_s)
{
	*retry_after_s = 7;
	return fake.refusal;
}

static inline void fake_asked(void *user, struct sip_session *session, unsigned fork, struct sip_exchange *exchange,
	const struct sip_msg *msg)
{
	char word[32];

	fake.exchange = exchange;
	snprintf(word, sizeof(word), "asked_%s", sip_msg_method_name(msg));
	fake_tell(session, word, (int)fork);
}

static inline void fake_replied(
	void *user, struct sip_session *session, struct sip_exchange *exchange, int status, const struct sip_msg *msg)
{
	fake_tell(session, msg ? "replied" : "unanswered", status);
}

static inline void fake_exchange_acked(
	void *user, struct sip_session *session, struct sip_exchange *exchange, const struct sip_msg *msg)
{
	fake_tell(session, "exchange_acked", -1);
}

static inline void fake_exchange_gone(void *user, struct sip_session *session, struct sip_exchange *exchange)
{
	if (fake.exchange == exchange)
		fake.exchange = NULL;
	fake.exchanges_gone++;
}

static inline void fake_pracked(void *user, struct sip_session *session, unsigned fork, const struct sip_msg *msg)
{
	fake_tell(session, "pracked", (int)fork);
}

static inline void fake_policy(void *arg, const struct kg_addr *peer, struct sip_policy *out)
{
	*out = fake.policy;
}

static const struct sip_session_ops fake_ops = {.invite = fake_invite,
	.provisional = fake_provisional,
	.answered = fake_answered,
	.failed = fake_failed,
	.acked = fake_acked,
	.cancelled = fake_cancelled,
	.ended = fake_ended,
	.timed_out = fake_timed_out,
	.asked = fake_asked,
	.replied = fake_replied,
	.exchange_acked = fake_exchange_acked,
	.exchange_gone = fake_exchange_gone,
	.pracked = fake_pracked,
	.bye_done = fake_bye_done,
	.freed = fake_freed,
	.known_source = fake_known_source,
	.policy = fake_policy,
	.admit = fake_admit};

static inline int fake_send(struct sip_wire *wire, struct sip_flow *flow, const char *data, size_t length)
{
	const char *why;
	int status;

	if (fake.sent_count == FAKE_SENT)
		return 0;
	if (fake.gone && flow->connection == fake.gone)
		return -ENOTCONN;
	fake.sent[fake.sent_count].ms = wheel_now_ms(fake.wheel);
	fake.sent[fake.sent_count].to = flow->remote;
	fake.sent[fake.sent_count].flow = *flow;
	fake.sent[fake.sent_count].length = length;
	fake.sent[fake.sent_count].data = strndup(data, length);
	// What we send must be a message by our own measure; but the refusal of a malformed one echoes what is wrong
	// with it.
	if (sip_msg_parse(data, length, &fake.sent[fake.sent_count].msg, &why) != 0) {
		if (sscanf(data, "SIP/2.0 %d ", &status) == 1 &&
			(status == 400 || status == 501 || status == 505 || status == 513)) {
			free(fake.sent[fake.sent_count].data);
			return fake.send_error;
		}
		fprintf(stderr, "a bad message was sent (%s):\n%.*s\n", why, (int)length, data);
		abort();
	}
	fake.sent_count++;
	return fake.send_error;
}

static inline void fake_wire_close(struct sip_wire *wire)
{
	fake.closed++;
}

static inline int fake_source_for(void *arg, const struct kg_addr *target, struct kg_addr *source)
{
	*source = fake.local;
	return target->family == 4 ? 0 : -ENETUNREACH;
}

static inline void fake_trace(
	void *arg, bool sent, const struct sip_flow *flow, const struct sip_msg *msg, const char *data, size_t length)
{
	fake.traced++;
}

static inline bool fake_has_endpoints(void *arg)
{
	return fake.endpoints;
}

static inline const char *fake_password_of(void *arg, const char *user)
{
	return strcmp(user, "alice") == 0 ? "secret" : NULL;
}

static inline void fake_open(void)
{
	struct sip_stack_options options = {.ops = &fake_ops,
		.arg = &fake,
		.listen_count = 1,
		.source_for = fake_source_for,
		.trace = fake_trace,
		.has_endpoints = fake_has_endpoints,
		.password_of = fake_password_of,
		.user_agent = "kedge/test"};

	memset(&fake, 0, sizeof(fake));
	fake.wire = (struct sip_wire){fake_send, fake_wire_close};
	kg_addr_parse(&fake.local, "192.0.2.1", 5060);
	kg_addr_parse(&fake.peer, "192.0.2.2", 5070);
	options.wheel = fake.wheel = wheel_create(1000);
	options.listen[0].addr = fake.local;
	if (!fake.wheel || sip_stack_create(&options, &fake.wire, &fake.stack) != 0)
		abort();
}

static inline void fake_close(void)
{
	if (fake.stack)
		sip_stack_close(fake.stack);
	wheel_destroy(fake.wheel);
	for (unsigned i = 0; i < fake.sent_count; i++) {
		sip_msg_unref(fake.sent[i].msg);
		free(fake.sent[i].data);
	}
}

static inline void fake_wait(uint64_t ms)
{
	wheel_advance(fake.wheel, wheel_now_ms(fake.wheel) + ms);
}

static inline void fake_receive(const char *data, size_t length)
{
	const struct sip_flow flow = {.transport = fake.transport,
		.local = fake.local,
		.remote = fake.peer,
		.connection = fake.transport != SIP_UDP};

	sip_stack_message(fake.stack, &flow, data, length);
}

// A request from the peer: method, branch, CSeq number, To tag ("" for none), more header lines with their CRLF, body.
static inline void fake_request(
	const char *method, const char *branch, unsigned cseq, const char *to_tag, const char *more, const char *body)
{
	char text[4096];

	snprintf(text, sizeof(text),
		"%s sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/%s 192.0.2.2:5070;branch=z9hG4bK%s\r\n"
		"From: \"Peer\" <sip:peer@192.0.2.2>;tag=peer\r\nTo: <sip:us@192.0.2.1>%s%s\r\nCall-ID: call@peer\r\n"
		"CSeq: %u %s\r\nMax-Forwards: 70\r\nContact: <sip:peer@192.0.2.2:5070>\r\n%s%sContent-Length: "
		"%zu\r\n\r\n%s",
		method, sip_transport_name(fake.transport), branch, *to_tag ? ";tag=" : "", to_tag, cseq, method, more,
		*body && !strstr(more, "Content-Type") ? "Content-Type: application/sdp\r\n" : "", strlen(body), body);
	fake_receive(text, strlen(text));
}

// The peer answers the index-th message that we sent. tag "": none.
static inline void fake_response(unsigned index, int status, const char *tag, const char *more)
{
	const struct sip_msg *request = index < fake.sent_count ? fake.sent[index].msg : NULL;
	char text[4096];

	if (!request)
		abort();

	snprintf(text, sizeof(text),
		"SIP/2.0 %d Whatever\r\nVia: %s\r\nFrom: %s\r\nTo: %s%s%s\r\nCall-ID: %s\r\nCSeq: %s\r\n"
		"Contact: <sip:%s@192.0.2.2:5070>\r\n%sContent-Length: 0\r\n\r\n",
		status, sip_msg_header(request, "Via", 0), sip_msg_from(request), sip_msg_to(request),
		*tag && !sip_msg_to_tag(request) ? ";tag=" : "", sip_msg_to_tag(request) ? "" : tag,
		sip_msg_call_id(request), sip_msg_header(request, "CSeq", 0), *tag ? tag : "peer", more);
	fake_receive(text, strlen(text));
}

static inline struct sip_session *fake_call(void)
{
	struct sip_invite invite = {.way = {.flow = {.remote = fake.peer}},
		.request_uri = "sip:peer@192.0.2.2:5070",
		.from = "\"Us\" <sip:us@192.0.2.1>",
		.to = "<sip:peer@192.0.2.2>",
		.max_forwards = 69,
		.sdp = "v=0\r\n",
		.policy = fake.policy,
		.ring_timeout_ms = 60000};

	fake.session = sip_session_invite(fake.stack, &invite, &fake);
	return fake.session;
}

// The last message sent that begins so; NULL: none (and *index then names none).
static inline const struct sip_msg *fake_last(const char *start, unsigned *index)
{
	if (index)
		*index = FAKE_SENT;
	for (unsigned i = fake.sent_count; i-- > 0;)
		if (strncmp(fake.sent[i].data, start, strlen(start)) == 0) {
			if (index)
				*index = i;
			return fake.sent[i].msg;
		}
	return NULL;
}

static inline unsigned fake_count(const char *start)
{
	unsigned count = 0;

	for (unsigned i = 0; i < fake.sent_count; i++)
		count += strncmp(fake.sent[i].data, start, strlen(start)) == 0;
	return count;
}
