// SPDX-License-Identifier: BSD-3-Clause
// Requests inside a dialog, by either side, with a fake wire and clock: re-INVITE, UPDATE, INFO; glare; refreshes;
// reliable provisionals.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sip_exchange.h"
#include "sip_session_check.h"

#define SDP "v=0\r\n"
#define REL "Require: 100rel\r\n"

static char tag[64]; // ours in the dialog

// The last message sent that begins so, which must be there.
static const struct sip_msg *last(const char *start)
{
	const struct sip_msg *msg = fake_last(start, NULL);

	assert_non_null(msg);
	return msg;
}

// The peer calls, we answer, its ACK is here.
static void called(const char *more)
{
	fake_request("INVITE", "i1", 10, "", more, SDP);
	assert_int_equal(sip_session_answer(live(), 0, SDP, NULL), 0);
	snprintf(tag, sizeof(tag), "%s", our_tag("SIP/2.0 200"));
	fake_request("ACK", "a1", 10, tag, "", "");
	told_is_forgotten();
}

// A request of the peer in the dialog of our call: the tags are the other way round than in fake_request.
static void from_callee(const char *method, const char *branch, unsigned cseq, const char *more, const char *body)
{
	const struct sip_msg *invite = last("INVITE");
	char text[4096];

	snprintf(text, sizeof(text),
		"%s sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5070;branch=z9hG4bK%s\r\n"
		"From: <sip:peer@192.0.2.2>;tag=x\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n"
		"Contact: <sip:moved@192.0.2.2:5070>\r\n%s%sContent-Length: %zu\r\n\r\n%s",
		method, branch, sip_msg_from(invite), sip_msg_call_id(invite), cseq, method, more,
		*body ? "Content-Type: application/sdp\r\n" : "", strlen(body), body);
	fake_receive(text, strlen(text));
}

// We call, the peer answers, our ACK is there.
static void calling(const char *more)
{
	fake_call();
	fake_response(0, 200, "x", more);
	assert_int_equal(sip_session_ack(live(), NULL), 0);
	told_is_forgotten();
}

static unsigned sent_as(const char *start)
{
	unsigned index;

	assert_non_null(fake_last(start, &index));
	return index;
}

static struct sip_exchange *ask(enum sip_method method, const char *body)
{
	const struct sip_ask what = {.method = method,
		.type = body ? "application/sdp" : NULL,
		.body = body,
		.length = body ? strlen(body) : 0};

	return sip_session_ask(live(), 0, &what, &fake);
}

// --- theirs -------------------------------------------------------------------------------------------------------

static void a_reinvite_is_asked_answered_and_acknowledged(void **state)
{
	called("");
	fake_request("INVITE", "i2", 11, tag, "", "v=0 hold\r\n");
	TOLD("asked_INVITE:0");
	assert_int_equal(fake_count("SIP/2.0 100"), 2);
	assert_int_equal(sip_exchange_answer(fake.exchange, 200, NULL, NULL, "application/sdp", SDP, 5), 0);
	assert_int_equal(sip_exchange_answer(fake.exchange, 200, NULL, NULL, "application/sdp", SDP, 5), -EALREADY);
	fake_wait(1600);
	assert_int_equal(fake_count("SIP/2.0 200"), 4); // the first INVITE's, and this one's three
	fake_request("ACK", "a2", 11, tag, "", "");
	fake_request("ACK", "a2", 11, tag, "", "");
	TOLD("asked_INVITE:0 exchange_acked");
	fake_wait(40000);
	assert_int_equal(fake_count("SIP/2.0 200"), 4);
	assert_int_equal(fake.exchanges_gone, 1);
	assert_null(live()->exchanges);
	fake_request("BYE", "b1", 12, tag, "", "");
	nothing_stays();
}

static void a_reinvite_that_is_refused_changes_nothing(void **state)
{
	called("");
	fake_request("INVITE", "i2", 11, tag, "", SDP);
	assert_int_equal(sip_exchange_answer(fake.exchange, 488, NULL, NULL, NULL, NULL, 0), 0);
	assert_non_null(fake_last("SIP/2.0 488", NULL));
	fake_request("ACK", "i2", 11, tag, "", "");
	TOLD("asked_INVITE:0");
	fake_request("BYE", "b1", 12, tag, "", "");
	TOLD("asked_INVITE:0 ended");
	nothing_stays();
}

