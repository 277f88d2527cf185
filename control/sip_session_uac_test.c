// SPDX-License-Identifier: BSD-3-Clause
// The calling side of sessions over the whole stack, with a fake wire and clock: what the call layer is told, what the
// peer gets and when, and that nothing stays behind.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sip_session_check.h"

// --- we call ------------------------------------------------------------------------------------------------------

static void call_answered_and_hung_up_by_us(void **state)
{
	static const char *const reason[] = {"Reason", "Q.850;cause=16", NULL};
	const struct sip_msg *msg;
	unsigned bye;

	fake_call();
	assert_string_equal(dialog_of(live()), "none");
	msg = fake_last("INVITE sip:peer@192.0.2.2:5070", NULL);
	assert_non_null(msg);
	assert_string_equal(sip_msg_header(msg, "Max-Forwards", 0), "69");
	assert_string_equal(sip_msg_contact_uri(msg), "sip:192.0.2.1:5060");
	assert_string_equal(sip_msg_content_type(msg), "application/sdp");
	fake_response(0, 100, "", "");
	fake_response(0, 180, "x", "");
	assert_string_equal(dialog_of(live()), "early");
	fake_response(0, 200, "x", "");
	assert_string_equal(dialog_of(live()), "confirmed");
	fake_wait(300000);                                  // no ring timer any more
	assert_int_equal(sip_session_bye(live(), NULL), 0); // ACK goes first, though nobody asked
	assert_non_null(fake_last("ACK sip:x@192.0.2.2:5070 ", NULL));
	msg = fake_last("BYE sip:x@192.0.2.2:5070 ", &bye);
	assert_non_null(msg);
	assert_int_equal(sip_msg_cseq(msg), 2);
	assert_int_equal(sip_session_bye(live(), reason), -EALREADY);
	fake_response(bye, 200, "", "");
	TOLD("provisional:0 answered:0 bye_done:200");
	assert_int_equal(counts_now().dialogs, 0);
	nothing_stays();
	TOLD("provisional:0 answered:0 bye_done:200 freed");
}

static void ack_is_one_and_the_same_for_each_copy(void **state)
{
	const struct sip_msg *ack;

	fake_call();
	fake_response(0, 200, "x", "");
	fake_response(0, 200, "x", ""); // not acknowledged yet: nothing to say
	assert_int_equal(fake_count("ACK"), 0);
	assert_int_equal(sip_session_ack(live(), "v=0 answer"), 0);
	assert_int_equal(sip_session_ack(live(), NULL), -EALREADY);
	fake_response(0, 200, "x", ""); // our ACK was lost
	fake_wait(20000);
	fake_response(0, 200, "x", "");
	assert_int_equal(fake_count("ACK"), 3);
	assert_string_equal(fake.sent[1].data, fake.sent[3].data);
	ack = fake.sent[1].msg;
	assert_string_equal(sip_msg_header(ack, "CSeq", 0), "1 ACK");
	assert_string_equal(sip_msg_body(ack, NULL), "v=0 answer");
	assert_string_not_equal(sip_msg_branch(ack), sip_msg_branch(fake.sent[0].msg));
	fake_request("BYE", "b1", 5, "", "", ""); // without our tag: of no dialog
	assert_non_null(fake_last("SIP/2.0 481", NULL));
	TOLD("answered:0");
	told_is_forgotten();
	fake.session = NULL;
	sip_stack_close(fake.stack);
	fake.stack = NULL;
	TOLD("freed");
	assert_int_equal(fake.closed, 1);
	struct sip_stack_options options = {.wheel = fake.wheel, .ops = &fake_ops};
	assert_int_equal(sip_stack_create(&options, &fake.wire, &fake.stack), 0);
}

static void peer_request(const char *method, unsigned cseq, const char *more)
{
	const struct sip_msg *invite = fake.sent[0].msg;
	char text[2048];

	snprintf(text, sizeof(text),
		"%s sip:192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5070;branch=z9hG4bK%s%u\r\n"
		"From: %s;tag=x\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n%s\r\n",
		method, method, cseq, sip_msg_to(invite), sip_msg_from(invite), sip_msg_call_id(invite), cseq, method,
		more);
	fake_receive(text, strlen(text));
}

