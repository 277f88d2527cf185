// SPDX-License-Identifier: BSD-3-Clause
// SIP from the wire: the input as one datagram to the parser alone, then as a script of records (separated by 0x1e) to
// a whole stack with a clock of its own. A record is
//   '+' n        n seconds go by
//   '@' i s t …  the peer answers what we sent: message i, status 100 + 4s, tag t, more header lines
//   'C'          we call
//   '!' a f      the call layer acts on the last session, fork f
//   '#'          the peer becomes a stranger, or known again
//   '%' p        what is agreed with the peer: bits for PRACK, REFER, session timers, endpoints
//   anything else is a datagram; "$T" in it is the To tag that we gave last.
// What the stack sends must be good by its own parser (sip_fake.h aborts otherwise); what it holds must go with it.

#include "sip_fake.h"

static void read_all(const struct sip_msg *msg)
{
	static const char *const names[] = {"Via", "Route", "Record-Route", "Contact", "From", "To", "Require"};
	struct sip_uri uri;
	const char *value;
	size_t length, sum = 0;

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		for (unsigned n = 0; (value = sip_msg_header(msg, names[i], n)); n++)
			sum += strlen(value) + (sip_uri_parse(value, &uri) == 0);
	if (sip_msg_body(msg, &length))
		sum += (unsigned char)sip_msg_body(msg, NULL)[length - 1];
	sum += (sip_msg_branch(msg) && *sip_msg_branch(msg)) + strlen(sip_msg_via_host(msg)) + sip_msg_via_port(msg);
	sum += sip_uri_parse(sip_msg_request_uri(msg), &uri) == 0;
	if (sip_msg_status(msg) > 699 || sum == SIZE_MAX)
		abort();
}

// An answer to what cannot be read: bounded, of lines without controls, and nothing that would be answered again.
static void salvage(const char *data, size_t length, const char *why, const struct kg_addr *source)
{
	struct kg_addr to;
	size_t size;
	char *text = sip_msg_salvage(data, length, why, source, length & 1, &to, &size), *again;

	if (!text)
		return;
	if (size > SIP_SALVAGE_MAX + 512 || !to.port || strncmp(text, "SIP/2.0 ", 8) != 0)
		abort();
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < ' ' && text[i] != '\t' && text[i] != '\n' &&
			(text[i] != '\r' || text[i + 1] != '\n'))
			abort();
	again = sip_msg_salvage(text, size, why, source, false, &to, &size);
	if (again)
		abort();
	free(text);
}

static void parse_alone(const char *data, size_t length)
{
	struct kg_addr source;
	struct sip_msg *msg, *answer = NULL;
	const char *why = NULL;

	kg_addr_parse(&source, "192.0.2.2", 5070);
	if (sip_msg_parse(data, length, &msg, &why) != 0) {
		if (!why)
			abort(); // every refusal has a name
		salvage(data, length, why, &source);
	} else {
		read_all(msg);
		sip_msg_set_source(msg, &source);
		answer = sip_msg_is_request(msg) ? sip_msg_response(msg, 200, NULL, "t") : NULL;
	}
	if (answer) {
		char *bytes = sip_msg_build(answer, &length);

		free(bytes);
	}
	sip_msg_unref(answer);
	sip_msg_unref(msg);
}

