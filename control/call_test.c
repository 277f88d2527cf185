// SPDX-License-Identifier: BSD-3-Clause
// The call machine by tables: event sequence in, actions and state out; then by random sequences against a model of
// what sessions may do.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "call.h"

// --- by tables ----------------------------------------------------------------------------------------------------

// Events, written short.
#define INVITE(hops)                                                              \
	{                                                                         \
		.type = CALL_EV_INVITE, .sdp = CALL_SDP_GOOD, .hop_count = (hops) \
	}
#define LATE(hops)                                                                \
	{                                                                         \
		.type = CALL_EV_INVITE, .sdp = CALL_SDP_NONE, .hop_count = (hops) \
	}
#define REFUSED(code, word)                                                          \
	{                                                                            \
		.type = CALL_EV_INVITE, .status = (code), .cause = CALL_CAUSE_##word \
	}
#define BAD_OFFER(kind)                                                        \
	{                                                                      \
		.type = CALL_EV_INVITE, .sdp = CALL_SDP_##kind, .hop_count = 1 \
	}
#define RINGS(h, f, code)                                                                                   \
	{                                                                                                   \
		.type = CALL_EV_PROVISIONAL, .side = CALL_CALLEE, .hop = (h), .fork = (f), .status = (code) \
	}
#define EARLY(h, f, code)                                                                                    \
	{                                                                                                    \
		.type = CALL_EV_PROVISIONAL, .side = CALL_CALLEE, .hop = (h), .fork = (f), .status = (code), \
		.sdp = CALL_SDP_GOOD                                                                         \
	}
#define ANSWERS(h, f, kind)                                                                          \
	{                                                                                            \
		.type = CALL_EV_ANSWER, .side = CALL_CALLEE, .hop = (h), .fork = (f), .status = 200, \
		.sdp = CALL_SDP_##kind                                                               \
	}
#define FAILS(h, code)                                                                    \
	{                                                                                 \
		.type = CALL_EV_FAILED, .side = CALL_CALLEE, .hop = (h), .status = (code) \
	}
#define HOP_ERROR(h, code, word)                                                              \
	{                                                                                     \
		.type = CALL_EV_HOP_ERROR, .side = CALL_CALLEE, .hop = (h), .status = (code), \
		.cause = CALL_CAUSE_##word                                                    \
	}
#define ACK(kind)                                                                \
	{                                                                        \
		.type = CALL_EV_ACK, .side = CALL_CALLER, .sdp = CALL_SDP_##kind \
	}
#define CANCEL                                              \
	{                                                   \
		.type = CALL_EV_CANCEL, .side = CALL_CALLER \
	}
#define BYE_OF(s)                                     \
	{                                             \
		.type = CALL_EV_BYE, .side = CALL_##s \
	}
#define BYE_DONE(s)                                        \
	{                                                  \
		.type = CALL_EV_BYE_DONE, .side = CALL_##s \
	}
#define TIMER(s, h, t)                                                                       \
	{                                                                                    \
		.type = CALL_EV_TIMER, .side = CALL_##s, .hop = (h), .timer = CALL_TIMER_##t \
	}
#define SILENT(s)                                        \
	{                                                \
		.type = CALL_EV_SILENT, .side = CALL_##s \
	}
#define GONE(s)                                        \
	{                                              \
		.type = CALL_EV_GONE, .side = CALL_##s \
	}
#define HANGUP                         \
	{                              \
		.type = CALL_EV_HANGUP \
	}
#define SHUTDOWN                         \
	{                                \
		.type = CALL_EV_SHUTDOWN \
	}

#define ASKS(s, kind)                                                            \
	{                                                                        \
		.type = CALL_EV_MODIFY, .side = CALL_##s, .sdp = CALL_SDP_##kind \
	}
#define REPLIES(s, code, kind, hold)                                                                                 \
	{                                                                                                            \
		.type = CALL_EV_MODIFIED, .side = CALL_##s, .status = (code), .sdp = CALL_SDP_##kind, .held = (hold) \
	}
#define LATE_ACK(s, kind, hold)                                                                      \
	{                                                                                            \
		.type = CALL_EV_MODIFY_ACK, .side = CALL_##s, .sdp = CALL_SDP_##kind, .held = (hold) \
	}
#define TAKES_BACK(s)                                         \
	{                                                     \
		.type = CALL_EV_MODIFY_GONE, .side = CALL_##s \
	}
#define PRACK(kind)                                                                \
	{                                                                          \
		.type = CALL_EV_PRACK, .side = CALL_CALLER, .sdp = CALL_SDP_##kind \
	}
// Answered and acknowledged.
#define UP                                                                                                       \
	{INVITE(1), "invite0", CALL_CALLING}, {ANSWERS(0, 0, GOOD), "bridge0 ack 200/0 report", CALL_CONFIRMED}, \
	{                                                                                                        \
		ACK(NONE), "", CALL_CONFIRMED                                                                    \
	}

struct step {
	struct call_event event;
	const char *actions; // as action_text writes them, ' ' between
	enum call_state state;
};

struct scenario {
	const char *name;
	enum call_cause_word cause;
	int code;
	struct step steps[10];
};

