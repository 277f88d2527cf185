// SPDX-License-Identifier: BSD-3-Clause
// What goes wrong around calls, one by one and by chance: each ends with its cause, and nothing stays behind.

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

// --- what goes wrong ----------------------------------------------------------------------------------------------

static void strangers_are_refused_in_one_line(void **state)
{
	struct sip_session *a = invites("192.0.2.99", "sip:bob@192.0.2.10", NULL, OFFER);
	struct kg_addr known = addr_of("192.0.2.20", 1), unknown = addr_of("192.0.2.99", 1);
	struct calls_counts counts;

	assert_string_equal(a->said, "403");
	assert_int_equal(fakes.log_lines, 1);
	assert_non_null(strstr(fakes.log, "192.0.2.99:5060"));
	calls_counts(w.calls, &counts);
	assert_int_equal(counts.strangers, 1);
	assert_int_equal(counts.total, 0);
	assert_int_equal(calls_session_ops.known_source(w.calls, &known), SIP_SOURCE_PROXY);
	assert_int_equal(calls_session_ops.known_source(w.calls, &unknown), SIP_SOURCE_STRANGER);
	assert_nothing_left();
}

// Between 5 and 15 s, by who called.
static void assert_retry_after(const struct sip_session *session)
{
	char wanted[32];

	snprintf(wanted, sizeof(wanted), "Retry-After: %u\n", sip_limits_retry_after(&session->peer));
	assert_string_equal(session->extra, wanted);
}

struct refusal {
	const char *name, *uri, *sdp;
	int create_error, create_error_after, invite_error;
	const char *said, *layer, *reason;
	int code;
};

static void calls_that_cannot_be(void **state)
{
	static const struct refusal cases[] = {
		{"no route to an unknown", "sip:bob@192.0.2.10", SDP_OF("203.0.113.9", "4000", "0"), 0, 0, 0, "488",
			"route", "unreachable", 488},
		{"no route at all", "sip:bob@192.0.2.10", SDP_OF("10.1.1.1", "4000", "0"), 0, 0, 0, "488", "route",
			"unreachable", 488},
		{"callee behind no nic", "sip:far@192.0.2.10", OFFER, 0, 0, 0, "500", "route", "unreachable", 500},
		{"broken SDP", "sip:bob@192.0.2.10", "v=0\r\nm=audio\r\n", 0, 0, 0, "400", "message", "sdp_broken",
			400},
		{"SRTP only", "sip:bob@192.0.2.10", "v=0\r\nc=IN IP4 192.0.2.20\r\nm=audio 4000 RTP/SAVP 0\r\n", 0, 0,
			0, "488", "call", "sdp_refused", 488},
		{"digits only", "sip:bob@192.0.2.10", SDP_OF("192.0.2.20", "4000", "101"), 0, 0, 0, "488", "call",
			"sdp_refused", 488},
		{"no leg for the caller", "sip:bob@192.0.2.10", OFFER, -EINVAL, 0, 0, "500", "media", "media_failed",
			500},
		{"no leg for the callee", "sip:bob@192.0.2.10", OFFER, -EINVAL, 1, 0, "500", "media", "media_failed",
			500},
		{"no room for the callee's leg", "sip:bob@192.0.2.10", OFFER, -ENOSPC, 1, 0, "503", "call", "overload",
			503},
		{"INVITE cannot be sent", "sip:bob@192.0.2.10", OFFER, 0, 0, ENETDOWN, "500", "transport",
			"transport_failed", 500},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sip_session *a;

		fakes.create_error = cases[i].create_error;
		fakes.create_error_after = cases[i].create_error_after;
		fakes.invite_error = cases[i].invite_error;
		a = invites("192.0.2.20", cases[i].uri, NULL, cases[i].sdp);
		if (strcmp(a->said, cases[i].said) != 0)
			fail_msg("%s: said \"%s\"", cases[i].name, a->said);
		if (cases[i].code == 503)
			assert_retry_after(a);
		fakes_retire_all(w.calls);
		assert_cause("failed", cases[i].layer, cases[i].reason, cases[i].code);
		assert_nothing_left();
	}
}

