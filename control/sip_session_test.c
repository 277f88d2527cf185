// SPDX-License-Identifier: BSD-3-Clause
// The called side of sessions, what comes inside and outside dialogs, and what callbacks may do.

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

#define ALLOW "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE"

// --- we are called ------------------------------------------------------------------------------------------------

static void ring_and_answer(void)
{
	fake_request("INVITE", "i1", 10, "", "", "v=0\r\n");
	sip_session_provisional(live(), 0, 180, NULL, NULL, NULL);
	sip_session_answer(live(), 0, "v=0 ours", NULL);
}

static void called_answered_acked_and_ended(void **state)
{
	static const char *const extra[] = {"X-A", "1", NULL};
	const struct sip_msg *msg;
	unsigned bye;

	fake_request("INVITE", "i1", 10, "", "Record-Route: <sip:192.0.2.40;lr>\r\nTimestamp: 54\r\n", "v=0\r\n");
	TOLD("invite");
	msg = fake_last("SIP/2.0 100 Trying", NULL);
	assert_non_null(msg);
	assert_null(sip_msg_to_tag(msg));
	assert_string_equal(sip_msg_header(msg, "Timestamp", 0), "54");
	assert_string_equal(
		sip_msg_header(msg, "Via", 0), "SIP/2.0/UDP 192.0.2.2:5070;branch=z9hG4bKi1;received=192.0.2.2");
	assert_int_equal(sip_session_provisional(live(), 0, 183, "Wait", "v=0 early", extra), 0);
	assert_int_equal(sip_session_provisional(live(), 0, 100, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(sip_session_provisional(live(), SIP_FORKS, 180, NULL, NULL, NULL), -EINVAL);
	msg = fake_last("SIP/2.0 183 Wait", NULL);
	assert_non_null(msg);
	assert_string_equal(sip_msg_header(msg, "X-A", 0), "1");
	assert_string_equal(sip_msg_body(msg, NULL), "v=0 early");
	assert_string_equal(sip_msg_header(msg, "Record-Route", 0), "<sip:192.0.2.40;lr>");
	assert_int_equal(sip_session_answer(live(), 0, "v=0 ours", NULL), 0);
	assert_int_equal(sip_session_answer(live(), 0, NULL, NULL), -EALREADY);
	assert_int_equal(sip_session_reject(live(), 486, NULL, NULL), -EALREADY);
	assert_string_equal(our_tag("SIP/2.0 183"), our_tag("SIP/2.0 200"));
	fake_wait(700);
	assert_int_equal(fake_count("SIP/2.0 200"), 2);
	fake_request("INVITE", "i1", 10, "", "", "v=0\r\n"); // absorbed
	assert_int_equal(fake_count("SIP/2.0 200"), 2);
	fake_request("ACK", "a1", 10, our_tag("SIP/2.0 200"), "", "");
	fake_request("ACK", "a1", 10, our_tag("SIP/2.0 200"), "", "");
	fake_wait(60000);
	assert_int_equal(fake_count("SIP/2.0 200"), 2);
	TOLD("invite acked");
	assert_int_equal(sip_session_bye(live(), extra), 0);
	msg = fake_last("BYE sip:peer@192.0.2.2:5070 ", &bye);
	assert_non_null(msg);
	assert_string_equal(sip_msg_header(msg, "Route", 0), "<sip:192.0.2.40;lr>");
	assert_string_equal(sip_msg_to(msg), "\"Peer\" <sip:peer@192.0.2.2>;tag=peer");
	assert_int_equal(fake.sent[bye].to.ip[3], 40);
	fake_response(bye, 200, "", "");
	TOLD("invite acked bye_done:200");
	nothing_stays();
	TOLD("invite acked bye_done:200 freed");
}

static void lost_200_comes_again_until_its_ack(void **state)
{
	static const uint64_t due[] = {0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500};
	unsigned first, count = 0;

	ring_and_answer();
	fake_last("SIP/2.0 200", &first);
	fake_wait(31999);
	for (unsigned i = first; i < fake.sent_count; i++, count++)
		assert_int_equal(fake.sent[i].ms, fake.sent[first].ms + due[count]);
	assert_int_equal(count, 11);
	TOLD("invite");
	fake_wait(1);
	TOLD("invite timed_out:1");
	assert_int_equal(fake_count("BYE"), 1);
	assert_int_equal(fake_count("SIP/2.0 200"), 11);
	assert_int_equal(sip_session_bye(live(), NULL), -EALREADY);
	fake_request("ACK", "a1", 10, our_tag("SIP/2.0 200"), "", ""); // late
	TOLD("invite timed_out:1");
	nothing_stays();
	TOLD("invite timed_out:1 freed");
}

static void bye_waits_for_the_ack(void **state)
{
	static const char *const reason[] = {"Reason", "Q.850;cause=31", NULL};
	unsigned bye;

	ring_and_answer();
	assert_int_equal(sip_session_bye(live(), reason), 0);
	assert_int_equal(sip_session_bye(live(), NULL), -EALREADY);
	assert_int_equal(fake_count("BYE"), 0);
	fake_request("ACK", "a1", 9, our_tag("SIP/2.0 200"), "", ""); // of another INVITE
	assert_int_equal(fake_count("BYE"), 0);
	fake_request("ACK", "a1", 10, our_tag("SIP/2.0 200"), "", "");
	assert_non_null(fake_last("BYE", &bye));
	assert_string_equal(sip_msg_header(fake.sent[bye].msg, "Reason", 0), "Q.850;cause=31");
	fake_response(bye, 200, "", "");
	TOLD("invite bye_done:200");
	nothing_stays();
}

static void bye_waits_for_the_ack_in_vain(void **state)
{
	unsigned bye;

	ring_and_answer();
	sip_session_bye(live(), NULL);
	fake_wait(31999);
	assert_int_equal(fake_count("BYE"), 0);
	fake_wait(1);
	assert_non_null(fake_last("BYE", &bye));
	fake_response(bye, 481, "", "");
	TOLD("invite bye_done:481");
	nothing_stays();
}

static void caller_hangs_up_before_its_ack(void **state)
{
	ring_and_answer();
	fake_request("BYE", "b1", 11, our_tag("SIP/2.0 200"), "", "");
	TOLD("invite ended");
	fake_wait(5000);
	assert_int_equal(fake_count("SIP/2.0 200"), 2); // INVITE's and BYE's
	nothing_stays();
}

static void caller_ends_the_early_dialog(void **state)
{
	fake_request("INVITE", "i1", 10, "", "", "");
	sip_session_provisional(live(), 0, 180, NULL, NULL, NULL);
	fake_request("BYE", "b1", 11, our_tag("SIP/2.0 180"), "", "");
	TOLD("invite ended");
	assert_non_null(fake_last("SIP/2.0 487", NULL));
	assert_int_equal(fake_count("SIP/2.0 200"), 1);
	fake_request("ACK", "i1", 10, our_tag("SIP/2.0 487"), "", "");
	assert_int_equal(counts_now().dialogs, 0);
	nothing_stays();
	TOLD("invite ended freed");
}

static void called_cancelled(void **state)
{
	fake_request("INVITE", "i1", 10, "", "", "");
	sip_session_provisional(live(), 0, 180, NULL, NULL, NULL);
	fake_request("CANCEL", "i1", 10, "", "", "");
	TOLD("invite cancelled");
	assert_string_equal(our_tag("SIP/2.0 200"), our_tag("SIP/2.0 180"));
	assert_string_equal(our_tag("SIP/2.0 487"), our_tag("SIP/2.0 180"));
	assert_int_equal(sip_session_answer(live(), 0, NULL, NULL), -EALREADY);
	fake_wait(600);
	assert_int_equal(fake_count("SIP/2.0 487"), 2);
	fake_request("ACK", "i1", 10, our_tag("SIP/2.0 487"), "", "");
	fake_wait(5000);
	assert_int_equal(fake_count("SIP/2.0 487"), 2);
	nothing_stays();
	TOLD("invite cancelled freed");
}

static void cancel_too_late_or_of_nothing(void **state)
{
	fake_request("CANCEL", "none", 10, "", "", "");
	assert_non_null(fake_last("SIP/2.0 481", NULL));
	ring_and_answer();
	fake_request("CANCEL", "i1", 10, "", "", "");
	assert_int_equal(fake_count("SIP/2.0 200"), 2);
	assert_int_equal(fake_count("SIP/2.0 487"), 0);
	TOLD("invite");
	fake_request("ACK", "a1", 10, our_tag("SIP/2.0 200 OK\r\n"), "", "");
	fake_wait(100);
	nothing_stays();
}

static void rejected(void **state)
{
	static const char *const retry[] = {"Retry-After", "10", NULL};

	fake_request("INVITE", "i1", 10, "", "", "");
	assert_int_equal(sip_session_reject(live(), 200, NULL, NULL), -EINVAL);
	assert_int_equal(sip_session_reject(live(), 503, NULL, retry), 0);
	assert_string_equal(sip_msg_header(fake_last("SIP/2.0 503 Service Unavailable", NULL), "Retry-After", 0), "10");
	fake_wait(33000); // its ACK never comes
	assert_int_equal(fake_count("SIP/2.0 503"), 11);
	nothing_stays();
	TOLD("invite freed");
}

static void forks_upstream_have_tags_of_their_own(void **state)
{
	char tag0[64], tag1[64];

	fake_request("INVITE", "i1", 10, "", "", "");
	sip_session_provisional(live(), 0, 180, NULL, NULL, NULL);
	snprintf(tag0, sizeof(tag0), "%s", our_tag("SIP/2.0 180"));
	sip_session_provisional(live(), 3, 183, NULL, NULL, NULL);
	snprintf(tag1, sizeof(tag1), "%s", our_tag("SIP/2.0 183"));
	assert_string_not_equal(tag0, tag1);
	assert_int_equal(counts_now().dialogs, 2);
	sip_session_answer(live(), 3, NULL, NULL);
	assert_string_equal(our_tag("SIP/2.0 200"), tag1);
	assert_int_equal(counts_now().dialogs, 1);
	fake_request("ACK", "a1", 10, tag0, "", "");
	TOLD("invite");
	fake_request("ACK", "a2", 10, tag1, "", "");
	TOLD("invite acked");
	fake_request("BYE", "b1", 11, tag1, "", "");
	nothing_stays();
}

static void long_ringing_is_said_each_minute(void **state)
{
	fake_request("INVITE", "i1", 10, "", "", "");
	sip_session_provisional(live(), 0, 180, NULL, NULL, NULL);
	fake_wait(59999);
	assert_int_equal(fake_count("SIP/2.0 180"), 1);
	fake_wait(60001);
	assert_int_equal(fake_count("SIP/2.0 180"), 3);
	sip_session_reject(live(), 480, NULL, NULL);
	nothing_stays();
	assert_int_equal(fake_count("SIP/2.0 180"), 3);
}

// --- inside the dialog --------------------------------------------------------------------------------------------

static void requests_inside_a_dialog(void **state)
{
	char tag[64];

	ring_and_answer();
	snprintf(tag, sizeof(tag), "%s", our_tag("SIP/2.0 200"));
	fake_request("ACK", "a1", 10, tag, "", "");
	fake_request("OPTIONS", "o1", 11, tag, "", "");
	assert_string_equal(sip_msg_header(fake_last("SIP/2.0 200", NULL), "Allow", 0), ALLOW);
	fake_request("REFER", "u1", 13, tag, "", "");
	assert_string_equal(sip_msg_header(fake_last("SIP/2.0 405", NULL), "Allow", 0), ALLOW);
	fake_request("FOO", "f1", 14, tag, "", "");
	assert_non_null(fake_last("SIP/2.0 501", NULL));
	fake_request("OPTIONS", "o2", 13, tag, "", ""); // lower than before
	assert_non_null(fake_last("SIP/2.0 500", NULL));
	fake_request("OPTIONS", "o3", 15, tag, "Require: foo\r\n", "");
	assert_string_equal(sip_msg_header(fake_last("SIP/2.0 420", NULL), "Unsupported", 0), "foo");
	TOLD("invite acked");
	fake_request("BYE", "b1", 16, tag, "", "");
	TOLD("invite acked ended");
	fake_wait(31000);
	nothing_stays();
}

// --- outside dialogs ----------------------------------------------------------------------------------------------

static void requests_outside_dialogs(void **state)
{
	static const struct {
		const char *method, *to_tag, *more, *body, *want, *header, *value;
	} rows[] = {
		{"OPTIONS", "", "", "", "SIP/2.0 200", "Accept", SIP_ACCEPT},
		{"OPTIONS", "", "Require: a, b\r\n", "", "SIP/2.0 420", "Unsupported", "a, b"},
		{"OPTIONS", "none", "", "", "SIP/2.0 481", NULL, NULL},
		{"OPTIONS", "", "", "", "SIP/2.0 200", "Allow", ALLOW},
		{"OPTIONS", "", "", "", "SIP/2.0 200", "Supported", "100rel"},
		{"REGISTER", "", "", "", "SIP/2.0 405", "Allow", ALLOW},
		{"REFER", "", "", "", "SIP/2.0 405", "Allow", ALLOW},
		{"MESSAGE", "", "", "", "SIP/2.0 405", "Allow", ALLOW},
		{"SUBSCRIBE", "", "Event: presence\r\n", "", "SIP/2.0 489", NULL, NULL},
		{"UPDATE", "", "", "", "SIP/2.0 481", NULL, NULL},
		{"INFO", "", "", "", "SIP/2.0 481", NULL, NULL},
		{"PRACK", "", "", "", "SIP/2.0 481", NULL, NULL},
		{"FOO", "", "", "", "SIP/2.0 501", NULL, NULL},
		{"options", "", "", "", "SIP/2.0 501", NULL, NULL},
		{"BYE", "", "", "", "SIP/2.0 481", NULL, NULL},
		{"BYE", "none", "", "", "SIP/2.0 481", NULL, NULL},
		{"INVITE", "none", "", "", "SIP/2.0 481", NULL, NULL},
		{"INVITE", "", "Require: 100rel, foo, timer;a=b\r\n", "", "SIP/2.0 420", "Unsupported", "foo, timer"},
		{"INVITE", "", "Content-Type: text/plain\r\n", "hello", "SIP/2.0 415", "Accept", SIP_ACCEPT},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct sip_msg *msg;
		char branch[16];

		snprintf(branch, sizeof(branch), "row%u", i);
		fake_request(rows[i].method, branch, 1 + i, rows[i].to_tag, rows[i].more, rows[i].body);
		assert_int_equal(fake.sent_count, i + 1);
		msg = fake_last(rows[i].want, NULL);
		assert_non_null(msg);
		assert_ptr_equal(msg, fake.sent[i].msg);
		assert_non_null(sip_msg_to_tag(msg));
		if (rows[i].header)
			assert_string_equal(sip_msg_header(msg, rows[i].header, 0), rows[i].value);
	}
	TOLD("");
	nothing_stays();
}

static void hops_and_schemes(void **state)
{
	static const char head[] =
		"Via: SIP/2.0/UDP 192.0.2.2:5070;branch=z9hG4bK%u\r\nFrom: <sip:p@192.0.2.2>;tag=p\r\n"
		"To: <sip:u@192.0.2.1>\r\nCall-ID: c\r\n";
	static const struct {
		const char *line, *rest, *want;
	} rows[] = {
		{"INVITE sip:u@192.0.2.1 SIP/2.0", "CSeq: 1 INVITE\r\nMax-Forwards: 0\r\n\r\n", "SIP/2.0 483"},
		{"INVITE mailto:u@192.0.2.1 SIP/2.0", "CSeq: 1 INVITE\r\n\r\n", "SIP/2.0 416"},
		{"OPTIONS soap.beep://192.0.2.1 SIP/2.0", "CSeq: 1 OPTIONS\r\n\r\n", "SIP/2.0 416"},
		{"OPTIONS sip:192.0.2.1 SIP/2.0", "CSeq: 1 OPTIONS\r\nMax-Forwards: 0\r\n\r\n", "SIP/2.0 200"},
		{"INVITE sip:u@192.0.2.1 SIP/7.0", "CSeq: 1 INVITE\r\n\r\n", "SIP/2.0 505"},
		{"INVITE sip:u@192.0.2.1 SIP/2.0", "CSeq: 1 BYE\r\n\r\n", "SIP/2.0 400"},
		{"ACK sip:u@192.0.2.1 SIP/2.0", "CSeq: 1 BYE\r\n\r\n", NULL},
		{"ACK sip:u@192.0.2.1 SIP/2.0", "CSeq: 1 ACK\r\n\r\n", NULL},
	};
	char text[1024], via[512];
	unsigned sent = 0;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		snprintf(via, sizeof(via), head, i);
		snprintf(text, sizeof(text), "%s\r\n%s%s", rows[i].line, via, rows[i].rest);
		fake_receive(text, strlen(text));
		sent += rows[i].want != NULL;
		assert_int_equal(fake.sent_count, sent);
		if (rows[i].want)
			assert_ptr_equal(fake_last(rows[i].want, NULL), fake.sent[sent - 1].msg);
	}
	assert_int_equal(drops_of("bad_version"), 1);
	assert_int_equal(drops_of("method_mismatch"), 2);
	assert_int_equal(drops_of("stray_ack"), 1);
	fake_receive("\r\n\r\n", 4);
	fake_receive("", 0);
	fake.stranger = true; // is not answered, whatever it sends
	fake_receive("INVITE", 6);
	fake_receive(text, strlen(text));
	assert_int_equal(drops_of("no_end"), 1);
	assert_int_equal(fake.sent_count, sent);
}

static void strangers(void **state)
{
	fake.stranger = true;
	fake_request("OPTIONS", "o", 1, "", "", "");
	assert_non_null(fake_last("SIP/2.0 403", NULL));
	fake_request("BYE", "b", 1, "none", "", "");
	fake_request("CANCEL", "c", 1, "", "", "");
	assert_int_equal(fake_count("SIP/2.0 403"), 3);
	assert_int_equal(counts_now().nist, 0);
	assert_int_equal(counts_now().refused_sources, 3);
	fake_request("INVITE", "i", 1, "", "", "");
	assert_int_equal(fake_count("SIP/2.0 403"), 4);
	assert_int_equal(fake.sent_count, 4); // no 100 before it
	assert_int_equal(counts_now().ist, 0);
	assert_int_equal(counts_now().stranger_invites, 1);
	assert_int_equal(counts_now().refused[SIP_REFUSED_stranger], 4);
	fake_request("ACK", "i", 1, "stranger", "", "");
	TOLD("");
	nothing_stays();
}

static void silent_to_strangers(void **state)
{
	static const struct sip_limits_config silent = {.silent = true};
	static const char *const methods[] = {"INVITE", "OPTIONS", "BYE", "CANCEL", "ACK", "REGISTER", "FOO"};

	sip_stack_set_limits(fake.stack, &silent);
	fake.stranger = true;
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		fake_request(methods[i], methods[i], 1, "", "", "");
		fake_request(methods[i], methods[i], 1, "tag", "Require: x\r\n", "");
	}
	fake_receive("INVITE", 6);
	assert_int_equal(fake.sent_count, 0);
	TOLD("");
	nothing_stays();
	assert_int_equal(fake.sent_count, 0);
	assert_int_equal(counts_now().refused[SIP_REFUSED_stranger], 13); // an ACK is only dropped
}