static void action_text(const struct call_action *a, char *out, size_t size)
{
	static const char *const acks[] = {"", "+answer", "+refuse"};
	const char *who = a->side == CALL_CALLER ? "caller" : "callee";

	switch (a->type) {
	case CALL_DO_INVITE:
		snprintf(out, size, "invite%u", a->hop);
		break;
	case CALL_DO_PROVISIONAL:
		snprintf(out, size, "%d%s/%u", a->status, a->with_sdp ? "+sdp" : "", a->fork);
		break;
	case CALL_DO_ANSWER:
		snprintf(out, size, "200/%u", a->fork);
		break;
	case CALL_DO_REJECT:
		snprintf(out, size, "%d%s%s", a->status, a->own ? "" : "*", a->retry_after ? "+retry" : "");
		break;
	case CALL_DO_BRIDGE:
		snprintf(out, size, "bridge%u", a->hop);
		break;
	case CALL_DO_ACK:
		snprintf(out, size, "ack%s", acks[a->ack]);
		break;
	case CALL_DO_CANCEL:
		snprintf(out, size, "cancel%u", a->hop);
		break;
	case CALL_DO_BYE:
		snprintf(out, size, "bye-%s", who);
		break;
	case CALL_DO_PRACK:
		snprintf(out, size, "prack/%u", a->fork);
		break;
	case CALL_DO_MODIFY:
		snprintf(out, size, "ask-%s%s", who, a->late ? "+late" : "");
		break;
	case CALL_DO_MODIFY_ANSWER:
		snprintf(out, size, "grant-%s", who);
		break;
	case CALL_DO_MODIFY_REFUSE:
		snprintf(out, size, "refuse-%s:%d", who, a->status);
		break;
	case CALL_DO_MODIFY_COMMIT:
		snprintf(out, size, "commit");
		break;
	case CALL_DO_MODIFY_ACK:
		snprintf(out, size, "ack-%s%s", who, acks[a->ack]);
		break;
	case CALL_DO_MODIFY_CANCEL:
		snprintf(out, size, "cancel-%s", who);
		break;
	case CALL_DO_RELEASE_HOP:
		snprintf(out, size, "drop%u", a->hop);
		break;
	case CALL_DO_REPORT:
		snprintf(out, size, "report");
		break;
	case CALL_DO_RELEASE_MEDIA:
		snprintf(out, size, "free");
		break;
	}
}

static void actions_text(const struct call_actions *actions, char *out, size_t size)
{
	out[0] = '\0';
	for (unsigned i = 0; i < actions->count; i++) {
		char one[64];

		action_text(&actions->list[i], one, sizeof(one));
		snprintf(out + strlen(out), size - strlen(out), "%s%s", i ? " " : "", one);
	}
}