static void a_reinvite_whose_ack_is_lost_ends_the_call(void **state)
{
	called("");
	fake_request("INVITE", "i2", 11, tag, "", SDP);
	sip_exchange_answer(fake.exchange, 200, NULL, NULL, "application/sdp", SDP, 5);
	fake_wait(32100);
	assert_string_equal(fake.told, "asked_INVITE:0 timed_out:1");
	assert_int_equal(fake_count("BYE"), 1);
	fake_response(sent_as("BYE"), 200, "", "");
	nothing_stays();
}

static void a_reinvite_can_be_cancelled(void **state)
{
	called("");
	fake_request("INVITE", "i2", 11, tag, "", SDP);
	fake_request("CANCEL", "i2", 11, tag, "", "");
	assert_int_equal(fake_count("SIP/2.0 487"), 1);
	assert_int_equal(fake.exchanges_gone, 1);
	assert_null(fake.exchange);
	fake_request("BYE", "b1", 12, tag, "", "");
	nothing_stays();
}

static void one_offer_at_a_time(void **state)
{
	called("");
	fake_request("INVITE", "i2", 11, tag, "", SDP);
	fake_request("INVITE", "i3", 12, tag, "", SDP);
	assert_non_null(sip_msg_header(last("SIP/2.0 500"), "Retry-After", 0));
	fake_request("UPDATE", "u3", 13, tag, "", SDP);
	assert_int_equal(fake_count("SIP/2.0 500"), 2);
	assert_null(ask(SIP_UPDATE, SDP));
	assert_int_equal(errno, EBUSY);
	sip_exchange_answer(fake.exchange, 488, NULL, NULL, NULL, NULL, 0);
	fake_request("ACK", "i2", 11, tag, "", "");
	// Ours first: theirs is the one to wait.
	assert_non_null(ask(SIP_INVITE, SDP));
	fake_request("INVITE", "i4", 14, tag, "", SDP);
	fake_request("UPDATE", "u4", 15, tag, "", SDP);
	assert_int_equal(fake_count("SIP/2.0 491"), 2);
	fake_response(sent_as("INVITE"), 491, "", "");
	fake_request("ACK", "i4", 14, tag, "", "");
	TOLD("asked_INVITE:0 replied:491");
	fake_request("BYE", "b1", 16, tag, "", "");
	nothing_stays();
}

static void others_are_asked_too(void **state)
{
	static const char *const methods[] = {"INFO", "MESSAGE"};

	called("");
	for (unsigned i = 0; i < 2; i++) {
		char branch[8];

		snprintf(branch, sizeof(branch), "m%u", i);
		fake_request(methods[i], branch, 11 + i, tag, "Content-Type: text/plain\r\n", "hello");
		assert_int_equal(sip_exchange_answer(fake.exchange, 200, NULL, NULL, NULL, NULL, 0), 0);
	}
	TOLD("asked_INFO:0 asked_MESSAGE:0");
	fake_request("INFO", "m3", 20, tag, "", "");
	assert_int_equal(fake_count("SIP/2.0 100"), 1); // the INVITE's
	fake_wait(3400);
	assert_int_equal(fake_count("SIP/2.0 100"), 1);
	fake_wait(200); // RFC 4320: now it may be said
	assert_int_equal(fake_count("SIP/2.0 100"), 2);
	fake_request("BYE", "b1", 21, tag, "", ""); // nobody answered that INFO
	assert_int_equal(fake_count("SIP/2.0 481"), 1);
	nothing_stays();
	assert_int_equal(fake.exchanges_gone, 3);
}

static void bodies_and_events_that_are_not_ours(void **state)
{
	fake.policy.refer = true;
	called("");
	fake_request("INVITE", "i2", 11, tag, "Content-Type: text/plain\r\n", "hello");
	assert_string_equal(sip_msg_header(last("SIP/2.0 415"), "Accept", 0), SIP_ACCEPT);
	fake_request("ACK", "i2", 11, tag, "", "");
	fake_request("NOTIFY", "n1", 12, tag, "Event: presence\r\n", "");
	assert_string_equal(sip_msg_header(last("SIP/2.0 489"), "Allow-Events", 0), "refer");
	TOLD("");
	fake_request("REFER", "r1", 13, tag, "Refer-To: <sip:c@192.0.2.9>\r\n", "");
	sip_exchange_answer(fake.exchange, 202, NULL, NULL, NULL, NULL, 0);
	fake_request("NOTIFY", "n2", 14, tag, "Event: refer;id=1\r\n", "");
	sip_exchange_answer(fake.exchange, 200, NULL, NULL, NULL, NULL, 0);
	TOLD("asked_REFER:0 asked_NOTIFY:0");
	fake_request("BYE", "b1", 20, tag, "", "");
	nothing_stays();
}

