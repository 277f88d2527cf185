// SPDX-License-Identifier: BSD-3-Clause
// What is said inside a call, over the fakes: changes that both agree on, that one refuses, that are taken back;
// requests that go through as they are; whole bodies.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "calls_world.h"

#define HELD SDP_OF("192.0.2.20", "4000", "0 8 101") "a=sendonly\r\n"
#define HELD_ANSWER SDP_OF("198.51.100.20", "6000", "8 101") "a=recvonly\r\n"

static struct sip_session *a, *b;
static struct sip_exchange *exchange; // that the peer's request in hand belongs to
static int reply;

static int set_up(void **state)
{
	int error = world_open(state);

	if (error)
		return error;
	w.config->trunks[0].refer = w.config->trunks[1].refer = true;
	a = calls_bob();
	b = fakes_session(false, 0);
	assert_non_null(b);
	answers(b, 0, "SIP/2.0 200 OK", NULL, ANSWER);
	acks(a, NULL);
	a->said[0] = b->said[0] = '\0';
	return error;
}

static int tear_down(void **state)
{
	calls_shutdown(w.calls);
	assert_nothing_left();
	return world_close(state);
}

static void asked(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	calls_session_ops.asked(user, session, 0, exchange, msg);
}

static void replied(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	calls_session_ops.replied(user, session, exchange, reply, msg);
}

static void acked(void *user, struct sip_session *session, const struct sip_msg *msg)
{
	calls_session_ops.exchange_acked(user, session, exchange, msg);
}

static struct sip_exchange *asks(
	struct sip_session *session, enum sip_method method, const char *extra, const char *sdp)
{
	exchange = fakes_exchange(session, method);
	requests(session, sip_method_text(method), extra, sdp, asked);
	return exchange;
}

// The peer answers what we asked last. (The message's form does not matter here, only its body.)
static struct sip_exchange *replies(struct sip_session *session, int status, const char *sdp)
{
	exchange = session->exchanges[(session->exchange_count - 1) % 8];
	reply = status;
	requests(session, "INVITE", NULL, sdp, replied);
	return exchange;
}

static const char *state_now(void)
{
	static char text[32];
	json_t *list = calls_list_json(w.calls);

	snprintf(text, sizeof(text), "%s", text_at(json_array_get(json_object_get(list, "items"), 0), "state"));
	json_decref(list);
	return text;
}

static void hold_is_in_force_when_both_have_said_it(void **state)
{
	struct sip_exchange *theirs = asks(a, SIP_INVITE, NULL, HELD), *ours;

	assert_string_equal(b->said, "INVITE/0");
	assert_non_null(strstr(b->exchanges[0]->body, "a=sendonly"));
	assert_non_null(strstr(b->exchanges[0]->body, " 2 IN IP4"));           // the next version
	assert_true(leg_on(0)->config.may_send && leg_on(1)->config.may_send); // not yet
	ours = replies(b, 200, HELD_ANSWER);
	assert_true(ours->acked && theirs->answered);
	assert_int_equal(theirs->status, 200);
	assert_non_null(strstr(theirs->body, "a=recvonly"));
	assert_false(leg_on(0)->config.may_send); // nothing to who holds
	assert_true(leg_on(0)->config.may_receive);
	assert_string_equal(state_now(), "held");
	theirs = asks(a, SIP_INVITE, NULL, OFFER);
	replies(b, 200, ANSWER);
	assert_true(leg_on(0)->config.may_send);
	assert_string_equal(state_now(), "confirmed");
}

static void a_refusal_leaves_all_as_it_was(void **state)
{
	struct kg_leg_config before = leg_on(0)->config;
	struct sip_exchange *theirs = asks(a, SIP_INVITE, NULL, HELD);

	replies(b, 488, NULL);
	assert_int_equal(theirs->status, 488);
	assert_memory_equal(&before.remote, &leg_on(0)->config.remote, sizeof(before.remote));
	assert_true(leg_on(0)->config.may_send);
	theirs = asks(a, SIP_INVITE, NULL, OFFER); // word for word what is in force: answered here
	assert_int_equal(theirs->status, 200);
	assert_string_equal(theirs->body, a->sdp);
	assert_string_equal(b->said, "INVITE/0");
	theirs = asks(a, SIP_INVITE, NULL, "v=1\r\n");
	assert_int_equal(theirs->status, 400);
	b->ask_error = EBUSY;
	theirs = asks(a, SIP_INVITE, NULL, HELD);
	assert_int_equal(theirs->status, 491);
	b->ask_error = ENOTCONN;
	theirs = asks(a, SIP_INVITE, NULL, HELD);
	assert_int_equal(theirs->status, 500);
	assert_string_equal(state_now(), "confirmed");
}