static void act(unsigned what, unsigned fork)
{
	static const enum sip_method methods[] = {SIP_INVITE, SIP_UPDATE, SIP_INFO, SIP_REFER};
	const struct sip_ask ask = {.method = methods[fork % 4],
		.type = fork & 4 ? NULL : "application/sdp",
		.body = fork & 4 ? NULL : "v=0\r\n",
		.length = fork & 4 ? 0 : 5};
	const char *sdp = fork & 1 ? "v=0\r\n" : NULL;
	struct sip_exchange *exchange;

	if (!fake.session)
		return;
	switch (what % 12) {
	case 0:
		sip_session_provisional(fake.session, fork, 180 + (int)fork, NULL, fork & 1 ? "v=0\r\n" : NULL, NULL);
		break;
	case 1:
		sip_session_answer(fake.session, fork, "v=0\r\n", NULL);
		break;
	case 2:
		sip_session_reject(fake.session, 486, NULL, NULL);
		break;
	case 3:
		sip_session_ack(fake.session, NULL);
		break;
	case 4:
		sip_session_cancel(fake.session, NULL);
		break;
	case 5:
		sip_session_bye(fake.session, NULL);
		break;
	case 6:
		exchange = sip_session_ask(fake.session, 0, &ask, &fake);
		if (exchange)
			fake.exchange = exchange;
		break;
	case 7:
		if (fake.exchange)
			sip_exchange_answer(fake.exchange, fork < 4 ? 200 : 488, NULL, NULL,
				sdp ? "application/sdp" : NULL, sdp, sdp ? 5 : 0);
		break;
	case 8:
		if (fake.exchange)
			sip_exchange_ack(fake.exchange, sdp);
		break;
	case 9:
		if (fake.exchange)
			sip_exchange_cancel(fake.exchange);
		break;
	case 10:
		sip_session_prack(fake.session, fork % SIP_FORKS, sdp);
		break;
	case 11:
		sip_session_answer(fake.session, 0, sdp, NULL);
		break;
	}
}

static void datagram(const char *data, size_t length)
{
	const char *tag = "none", *end = data + length, *at;
	char *text = NULL;
	size_t size = 0;
	FILE *out;

	for (unsigned i = fake.sent_count; i-- > 0;)
		if (sip_msg_status(fake.sent[i].msg) > 100 && sip_msg_to_tag(fake.sent[i].msg)) {
			tag = sip_msg_to_tag(fake.sent[i].msg);
			break;
		}
	out = open_memstream(&text, &size);
	for (; (at = memmem(data, (size_t)(end - data), "$T", 2)); data = at + 2)
		fprintf(out, "%.*s%s", (int)(at - data), data, tag);
	fwrite(data, 1, (size_t)(end - data), out);
	fclose(out);
	fake_receive(text, size);
	free(text);
}

static void record(const char *data, size_t length)
{
	unsigned char a = length > 1 ? (unsigned char)data[1] : 0, b = length > 2 ? (unsigned char)data[2] : 0;
	char tag[2] = {length > 3 ? data[3] : 'x', '\0'}, more[512];

	switch (length ? data[0] : '+') {
	case '+':
		fake_wait(a * 1000);
		break;
	case '@':
		if (!fake.sent_count)
			break;
		snprintf(more, sizeof(more), "%.*s", (int)(length > 4 ? length - 4 : 0), data + (length > 4 ? 4 : 0));
		fake_response(a % fake.sent_count, 100 + 4 * b, tag, more);
		break;
	case 'C':
		if (length > 1) {
			datagram(data, length); // CANCEL
			break;
		}
		fake_call();
		break;
	case '!':
		act(a, b % (SIP_FORKS + 1));
		break;
	case '#':
		fake.stranger = !fake.stranger;
		break;
	case '%':
		fake.policy = (struct sip_policy){
			.session_expires_s = a & 8 ? 200 : 0, .prack = (enum sip_prack)(a & 3) % 3, .refer = a & 4};
		fake.endpoints = a & 16;
		break;
	default:
		datagram(data, length);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	const char *data = (const char *)input, *end = data + size, *next;
	struct sip_counts counts;

	log_init(KG_LOG_ERROR, false);
	sip_msg_init();
	parse_alone(data, size);
	fake_open();
	for (; data <= end && fake.sent_count < FAKE_SENT; data = next + 1) {
		next = data < end ? memchr(data, 0x1e, (size_t)(end - data)) : NULL;
		if (!next)
			next = end;
		record(data, (size_t)(next - data));
	}
	// Whatever was said: once each call is ended, everything goes.
	for (int i = 0; i < 3 && fake.sent_count < FAKE_SENT; i++) {
		for (struct sip_session *session = fake.stack->sessions; session; session = session->next) {
			sip_session_cancel(session, NULL);
			sip_session_reject(session, 486, NULL, NULL);
			sip_session_bye(session, NULL);
		}
		fake_wait(100000);
	}
	sip_stack_counts(fake.stack, &counts);
	if (fake.sent_count < FAKE_SENT &&
		counts.ict + counts.ist + counts.nict + counts.nist + counts.dialogs + counts.sessions)
		abort();
	fake_close();
	return 0;
}