static const struct scenario scenarios[] = {
	{"answered, the caller hangs up", CALL_CAUSE_caller_hangup, 200,
		{{INVITE(1), "invite0", CALL_CALLING}, {RINGS(0, 0, 180), "180/0 report", CALL_RINGING},
			{ANSWERS(0, 0, GOOD), "bridge0 ack 200/0 report", CALL_CONFIRMED},
			{ACK(NONE), "", CALL_CONFIRMED}, {BYE_OF(CALLER), "bye-callee report free", CALL_DISCONNECTED},
			{BYE_DONE(CALLEE), "", CALL_DISCONNECTED}}},
	{"answered, the callee hangs up; BYEs cross", CALL_CAUSE_callee_hangup, 200,
		{{INVITE(1), "invite0", CALL_CALLING},
			{ANSWERS(0, 0, GOOD), "bridge0 ack 200/0 report", CALL_CONFIRMED},
			{ACK(NONE), "", CALL_CONFIRMED}, {BYE_OF(CALLEE), "bye-caller report free", CALL_DISCONNECTED},
			{BYE_OF(CALLER), "", CALL_DISCONNECTED}, {BYE_DONE(CALLER), "", CALL_DISCONNECTED}}},
	{"the callee hangs up before the caller's ACK", CALL_CAUSE_callee_hangup, 200,
		{{INVITE(1), "invite0", CALL_CALLING},
			{ANSWERS(0, 0, GOOD), "bridge0 ack 200/0 report", CALL_CONFIRMED},
			{BYE_OF(CALLEE), "bye-caller report free", CALL_DISCONNECTED},
			{ACK(NONE), "", CALL_DISCONNECTED}}},
	{"early media; 180 after 183 keeps it; 199 and 100 stay here", CALL_CAUSE_caller_hangup, 200,
		{{INVITE(1), "invite0", CALL_CALLING}, {RINGS(0, 0, 100), "", CALL_CALLING},
			{RINGS(0, 0, 180), "180/0 report", CALL_RINGING},
			{EARLY(0, 0, 183), "bridge0 183+sdp/0 report", CALL_EARLY_MEDIA},
			{RINGS(0, 0, 180), "180/0", CALL_EARLY_MEDIA}, {RINGS(0, 0, 199), "", CALL_EARLY_MEDIA},
			{ANSWERS(0, 0, GOOD), "bridge0 ack 200/0 report", CALL_CONFIRMED},
			{BYE_OF(CALLER), "bye-callee report free", CALL_DISCONNECTED}}},
	{"each fork has its own dialog upstream", CALL_CAUSE_caller_hangup, 200,
		{{INVITE(1), "invite0", CALL_CALLING}, {RINGS(0, 3, 180), "180/0 report", CALL_RINGING},
			{RINGS(0, 1, 180), "180/1", CALL_RINGING},
			{EARLY(0, 3, 183), "bridge0 183+sdp/0 report", CALL_EARLY_MEDIA},
			{EARLY(0, 1, 183), "bridge0 183+sdp/1", CALL_EARLY_MEDIA},
			{ANSWERS(0, 5, GOOD), "bridge0 ack 200/2 report", CALL_CONFIRMED},
			{ACK(NONE), "", CALL_CONFIRMED},
			{BYE_OF(CALLER), "bye-callee report free", CALL_DISCONNECTED}}},
	{"hold and resume by the caller", CALL_CAUSE_caller_hangup, 200,
		{UP, {ASKS(CALLER, GOOD), "ask-callee", CALL_CONFIRMED},
			{REPLIES(CALLEE, 200, GOOD, true), "commit ack-callee grant-caller report", CALL_HELD},
			{ASKS(CALLER, GOOD), "ask-callee", CALL_HELD},
			{REPLIES(CALLEE, 200, GOOD, false), "commit ack-callee grant-caller report", CALL_CONFIRMED},
			{BYE_OF(CALLER), "bye-callee report free", CALL_DISCONNECTED}}},
	{"a change that is refused changes nothing; another may follow", CALL_CAUSE_callee_hangup, 200,
		{UP, {ASKS(CALLEE, GOOD), "ask-caller", CALL_CONFIRMED},
			{REPLIES(CALLER, 488, NONE, false), "refuse-callee:488", CALL_CONFIRMED},
			{ASKS(CALLEE, GOOD), "ask-caller", CALL_CONFIRMED},
			{REPLIES(CALLER, 503, NONE, false), "refuse-callee:500", CALL_CONFIRMED},
			{ASKS(CALLER, BROKEN), "refuse-caller:400", CALL_CONFIRMED},
			{BYE_OF(CALLEE), "bye-caller report free", CALL_DISCONNECTED}}},
	{"both ask at once; the second waits", CALL_CAUSE_caller_hangup, 200,
		{UP, {ASKS(CALLEE, GOOD), "ask-caller", CALL_CONFIRMED},
			{ASKS(CALLER, GOOD), "refuse-caller:491", CALL_CONFIRMED},
			{TAKES_BACK(CALLER), "", CALL_CONFIRMED}, {TAKES_BACK(CALLEE), "cancel-caller", CALL_CONFIRMED},
			{ASKS(CALLEE, GOOD), "refuse-callee:491", CALL_CONFIRMED},
			{REPLIES(CALLER, 487, NONE, false), "", CALL_CONFIRMED},
			{BYE_OF(CALLER), "bye-callee report free", CALL_DISCONNECTED}}},
	{"a change without an offer gets one", CALL_CAUSE_caller_hangup, 200,
		{UP, {ASKS(CALLER, NONE), "ask-callee+late", CALL_CONFIRMED},
			{REPLIES(CALLEE, 200, GOOD, false), "grant-caller", CALL_CONFIRMED},
			{ASKS(CALLEE, GOOD), "refuse-callee:491", CALL_CONFIRMED},
			{LATE_ACK(CALLER, GOOD, true), "commit ack-callee+answer report", CALL_HELD},
			{BYE_OF(CALLER), "bye-callee report free", CALL_DISCONNECTED}}},
	{"its offer is not answered", CALL_CAUSE_sdp_refused, 488,
		{UP, {ASKS(CALLER, NONE), "ask-callee+late", CALL_CONFIRMED},
			{REPLIES(CALLEE, 200, GOOD, false), "grant-caller", CALL_CONFIRMED},
			{LATE_ACK(CALLER, NONE, false), "ack-callee+refuse bye-caller bye-callee report free",
				CALL_DISCONNECTED}}},
	{"nonsense in the answer to a change", CALL_CAUSE_sdp_broken, 502,
		{UP, {ASKS(CALLER, GOOD), "ask-callee", CALL_CONFIRMED},
			{REPLIES(CALLEE, 200, BROKEN, false),
				"ack-callee refuse-caller:488 bye-caller bye-callee report free", CALL_DISCONNECTED}}},
	{"UPDATE in the early dialog, PRACK's offer likewise; not after it is answered", CALL_CAUSE_cancelled, 487,
		{{INVITE(1), "invite0", CALL_CALLING}, {EARLY(0, 0, 183), "bridge0 183+sdp/0 report", CALL_EARLY_MEDIA},
			{ASKS(CALLER, GOOD), "ask-callee", CALL_EARLY_MEDIA},
			{REPLIES(CALLEE, 200, GOOD, true), "commit ack-callee grant-caller", CALL_EARLY_MEDIA},
			{ASKS(CALLER, NONE), "refuse-caller:491", CALL_EARLY_MEDIA},
			{CANCEL, "cancel0 report free", CALL_FAILED},
			{ASKS(CALLEE, GOOD), "refuse-callee:481", CALL_FAILED}}},
	{"late offer, answered by PRACK", CALL_CAUSE_caller_hangup, 200,
		{{LATE(1), "invite0", CALL_CALLING}, {EARLY(0, 0, 183), "183+sdp/0 report", CALL_RINGING},
			{PRACK(GOOD), "bridge0 prack/0 report", CALL_EARLY_MEDIA},
			{ANSWERS(0, 0, GOOD), "bridge0 ack 200/0 report", CALL_CONFIRMED},
			{ACK(NONE), "", CALL_CONFIRMED},
			{BYE_OF(CALLER), "bye-callee report free", CALL_DISCONNECTED}}},
	{"late offer, PRACK without the answer", CALL_CAUSE_sdp_refused, 488,
		{{LATE(1), "invite0", CALL_CALLING}, {EARLY(0, 0, 183), "183+sdp/0 report", CALL_RINGING},
			{PRACK(NONE), "488 cancel0 report free", CALL_FAILED}}},
	{"nobody refreshes the session", CALL_CAUSE_session_timeout, 408,
		{UP, {TIMER(CALLEE, 0, SESSION), "bye-caller report free", CALL_TIMEOUT}}},
	{"the caller knows the call no more", CALL_CAUSE_dialog_lost, 408,
		{UP, {TIMER(CALLER, 0, LOST), "bye-callee report free", CALL_TIMEOUT}}},
	{"nobody acknowledges the provisional", CALL_CAUSE_prack_timeout, 408,
		{{INVITE(1), "invite0", CALL_CALLING}, {RINGS(0, 0, 180), "180/0 report", CALL_RINGING},
			{TIMER(CALLER, 0, PRACK), "cancel0 report free", CALL_TIMEOUT}}},
	{"late offer", CALL_CAUSE_caller_hangup, 200,
		{{LATE(1), "invite0", CALL_CALLING}, {RINGS(0, 0, 183), "183/0 report", CALL_RINGING},
			{ANSWERS(0, 0, GOOD), "200/0", CALL_RINGING},
			{ACK(GOOD), "bridge0 ack+answer report", CALL_CONFIRMED},
			{BYE_OF(CALLER), "bye-callee report free", CALL_DISCONNECTED}}},
	{"late offer, the ACK brings no answer", CALL_CAUSE_sdp_refused, 488,
		{{LATE(1), "invite0", CALL_CALLING}, {ANSWERS(0, 0, GOOD), "200/0", CALL_CALLING},
			{ACK(NONE), "bye-caller ack+refuse bye-callee report free", CALL_FAILED}}},
	{"late offer, the ACK never comes", CALL_CAUSE_ack_timeout, 408,
		{{LATE(1), "invite0", CALL_CALLING}, {ANSWERS(0, 0, GOOD), "200/0", CALL_CALLING},
			{TIMER(CALLER, 0, ACK), "ack+refuse bye-callee report free", CALL_TIMEOUT}}},
	{"late offer, the callee makes none", CALL_CAUSE_sdp_refused, 488,
		{{LATE(1), "invite0", CALL_CALLING},
			{ANSWERS(0, 0, NONE), "ack 488 bye-callee report free", CALL_FAILED}}},
	{"late offer of what no leg can be made for", CALL_CAUSE_overload, 503,
		{{LATE(1), "invite0", CALL_CALLING},
			{ANSWERS(0, 0, NO_ROOM), "ack+refuse 503+retry bye-callee report free", CALL_FAILED}}},
	{"an answer that would have to be transcoded, and no dsp lcore has time", CALL_CAUSE_dsp_overload, 503,
		{{INVITE(1), "invite0", CALL_CALLING},
			{ANSWERS(0, 0, NO_DSP), "ack 503+retry bye-callee report free", CALL_FAILED}}},
	{"the caller cancels", CALL_CAUSE_cancelled, 487,
		{{INVITE(2), "invite0", CALL_CALLING}, {RINGS(0, 0, 180), "180/0 report", CALL_RINGING},
			{CANCEL, "cancel0 report free", CALL_FAILED}, {FAILS(0, 487), "", CALL_FAILED}}},
	{"CANCEL crosses a failure that would hunt", CALL_CAUSE_cancelled, 487,
		{{INVITE(2), "invite0", CALL_CALLING}, {CANCEL, "cancel0 report free", CALL_FAILED},
			{FAILS(0, 503), "", CALL_FAILED}}},
	{"CANCEL crosses the 200: the session ends it", CALL_CAUSE_cancelled, 487,
		{{INVITE(1), "invite0", CALL_CALLING}, {CANCEL, "cancel0 report free", CALL_FAILED},
			{BYE_DONE(CALLEE), "", CALL_FAILED}, {GONE(CALLEE), "", CALL_FAILED}}},
	{"busy passes with its own words and does not hunt", CALL_CAUSE_rejected, 486,
		{{INVITE(2), "invite0", CALL_CALLING}, {FAILS(0, 486), "486* report free", CALL_FAILED}}},
	{"503 hunts, and the last 503 is our 500", CALL_CAUSE_rejected, 503,
		{{INVITE(2), "invite0", CALL_CALLING}, {FAILS(0, 503), "drop0 invite1", CALL_CALLING},
			{FAILS(1, 503), "500 report free", CALL_FAILED}}},
	{"hunting: early media of the first, ringing of the second", CALL_CAUSE_caller_hangup, 200,
		{{INVITE(2), "invite0", CALL_CALLING}, {EARLY(0, 0, 183), "bridge0 183+sdp/0 report", CALL_EARLY_MEDIA},
			{FAILS(0, 480), "drop0 invite1", CALL_EARLY_MEDIA},
			{RINGS(1, 0, 180), "180/1 report", CALL_RINGING},
			{RINGS(0, 0, 180), "", CALL_RINGING}, // of the hop that is over
			{ANSWERS(1, 0, GOOD), "bridge1 ack 200/1 report", CALL_CONFIRMED},
			{BYE_OF(CALLER), "bye-callee report free", CALL_DISCONNECTED}}},
	{"401 does not leak", CALL_CAUSE_rejected, 401,
		{{INVITE(1), "invite0", CALL_CALLING}, {FAILS(0, 401), "403 report free", CALL_FAILED}}},
	{"a redirect is not followed", CALL_CAUSE_rejected, 302,
		{{INVITE(1), "invite0", CALL_CALLING}, {FAILS(0, 302), "480 report free", CALL_FAILED}}},
	{"no hop answers", CALL_CAUSE_no_response, 408,
		{{INVITE(2), "invite0", CALL_CALLING}, {TIMER(CALLEE, 0, B), "drop0 invite1", CALL_CALLING},
			{TIMER(CALLEE, 1, B), "408 report free", CALL_TIMEOUT}}},
	{"it rings too long", CALL_CAUSE_no_answer, 408,
		{{INVITE(1), "invite0", CALL_CALLING}, {RINGS(0, 0, 180), "180/0 report", CALL_RINGING},
			{TIMER(CALLEE, 0, C), "408 report free", CALL_TIMEOUT}}},
	{"a hop cannot be called, the next can", CALL_CAUSE_caller_hangup, 200,
		{{INVITE(2), "invite0", CALL_CALLING}, {HOP_ERROR(0, 500, unreachable), "drop0 invite1", CALL_CALLING},
			{ANSWERS(1, 0, GOOD), "bridge1 ack 200/0 report", CALL_CONFIRMED},
			{BYE_OF(CALLER), "bye-callee report free", CALL_DISCONNECTED}}},
	{"no hop can be called", CALL_CAUSE_unreachable, 500,
		{{INVITE(1), "invite0", CALL_CALLING},
			{HOP_ERROR(0, 500, unreachable), "500 report free", CALL_FAILED}}},
	{"no ports", CALL_CAUSE_overload, 503,
		{{INVITE(1), "invite0", CALL_CALLING},
			{HOP_ERROR(0, 503, overload), "503+retry report free", CALL_FAILED}}},
	{"no ACK", CALL_CAUSE_ack_timeout, 408,
		{{INVITE(1), "invite0", CALL_CALLING},
			{ANSWERS(0, 0, GOOD), "bridge0 ack 200/0 report", CALL_CONFIRMED},
			{TIMER(CALLER, 0, ACK), "bye-callee report free", CALL_TIMEOUT}}},
	{"silence before the answer ends nothing, after it the call", CALL_CAUSE_media_timeout, 408,
		{{INVITE(1), "invite0", CALL_CALLING}, {SILENT(CALLER), "", CALL_CALLING},
			{ANSWERS(0, 0, GOOD), "bridge0 ack 200/0 report", CALL_CONFIRMED},
			{SILENT(CALLEE), "bye-caller bye-callee report free", CALL_TIMEOUT},
			{SILENT(CALLER), "", CALL_TIMEOUT}}},
	{"API hangs up while it rings", CALL_CAUSE_api_hangup, 486,
		{{INVITE(1), "invite0", CALL_CALLING}, {HANGUP, "486 cancel0 report free", CALL_FAILED}}},
	{"API hangs up an answered call", CALL_CAUSE_api_hangup, 200,
		{{INVITE(1), "invite0", CALL_CALLING},
			{ANSWERS(0, 0, GOOD), "bridge0 ack 200/0 report", CALL_CONFIRMED},
			{HANGUP, "bye-caller bye-callee report free", CALL_DISCONNECTED},
			{HANGUP, "", CALL_DISCONNECTED}}},
	{"shutdown while it rings", CALL_CAUSE_shutdown, 503,
		{{INVITE(1), "invite0", CALL_CALLING}, {SHUTDOWN, "503+retry cancel0 report free", CALL_FAILED}}},
	{"refused at once", CALL_CAUSE_no_route, 404, {{REFUSED(404, no_route), "404 report free", CALL_FAILED}}},
	{"refused for overload", CALL_CAUSE_overload, 503,
		{{REFUSED(503, overload), "503+retry report free", CALL_FAILED}}},
	{"broken offer", CALL_CAUSE_sdp_broken, 400, {{BAD_OFFER(BROKEN), "400 report free", CALL_FAILED}}},
	{"useless offer", CALL_CAUSE_sdp_refused, 488, {{BAD_OFFER(UNUSABLE), "488 report free", CALL_FAILED}}},
	{"unreachable offer", CALL_CAUSE_unreachable, 488, {{BAD_OFFER(UNREACHABLE), "488 report free", CALL_FAILED}}},
	{"no ports for the caller", CALL_CAUSE_overload, 503,
		{{BAD_OFFER(NO_ROOM), "503+retry report free", CALL_FAILED}}},
	{"no hops", CALL_CAUSE_no_route, 404, {{INVITE(0), "404 report free", CALL_FAILED}}},
	{"answer without SDP", CALL_CAUSE_sdp_refused, 488,
		{{INVITE(1), "invite0", CALL_CALLING},
			{ANSWERS(0, 0, NONE), "ack 488 bye-callee report free", CALL_FAILED}}},
	{"broken answer", CALL_CAUSE_sdp_broken, 502,
		{{INVITE(1), "invite0", CALL_CALLING},
			{ANSWERS(0, 0, BROKEN), "ack 502 bye-callee report free", CALL_FAILED}}},
	{"a session vanishes", CALL_CAUSE_transport_failed, 500,
		{{INVITE(1), "invite0", CALL_CALLING}, {GONE(CALLER), "cancel0 report free", CALL_FAILED}}},
};