static void an_offer_is_asked_for(void **state)
{
	struct sip_exchange *theirs = asks(a, SIP_INVITE, NULL, NULL), *ours;

	assert_string_equal(b->exchanges[0]->body, "");
	ours = replies(b, 200, ANSWER);
	assert_false(ours->acked); // its answer is not known yet
	assert_int_equal(theirs->status, 200);
	exchange = theirs;
	requests(a, "ACK", NULL, HELD, acked);
	assert_true(ours->acked);
	assert_non_null(strstr(ours->ack, "a=sendonly"));
	assert_string_equal(state_now(), "held");
}

static void what_is_taken_back_is_cancelled(void **state)
{
	struct sip_exchange *theirs = asks(a, SIP_INVITE, NULL, HELD), *ours = b->exchanges[0];

	calls_session_ops.exchange_gone(a->user, a, theirs);
	assert_true(ours->cancelled);
	theirs = asks(b, SIP_INVITE, NULL, HELD_ANSWER);
	assert_int_equal(theirs->status, 491); // until it is known how that ends
	replies(b, 487, NULL);
	theirs = asks(a, SIP_INVITE, NULL, HELD);
	replies(b, 200, HELD_ANSWER);
	assert_int_equal(theirs->status, 200);
}

static void update_is_asked_of_who_takes_it(void **state)
{
	asks(a, SIP_UPDATE, NULL, HELD);
	assert_string_equal(b->said, "INVITE/0");
	replies(b, 200, HELD_ANSWER);
	b->takes_update = true;
	asks(a, SIP_UPDATE, NULL, OFFER);
	assert_non_null(strstr(b->said, "UPDATE/0"));
	replies(b, 200, ANSWER);
}

static void nonsense_in_an_answer_ends_the_call(void **state)
{
	struct sip_exchange *theirs = asks(a, SIP_INVITE, NULL, HELD);

	replies(b, 200, "v=1\r\n");
	assert_int_equal(theirs->status, 488);
	assert_non_null(strstr(a->said, "BYE"));
	assert_non_null(strstr(b->said, "ACK(INVITE) BYE"));
}

static void requests_go_through_as_they_are(void **state)
{
	struct sip_exchange *theirs =
		asks(a, SIP_INFO, "Info-Package: x\r\nX-Secret: no\r\nContent-Type: text/plain\r\n", NULL);

	assert_string_equal(b->said, "INFO/0");
	assert_string_equal(b->exchanges[0]->headers, "Info-Package: x\n");
	replies(b, 408, NULL);
	assert_int_equal(theirs->status, 500); // RFC 4320
	theirs = asks(b, SIP_MESSAGE, NULL, OFFER);
	replies(a, 200, NULL);
	assert_int_equal(theirs->status, 200);
	assert_string_equal(a->exchanges[0]->body, OFFER);
	theirs = asks(a, SIP_INFO, NULL, NULL);
	calls_session_ops.exchange_gone(a->user, a, theirs); // nobody waits for its answer any more
	replies(b, 200, NULL);
	assert_false(theirs->answered);
}

// The one who is asked to replace a call knows it by the dialog behind us.
static void replaces_names_the_dialog_behind_us(void **state)
{
	char refer[256], wanted[256];

	snprintf(refer, sizeof(refer),
		"Refer-To: <sip:carol@192.0.2.30?Replaces=%s%%3Bto-tag%%3Dhere%%3Bfrom-tag%%3Dthere&X=1>\r\n",
		a->call_id);
	snprintf(wanted, sizeof(wanted),
		"Refer-To: <sip:carol@192.0.2.30?Replaces=%s%%3Bto-tag%%3Dthere%%3Bfrom-tag%%3Dhere&X=1>\n",
		b->call_id);
	asks(b, SIP_REFER, refer, NULL);
	assert_string_equal(a->exchanges[0]->headers, wanted);
	snprintf(refer, sizeof(refer),
		"Refer-To: <sip:carol@192.0.2.30?Replaces=strange%%3Bto-tag%%3D1%%3Bfrom-tag%%3D2>\r\n");
	asks(b, SIP_REFER, refer, NULL); // none of ours: as it is
	assert_non_null(strstr(a->exchanges[1]->headers, "Replaces=strange"));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(hold_is_in_force_when_both_have_said_it),
		TEST(a_refusal_leaves_all_as_it_was),
		TEST(an_offer_is_asked_for),
		TEST(what_is_taken_back_is_cancelled),
		TEST(update_is_asked_of_who_takes_it),
		TEST(nonsense_in_an_answer_ends_the_call),
		TEST(requests_go_through_as_they_are),
		TEST(replaces_names_the_dialog_behind_us),
	};

	sip_msg_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
