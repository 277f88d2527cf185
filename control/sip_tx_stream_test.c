// SPDX-License-Identifier: BSD-3-Clause
// What a reliable transport changes in the machines: nothing is sent again, nothing is absorbed, a broken connection
// fails who waits on it, an answer finds another way.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sip_fake.h"

static int set_up(void **state)
{
	fake_open();
	fake.transport = SIP_TCP;
	return 0;
}

static int tear_down(void **state)
{
	fake_close();
	return 0;
}

static struct sip_session *call_by_tcp(void)
{
	struct sip_invite invite = {.way = {.uri = "sip:peer@192.0.2.2:5070;transport=tcp"},
		.request_uri = "sip:peer@192.0.2.2:5070",
		.from = "<sip:us@192.0.2.1>",
		.to = "<sip:peer@192.0.2.2>",
		.max_forwards = 69,
		.sdp = "v=0\r\n"};

	return fake.session = sip_session_invite(fake.stack, &invite, &fake);
}

static void nothing_is_sent_again(void **state)
{
	const struct sip_msg *invite;

	assert_non_null(call_by_tcp());
	invite = fake_last("INVITE", NULL);
	assert_non_null(strstr(sip_msg_header(invite, "Via", 0), "SIP/2.0/TCP 192.0.2.1:5060;branch="));
	assert_string_equal(sip_msg_contact_uri(invite), "sip:192.0.2.1:5060;transport=tcp");
	fake_wait(31000);
	assert_int_equal(fake.sent_count, 1);
	fake_wait(2000);
	assert_string_equal(fake.told, "timed_out:0 freed"); // B all the same
}

static void a_failure_is_absorbed_by_the_transport(void **state)
{
	struct sip_counts counts;

	assert_non_null(call_by_tcp());
	fake_response(0, 486, "x", "");
	assert_int_equal(fake_count("ACK"), 1);
	fake_wait(20); // D is 0
	sip_stack_counts(fake.stack, &counts);
	assert_int_equal(counts.ict, 0);
	assert_string_equal(fake.told, "failed:486 freed");
}

static void an_answer_of_ours_is_not_kept(void **state)
{
	struct sip_counts counts;

	fake_request("OPTIONS", "o1", 1, "", "", "");
	assert_int_equal(fake_count("SIP/2.0 200"), 1);
	fake_wait(20); // J is 0
	sip_stack_counts(fake.stack, &counts);
	assert_int_equal(counts.nist, 0);
	fake_request("INVITE", "i1", 1, "", "", "v=0\r\n");
	assert_non_null(fake.session);
	assert_int_equal(sip_session_reject(fake.session, 486, NULL, NULL), 0);
	fake_wait(31000); // no timer G
	assert_int_equal(fake_count("SIP/2.0 486"), 1);
	fake_wait(2000);
	sip_stack_counts(fake.stack, &counts);
	assert_int_equal(counts.ist, 0);
}

// The 2xx is its user's to send again, on every transport (RFC 3261 13.3.1.4).
static void a_2xx_is_sent_again_all_the_same(void **state)
{
	fake_request("INVITE", "i1", 1, "", "", "v=0\r\n");
	assert_non_null(fake.session);
	assert_int_equal(sip_session_answer(fake.session, 0, "v=0\r\n", NULL), 0);
	fake_wait(1600);
	assert_int_equal(fake_count("SIP/2.0 200"), 3);
}

static void a_broken_connection_fails_who_waits(void **state)
{
	const struct sip_flow other = {.transport = SIP_TCP, .connection = 99}, ours = {.transport = SIP_TCP};

	assert_non_null(call_by_tcp());
	sip_stack_broken(fake.stack, &other, -ECONNREFUSED, "refused");
	fake_wait(20);
	assert_string_equal(fake.told, "");
	sip_stack_broken(fake.stack, &ours, -ECONNREFUSED, "refused");
	assert_string_equal(fake.told, ""); // by the wheel
	fake_wait(20);
	assert_string_equal(fake.told, "timed_out:0 freed");
}

// Once somebody is there its answer can come by another connection.
static void a_broken_connection_spares_who_was_answered(void **state)
{
	const struct sip_flow ours = {.transport = SIP_TCP};

	assert_non_null(call_by_tcp());
	fake_response(0, 180, "x", "");
	sip_stack_broken(fake.stack, &ours, 0, "closed");
	fake_wait(1000);
	assert_string_equal(fake.told, "provisional:0");
	fake_response(0, 486, "x", "");
	assert_string_equal(fake.told, "provisional:0 failed:486");
}

// RFC 3261 18.2.2: its connection is gone, so the answer goes to the sent-by of its Via.
static void an_answer_finds_another_way(void **state)
{
	kg_addr_parse(&fake.peer, "192.0.2.2", 40000); // ephemeral
	fake_request("INVITE", "i1", 1, "", "", "v=0\r\n");
	assert_non_null(fake.session);
	assert_int_equal(fake.sent[0].to.port, 40000);
	fake.gone = 1;
	assert_int_equal(sip_session_provisional(fake.session, 0, 180, NULL, NULL, NULL), 0);
	assert_int_equal(fake.sent[fake.sent_count - 1].to.port, 5070);
	assert_int_equal(fake.sent[fake.sent_count - 1].flow.connection, 0);
}

// RFC 3261 18.1.1.
static void what_is_too_large_goes_by_tcp_first(void **state)
{
	char large[1400];
	struct sip_invite invite = {.way = {.uri = "sip:peer@192.0.2.2:5070"},
		.request_uri = "sip:peer@192.0.2.2:5070",
		.from = "<sip:us@192.0.2.1>",
		.to = "<sip:peer@192.0.2.2>",
		.max_forwards = 69,
		.sdp = large};
	const struct sip_flow tcp = {.transport = SIP_TCP};

	memset(large, 'x', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	assert_non_null(sip_session_invite(fake.stack, &invite, &fake));
	assert_int_equal(fake.sent[0].flow.transport, SIP_TCP);
	assert_non_null(strstr(sip_msg_header(fake.sent[0].msg, "Via", 0), "SIP/2.0/TCP"));
	sip_stack_broken(fake.stack, &tcp, -ECONNREFUSED, "refused"); // nobody takes it there
	fake_wait(20);
	assert_int_equal(fake.sent_count, 2);
	assert_int_equal(fake.sent[1].flow.transport, SIP_UDP);
	assert_non_null(strstr(sip_msg_header(fake.sent[1].msg, "Via", 0), "SIP/2.0/UDP"));
	assert_string_equal(sip_msg_contact_uri(fake.sent[1].msg), "sip:192.0.2.1:5060");
	assert_null(sip_msg_header(fake.sent[1].msg, "Via", 1));
	assert_string_not_equal(sip_msg_branch(fake.sent[0].msg), sip_msg_branch(fake.sent[1].msg));
	invite.way.udp_only = true;
	assert_non_null(sip_session_invite(fake.stack, &invite, &fake));
	assert_int_equal(fake.sent[2].flow.transport, SIP_UDP);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_sent_again),
		TEST(a_failure_is_absorbed_by_the_transport),
		TEST(an_answer_of_ours_is_not_kept),
		TEST(a_2xx_is_sent_again_all_the_same),
		TEST(a_broken_connection_fails_who_waits),
		TEST(a_broken_connection_spares_who_was_answered),
		TEST(an_answer_finds_another_way),
		TEST(what_is_too_large_goes_by_tcp_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