static void scenarios_go_as_written(void **state)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
		const struct scenario *scenario = &scenarios[i];
		struct call call;

		call_init(&call);
		for (unsigned j = 0; j < 10 && scenario->steps[j].actions; j++) {
			const struct step *step = &scenario->steps[j];
			struct call_event event = step->event;
			struct call_actions actions;
			char text[512];

			event.now_ms = 1000 * (j + 1);
			call_step(&call, &event, &actions);
			actions_text(&actions, text, sizeof(text));
			if (strcmp(text, step->actions) != 0 || call.state != step->state)
				fail_msg("%s, step %u: \"%s\" %s, expected \"%s\" %s", scenario->name, j, text,
					call_state_name(call.state), step->actions, call_state_name(step->state));
		}
		if (call.cause.word != scenario->cause || call.cause.code != scenario->code || !call.cause.message[0])
			fail_msg("%s: cause %s %d \"%s\"", scenario->name, call_cause_name(call.cause.word),
				call.cause.code, call.cause.message);
		assert_int_equal(call.illegal, 0);
	}
}

static void the_message_that_proves_it_is_kept(void **state)
{
	struct call_event event = {.type = CALL_EV_INVITE,
		.status = 404,
		.cause = CALL_CAUSE_no_route,
		.message = "no route matches: sip:x"};
	struct call_actions actions;
	struct call call;

	call_init(&call);
	call_step(&call, &event, &actions);
	assert_string_equal(call.cause.message, "no route matches: sip:x");
}