// Another fork answers while an UPDATE of this one waits: its dialog is gone, and so is what was asked in it.
static void a_fork_that_is_dropped_takes_its_requests_along(void **state)
{
	const struct sip_msg *prack;

	fake_call();
	fake_response(0, 183, "x", REL "RSeq: 5\r\n");
	prack = last("PRACK");
	assert_non_null(prack);
	live()->forks[0].agreed = true;
	from_callee("UPDATE", "u1", 1, "", SDP);
	TOLD("provisional:0 asked_UPDATE:0");
	fake_response(0, 200, "y", "");
	assert_int_equal(fake_count("SIP/2.0 481"), 1);
	assert_null(fake.exchange);
	sip_session_ack(live(), NULL);
	sip_session_bye(live(), NULL);
	fake_response(sent_as("PRACK"), 200, "", "");
	fake_response(sent_as("BYE"), 200, "", "");
	nothing_stays();
}

// --- ours ---------------------------------------------------------------------------------------------------------

static void our_reinvite_is_acknowledged_by_its_user(void **state)
{
	struct sip_exchange *exchange;

	calling("Allow: INVITE, ACK, BYE, UPDATE\r\n");
	exchange = ask(SIP_INVITE, "v=0 hold\r\n");
	assert_non_null(exchange);
	assert_int_equal(sip_msg_cseq(last("INVITE sip:x@192.0.2.2:5070")), 2);
	fake_response(sent_as("INVITE"), 200, "", "Contact: <sip:new@192.0.2.2:5070>\r\n");
	TOLD("replied:200");
	assert_int_equal(sip_exchange_ack(exchange, NULL), 0);
	assert_int_equal(sip_exchange_ack(exchange, NULL), -EALREADY);
	assert_int_equal(sip_msg_cseq(last("ACK")), 2);
	fake_response(sent_as("INVITE"), 200, "", "");
	assert_int_equal(fake_count("ACK"), 3); // of the call, of this, of its copy
	assert_int_equal(sip_session_bye(live(), NULL), 0);
	fake_response(sent_as("BYE"), 200, "", "");
	nothing_stays();
}

static void a_peer_that_lost_the_dialog_ends_the_call(void **state)
{
	static const struct {
		enum sip_method method;
		int status;
		bool lost;
	} rows[] = {{SIP_INVITE, 481, true}, {SIP_INVITE, 408, true}, {SIP_INVITE, 488, false}, {SIP_UPDATE, 408, true},
		{SIP_INFO, 481, true}, {SIP_INFO, 408, false}, {SIP_NOTIFY, 481, false}};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char told[64];
		unsigned byes = fake_count("BYE");

		calling("");
		assert_non_null(ask(rows[i].method, rows[i].method == SIP_INVITE ? SDP : NULL));
		fake_response(sent_as(sip_method_text(rows[i].method)), rows[i].status, "", "");
		snprintf(told, sizeof(told), "replied:%d%s", rows[i].status, rows[i].lost ? " timed_out:4" : "");
		TOLD(told);
		assert_int_equal(fake_count("BYE") - byes, rows[i].lost);
		if (!rows[i].lost)
			sip_session_bye(live(), NULL);
		fake_response(sent_as("BYE"), 481, "", "");
		nothing_stays();
		fake_close();
		fake_open();
	}
}

static void silence_is_told_as_no_answer(void **state)
{
	calling("");
	assert_non_null(ask(SIP_INFO, NULL));
	fake_wait(33000);
	TOLD("unanswered:408"); // the call goes on
	assert_non_null(ask(SIP_INVITE, SDP));
	fake_wait(33000);
	TOLD("unanswered:408 unanswered:408 timed_out:4");
	nothing_stays();
}

static void the_targets_are_refreshed(void **state)
{
	calling("");
	from_callee("UPDATE", "u1", 1, "", ""); // without SDP: a new Contact, answered here
	assert_int_equal(fake_count("SIP/2.0 200"), 1);
	TOLD("");
	assert_int_equal(sip_session_bye(live(), NULL), 0);
	assert_non_null(fake_last("BYE sip:moved@192.0.2.2:5070 ", NULL));
	fake_response(sent_as("BYE"), 200, "", "");
	nothing_stays();
}

