// SPDX-License-Identifier: BSD-3-Clause
// Calls as a whole, over faked sessions, media plane and kernel: what each of them is told, and what the CDR and the
// API say.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "calls_world.h"

// --- the plain call -----------------------------------------------------------------------------------------------

static void a_call_from_invite_to_cdr(void **state)
{
	struct sip_session *a = calls_bob(), *b = fakes_session(false, 0);
	struct fake_leg *lan, *wan;
	json_t *cdr, *leg, *list;

	assert_string_equal(a->said, "");
	assert_non_null(b);
	assert_string_equal(b->target, "198.51.100.20:5060");
	assert_string_equal(b->request_uri, "sip:bob@198.51.100.20");
	assert_int_equal(b->max_forwards, 29);
	assert_int_equal(b->ring_timeout_ms, 30000);
	assert_string_equal(b->from, "\"Al <x> ice\" <sip:alice@a;x=1>");
	assert_string_equal(b->to, "<sip:bob@b>");
	assert_non_null(strstr(b->sdp, "c=IN IP4 198.51.100.10\r\n"));
	assert_non_null(strstr(b->sdp, "m=audio 20000 RTP/AVP 0 8 101\r\n"));
	assert_null(strstr(b->sdp, "192.0.2.20"));
	lan = leg_on(0);
	wan = leg_on(1);
	assert_addr(&lan->config.local, "192.0.2.10:20000");
	assert_addr(&lan->config.remote, "192.0.2.20:4000");
	assert_int_equal(lan->config.peer, 0);
	assert_int_equal(wan->config.remote.family, 0);

	pass_ms(200);
	answers(b, 0, "SIP/2.0 180 Ringing", NULL, NULL);
	assert_string_equal(a->said, "180/0");
	assert_string_equal(a->sdp, "");
	pass_ms(3000);
	answers(b, 0, "SIP/2.0 200 OK", NULL, ANSWER);
	assert_string_equal(b->said, "INVITE ACK");
	assert_string_equal(a->said, "180/0 200/0");
	assert_non_null(strstr(a->sdp, "c=IN IP4 192.0.2.10\r\n"));
	assert_non_null(strstr(a->sdp, "m=audio 20000 RTP/AVP 8 101\r\n"));
	assert_null(strstr(a->sdp, "198.51.100.20"));
	acks(a, NULL);

	assert_int_equal(lan->config.peer, wan - fakes.legs + 1);
	assert_int_equal(wan->config.peer, lan - fakes.legs + 1);
	assert_addr(&wan->config.remote, "198.51.100.20:6000");
	assert_addr(&wan->config.remote_rtcp, "198.51.100.20:6001");
	assert_true(wan->config.hop.resolved && wan->config.hop.target_mac[5] == 20);
	assert_true(lan->config.may_receive && lan->config.may_send && wan->config.may_receive && wan->config.may_send);
	assert_int_equal(lan->config.silent_ms, 60000);
	assert_int_equal(lan->config.dscp, 46);
	assert_int_equal(lan->config.format_count, 3); // 8 and 101 of the answer, then 0
	assert_int_equal(lan->config.formats[0].payload_type, 8);
	assert_int_equal(lan->config.formats[2].payload_type, 0);

	list = calls_list_json(w.calls);
	leg = json_array_get(json_object_get(json_array_get(json_object_get(list, "items"), 0), "legs"), 1);
	assert_string_equal(text_at(leg, "dialog"), "confirmed");
	json_decref(list);
	lan->stats.rx_packets = 500;
	lan->stats.rx_lost = 2;
	lan->stats.drops[KG_DROP_wrong_source] = 7;
	pass_ms(10000);
	hangs_up(a, NULL);
	assert_string_equal(b->said, "INVITE ACK BYE");
	assert_string_equal(b->extra, "Reason: Q.850;cause=16;text=\"Normal call clearing\"\n");
	assert_int_equal(json_array_size(fakes.cdrs), 0); // not before both legs' last figures
	fakes_retire_all(w.calls);
	assert_false(calls_idle(w.calls)); // the BYE waits for its response
	calls_session_ops.bye_done(b->user, b, 200);
	assert_true(calls_idle(w.calls)); // though the sessions still absorb late copies

	cdr = last_cdr();
	assert_cause("disconnected", "call", "caller_hangup", 200);
	assert_string_equal(text_at(cdr, "business"), "released");
	assert_int_equal(json_integer_value(json_object_get(cdr, "setup_ms")), 200);
	assert_int_equal(json_integer_value(json_object_get(cdr, "ring_ms")), 3000);
	assert_int_equal(json_integer_value(json_object_get(cdr, "talk_ms")), 10000);
	leg = json_array_get(json_object_get(cdr, "legs"), 0);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(leg, "rx"), "packets")), 500);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(leg, "rx"), "lost")), 2);
	assert_nothing_left();
}