static void business_states_follow_the_table(void **state)
{
	static const struct {
		enum call_state state;
		bool answered;
		const char *name, *business;
	} cases[] = {
		{CALL_CALLING, false, "calling", NULL},
		{CALL_RINGING, false, "ringing", "ringing"},
		{CALL_EARLY_MEDIA, false, "early_media", "ringing"},
		{CALL_CONFIRMED, true, "confirmed", "answered"},
		{CALL_HELD, true, "held", "held"},
		{CALL_TRANSFERRED, true, "transferred", "transferred"},
		{CALL_DISCONNECTED, true, "disconnected", "released"},
		{CALL_FAILED, false, "failed", "failed"},
		{CALL_TIMEOUT, false, "timeout", "failed"},
		{CALL_TIMEOUT, true, "timeout", "released"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *business = call_business_name(cases[i].state, cases[i].answered);

		assert_string_equal(call_state_name(cases[i].state), cases[i].name);
		if (cases[i].business)
			assert_string_equal(business, cases[i].business);
		else
			assert_null(business);
	}
}

static void illegal_transitions_are_counted_and_refused(void **state)
{
	struct call_event answer = ANSWERS(0, 0, GOOD), invite = INVITE(1);
	struct call_actions actions;
	struct call call;

	for (unsigned i = 0; i < CALL_STATE_COUNT; i++) {
		assert_false(call_transition_legal(CALL_DISCONNECTED, (enum call_state)i));
		assert_false(call_transition_legal(CALL_FAILED, (enum call_state)i));
		assert_false(call_transition_legal(CALL_TIMEOUT, (enum call_state)i));
		assert_false(call_transition_legal((enum call_state)i, CALL_CALLING));
	}
	call_init(&call);
	call_step(&call, &invite, &actions);
	call.state = CALL_TRANSFERRED; // what no event can do
	call_step(&call, &answer, &actions);
	assert_int_equal(call.state, CALL_TRANSFERRED);
	assert_int_equal(call.illegal, 1);
}

static void a_storm_of_forks_can_still_be_answered(void **state)
{
	struct call_event invite = INVITE(1), answer = ANSWERS(0, 99, GOOD);
	struct call_actions actions;
	struct call call;

	call_init(&call);
	call_step(&call, &invite, &actions);
	for (unsigned fork = 0; fork < 20; fork++) {
		struct call_event rings = RINGS(0, fork, 180);

		call_step(&call, &rings, &actions);
		assert_int_equal(actions.count > 0, fork < CALL_FORKS - 1);
	}
	call_step(&call, &answer, &actions);
	assert_int_equal(actions.list[2].type, CALL_DO_ANSWER);
	assert_int_equal(actions.list[2].fork, CALL_FORKS - 1);
}

// --- by chance ----------------------------------------------------------------------------------------------------

// What the sessions below would allow: each says which events it may bring and checks each action asked of it.
enum model_session { M_NONE, M_OPEN, M_ANSWERED, M_ACKED, M_CANCELLED, M_BYE, M_OVER };

struct model {
	enum model_session caller, callee;
	unsigned hop, hops;
	bool late, late_done, offered, bridged, freed, leg_caller, leg_callee;
	// by side: what the peer asked and we have not answered; what it is asked; its 2xx waits for our ACK; our 200
	// with an offer waits for its ACK
	bool asking[2], asked[2], unacked[2], offering[2];
};

static uint64_t seed;

static unsigned chance(unsigned of)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % of;
}