static void no_route_of_the_configuration(void **state)
{
	struct sip_session *a = invites("198.51.100.20", "sip:bob@192.0.2.10", NULL, OFFER);

	assert_string_equal(a->said, "404");
	assert_cause("failed", "route", "no_route", 404);
	assert_non_null(strstr(text_at(json_object_get(last_cdr(), "cause"), "message"), "sip:bob@192.0.2.10"));
	assert_nothing_left();
}

static void ports_run_out_and_come_back(void **state)
{
	struct sip_session *sessions[9];

	ports_destroy(w.ports);
	calls_destroy(w.calls);
	w.ports = ports_create(20000, 20003, 0); // two pairs on each address
	w.calls = calls_create(&(struct calls_options){.config = w.config, .wheel = w.wheel, .ports = w.ports});
	assert_true(w.ports && w.calls);
	for (int i = 0; i < 3; i++)
		sessions[i] = calls_bob();
	assert_string_equal(sessions[0]->said, "");
	assert_string_equal(sessions[2]->said, "503");
	assert_retry_after(sessions[2]);
	assert_cause("failed", "call", "overload", 503);
	requests(sessions[0], "CANCEL", NULL, NULL, calls_session_ops.cancelled);
	assert_string_equal(fakes_session(false, 0)->said, "INVITE CANCEL");
	assert_int_equal(ports_in_use(w.ports), 8); // until the owner has let go
	fakes_retire_all(w.calls);
	assert_int_equal(ports_in_use(w.ports), 4);
	assert_string_equal(calls_bob()->said, "");
	calls_shutdown(w.calls);
	assert_nothing_left();
}

static void max_calls_is_a_limit(void **state)
{
	w.config->max_calls = 1;
	calls_bob();
	assert_string_equal(calls_bob()->said, "503");
	assert_cause("failed", "call", "overload", 503);
	calls_shutdown(w.calls);
	assert_nothing_left();
}

static uint64_t refused(enum sip_refusal why)
{
	struct calls_counts counts;

	calls_counts(w.calls, &counts);
	return counts.refused[why];
}

// proxy is trunk 0, carrier 1, spare 2: calls of proxy go to carrier, else to spare.
static void a_trunks_calls_are_bounded(void **state)
{
	struct sip_session *a;

	w.config->trunks[0].max_calls = 2;
	a = calls_bob();
	assert_string_equal(calls_bob()->said, "");
	assert_string_equal(calls_bob()->said, "503");
	assert_cause("failed", "call", "overload", 503);
	assert_string_equal(
		text_at(json_object_get(last_cdr(), "cause"), "message"), "max_calls (2) of trunk proxy is reached");
	assert_int_equal(refused(SIP_REFUSED_trunk_calls), 1);
	requests(a, "CANCEL", NULL, NULL, calls_session_ops.cancelled);
	fakes_retire_all(w.calls);
	assert_string_equal(calls_bob()->said, ""); // one went, one may come
	assert_string_equal(calls_bob()->said, "503");
	calls_shutdown(w.calls);
	assert_nothing_left();
}

static void a_full_trunk_is_passed_by(void **state)
{
	w.config->trunks[1].max_calls = 1;
	w.config->trunks[2].max_calls = 1;
	calls_bob();
	calls_bob();
	assert_string_equal(fakes_session(false, 0)->target, "198.51.100.20:5060");
	assert_string_equal(fakes_session(false, 1)->target, "198.51.100.30:5060");
	assert_int_equal(refused(SIP_REFUSED_trunk_calls), 1);
	assert_string_equal(calls_bob()->said, "503"); // both are full
	fakes_retire_all(w.calls);
	assert_cause("failed", "call", "overload", 503);
	assert_int_equal(refused(SIP_REFUSED_trunk_calls), 3);
	answers(fakes_session(false, 0), 0, "SIP/2.0 486 Busy Here", NULL, NULL);
	fakes_retire_all(w.calls);
	calls_bob(); // there is room again
	calls_shutdown(w.calls);
	assert_int_equal(refused(SIP_REFUSED_trunk_calls), 3);
	assert_nothing_left();
}

