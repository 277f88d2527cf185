// SPDX-License-Identifier: BSD-3-Clause
// Changes of a running session: one at a time, in force when both parties have said their word.

#include "call_impl.h"

static enum call_side other_side(enum call_side side)
{
	return side == CALL_CALLER ? CALL_CALLEE : CALL_CALLER;
}

static struct call_action *modify_act(
	const struct call *call, enum call_action_type type, enum call_side side, struct call_actions *out)
{
	struct call_action *action = action_add(out, type);

	action->side = side;
	action->hop = call->hop;
	return action;
}

static void modify_refuse(const struct call *call, enum call_side side, int status, struct call_actions *out)
{
	modify_act(call, CALL_DO_MODIFY_REFUSE, side, out)->status = status;
}

// The hop that asked, or that was asked, is gone.
void modify_drop(struct call *call, struct call_actions *out)
{
	if (call->modify.state == MODIFY_ASKED && call->modify.asker == CALL_CALLER) {
		modify_refuse(call, CALL_CALLER, 500, out);
		call->modify.state = MODIFY_NONE;
	} else if (call->modify.state == MODIFY_ASKED) {
		modify_act(call, CALL_DO_MODIFY_CANCEL, CALL_CALLER, out);
		call->modify.state = MODIFY_TAKEN_BACK;
	} else if (call->modify.asker == CALL_CALLER) { // nobody is left to say how it ends
		call->modify.state = MODIFY_NONE;
	}
}

// The caller's PRACK answers the offer of an 18x.
void on_prack(struct call *call, const struct call_event *event, struct call_actions *out)
{
	const struct sdp_failure *failure = sdp_failure_of(event->sdp);
	struct call_action *action;

	if (!call->late_offer || call->late_done || !hop_current(call, event) || call->callee != CALL_LEG_OPEN)
		return;
	if (event->sdp != CALL_SDP_GOOD) {
		call_end(call, event, CALL_FAILED, failure->cause, failure->by_caller, out);
		return;
	}
	call->late_done = true;
	action_add(out, CALL_DO_BRIDGE)->hop = event->hop;
	action = action_add(out, CALL_DO_PRACK);
	action->side = CALL_CALLEE;
	action->hop = event->hop;
	action->fork = event->fork;
	call->early_hop = event->hop;
	state_set(call, CALL_EARLY_MEDIA, out);
}

void on_modify(struct call *call, const struct call_event *event, struct call_actions *out)
{
	bool early = call->caller == CALL_LEG_OPEN && call->callee == CALL_LEG_OPEN && call->hop == event->hop;
	bool confirmed = call->caller == CALL_LEG_CONFIRMED && call->callee == CALL_LEG_CONFIRMED;
	struct call_action *action;

	if (call_ended(call))
		modify_refuse(call, event->side, 481, out);
	else if (event->sdp > CALL_SDP_GOOD)
		modify_refuse(call, event->side, call_status_upstream(sdp_failure_of(event->sdp)->by_caller), out);
	else if (call->modify.state != MODIFY_NONE || !(confirmed || (early && event->sdp == CALL_SDP_GOOD)))
		modify_refuse(call, event->side, 491, out);
	else {
		call->modify = (struct call_modify){
			MODIFY_ASKED, event->side, .late = event->sdp == CALL_SDP_NONE, .early = !confirmed};
		action = modify_act(call, CALL_DO_MODIFY, other_side(event->side), out);
		action->late = call->modify.late;
		action->fork = event->fork;
	}
}

// Who answers nonsense to what it was asked cannot be brought back to what was before.
static void modify_break(struct call *call, const struct call_event *event, struct call_actions *out)
{
	const struct sdp_failure *failure = sdp_failure_of(event->sdp);

	call->modify.state = MODIFY_NONE;
	call_end(
		call, event, call->answered ? CALL_DISCONNECTED : CALL_FAILED, failure->cause, failure->by_callee, out);
}

void on_modified(struct call *call, const struct call_event *event, struct call_actions *out)
{
	enum call_side asker = call->modify.asker;

	if (call->modify.state == MODIFY_TAKEN_BACK && event->side != asker) {
		call->modify.state = MODIFY_NONE;
		if (event->status < 300) // the CANCEL came too late
			modify_act(call, CALL_DO_MODIFY_ACK, event->side, out)->ack = CALL_ACK_PLAIN;
		return;
	}
	if (call->modify.state != MODIFY_ASKED || event->side == asker)
		return;
	if (event->status >= 300) {
		call->modify.state = MODIFY_NONE;
		// 481 speaks of the other dialog; its session ends the call by itself
		modify_refuse(call, asker, event->status == 481 ? 500 : call_status_upstream(event->status), out);
	} else if (event->sdp != CALL_SDP_GOOD) {
		modify_act(call, CALL_DO_MODIFY_ACK, event->side, out)->ack =
			call->modify.late && event->sdp > CALL_SDP_BROKEN ? CALL_ACK_REFUSE : CALL_ACK_PLAIN;
		modify_refuse(call, asker, 488, out);
		modify_break(call, event, out);
	} else if (call->modify.late) {
		call->modify.state = MODIFY_OFFERED;
		modify_act(call, CALL_DO_MODIFY_ANSWER, asker, out);
	} else {
		call->modify.state = MODIFY_NONE;
		modify_act(call, CALL_DO_MODIFY_COMMIT, asker, out);
		modify_act(call, CALL_DO_MODIFY_ACK, event->side, out)->ack = CALL_ACK_PLAIN;
		modify_act(call, CALL_DO_MODIFY_ANSWER, asker, out);
		held_set(call, event->held, out);
	}
}

void on_modify_ack(struct call *call, const struct call_event *event, struct call_actions *out)
{
	if (call->modify.state != MODIFY_OFFERED || event->side != call->modify.asker)
		return;
	if (event->sdp != CALL_SDP_GOOD) {
		modify_act(call, CALL_DO_MODIFY_ACK, other_side(event->side), out)->ack = CALL_ACK_REFUSE;
		modify_break(call, event, out);
		return;
	}
	call->modify.state = MODIFY_NONE;
	modify_act(call, CALL_DO_MODIFY_COMMIT, event->side, out);
	modify_act(call, CALL_DO_MODIFY_ACK, other_side(event->side), out)->ack = CALL_ACK_ANSWER;
	held_set(call, event->held, out);
}

void on_modify_gone(struct call *call, const struct call_event *event, struct call_actions *out)
{
	if (call->modify.state != MODIFY_ASKED || event->side != call->modify.asker)
		return;
	call->modify.state = MODIFY_TAKEN_BACK;
	modify_act(call, CALL_DO_MODIFY_CANCEL, other_side(event->side), out);
}