static void model_side_over(struct model *m, enum call_side side)
{
	m->asking[side] = m->asked[side] = m->unacked[side] = m->offering[side] = false;
}

static void model_do(struct model *m, const struct call_action *a)
{
	switch (a->type) {
	case CALL_DO_INVITE:
		assert_true(m->callee == M_NONE || m->callee == M_OVER);
		assert_true(m->caller == M_OPEN && a->hop < m->hops);
		assert_false(m->leg_callee);
		model_side_over(m, CALL_CALLEE); // of the hop before
		m->callee = M_OPEN;
		m->hop = a->hop;
		m->leg_callee = true;
		break;
	case CALL_DO_PROVISIONAL:
		assert_int_equal(m->caller, M_OPEN);
		assert_true(a->status > 100 && a->status < 200 && a->fork < CALL_FORKS);
		assert_true(!a->with_sdp || m->bridged || m->late);
		m->offered |= a->with_sdp && m->late;
		break;
	case CALL_DO_ANSWER:
		assert_int_equal(m->caller, M_OPEN);
		assert_true(m->late || m->bridged);
		m->caller = M_ANSWERED;
		break;
	case CALL_DO_REJECT:
		assert_int_equal(m->caller, M_OPEN);
		assert_true(a->status >= 300 && a->status < 700 && a->status != 401 && a->status != 407);
		assert_true(a->status != 503 || (a->own && a->retry_after));
		m->caller = M_OVER;
		break;
	case CALL_DO_BRIDGE:
		assert_true(m->leg_callee && m->leg_caller && a->hop == m->hop);
		m->bridged = true;
		break;
	case CALL_DO_ACK:
		assert_int_equal(m->callee, M_ANSWERED);
		assert_int_equal(a->hop, m->hop);
		m->callee = M_ACKED;
		break;
	case CALL_DO_CANCEL:
		assert_int_equal(m->callee, M_OPEN);
		m->callee = M_CANCELLED;
		break;
	case CALL_DO_BYE:
		if (a->side == CALL_CALLER) {
			assert_true(m->caller == M_ANSWERED || m->caller == M_ACKED);
			m->caller = M_BYE;
		} else {
			assert_int_equal(m->callee, M_ACKED);
			m->callee = M_BYE;
		}
		break;
	case CALL_DO_PRACK:
		assert_int_equal(m->callee, M_OPEN);
		assert_true(m->late && m->bridged);
		m->late_done = true;
		break;
	case CALL_DO_MODIFY:
		assert_false(m->asked[CALL_CALLER] || m->asked[CALL_CALLEE]);
		assert_true(m->asking[!a->side]);
		assert_true(m->caller == M_ACKED ? m->callee == M_ACKED : m->callee == M_OPEN && !a->late);
		m->asked[a->side] = true;
		break;
	case CALL_DO_MODIFY_ANSWER:
		assert_true(m->asking[a->side]);
		m->asking[a->side] = false;
		m->offering[a->side] = m->unacked[!a->side]; // not acknowledged yet: it was asked for an offer
		break;
	case CALL_DO_MODIFY_REFUSE:
		assert_true(m->asking[a->side]);
		assert_true(a->status >= 400 && a->status < 700 && a->status != 503);
		m->asking[a->side] = false;
		break;
	case CALL_DO_MODIFY_COMMIT:
		assert_true(m->unacked[!a->side]);
		break;
	case CALL_DO_MODIFY_ACK:
		assert_true(m->unacked[a->side]);
		m->unacked[a->side] = false;
		break;
	case CALL_DO_MODIFY_CANCEL:
		assert_true(m->asked[a->side]);
		break;
	case CALL_DO_RELEASE_HOP:
		assert_int_equal(a->hop, m->hop);
		m->leg_callee = m->bridged = false;
		break;
	case CALL_DO_REPORT:
		break;
	case CALL_DO_RELEASE_MEDIA:
		assert_false(m->freed);
		m->freed = true;
		m->leg_caller = m->leg_callee = false;
		break;
	}
}