static void a_trunk_that_failed_is_free_again(void **state)
{
	w.config->trunks[1].max_calls = 1;
	calls_bob();
	answers(fakes_session(false, 0), 0, "SIP/2.0 503 Service Unavailable", NULL, NULL);
	assert_string_equal(fakes_session(false, 1)->target, "198.51.100.30:5060"); // the call goes on there
	calls_bob();
	assert_string_equal(fakes_session(false, 2)->target, "198.51.100.20:5060");
	assert_int_equal(refused(SIP_REFUSED_trunk_calls), 0);
	calls_shutdown(w.calls);
	assert_nothing_left();
}

static void a_trunk_is_called_so_often_a_second(void **state)
{
	w.config->trunks[1].cps = 1;
	calls_bob();
	calls_bob();
	assert_string_equal(fakes_session(false, 0)->target, "198.51.100.20:5060");
	assert_string_equal(fakes_session(false, 1)->target, "198.51.100.30:5060");
	assert_int_equal(refused(SIP_REFUSED_trunk_cps), 1);
	calls_shutdown(w.calls);
	assert_nothing_left();
}

static int admitted(const char *ip)
{
	const struct kg_addr from = addr_of(ip, 5060);
	unsigned retry_after_s = 0;
	int status = calls_session_ops.admit(w.calls, &from, &retry_after_s);

	assert_int_equal(retry_after_s, status ? sip_limits_retry_after(&from) : 0);
	return status;
}

static void an_engine_that_does_not_keep_up_takes_no_calls(void **state)
{
	calls_bob();
	fakes.overloaded = true;
	assert_int_equal(admitted("192.0.2.20"), 503);
	assert_int_equal(admitted("192.0.2.20"), 503);
	assert_int_equal(refused(SIP_REFUSED_overload), 2);
	fakes.overloaded = false;
	assert_int_equal(admitted("192.0.2.20"), 0);
	calls_shutdown(w.calls);
	assert_nothing_left();
}

static void calls_a_second_are_bounded(void **state)
{
	w.config->cps = 3;
	w.config->trunks[0].cps = 2;
	assert_int_equal(admitted("192.0.2.20"), 0);
	assert_int_equal(admitted("192.0.2.20"), 0);
	for (int i = 0; i < 50; i++)
		assert_int_equal(admitted("192.0.2.20"), 503); // its own rate; the others lose nothing by it
	assert_int_equal(refused(SIP_REFUSED_trunk_cps), 50);
	assert_int_equal(admitted("198.51.100.20"), 0);
	assert_int_equal(admitted("198.51.100.20"), 503);
	assert_int_equal(refused(SIP_REFUSED_cps), 1);
	assert_int_equal(fakes.log_lines, 2); // one for each trunk
	w.now_ms += 60000;
	wheel_advance(w.wheel, w.now_ms);
	for (int i = 0; i < 4; i++)
		admitted("192.0.2.20");
	assert_int_equal(fakes.log_lines, 3); // and one in a minute
	assert_int_equal(refused(SIP_REFUSED_trunk_cps), 52);
	calls_shutdown(w.calls); // says so itself, in the call's record
	assert_int_equal(admitted("198.51.100.20"), 0);
	assert_string_equal(calls_bob()->said, "503");
	assert_cause("failed", "api", "shutdown", 503);
	assert_int_equal(refused(SIP_REFUSED_shutdown), 1);
	assert_nothing_left();
}

static void bad_answers_end_both_sides(void **state)
{
	static const struct {
		const char *sdp, *said, *reason;
	} cases[] = {
		{NULL, "488", "sdp_refused"}, {"v=0\r\nm=audio\r\n", "502", "sdp_broken"},
		{SDP_OF("198.51.100.20", "6000", "18"), "488", "sdp_refused"},
		{SDP_OF("198.51.100.20", "0", "8"), "488", "sdp_refused"},
		{SDP_OF("203.0.113.9", "6000", "8"), "502", "unreachable"},
		{SDP_OF("192.0.2.66", "6000", "8"), "502", "unreachable"}, // through the other nic than the leg is on
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sip_session *a = calls_bob(), *b = fakes_session(false, 0);

		answers(b, 0, "SIP/2.0 200 OK", NULL, cases[i].sdp);
		assert_string_equal(b->said, "INVITE ACK BYE");
		assert_string_equal(a->said, cases[i].said);
		fakes_retire_all(w.calls);
		assert_string_equal(text_at(json_object_get(last_cdr(), "cause"), "reason"), cases[i].reason);
		assert_nothing_left();
	}
}