static void a_flood_of_strangers_is_not_read(void **state)
{
	static const struct sip_limits_config few = {.source_per_s = 5, .strangers_per_s = 50};

	sip_stack_set_limits(fake.stack, &few);
	fake_request("INVITE", "i", 1, "", "", "");
	sip_session_answer(live(), 0, "v=0\r\n", NULL);
	fake.stranger = true;
	for (int i = 0; i < 100; i++)
		fake_request("OPTIONS", "o", 1, "", "", "");
	assert_int_equal(fake_count("SIP/2.0 403"), 5);
	assert_int_equal(counts_now().requests_in[SIP_OPTIONS], 5);
	assert_int_equal(counts_now().refused[SIP_REFUSED_source_rate], 95);
	fake_wait(1000);
	for (int i = 0; i < 100; i++) // what belongs to a dialog is no stranger's, and takes nothing
		fake_request("ACK", "a", 1, our_tag("SIP/2.0 200"), "", "");
	TOLD("invite acked");
	assert_int_equal(counts_now().refused[SIP_REFUSED_source_rate], 95);
	fake_request("BYE", "b", 2, our_tag("SIP/2.0 200"), "", "");
	TOLD("invite acked ended");
	nothing_stays();
}

static void messages_too_large(void **state)
{
	static const struct sip_limits_config small = {.message_bytes = 1500, .headers = 10};
	char filler[2000];

	sip_stack_set_limits(fake.stack, &small);
	snprintf(filler, sizeof(filler), "Subject: %01400d\r\n", 0);
	fake_request("INVITE", "i", 1, "", filler, "");
	assert_non_null(fake_last("SIP/2.0 513 Message Too Large", NULL));
	fake_request("OPTIONS", "o", 1, "", "X-1: 1\r\nX-2: 2\r\nX-3: 3\r\n", ""); // and eight that it always has
	assert_non_null(fake_last("SIP/2.0 400 Too Many Header Fields", NULL));
	assert_int_equal(fake.sent_count, 2);
	fake_request("OPTIONS", "p", 1, "", "X-1: 1\r\nX-2: 2\r\n", "");
	assert_non_null(fake_last("SIP/2.0 200", NULL));
	fake_request("ACK", "a", 1, "", filler, "");
	fake_receive(filler, strlen(filler) + 200); // cannot be read at all
	fake.stranger = true;
	fake_request("INVITE", "j", 1, "", filler, "");
	assert_int_equal(fake.sent_count, 3);
	assert_int_equal(counts_now().refused[SIP_REFUSED_message_bytes], 4);
	assert_int_equal(counts_now().refused[SIP_REFUSED_headers], 1);
	TOLD("");
	nothing_stays();
}