static void json_has_the_contracts_shape(void **state)
{
	struct sip_session *a = calls_bob(), *b = fakes_session(false, 0);
	const char *id, *key, *leg_id;
	json_t *list, *call, *leg, *value, *drops, *shown;

	answers(b, 0, "SIP/2.0 200 OK", NULL, ANSWER);
	leg_on(0)->stats.drops[KG_DROP_wrong_source] = 7;
	list = calls_list_json(w.calls);
	call = json_array_get(json_object_get(list, "items"), 0);
	assert_int_equal(json_unpack(call, "{s:s, s:s, s:s, s:s, s:s, s:n, s:n, s:b, s:[o, o]}", "id", &id, "state",
				 &key, "business", &key, "created", &key, "answered", &key, "ended", "cause", "record",
				 &(int){0}, "legs", &leg, &value),
		0);
	assert_int_equal(json_unpack(leg, "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "id", &leg_id, "role",
				 &key, "sip_call_id", &key, "local_tag", &key, "remote_tag", &key, "dialog", &key,
				 "from", &key, "to", &key, "nic", &key, "lcore", &(int){0}),
		0);
	assert_int_equal(
		json_unpack(leg, "{s:{s:I, s:I, s:I, s:I, s:I, s:I, s:o}, s:{s:I, s:I}, s:{s:n, s:n}}", "rx", "packets",
			&(json_int_t){0}, "bytes", &(json_int_t){0}, "lost", &(json_int_t){0}, "duplicate",
			&(json_int_t){0}, "reordered", &(json_int_t){0}, "jitter_us", &(json_int_t){0}, "drops", &drops,
			"tx", "packets", &(json_int_t){0}, "bytes", &(json_int_t){0}, "quality", "r", "mos"),
		0);
	assert_int_equal(json_object_size(drops), 1); // only what is not zero
	assert_int_equal(json_integer_value(json_object_get(drops, "wrong_source")), 7);
	assert_string_equal(text_at(leg, "codec"), "PCMA");
	assert_string_equal(text_at(leg, "dtmf"), "rfc4733");
	assert_string_equal(text_at(leg, "srtp"), "none");
	assert_string_equal(text_at(leg, "local"), "192.0.2.10:20000");
	assert_string_equal(text_at(leg, "remote"), "192.0.2.20:4000");
	assert_string_equal(text_at(leg, "role"), "caller");
	assert_string_equal(text_at(leg, "nic"), "lan");
	assert_string_equal(text_at(value, "role"), "callee");
	assert_int_equal(strlen(text_at(call, "created")), strlen("2026-01-01T00:00:00.000000Z"));
	shown = calls_leg_json(w.calls, leg_id);
	assert_string_equal(text_at(shown, "call"), id);
	json_decref(shown);
	shown = calls_legs_json(w.calls);
	assert_int_equal(json_array_size(json_object_get(shown, "items")), 2);
	json_decref(shown);
	assert_null(calls_leg_json(w.calls, "nobody"));
	assert_null(calls_show_json(w.calls, "nobody"));
	assert_int_equal(calls_hangup(w.calls, "nobody"), -ENOENT);
	assert_int_equal(calls_hangup(w.calls, id), 0);
	assert_int_equal(calls_hangup(w.calls, id), -ENOENT); // it is over
	assert_string_equal(a->said, "200/0 BYE");
	assert_string_equal(b->said, "INVITE ACK BYE");
	fakes_retire_all(w.calls);
	assert_cause("disconnected", "api", "api_hangup", 200);
	shown = calls_show_json(w.calls, id); // the ended ones are kept for a while
	assert_string_equal(text_at(shown, "state"), "disconnected");
	assert_string_equal(text_at(json_array_get(json_object_get(shown, "legs"), 0), "dialog"), "terminated");
	json_decref(shown);
	json_decref(list);
	list = calls_list_json(w.calls);
	assert_int_equal(json_array_size(json_object_get(list, "items")), 0);
	json_decref(list);
	assert_nothing_left();
}