static void called_party_hangs_up(void **state)
{
	fake_call();
	fake_response(0, 200, "x", "");
	sip_session_ack(live(), NULL);
	peer_request("BYE", 1, "");
	assert_non_null(fake_last("SIP/2.0 200", NULL));
	TOLD("answered:0 ended");
	assert_string_equal(dialog_of(live()), "terminated");
	assert_int_equal(sip_session_bye(live(), NULL), -EALREADY);
	peer_request("BYE", 1, ""); // a copy: of the transaction
	peer_request("BYE", 2, ""); // another one: of nothing
	assert_non_null(fake_last("SIP/2.0 481", NULL));
	nothing_stays();
	TOLD("answered:0 ended freed");
}

static void hung_up_before_our_ack(void **state)
{
	fake_call();
	fake_response(0, 200, "x", "");
	peer_request("BYE", 1, "");
	TOLD("answered:0 ended");
	assert_int_equal(fake_count("ACK"), 1); // or the peer would repeat its 2xx
	assert_int_equal(sip_session_ack(live(), NULL), -EALREADY);
	nothing_stays();
}

static void byes_cross(void **state)
{
	unsigned bye;

	fake_call();
	fake_response(0, 200, "x", "");
	sip_session_ack(live(), NULL);
	sip_session_bye(live(), NULL);
	fake_last("BYE", &bye);
	peer_request("BYE", 1, "");
	assert_int_equal(fake_count("SIP/2.0 200"), 1);
	TOLD("answered:0");
	fake_response(bye, 200, "", "");
	TOLD("answered:0 bye_done:200");
	nothing_stays();
	TOLD("answered:0 bye_done:200 freed");
}

static void bye_that_nobody_answers(void **state)
{
	fake_call();
	fake_response(0, 200, "x", "");
	sip_session_ack(live(), NULL);
	sip_session_bye(live(), NULL);
	fake_wait(31999);
	TOLD("answered:0");
	fake_wait(1);
	TOLD("answered:0 bye_done:408");
	nothing_stays();
}

static void no_response_at_all(void **state)
{
	fake_call();
	fake_wait(31999);
	TOLD("");
	fake_wait(1);
	TOLD("timed_out:0");
	assert_int_equal(fake_count("INVITE"), 7);
	nothing_stays();
	TOLD("timed_out:0 freed");
}

static void unreachable_is_told_at_once_but_not_inside(void **state)
{
	fake.send_error = -ECONNREFUSED;
	assert_non_null(fake_call());
	TOLD("");
	fake_wait(1);
	TOLD("timed_out:0");
	assert_int_equal(drops_of("send_failed"), 1);
	nothing_stays();
	fake.send_error = 0;
	told_is_forgotten();
	fake_call();
	sip_stack_refused(fake.stack, fake.sent[fake.sent_count - 1].data, 200, -ECONNREFUSED);
	fake_wait(1);
	TOLD("timed_out:0");
	nothing_stays();
}

static void busy(void **state)
{
	fake_call();
	fake_response(0, 180, "x", "");
	fake_response(0, 486, "x", "");
	fake_response(0, 486, "x", "");
	TOLD("provisional:0 failed:486");
	assert_int_equal(fake_count("ACK"), 2);
	assert_int_equal(counts_now().dialogs, 0);
	nothing_stays();
	TOLD("provisional:0 failed:486 freed");
}

static void ring_timeout_cancels(void **state)
{
	unsigned cancel;

	fake_call();
	fake_wait(1000);
	fake_response(0, 180, "x", "");
	fake_wait(59999);
	fake_response(0, 180, "x", ""); // does not put it off
	TOLD("provisional:0 provisional:0");
	fake_wait(1);
	TOLD("provisional:0 provisional:0 timed_out:2");
	assert_non_null(fake_last("CANCEL", &cancel));
	fake_response(cancel, 200, "x", "");
	fake_response(0, 487, "x", "");
	assert_non_null(fake_last("ACK", NULL));
	TOLD("provisional:0 provisional:0 timed_out:2");
	nothing_stays();
}