static void no_room_for_one_more(void **state)
{
	const struct sip_msg *refusal;

	fake.refusal = 503;
	fake_request("INVITE", "i", 1, "", "", "");
	refusal = fake_last("SIP/2.0 503 Service Unavailable", NULL);
	assert_non_null(refusal);
	assert_string_equal(sip_msg_header(refusal, "Retry-After", 0), "7");
	assert_int_equal(fake.sent_count, 1);       // no 100 before it
	fake_request("INVITE", "i", 1, "", "", ""); // a copy gets the same
	assert_int_equal(fake_count("SIP/2.0 503"), 2);
	fake_request("ACK", "i", 1, sip_msg_to_tag(refusal), "", "");
	fake_request("OPTIONS", "o", 1, "", "", ""); // nothing else is refused
	assert_non_null(fake_last("SIP/2.0 200", NULL));
	fake.refusal = 0;
	fake_request("INVITE", "j", 2, "", "", "");
	TOLD("invite");
	sip_session_reject(live(), 486, NULL, NULL);
	nothing_stays();
}

static void merged_requests_of_a_phone(void **state)
{
	fake.phone = true;
	fake_request("INVITE", "i", 1, "", "", "");
	TOLD("invite");
	fake_request("INVITE", "j", 1, "", "", ""); // the same by another way
	assert_non_null(fake_last("SIP/2.0 482", NULL));
	sip_session_reject(live(), 403, NULL, NULL);
	fake_request("INVITE", "k", 1, "", "", ""); // the first is answered: a new attempt
	TOLD("invite invite");
	sip_session_reject(live(), 403, NULL, NULL);
	nothing_stays();
}