static bool callee_event(struct model *m, struct call_event *event)
{
	static const int finals[] = {486, 503, 480, 302, 401, 600, 487, 408};
	const unsigned which = chance(8);

	event->side = CALL_CALLEE;
	event->hop = m->hop;
	if (m->callee == M_OPEN && which < 3) {
		event->type = CALL_EV_PROVISIONAL;
		event->fork = chance(10);
		event->status = chance(2) ? 180 : 183;
		event->sdp = (enum call_sdp)chance(4);
	} else if (m->callee == M_OPEN && which < 5) {
		event->type = CALL_EV_ANSWER;
		event->fork = chance(10);
		event->sdp = chance(3) ? CALL_SDP_GOOD : (enum call_sdp)chance(8);
		m->callee = M_ANSWERED;
	} else if ((m->callee == M_OPEN || m->callee == M_CANCELLED) && which < 6) {
		event->type = CALL_EV_FAILED;
		event->status = finals[chance(8)];
		m->callee = M_OVER;
	} else if (m->callee == M_OPEN || m->callee == M_CANCELLED) {
		event->type = which == 6 ? CALL_EV_TIMER : CALL_EV_GONE;
		event->timer = chance(2) ? CALL_TIMER_B : CALL_TIMER_C;
		m->callee = M_OVER;
	} else if (m->callee == M_ACKED && which < 4) {
		event->type = CALL_EV_BYE;
		m->callee = M_OVER;
	} else if (m->callee == M_BYE) {
		event->type = chance(3) ? CALL_EV_BYE_DONE : CALL_EV_BYE;
		m->callee = M_OVER;
	} else {
		return false;
	}
	return true;
}

static bool caller_event(struct model *m, struct call_event *event)
{
	event->side = CALL_CALLER;
	if (m->caller == M_OPEN && chance(6) == 0) {
		event->type = CALL_EV_CANCEL;
		m->caller = M_OVER;
	} else if (m->caller == M_ANSWERED && chance(3)) {
		event->type = CALL_EV_ACK;
		event->sdp = (enum call_sdp)chance(5);
		m->caller = M_ACKED;
	} else if (m->caller == M_ANSWERED && chance(2)) {
		event->type = CALL_EV_TIMER;
		event->timer = CALL_TIMER_ACK;
		m->caller = M_OVER;
	} else if (m->caller == M_ANSWERED || m->caller == M_ACKED) {
		event->type = CALL_EV_BYE;
		m->caller = M_OVER;
	} else if (m->caller == M_BYE) {
		event->type = CALL_EV_BYE_DONE;
		m->caller = M_OVER;
	} else {
		return false;
	}
	return true;
}