static void bad_early_media_is_ringing(void **state)
{
	struct sip_session *a = calls_bob(), *b = fakes_session(false, 0);

	answers(b, 0, "SIP/2.0 183 Session Progress", NULL, SDP_OF("203.0.113.9", "6000", "8"));
	assert_string_equal(a->said, "183/0");
	assert_string_equal(a->sdp, "");
	assert_int_equal(leg_on(1)->config.remote.family, 0);
	calls_shutdown(w.calls);
	assert_string_equal(a->said, "183/0 503");
	assert_string_equal(b->said, "INVITE CANCEL");
	assert_nothing_left();
}

static void neighbours_come_late_and_move(void **state)
{
	struct sip_session *a, *b;
	struct kg_media_hop hop = {.resolved = true, .target_mac = {1, 2, 3, 4, 5, 6}};

	fakes.unresolved = true;
	a = calls_bob();
	b = fakes_session(false, 0);
	answers(b, 0, "SIP/2.0 200 OK", NULL, ANSWER);
	assert_string_equal(a->said, "200/0"); // the call goes on; packets are counted as no_next_hop until then
	assert_false(leg_on(0)->config.hop.resolved);
	assert_int_equal(fakes_live_watches(), 2);
	for (unsigned i = 0; i < 2; i++)
		fakes.watches[i].fn(&hop, fakes.watches[i].target.ip[0] == 192 ? 2 : 3, fakes.watches[i].arg);
	assert_true(leg_on(0)->config.hop.resolved && leg_on(1)->config.hop.resolved);
	assert_memory_equal(leg_on(1)->config.hop.target_mac, hop.target_mac, 6);
	fakes.watches[0].fn(&hop, 9, fakes.watches[0].arg); // moved to an interface that is not the leg's
	assert_false(leg_on(0)->config.hop.resolved);
	hangs_up(a, NULL);
	assert_nothing_left();
}

static void a_full_command_ring_is_tried_again(void **state)
{
	struct sip_session *a = calls_bob(), *b = fakes_session(false, 0);

	fakes.change_error = -EAGAIN;
	answers(b, 0, "SIP/2.0 200 OK", NULL, ANSWER);
	assert_int_equal(leg_on(0)->config.peer, 0);
	pass_ms(50);
	assert_int_equal(leg_on(0)->config.peer, 0);
	fakes.change_error = 0;
	pass_ms(50);
	assert_int_not_equal(leg_on(0)->config.peer, 0);
	assert_int_not_equal(leg_on(1)->config.peer, 0);
	hangs_up(a, NULL);
	assert_nothing_left();
}

static void no_timer_outlives_its_call(void **state)
{
	struct sip_session *a = calls_bob(), *b = fakes_session(false, 0);
	struct kg_media_event silent = {.type = KG_EVENT_SILENT, .leg = leg_on(0) - fakes.legs + 1};

	pass_ms(100000);
	answers(b, 0, "SIP/2.0 200 OK", NULL, ANSWER);
	leg_on(0)->stats.silent_us = 100000000;
	calls_media_event(&silent, w.calls); // looks again in a minute
	hangs_up(a, NULL);
	assert_nothing_left();
	calls_bob();
	b = fakes_session(false, 0);
	fakes.change_error = -EAGAIN;
	answers(b, 0, "SIP/2.0 200 OK", NULL, ANSWER); // tries again in 10 ms
	hangs_up(b, NULL);
	assert_nothing_left();
	pass_ms(200000);
}