static void ring_timeout_crosses_an_answer(void **state)
{
	unsigned bye;

	fake_call();
	fake_response(0, 180, "x", "");
	fake_wait(60000);
	fake_response(0, 200, "x", "");
	assert_non_null(fake_last("ACK", NULL));
	assert_non_null(fake_last("BYE", &bye));
	fake_response(bye, 200, "", "");
	fake_response(0, 200, "x", "");
	assert_int_equal(fake_count("ACK"), 2);
	TOLD("provisional:0 timed_out:2");
	assert_int_equal(counts_now().extra_2xx, 0);
	nothing_stays();
}

// --- CANCEL -------------------------------------------------------------------------------------------------------

static void cancel_waits_for_a_provisional(void **state)
{
	static const char *const reason[] = {"Reason", "SIP;cause=200", NULL};
	unsigned cancel;

	fake_call();
	assert_int_equal(sip_session_cancel(live(), reason), 0);
	assert_int_equal(sip_session_cancel(live(), NULL), -EALREADY);
	assert_int_equal(fake_count("CANCEL"), 0);
	fake_response(0, 100, "", "");
	assert_non_null(fake_last("CANCEL", &cancel));
	assert_string_equal(sip_msg_header(fake.sent[cancel].msg, "Reason", 0), "SIP;cause=200");
	fake_response(0, 180, "x", ""); // no news any more
	fake_response(cancel, 200, "x", "");
	fake_response(0, 487, "x", "");
	TOLD("failed:487");
	nothing_stays();
	TOLD("failed:487 freed");
}

static void cancel_of_a_dumb_peer(void **state)
{
	fake_call();
	sip_session_cancel(live(), NULL);
	fake_wait(32000);
	TOLD("timed_out:0");
	assert_int_equal(fake_count("CANCEL"), 0);
	nothing_stays();
}

static void cancel_that_changes_nothing(void **state)
{
	fake_call();
	fake_response(0, 180, "x", "");
	sip_session_cancel(live(), NULL);
	fake_wait(31999);
	TOLD("provisional:0");
	fake_wait(1);
	TOLD("provisional:0 timed_out:0");
	nothing_stays();
	TOLD("provisional:0 timed_out:0 freed");
}

static void cancel_crosses_an_answer(void **state)
{
	unsigned cancel, bye;

	fake_call();
	fake_response(0, 180, "x", "");
	sip_session_cancel(live(), NULL);
	fake_response(0, 200, "x", "");
	fake_last("CANCEL", &cancel);
	fake_response(cancel, 481, "x", "");
	assert_non_null(fake_last("ACK", NULL));
	assert_non_null(fake_last("BYE", &bye));
	fake_response(bye, 200, "", "");
	TOLD("provisional:0 bye_done:200");
	nothing_stays();
	TOLD("provisional:0 bye_done:200 freed");
}

// --- forks downstream ---------------------------------------------------------------------------------------------

static void forks_are_numbered_and_extra_answers_ended(void **state)
{
	unsigned bye;

	fake_call();
	fake_response(0, 180, "x", "");
	fake_response(0, 183, "y", "");
	fake_response(0, 180, "x", "");
	assert_int_equal(counts_now().dialogs, 2);
	fake_response(0, 200, "y", "");
	sip_session_ack(live(), NULL);
	fake_response(0, 200, "x", "");
	fake_response(0, 200, "z", "");
	TOLD("provisional:0 provisional:1 provisional:0 answered:1");
	assert_int_equal(counts_now().extra_2xx, 2);
	assert_non_null(fake_last("ACK sip:x@", NULL));
	assert_non_null(fake_last("BYE sip:x@", &bye));
	assert_non_null(fake_last("BYE sip:z@", NULL));
	fake_response(bye, 200, "", "");
	fake_response(0, 200, "x", ""); // its ACK was lost: again, and no second BYE
	assert_int_equal(fake_count("ACK sip:x@"), 2);
	assert_int_equal(fake_count("BYE sip:x@"), 1);
	assert_string_equal(dialog_of(live()), "confirmed");
	fake_wait(40000); // z never answers its BYE
	assert_int_equal(counts_now().dialogs, 1);
	sip_session_bye(live(), NULL);
	fake_last("BYE sip:y@", &bye);
	fake_response(bye, 200, "", "");
	nothing_stays();
}