static void events_tell_state_and_media(void **state)
{
	struct sip_session *a = calls_bob(), *b = fakes_session(false, 0);
	static const char *const states[] = {"calling", "ringing", "early_media", "confirmed", "disconnected"};
	struct kg_media_event first = {.type = KG_EVENT_FIRST_PACKET, .leg = leg_on(0) - fakes.legs + 1, .ssrc = 77};
	unsigned seen = 0;
	json_t *event;
	size_t i;

	answers(b, 0, "SIP/2.0 180 Ringing", NULL, NULL);
	answers(b, 0, "SIP/2.0 183 Session Progress", NULL, ANSWER);
	assert_string_equal(a->said, "180/0 183/0");
	assert_non_null(strstr(a->sdp, "m=audio 20000 RTP/AVP 8 101"));
	assert_int_not_equal(leg_on(1)->config.peer, 0); // heard at once
	assert_int_equal(leg_on(1)->config.silent_ms, 0);
	calls_media_event(&first, w.calls);
	answers(b, 0, "SIP/2.0 200 OK", NULL, NULL); // its answer came with the 183
	assert_string_equal(a->said, "180/0 183/0 200/0");
	assert_non_null(strstr(a->sdp, " 1 IN IP4 192.0.2.10\r\n")); // the same words, the same version
	hangs_up(b, "Reason: Q.850;cause=17\r\n");
	assert_string_equal(a->said, "180/0 183/0 200/0 BYE");
	assert_string_equal(a->extra, "Reason: Q.850;cause=17\n");
	json_array_foreach(fakes.events, i, event)
	{
		if (strcmp(text_at(event, "type"), "leg.media") == 0) {
			assert_string_equal(text_at(event, "media"), "first_packet");
			assert_int_equal(json_integer_value(json_object_get(event, "ssrc")), 77);
			continue;
		}
		assert_string_equal(text_at(event, "type"), "call.state");
		assert_string_equal(text_at(event, "state"), states[seen++]);
	}
	assert_int_equal(seen, 5);
	assert_nothing_left();
	assert_cause("disconnected", "call", "callee_hangup", 200);
}

static void late_offer(void **state)
{
	struct sip_session *a = invites("192.0.2.20", "sip:bob@192.0.2.10", NULL, NULL), *b = fakes_session(false, 0);

	assert_string_equal(b->sdp, "");
	assert_int_equal(fakes_live_legs(), 0);
	answers(b, 0, "SIP/2.0 200 OK", NULL, SDP_OF("198.51.100.20", "6000", "8 0 101"));
	assert_string_equal(b->said, "INVITE"); // its ACK waits for the answer
	assert_string_equal(a->said, "200/0");
	assert_non_null(strstr(a->sdp, "m=audio 20000 RTP/AVP 8 0 101\r\n"));
	assert_non_null(strstr(a->sdp, "c=IN IP4 192.0.2.10\r\n"));
	acks(a, SDP_OF("192.0.2.20", "4000", "0 101"));
	assert_string_equal(b->said, "INVITE ACK");
	assert_non_null(strstr(b->sdp, "m=audio 20000 RTP/AVP 0 101\r\n"));
	assert_non_null(strstr(b->sdp, "c=IN IP4 198.51.100.10\r\n"));
	assert_addr(&leg_on(0)->config.remote, "192.0.2.20:4000");
	assert_addr(&leg_on(1)->config.remote, "198.51.100.20:6000");
	assert_int_equal(leg_on(0)->config.peer, leg_on(1) - fakes.legs + 1);
	assert_int_equal(leg_on(0)->config.silent_ms, 60000);
	hangs_up(a, NULL);
	assert_nothing_left();
	assert_string_equal(text_at(json_array_get(json_object_get(last_cdr(), "legs"), 0), "codec"), "PCMU");
}

static void late_offer_with_mux(void **state)
{
	struct sip_session *a = invites("192.0.2.20", "sip:bob@192.0.2.10", NULL, NULL), *b = fakes_session(false, 0);

	answers(b, 0, "SIP/2.0 200 OK", NULL, ANSWER "a=rtcp-mux\r\n");
	assert_non_null(strstr(a->sdp, "a=rtcp-mux\r\n"));
	acks(a, OFFER);
	assert_non_null(strstr(b->sdp, "a=rtcp-mux\r\n"));
	assert_true(!leg_on(0)->config.rtcp_mux && leg_on(1)->config.rtcp_mux);
	hangs_up(a, NULL);
	assert_nothing_left();
}

static void other_words_have_another_version(void **state)
{
	struct sip_session *a = calls_bob(), *b = fakes_session(false, 0);
	unsigned long long first, second;
	unsigned version;

	answers(b, 0, "SIP/2.0 183 Session Progress", NULL, ANSWER);
	assert_int_equal(sscanf(strstr(a->sdp, "o="), "o=- %llu %u", &first, &version), 2);
	assert_int_equal(version, 1);
	answers(b, 0, "SIP/2.0 200 OK", NULL, SDP_OF("198.51.100.20", "6000", "0 101"));
	assert_int_equal(sscanf(strstr(a->sdp, "o="), "o=- %llu %u", &second, &version), 2);
	assert_int_equal(version, 2);
	assert_true(first == second);
	hangs_up(a, NULL);
	assert_nothing_left();
}

