// SPDX-License-Identifier: BSD-3-Clause

#include <stdio.h>
#include <string.h>

#include "call_impl.h"

void call_init(struct call *call)
{
	memset(call, 0, sizeof(*call));
}

// --- actions ------------------------------------------------------------------------------------------------------

struct call_action *action_add(struct call_actions *out, enum call_action_type type)
{
	static struct call_action spare; // never used: CALL_ACTIONS is more than any event asks for, and tests check it

	if (out->count == CALL_ACTIONS)
		return &spare;
	memset(&out->list[out->count], 0, sizeof(out->list[0]));
	out->list[out->count].type = type;
	return &out->list[out->count++];
}

void state_set(struct call *call, enum call_state to, struct call_actions *out)
{
	if (call->state == to)
		return;
	if (!call_transition_legal(call->state, to)) {
		call->illegal++;
		return;
	}
	call->state = to;
	action_add(out, CALL_DO_REPORT);
}

static void caller_reject(struct call *call, int status, bool own, struct call_actions *out)
{
	struct call_action *action;

	if (call->caller != CALL_LEG_OPEN)
		return;
	action = action_add(out, CALL_DO_REJECT);
	action->status = status;
	action->own = own;
	action->retry_after = status == 503;
	call->caller = CALL_LEG_OVER;
}

static void callee_ack(struct call *call, enum call_ack ack, struct call_actions *out)
{
	struct call_action *action = action_add(out, CALL_DO_ACK);

	action->side = CALL_CALLEE;
	action->hop = call->hop;
	action->ack = ack;
	call->callee = CALL_LEG_CONFIRMED;
}

static void side_bye(struct call *call, enum call_side side, struct call_actions *out)
{
	struct call_action *action = action_add(out, CALL_DO_BYE);

	action->side = side;
	action->hop = call->hop;
	*(side == CALL_CALLER ? &call->caller : &call->callee) = CALL_LEG_CLOSING;
}

static void callee_release(struct call *call, struct call_actions *out)
{
	switch (call->callee) {
	case CALL_LEG_OPEN:
		action_add(out, CALL_DO_CANCEL)->hop = call->hop;
		call->callee = CALL_LEG_CANCELLING;
		break;
	case CALL_LEG_ANSWERED: // an offer in a 2xx must have its answer (RFC 3264): one that refuses
		callee_ack(call, CALL_ACK_REFUSE, out);
		side_bye(call, CALL_CALLEE, out);
		break;
	case CALL_LEG_CONFIRMED:
		side_bye(call, CALL_CALLEE, out);
		break;
	default:
		break;
	}
}

static void caller_release(struct call *call, int status, struct call_actions *out)
{
	if (call->caller == CALL_LEG_OPEN)
		caller_reject(call, status, true, out);
	else if (call->caller == CALL_LEG_ANSWERED || call->caller == CALL_LEG_CONFIRMED)
		side_bye(call, CALL_CALLER, out);
}

// The call is over: whatever still lives of it is let go.
void call_end(struct call *call, const struct call_event *event, enum call_state state, enum call_cause_word cause,
	int code, struct call_actions *out)
{
	if (call_ended(call))
		return;
	call->cause.word = cause;
	call->cause.code = code;
	snprintf(call->cause.message, sizeof(call->cause.message), "%s",
		event->message ? event->message : call_cause_help(cause));
	call->ended_ms = event->now_ms;
	call->modify.state = MODIFY_NONE;
	caller_release(call, code, out);
	callee_release(call, out);
	state_set(call, state, out);
	action_add(out, CALL_DO_RELEASE_MEDIA);
}

// --- hops ---------------------------------------------------------------------------------------------------------

static void hop_call(struct call *call, unsigned hop, struct call_actions *out)
{
	call->hop = hop;
	call->callee = CALL_LEG_OPEN;
	action_add(out, CALL_DO_INVITE)->hop = hop;
}

// The hop is over. Returns: whether the next one is called.
static bool hop_next(struct call *call, struct call_actions *out)
{
	call->callee = CALL_LEG_OVER;
	if (call_ended(call) || call->caller != CALL_LEG_OPEN || call->hop + 1 >= call->hop_count)
		return false;
	modify_drop(call, out);
	action_add(out, CALL_DO_RELEASE_HOP)->hop = call->hop;
	hop_call(call, call->hop + 1, out);
	return true;
}

// The caller's early dialog for a callee's fork: each has a To-tag of its own. The last number is kept for an answer,
// so that a call that forks beyond measure can still be answered. Returns: the number, or -1.
static int fork_map(struct call *call, const struct call_event *event, bool answer)
{
	for (unsigned i = 0; i < call->fork_count; i++)
		if (call->forks[i].hop == event->hop && call->forks[i].fork == event->fork)
			return (int)i;
	if (call->fork_count + (answer ? 0 : 1) >= CALL_FORKS)
		return -1;
	call->forks[call->fork_count] = (struct call_fork){.hop = event->hop, .fork = event->fork};
	return (int)call->fork_count++;
}