static void silence_ends_the_call_but_not_what_was_before_the_answer(void **state)
{
	struct sip_session *a = calls_bob(), *b = fakes_session(false, 0);
	struct kg_media_event silent = {.type = KG_EVENT_SILENT, .leg = leg_on(0) - fakes.legs + 1};

	pass_ms(100000); // it rang long
	answers(b, 0, "SIP/2.0 200 OK", NULL, ANSWER);
	acks(a, NULL);
	leg_on(0)->stats.silent_us = 100000000;
	calls_media_event(&silent, w.calls);
	assert_string_equal(a->said, "200/0");
	leg_on(0)->stats.silent_us = 10000000; // it spoke, and stopped 10 s before the next look
	pass_ms(60000);
	assert_string_equal(a->said, "200/0");
	leg_on(0)->stats.silent_us = 60000000;
	pass_ms(50000);
	assert_string_equal(a->said, "200/0 BYE");
	assert_string_equal(b->said, "INVITE ACK BYE");
	assert_non_null(strstr(b->extra, "SIP;cause=408;text=\"media_timeout\""));
	fakes_retire_all(w.calls);
	assert_cause("timeout", "media", "media_timeout", 408);
	assert_string_equal(text_at(last_cdr(), "business"), "released");
	assert_nothing_left();
}

static void a_held_leg_has_the_long_timeout(void **state)
{
	struct sip_session *a = invites("192.0.2.20", "sip:bob@192.0.2.10", NULL, OFFER "a=sendonly\r\n");
	struct sip_session *b = fakes_session(false, 0);

	answers(b, 0, "SIP/2.0 200 OK", NULL, ANSWER "a=recvonly\r\n");
	assert_non_null(strstr(a->sdp, "a=recvonly\r\n"));
	assert_int_equal(leg_on(0)->config.silent_ms, 1800000);
	assert_true(leg_on(0)->config.may_receive && !leg_on(0)->config.may_send);
	assert_true(!leg_on(1)->config.may_receive && leg_on(1)->config.may_send);
	hangs_up(a, NULL);
	assert_nothing_left();
}

static void rtcp_mux_is_each_legs_own(void **state)
{
	struct sip_session *a = invites("192.0.2.20", "sip:bob@192.0.2.10", NULL, OFFER "a=rtcp-mux\r\n");
	struct sip_session *b = fakes_session(false, 0);

	assert_non_null(strstr(b->sdp, "a=rtcp-mux\r\n"));
	answers(b, 0, "SIP/2.0 200 OK", NULL, ANSWER);
	assert_non_null(strstr(a->sdp, "a=rtcp-mux\r\n"));
	assert_true(leg_on(0)->config.rtcp_mux && !leg_on(1)->config.rtcp_mux);
	assert_addr(&leg_on(0)->config.remote_rtcp, "192.0.2.20:4000");
	hangs_up(a, NULL);
	assert_nothing_left();
}

static void rtcp_goes_nowhere_else(void **state)
{
	struct sip_session *a =
		invites("192.0.2.20", "sip:bob@192.0.2.10", NULL, OFFER "a=rtcp:9 IN IP4 203.0.113.5\r\n");

	assert_addr(&leg_on(0)->config.remote, "192.0.2.20:4000");
	assert_int_equal(leg_on(0)->config.remote_rtcp.family, 0);
	assert_string_equal(a->said, "");
	calls_shutdown(w.calls);
	assert_nothing_left();
}

static void timers_end_calls(void **state)
{
	struct sip_session *a = calls_bob(), *b = fakes_session(false, 0), *c;

	calls_session_ops.timed_out(b->user, b, SIP_TIMEOUT_B);
	c = fakes_session(false, 1);
	answers(c, 0, "SIP/2.0 180 Ringing", NULL, NULL);
	calls_session_ops.timed_out(c->user, c, SIP_TIMEOUT_C);
	assert_string_equal(a->said, "180/0 408");
	fakes_retire_all(w.calls);
	assert_cause("timeout", "call", "no_answer", 408);
	assert_string_equal(text_at(last_cdr(), "business"), "failed");
	assert_nothing_left();

	a = calls_bob();
	b = fakes_session(false, 0);
	answers(b, 0, "SIP/2.0 200 OK", NULL, ANSWER);
	calls_session_ops.timed_out(a->user, a, SIP_TIMEOUT_ACK);
	assert_string_equal(b->said, "INVITE ACK BYE");
	fakes_retire_all(w.calls);
	assert_cause("timeout", "dialog", "ack_timeout", 408);
	assert_nothing_left();
}