static void late_offer_without_answer_is_refused(void **state)
{
	struct sip_session *a = invites("192.0.2.20", "sip:bob@192.0.2.10", NULL, NULL), *b = fakes_session(false, 0);

	answers(b, 0, "SIP/2.0 200 OK", NULL, SDP_OF("198.51.100.20", "6000", "8 0 101"));
	acks(a, NULL);
	assert_string_equal(a->said, "200/0 BYE");
	assert_string_equal(b->said, "INVITE ACK BYE");
	assert_non_null(strstr(b->sdp, "m=audio 0 RTP/AVP 8 0 101\r\n"));
	assert_nothing_left();
	assert_cause("failed", "call", "sdp_refused", 488);
}

static void forks_and_hops_each_have_a_dialog(void **state)
{
	struct sip_session *a = calls_bob(), *b = fakes_session(false, 0), *c;

	answers(b, 2, "SIP/2.0 183 Session Progress", NULL, ANSWER);
	answers(b, 5, "SIP/2.0 180 Ringing", NULL, NULL);
	answers(b, 2, "SIP/2.0 503 Full", NULL, NULL);
	c = fakes_session(false, 1);
	assert_string_equal(c->target, "198.51.100.30:5060");
	assert_non_null(
		strstr(c->sdp, "m=audio 20002 ")); // ports of its own: the first hop's late packets reach nobody
	fakes_retire_all(w.calls);
	assert_int_equal(ports_in_use(w.ports), 4);
	answers(c, 0, "SIP/2.0 180 Ringing", NULL, NULL);
	answers(c, 0, "SIP/2.0 200 OK", NULL, SDP_OF("198.51.100.30", "7000", "0"));
	assert_string_equal(a->said, "183/0 180/1 180/2 200/2");
	assert_addr(&leg_on(1)->config.remote, "198.51.100.30:7000");
	acks(a, NULL);
	hangs_up(a, NULL);
	assert_string_equal(b->said, "INVITE");
	assert_nothing_left();
	assert_int_equal(json_array_size(json_object_get(last_cdr(), "legs")), 3);
}

static void headers_pass_by_the_list(void **state)
{
	struct sip_session *a = invites("192.0.2.20", "sip:bob@192.0.2.10",
		"Subject: tea\r\nUser-to-User: 1234;encoding=hex\r\nDiversion: <sip:a@b>\r\nDiversion: <sip:c@d>\r\n"
		"P-Asserted-Identity: <sip:al@a>\r\nX-Secret: no\r\nSession-Expires: 1800\r\n"
		"Date: Mon, 23 Nov 2026 01:00:00 GMT\r\n",
		OFFER);
	struct sip_session *b = fakes_session(false, 0);

	assert_string_equal(b->headers, "Subject: tea\nUser-to-User: 1234;encoding=hex\nDiversion: <sip:a@b>\n"
					"Diversion: <sip:c@d>\nP-Asserted-Identity: <sip:al@a>\n");
	answers(b, 0, "SIP/2.0 180 Ringing", "User-to-User: 99\r\nServer: x\r\n", NULL);
	assert_string_equal(a->extra, "User-to-User: 99\n");
	answers(b, 0, "SIP/2.0 486 Busy Here", "Reason: Q.850;cause=17\r\nRetry-After: 5\r\n", NULL);
	assert_string_equal(a->said, "180/0 486");
	assert_string_equal(a->extra, "Reason: Q.850;cause=17\nRetry-After: 5\n");
	assert_nothing_left();
	assert_cause("failed", "call", "rejected", 486);

	invites("192.0.2.20", "sip:bob@192.0.2.10",
		"Identity: abc;info=<https://x>\r\nDate: Mon, 23 Nov 2026 01:00:00 GMT\r\n", OFFER);
	assert_string_equal(fakes_session(false, 0)->headers,
		"Identity: abc;info=<https://x>\nDate: Mon, 23 Nov 2026 01:00:00 GMT\n");
	calls_shutdown(w.calls);
	assert_nothing_left();
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_open, world_close)
	const struct CMUnitTest tests[] = {
		TEST(a_call_from_invite_to_cdr),
		TEST(json_has_the_contracts_shape),
		TEST(events_tell_state_and_media),
		TEST(late_offer),
		TEST(late_offer_with_mux),
		TEST(other_words_have_another_version),
		TEST(late_offer_without_answer_is_refused),
		TEST(forks_and_hops_each_have_a_dialog),
		TEST(headers_pass_by_the_list),
	};

	sip_msg_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