// Does the event come from the hop that is being called now?
bool hop_current(const struct call *call, const struct call_event *event)
{
	return call->hop == event->hop && call->callee != CALL_LEG_NONE && call->callee != CALL_LEG_OVER;
}

// --- events -------------------------------------------------------------------------------------------------------

static void on_invite(struct call *call, const struct call_event *event, struct call_actions *out)
{
	const struct sdp_failure *failure = sdp_failure_of(event->sdp);

	call->caller = CALL_LEG_OPEN;
	call->created_ms = event->now_ms;
	call->late_offer = event->sdp == CALL_SDP_NONE;
	call->hop_count = event->hop_count < CALL_HOPS ? event->hop_count : CALL_HOPS;
	if (event->status)
		call_end(call, event, CALL_FAILED, event->cause, event->status, out);
	else if (event->sdp != CALL_SDP_GOOD && !call->late_offer)
		call_end(call, event, CALL_FAILED, failure->cause, failure->by_caller, out);
	else if (!call->hop_count)
		call_end(call, event, CALL_FAILED, CALL_CAUSE_no_route, 404, out);
	else
		hop_call(call, 0, out);
}

static void on_provisional(struct call *call, const struct call_event *event, struct call_actions *out)
{
	struct call_action *action;
	bool media = event->sdp == CALL_SDP_GOOD;
	int fork;

	// 199 ends an early dialog for those who asked for it: nobody did
	if (!hop_current(call, event) || call->callee != CALL_LEG_OPEN || call->caller != CALL_LEG_OPEN ||
		event->status <= 100 || event->status >= 199)
		return;
	fork = fork_map(call, event, false);
	if (fork < 0)
		return;
	if (!call->ringing_ms)
		call->ringing_ms = event->now_ms;
	if (media && !call->late_offer)
		action_add(out, CALL_DO_BRIDGE)->hop = event->hop;
	action = action_add(out, CALL_DO_PROVISIONAL);
	action->status = event->status;
	action->fork = (unsigned)fork;
	action->with_sdp = media;
	if (media && !call->late_offer) {
		call->early_hop = event->hop;
		state_set(call, CALL_EARLY_MEDIA, out);
	} else if (call->state != CALL_EARLY_MEDIA || call->early_hop != event->hop) {
		state_set(call, CALL_RINGING, out);
	}
}

void held_set(struct call *call, bool held, struct call_actions *out)
{
	if (call->state == CALL_CONFIRMED || call->state == CALL_HELD)
		state_set(call, held ? CALL_HELD : CALL_CONFIRMED, out);
}

static void on_answer(struct call *call, const struct call_event *event, struct call_actions *out)
{
	const struct sdp_failure *failure = sdp_failure_of(event->sdp);
	struct call_action *action;
	int fork;

	if (!hop_current(call, event) || call->callee != CALL_LEG_OPEN || call->caller != CALL_LEG_OPEN)
		return;
	call->callee = CALL_LEG_ANSWERED;
	if (event->sdp != CALL_SDP_GOOD) {
		// what cannot be read cannot be refused m-line by m-line: a plain ACK and BYE
		callee_ack(
			call, call->late_offer && event->sdp > CALL_SDP_BROKEN ? CALL_ACK_REFUSE : CALL_ACK_PLAIN, out);
		call_end(call, event, CALL_FAILED, failure->cause, failure->by_callee, out);
		return;
	}
	fork = fork_map(call, event, true);
	if (!call->late_offer || call->late_done) {
		// before the ACK: the callee may send from then on
		action_add(out, CALL_DO_BRIDGE)->hop = event->hop;
		callee_ack(call, CALL_ACK_PLAIN, out);
	}
	action = action_add(out, CALL_DO_ANSWER);
	action->fork = (unsigned)(fork < 0 ? CALL_FORKS - 1 : fork);
	action->with_sdp = true;
	call->caller = CALL_LEG_ANSWERED;
	call->answered = true;
	call->answered_ms = event->now_ms;
	if (!call->late_offer || call->late_done) {
		state_set(call, CALL_CONFIRMED, out);
		held_set(call, event->held, out);
	}
}

static void on_failed(struct call *call, const struct call_event *event, struct call_actions *out)
{
	int status = call_status_upstream(event->status);

	if (!hop_current(call, event))
		return;
	if (call_status_hunts(event->status) && hop_next(call, out))
		return;
	call->callee = CALL_LEG_OVER;
	if (call_ended(call))
		return;
	caller_reject(call, status, status != event->status, out);
	call_end(call, event, CALL_FAILED, CALL_CAUSE_rejected, event->status, out);
}

static void on_hop_error(struct call *call, const struct call_event *event, struct call_actions *out)
{
	if (!hop_current(call, event) || hop_next(call, out))
		return;
	call_end(call, event, CALL_FAILED, event->cause, event->status, out);
}

static void on_cancel(struct call *call, const struct call_event *event, struct call_actions *out)
{
	call->caller = CALL_LEG_OVER;
	call_end(call, event, CALL_FAILED, CALL_CAUSE_cancelled, 487, out);
}