static void a_reload_leaves_calls_alone(void **state)
{
	struct sip_session *a = calls_bob(), *b = fakes_session(false, 0), *c;
	struct config *old = w.config;

	w.config = config_make();
	calls_reload(w.calls, w.config);
	config_unmake(old);
	answers(b, 0, "SIP/2.0 480 Gone", NULL, NULL); // the next hop was planned with the old one
	c = fakes_session(false, 1);
	assert_string_equal(c->target, "198.51.100.30:5060");
	answers(c, 0, "SIP/2.0 200 OK", NULL, SDP_OF("198.51.100.30", "7000", "0"));
	acks(a, NULL);
	hangs_up(a, NULL);
	assert_nothing_left();
}

static void history_is_bounded(void **state)
{
	char *first = NULL, *last = NULL;
	json_t *shown;

	for (int i = 0; i < 1001; i++) {
		fakes_free_session(invites("198.51.100.20", "sip:bob@192.0.2.10", NULL, OFFER));
		if (i == 0)
			first = strdup(text_at(last_cdr(), "id"));
	}
	last = strdup(text_at(last_cdr(), "id"));
	assert_true(first && last);
	assert_null(calls_show_json(w.calls, first));
	shown = calls_show_json(w.calls, last);
	assert_string_equal(text_at(shown, "state"), "failed");
	json_decref(shown);
	free(first);
	free(last);
	assert_nothing_left();
}

static void a_stop_that_does_not_wait_still_writes_cdrs(void **state)
{
	struct sip_session *a = calls_bob(), *b = fakes_session(false, 0);

	answers(b, 0, "SIP/2.0 200 OK", NULL, ANSWER);
	acks(a, NULL);
	calls_destroy(w.calls);
	w.calls = NULL;
	assert_int_equal(json_array_size(fakes.cdrs), 1);
	assert_cause("disconnected", "api", "shutdown", 503);
	assert_int_equal(ports_in_use(w.ports), 0);
	assert_int_equal(fakes_live_watches(), 0);
}

// --- by chance ----------------------------------------------------------------------------------------------------

static uint32_t seed = 1;

static unsigned chance(unsigned of)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % of;
}

static bool has_said(const struct sip_session *session, const char *word)
{
	return strstr(session->said, word) != NULL;
}

// One thing that may happen to a callee's session. What is over says nothing more.
static void callee_moves(struct sip_session *b)
{
	static const char *const sdps[] = {NULL, ANSWER, SDP_OF("198.51.100.30", "7000", "0 101"),
		SDP_OF("203.0.113.9", "1", "0"), "v=0\r\nm=\r\n", SDP_OF("198.51.100.20", "6000", "18")};
	static const char *const fails[] = {
		"SIP/2.0 486 Busy", "SIP/2.0 503 No", "SIP/2.0 480 No", "SIP/2.0 302 Moved"};
	const char *sdp = sdps[chance(6)];

	if (has_said(b, "BYE")) {
		b->over = true;
		calls_session_ops.bye_done(b->user, b, chance(2) ? 200 : 408);
	} else if (has_said(b, "CANCEL")) {
		b->over = true;
		answers(b, 0, "SIP/2.0 487 Gone", NULL, NULL);
	} else if (has_said(b, "ACK")) {
		b->over = true;
		hangs_up(b, NULL);
	} else if (b->sdp[0] == '!') {
		return; // answered, and its ACK waits for the caller's
	} else if (chance(2)) {
		answers(b, chance(SIP_FORKS), chance(2) ? "SIP/2.0 183 Yes" : "SIP/2.0 180 Yes", NULL, sdp);
	} else if (chance(3)) {
		b->sdp[0] = '!';
		answers(b, chance(SIP_FORKS), "SIP/2.0 200 OK", NULL, chance(3) ? sdps[1] : sdp);
	} else if (chance(2)) {
		b->over = true;
		answers(b, 0, fails[chance(4)], NULL, NULL);
	} else {
		b->over = true;
		calls_session_ops.timed_out(b->user, b, chance(2) ? SIP_TIMEOUT_B : SIP_TIMEOUT_C);
	}
}