static void a_trunks_parallel_forks_are_not_merged(void **state)
{
	fake_request("INVITE", "i", 1, "", "", "");
	fake_request("INVITE", "j", 1, "", "", "");
	TOLD("invite invite");
	assert_int_equal(fake_count("SIP/2.0 482"), 0);
}

static void replies_go_where_rfc_3581_says(void **state)
{
	static const char format[] =
		"OPTIONS sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5062;branch=z9hG4bK%d%s\r\n"
		"From: <sip:p@192.0.2.2>;tag=p\r\nTo: <sip:u@192.0.2.1>\r\nCall-ID: c\r\n"
		"CSeq: 1 OPTIONS\r\n\r\n";
	char text[512];

	snprintf(text, sizeof(text), format, 1, ";rport");
	fake_receive(text, strlen(text));
	assert_int_equal(fake.sent[0].to.port, 5070);
	assert_true(kg_addr_same_ip(&fake.sent[0].to, &fake.peer));
	assert_string_equal(sip_msg_header(fake.sent[0].msg, "Via", 0),
		"SIP/2.0/UDP 10.0.0.1:5062;branch=z9hG4bK1;received=192.0.2.2;rport=5070");
	snprintf(text, sizeof(text), format, 2, ";received=198.51.100.1");
	fake_receive(text, strlen(text));
	assert_int_equal(fake.sent[1].to.port, 5062);
	assert_true(kg_addr_same_ip(&fake.sent[1].to, &fake.peer));
	assert_string_equal(sip_msg_header(fake.sent[1].msg, "Via", 0),
		"SIP/2.0/UDP 10.0.0.1:5062;branch=z9hG4bK2;received=192.0.2.2");
}