// --- session timers (RFC 4028) ------------------------------------------------------------------------------------

static void we_refresh_by_update(void **state)
{
	const struct sip_msg *msg;

	fake.policy.session_expires_s = 1800;
	assert_non_null(fake_call());
	msg = fake.sent[0].msg;
	assert_string_equal(sip_msg_header(msg, "Session-Expires", 0), "1800");
	assert_string_equal(sip_msg_header(msg, "Supported", 0), "100rel, timer");
	fake_response(0, 200, "x", "Session-Expires: 600;refresher=uac\r\nRequire: timer\r\nAllow: INVITE, UPDATE\r\n");
	sip_session_ack(live(), NULL);
	fake_wait(299000);
	assert_int_equal(fake_count("UPDATE"), 0);
	fake_wait(1100);
	msg = last("UPDATE");
	assert_string_equal(sip_msg_header(msg, "Session-Expires", 0), "600;refresher=uac");
	assert_null(sip_msg_body(msg, NULL));
	fake_response(sent_as("UPDATE"), 200, "", "Session-Expires: 600;refresher=uac\r\nAllow: INVITE\r\n");
	fake_wait(301000); // it takes no UPDATE any more: by re-INVITE, with the same SDP
	assert_int_equal(fake_count("UPDATE"), 1);
	msg = last("INVITE");
	assert_string_equal(sip_msg_body(msg, NULL), SDP);
	fake_response(sent_as("INVITE"), 200, "", "Session-Expires: 600;refresher=uac\r\n");
	assert_int_equal(fake_count("ACK"), 2);
	TOLD("answered:0"); // nobody else hears of it
	sip_session_bye(live(), NULL);
	fake_response(sent_as("BYE"), 200, "", "");
	nothing_stays();
}

static void who_should_refresh_and_does_not_has_lost_the_call(void **state)
{
	fake.policy.session_expires_s = 1800;
	called("Supported: timer\r\nSession-Expires: 300;refresher=uac\r\n");
	assert_string_equal(sip_msg_header(last("SIP/2.0 200"), "Session-Expires", 0), "300;refresher=uac");
	assert_string_equal(sip_msg_header(last("SIP/2.0 200"), "Require", 0), "timer");
	fake_wait(200000);
	fake_request("UPDATE", "u1", 11, tag, "Supported: timer\r\nSession-Expires: 300;refresher=uac\r\n", "");
	assert_string_equal(sip_msg_header(last("SIP/2.0 200"), "Session-Expires", 0), "300;refresher=uac");
	fake_wait(267000); // SE - min(32, SE/3) = 268 s
	TOLD("");
	fake_wait(1100);
	TOLD("timed_out:3");
	assert_int_equal(fake_count("BYE"), 1);
	fake_response(sent_as("BYE"), 200, "", "");
	nothing_stays();
}

static void a_peer_without_session_timers_is_refreshed_by_us(void **state)
{
	fake.policy.session_expires_s = 200;
	called("Allow: INVITE, UPDATE\r\n");
	assert_null(sip_msg_header(last("SIP/2.0 200"), "Session-Expires", 0));
	fake_wait(100100);
	assert_int_equal(fake_count("UPDATE"), 1);
	fake_wait(33000); // nobody answers: the dialog is lost
	TOLD("timed_out:4");
	nothing_stays();
}

static void too_short_is_refused_and_made_longer(void **state)
{
	fake.policy.session_expires_s = 1800;
	fake_request("INVITE", "i1", 10, "", "Supported: timer\r\nSession-Expires: 60\r\n", SDP);
	assert_string_equal(sip_msg_header(last("SIP/2.0 422"), "Min-SE", 0), "90");
	TOLD("");
	fake_call();
	fake_response(sent_as("INVITE"), 422, "x", "Min-SE: 3600\r\n");
	assert_int_equal(fake_count("INVITE"), 2);
	assert_string_equal(sip_msg_header(last("INVITE"), "Session-Expires", 0), "3600");
	assert_string_equal(sip_msg_header(last("INVITE"), "Min-SE", 0), "3600");
	assert_int_equal(sip_msg_cseq(last("INVITE")), 2);
	fake_response(sent_as("INVITE"), 200, "y", "Session-Expires: 3600;refresher=uas\r\n");
	sip_session_ack(live(), NULL);
	assert_int_equal(sip_msg_cseq(last("ACK")), 2);
	sip_session_bye(live(), NULL);
	fake_response(sent_as("BYE"), 200, "", "");
	nothing_stays();
}

