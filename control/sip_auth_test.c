// SPDX-License-Identifier: BSD-3-Clause
// Digest over the whole stack, both ways, with a fake wire and clock.

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

#define SDP "v=0\r\n"

static void ask(const char *branch, const char *authorization)
{
	char more[1024];

	snprintf(more, sizeof(more), "%s%s%s", authorization ? "Authorization: " : "",
		authorization ? authorization : "", authorization ? "\r\n" : "");
	fake_request("INVITE", branch, 1, "", more, SDP);
}

// What a phone with this password makes of our index-th challenge in the last 401.
static char *phone_answer(unsigned index, const char *user, const char *password)
{
	const char *challenge = sip_msg_header(fake_last("SIP/2.0 401", NULL), "WWW-Authenticate", index);
	const struct digest_ask what = {user, password, "INVITE", "sip:us@192.0.2.1", NULL, 0, 1, "noise"};

	assert_non_null(challenge);
	return digest_answer(challenge, &what);
}

static void a_stranger_is_asked_who_it_is(void **state)
{
	char *answer;

	fake.stranger = fake.endpoints = true;
	ask("a", NULL);
	assert_int_equal(fake_count("SIP/2.0 401"), 1);
	assert_non_null(strstr(sip_msg_header(fake_last("SIP/2.0 401", NULL), "WWW-Authenticate", 0), "SHA-256"));
	assert_int_equal(counts_now().ist, 0); // nothing is kept of it
	for (unsigned i = 0; i < 2; i++) {
		char branch[8];

		answer = phone_answer(i, "alice", "secret");
		snprintf(branch, sizeof(branch), "b%u", i);
		ask(branch, answer);
		assert_string_equal(sip_session_endpoint(live()), "alice");
		if (i == 0)
			ask("c", answer); // stolen from the wire: asked anew
		free(answer);
		sip_session_reject(live(), 486, NULL, NULL);
		fake_request("ACK", branch, 1, "", "", "");
		fake_wait(6000);
		ask("again", NULL);
	}
	assert_non_null(strstr(fake.told, "invite freed"));
	assert_int_equal(counts_now().auth_failures, 1); // the stolen one
	nothing_stays();
}

static void no_endpoints_no_questions(void **state)
{
	fake.stranger = true;
	ask("a", NULL);
	assert_int_equal(fake_count("SIP/2.0 403"), 1);
	fake.endpoints = true;
	fake_request("OPTIONS", "o", 1, "", "", ""); // only an INVITE is asked
	assert_int_equal(fake_count("SIP/2.0 403"), 2);
	fake.stranger = false;
	ask("b", NULL); // a trunk is known by its address
	TOLD("invite");
	assert_null(sip_session_endpoint(live()));
	sip_session_reject(live(), 486, NULL, NULL);
	nothing_stays();
}

static void guessing_is_slowed_down(void **state)
{
	char branch[8];
	unsigned before;

	fake.stranger = fake.endpoints = true;
	ask("a", NULL);
	for (unsigned i = 0; i < DIGEST_FREE; i++) {
		char *answer = phone_answer(0, i & 1 ? "alice" : "root", "guess");

		snprintf(branch, sizeof(branch), "g%u", i);
		ask(branch, answer);
		free(answer);
	}
	assert_int_equal(counts_now().auth_failures, DIGEST_FREE);
	before = fake.sent_count;
	for (unsigned i = 0; i < 2; i++) {
		char *answer = phone_answer(0, "alice", "secret"); // even the right one is not looked at

		ask(i ? "later" : "now", answer);
		free(answer);
		assert_int_equal(fake.sent_count - before > 0, i);
		fake_wait(DIGEST_PAUSE_MS);
	}
	assert_int_equal(drops_of("auth_paused"), 1);
	TOLD("invite");
	sip_session_reject(live(), 486, NULL, NULL);
	nothing_stays();
}

// --- a trunk asks us ----------------------------------------------------------------------------------------------

static struct sip_session *call_with_password(void)
{
	struct sip_invite invite = {.way = {.flow = {.remote = fake.peer}},
		.credentials = {"kedge", "secret"},
		.request_uri = "sip:peer@192.0.2.2:5070",
		.from = "<sip:us@192.0.2.1>",
		.to = "<sip:peer@192.0.2.2>",
		.max_forwards = 69,
		.sdp = SDP};

	return fake.session = sip_session_invite(fake.stack, &invite, &fake);
}

static unsigned last_sent(const char *start)
{
	unsigned index;

	assert_non_null(fake_last(start, &index));
	return index;
}

static void a_challenge_is_answered(void **state)
{
	const struct sip_msg *invite;
	struct digest_fields f;

	call_with_password();
	fake_response(0, 401, "x",
		"WWW-Authenticate: Basic realm=\"r\"\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", "
		"qop=\"auth\", "
		"algorithm=MD5\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n2\", qop=\"auth\", "
		"algorithm=SHA-256\r\n");
	TOLD(""); // nobody above hears of it
	invite = fake_last("INVITE", NULL);
	assert_int_equal(sip_msg_cseq(invite), 2);
	assert_null(sip_msg_header(invite, "Via", 1));
	assert_int_equal(digest_parse(sip_msg_header(invite, "Authorization", 0), &f), 0);
	assert_string_equal(f.algorithm, "SHA-256");
	assert_string_equal(f.username, "kedge");
	fake_response(last_sent("INVITE"), 407, "x", "Proxy-Authenticate: Digest realm=\"p\", nonce=\"m\"\r\n");
	invite = fake_last("INVITE", NULL);
	assert_int_equal(sip_msg_cseq(invite), 3);
	assert_non_null(sip_msg_header(invite, "Authorization", 0)); // both are wanted
	assert_non_null(sip_msg_header(invite, "Proxy-Authorization", 0));
	fake_response(last_sent("INVITE"), 200, "y", "");
	sip_session_ack(live(), NULL);
	assert_int_equal(sip_msg_cseq(fake_last("ACK", NULL)), 3);
	assert_non_null(sip_msg_header(fake_last("ACK", NULL), "Proxy-Authorization", 0));
	sip_session_bye(live(), NULL);
	fake_response(last_sent("BYE"), 407, "", "Proxy-Authenticate: Digest realm=\"p\", nonce=\"o\"\r\n");
	assert_int_equal(fake_count("BYE"), 2);
	assert_int_equal(sip_msg_cseq(fake_last("BYE", NULL)), 5);
	fake_response(last_sent("BYE"), 200, "", "");
	TOLD("answered:0 bye_done:200");
	nothing_stays();
}

static void a_wrong_password_is_not_tried_again(void **state)
{
	call_with_password();
	fake_response(0, 401, "x", "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n");
	fake_response(
		last_sent("INVITE"), 401, "x", "WWW-Authenticate: Digest realm=\"r\", nonce=\"n2\", stale=true\r\n");
	assert_int_equal(fake_count("INVITE"), 3);
	fake_response(last_sent("INVITE"), 401, "x", "WWW-Authenticate: Digest realm=\"r\", nonce=\"n3\"\r\n");
	assert_int_equal(fake_count("INVITE"), 3);
	TOLD("failed:401");
	fake_call(); // one without a password
	fake_response(last_sent("INVITE"), 401, "x", "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n");
	TOLD("failed:401 failed:401");
	nothing_stays();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_stranger_is_asked_who_it_is),
		TEST(no_endpoints_no_questions),
		TEST(guessing_is_slowed_down),
		TEST(a_challenge_is_answered),
		TEST(a_wrong_password_is_not_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