// --- whatever a callback does -------------------------------------------------------------------------------------

static void do_everything(struct sip_session *session, const char *word, void *arg)
{
	struct sip_session_info info;

	sip_session_info(session, &info);
	sip_session_ack(session, NULL);
	sip_session_provisional(session, 0, 180, NULL, NULL, NULL);
	sip_session_answer(session, 0, NULL, NULL);
	sip_session_bye(session, NULL);
	sip_session_cancel(session, NULL);
	sip_session_reject(session, 500, NULL, NULL);
}

static void callbacks_may_do_anything(void **state)
{
	unsigned index;

	fake.react = do_everything;
	for (int round = 0; round < 3; round++) {
		struct sip_session *session = fake_call();
		unsigned invite;

		fake_last("INVITE", &invite);
		if (round == 1)
			sip_session_cancel(session, NULL);
		fake_response(invite, 180, "x", "");
		fake_response(invite, round == 2 ? 486 : 200, "x", "");
		if (fake_last("BYE", &index))
			fake_response(index, 200, "", "");
		fake_request("INVITE", round == 0 ? "i0" : round == 1 ? "i1" : "i2", 1, "", "", "");
		if (fake_last("SIP/2.0 200", NULL))
			fake_request("ACK", "a", 1, our_tag("SIP/2.0 200"), "", "");
		nothing_stays();
	}
}