// --- reliable provisionals (RFC 3262) -----------------------------------------------------------------------------

static void rack(char *out, size_t size, unsigned cseq)
{
	snprintf(out, size, "RAck: %s %u INVITE\r\n", sip_msg_header(last("SIP/2.0 18"), "RSeq", 0), cseq);
}

static void ours_is_sent_again_until_its_prack(void **state)
{
	char header[64];

	fake_request("INVITE", "i1", 10, "", "Supported: 100rel\r\n", SDP);
	assert_int_equal(sip_session_provisional(live(), 0, 180, NULL, NULL, NULL), 0); // no SDP: as ever
	assert_null(sip_msg_header(last("SIP/2.0 180"), "RSeq", 0));
	assert_int_equal(sip_session_provisional(live(), 0, 183, NULL, SDP, NULL), 0);
	assert_string_equal(sip_msg_header(last("SIP/2.0 183"), "Require", 0), "100rel");
	fake_wait(3600);
	assert_int_equal(fake_count("SIP/2.0 183"), 4); // 0, 0.5, 1.5, 3.5 s
	snprintf(tag, sizeof(tag), "%s", our_tag("SIP/2.0 183"));
	rack(header, sizeof(header), 10);
	fake_request("PRACK", "p0", 11, tag, "RAck: 1 10 INVITE\r\n", "");
	assert_int_equal(fake_count("SIP/2.0 481"), 1);
	// The answer waits for the PRACK of what had the SDP, and does not repeat it.
	assert_int_equal(sip_session_answer(live(), 0, SDP, NULL), 0);
	assert_int_equal(fake_count("SIP/2.0 200"), 0);
	fake_request("PRACK", "p1", 12, tag, header, "");
	assert_int_equal(fake_count("SIP/2.0 200"), 2);
	assert_null(sip_msg_body(last("SIP/2.0 200"), NULL));
	fake_request("PRACK", "p2", 13, tag, header, ""); // it is not awaited any more
	assert_int_equal(fake_count("SIP/2.0 481"), 2);
	fake_request("ACK", "a1", 10, tag, "", "");
	fake_wait(40000);
	assert_int_equal(fake_count("SIP/2.0 183"), 4);
	fake_request("BYE", "b1", 14, tag, "", "");
	TOLD("invite acked ended");
	nothing_stays();
}

static void the_next_one_waits_for_the_prack_before(void **state)
{
	char header[64];
	unsigned long first;

	fake_request("INVITE", "i1", 10, "", REL, SDP);
	sip_session_provisional(live(), 0, 180, NULL, NULL, NULL);
	sip_session_provisional(live(), 0, 183, NULL, SDP, NULL);
	assert_int_equal(fake_count("SIP/2.0 18"), 1);
	snprintf(tag, sizeof(tag), "%s", our_tag("SIP/2.0 180"));
	first = strtoul(sip_msg_header(last("SIP/2.0 180"), "RSeq", 0), NULL, 10);
	assert_in_range(first, 1, 0x7fffffff);
	rack(header, sizeof(header), 10);
	fake_request("PRACK", "p1", 11, tag, header, "");
	assert_int_equal(fake_count("SIP/2.0 183"), 1);
	assert_int_equal(strtoul(sip_msg_header(last("SIP/2.0 183"), "RSeq", 0), NULL, 10), first + 1);
	fake_wait(32100); // nobody acknowledges it
	assert_int_equal(fake_count("SIP/2.0 504"), 1);
	fake_request("ACK", "i1", 10, tag, "", "");
	TOLD("invite timed_out:5");
	nothing_stays();
}

static void a_late_offer_is_answered_by_prack(void **state)
{
	char header[64];

	fake_request("INVITE", "i1", 10, "", REL, "");
	sip_session_provisional(live(), 0, 183, NULL, SDP, NULL);
	snprintf(tag, sizeof(tag), "%s", our_tag("SIP/2.0 183"));
	rack(header, sizeof(header), 10);
	fake_request("UPDATE", "u1", 11, tag, "", SDP); // our offer has no answer yet
	assert_int_equal(fake_count("SIP/2.0 500"), 1);
	fake_request("PRACK", "p1", 12, tag, header, SDP);
	TOLD("invite pracked:0");
	fake_request("UPDATE", "u2", 13, tag, "", SDP); // now it may
	TOLD("invite pracked:0 asked_UPDATE:0");
	sip_exchange_answer(fake.exchange, 200, NULL, NULL, "application/sdp", SDP, 5);
	assert_int_equal(sip_session_answer(live(), 0, SDP, NULL), 0);
	assert_null(sip_msg_body(last("SIP/2.0 200"), NULL));
	fake_request("ACK", "a1", 10, tag, "", "");
	fake_request("BYE", "b1", 14, tag, "", "");
	nothing_stays();
}