static void more_forks_than_places(void **state)
{
	char tag[16];

	fake_call();
	for (int i = 0; i < SIP_FORKS + 2; i++) {
		snprintf(tag, sizeof(tag), "t%d", i);
		fake_response(0, 180, tag, "");
	}
	assert_int_equal(counts_now().dialogs, SIP_FORKS);
	assert_int_equal(drops_of("too_many_forks"), 2);
	fake_response(0, 200, "t9", ""); // an answer finds a place
	sip_session_ack(live(), NULL);
	assert_non_null(fake_last("ACK sip:t9@", NULL));
	assert_int_equal(counts_now().dialogs, 1);
	sip_session_bye(live(), NULL);
	nothing_stays();
}

static void route_set_is_reversed_and_followed(void **state)
{
	const struct sip_msg *msg;
	unsigned index;

	fake_call();
	fake_response(0, 200, "x", "Record-Route: <sip:192.0.2.30;lr>, <sip:192.0.2.20:5080;lr>\r\n");
	sip_session_ack(live(), NULL);
	msg = fake_last("ACK sip:x@192.0.2.2:5070 ", &index);
	assert_non_null(msg);
	assert_string_equal(sip_msg_header(msg, "Route", 0), "<sip:192.0.2.20:5080;lr>");
	assert_string_equal(sip_msg_header(msg, "Route", 1), "<sip:192.0.2.30;lr>");
	assert_int_equal(fake.sent[index].to.port, 5080);
	assert_int_equal(fake.sent[index].to.ip[3], 20);
	sip_session_bye(live(), NULL);
	fake_last("BYE sip:x@192.0.2.2:5070 ", &index);
	assert_int_equal(fake.sent[index].to.port, 5080);
	nothing_stays();
}

static void strict_router_becomes_the_request_uri(void **state)
{
	const struct sip_msg *msg;

	fake_call();
	fake_response(0, 200, "x", "Record-Route: <sip:192.0.2.30;lr>, <sip:192.0.2.20:5080>\r\n");
	sip_session_ack(live(), NULL);
	msg = fake_last("ACK sip:192.0.2.20:5080 ", NULL);
	assert_non_null(msg);
	assert_string_equal(sip_msg_header(msg, "Route", 0), "<sip:192.0.2.30;lr>");
	assert_string_equal(sip_msg_header(msg, "Route", 1), "<sip:x@192.0.2.2:5070>");
	assert_null(sip_msg_header(msg, "Route", 2));
}

static void contact_headers_are_not_for_the_request_uri(void **state)
{
	fake_call();
	fake_response(0, 200, "who?a@x;p?X-Evil=1&body=", "");
	sip_session_ack(live(), NULL);
	assert_non_null(fake_last("ACK sip:who?a@x;p SIP/2.0\r\n", NULL));
	sip_session_bye(live(), NULL);
	nothing_stays();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(call_answered_and_hung_up_by_us),
		TEST(ack_is_one_and_the_same_for_each_copy),
		TEST(called_party_hangs_up),
		TEST(hung_up_before_our_ack),
		TEST(byes_cross),
		TEST(bye_that_nobody_answers),
		TEST(no_response_at_all),
		TEST(unreachable_is_told_at_once_but_not_inside),
		TEST(busy),
		TEST(ring_timeout_cancels),
		TEST(ring_timeout_crosses_an_answer),
		TEST(cancel_waits_for_a_provisional),
		TEST(cancel_of_a_dumb_peer),
		TEST(cancel_that_changes_nothing),
		TEST(cancel_crosses_an_answer),
		TEST(forks_are_numbered_and_extra_answers_ended),
		TEST(more_forks_than_places),
		TEST(route_set_is_reversed_and_followed),
		TEST(contact_headers_are_not_for_the_request_uri),
		TEST(strict_router_becomes_the_request_uri),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