static void caller_moves(struct sip_session *a)
{
	bool answered = has_said(a, "200/");

	if (has_said(a, "BYE")) {
		a->over = true;
		calls_session_ops.bye_done(a->user, a, 200);
	} else if (answered && !has_said(a, "acked") && chance(2)) {
		strcat(a->said, " acked");
		acks(a, chance(2) ? OFFER : NULL);
	} else if (answered && !has_said(a, "acked") && chance(2)) {
		a->over = true;
		calls_session_ops.timed_out(a->user, a, SIP_TIMEOUT_ACK);
	} else if (answered) {
		a->over = true;
		hangs_up(a, NULL);
	} else if (chance(4) == 0) {
		a->over = true;
		requests(a, "CANCEL", NULL, NULL, calls_session_ops.cancelled);
	}
}

static void something_happens(void)
{
	struct sip_session *session = &fakes.sessions[chance(12)];
	struct kg_media_event event = {.leg = 1 + chance(12)};

	pass_ms(chance(3000));
	fakes.create_error = chance(20) ? 0 : -ENOSPC;
	fakes.create_error_after = 0;
	fakes.change_error = chance(6) ? 0 : -EAGAIN;
	fakes.invite_error = chance(20) ? 0 : ENETDOWN;
	switch (chance(8)) {
	case 0:
		if (fakes_live_sessions() < 30)
			invites("192.0.2.20", chance(9) ? "sip:bob@192.0.2.10" : "sip:far@192.0.2.10", NULL,
				chance(3) ? OFFER : NULL);
		break;
	case 1:
		fakes_retire_all(w.calls);
		break;
	case 2:
		event.type = chance(2) ? KG_EVENT_SILENT : KG_EVENT_FIRST_PACKET;
		if (fakes.legs[event.leg - 1].live) {
			fakes.legs[event.leg - 1].stats.silent_us = 1000000ull * chance(100);
			calls_media_event(&event, w.calls);
		}
		break;
	default:
		if (session->used && session->over)
			fakes_free_session(session);
		else if (session->used && session->uas)
			caller_moves(session);
		else if (session->used)
			callee_moves(session);
		break;
	}
}

static void any_traffic_leaves_nothing(void **state)
{
	struct calls_counts counts;

	for (unsigned i = 0; i < 60000; i++)
		something_happens();
	calls_counts(w.calls, &counts);
	assert_true(counts.total > 1000 && counts.answered > 100 && counts.failed > 100);
	calls_shutdown(w.calls);
	assert_nothing_left();
	calls_counts(w.calls, &counts);
	for (unsigned i = 1; i < CALLS_CAUSES && calls_cause_name(i); i++)
		counts.total -= counts.ended_by_cause[i];
	assert_int_equal(counts.total, 0); // each ended with one cause
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_open, world_close)
	const struct CMUnitTest tests[] = {
		TEST(strangers_are_refused_in_one_line),
		TEST(calls_that_cannot_be),
		TEST(no_route_of_the_configuration),
		TEST(ports_run_out_and_come_back),
		TEST(max_calls_is_a_limit),
		TEST(a_trunks_calls_are_bounded),
		TEST(a_full_trunk_is_passed_by),
		TEST(a_trunk_that_failed_is_free_again),
		TEST(a_trunk_is_called_so_often_a_second),
		TEST(calls_a_second_are_bounded),
		TEST(an_engine_that_does_not_keep_up_takes_no_calls),
		TEST(bad_answers_end_both_sides),
		TEST(bad_early_media_is_ringing),
		TEST(neighbours_come_late_and_move),
		TEST(a_full_command_ring_is_tried_again),
		TEST(no_timer_outlives_its_call),
		TEST(silence_ends_the_call_but_not_what_was_before_the_answer),
		TEST(a_held_leg_has_the_long_timeout),
		TEST(rtcp_mux_is_each_legs_own),
		TEST(rtcp_goes_nowhere_else),
		TEST(timers_end_calls),
		TEST(a_reload_leaves_calls_alone),
		TEST(history_is_bounded),
		TEST(a_stop_that_does_not_wait_still_writes_cdrs),
		TEST(any_traffic_leaves_nothing),
	};

	sip_msg_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