static void an_offer_in_a_prack_is_asked(void **state)
{
	char header[64];

	fake_request("INVITE", "i1", 10, "", REL, SDP);
	sip_session_provisional(live(), 0, 183, NULL, SDP, NULL);
	snprintf(tag, sizeof(tag), "%s", our_tag("SIP/2.0 183"));
	rack(header, sizeof(header), 10);
	fake_request("PRACK", "p1", 12, tag, header, SDP);
	TOLD("invite asked_PRACK:0");
	sip_exchange_answer(fake.exchange, 200, NULL, NULL, "application/sdp", SDP, 5);
	assert_non_null(sip_msg_body(last("SIP/2.0 200"), NULL));
	sip_session_reject(live(), 486, NULL, NULL);
	fake_request("ACK", "i1", 10, tag, "", "");
	nothing_stays();
}

static void theirs_is_acknowledged_once_and_in_order(void **state)
{
	fake_call();
	fake_response(0, 183, "x", REL "RSeq: 5\r\n");
	assert_string_equal(sip_msg_header(last("PRACK"), "RAck", 0), "5 1 INVITE");
	fake_response(0, 183, "x", REL "RSeq: 5\r\n"); // a copy
	fake_response(0, 180, "x", REL "RSeq: 7\r\n"); // 6 is missing
	assert_int_equal(fake_count("PRACK"), 1);
	TOLD("provisional:0");
	fake_response(0, 180, "x", REL "RSeq: 6\r\n");
	assert_int_equal(fake_count("PRACK"), 2);
	fake_response(0, 183, "y", REL "RSeq: 9\r\n"); // another fork counts by itself
	assert_int_equal(fake_count("PRACK"), 3);
	TOLD("provisional:0 provisional:0 provisional:1");
	for (unsigned i = 0, seen = 0; i < fake.sent_count && seen < 3; i++)
		if (strncmp(fake.sent[i].data, "PRACK", 5) == 0) {
			fake_response(i, 200, "", "");
			seen++;
		}
	fake_response(0, 486, "x", "");
	nothing_stays();
}

static void required_means_421(void **state)
{
	fake.policy.prack = SIP_PRACK_REQUIRED;
	fake_request("INVITE", "i1", 10, "", "", SDP);
	assert_string_equal(sip_msg_header(last("SIP/2.0 421"), "Require", 0), "100rel");
	fake_call();
	assert_string_equal(sip_msg_header(last("INVITE"), "Require", 0), "100rel");
	fake_response(sent_as("INVITE"), 420, "x", "");
	fake.policy.prack = SIP_PRACK_OFF;
	fake_request("INVITE", "i2", 11, "", REL, SDP);
	assert_string_equal(sip_msg_header(last("SIP/2.0 420"), "Unsupported", 0), "100rel");
	nothing_stays();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_reinvite_is_asked_answered_and_acknowledged),
		TEST(a_reinvite_that_is_refused_changes_nothing),
		TEST(a_reinvite_whose_ack_is_lost_ends_the_call),
		TEST(a_reinvite_can_be_cancelled),
		TEST(one_offer_at_a_time),
		TEST(others_are_asked_too),
		TEST(bodies_and_events_that_are_not_ours),
		TEST(a_fork_that_is_dropped_takes_its_requests_along),
		TEST(our_reinvite_is_acknowledged_by_its_user),
		TEST(a_peer_that_lost_the_dialog_ends_the_call),
		TEST(silence_is_told_as_no_answer),
		TEST(the_targets_are_refreshed),
		TEST(we_refresh_by_update),
		TEST(who_should_refresh_and_does_not_has_lost_the_call),
		TEST(a_peer_without_session_timers_is_refreshed_by_us),
		TEST(too_short_is_refused_and_made_longer),
		TEST(ours_is_sent_again_until_its_prack),
		TEST(the_next_one_waits_for_the_prack_before),
		TEST(a_late_offer_is_answered_by_prack),
		TEST(an_offer_in_a_prack_is_asked),
		TEST(theirs_is_acknowledged_once_and_in_order),
		TEST(required_means_421),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