static void close_with_everything_alive(void **state)
{
	fake.react = do_everything;
	fake_call();
	fake_response(0, 180, "x", "");
	fake_call();
	fake.react = NULL;
	fake_request("INVITE", "i1", 10, "", "", "");
	sip_session_provisional(live(), 0, 180, NULL, NULL, NULL);
	fake_request("INVITE", "i2", 11, "", "", "");
	sip_session_answer(live(), 0, NULL, NULL);
	fake_request("OPTIONS", "o1", 11, "", "", "");
	fake.react = do_everything; // also from freed
	fake.freed = 0;
	sip_stack_close(fake.stack);
	fake.stack = NULL;
	assert_int_equal(fake.freed, 4);
	fake.react = NULL;
	fake.stack = NULL;
	fake_wait(100000); // no timer of it is left
}

static void what_peers_write_is_not_injected(void **state)
{
	static const char *const bad[] = {"X-A", "1\r\nX-Evil: 1", NULL};
	struct sip_invite invite = {.way = {.flow = {.remote = fake.peer}},
		.request_uri = "sip:peer@192.0.2.2:5070 SIP/2.0\r\nX-Evil: 1",
		.from = "<sip:us@192.0.2.1>",
		.to = "<sip:peer@192.0.2.2>",
		.max_forwards = 70};

	assert_null(sip_session_invite(fake.stack, &invite, NULL));
	assert_int_equal(errno, EINVAL);
	invite.request_uri = "sip:peer@192.0.2.2";
	invite.headers = bad;
	assert_null(sip_session_invite(fake.stack, &invite, NULL));
	invite.headers = NULL;
	invite.from = "<sip:us@192.0.2.1>\r\nX-Evil: 1";
	assert_null(sip_session_invite(fake.stack, &invite, NULL));
	fake_request("INVITE", "i1", 10, "", "", "");
	assert_int_equal(sip_session_provisional(live(), 0, 180, "Ring\r\nX-Evil: 1", NULL, NULL), -EINVAL);
	assert_int_equal(sip_session_answer(live(), 0, NULL, bad), -EINVAL);
	assert_int_equal(sip_session_answer(live(), 0, NULL, NULL), 0);
	assert_int_equal(fake.freed, 0);
	for (unsigned i = 0; i < fake.sent_count; i++)
		assert_null(strstr(fake.sent[i].data, "Evil"));
}