static void on_ack(struct call *call, const struct call_event *event, struct call_actions *out)
{
	const struct sdp_failure *failure = sdp_failure_of(event->sdp);

	if (call->caller != CALL_LEG_ANSWERED)
		return;
	call->caller = CALL_LEG_CONFIRMED;
	if (!call->late_offer || call->late_done)
		return;
	if (event->sdp != CALL_SDP_GOOD) {
		call_end(call, event, CALL_FAILED, failure->cause, failure->by_caller, out);
		return;
	}
	action_add(out, CALL_DO_BRIDGE)->hop = call->hop;
	callee_ack(call, CALL_ACK_ANSWER, out);
	state_set(call, CALL_CONFIRMED, out);
	held_set(call, event->held, out);
}

// A session is over by itself; so is the call, if it was not before.
static bool side_over(struct call *call, const struct call_event *event)
{
	if (event->side == CALL_CALLER) {
		call->caller = CALL_LEG_OVER;
		return true;
	}
	if (!hop_current(call, event))
		return false;
	call->callee = CALL_LEG_OVER;
	return true;
}

static void on_bye(struct call *call, const struct call_event *event, struct call_actions *out)
{
	if (side_over(call, event))
		call_end(call, event, CALL_DISCONNECTED,
			event->side == CALL_CALLER ? CALL_CAUSE_caller_hangup : CALL_CAUSE_callee_hangup, 200, out);
}

static void on_timer(struct call *call, const struct call_event *event, struct call_actions *out)
{
	static const enum call_cause_word causes_of[] = {
		[CALL_TIMER_B] = CALL_CAUSE_no_response,
		[CALL_TIMER_C] = CALL_CAUSE_no_answer,
		[CALL_TIMER_ACK] = CALL_CAUSE_ack_timeout,
		[CALL_TIMER_SESSION] = CALL_CAUSE_session_timeout,
		[CALL_TIMER_LOST] = CALL_CAUSE_dialog_lost,
		[CALL_TIMER_PRACK] = CALL_CAUSE_prack_timeout,
	};
	enum call_cause_word cause = causes_of[event->timer];

	if (event->side == CALL_CALLEE && (!hop_current(call, event) || hop_next(call, out)))
		return;
	*(event->side == CALL_CALLEE ? &call->callee : &call->caller) = CALL_LEG_OVER;
	call_end(call, event, CALL_TIMEOUT, cause, 408, out);
}

static void on_gone(struct call *call, const struct call_event *event, struct call_actions *out)
{
	enum call_leg_state was = event->side == CALL_CALLER ? call->caller : call->callee;

	if (was == CALL_LEG_OVER || !side_over(call, event))
		return;
	call_end(call, event, call->answered ? CALL_DISCONNECTED : CALL_FAILED, CALL_CAUSE_transport_failed, 500, out);
}

static void on_silent(struct call *call, const struct call_event *event, struct call_actions *out)
{
	if (call->state == CALL_CONFIRMED || call->state == CALL_HELD)
		call_end(call, event, CALL_TIMEOUT, CALL_CAUSE_media_timeout, 408, out);
}

static void on_hangup(struct call *call, const struct call_event *event, struct call_actions *out)
{
	if (call->answered)
		call_end(call, event, CALL_DISCONNECTED, CALL_CAUSE_api_hangup, 200, out);
	else
		call_end(call, event, CALL_FAILED, CALL_CAUSE_api_hangup, 486, out);
}

static void on_shutdown(struct call *call, const struct call_event *event, struct call_actions *out)
{
	call_end(call, event, call->answered ? CALL_DISCONNECTED : CALL_FAILED, CALL_CAUSE_shutdown, 503, out);
}

void call_step(struct call *call, const struct call_event *event, struct call_actions *out)
{
	static void (*const handlers[CALL_EV_COUNT])(
		struct call *, const struct call_event *, struct call_actions *) = {
		[CALL_EV_INVITE] = on_invite,
		[CALL_EV_PROVISIONAL] = on_provisional,
		[CALL_EV_ANSWER] = on_answer,
		[CALL_EV_FAILED] = on_failed,
		[CALL_EV_HOP_ERROR] = on_hop_error,
		[CALL_EV_CANCEL] = on_cancel,
		[CALL_EV_ACK] = on_ack,
		[CALL_EV_PRACK] = on_prack,
		[CALL_EV_MODIFY] = on_modify,
		[CALL_EV_MODIFIED] = on_modified,
		[CALL_EV_MODIFY_ACK] = on_modify_ack,
		[CALL_EV_MODIFY_GONE] = on_modify_gone,
		[CALL_EV_BYE] = on_bye,
		[CALL_EV_BYE_DONE] = NULL,
		[CALL_EV_TIMER] = on_timer,
		[CALL_EV_SILENT] = on_silent,
		[CALL_EV_GONE] = on_gone,
		[CALL_EV_HANGUP] = on_hangup,
		[CALL_EV_SHUTDOWN] = on_shutdown,
	};

	out->count = 0;
	if (event->type == CALL_EV_BYE_DONE)
		side_over(call, event);
	else
		handlers[event->type](call, event, out);
}