// What a session that lives lets a peer do inside its dialog.
static bool modify_event(struct model *m, struct call_event *event)
{
	static const int finals[] = {488, 491, 500, 503, 487};
	enum call_side side = event->side = (enum call_side)chance(2);
	enum model_session session = side == CALL_CALLER ? m->caller : m->callee;

	event->hop = m->hop;
	if ((session == M_ACKED || session == M_OPEN) && !m->asking[side] && !m->asked[side] && !m->unacked[side] &&
		!m->offering[side] && chance(2)) {
		event->type = CALL_EV_MODIFY;
		event->sdp = session == M_OPEN || chance(3)
				     ? (chance(5) ? CALL_SDP_GOOD : (enum call_sdp)(1 + chance(7)))
				     : CALL_SDP_NONE;
		m->asking[side] = true;
	} else if (m->asking[side] && chance(4) == 0) {
		event->type = CALL_EV_MODIFY_GONE;
		m->asking[side] = false;
	} else if (m->asked[side]) {
		event->type = CALL_EV_MODIFIED;
		event->status = chance(3) ? 200 : finals[chance(5)];
		event->sdp = chance(4) ? CALL_SDP_GOOD : (enum call_sdp)chance(8);
		event->held = chance(2);
		m->asked[side] = false;
		m->unacked[side] = event->status == 200;
	} else if (m->offering[side]) {
		event->type = CALL_EV_MODIFY_ACK;
		event->sdp = chance(4) ? CALL_SDP_GOOD : (enum call_sdp)chance(8);
		event->held = chance(2);
		m->offering[side] = false;
	} else if (m->offered && m->caller == M_OPEN && !m->late_done && m->callee == M_OPEN) {
		event->type = CALL_EV_PRACK;
		event->side = CALL_CALLER;
		event->sdp = chance(4) ? CALL_SDP_GOOD : (enum call_sdp)chance(8);
		m->offered = false;
	} else if (session == M_ACKED && chance(8) == 0) {
		event->type = CALL_EV_TIMER;
		event->timer = chance(2) ? CALL_TIMER_SESSION : CALL_TIMER_LOST;
		*(side == CALL_CALLER ? &m->caller : &m->callee) = M_OVER;
	} else if (side == CALL_CALLER && session == M_OPEN && chance(16) == 0) {
		event->type = CALL_EV_TIMER;
		event->timer = CALL_TIMER_PRACK;
		m->caller = M_OVER;
	} else {
		return false;
	}
	return true;
}

static bool other_event(struct model *m, struct call_event *event)
{
	switch (chance(10)) {
	case 0:
		event->type = CALL_EV_HANGUP;
		return true;
	case 1:
		event->type = CALL_EV_SHUTDOWN;
		return true;
	case 2:
		event->type = CALL_EV_SILENT;
		return true;
	case 3:
		if (m->callee != M_OPEN)
			return false;
		event->type = CALL_EV_HOP_ERROR;
		event->side = CALL_CALLEE;
		event->hop = m->hop;
		event->cause = CALL_CAUSE_transport_failed;
		event->status = 500;
		m->callee = M_OVER;
		return true;
	default:
		return false;
	}
}

static void model_feed(struct model *m, struct call *call, struct call_event *event)
{
	enum call_state before = call->state;
	struct call_actions actions;

	call_step(call, event, &actions);
	assert_true(actions.count < CALL_ACTIONS);
	if (event->type == CALL_EV_MODIFIED && event->status == 200 && actions.count == 0)
		m->unacked[event->side] = false; // it was taken back: its session acknowledges by itself
	for (unsigned i = 0; i < actions.count; i++)
		model_do(m, &actions.list[i]);
	if (m->caller != M_OPEN && m->caller != M_ANSWERED && m->caller != M_ACKED)
		model_side_over(m, CALL_CALLER);
	if (m->callee != M_OPEN && m->callee != M_ANSWERED && m->callee != M_ACKED)
		model_side_over(m, CALL_CALLEE);
	assert_true(before == call->state || call_transition_legal(before, call->state));
	assert_int_equal(call_ended(call), m->freed);
}

static bool model_over(const struct model *m)
{
	return m->caller == M_OVER && (m->callee == M_OVER || m->callee == M_NONE);
}

static void any_sequence_ends_with_all_released(void **state)
{
	unsigned ends[CALL_STATE_COUNT] = {0}, words[CALL_CAUSE_COUNT] = {0};

	for (uint64_t run = 0; run < 20000; run++) {
		struct call_event invite = {.type = CALL_EV_INVITE};
		struct model m = {.caller = M_OPEN};
		struct call call;
		unsigned steps = 0;

		seed = run * 2654435761u + 1;
		invite.hop_count = m.hops = 1 + chance(3);
		invite.sdp = chance(10) ? (enum call_sdp)chance(2) : (enum call_sdp)chance(8);
		m.late = invite.sdp == CALL_SDP_NONE;
		m.leg_caller = true;
		call_init(&call);
		model_feed(&m, &call, &invite);
		while (!model_over(&m)) {
			struct call_event event = {.now_ms = ++steps};
			bool happened;

			assert_true(steps < 10000);
			switch (chance(8)) {
			case 5:
			case 6:
			case 7:
				happened = modify_event(&m, &event);
				break;
			case 0:
			case 1:
				happened = callee_event(&m, &event);
				break;
			case 2:
			case 3:
				happened = caller_event(&m, &event);
				break;
			default:
				happened = chance(4) == 0 && other_event(&m, &event);
				break;
			}
			if (happened)
				model_feed(&m, &call, &event);
		}
		assert_true(call_ended(&call));
		assert_true(m.freed && !m.leg_caller && !m.leg_callee);
		assert_int_not_equal(call.cause.word, CALL_CAUSE_none);
		assert_int_equal(call.illegal, 0);
		ends[call.state]++;
		words[call.cause.word]++;
	}
	// the sequences reach what there is to reach
	assert_true(ends[CALL_DISCONNECTED] > 100 && ends[CALL_FAILED] > 100 && ends[CALL_TIMEOUT] > 100);
	for (unsigned i = 0; i < CALL_CAUSE_COUNT; i++)
		if (i != CALL_CAUSE_none && i != CALL_CAUSE_no_route && words[i] == 0)
			fail_msg("no sequence ended with %s", call_cause_name((enum call_cause_word)i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scenarios_go_as_written),
		cmocka_unit_test(the_message_that_proves_it_is_kept),
		cmocka_unit_test(business_states_follow_the_table),
		cmocka_unit_test(illegal_transitions_are_counted_and_refused),
		cmocka_unit_test(a_storm_of_forks_can_still_be_answered),
		cmocka_unit_test(any_sequence_ends_with_all_released),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