static void traces_and_counts_see_each_message(void **state)
{
	struct sip_counts counts;

	ring_and_answer();
	fake_wait(600);
	fake_request("ACK", "a1", 10, our_tag("SIP/2.0 200"), "", "");
	sip_stack_counts(fake.stack, &counts);
	assert_int_equal(counts.requests_in[SIP_INVITE], 1);
	assert_int_equal(counts.requests_in[SIP_ACK], 1);
	assert_int_equal(counts.responses_out[1], 2);
	assert_int_equal(counts.responses_out[2], 2);
	assert_int_equal(counts.retransmits_out, 1);
	assert_int_equal(fake.traced, 6);
	sip_session_bye(live(), NULL);
	sip_stack_counts(fake.stack, &counts);
	assert_int_equal(counts.requests_out[SIP_BYE], 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(called_answered_acked_and_ended),
		TEST(lost_200_comes_again_until_its_ack),
		TEST(bye_waits_for_the_ack),
		TEST(bye_waits_for_the_ack_in_vain),
		TEST(caller_hangs_up_before_its_ack),
		TEST(caller_ends_the_early_dialog),
		TEST(called_cancelled),
		TEST(cancel_too_late_or_of_nothing),
		TEST(rejected),
		TEST(forks_upstream_have_tags_of_their_own),
		TEST(long_ringing_is_said_each_minute),
		TEST(requests_inside_a_dialog),
		TEST(requests_outside_dialogs),
		TEST(hops_and_schemes),
		TEST(strangers),
		TEST(silent_to_strangers),
		TEST(a_flood_of_strangers_is_not_read),
		TEST(messages_too_large),
		TEST(no_room_for_one_more),
		TEST(merged_requests_of_a_phone),
		TEST(a_trunks_parallel_forks_are_not_merged),
		TEST(replies_go_where_rfc_3581_says),
		TEST(callbacks_may_do_anything),
		TEST(close_with_everything_alive),
		TEST(what_peers_write_is_not_injected),
		TEST(traces_and_counts_see_each_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
